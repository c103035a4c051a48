//! Which observations have been judged, and the alerts that are due and have not arrived, so that a killed run loses none of them.
//!
//! An alert is written down in the transaction that calls its observation judged, and taken out when it has arrived: it is judged
//! once, and told at least once.

use rusqlite::{Result as Sql, Statement, TransactionBehavior, params};

use super::super::open::io_error;
use super::read::{OBSERVATION, observation};
use super::{History, number, series_id};
use crate::error::Error;
use crate::observation::{Observation, SeriesId};

/// An alert on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its number.
    pub seq: i64,
    /// Where it goes.
    pub channel: Box<str>,
    /// The event, as JSON.
    pub event: Box<str>,
}

impl History {
    /// Observations of a job that nobody has been told of, in the order they were written in: their number and their series.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn untold(&self, job: &str) -> Result<Vec<(i64, SeriesId)>, Error> {
        let sql = "SELECT o.seq, o.series FROM observations o JOIN series s ON s.id = o.series
            WHERE s.job = ?1 AND o.seq > coalesce((SELECT seq FROM told WHERE job = ?1), 0)
            ORDER BY o.seq";
        self.all(sql, [job], |row| {
            Ok((row.get(0)?, row.get(1).map(series_id)?))
        })
    }

    /// Observations of a job up to `seq` have been judged, and these alerts are due: where each goes, and the event as JSON. All of
    /// it is written, or nothing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn judged<'e>(
        &mut self,
        job: &str,
        seq: Option<i64>,
        due: impl IntoIterator<Item = (&'e str, String)>,
    ) -> Result<(), Error> {
        let path = &self.path;
        let connection = &mut self.connection;
        let write = || -> Sql<()> {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if let Some(seq) = seq {
                let sql = "INSERT INTO told (job, seq) VALUES (?1, ?2)
                    ON CONFLICT (job) DO UPDATE SET seq = max(seq, excluded.seq)";
                transaction.execute(sql, params![job, seq])?;
            }
            let sql = "INSERT INTO outbox (job, channel, event) VALUES (?1, ?2, ?3)";
            for (channel, event) in due {
                transaction.execute(sql, params![job, channel, event])?;
            }
            transaction.commit()
        };
        write().map_err(|error| io_error("write", path, error))
    }

    /// Alerts of a job that have not arrived, in the order they were due.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn outbox(&self, job: &str) -> Result<Vec<Letter>, Error> {
        let sql = "SELECT seq, channel, event FROM outbox WHERE job = ?1 ORDER BY seq";
        self.all(sql, [job], |row| {
            Ok(Letter {
                seq: row.get(0)?,
                channel: row.get(1)?,
                event: row.get(2)?,
            })
        })
    }

    /// These alerts have arrived, or there is nobody left to tell.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn arrived(&mut self, letters: impl IntoIterator<Item = i64>) -> Result<(), Error> {
        let path = &self.path;
        let connection = &mut self.connection;
        let write = || -> Sql<()> {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for seq in letters {
                transaction.execute("DELETE FROM outbox WHERE seq = ?1", [seq])?;
            }
            transaction.commit()
        };
        write().map_err(|error| io_error("write", path, error))
    }

    /// Reads what came before an observation, of many series in turn.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn look_back(&self) -> Result<LookBack<'_>, Error> {
        let sql = format!(
            "WITH known AS (SELECT seq FROM observations WHERE series = ?1 AND seq < ?2 AND state <> 'unknown'
                ORDER BY seq DESC LIMIT ?3),
            unknown AS (SELECT seq FROM observations WHERE series = ?1 AND seq < ?2
                AND seq > coalesce((SELECT max(seq) FROM known), 0) AND why IN (SELECT value FROM json_each(?5))
                ORDER BY seq DESC LIMIT ?4)
            SELECT {OBSERVATION} FROM observations o
            WHERE seq IN (SELECT ?2 UNION ALL SELECT seq FROM known UNION ALL SELECT seq FROM unknown) ORDER BY seq"
        );
        let select = self.connection.prepare(&sql).map_err(self.failed("read"))?;
        Ok(LookBack {
            history: self,
            select,
        })
    }
}

/// See [`History::look_back`].
#[derive(Debug)]
pub struct LookBack<'h> {
    history: &'h History,
    select: Statement<'h>,
}

impl LookBack<'_> {
    /// The observation with this number and those before it that tell something, in the order they were written in: at most so many of
    /// which something is known, and, of those since the last of these, so many of which nothing is known and that say one of `whys`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn until(
        &mut self,
        series: SeriesId,
        seq: i64,
        (known, unknown): (usize, usize),
        whys: &[&str],
    ) -> Result<Vec<Observation>, Error> {
        let most = |most: usize| i64::try_from(most).unwrap_or(i64::MAX);
        let whys = serde_json::Value::from(whys).to_string();
        let rows = self.select.query_map(
            params![number(series), seq, most(known), most(unknown), whys],
            |row| observation(row, 0),
        );
        rows.and_then(Iterator::collect::<Sql<Vec<_>>>)
            .map_err(self.history.failed("read"))
    }
}
