//! Which file a job is read from: two files may give their jobs one name, and each would be compared with what the other saw.

use std::path::{Path, PathBuf};

use rusqlite::params;

use super::History;
use crate::error::Error;

impl History {
    /// The file that the history of a job belongs to; `None` before its first run.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn owner(&self, job: &str) -> Result<Option<PathBuf>, Error> {
        let sql = "SELECT path FROM track_jobs WHERE job = ?1";
        let found = self.all(sql, [job], |row| row.get::<_, String>(0))?;
        Ok(found.into_iter().next().map(PathBuf::from))
    }

    /// From now on the history of a job belongs to this file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn give_to(&self, job: &str, path: &Path) -> Result<(), Error> {
        let sql = "INSERT OR REPLACE INTO track_jobs (job, path) VALUES (?1, ?2)";
        self.connection
            .execute(sql, params![job, path.to_string_lossy()])
            .map(drop)
            .map_err(self.failed("write"))
    }
}
