//! Rows of an earlier check.

use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::remember::Finding;
use crate::check::{Anonymity, Known, Verdict};
use crate::error::{Error, Problem};
use crate::outcome::UnixMillis;

/// As much of a row as a later check looks at. What older versions did not write is as if it were not known.
#[derive(Deserialize)]
pub(super) struct Row {
    proxy: String,
    /// That of the listed proxy, where `proxy` has credentials or is another one.
    label: Option<String>,
    scheme: Option<Box<str>>,
    verdict: Verdict,
    #[serde(default)]
    ok: u32,
    #[serde(default)]
    failed: u32,
    forwards: Option<bool>,
    tunnels: Option<bool>,
    #[serde(default)]
    latency_ms: Latency,
    #[serde(default)]
    exits: Vec<IpAddr>,
    countries: Option<Vec<Option<Box<str>>>>,
    anonymity: Option<Anonymity>,
    before: Option<Known>,
    checked_at: Option<UnixMillis>,
}

#[derive(Default, Deserialize)]
struct Latency {
    total: Option<Median>,
}

#[derive(Deserialize)]
struct Median {
    p50: f64,
}

impl Row {
    /// What it says for the state, and of whom; `None` when nobody could say anything.
    pub(super) fn finding(self) -> Option<(String, Finding)> {
        let finding = Finding {
            verdict: self.verdict,
            ok: self.ok,
            failed: self.failed,
            median: self
                .latency_ms
                .total
                .and_then(|total| Duration::try_from_secs_f64(total.p50 / 1000.0).ok()),
            forwards: self.forwards,
            tunnels: self.tunnels,
            detected: self.label.as_ref().zip(self.scheme.as_ref()).is_some_and(
                // A label begins with the scheme that the list has.
                |(label, scheme)| !label.starts_with(&format!("{scheme}://")),
            ),
            // A row that does not tell its time gives way to whatever is remembered.
            at: self.checked_at.unwrap_or(UnixMillis(0)),
        };
        let label = self.label.unwrap_or(self.proxy);
        (self.verdict != Verdict::Unknown).then_some((label, finding))
    }

    /// What is known since then, and the label of whom.
    pub(super) fn known(self) -> (String, Option<Known>) {
        let label = self.label.unwrap_or(self.proxy);
        if self.verdict == Verdict::Unknown {
            return (label, self.before);
        }
        let mut countries: Vec<_> = self.countries.into_iter().flatten().flatten().collect();
        countries.sort_unstable();
        countries.dedup();
        let known = Known {
            verdict: self.verdict,
            p50_ms: self.latency_ms.total.map(|total| total.p50),
            exits: self.exits,
            countries,
            anonymity: self.anonymity,
        };
        (label, Some(known))
    }
}

/// Hands every row of `file` to `take`. Returns the length up to which rows are whole; what is torn behind it is passed over.
///
/// # Errors
/// A line that is no row of a check, with `hint`; the file cannot be read.
pub(super) fn rows(
    file: impl Read,
    path: &Path,
    hint: &str,
    mut take: impl FnMut(Row),
) -> Result<u64, Error> {
    let mut reader = BufReader::new(file);
    let (mut line, mut number, mut whole) = (Vec::new(), 0u64, 0u64);
    loop {
        line.clear();
        let read = reader
            .read_until(b'\n', &mut line)
            .map_err(|error| Error::io("read", path, error))?;
        if line.last() != Some(&b'\n') {
            return Ok(whole);
        }
        number += 1;
        whole += read as u64;
        take(serde_json::from_slice(&line).map_err(|_| {
            Problem::new("not a row of a check")
                .at(format!("{}:{number}", path.display()))
                .hint(hint)
        })?);
    }
}
