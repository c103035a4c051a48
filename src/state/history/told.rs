//! Which observations have been told of, so that a killed run neither loses an alert nor sends the next one twice.

use rusqlite::{Result as Sql, Statement, params};

use super::read::{OBSERVATION, observation};
use super::{History, number, series_id};
use crate::error::Error;
use crate::observation::{Observation, SeriesId};

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

    /// Observations of a job up to this one have been told of.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn tell(&self, job: &str, seq: i64) -> Result<(), Error> {
        let sql = "INSERT INTO told (job, seq) VALUES (?1, ?2)
            ON CONFLICT (job) DO UPDATE SET seq = max(seq, excluded.seq)";
        self.connection
            .execute(sql, params![job, seq])
            .map(drop)
            .map_err(self.failed("write"))
    }

    /// Reads what came before an observation, of many series in turn.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn look_back(&self) -> Result<LookBack<'_>, Error> {
        let sql = format!(
            "SELECT {OBSERVATION} FROM observations o WHERE series = ?1
            AND (seq = ?2 OR seq < ?2 AND (state <> 'unknown' OR why = ?3))
            ORDER BY seq DESC LIMIT ?4"
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
    /// The observation with this number, and at most `most - 1` before it that tell something, in the order they were written in. Of those
    /// of which nothing is known only the ones with this `why` are among them.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn until(
        &mut self,
        series: SeriesId,
        seq: i64,
        why: &str,
        most: usize,
    ) -> Result<Vec<Observation>, Error> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = self
            .select
            .query_map(params![number(series), seq, why, most], |row| {
                observation(row, 0)
            });
        let mut seen = rows
            .and_then(Iterator::collect::<Sql<Vec<_>>>)
            .map_err(self.history.failed("read"))?;
        seen.reverse();
        Ok(seen)
    }
}
