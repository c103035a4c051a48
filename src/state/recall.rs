//! Reading what is known of a list.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rusqlite::{OptionalExtension as _, Result, params};
use url::Url;

use super::rows::{Id, LimitRow, ProxyRow};
use super::{SKEW, State, after, gap, millis};
use crate::error::Error;
use crate::job::HostKey;
use crate::pool::{
    Memory, Quota, Remembered, RememberedHost, RememberedLimit, RememberedPair, RememberedTier,
    Rest,
};
use crate::proxy::Proxy;

/// A row says on which day its proxy was last in a list; finer is not worth a write for every proxy of every run.
const SEEN_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What is known of a list.
#[derive(Debug, Default)]
pub struct Recalled {
    /// For the pool.
    pub memory: Memory,
    /// Rows whose proxy was not seen in a list for a day: [`super::Keeper`] notes that it is in this one.
    pub unseen: Vec<Id>,
}

impl State {
    /// What is known of these proxies, and of all hosts.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn recall(&self, list: &[Arc<Proxy>], now: SystemTime) -> Result<Recalled, Error> {
        let now = millis(now);
        // In the order of the rows, so that each page is read once.
        let mut ids: Vec<(Id, &Arc<Proxy>)> = list
            .iter()
            .filter(|proxy| !proxy.is_direct())
            .map(|proxy| (self.salt.id(proxy.id()), proxy))
            .collect();
        ids.sort_unstable_by_key(|(id, _)| *id);
        self.read(&ids, now).map_err(self.failed("read"))
    }

    fn read(&self, ids: &[(Id, &Arc<Proxy>)], now: i64) -> Result<Recalled> {
        let mut recalled = Recalled::default();
        // One look at one moment; without it each row would be locked and unlocked by itself.
        let _reading = self.connection.unchecked_transaction()?;
        let sql = format!("SELECT {} FROM proxies WHERE id = ?1", ProxyRow::COLUMNS);
        let mut select = self.connection.prepare(&sql)?;
        for (id, proxy) in ids {
            let Some(row) = select.query_row(params![id.0], ProxyRow::read).optional()? else {
                continue;
            };
            if gap(row.seen, now) >= SEEN_EVERY {
                recalled.unseen.push(*id);
            }
            recalled.memory.proxies.push(Remembered {
                proxy: Arc::clone(proxy),
                health: row.health(),
                age: gap(row.observed, now),
            });
        }
        recalled.memory.pairs = self.pairs(ids, now)?;
        recalled.memory.hosts = self.hosts(now)?;
        let limits = self.limits(None)?;
        let limits = limits.iter().filter_map(|row| remembered(row, now));
        recalled.memory.limits = limits.collect();
        let tiers = self.tiers(None)?.into_iter();
        let tiers = tiers.filter_map(|row| {
            Some(RememberedTier {
                host: host_key(&row.host)?,
                tier: row.tier,
                exits: row.exits,
                age: gap(row.observed, now),
            })
        });
        recalled.memory.tiers = tiers.collect();
        Ok(recalled)
    }

    fn pairs(&self, ids: &[(Id, &Arc<Proxy>)], now: i64) -> Result<Vec<RememberedPair>> {
        let mut by_id: Option<HashMap<Id, &Arc<Proxy>>> = None;
        let mut pairs = Vec::new();
        let sql = "SELECT proxy, host, level, until, expires, observed FROM pairs
            WHERE expires > ?1 AND observed <= ?2";
        let mut select = self.connection.prepare(sql)?;
        let mut rows = select.query(params![now, after(now, SKEW)])?;
        while let Some(row) = rows.next()? {
            let by_id = by_id.get_or_insert_with(|| ids.iter().copied().collect());
            let host = host_key(row.get_ref(1)?.as_str()?);
            let (Some(proxy), Some(host)) = (by_id.get(&Id(row.get(0)?)), host) else {
                continue;
            };
            let observed = row.get(5)?;
            pairs.push(RememberedPair {
                proxy: Arc::clone(proxy),
                host,
                rest: Some(Rest {
                    level: row.get(2)?,
                    ends_in: left(observed, row.get(3)?, now),
                    forgotten_in: left(observed, row.get(4)?, now),
                }),
            });
        }
        Ok(pairs)
    }

    fn hosts(&self, now: i64) -> Result<Vec<RememberedHost>> {
        let sql =
            "SELECT host, level, until, observed FROM hosts WHERE until > ?1 AND observed <= ?2";
        let mut select = self.connection.prepare(sql)?;
        let mut rows = select.query(params![now, after(now, SKEW)])?;
        let mut hosts = Vec::new();
        while let Some(row) = rows.next()? {
            if let Some(host) = host_key(row.get_ref(0)?.as_str()?) {
                hosts.push(RememberedHost {
                    host,
                    level: row.get(1)?,
                    wait: left(row.get(3)?, row.get(2)?, now),
                });
            }
        }
        Ok(hosts)
    }
}

/// What is left at `now` of a time that began at `observed`; never more than there was, though the clock may have been set back.
fn left(observed: i64, until: i64, now: i64) -> Duration {
    gap(observed, until).saturating_sub(gap(observed, now))
}

/// `None` for a row that a hand has broken.
fn remembered(row: &LimitRow, now: i64) -> Option<RememberedLimit> {
    let quota = row.window.zip(row.uses).and_then(|(window, uses)| {
        let window = Duration::try_from_secs_f64(window).ok()?;
        Some(Quota { window, uses })
    });
    let rate = row.rate.filter(|rate| rate.is_finite() && *rate > 0.0);
    Some(RememberedLimit {
        host: host_key(&row.host)?,
        quota,
        rate: rate.map(|rate| rate as f32),
        age: gap(row.observed, now),
    })
}

/// A host as [`HostKey`] displays it.
fn host_key(text: &str) -> Option<HostKey> {
    HostKey::of(&Url::parse(text).ok()?)
}
