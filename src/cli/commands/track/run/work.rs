//! The work of `track run`: requests from the course of a job, answers into the history.

use std::fs;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::SystemTime;

use serde_json::json;
use tokio::sync::mpsc;

use super::super::super::fetch::{Started, Work};
use super::claim::claim;
use super::deliver;
use super::due::{Choice, choose};
use super::export::Export;
use crate::cli::figures::counted;
use crate::cli::printer::Printer;
use crate::config::Resolved;
use crate::error::Error;
use crate::input::{Channel, StreamSource};
use crate::job::Job;
use crate::metrics::Snapshot;
use crate::observation::{State, Visit};
use crate::outcome::Finished;
use crate::output::{Earlier, Written};
use crate::state::{History, RunId, millis};
use crate::track::course::Course;
use crate::track::job::{Keep, TrackJob};

/// Requests that are asked for and not answered yet, at most; every one of them has a place in the channels.
const WINDOW: usize = 1024;

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// The run; none when nothing was due.
    pub(super) run: Option<RunId>,
    /// Queries that were due.
    pub(super) due: u64,
    /// Queries that were not, because they were observed well a short time ago.
    pub(super) fresh: u64,
    /// Queries that have all their answers.
    pub(super) done: u64,
    /// Observations by state, in the order of [`State::ALL`].
    pub(super) states: [u64; State::ALL.len()],
    /// What the queries took together.
    pub(super) took: Visit,
    /// By host: requests that were blocked, and all. Of very many hosts some are known by the queries that have their answers alone.
    pub(super) hosts: Vec<(Box<str>, u64, u64)>,
}

impl Tally {
    /// Observations in this state.
    pub(super) fn count(&self, state: State) -> u64 {
        let at = State::ALL.iter().position(|each| *each == state);
        at.map_or(0, |at| self.states[at])
    }

    /// Counts the requests of queries that have no answer as well: a run that is refused until its deadline has no others.
    pub(super) fn count_requests(&mut self, totals: &Snapshot) {
        for seen in &totals.hosts {
            let (blocked, all) = (seen.banned + seen.rate_limited, seen.attempts);
            match self
                .hosts
                .iter_mut()
                .find(|(host, ..)| **host == *seen.host)
            {
                Some(known) => (known.1, known.2) = (blocked, all),
                None => self.hosts.push((seen.host.as_str().into(), blocked, all)),
            }
        }
        let blocked: u64 = self.hosts.iter().map(|(_, blocked, _)| blocked).sum();
        let whole = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        self.took.blocked = whole(blocked);
        self.took.attempts = whole(totals.attempts);
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
    /// The file with the history.
    pub(super) state: PathBuf,
    /// What the path of the job is relative to, see [`folder_as_named`](super::claim::folder_as_named).
    pub(super) folder: PathBuf,
    pub(super) retry_failed: bool,
    pub(super) printer: Printer,
    /// Filled when all is done.
    pub(super) tally: Arc<Mutex<Tally>>,
    /// The file of observations, if the job asks for one.
    pub(super) export: Option<Export>,
    pub(super) opened: Option<(History, Choice)>,
}

impl Work for Tracking {
    type Source = StreamSource<Channel>;

    /// Chooses only now, when no other run of the job is under way.
    fn open(&mut self, resolved: &Resolved) -> Result<(), Error> {
        let opened = History::open(&self.state)?;
        if let Some(aside) = &opened.aside {
            self.printer.warn(&aside.problem());
        }
        let history = opened.history;
        // Before its files, which a job that is refused leaves alone.
        claim(&self.job, &history, &self.folder)?;
        if self.job.output.pages != Keep::Never {
            let folder = &self.job.output.pages_dir;
            fs::create_dir_all(folder).map_err(|source| Error::io("make", folder, source))?;
        }
        let export = self.job.output.observations.as_ref();
        self.export = export.map(Export::open).transpose()?;
        let request = &resolved.request;
        let choice = choose(&self.job, &history, request, self.retry_failed, now())?;
        *self.tally() = Tally {
            run: choice.run.clone(),
            due: choice.due.len() as u64,
            fresh: choice.fresh,
            ..Tally::default()
        };
        if let Some(hook) = &self.job.hooks.on_start {
            let event =
                json!({"job": self.job.name, "event": "start", "queries": choice.due.len()});
            deliver::call(hook, &event, &self.printer);
        }
        self.opened = Some((history, choice));
        Ok(())
    }

