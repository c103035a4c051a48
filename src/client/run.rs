//! A run in progress, as the caller holds it.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::engine::Control;
use crate::error::Error;
use crate::metrics::{Snapshot, Summary};
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

impl Running {
    /// Waits for the end. The summary is valid although the input failed.
    ///
    /// # Panics
    /// Re-raises a panic of the run.
    pub async fn join(self) -> (Summary, Result<(), Error>) {
        match self.task.await {
            Ok(ended) => ended,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// The records of [`Client::run`](super::Client::run). Dropping it ends the run: what is under way is stopped.
#[derive(Debug)]
pub struct Run {
    pub(super) records: mpsc::Receiver<Finished>,
    pub(super) running: Running,
}

impl Run {
    /// The next record, `None` when every job has its own.
    pub async fn next(&mut self) -> Option<Finished> {
        self.records.recv().await
    }

    /// Drain, stop, or swap the proxies.
    pub fn control(&self) -> &mpsc::Sender<Control> {
        &self.running.control
    }

    /// Drops the records not yet read and waits for the end.
    ///
    /// # Errors
    /// The input could not be read to its end.
    pub async fn finish(mut self) -> Result<Summary, Error> {
        while self.records.recv().await.is_some() {}
        let (summary, input) = self.running.join().await;
        input.map(|()| summary)
    }
}

impl Stream for Run {
    type Item = Finished;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Finished>> {
        self.records.poll_recv(cx)
    }
}
