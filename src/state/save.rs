//! Writing rows: the later observation wins, whichever process makes it and whenever it is written.

use rusqlite::{Connection, Result, Statement, params};

use super::identity::Salt;
use super::rows::{HostRow, Id, LimitRow, PairRow, ProxyRow, RunRow, TierRow};
use super::{KEPT, SKEW, after, before};
use crate::pool::Memory;

/// Runs of which the row is kept.
const RUNS_KEPT: i64 = 1000;

const PROXY: &str = "INSERT INTO proxies
    (id, label, open, successes, failures, latency, base, capacity, ok, tampered, level, unreached, condemned, no_tunnel,
     no_forward, served, rests, observed, seen)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)
    ON CONFLICT (id) DO UPDATE SET
    successes = excluded.successes, failures = excluded.failures, latency = excluded.latency, base = excluded.base,
    capacity = excluded.capacity, ok = max(ok, excluded.ok), tampered = excluded.tampered, level = excluded.level,
    unreached = excluded.unreached, condemned = excluded.condemned, no_tunnel = excluded.no_tunnel,
    no_forward = excluded.no_forward, served = nullif(max(ifnull(served, 0), ifnull(excluded.served, 0)), 0),
    rests = excluded.rests, observed = excluded.observed, seen = max(seen, excluded.seen)
    WHERE excluded.observed >= observed";
const PAIR: &str = "INSERT INTO pairs (proxy, host, level, until, expires, observed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (proxy, host) DO UPDATE SET
    level = excluded.level, until = excluded.until, expires = excluded.expires, observed = excluded.observed
    WHERE excluded.observed >= observed";
const LIFTED: &str = "DELETE FROM pairs WHERE proxy = ?1 AND host = ?2 AND observed <= ?3";
const HOST: &str = "INSERT INTO hosts (host, level, until, observed) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (host) DO UPDATE SET level = excluded.level, until = excluded.until, observed = excluded.observed
    WHERE excluded.observed >= observed";

const LIMIT: &str = "INSERT INTO limits (host, window, uses, rate, observed) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (host) DO UPDATE SET
    window = excluded.window, uses = excluded.uses, rate = excluded.rate, observed = excluded.observed
    WHERE excluded.observed >= observed";

const REFUTED: &str = "DELETE FROM limits WHERE host = ?1 AND observed <= ?2";

const TIER: &str = "INSERT INTO tiers (host, tier, exits, observed) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (host) DO UPDATE SET tier = excluded.tier, exits = excluded.exits, observed = excluded.observed
    WHERE excluded.observed >= observed";

/// Statements that write rows, for one transaction.
pub(super) struct Rows<'a> {
    proxy: Statement<'a>,
    pair: Statement<'a>,
    host: Statement<'a>,
    limit: Statement<'a>,
    tier: Statement<'a>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(connection: &'a Connection) -> Result<Self> {
        Ok(Rows {
            proxy: connection.prepare(PROXY)?,
            pair: connection.prepare(PAIR)?,
            host: connection.prepare(HOST)?,
            limit: connection.prepare(LIMIT)?,
            tier: connection.prepare(TIER)?,
        })
    }

    /// True when the row was new or later than the one that was there.
    pub(super) fn proxy(&mut self, row: &ProxyRow) -> Result<bool> {
        let written = self.proxy.execute(params![
            row.id.0,
            row.label,
            row.open,
            row.successes,
            row.failures,
            row.latency,
            row.base,
            row.capacity,
            row.ok,
            row.tampered,
            row.level,
            row.unreached,
            row.condemned,
            row.no_tunnel,
            row.no_forward,
            row.served,
            row.rests,
            row.observed,
            row.seen,
        ])?;
        Ok(written > 0)
    }

    /// As [`Rows::proxy`].
    pub(super) fn pair(&mut self, row: &PairRow) -> Result<bool> {
        let PairRow {
            proxy,
            host,
            level,
            until,
            expires,
            observed,
        } = row;
        let values = params![proxy.0, host, level, until, expires, observed];
        Ok(self.pair.execute(values)? > 0)
    }

    /// As [`Rows::proxy`].
    pub(super) fn host(&mut self, row: &HostRow) -> Result<bool> {
        let HostRow {
            host,
            level,
            until,
            observed,
        } = row;
        Ok(self.host.execute(params![host, level, until, observed])? > 0)
    }

    /// As [`Rows::proxy`].
    pub(super) fn limit(&mut self, row: &LimitRow) -> Result<bool> {
        let LimitRow {
            host,
            window,
            uses,
            rate,
            observed,
        } = row;
        let values = params![host, window, uses, rate, observed];
        Ok(self.limit.execute(values)? > 0)
    }

    /// As [`Rows::proxy`].
    pub(super) fn tier(&mut self, row: &TierRow) -> Result<bool> {
        let TierRow {
            host,
            tier,
            exits,
            observed,
        } = row;
        Ok(self.tier.execute(params![host, tier, exits, observed])? > 0)
    }
}

