//! A report as a row of CSV.

use std::time::Duration;

use crate::check::{Place, Report};
use crate::proxy::Scheme;

/// Columns of CSV.
pub(super) const COLUMNS: [&str; 34] = [
    "seq",
    "proxy",
    "scheme",
    "host",
    "port",
    "verdict",
    "reason",
    "phase",
    "message",
    "score",
    "speaks",
    "forwards",
    "tunnels",
    "ok",
    "failed",
    "success_low",
    "success_high",
    "p50_ms",
    "p95_ms",
    "exits",
    "ipv4",
    "ipv6",
    "countries",
    "asns",
    "rotates",
    "anonymity",
    "headers",
    "rewrites",
    "dns",
    "tampering",
    "targets",
    "changes",
    "checked_at",
    "label",
];

/// The cells of those columns. User name and password are in the one of the proxy, or nowhere.
pub(super) fn cells(report: &Report, with_credentials: bool) -> Vec<String> {
    let text = |value: Option<bool>| value.map(|value| value.to_string()).unwrap_or_default();
    let latency = report.latency();
    let exits: Vec<_> = report.exits.iter().map(ToString::to_string).collect();
    let headers = report.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    // In the order of --url, as the other words of a row are.
    let targets = report.targets.iter();
    let targets: Vec<_> = targets.map(|target| target.outcome).collect();
    let changes: Vec<_> = report
        .changes
        .iter()
        .flatten()
        .map(|change| change.as_str())
        .collect();
    let interval = crate::check::wilson(report.ok(), report.ok() + report.failed);
    let share = |share: Option<f64>| share.map(|share| format!("{share:.3}")).unwrap_or_default();
    vec![
        report.seq.to_string(),
        match with_credentials {
            true => report.line().expose().to_owned(),
            false => report.proxy.label().to_string(),
        },
        report.proxy.scheme().to_string(),
        report.proxy.host().to_owned(),
        report.proxy.port().to_string(),
        report.verdict.to_string(),
        report.reason().to_owned(),
        report
            .trouble
            .as_ref()
            .and_then(|trouble| trouble.phase)
            .map(|phase| phase.to_string())
            .unwrap_or_default(),
        report
            .trouble
            .as_ref()
            .map(|trouble| trouble.message.to_string())
            .unwrap_or_default(),
        report
            .score
            .map(|score| score.to_string())
            .unwrap_or_default(),
        words(&report.protocols),
        text(report.forwards),
        text(report.tunnels),
        report.ok().to_string(),
        report.failed.to_string(),
        share(interval.map(|(low, _)| low)),
        share(interval.map(|(_, high)| high)),
        latency.map(|latency| ms(latency.p50)).unwrap_or_default(),
        latency.map(|latency| ms(latency.p95)).unwrap_or_default(),
        exits.join(" "),
        text(report.ipv4),
        text(report.ipv6),
        places(report, |place| {
            place.country.as_ref().map(ToString::to_string)
        }),
        places(report, |place| {
            place.asn.as_ref().map(|asn| asn.number.to_string())
        }),
        text(report.rotates()),
        report
            .anonymity
            .map(|level| level.as_str().to_owned())
            .unwrap_or_default(),
        headers.join("; "),
        report
            .rewrites
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        report.dns.as_str().to_owned(),
        report
            .tampering
            .as_ref()
            .map(|tampering| tampering.kind.to_owned())
            .unwrap_or_default(),
        targets.join(" "),
        changes.join(" "),
        report.checked_at.to_string(),
        report.listed.label().to_string(),
    ]
}

/// One word an exit, `-` where it is not known; empty when no file was asked.
fn places(report: &Report, word: impl Fn(&Place) -> Option<String>) -> String {
    let places = report.places.iter().flatten();
    let words: Vec<_> = places
        .map(|place| word(place).unwrap_or_else(|| "-".into()))
        .collect();
    words.join(" ")
}

fn words(schemes: &[Scheme]) -> String {
    let words: Vec<_> = schemes.iter().map(|scheme| scheme.as_str()).collect();
    words.join(" ")
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}
