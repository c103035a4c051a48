//! Jobs that leave before their turn: those whose time is over (`--retry-max-time`), whose rows come then and not when it would be
//! their turn, and those that nobody waits for any more.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Frontier, Host, Place};
use crate::engine::pending::Pending;
use crate::job::Job;
use crate::metrics::Binding;

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
            taken.extend(self.take_out(number, is_over));
            let host = self.hosts.get(&number);
            let left = host.into_iter().flat_map(|host| host.jobs.iter());
            let left = left.chain(self.lines.jobs(number));
            let next = left.filter_map(deadline).min();
            self.watch(number, next);
        }
        taken
    }

    /// Drops the jobs that are not wanted any more.
    pub(in crate::engine) fn forget(&mut self, unwanted: impl Fn(&Job) -> bool) {
        let is_unwanted = |pending: &Pending| unwanted(&pending.job);
        let (mut jobs, mut bytes) = (0, 0);
        let mut keeps = |pending: &Pending| {
            let goes = is_unwanted(pending);
            jobs += usize::from(goes);
            bytes += if goes { pending.bytes } else { 0 };
            !goes
        };
        let before = self.later.len();
        self.later.retain(|later| keeps(&later.job));
        self.waits.fewer(Binding::Retry, before - self.later.len());
        for host in self.hosts.values_mut() {
            let before = host.held.len();
            host.held.retain(|job| keeps(job));
            self.waits.fewer(Binding::Robots, before - host.held.len());
        }
        self.order.retain(|job| {
            let stays = keeps(job);
            self.waits.fewer(Binding::Session, usize::from(!stays));
            stays
        });
        self.queued -= jobs;
        self.bytes -= bytes;
        let waits =
            |number: &u32, host: &Host| !host.jobs.is_empty() || self.lines.has_any(*number);
        let hosts = self
            .hosts
            .iter()
            .filter(|(number, host)| waits(number, host));
        let hosts: Vec<u32> = hosts.map(|(number, _)| *number).collect();
        for number in hosts {
            self.take_out(number, is_unwanted);
        }
    }

    /// Takes out those jobs of a host that `leave`, from its queue and from the lines for proxies.
    fn take_out(
        &mut self,
        number: u32,
        leave: impl Fn(&Pending) -> bool,
    ) -> VecDeque<Box<Pending>> {
        let Some(host) = self.hosts.get_mut(&number) else {
            return VecDeque::new();
        };
        let mut taken = host.jobs.take_if(&leave);
        match host.place {
            Place::Ready => self.active -= taken.len(),
            _ => self.waits.fewer(host.why, taken.len()),
        }
        for (job, why) in self.lines.take_if(number, leave) {
            self.waits.fewer(why, 1);
            taken.push_back(job);
        }
        for job in &mut taken {
            self.queued -= 1;
            self.bytes -= job.bytes;
            self.follow(job);
        }
        taken
    }
}
