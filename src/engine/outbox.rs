//! Records on their way out: the channel to the writer, and what waits while it is full.

use std::time::Duration;

use tokio::sync::mpsc;

use super::dispatch::Dispatcher;
use crate::egress::Egress;
use crate::metrics::Host;
use crate::outcome::Finished;

impl<E: Egress> Dispatcher<E> {
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
