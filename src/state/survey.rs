//! What people ask of the file: how much is in it, who is best, forget this.

use std::fs;
use std::time::{Duration, SystemTime};

use rusqlite::{Result, Row, params};

use super::aside::with_suffix;
use super::lookup::{IS_HOST, means};
use super::rows::{Id, ProxyRow, RunRow};
use super::{State, after, millis};
use crate::error::Error;

/// Counts and ages. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Survey {
    /// Bytes on disk, with what is not yet merged into the file.
    pub bytes: u64,
    /// Proxies known.
    pub proxies: u64,
    /// Of those, that have served.
    pub proven: u64,
    /// Never or no longer reached.
    pub unreached: u64,
    /// Set aside for altering answers.
    pub condemned: u64,
    /// Pairs that rest.
    pub pairs: u64,
    /// Hosts that asked to wait and are waited for.
    pub hosts: u64,
    /// Runs noted.
    pub runs: u64,
    /// Oldest and newest observation of a proxy.
    pub observed: Option<(i64, i64)>,
    /// The last runs, newest first.
    pub last: Vec<RunRow>,
}

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// Proxies.
    pub proxies: u64,
    /// Pairs.
    pub pairs: u64,
    /// Hosts.
    pub hosts: u64,
    /// Runs.
    pub runs: u64,
}

