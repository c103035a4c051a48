//! Records on their way out: the channel to the writer, and what waits while it is full.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::dispatch::Dispatcher;
use crate::egress::Egress;
use crate::input::JobSource;
use crate::job::Role;
use crate::metrics::Host;
use crate::outcome::Finished;

impl<E: Egress> Dispatcher<E> {
    /// Gives what became of a job to whoever asked for it.
    pub(super) fn deliver(
        &mut self,
        role: Role,
        done: Finished,
        host: u32,
        waited: Duration,
        now: Instant,
    ) {
        match role {
            Role::Named | Role::Listed => self.emit(done, Some(host), waited),
            Role::Sitemap => self.brought.push(done),
            Role::Robots => self.robots_came(host, &done, now),
        }
    }

    /// Gives the input what it has sent for; it makes rows of what failed.
    pub(super) fn hand_back(&mut self, source: &mut impl JobSource) {
        for done in std::mem::take(&mut self.brought) {
            if let Some(done) = source.answered(done) {
                self.tally.counters().read += 1;
                self.emit(done, None, Duration::ZERO);
            }
        }
    }

    /// Sends a record on its way; what does not fit waits in the outbox.
    pub(super) fn emit(&mut self, done: Finished, host: Option<u32>, waited: Duration) {
        let host =
            host.and_then(|number| self.frontier.key(number).map(|key| Host { number, key }));
        self.tally.finished(host, &done.record, waited);
        self.tally.extracted(&done);
        if !self.outbox.is_empty() {
            self.outbox.push_back(done);
            return;
        }
        match self.out.try_send(done) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(done)) => self.outbox.push_back(done),
            Err(mpsc::error::TrySendError::Closed(_)) => self.output_failed = true,
        }
    }

    /// Moves records from the outbox into the channel as far as it has room.
    pub(super) fn flush(&mut self) {
        while let Some(done) = self.outbox.pop_front() {
            match self.out.try_send(done) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(done)) => {
                    self.outbox.push_front(done);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    self.output_failed = true;
                    return;
                }
            }
        }
    }
}
