//! Reading it.

use std::collections::BTreeMap;

use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Params, Result as Sql, Row, params};

use super::{History, KeptVisit, RunId, TrackRun, number, series_id};
use crate::error::Error;
use crate::observation::{Observation, Series, SeriesId, State, Validators, Visit};

/// The columns that [`observation`] reads, first to last.
pub(super) const OBSERVATION: &str = "o.at, o.state, o.position, o.lower_bound, o.absolute, o.url, o.title,
    coalesce(o.value, (SELECT t.text FROM texts t WHERE t.id = o.text)), o.number, o.results, o.pages_read, o.pages_asked, o.why";

impl History {
    /// Jobs that have a run, by name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn jobs(&self) -> Result<Vec<Box<str>>, Error> {
        let sql = "SELECT DISTINCT job FROM track_runs ORDER BY job";
        self.all(sql, [], |row| row.get(0))
    }

    /// Every series of a job that was ever observed, in the order they were first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn series(&self, job: &str) -> Result<Vec<Series>, Error> {
        let sql = "SELECT s.job, s.axes, s.target FROM series s WHERE s.job = ?1
            ORDER BY (SELECT min(seq) FROM observations o WHERE o.series = s.id)";
        self.all(sql, [job], |row| {
            let axes: String = row.get(1)?;
            let axes: BTreeMap<Box<str>, Box<str>> =
                serde_json::from_str(&axes).map_err(|why| {
                    rusqlite::Error::FromSqlConversionFailure(1, Type::Text, why.into())
                })?;
            Ok(Series {
                job: row.get(0)?,
                axes,
                target: row.get(2)?,
            })
        })
    }

    /// The last observation of a series, whatever it tells.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn last(&self, series: SeriesId) -> Result<Option<Observation>, Error> {
        self.one("", params![number(series)])
    }

    /// The last good observation of a series ([`State::is_good`]).
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn last_good(&self, series: SeriesId) -> Result<Option<Observation>, Error> {
        self.one(&good(), params![number(series)])
    }

    /// The last good observation of a series whose time is `at` or earlier, in milliseconds since 1970, and whose place is no bound.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn certain_before(&self, series: SeriesId, at: i64) -> Result<Option<Observation>, Error> {
        let and = format!("{} AND lower_bound = 0 AND at <= ?2", good());
        self.one(&and, params![number(series), at])
    }

    /// The last `most` observations of a series, the latest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn recent(&self, series: SeriesId, most: usize) -> Result<Vec<Observation>, Error> {
        let sql = format!(
            "SELECT {OBSERVATION} FROM observations o WHERE series = ?1 ORDER BY seq DESC LIMIT ?2"
        );
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.all(&sql, params![number(series), most], |row| {
            observation(row, 0)
        })
    }

    /// The last `most` good observations of a series whose place is no bound, the latest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn recent_certain(&self, series: SeriesId, most: usize) -> Result<Vec<Observation>, Error> {
        let sql = format!(
            "SELECT {OBSERVATION} FROM observations o WHERE series = ?1 {} AND lower_bound = 0
            ORDER BY seq DESC LIMIT ?2",
            good()
        );
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.all(&sql, params![number(series), most], |row| {
            observation(row, 0)
        })
    }

    /// All observations of a job whose time is `at` or later, in milliseconds since 1970, in the order they were written in.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn since(&self, job: &str, at: i64) -> Result<Vec<(SeriesId, RunId, Observation)>, Error> {
        let sql = format!(
            "SELECT o.series, r.id, {OBSERVATION} FROM observations o JOIN track_runs r ON r.seq = o.run
            WHERE r.job = ?1 AND o.at >= ?2 ORDER BY o.seq"
        );
        self.all(&sql, params![job, at], |row| {
            let series = row.get(0).map(series_id)?;
            Ok((series, RunId(row.get(1)?), observation(row, 2)?))
        })
    }

    /// The number of what a run saw of a series.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn number_of(&self, run: &RunId, series: SeriesId) -> Result<Option<i64>, Error> {
        let sql = "SELECT o.seq FROM observations o JOIN track_runs r ON r.seq = o.run
            WHERE r.id = ?1 AND o.series = ?2";
        self.all(sql, params![run.0, number(series)], |row| row.get(0))
            .map(|found| found.first().copied())
    }

    /// All observations of a job with a greater number, or, without one, those of this run, in the order they were written in.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn after(
        &self,
        job: &str,
        seq: Option<i64>,
        run: &RunId,
    ) -> Result<Vec<(SeriesId, RunId, Observation)>, Error> {
        let sql = format!(
            "SELECT o.series, r.id, {OBSERVATION} FROM observations o JOIN track_runs r ON r.seq = o.run
            WHERE r.job = ?1 AND o.seq > coalesce(?2, 0) AND (?2 IS NOT NULL OR r.id = ?3) ORDER BY o.seq"
        );
        self.all(&sql, params![job, seq, run.0], |row| {
            let series = row.get(0).map(series_id)?;
            Ok((series, RunId(row.get(1)?), observation(row, 2)?))
        })
    }

    /// Runs of a job that began at `since` or later, in milliseconds since 1970, in the order they were begun in.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn runs(&self, job: &str, since: i64) -> Result<Vec<TrackRun>, Error> {
        let sql = "SELECT id, started, ended, complete FROM track_runs
            WHERE job = ?1 AND started >= ?2 ORDER BY seq";
        self.all(sql, params![job, since], |row| {
            Ok(TrackRun {
                id: RunId(row.get(0)?),
                started: row.get(1)?,
                ended: row.get(2)?,
                complete: row.get(3)?,
            })
        })
    }

    /// What the queries of a job took at `since` or later, in milliseconds since 1970, in the order it was written in.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn visits(&self, job: &str, since: i64) -> Result<Vec<KeptVisit>, Error> {
        let sql = "SELECT v.query, r.id, v.at, v.host, v.pages, v.attempts, v.blocked, v.bytes, v.cost, v.elapsed, v.country,
                v.proxy, v.url, v.etag, v.modified
            FROM visits v JOIN track_runs r ON r.seq = v.run
            WHERE r.job = ?1 AND v.at >= ?2 ORDER BY v.seq";
        self.all(sql, params![job, since], |row| {
            let count = |column| row.get::<_, i64>(column).map(|n| n.try_into().unwrap_or(0));
            Ok(KeptVisit {
                query: row.get(0).map(series_id)?,
                run: RunId(row.get(1)?),
                at: row.get(2)?,
                visit: Visit {
                    host: row.get(3)?,
                    pages: row.get(4)?,
                    attempts: row.get(5)?,
                    blocked: row.get(6)?,
                    bytes: count(7)?,
                    cost: count(8)?,
                    elapsed: count(9)?,
                    country: row.get(10)?,
                    proxy: row.get(11)?,
                    validators: Validators {
                        url: row.get(12)?,
                        etag: row.get(13)?,
                        modified: row.get(14)?,
                    },
                },
            })
        })
    }

    /// The last observation of series `?1` of which `and` is true as well.
    fn one(&self, and: &str, values: impl Params) -> Result<Option<Observation>, Error> {
        let sql = format!(
            "SELECT {OBSERVATION} FROM observations o WHERE series = ?1 {and} ORDER BY seq DESC LIMIT 1"
        );
        self.connection
            .prepare(&sql)
            .and_then(|mut select| {
                select
                    .query_row(values, |row| observation(row, 0))
                    .optional()
            })
            .map_err(self.failed("read"))
    }

    pub(super) fn all<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> Sql<T>,
    ) -> Result<Vec<T>, Error> {
        let rows = || -> Sql<Vec<T>> {
            let mut select = self.connection.prepare(sql)?;
            let rows = select.query_map(values, read)?;
            rows.collect()
        };
        rows().map_err(self.failed("read"))
    }
}

/// The condition of [`State::is_good`].
pub(super) fn good() -> String {
    let words: Vec<String> = State::ALL
        .iter()
        .filter(|state| state.is_good())
        .map(|state| format!("'{state}'"))
        .collect();
    format!("AND state IN ({})", words.join(", "))
}

/// The state in a column.
pub(super) fn state(row: &Row<'_>, column: usize) -> Sql<State> {
    let word: String = row.get(column)?;
    State::parse(&word).ok_or_else(|| {
        let why = format!("no state of an observation: {word:?}");
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
    })
}

/// The columns of [`OBSERVATION`], from `first` on.
pub(super) fn observation(row: &Row<'_>, first: usize) -> Sql<Observation> {
    Ok(Observation {
        at: row.get(first)?,
        state: state(row, first + 1)?,
        position: row.get(first + 2)?,
        lower_bound: row.get(first + 3)?,
        absolute: row.get(first + 4)?,
        url: row.get(first + 5)?,
        title: row.get(first + 6)?,
        value: row.get(first + 7)?,
        number: row.get(first + 8)?,
        results: row.get(first + 9)?,
        pages: (row.get(first + 10)?, row.get(first + 11)?),
        why: row.get(first + 12)?,
    })
}
