//! A report as a line for people.

use crate::check::{Anonymity, Report, Verdict};

pub(super) fn head() -> String {
    format!(
        "{:<44} {:<9} {:>5} {:>8}  {:<13} {:<12} {:<16} {}\n",
        "PROXY", "VERDICT", "SCORE", "P50", "WAYS", "ANONYMITY", "EXIT", "WHY"
    )
}

pub(super) fn row(report: &Report) -> String {
    let ways = match (report.forwards, report.tunnels) {
        (Some(true), Some(true)) => "plain, tunnel",
        (Some(true), _) => "plain",
        (_, Some(true)) => "tunnel",
        _ => "",
    };
    let exit = match &report.exits[..] {
        [] => String::new(),
        [one] => one.to_string(),
        many => format!("{} addresses", many.len()),
    };
    let why = match &report.trouble {
        Some(trouble) if report.verdict != Verdict::Alive => {
            format!("{}: {}", trouble.reason, trouble.message)
        }
        _ => String::new(),
    };
    let line = format!(
        "{:<44} {:<9} {:>5} {:>8}  {:<13} {:<12} {:<16} {}",
        report.proxy.label().to_string(),
        report.verdict.as_str(),
        report
            .score
            .map(|score| score.to_string())
            .unwrap_or_else(|| "-".into()),
        report
            .latency()
            .map(|latency| format!("{:.0} ms", latency.p50.as_secs_f64() * 1000.0))
            .unwrap_or_default(),
        ways,
        report.anonymity.map_or("", Anonymity::as_str),
        exit,
        why,
    );
    format!("{}\n", line.trim_end())
}
