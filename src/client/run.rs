//! A run in progress, as the caller holds it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::engine::Control;
use crate::error::Error;
use crate::metrics::{FinishReason, Snapshot, Summary};
use crate::outcome::Finished;

/// A run in progress.
#[derive(Debug)]
pub struct Running {
    /// Drain, stop, or swap the proxies.
    pub control: mpsc::Sender<Control>,
    /// Counters, a few times a second.
    pub progress: watch::Receiver<Snapshot>,
    pub(super) task: JoinHandle<(Summary, Result<(), Error>)>,
}

/// What is said of a run whose runtime was shut down under it.
pub(super) const RUNTIME_GONE: &str = "runtime_gone";

impl Running {
    /// Waits for the end. The summary is valid although the input failed. That of a run whose runtime was shut down is the last
    /// that was published, and the error is [`Error::Ended`].
    ///
    /// # Panics
    /// Re-raises a panic of the run.
    pub async fn join(mut self) -> Ended {
        poll_fn(|context| self.poll_ended(context)).await
    }

    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        let ended = ready!(Pin::new(&mut self.task).poll(context));
        Poll::Ready(ended.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => {
                let totals = self.progress.borrow().clone();
                let reason = FinishReason::Interrupted;
                let why = Error::Ended(RUNTIME_GONE);
                (Summary { reason, totals }, Err(why))
            }
        }))
    }
}

/// How a run has ended, and whether its input was read to its end.
type Ended = (Summary, Result<(), Error>);

/// The records of [`Client::run`](super::Client::run). Dropping it ends the run: what is under way is stopped.
#[derive(Debug)]
pub struct Run {
    records: mpsc::Receiver<Finished>,
    running: Running,
    /// Set at the end of the records.
    ended: Option<Ended>,
}

impl Run {
    pub(super) fn new(records: mpsc::Receiver<Finished>, running: Running) -> Self {
        Run {
            records,
            running,
            ended: None,
        }
    }

    /// The next record, `None` when the run has ended: [`Run::summary`] says why, which need not be that every job has its record.
    ///
    /// # Panics
    /// Re-raises a panic of the run, that of its stream of jobs included.
    pub async fn next(&mut self) -> Option<Finished> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Drain, stop, or swap the proxies.
    pub fn control(&self) -> &mpsc::Sender<Control> {
        &self.running.control
    }

    /// Ends the run now; what has finished can still be read.
    pub async fn stop(&self) {
        // One that has ended needs no telling.
        let _ = self
            .control()
            .send(Control::Stop(FinishReason::Interrupted))
            .await;
    }

    /// Why the run has ended, and what it came to; `None` until the last record was read.
    pub fn summary(&self) -> Option<&Summary> {
        self.ended.as_ref().map(|(summary, _)| summary)
    }

    /// Drops the records not yet read and waits for the end.
    ///
    /// # Errors
    /// The input could not be read to its end, or the runtime of the run was shut down.
    ///
    /// # Panics
    /// Re-raises a panic of the run.
    pub async fn finish(mut self) -> Result<Summary, Error> {
        while self.records.recv().await.is_some() {}
        let (summary, input) = match self.ended {
            Some(ended) => ended,
            None => self.running.join().await,
        };
        input.map(|()| summary)
    }
}

/// As [`Run::next`].
impl Stream for Run {
    type Item = Finished;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Finished>> {
        let done = ready!(self.records.poll_recv(context));
        if done.is_none() && self.ended.is_none() {
            self.ended = Some(ready!(self.running.poll_ended(context)));
        }
        Poll::Ready(done)
    }
}
