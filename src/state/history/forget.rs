//! Forgetting it.

use rusqlite::{Result as Sql, Transaction, TransactionBehavior, params};

use super::super::open::io_error;
use super::History;
use super::read::good;
use crate::error::Error;

impl History {
    /// Forgets a job, or what it saw before `until`, in milliseconds since 1970; the number of observations. With `until` the last
    /// observation of each series stays, and the last good one, which later ones are compared with.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn forget(&mut self, job: &str, until: Option<i64>) -> Result<u64, Error> {
        let path = &self.path;
        let connection = &mut self.connection;
        let mut forget = || -> Sql<usize> {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let forgotten = match until {
                Some(until) => old(&transaction, job, until)?,
                None => all(&transaction, job)?,
            };
            let unused = "DELETE FROM texts WHERE id NOT IN
                (SELECT text FROM observations WHERE text IS NOT NULL)";
            transaction.execute(unused, [])?;
            transaction.commit()?;
            Ok(forgotten)
        };
        let forgotten = forget().map_err(|error| io_error("write", path, error))?;
        Ok(forgotten as u64)
    }
}

fn all(transaction: &Transaction<'_>, job: &str) -> Sql<usize> {
    let of_job = "run IN (SELECT seq FROM track_runs WHERE job = ?1)";
    let sql = format!("DELETE FROM observations WHERE {of_job}");
    let forgotten = transaction.execute(&sql, [job])?;
    transaction.execute(&format!("DELETE FROM visits WHERE {of_job}"), [job])?;
    for table in ["series", "track_runs", "told", "outbox", "track_jobs"] {
        transaction.execute(&format!("DELETE FROM {table} WHERE job = ?1"), [job])?;
    }
    Ok(forgotten)
}

/// The last of everything stays. So no number of an observation is given a second time, by which it is known who was told.
fn old(transaction: &Transaction<'_>, job: &str, until: i64) -> Sql<usize> {
    let of_job = "IN (SELECT id FROM series WHERE job = ?1)";
    let sql = format!(
        "DELETE FROM observations WHERE series {of_job} AND at < ?2
        AND seq NOT IN (SELECT max(seq) FROM observations WHERE series {of_job} GROUP BY series)
        AND seq NOT IN (SELECT max(seq) FROM observations WHERE series {of_job} {} GROUP BY series)",
        good()
    );
    let forgotten = transaction.execute(&sql, params![job, until])?;
    let of_job = "IN (SELECT query FROM series WHERE job = ?1)";
    let sql = format!(
        "DELETE FROM visits WHERE query {of_job} AND at < ?2
        AND seq NOT IN (SELECT max(seq) FROM visits WHERE query {of_job} GROUP BY query)"
    );
    transaction.execute(&sql, params![job, until])?;
    let sql = "DELETE FROM track_runs WHERE job = ?1 AND started < ?2
        AND seq <> (SELECT max(seq) FROM track_runs WHERE job = ?1)
        AND seq NOT IN (SELECT run FROM observations) AND seq NOT IN (SELECT run FROM visits)";
    transaction.execute(sql, params![job, until])?;
    Ok(forgotten)
}
