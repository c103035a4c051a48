//! The rows of the file, as the program and `export` see them.

use rusqlite::{Result, Row};
use serde::{Deserialize, Serialize};

pub use super::identity::Id;
use super::{after, before, gap};
use crate::pool::{Health, Remembered};

/// What is known of one proxy. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProxyRow {
    /// Its name in this file.
    pub id: Id,
    /// `scheme://host:port#k`.
    pub label: String,
    /// It has no credentials, so that the label tells all of it.
    pub open: bool,
    /// Successes, in requests, as they weighed at `observed`.
    pub successes: f64,
    /// Failures, likewise.
    pub failures: f64,
    /// Seconds of a success; 0 before the first.
    pub latency: f64,
    /// Seconds of a success without company; 0 before the first.
    pub base: f64,
    /// Requests at once it was seen to bear; 0 when that was never tried.
    pub capacity: f64,
    /// Valid answers in all runs.
    pub ok: u32,
    /// Altered answers.
    pub tampered: u16,
    /// Quarantines in a row.
    pub level: u8,
    /// Runs in a row that did not reach it.
    pub unreached: u8,
    /// Altered too many answers to be used.
    pub condemned: bool,
    /// Cannot tunnel.
    pub no_tunnel: bool,
    /// Cannot carry plain `http://`.
    pub no_forward: bool,
    /// Last valid answer, where known.
    pub served: Option<i64>,
    /// End of the quarantine it was in then.
    pub rests: Option<i64>,
    /// When all this was so.
    pub observed: i64,
    /// Last time in a list, to a day.
    pub seen: i64,
}

/// What a host thinks of one proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairRow {
    /// The proxy.
    pub proxy: Id,
    /// The host: scheme, name, port unless it is the usual one.
    pub host: String,
    /// Refusals in a row, less one.
    pub level: u8,
    /// End of the cooldown.
    pub until: i64,
    /// When the pair is in good standing again without a word.
    pub expires: i64,
    /// When that was said.
    pub observed: i64,
}

/// A host that asked everybody to wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostRow {
    /// The host.
    pub host: String,
    /// Times it asked in a row.
    pub level: u32,
    /// End of the wait.
    pub until: i64,
    /// When that was said.
    pub observed: i64,
}

/// What a host was found to bear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LimitRow {
    /// The host.
    pub host: String,
    /// Seconds of the window of one exit, and the requests in it that are served.
    pub window: Option<f64>,
    /// See there.
    pub uses: Option<u16>,
    /// Requests a second of everybody together.
    pub rate: Option<f64>,
    /// When that was found out.
    pub observed: i64,
}

/// The tier that serves a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TierRow {
    /// The host.
    pub host: String,
    /// 0 for one that has come back to where hosts begin.
    pub tier: u8,
    /// Exits of the tier below that were banned in a row before.
    pub exits: u8,
    /// When it rose or came back.
    pub observed: i64,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// When it began.
    pub started: i64,
    /// When it ended; `None` while it runs, and for one that was killed.
    pub ended: Option<i64>,
    /// URLs with a record.
    pub urls: Option<i64>,
    /// Of those, ok.
    pub ok: Option<i64>,
    /// Of those, not.
    pub failed: Option<i64>,
    /// Requests sent.
    pub attempts: Option<i64>,
    /// Probes.
    pub probes: Option<i64>,
    /// Proxies in the list.
    pub proxies: Option<i64>,
    /// Of those, that brought a valid answer.
    pub worked: Option<i64>,
    /// Why it ended, in a word.
    pub reason: Option<String>,
    /// What the process returned.
    pub exit: Option<u8>,
}

impl ProxyRow {
    /// The columns, in the order [`ProxyRow::read`] takes them.
    pub(super) const COLUMNS: &str = "id, label, open, successes, failures, latency, base, capacity, \
        ok, tampered, level, unreached, condemned, no_tunnel, no_forward, served, rests, observed, seen";

