//! The engine behind [`Client::fetch`]: one run for all calls, whose records go to whoever asked.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::sync::{mpsc, oneshot};

use super::{CHANNEL, Client, Running};
use crate::engine::Control;
use crate::error::{Error, Problem};
use crate::input::StreamSource;
use crate::job::Job;
use crate::outcome::Finished;

/// Who waits for the records of which jobs.
type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Finished>>>>;

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Finished>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the module text. Dropped with the client, it ends its run.
#[derive(Debug)]
pub(super) struct Single {
    jobs: mpsc::Sender<Job>,
    pub(super) control: mpsc::Sender<Control>,
    next: AtomicU64,
    waiting: Waiting,
    /// Numbers of jobs that nobody waits for any more.
    given_up: mpsc::UnboundedSender<u64>,
}

impl Single {
    pub(super) fn start(client: &Client) -> Result<Self, Error> {
        let (jobs, input) = mpsc::channel::<Job>(CHANNEL);
        let (out, records) = mpsc::channel::<Finished>(CHANNEL);
        let (given_up, unwanted) = mpsc::unbounded_channel();
        let waiting = Waiting::default();
        let wanted = Wanted {
            jobs: input,
            waiting: waiting.clone(),
        };
        let running = client.start(StreamSource::new(wanted), out)?;
        let control = running.control.clone();
        let answers = Answers {
            records,
            unwanted,
            running,
            waiting: waiting.clone(),
        };
        tokio::spawn(answers.give());
        Ok(Single {
            jobs,
            control,
            next: AtomicU64::new(0),
            waiting,
            given_up,
        })
    }

    /// One job through the run. Dropping the future takes the job back.
    pub(super) async fn ask(&self, mut job: Job) -> Result<Finished, Error> {
        let ended = || Error::NoProxy(Problem::new("the run behind this client has ended"));
        let (reply, answer) = oneshot::channel();
        let asked = Asked {
            single: self,
            seq: self.next.fetch_add(1, Ordering::Relaxed),
        };
        job.seq = asked.seq;
        lock(&self.waiting).insert(job.seq, reply);
        self.jobs.send(job).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())
    }
}

/// Somebody waits for a record; dropped with the future that does.
struct Asked<'a> {
    single: &'a Single,
    seq: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let unanswered = lock(&self.single.waiting).remove(&self.seq).is_some();
        if unanswered {
            // A run that has ended has forgotten everything.
            let _ = self.single.given_up.send(self.seq);
        }
    }
}

/// The jobs as the run takes them: those that are still waited for. What is given up later the run is told.
struct Wanted {
    jobs: mpsc::Receiver<Job>,
    waiting: Waiting,
}

impl Stream for Wanted {
    type Item = Job;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Job>> {
        loop {
            let job = ready!(self.jobs.poll_recv(context));
            let is_wanted = |job: &Job| lock(&self.waiting).contains_key(&job.seq);
            if job.as_ref().is_none_or(is_wanted) {
                return Poll::Ready(job);
            }
        }
    }
}

/// The other end of the run.
struct Answers {
    records: mpsc::Receiver<Finished>,
    unwanted: mpsc::UnboundedReceiver<u64>,
    running: Running,
    waiting: Waiting,
}

impl Answers {
    /// Hands out the records and takes back jobs, until the run has ended or the client is dropped.
    async fn give(mut self) {
        let mut unwanted = HashSet::new();
        loop {
            tokio::select! {
                done = self.records.recv() => {
                    let Some(done) = done else { break };
                    let reply = lock(&self.waiting).remove(&done.record.seq);
                    if let Some(reply) = reply {
                        // Whoever asked may have gone away.
                        let _ = reply.send(done);
                    }
                }
                given_up = self.unwanted.recv() => {
                    let Some(seq) = given_up else { break };
                    unwanted.insert(seq);
                }
                Ok(place) = self.running.control.reserve(), if !unwanted.is_empty() => {
                    place.send(Control::Forget(std::mem::take(&mut unwanted)));
                }
            }
        }
        // A run that nobody reads stops.
        drop(self.records);
        // It is over: whoever still waits gets an error.
        lock(&self.waiting).clear();
        let _ = self.running.join().await;
    }
}