    fn said(&self) -> Option<String> {
        let (_, choice) = self.opened.as_ref()?;
        let left = choice.due.len() as u64;
        let queries = counted(left, "query is", "queries are");
        (choice.continued && left > 0)
            .then(|| format!("going on with a run that was not ended: {queries} left"))
    }

    fn start(mut self) -> Result<Started<Self::Source>, Error> {
        let (history, choice) = self
            .opened
            .take()
            .ok_or_else(|| Error::Internal("started before it was opened".into()))?;
        let (jobs, source) = mpsc::channel(WINDOW);
        let (rows, answers) = mpsc::channel(WINDOW);
        let thread = thread::Builder::new()
            .name("track".to_owned())
            .spawn(move || self.go(history, choice, jobs, answers))
            .map_err(|error| Error::Internal(format!("cannot start a thread: {error}")))?;
        Ok(Started {
            earlier: Earlier::default(),
            source: StreamSource::of(source),
            rows,
            join: Box::new(move || match thread.join() {
                Ok(ended) => ended,
                Err(panic) => resume_unwind(panic),
            }),
            skipped: None,
            to_come: None,
        })
    }
}

impl Tracking {
    /// Asks and keeps until everything is known or the run ends. What is kept is on the disk before the next answer is looked at.
    fn go(
        mut self,
        mut history: History,
        choice: Choice,
        jobs: mpsc::Sender<Job>,
        mut answers: mpsc::Receiver<Finished>,
    ) -> Result<Written, Error> {
        let Choice { run, due, .. } = choice;
        let mut course = Course::new(&self.job, due);
        let mut jobs = Some(jobs);
        loop {
            if let Some(sender) = &jobs {
                // Never blocks: the channel has a place for each of them. The run may have ended already.
                while course.in_flight() < WINDOW
                    && let Some(job) = course.next_job()
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
            let mut unread = None;
            let done = course.land(&finished, now, |id| {
                history.last(id).unwrap_or_else(|error| {
                    unread = Some(error);
                    None
                })
            });
            if let Some(error) = unread {
                return Err(error);
            }
            let Some(run) = &run else { continue };
            self.keep_page(run, &finished)?;
            if let Some(done) = done {
                history.record(run, done.query, &done.seen, Some(&done.visit))?;
                let mut tally = self.tally();
                tally.done += 1;
                tally.add(&done.visit);
                for (_, seen) in &done.seen {
                    let at = State::ALL.iter().position(|each| *each == seen.state);
                    tally.states[at.unwrap_or_default()] += 1;
                }
            }
        }
        // Before the run is called ended: the next one looks no further back when the file is not there.
        if let (Some(export), Some(run)) = (&mut self.export, &run) {
            export.catch_up(&self.job.name, &history, run)?;
        }
        // A run that was stopped before it had all its answers is left open, for the next to go on with.
        if let Some(run) = &run
            && course.left() == 0
        {
            history.end(run, now())?;
        }
        Ok(Written {
            records: self.tally().done,
            ..Written::default()
        })
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the page down, if the job asks for it: under the run, with the number of the request and the outcome in its name.
    fn keep_page(&self, run: &RunId, finished: &Finished) -> Result<(), Error> {
        let record = &*finished.record;
        let wanted = match self.job.output.pages {
            Keep::Never => false,
            Keep::Blocked => !record.ok,
            Keep::All => true,
        };
        if !wanted || finished.body.is_empty() {
            return Ok(());
        }
        let folder = self.job.output.pages_dir.join(&*run.0);
        let path = folder.join(format!("{}-{}.html", record.id, record.outcome));
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&path, &finished.body))
            .map_err(|source| Error::io("write", &path, source))
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    millis(SystemTime::now())
}
