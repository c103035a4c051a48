//! Does a host limit each exit, or all of us together?
//!
//! A host that counts exits refuses those that have asked much. When exits are refused that were served a moment ago and have
//! asked little, the count that matters is not theirs. Bans of pairs would then take one proxy after the other away from a host
//! that would refuse a single one just as often.

use std::collections::VecDeque;

use super::super::clock::{Micros, SECOND};
use super::Kind;
use super::window::Vector;

/// How far back the evidence goes, seconds. Pairs that take turns are served alike, and it takes them as long to show that they
/// bear twice of what they were refused for.
const MEMORY: u64 = 60;
/// Distinct proxies that have to be refused, or all of a small pool, if it is not too small to tell.
const DISTINCT: usize = 5;
const DISTINCT_LEAST: usize = 3;
/// Refusals remembered.
const MOST: usize = 64;
/// Refusals among so many answers to pairs that have asked little, at least.
const SHARE: f32 = 0.05;
/// The seconds over which the rate of success is measured.
const PACE: u64 = 5;

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Wide {
    /// Refused although they had been served a moment ago.
    refused: VecDeque<Refused>,
    /// Served pairs that had asked little.
    served_low: Seconds<{ MEMORY as usize + 1 }>,
    served: Seconds<{ PACE as usize + 1 }>,
}

#[derive(Debug)]
struct Refused {
    at: Micros,
    slot: u32,
    kind: Kind,
    /// Uses, this one included.
    counts: Vector,
}

impl Wide {
    pub(super) fn served(&mut self, low: bool, now: Micros) {
        self.served.count(now);
        if low {
            self.served_low.count(now);
        }
    }

    /// A pair that was served within the last minute was refused with these uses.
    pub(super) fn refused(&mut self, slot: u32, kind: Kind, counts: Vector, at: Micros) {
        if self.refused.len() >= MOST {
            self.refused.pop_front();
        }
        self.refused.push_back(Refused {
            at,
            slot,
            kind,
            counts,
        });
    }

    /// True when the host is shown to limit all pairs together in this way: too many were refused although they had asked little, by what
    /// `is_low` says now. `live` proxies could be refused.
    pub(super) fn is_shown(
        &mut self,
        kind: Kind,
        is_low: impl Fn(Vector) -> bool,
        live: usize,
        now: Micros,
    ) -> bool {
        let begin = now.saturating_sub(MEMORY * SECOND);
        while self.refused.front().is_some_and(|first| first.at < begin) {
            self.refused.pop_front();
        }
        let alike = self.refused.iter().filter(|one| one.kind == kind);
        let low = alike.filter(|one| is_low(one.counts));
        let mut distinct: Vec<u32> = low.map(|one| one.slot).collect();
        let refused = distinct.len() as f32;
        distinct.sort_unstable();
        distinct.dedup();
        let answers = refused + self.served_low.last(MEMORY, now) as f32;
        distinct.len() >= DISTINCT.min(live).max(DISTINCT_LEAST) && refused >= SHARE * answers
    }

    /// Successes per second lately.
    pub(super) fn goodput(&self, now: Micros) -> f32 {
        let span = (PACE * SECOND + now % SECOND).min(now).max(SECOND);
        self.served.last(PACE, now) as f32 * SECOND as f32 / span as f32
    }
}

/// Events in each of the last seconds, as far as can be counted.
#[derive(Debug)]
struct Seconds<const KEPT: usize> {
    counts: [u16; KEPT],
    running: u64,
}

impl<const KEPT: usize> Default for Seconds<KEPT> {
    fn default() -> Self {
        Seconds {
            counts: [0; KEPT],
            running: 0,
        }
    }
}

impl<const KEPT: usize> Seconds<KEPT> {
    fn count(&mut self, now: Micros) {
        let second = now / SECOND;
        let len = self.counts.len() as u64;
        for passed in 0..second.saturating_sub(self.running).min(len) {
            self.counts[((second - passed) % len) as usize] = 0;
        }
        self.running = second.max(self.running);
        let count = &mut self.counts[(self.running % len) as usize];
        *count = count.saturating_add(1);
    }

    /// Events in the running second and the `seconds` before it.
    fn last(&self, seconds: u64, now: Micros) -> u32 {
        let (second, len) = (now / SECOND, self.counts.len() as u64);
        let oldest = second.saturating_sub(seconds);
        let from = oldest.max((self.running + 1).saturating_sub(len));
        (from..=self.running)
            .map(|second| u32::from(self.counts[(second % len) as usize]))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::WINDOWS;
    use super::*;

    /// What is shown after each refusal.
    fn refuse(
        wide: &mut Wide,
        slots: impl IntoIterator<Item = u32>,
        live: usize,
        now: Micros,
    ) -> Vec<bool> {
        let refuse = |slot| {
            wide.refused(slot, Kind::Rate, [1; WINDOWS], now);
            assert!(!wide.is_shown(Kind::Other, |_| true, live, now));
            wide.is_shown(Kind::Rate, |_| true, live, now)
        };
        slots.into_iter().map(refuse).collect()
    }

    #[test]
    fn five_proxies_refused_early_show_a_common_limit_unless_many_more_are_served_as_early() {
        for (served, expected) in [(0, true), (80, true), (200, false)] {
            let mut wide = Wide::default();
            for n in 0..served {
                wide.served(true, SECOND + n);
            }
            let shown = refuse(&mut wide, 0..5, 100, 2 * SECOND);
            assert_eq!(shown, [false, false, false, false, expected], "{served}");
        }
    }

    #[test]
    fn one_proxy_refused_again_and_again_shows_nothing_in_a_large_pool() {
        let mut wide = Wide::default();
        let shown = refuse(&mut wide, [7; 50], 100, SECOND);
        assert!(!shown.contains(&true));
        let mut wide = Wide::default();
        let shown = refuse(&mut wide, 0..3, 3, 0);
        assert_eq!(shown, [false, false, true], "they are all of the pool");
    }

    #[test]
    fn what_was_much_when_it_was_refused_is_little_when_others_have_borne_more() {
        let mut wide = Wide::default();
        (0..10).for_each(|slot| wide.refused(slot, Kind::Other, [3; WINDOWS], SECOND));
        for (second, most, expected) in [(2, 3, false), (30, 6, true), (62, 6, false)] {
            let is_low = |counts: Vector| 2 * counts[1] <= most;
            let shown = wide.is_shown(Kind::Other, is_low, 100, second * SECOND);
            assert_eq!(shown, expected, "{second}");
        }
    }

    #[test]
    fn goodput_is_that_of_the_last_seconds() {
        let mut wide = Wide::default();
        for n in 0..400 {
            wide.served(false, n * SECOND / 40);
            let goodput = wide.goodput(n * SECOND / 40);
            assert!(n < 60 || (goodput - 40.0).abs() < 2.0, "{goodput} at {n}");
        }
        assert!(wide.goodput(30 * SECOND) < f32::EPSILON);
    }
}
