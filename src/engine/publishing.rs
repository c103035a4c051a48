//! What is told of a run while it lasts: counters, and the limit that binds.

use std::time::Instant;

use super::dispatch::now;
use super::{Phase, Run};
use crate::egress::Egress;
use crate::input::JobSource;
use crate::metrics::{Binding, Snapshot, Wait};

/// What held dispatch back, at each look so far.
#[derive(Debug, Default)]
pub(super) struct Looks {
    counts: [u32; Binding::COUNT],
    all: u32,
}

impl Looks {
    fn note(&mut self, binding: Option<Binding>) {
        self.all += 1;
        if let Some(binding) = binding {
            self.counts[binding as usize] += 1;
        }
    }

    /// What did for more than half of the run.
    pub(super) fn most(&self) -> Option<Binding> {
        let most = |why: &&Binding| 2 * self.counts[**why as usize] > self.all;
        Binding::ALL.iter().find(most).copied()
    }
}

impl<E: Egress, S: JobSource> Run<E, S> {
    pub(super) fn publish(&mut self) {
        let at = now();
        let (binding, wait) = self.binding(at);
        self.looks.note(binding);
        let counters = self.dispatcher.tally.counters();
        (counters.binding, counters.wait) = (binding, wait);
        if self.progress.receiver_count() == 0 {
            return;
        }
        let snapshot = self.snapshot(false);
        // Nobody listening any more is not an error.
        let _ = self.progress.send(snapshot);
    }

    /// The limit that binds now, and whom it is about.
    fn binding(&self, at: Instant) -> (Option<Binding>, Wait) {
        if !matches!(self.phase, Phase::Running) || self.held_by.is_some() {
            return (self.held_by, Wait::default());
        }
        let frontier = &self.dispatcher.frontier;
        let Some(longest) = frontier.longest_wait() else {
            let input = self.wants_input().then_some(Binding::Input);
            return (input, Wait::default());
        };
        let name = |host| frontier.key(host).map(|key| key.host.clone());
        let wait = Wait {
            hosts: longest.hosts,
            host: longest.host.and_then(name),
            ends_in: longest
                .until
                .map(|until| until.saturating_duration_since(at)),
        };
        (Some(longest.why), wait)
    }

    pub(super) fn snapshot(&mut self, with_hosts: bool) -> Snapshot {
        let at = now();
        let dispatcher = &mut self.dispatcher;
        let counts = dispatcher.pool.counts(at);
        let counters = dispatcher.tally.counters();
        counters.in_flight = dispatcher.attempts.len() as u64;
        counters.queued = dispatcher.frontier.len() as u64;
        counters.pool = counts;
        dispatcher
            .tally
            .snapshot(at.saturating_duration_since(self.began), with_hosts)
    }
}
