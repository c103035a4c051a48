//! What a run has to know of all series of a job before it begins, in one pass: there may be a hundred thousand.

use std::collections::HashMap;

use super::read::{good, state};
use super::{History, series_id};
use crate::error::Error;
use crate::observation::{SeriesId, State, Validators};

/// What is known of a series, without its texts.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownSeries {
    /// What the last observation amounts to.
    pub last: State,
    /// The last good one ([`State::is_good`]): when, in milliseconds since 1970, and the place.
    pub good: Option<(i64, Option<u32>)>,
    /// Of the page that was last read, where a value of a page is watched.
    pub validators: Validators,
}

impl History {
    /// What is known of each series of a job that was ever observed.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn known(&self, job: &str) -> Result<HashMap<SeriesId, KnownSeries>, Error> {
        let sql = format!(
            "SELECT s.id, l.state, g.at, g.position, v.url, v.etag, v.modified FROM series s
            JOIN observations l ON l.seq = (SELECT max(seq) FROM observations WHERE series = s.id)
            LEFT JOIN observations g ON g.seq =
                (SELECT seq FROM observations WHERE series = s.id {} ORDER BY seq DESC LIMIT 1)
            LEFT JOIN visits v ON s.target IS NULL AND v.seq = (SELECT max(seq) FROM visits WHERE query = s.id)
            WHERE s.job = ?1",
            good()
        );
        let rows = self.all(&sql, [job], |row| {
            let at: Option<i64> = row.get(2)?;
            let position = row.get(3)?;
            let known = KnownSeries {
                last: state(row, 1)?,
                good: at.map(|at| (at, position)),
                validators: Validators {
                    url: row.get(4)?,
                    etag: row.get(5)?,
                    modified: row.get(6)?,
                },
            };
            Ok((row.get(0).map(series_id)?, known))
        })?;
        Ok(rows.into_iter().collect())
    }
}
