//! Jobs from a stream of the caller's own, for programs that use the library.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::mpsc;

use crate::error::Error;
use crate::job::{DoneSet, Job, Role};

use super::{BATCH, JobSource};

/// Adapts a stream of jobs to a [`JobSource`]; what is ready is taken together, up to [`BATCH`] jobs.
pub struct StreamSource<S> {
    /// `None` once it has ended: a stream must not be polled again then.
    stream: Option<Pin<Box<S>>>,
    done: DoneSet,
    skipped: Arc<AtomicU64>,
}

/// The jobs that come out of a channel, as a stream.
pub struct Channel(mpsc::Receiver<Job>);

impl Stream for Channel {
    type Item = Job;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Job>> {
        self.0.poll_recv(context)
    }
}

impl StreamSource<Channel> {
    /// The jobs of a channel, until its senders are gone.
    pub fn of(jobs: mpsc::Receiver<Job>) -> Self {
        StreamSource::new(Channel(jobs))
    }
}

impl<S: Stream<Item = Job> + Send + 'static> StreamSource<S> {
    /// The jobs of `stream`.
    pub fn new(stream: S) -> Self {
        StreamSource {
            stream: Some(Box::pin(stream)),
            done: DoneSet::default(),
            skipped: Arc::default(),
        }
    }

    /// Leaves out the jobs in `done`.
    #[must_use]
    pub fn skipping(mut self, done: DoneSet) -> Self {
        self.done = done;
        self
    }

    /// Jobs left out so far; counts on while the source is in use elsewhere.
    pub fn skipped(&self) -> Arc<AtomicU64> {
        self.skipped.clone()
    }
}

impl<S: Stream<Item = Job> + Send + 'static> JobSource for StreamSource<S> {
    async fn next(&mut self) -> Option<Result<Vec<Job>, Error>> {
        // The future holds no job while it is pending, so dropping it loses none.
        poll_fn(|context| {
            let mut batch = Vec::new();
            while batch.len() < BATCH {
                let Some(stream) = &mut self.stream else {
                    break;
                };
                match stream.as_mut().poll_next(context) {
                    Poll::Ready(Some(job)) if self.done.take(job.id) => {
                        self.skipped.fetch_add(1, Ordering::Relaxed);
                    }
                    Poll::Ready(Some(mut job)) => {
                        // Errands are the program's own: their answers would go to nobody.
                        if job.role.is_errand() {
                            job.role = Role::Named;
                        }
                        batch.push(job);
                    }
                    Poll::Ready(None) => self.stream = None,
                    Poll::Pending if batch.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready((!batch.is_empty()).then_some(Ok(batch)))
        })
        .await
    }

    fn remaining(&self) -> Option<u64> {
        match self
            .stream
            .as_ref()
            .map_or((0, Some(0)), |stream| stream.size_hint())
        {
            (least, Some(most)) if least == most => Some(least as u64),
            _ => None,
        }
    }
}
