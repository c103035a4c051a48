//! The history of tracking jobs: what each run saw of each series, appended and never changed, until it is forgotten.
//!
//! Beside what is known of proxies, in the same file, on a connection of its own. What [`History::record`] has returned is on
//! the disk: no kill of the process takes it back, nor does a loss of power. The order of observations is the order they were
//! written in, because a clock may be set back between two of them.

mod forget;
mod known;
mod owner;
mod read;
#[cfg(test)]
mod tests;
mod told;

pub use told::Letter;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{
    Connection, OptionalExtension as _, Result as Sql, Statement, TransactionBehavior, params,
};
use time::macros::format_description;

pub use known::KnownSeries;
pub use told::LookBack;

use super::open::io_error;
use super::{Aside, State};
use crate::error::Error;
use crate::observation::{Observation, Series, SeriesId, Visit};

/// The history in a state file.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    connection: Connection,
}

/// An open history, and the file that had to go first.
#[derive(Debug)]
pub struct OpenedHistory {
    /// The history.
    pub history: History,
    /// What was there before and could not be used: the history in it is not lost, and not in this one.
    pub aside: Option<Aside>,
}

/// A run of a job: when it began, and six digits by chance, as `20260301T060000Z-3f09c2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub Box<str>);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A run that was begun and neither ended nor given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    /// Which.
    pub id: RunId,
    /// When it began, in milliseconds since 1970.
    pub began: i64,
    /// Series that it has observed, also those of which nothing came to be known.
    pub observed: HashSet<SeriesId>,
}

/// A run of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackRun {
    /// Which.
    pub id: RunId,
    /// When it began, in milliseconds since 1970.
    pub started: i64,
    /// When it ended; none while it runs, when it was killed, and when it was given up.
    pub ended: Option<i64>,
    /// Whether it came to its end; `None` while that is open.
    pub complete: Option<bool>,
}

/// A [`Visit`] as it was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptVisit {
    /// The query, see [`Series::query`].
    pub query: SeriesId,
    /// The run.
    pub run: RunId,
    /// When, in milliseconds since 1970: of the first observation that came with it, else when the run began.
    pub at: i64,
    /// What it took.
    pub visit: Visit,
}

impl History {
    /// Opens the history of a state file, which is made when there is none. A damaged file is set aside, and the
    /// history in it with it: whoever runs a job has to say so ([`Aside::problem`]).
    ///
    /// # Errors
    /// As [`State::open`].
    pub fn open(path: &Path) -> Result<OpenedHistory, Error> {
        let opened = State::open(path)?;
        Ok(OpenedHistory {
            history: History::of(opened.state)?,
            aside: opened.aside,
        })
    }

    /// Opens the history of a file that has to be there, without setting anything aside.
    ///
    /// # Errors
    /// As [`State::open_existing`].
    pub fn open_existing(path: &Path) -> Result<History, Error> {
        History::of(State::open_existing(path)?)
    }

    fn of(state: State) -> Result<History, Error> {
        let State {
            path, connection, ..
        } = state;
        // What is known of proxies may lose its last snapshot with the power; an observation was paid for and is not made again.
        connection
            .pragma_update(None, "synchronous", "full")
            .map_err(|error| io_error("open", &path, error))?;
        Ok(History { path, connection })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a run of a job at `now`, in milliseconds since 1970.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(&self, job: &str, now: i64) -> Result<RunId, Error> {
        let id = run_id(now)?;
        let sql = "INSERT INTO track_runs (id, job, started) VALUES (?1, ?2, ?3)";
        self.connection
            .execute(sql, params![id.0, job, now])
            .map_err(self.failed("write"))?;
        Ok(id)
    }

    /// The last run of a job, when it has neither ended nor been given up.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn unfinished(&self, job: &str) -> Result<Option<OpenRun>, Error> {
        self.find_unfinished(job).map_err(self.failed("read"))
    }

    fn find_unfinished(&self, job: &str) -> Sql<Option<OpenRun>> {
        let sql = "SELECT seq, id, started, complete FROM track_runs WHERE job = ?1
            ORDER BY seq DESC LIMIT 1";
        let last = self
            .connection
            .query_row(sql, [job], |row| {
                let complete: Option<bool> = row.get(3)?;
                Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, complete))
            })
            .optional()?;
        let Some((seq, id, began, None)) = last else {
            return Ok(None);
        };
        let mut select = self
            .connection
            .prepare("SELECT series FROM observations WHERE run = ?1")?;
        let observed = select.query_map([seq], |row| row.get(0).map(series_id))?;
        Ok(Some(OpenRun {
            id: RunId(id),
            began,
            observed: observed.collect::<Sql<_>>()?,
        }))
    }

    /// Keeps what a run saw of one query, all of it or nothing; false when there was nothing new in it. What the run has of a
    /// series already is left as it was, and so is what a query took: nothing is counted twice.
    ///
    /// # Errors
    /// The file cannot be written, or has no such run.
    pub fn record(
        &mut self,
        run: &RunId,
        query: SeriesId,
        seen: &[(Series, Observation)],
        visit: Option<&Visit>,
    ) -> Result<bool, Error> {
        let path = &self.path;
        append(&mut self.connection, run, query, seen, visit)
            .map_err(|error| io_error("write", path, error))
    }

    /// A run came to its end at `now`, in milliseconds since 1970.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end(&self, run: &RunId, now: i64) -> Result<(), Error> {
        let sql = "UPDATE track_runs SET ended = ?2, complete = 1
            WHERE id = ?1 AND complete IS NULL";
        self.connection
            .execute(sql, params![run.0, now])
            .map(drop)
            .map_err(self.failed("write"))
    }

    /// A run is given up: what it saw stays, and it is not gone on with.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn abandon(&self, run: &RunId) -> Result<(), Error> {
        let sql = "UPDATE track_runs SET complete = 0 WHERE id = ?1 AND complete IS NULL";
        self.connection
            .execute(sql, params![run.0])
            .map(drop)
            .map_err(self.failed("write"))
    }

    fn failed(&self, action: &'static str) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = self.path.clone();
        move |error| io_error(action, &path, error)
    }
}

