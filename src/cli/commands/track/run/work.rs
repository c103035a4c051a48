//! The work of `track run`: requests from the course of a job, answers into the history.

use std::fs;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;

use tokio::sync::mpsc;

use super::super::super::fetch::{Started, Work};
use crate::config::Resolved;
use crate::error::Error;
use crate::input::{Channel, StreamSource};
use crate::job::Job;
use crate::observation::{State, Visit};
use crate::outcome::{Finished, UnixMillis};
use crate::output::Written;
use crate::state::{History, RunId};
use crate::track::course::{Course, Due};
use crate::track::job::{Keep, TrackJob};

/// Requests that are asked for and not answered yet, at most; every one of them has a place in the channels.
const WINDOW: usize = 1024;

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Queries that have all their answers.
    pub(super) done: u64,
    /// Queries that were not asked, or not all of their pages.
    pub(super) left: u64,
    /// Observations by state, in the order of [`State::ALL`].
    pub(super) states: [u64; State::ALL.len()],
    /// What the queries took together.
    pub(super) took: Visit,
    /// By host: requests that were blocked, and all.
    pub(super) hosts: Vec<(Box<str>, u64, u64)>,
}

impl Tally {
    /// Observations in this state.
    pub(super) fn count(&self, state: State) -> u64 {
        let at = State::ALL.iter().position(|each| *each == state);
        at.map_or(0, |at| self.states[at])
    }

    fn add(&mut self, visit: &Visit) {
        let took = &mut self.took;
        took.pages += visit.pages;
        took.attempts += visit.attempts;
        took.blocked += visit.blocked;
        took.bytes += visit.bytes;
        took.cost += visit.cost;
        let (blocked, attempts) = (u64::from(visit.blocked), u64::from(visit.attempts));
        match self.hosts.iter_mut().find(|(host, ..)| *host == visit.host) {
            Some((_, all_blocked, all)) => {
                *all_blocked += blocked;
                *all += attempts;
            }
            None => self.hosts.push((visit.host.clone(), blocked, attempts)),
        }
    }
}

/// The queries of a run, and where their observations go.
pub(super) struct Tracking {
    pub(super) job: Arc<TrackJob>,
    pub(super) history: History,
    pub(super) run: RunId,
    pub(super) due: Vec<Due>,
    /// Filled when all is done.
    pub(super) tally: Arc<Mutex<Tally>>,
}

impl Work for Tracking {
    type Source = StreamSource<Channel>;

    fn open(&mut self, _resolved: &Resolved) -> Result<(), Error> {
        if self.job.output.pages == Keep::Never {
            return Ok(());
        }
        let folder = &self.job.output.pages_dir;
        fs::create_dir_all(folder).map_err(|source| Error::io("make", folder, source))
    }

    fn start(self) -> Result<Started<Self::Source>, Error> {
        let (jobs, source) = mpsc::channel(WINDOW);
        let (rows, answers) = mpsc::channel(WINDOW);
        let thread = thread::Builder::new()
            .name("track".to_owned())
            .spawn(move || self.go(jobs, answers))
            .map_err(|error| Error::Internal(format!("cannot start a thread: {error}")))?;
        Ok(Started {
            source: StreamSource::of(source),
            rows,
            join: Box::new(move || match thread.join() {
                Ok(ended) => ended,
                Err(panic) => std::panic::resume_unwind(panic),
            }),
            skipped: Arc::new(AtomicU64::new(0)),
        })
    }
}

impl Tracking {
    /// Asks and keeps until everything is known or the run ends. What is kept is on the disk before the next answer is looked at.
    fn go(
        mut self,
        jobs: mpsc::Sender<Job>,
        mut answers: mpsc::Receiver<Finished>,
    ) -> Result<Written, Error> {
        let job = self.job.clone();
        let mut course = Course::new(&job, std::mem::take(&mut self.due));
        let mut tally = Tally::default();
        let mut jobs = Some(jobs);
        loop {
            if let Some(sender) = &jobs {
                // Never blocks: the channel has a place for each of them. The run may have ended already.
                while course.in_flight() < WINDOW
                    && let Some(job) = course.next()
                {
                    if sender.blocking_send(job).is_err() {
                        break;
                    }
                }
            }
            if course.is_done() {
                jobs = None;
            }
            let Some(finished) = answers.blocking_recv() else {
                break;
            };
            let now = now();
            self.keep_page(&finished)?;
            if let Some(done) = course.land(&finished, now) {
                self.history
                    .record(&self.run, done.query, &done.seen, Some(&done.visit))?;
                tally.done += 1;
                tally.add(&done.visit);
                for (_, seen) in &done.seen {
                    let at = State::ALL.iter().position(|each| *each == seen.state);
                    tally.states[at.unwrap_or_default()] += 1;
                }
            }
        }
        tally.left = course.left();
        let records = tally.done;
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner) = tally;
        Ok(Written {
            records,
            ..Written::default()
        })
    }

    /// Writes the page down, if the job asks for it: under the run, with the number of the request and the outcome in its name.
    fn keep_page(&self, finished: &Finished) -> Result<(), Error> {
        let record = &*finished.record;
        let wanted = match self.job.output.pages {
            Keep::Never => false,
            Keep::Blocked => !record.ok,
            Keep::All => true,
        };
        if !wanted || finished.body.is_empty() {
            return Ok(());
        }
        let folder = self.job.output.pages_dir.join(&*self.run.0);
        let path = folder.join(format!("{}-{}.html", record.id, record.outcome));
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&path, &finished.body))
            .map_err(|source| Error::io("write", &path, source))
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    UnixMillis::from(SystemTime::now()).0
}
