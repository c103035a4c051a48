//! Looking one name up: what is known of this proxy, or of this host.

use std::collections::BTreeMap;
use std::time::SystemTime;

use rusqlite::{OptionalExtension as _, Result, params};

use super::rows::{HostRow, Id, LimitRow, PairRow, ProxyRow, TierRow};
use super::{State, millis};
use crate::error::Error;
use crate::proxy::Proxy;

/// True for a host of this name, whatever its scheme and port, or exactly this one.
pub(super) const IS_HOST: &str = "host = ?1 OR host = 'http://' || ?1 OR host = 'https://' || ?1
    OR host GLOB 'http://' || ?1 || ':[0-9]*' OR host GLOB 'https://' || ?1 || ':[0-9]*'";

/// What is known of one host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KnownHost {
    /// Its wait, if it has asked for one that is not over.
    pub wait: Option<HostRow>,
    /// What it was found to bear.
    pub limit: Option<LimitRow>,
    /// The tier of the list that serves it, if that ever was another than the lowest.
    pub tier: Option<TierRow>,
    /// Proxies that it refuses or has lately refused, with their labels; those that rest longest first.
    pub pairs: Vec<(String, PairRow)>,
}

impl State {
    /// The proxies that `what` names, as [`is_named`] has it or by an id; or the one proxy that is meant, credentials and all.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn proxies_named(&self, what: &str, proxy: Option<&Proxy>) -> Result<Vec<ProxyRow>, Error> {
        let id = proxy.map(|proxy| self.salt.id(proxy.id()));
        let mut named = Vec::new();
        self.each_proxy(|row| {
            if means(what, &row) || id == Some(row.id) {
                named.push(row);
            }
            Ok(())
        })
        .map_err(self.failed("read"))?;
        // One with credentials is one proxy; without them an address may stand for many.
        if let Some(exact) = named.iter().position(|row| id == Some(row.id)) {
            named = vec![named.swap_remove(exact)];
        }
        Ok(named)
    }

    /// The hosts that refuse this proxy or have lately, those that do for longest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn pairs_of(&self, proxy: Id, now: SystemTime) -> Result<Vec<PairRow>, Error> {
        let sql = format!(
            "SELECT {} FROM pairs WHERE proxy = ?1 AND expires > ?2 ORDER BY until DESC",
            PairRow::COLUMNS
        );
        let read = || -> Result<Vec<PairRow>> {
            let mut select = self.connection.prepare(&sql)?;
            let rows = select.query_map(params![proxy.0, millis(now)], PairRow::read)?;
            rows.collect()
        };
        read().map_err(self.failed("read"))
    }

    /// The hosts that `what` names, with or without scheme and port.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn hosts_named(
        &self,
        what: &str,
        now: SystemTime,
    ) -> Result<BTreeMap<String, KnownHost>, Error> {
        let what = what.trim_end_matches('/');
        if what.contains(['*', '?', '[']) {
            return Ok(BTreeMap::new());
        }
        self.hosts_like(what, millis(now))
            .map_err(self.failed("read"))
    }

    fn hosts_like(&self, what: &str, now: i64) -> Result<BTreeMap<String, KnownHost>> {
        let mut known: BTreeMap<String, KnownHost> = BTreeMap::new();
        let sql = format!(
            "SELECT {} FROM hosts WHERE ({IS_HOST}) AND until > ?2",
            HostRow::COLUMNS
        );
        let mut select = self.connection.prepare(&sql)?;
        let rows = select.query_map(params![what, now], HostRow::read)?;
        for row in rows {
            let row = row?;
            let host = row.host.clone();
            known.entry(host).or_default().wait = Some(row);
        }
        for row in self.limits(Some(what))? {
            let host = row.host.clone();
            known.entry(host).or_default().limit = Some(row);
        }
        for row in self.tiers(Some(what))? {
            let host = row.host.clone();
            known.entry(host).or_default().tier = Some(row);
        }
        let sql = format!(
            "SELECT {} FROM pairs WHERE ({IS_HOST}) AND expires > ?2 ORDER BY until DESC",
            PairRow::COLUMNS
        );
        let mut label = self
            .connection
            .prepare("SELECT label FROM proxies WHERE id = ?1")?;
        let mut select = self.connection.prepare(&sql)?;
        for row in select.query_map(params![what, now], PairRow::read)? {
            let row = row?;
            let name: Option<String> = label
                .query_row([row.proxy.0], |found| found.get(0))
                .optional()?;
            let name = name.unwrap_or_else(|| row.proxy.to_string());
            let host = row.host.clone();
            known.entry(host).or_default().pairs.push((name, row));
        }
        Ok(known)
    }

    /// What hosts bear; all of them, or those of one name.
    pub(super) fn limits(&self, what: Option<&str>) -> Result<Vec<LimitRow>> {
        let sql = format!(
            "SELECT {} FROM limits WHERE ?1 IS NULL OR {IS_HOST}",
            LimitRow::COLUMNS
        );
        let mut select = self.connection.prepare(&sql)?;
        let rows = select.query_map([what], LimitRow::read)?;
        rows.collect()
    }

    /// Tiers that serve hosts; all of them, or those of one name.
    pub(super) fn tiers(&self, what: Option<&str>) -> Result<Vec<TierRow>> {
        let sql = format!(
            "SELECT {} FROM tiers WHERE ?1 IS NULL OR {IS_HOST}",
            TierRow::COLUMNS
        );
        let mut select = self.connection.prepare(&sql)?;
        let rows = select.query_map([what], TierRow::read)?;
        rows.collect()
    }
}

/// True when `what` is this label, with or without what follows `#`, its `host:port`, or what follows `#`.
pub fn is_named(what: &str, label: &str) -> bool {
    let (address, short) = label.split_once('#').unwrap_or((label, ""));
    let place = address
        .split_once("://")
        .map_or(address, |(_, place)| place);
    [label, address, place].contains(&what)
        || what.strip_prefix('#').is_some_and(|digits| digits == short)
}

/// True when `what` names this proxy.
pub(super) fn means(what: &str, row: &ProxyRow) -> bool {
    is_named(what, &row.label) || what == row.id.to_string()
}