/// Longer values than this, in bytes, are kept once: about what naming them costs.
const LONG: usize = 128;

/// The long values of observations.
struct Texts<'c> {
    find: Statement<'c>,
    add: Statement<'c>,
}

impl<'c> Texts<'c> {
    fn new(connection: &'c Connection) -> Sql<Self> {
        Ok(Texts {
            find: connection.prepare("SELECT id FROM texts WHERE digest = ?1")?,
            add: connection.prepare("INSERT INTO texts (digest, text) VALUES (?1, ?2)")?,
        })
    }

    /// The number of a text.
    fn keep(&mut self, text: &str) -> Sql<i64> {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let digest = digest.as_ref();
        let known = self.find.query_row([digest], |row| row.get(0)).optional()?;
        match known {
            Some(id) => Ok(id),
            None => self.add.insert(params![digest, text]),
        }
    }
}

/// One transaction, which has the file for itself from its beginning: another process may be writing what it learns of proxies.
fn append(
    connection: &mut Connection,
    run: &RunId,
    query: SeriesId,
    seen: &[(Series, Observation)],
    visit: Option<&Visit>,
) -> Sql<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (run, started) = transaction.query_row(
        "SELECT seq, started FROM track_runs WHERE id = ?1",
        [&run.0],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
    )?;
    let mut rows = 0;
    {
        let mut series = transaction.prepare(
            "INSERT OR IGNORE INTO series (id, job, axes, target, query) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let mut observation = transaction.prepare(
            "INSERT INTO observations (series, run, at, state, position, lower_bound, absolute, url, title, value, number,
                results, pages_read, pages_asked, why, text)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
            ON CONFLICT (series, run) DO NOTHING",
        )?;
        let mut texts = Texts::new(&transaction)?;
        for (of, one) in seen {
            let id = of.id();
            let long = one.value.as_deref().filter(|value| value.len() > LONG);
            let text = long.map(|text| texts.keep(text)).transpose()?;
            let value = one.value.as_deref().filter(|_| text.is_none());
            series.execute(params![
                number(id),
                of.job,
                axes(of),
                of.target,
                number(of.query())
            ])?;
            rows += observation.execute(params![
                number(id),
                run,
                one.at,
                one.state.as_str(),
                one.position,
                one.lower_bound,
                one.absolute,
                one.url,
                one.title,
                value,
                one.number,
                one.results,
                one.pages.0,
                one.pages.1,
                one.why,
                text,
            ])?;
        }
    }
    if let Some(visit) = visit {
        let at = seen.first().map_or(started, |(_, one)| one.at);
        rows += transaction.execute(
            "INSERT INTO visits (query, run, at, host, pages, attempts, blocked, bytes, cost, elapsed, country, proxy,
                url, etag, modified)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
            ON CONFLICT (query, run) DO NOTHING",
            params![
                number(query),
                run,
                at,
                visit.host,
                visit.pages,
                visit.attempts,
                visit.blocked,
                whole(visit.bytes),
                whole(visit.cost),
                whole(visit.elapsed),
                visit.country,
                visit.proxy,
                visit.validators.url,
                visit.validators.etag,
                visit.validators.modified,
            ],
        )?;
    }
    transaction.commit()?;
    Ok(rows > 0)
}

/// A new name for a run.
fn run_id(now: i64) -> Result<RunId, Error> {
    let mut chance = [0; 3];
    SystemRandom::new()
        .fill(&mut chance)
        .map_err(|_| Error::Internal("the system has no random numbers".into()))?;
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    let at = time::OffsetDateTime::from_unix_timestamp(now.div_euclid(1000))
        .ok()
        .and_then(|at| at.format(form).ok())
        .unwrap_or_default();
    let [a, b, c] = chance;
    Ok(RunId(format!("{at}-{a:02x}{b:02x}{c:02x}").into()))
}

/// Axes as JSON, in the order of their names.
fn axes(series: &Series) -> String {
    let pairs = series.axes.iter();
    let object: serde_json::Map<_, _> = pairs
        .map(|(axis, value)| (axis.to_string(), serde_json::Value::from(&**value)))
        .collect();
    serde_json::Value::Object(object).to_string()
}

/// SQLite's numbers are signed; the digits are the same.
fn number(id: SeriesId) -> i64 {
    id.0.cast_signed()
}

fn series_id(number: i64) -> SeriesId {
    SeriesId(number.cast_unsigned())
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
