//! A run in progress, as the caller holds it.

use std::any::Any;
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
        let (ended, panic) = poll_fn(|context| self.poll_ended(context)).await;
        raise(panic);
        ended
    }

    /// To be asked until it is ready, and never again.
    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<(Ended, Option<Panic>)> {
        let error = match ready!(Pin::new(&mut self.task).poll(context)) {
            Ok(ended) => return Poll::Ready((ended, None)),
            Err(error) => error,
        };
        let panic = error.try_into_panic().ok();
        let why = match &panic {
            Some(panic) => Error::Internal(panicked(&**panic)),
            None => Error::Ended(RUNTIME_GONE),
        };
        let totals = self.progress.borrow().clone();
        let reason = FinishReason::Interrupted;
        Poll::Ready(((Summary { reason, totals }, Err(why)), panic))
    }
}

/// What a task has panicked with.
type Panic = Box<dyn Any + Send>;

fn raise(panic: Option<Panic>) {
    if let Some(panic) = panic {
        std::panic::resume_unwind(panic);
    }
}

/// What is said of a run that has panicked, where the panic itself is not raised.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("no message");
    format!("the run has panicked: {text}")
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
    /// Re-raises a panic of the run, that of its stream of jobs included: once, and then it is over.
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
    /// The input could not be read to its end, the runtime of the run was shut down, or a panic of the run was raised before.
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
            let (ended, panic) = ready!(self.running.poll_ended(context));
            self.ended = Some(ended);
            raise(panic);
        }
        Poll::Ready(done)
    }
}