impl State {
    /// Counts everything and tells of the last `runs` runs.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn survey(&self, runs: usize, now: SystemTime) -> Result<Survey, Error> {
        let now = millis(now);
        self.count(runs, now).map_err(self.failed("read"))
    }

    fn count(&self, runs: usize, now: i64) -> Result<Survey> {
        let one = |sql: &str| -> Result<u64> {
            let count: i64 = self.connection.query_row(sql, [], |row| row.get(0))?;
            Ok(u64::try_from(count).unwrap_or(0))
        };
        let live = |sql: &str| -> Result<u64> {
            let count: i64 = self.connection.query_row(sql, [now], |row| row.get(0))?;
            Ok(u64::try_from(count).unwrap_or(0))
        };
        let sql = "SELECT min(observed), max(observed) FROM proxies";
        let observed: (Option<i64>, Option<i64>) = self
            .connection
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Survey {
            bytes: self.bytes(),
            proxies: one("SELECT count(*) FROM proxies")?,
            proven: one("SELECT count(*) FROM proxies WHERE ok > 0")?,
            unreached: one("SELECT count(*) FROM proxies WHERE unreached > 0")?,
            condemned: one("SELECT count(*) FROM proxies WHERE condemned")?,
            pairs: live("SELECT count(*) FROM pairs WHERE until > ?1")?,
            hosts: live("SELECT count(*) FROM hosts WHERE until > ?1")?,
            runs: one("SELECT count(*) FROM runs")?,
            observed: observed.0.zip(observed.1),
            last: self.runs(Some(runs))?,
        })
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        ["", "-wal"]
            .map(|suffix| fs::metadata(with_suffix(&self.path, suffix)))
            .into_iter()
            .flatten()
            .map(|found| found.len())
            .sum()
    }

    /// Runs, newest first.
    pub(super) fn runs(&self, most: Option<usize>) -> Result<Vec<RunRow>> {
        let sql = "SELECT started, ended, urls, ok, failed, attempts, probes, proxies, worked, reason, exit
            FROM runs ORDER BY id DESC LIMIT ?1";
        let most = most.map_or(-1, |most| i64::try_from(most).unwrap_or(-1));
        let mut select = self.connection.prepare(sql)?;
        let rows = select.query_map([most], run)?;
        rows.collect()
    }

    /// The `most` best proxies with their scores, best first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn top(&self, most: usize, now: SystemTime) -> Result<Vec<(u8, ProxyRow)>, Error> {
        let now = millis(now);
        let mut scored = Vec::new();
        self.each_proxy(|row| {
            scored.push((row.score(now), row));
            Ok(())
        })
        .map_err(self.failed("read"))?;
        scored.sort_by(|(a, one), (b, other)| b.cmp(a).then(other.ok.cmp(&one.ok)));
        scored.truncate(most);
        Ok(scored)
    }

    /// Goes through all proxies.
    pub(super) fn each_proxy(&self, mut with: impl FnMut(ProxyRow) -> Result<()>) -> Result<()> {
        let sql = format!("SELECT {} FROM proxies", ProxyRow::COLUMNS);
        let mut select = self.connection.prepare(&sql)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            with(ProxyRow::read(row)?)?;
        }
        Ok(())
    }

    /// Forgets a host (`https://shop.test`, or its name alone), or a proxy (its label with or without what follows `#`, its
    /// `host:port`, its id). Pairs go with either.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn forget(&mut self, what: &str) -> Result<Forgotten, Error> {
        let failed = self.failed("write");
        self.forget_named(what).map_err(failed)
    }

    fn forget_named(&mut self, what: &str) -> Result<Forgotten> {
        let mut ids: Vec<Id> = Vec::new();
        self.each_proxy(|row| {
            if means(what, &row) {
                ids.push(row.id);
            }
            Ok(())
        })?;
        let transaction = self.connection.transaction()?;
        let mut forgotten = Forgotten::default();
        for id in ids {
            forgotten.proxies +=
                count(transaction.execute("DELETE FROM proxies WHERE id = ?1", [id.0])?);
            forgotten.pairs +=
                count(transaction.execute("DELETE FROM pairs WHERE proxy = ?1", [id.0])?);
        }
        // A name means the host whatever its scheme and port.
        let name = what.trim_end_matches('/');
        let plain = !name.contains(['*', '?', '[']);
        if plain {
            let delete = |table: &str| {
                let sql = format!("DELETE FROM {table} WHERE {IS_HOST}");
                transaction.execute(&sql, [name]).map(count)
            };
            forgotten.pairs += delete("pairs")?;
            forgotten.hosts += delete("hosts")? + delete("limits")? + delete("tiers")?;
        }
        transaction.commit()?;
        Ok(forgotten)
    }

    /// Forgets everything that was observed longer ago than `age`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn forget_older(&mut self, age: Duration, now: SystemTime) -> Result<Forgotten, Error> {
        let before = millis(now).saturating_sub(after(0, age));
        let failed = self.failed("write");
        let mut old = || -> Result<Forgotten> {
            let transaction = self.connection.transaction()?;
            let delete = |sql: &str| transaction.execute(sql, params![before]).map(count);
            let forgotten = Forgotten {
                proxies: delete("DELETE FROM proxies WHERE observed < ?1")?,
                pairs: delete("DELETE FROM pairs WHERE observed < ?1")?,
                hosts: delete("DELETE FROM hosts WHERE observed < ?1")?
                    + delete("DELETE FROM limits WHERE observed < ?1")?
                    + delete("DELETE FROM tiers WHERE observed < ?1")?,
                runs: delete("DELETE FROM runs WHERE started < ?1")?,
            };
            transaction.commit()?;
            Ok(forgotten)
        };
        old().map_err(failed)
    }

    /// Gives back the room of what was forgotten; bytes before and after.
    ///
    /// # Errors
    /// The file cannot be written, or another process is using it.
    pub fn vacuum(&self) -> Result<(u64, u64), Error> {
        let before = self.bytes();
        self.connection
            .execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")
            .map_err(self.failed("write"))?;
        Ok((before, self.bytes()))
    }
}

fn run(row: &Row<'_>) -> Result<RunRow> {
    Ok(RunRow {
        started: row.get(0)?,
        ended: row.get(1)?,
        urls: row.get(2)?,
        ok: row.get(3)?,
        failed: row.get(4)?,
        attempts: row.get(5)?,
        probes: row.get(6)?,
        proxies: row.get(7)?,
        worked: row.get(8)?,
        reason: row.get(9)?,
        exit: row.get(10)?,
    })
}

fn count(rows: usize) -> u64 {
    rows as u64
}
