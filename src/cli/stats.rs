//! The counters of a run as flat JSON: one object, keys with slashes, so that they graph without work.
//!
//! A counter that does not apply is `null`; the counters of one site are only kept for the first
//! [`crate::metrics::MAX_HOSTS`] sites.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Map, Value};

use super::folder_of;
use super::summary::Report;
use crate::error::Error;
use crate::metrics::rounded;
use crate::outcome::Outcome;

/// The object.
pub fn stats(report: &Report<'_>) -> Map<String, Value> {
    let totals = &report.summary.totals;
    let left = totals.count(Outcome::Skipped) + totals.count(Outcome::Cancelled);
    let mut map = Map::new();
    let mut put = |key: String, value: Value| {
        map.insert(key, value);
    };
    put("v".into(), 1.into());
    put("exit_code".into(), report.exit.code.into());
    put("finish_reason".into(), report.exit.word.into());
    put("elapsed_s".into(), totals.elapsed.as_secs_f64().into());
    for (key, value) in [
        ("urls/total", totals.read),
        ("urls/done", totals.done),
        ("urls/ok", totals.count(Outcome::Ok)),
        ("urls/failed", totals.failed().saturating_sub(left)),
        ("urls/skipped", left),
        ("attempts/total", totals.attempts),
        ("attempts/retry", totals.retries),
        ("probes/total", totals.probes),
        ("probes/failed", totals.probes_failed),
        ("bytes/wire", totals.bytes_wire),
        ("bytes/body", totals.bytes_body),
    ]
    .into_iter()
    .chain(report.intake.fields())
    .chain([
        ("proxy/total", totals.pool.total.into()),
        ("proxy/usable", totals.pool.ready.into()),
        ("proxy/untried", totals.pool.unknown.into()),
        ("proxy/quarantined", totals.pool.quarantined.into()),
        ("proxy/retired", totals.pool.retired.into()),
        ("proxy/cooling_pairs", totals.pool.cooling_pairs.into()),
        ("proxy/proven", totals.pool.proven.into()),
        (
            "proxy/never_worked",
            totals.pool.total.saturating_sub(totals.pool.proven).into(),
        ),
    ]) {
        put(key.into(), value.into());
    }
    put("urls/left".into(), totals.left.into());
    let ledger = &totals.ledger;
    for (name, spend) in [
        ("useful", ledger.useful),
        ("retry", ledger.retry),
        ("probe", ledger.probe),
        ("total", ledger.total()),
    ] {
        put(format!("requests/{name}"), spend.requests.into());
        put(format!("bytes/proxy/{name}"), spend.bytes.into());
        let money = ledger.is_priced.then(|| rounded(spend.money));
        put(format!("cost/{name}"), money.into());
    }
    let ok = totals.count(Outcome::Ok);
    put(
        "cost/per_row".into(),
        ledger.per_row(ok).map(rounded).into(),
    );
    for outcome in Outcome::ALL {
        put(format!("outcome/{outcome}"), totals.count(outcome).into());
    }
    for (status, count) in &totals.statuses {
        put(format!("status/{status}"), (*count).into());
    }
    for (reason, count) in &totals.retry_reasons {
        put(format!("retry/reason/{reason}"), (*count).into());
    }
    for (fault, count) in &totals.proxy_faults {
        let fault = fault.replace(' ', "_");
        put(format!("proxy/fault/{fault}"), (*count).into());
    }
    for (name, found) in &totals.fields {
        put(format!("field/{name}/found"), (*found).into());
        let missing = totals.looked_at - found;
        put(format!("field/{name}/missing"), missing.into());
    }
    for (at, name) in ["p50", "p95", "p99"].into_iter().enumerate() {
        let value = totals.latency_ms.map(|latency| latency[at]);
        put(format!("latency_ms/{name}"), value.into());
    }
    for host in &totals.hosts {
        for (name, value) in [
            ("urls", Value::from(host.done)),
            ("failed", host.failed.into()),
            ("requests", host.attempts.into()),
            ("rate_limited", host.rate_limited.into()),
            ("banned", host.banned.into()),
            ("not_asked", host.not_asked.into()),
            ("wait_ms", host.wait_ms.into()),
        ] {
            put(format!("site/{}/{name}", host.host), value);
        }
    }
    map
}

/// Writes the object to `path`, replacing what is there as a whole.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, stats: &Map<String, Value>) -> Result<(), Error> {
    let mut text = serde_json::to_string_pretty(stats)
        .map_err(|error| Error::Internal(format!("cannot write the counters: {error}")))?;
    text.push('\n');
    replace(path, &text)
}

/// Finds out before a run, which may take hours, that its counters could not be written after it.
///
/// # Errors
/// There is no such directory, or the path is one.
pub fn check(path: &Path) -> Result<(), Error> {
    let reason = match fs::metadata(folder_of(path)) {
        Err(error) => error,
        Ok(found) if !found.is_dir() => ErrorKind::NotADirectory.into(),
        Ok(_) if path.is_dir() => ErrorKind::IsADirectory.into(),
        Ok(_) => return Ok(()),
    };
    Err(Error::io("write", path, reason))
}

/// Writes a file so that whoever reads it finds the old text or the new one, whole.
///
/// # Errors
/// The file cannot be written.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |source| Error::io("write", path, source);
    // A pipe or device cannot be replaced, only written to.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return fs::write(path, text).map_err(failed);
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let replaced = fs::write(&name, text).and_then(|()| fs::rename(&name, path));
    replaced.map_err(|error| {
        // Half a file is of no use to anybody, and holds room that there is too little of.
        let _ = fs::remove_file(&name);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::super::summary::tests::sample;
    use super::*;

    #[test]
    fn keys_are_flat_and_tell_the_exit() {
        let mixed = sample();
        let map = stats(&mixed.report());
        assert_eq!(map["exit_code"], 4);
        assert_eq!(map["finish_reason"], "some_failed");
        assert_eq!(map["urls/total"], 600);
        assert_eq!(map["outcome/http_error"], 6);
        assert_eq!(map["outcome/tls_error"], 0);
        assert_eq!(map["status/404"], 6);
        assert_eq!(map["retry/reason/proxy_error"], 80);
        assert_eq!(map["proxy/never_worked"], 19);
        assert_eq!(map["proxy/fault/connect_refused"], 7);
        assert_eq!(map["site/http://a.example/banned"], 9);
        assert_eq!(map["latency_ms/p95"], 900.4);
        let mut quiet = sample();
        quiet.summary.totals.latency_ms = None;
        assert_eq!(stats(&quiet.report())["latency_ms/p95"], Value::Null);
        assert!(
            map.values()
                .all(|value| !value.is_object() && !value.is_array())
        );
    }

    #[test]
    fn an_older_file_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("stats.json");
        fs::write(&path, "x".repeat(100_000)).expect("older file");
        let map = stats(&sample().report());
        write(&path, &map).expect("written");
        let read: Value = serde_json::from_slice(&fs::read(&path).unwrap()).expect("JSON");
        assert_eq!(read.as_object(), Some(&map));
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing left over"
        );
        assert!(write(&dir.path().join("no/such.json"), &map).is_err());
    }
}
