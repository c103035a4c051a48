//! How a run comes to its end: a cap is reached, what is under way is stopped, and what is known is handed over.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::dispatch::now;
use super::{Phase, Run, reraise};
use crate::egress::Egress;
use crate::error::Error;
use crate::input::JobSource;
use crate::metrics::{Cap, FinishReason, Summary, Wait};

/// How long an attempt may take to notice that it is to stop.
const STOPPING: Duration = Duration::from_secs(1);

impl<E: Egress, S: JobSource> Run<E, S> {
    /// Nothing more is started once a cap is reached.
    pub(super) fn keep_caps(&mut self, at: Instant) {
        if !matches!(self.phase, Phase::Running | Phase::Skipping) {
            return;
        }
        let over = self.deadline.filter(|deadline| at >= *deadline);
        let over = over.map(|deadline| (Cap::Deadline, deadline));
        let reached = self.dispatcher.purse.reached.map(|cap| (cap, at));
        if let Some((cap, since)) = over.or(reached) {
            let until = since + self.dispatcher.context.settings.drain_grace;
            let reason = FinishReason::Capped(cap);
            self.phase = Phase::Draining { reason, until };
        }
    }

    /// Stops whatever is under way, and hands over what is known.
    pub(super) async fn end(mut self, reason: FinishReason) -> (Summary, Result<(), Error>) {
        self.dispatcher.probes.abort_all();
        // Told to stop and not cut off: what they have used is to be accounted for. They have nothing to wait for.
        self.dispatcher.stop_all();
        while !self.dispatcher.attempts.is_empty() {
            let stopped = timeout(STOPPING, self.dispatcher.attempts.join_next()).await;
            let Ok(landed) = stopped else { break };
            let (number, landed) = reraise(landed);
            self.dispatcher.landed(number, landed, now());
        }
        // Ended tasks are joined, not detached; what had landed in the same instant still gets its record.
        self.dispatcher.attempts.shutdown().await;
        while let Some((number, landed)) = self.dispatcher.attempts.try_join_next() {
            self.dispatcher.landed(number, landed, now());
        }
        while self.dispatcher.probes.join_next().await.is_some() {}
        if let Some(beat) = self.beat.take() {
            beat.end(&mut self.dispatcher, now()).await;
        }
        while let Some(done) = self.dispatcher.outbox.pop_front() {
            if self.dispatcher.out.send(done).await.is_err() {
                break;
            }
        }
        let mut totals = self.snapshot(true);
        totals.left = self.left();
        (totals.binding, totals.wait) = (self.looks.most(), Wait::default());
        let _ = self.progress.send(totals.clone());
        (
            Summary { reason, totals },
            self.input_error.map_or(Ok(()), Err),
        )
    }

    /// Jobs that have no record.
    fn left(&self) -> Option<u64> {
        let dispatcher = &self.dispatcher;
        let unread = if dispatcher.input_ended {
            0
        } else {
            self.source.remaining()?
        };
        Some(unread + (dispatcher.frontier.len() + dispatcher.attempts.len()) as u64)
    }
}
