//! Which host comes next where any would do: for probes, and past hosts that may be down.

use std::cmp::Reverse;
use std::collections::VecDeque;

use super::Frontier;
use crate::job::HostKey;

/// Hosts at the front of the line that probes aim at in turn while they get through: few, so that a job soon uses the tunnel that a
/// probe opened.
const PROBED_HOSTS: usize = 8;
/// Multiples of this, as fractions of 2^32, cover a line evenly however many are taken: the golden ratio.
const SPREAD: u32 = 0x9E37_79B9;

impl Frontier {
    /// A host that has work, for probes to aim at; another one at every call: aimed at one that is down, every proxy would look as
    /// if it could not reach anything.
    pub(in crate::engine) fn next_target(&mut self) -> Option<(u32, &HostKey)> {
        self.aim = self.aim.wrapping_add(1);
        let of = |list: &VecDeque<u32>| {
            let at = match self.reaches {
                true => (self.aim as usize).checked_rem(list.len().min(PROBED_HOSTS))?,
                false => self.spread_over(list),
            };
            list.get(at).copied()
        };
        let parked = || self.parked.peek().map(|Reverse((_, number))| *number);
        let later = || self.later.peek().map(|later| later.job.host);
        let number = of(&self.ready)
            .or_else(|| of(&self.blocked))
            .or_else(parked)
            .or_else(later)
            .or_else(|| self.lines.any_host())?;
        self.key(number).map(|key| (number, key))
    }

    /// A probe has got through to its host, or has not.
    pub(in crate::engine) fn reached_target(&mut self, reached: bool) {
        self.reaches = reached;
    }

    /// A place in `list`, far from the last ones.
    fn spread_over(&self, list: &VecDeque<u32>) -> usize {
        let of_whole = u64::from(self.aim.wrapping_mul(SPREAD));
        ((of_whole * list.len() as u64) >> 32) as usize
    }

    /// A request has met a host that may be down, and those behind it in the line with it: the next ones go elsewhere, until one does not.
    pub(in crate::engine) fn met(&mut self, down: bool) {
        self.strays = down;
        if down {
            self.move_on();
        }
    }

    pub(super) fn move_on(&mut self) {
        self.aim = self.aim.wrapping_add(1);
        self.ready.rotate_left(self.spread_over(&self.ready));
    }
}