    /// What a run has learned by `now`.
    pub(super) fn of(one: &Remembered, id: Id, now: i64) -> Self {
        let Health {
            successes,
            failures,
            latency,
            base,
            capacity,
            ok,
            tampered,
            level,
            unreached,
            condemned,
            no_tunnel,
            no_forward,
            served_ago,
            rests,
        } = one.health;
        let observed = before(now, one.age);
        ProxyRow {
            id,
            label: one.proxy.label().to_string(),
            open: one.proxy.credentials().is_none(),
            successes: successes.into(),
            failures: failures.into(),
            latency: latency.into(),
            base: base.into(),
            capacity: capacity.into(),
            ok,
            tampered,
            level,
            unreached,
            condemned,
            no_tunnel,
            no_forward,
            served: served_ago.map(|ago| before(observed, ago)),
            rests: rests.map(|left| after(observed, left)),
            observed,
            seen: now,
        }
    }

    pub(super) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(ProxyRow {
            id: Id(row.get(0)?),
            label: row.get(1)?,
            open: row.get(2)?,
            successes: row.get(3)?,
            failures: row.get(4)?,
            latency: row.get(5)?,
            base: row.get(6)?,
            capacity: row.get(7)?,
            ok: row.get(8)?,
            tampered: row.get(9)?,
            level: row.get(10)?,
            unreached: row.get(11)?,
            condemned: row.get(12)?,
            no_tunnel: row.get(13)?,
            no_forward: row.get(14)?,
            served: row.get(15)?,
            rests: row.get(16)?,
            observed: row.get(17)?,
            seen: row.get(18)?,
        })
    }

    /// What a pool can use of it. Numbers that no run writes, but a hand may have written, are brought into range.
    pub fn health(&self) -> Health {
        let sane = |number: f64| {
            if number.is_finite() {
                number.clamp(0.0, 1e9) as f32
            } else {
                0.0
            }
        };
        Health {
            successes: sane(self.successes),
            failures: sane(self.failures),
            latency: sane(self.latency),
            base: sane(self.base),
            capacity: sane(self.capacity),
            ok: self.ok,
            tampered: self.tampered,
            level: self.level,
            unreached: self.unreached,
            condemned: self.condemned,
            no_tunnel: self.no_tunnel,
            no_forward: self.no_forward,
            served_ago: self.served.map(|served| gap(served, self.observed)),
            rests: self.rests.map(|end| gap(self.observed, end)),
        }
    }

    /// 0 to 100, with what is left of the evidence at `now`.
    pub fn score(&self, now: i64) -> u8 {
        self.health().faded(gap(self.observed, now)).score()
    }
}

impl PairRow {
    /// The columns, in the order [`PairRow::read`] takes them.
    pub(super) const COLUMNS: &str = "proxy, host, level, until, expires, observed";

    pub(super) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(PairRow {
            proxy: Id(row.get(0)?),
            host: row.get(1)?,
            level: row.get(2)?,
            until: row.get(3)?,
            expires: row.get(4)?,
            observed: row.get(5)?,
        })
    }
}

impl HostRow {
    /// The columns, in the order [`HostRow::read`] takes them.
    pub(super) const COLUMNS: &str = "host, level, until, observed";

    pub(super) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(HostRow {
            host: row.get(0)?,
            level: row.get(1)?,
            until: row.get(2)?,
            observed: row.get(3)?,
        })
    }
}

impl LimitRow {
    /// The columns, in the order [`LimitRow::read`] takes them.
    pub(super) const COLUMNS: &str = "host, window, uses, rate, observed";

    pub(super) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(LimitRow {
            host: row.get(0)?,
            window: row.get(1)?,
            uses: row.get(2)?,
            rate: row.get(3)?,
            observed: row.get(4)?,
        })
    }
}

impl TierRow {
    /// The columns, in the order [`TierRow::read`] takes them.
    pub(super) const COLUMNS: &str = "host, tier, exits, observed";

    pub(super) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(TierRow {
            host: row.get(0)?,
            tier: row.get(1)?,
            exits: row.get(2)?,
            observed: row.get(3)?,
        })
    }
}
