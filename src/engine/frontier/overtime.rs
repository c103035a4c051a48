//! Jobs whose time is over (`--retry-max-time`): their rows come then, and not when it would be their turn.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Frontier, Place};
use crate::engine::pending::Pending;

/// Jobs of a host whose time is over within so long are taken out together: each look goes through all of them.
const GRAIN: Duration = Duration::from_millis(50);

impl Frontier {
    /// Has `job`, which waits for its host or for a proxy, taken out when its time is over.
    pub(super) fn watch(&mut self, number: u32, deadline: Option<Instant>) {
        if let Some(at) = deadline
            && let Some(host) = self.hosts.get_mut(&number)
            && host.ending.is_none_or(|ending| ending > at)
        {
            host.ending = Some(at);
            self.ending.push(Reverse((at, number)));
        }
    }

    /// Takes out the jobs whose time is over, wherever they wait. None is left for which it is over before the next look.
    pub(in crate::engine) fn take_over(&mut self, now: Instant) -> VecDeque<Box<Pending>> {
        let longest = self.longest;
        let deadline = |job: &Pending| job.deadline(longest);
        let is_over = |job: &Pending| deadline(job).is_some_and(|at| at <= now + GRAIN);
        let mut taken = VecDeque::new();
        while let Some(Reverse((at, number))) = self.ending.peek().copied()
            && at <= now
        {
            self.ending.pop();
            let host = self.hosts.get_mut(&number);
            let Some(host) = host.filter(|host| host.ending == Some(at)) else {
                continue;
            };
            host.ending = None;
            let over = host.jobs.take_over(is_over);
            match host.place {
                Place::Ready => self.active -= over.len(),
                _ => self.waits.fewer(host.why, over.len()),
            }
            taken.extend(over);
            for (job, why) in self.lines.take_over(number, is_over) {
                self.waits.fewer(why, 1);
                taken.push_back(job);
            }
            let left = host.jobs.iter().chain(self.lines.jobs(number));
            let next = left.filter_map(deadline).min();
            self.watch(number, next);
        }
        for job in &mut taken {
            self.queued -= 1;
            self.bytes -= job.bytes;
            self.follow(job);
        }
        taken
    }
}