/// Writes a snapshot that was taken at `now`.
pub(super) fn memory(
    connection: &Connection,
    salt: &Salt,
    memory: &Memory,
    now: i64,
) -> Result<()> {
    let mut rows = Rows::new(connection)?;
    let mut proxies: Vec<ProxyRow> = memory
        .proxies
        .iter()
        .map(|one| ProxyRow::of(one, salt.id(one.proxy.id()), now))
        .collect();
    // In the order of the table a page is written once.
    proxies.sort_unstable_by_key(|row| row.id);
    for row in &proxies {
        rows.proxy(row)?;
    }
    let mut lifted = connection.prepare(LIFTED)?;
    for pair in &memory.pairs {
        let (proxy, host) = (salt.id(pair.proxy.id()), pair.host.to_string());
        let Some(rest) = pair.rest else {
            lifted.execute(params![proxy.0, host, now])?;
            continue;
        };
        rows.pair(&PairRow {
            proxy,
            host,
            level: rest.level,
            until: after(now, rest.ends_in),
            expires: after(now, rest.forgotten_in),
            observed: now,
        })?;
    }
    for host in &memory.hosts {
        rows.host(&HostRow {
            host: host.host.to_string(),
            level: host.level,
            until: after(now, host.wait),
            observed: now,
        })?;
    }
    let mut refuted = connection.prepare(REFUTED)?;
    for limit in &memory.limits {
        let host = limit.host.to_string();
        if limit.quota.is_none() && limit.rate.is_none() {
            refuted.execute(params![host, before(now, limit.age)])?;
            continue;
        }
        rows.limit(&LimitRow {
            host,
            window: limit.quota.map(|quota| quota.window.as_secs_f64()),
            uses: limit.quota.map(|quota| quota.uses),
            rate: limit.rate.map(f64::from),
            observed: before(now, limit.age),
        })?;
    }
    for tier in &memory.tiers {
        rows.tier(&TierRow {
            host: tier.host.to_string(),
            tier: tier.tier,
            exits: tier.exits,
            observed: before(now, tier.age),
        })?;
    }
    Ok(())
}

/// Notes that these proxies are in a list now.
pub(super) fn seen(connection: &Connection, ids: &[Id], now: i64) -> Result<()> {
    let mut update = connection.prepare("UPDATE proxies SET seen = max(seen, ?2) WHERE id = ?1")?;
    for id in ids {
        update.execute(params![id.0, now])?;
    }
    Ok(())
}

/// Writes a run; the number of its row.
pub(super) fn run(connection: &Connection, row: &RunRow) -> Result<i64> {
    connection.execute(
        "INSERT INTO runs (started, ended, urls, ok, failed, attempts, probes, proxies, worked, reason, exit)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            row.started,
            row.ended,
            row.urls,
            row.ok,
            row.failed,
            row.attempts,
            row.probes,
            row.proxies,
            row.worked,
            row.reason,
            row.exit
        ],
    )?;
    Ok(connection.last_insert_rowid())
}

/// Forgets what has expired or was noted by a clock that has been set back, identities that no list has named for [`KEPT`], and runs of long ago.
pub(super) fn prune(connection: &Connection, now: i64) -> Result<()> {
    let forgotten = now.saturating_sub(after(0, KEPT));
    connection.execute("DELETE FROM proxies WHERE seen < ?1", params![forgotten])?;
    // A row from the future would also keep what is observed now from being written.
    let future = after(now, SKEW);
    let sql = "DELETE FROM pairs WHERE expires <= ?1 OR observed > ?2";
    connection.execute(sql, params![now, future])?;
    let sql = "DELETE FROM hosts WHERE until <= ?1 OR observed > ?2";
    connection.execute(sql, params![now, future])?;
    connection.execute("DELETE FROM limits WHERE observed < ?1", params![forgotten])?;
    connection.execute("DELETE FROM tiers WHERE observed < ?1", params![forgotten])?;
    let sql = "DELETE FROM runs WHERE id <= (SELECT max(id) FROM runs) - ?1";
    connection.execute(sql, params![RUNS_KEPT]).map(drop)
}
