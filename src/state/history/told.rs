//! Which observations have been told of, so that a killed run neither loses an alert nor sends the next one twice.

use rusqlite::params;

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

    /// The observations of a series up to this number, at most the last `most` of them, in the order they were written in.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn until(
        &self,
        series: SeriesId,
        seq: i64,
        most: usize,
    ) -> Result<Vec<Observation>, Error> {
        let sql = format!(
            "SELECT {OBSERVATION} FROM observations o WHERE series = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT ?3"
        );
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut seen = self.all(&sql, params![number(series), seq, most], |row| {
            observation(row, 0)
        })?;
        seen.reverse();
        Ok(seen)
    }
}
