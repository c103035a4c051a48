//! What the jobs that are not in flight wait for, counted as they come and go.
//!
//! The progress line names one limit: the one that most of the waiting jobs wait for. Asking every host for its reason would cost
//! as much as there are hosts, several times a second; so each reason has its count.

use std::time::Instant;

use crate::metrics::Binding;

/// What most jobs wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Longest {
    pub(super) why: Binding,
    /// Hosts that wait for it, if it is a matter of hosts.
    pub(super) hosts: u32,
    /// One of them.
    pub(super) host: Option<u32>,
    /// When it, or the first of the jobs, waits no longer, if that is a time.
    pub(super) until: Option<Instant>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    jobs: usize,
    hosts: u32,
    /// The host that came last.
    last: u32,
}

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Waits {
    counts: [Count; Binding::COUNT],
}

impl Waits {
    /// A host with so many jobs has to wait.
    pub(super) fn enter(&mut self, why: Binding, host: u32, jobs: usize) {
        let count = &mut self.counts[why as usize];
        count.hosts += 1;
        count.last = host;
        count.jobs += jobs;
    }

    /// It waits no longer.
    pub(super) fn leave(&mut self, why: Binding, jobs: usize) {
        let count = &mut self.counts[why as usize];
        count.hosts = count.hosts.saturating_sub(1);
        count.jobs = count.jobs.saturating_sub(jobs);
    }

    /// More jobs wait for the same.
    pub(super) fn more(&mut self, why: Binding, jobs: usize) {
        self.counts[why as usize].jobs += jobs;
    }

    /// Fewer do.
    pub(super) fn fewer(&mut self, why: Binding, jobs: usize) {
        let count = &mut self.counts[why as usize];
        count.jobs = count.jobs.saturating_sub(jobs);
    }

    /// What most jobs wait for, how many hosts that concerns, and the one that came last.
    pub(super) fn most(&self) -> Option<(Binding, u32, u32)> {
        let all = Binding::ALL
            .iter()
            .map(|why| (*why, self.counts[*why as usize]));
        let (why, count) = all.max_by_key(|(_, count)| count.jobs)?;
        (count.jobs > 0).then_some((why, count.hosts, count.last))
    }
}
