//! The engine behind [`Client::fetch`]: one run for all calls, whose records go to whoever asked.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::sync::{mpsc, oneshot};

use super::run::{RUNTIME_GONE, panicked};
use super::{Client, RECORDS, Running, lock};
use crate::engine::Control;
use crate::error::Error;
use crate::input::StreamSource;
use crate::job::Job;
use crate::metrics::FinishReason;
use crate::outcome::Finished;

/// Jobs that may wait for the engine to take them.
const JOBS: usize = 1024;

/// What both ends of the run know.
#[derive(Debug, Default)]
struct Desk {
    /// Who waits for the records of which jobs.
    waiting: HashMap<u64, oneshot::Sender<Finished>>,
    /// Set once the run is over; then nobody waits.
    end: Option<End>,
}

/// How a run has ended.
#[derive(Debug)]
enum End {
    /// By itself: a cap was reached, for nothing else ends it while somebody asks.
    Reached(FinishReason),
    /// With this to say.
    Panicked(String),
    /// The runtime it was on is gone.
    Lost,
}

impl End {
    fn error(&self) -> Error {
        match self {
            End::Reached(reason) => Error::Ended(reason.as_str()),
            End::Panicked(why) => Error::Internal(why.clone()),
            End::Lost => Error::Ended(RUNTIME_GONE),
        }
    }
}

/// See the module text. Dropped with the client, it ends its run.
#[derive(Debug)]
pub(super) struct Single {
    jobs: mpsc::Sender<Job>,
    pub(super) control: mpsc::Sender<Control>,
    next: AtomicU64,
    desk: Arc<Mutex<Desk>>,
    /// Numbers of jobs that nobody waits for any more.
    given_up: mpsc::UnboundedSender<u64>,
}

impl Single {
    pub(super) fn start(client: &Client) -> Result<Self, Error> {
        let (jobs, input) = mpsc::channel::<Job>(JOBS);
        let (out, records) = mpsc::channel::<Finished>(RECORDS);
        let (given_up, unwanted) = mpsc::unbounded_channel();
        let desk = Arc::<Mutex<Desk>>::default();
        let wanted = Wanted {
            jobs: input,
            desk: desk.clone(),
        };
        let running = client.start(StreamSource::new(wanted), out)?;
        let control = running.control.clone();
        let answers = Answers {
            records,
            unwanted,
            running,
            desk: desk.clone(),
        };
        tokio::spawn(answers.give());
        Ok(Single {
            jobs,
            control,
            next: AtomicU64::new(0),
            desk,
            given_up,
        })
    }

    /// True when the run was lost: another one can do what it cannot. Not so when it has reached a cap, which another run would begin
    /// anew.
    pub(super) fn is_lost(&self) -> bool {
        matches!(lock(&self.desk).end, Some(End::Panicked(_) | End::Lost))
    }

    /// One job through the run. Dropping the future takes the job back.
    pub(super) async fn ask(&self, mut job: Job) -> Result<Finished, Error> {
        let (reply, answer) = oneshot::channel();
        let asked = Asked {
            single: self,
            seq: self.next.fetch_add(1, Ordering::Relaxed),
        };
        job.seq = asked.seq;
        {
            let mut desk = lock(&self.desk);
            if let Some(end) = &desk.end {
                return Err(end.error());
            }
            desk.waiting.insert(job.seq, reply);
        }
        // A run that takes it no more has ended, and says so below.
        let _ = self.jobs.send(job).await;
        answer.await.map_err(|_| {
            let end = lock(&self.desk).end.as_ref().map(End::error);
            end.unwrap_or(Error::Ended(RUNTIME_GONE))
        })
    }
}

/// Somebody waits for a record; dropped with the future that does.
struct Asked<'a> {
    single: &'a Single,
    seq: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let unanswered = lock(&self.single.desk).waiting.remove(&self.seq).is_some();
        if unanswered {
            // A run that has ended has forgotten everything.
            let _ = self.single.given_up.send(self.seq);
        }
    }
}

/// The jobs as the run takes them: those that are still waited for. What is given up later the run is told.
struct Wanted {
    jobs: mpsc::Receiver<Job>,
    desk: Arc<Mutex<Desk>>,
}

impl Stream for Wanted {
    type Item = Job;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Job>> {
        loop {
            let job = ready!(self.jobs.poll_recv(context));
            let is_wanted = |job: &Job| lock(&self.desk).waiting.contains_key(&job.seq);
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
    desk: Arc<Mutex<Desk>>,
}

impl Answers {
    /// Hands out the records and takes back jobs, until the run has ended or the client is dropped.
    async fn give(mut self) {
        let mut unwanted = HashSet::new();
        loop {
            tokio::select! {
                done = self.records.recv() => {
                    let Some(done) = done else { break };
                    let reply = lock(&self.desk).waiting.remove(&done.record.seq);
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
        self.records.close();
        let end = match (&mut self.running.task).await {
            Ok((summary, _)) => End::Reached(summary.reason),
            Err(error) => error
                .try_into_panic()
                .map_or(End::Lost, |panic| End::Panicked(panicked(&*panic))),
        };
        lock(&self.desk).end = Some(end);
    }
}

impl Drop for Answers {
    /// The run is over, or the runtime it was on: whoever still waits gets an error.
    fn drop(&mut self) {
        let mut desk = lock(&self.desk);
        desk.end.get_or_insert(End::Lost);
        desk.waiting.clear();
    }
}
