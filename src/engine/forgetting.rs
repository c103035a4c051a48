//! Jobs that nobody waits for any more.

use std::collections::HashSet;

use super::dispatch::Dispatcher;
use crate::egress::Egress;
use crate::job::Job;

impl<E: Egress> Dispatcher<E> {
    /// Drops the jobs of these numbers wherever they are: none is sent, what is under way for them is told to stop, and none has a
    /// row. What the program asks on its own account goes on; others may wait for it.
    pub(super) fn forget(&mut self, seqs: &HashSet<u64>) {
        let unwanted = |job: &Job| seqs.contains(&job.seq) && !job.role.is_errand();
        self.frontier.forget(unwanted);
        for number in self.flights.disown(unwanted) {
            self.attempts.stop(number);
        }
    }
}
