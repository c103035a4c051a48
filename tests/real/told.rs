//! What a row tells about an answer, in the words of tables.

use crate::run::{Row, Run};

/// Outcome, status (of the answer, else of the answer to CONNECT), who is to blame, and the rule: `proxy_error 503 unknown
/// squid.error`. The blame is that of the last attempt, with the charge if it is the proxy's.
pub(crate) fn words(row: &Row) -> String {
    let status = row.status().or_else(|| row.connect_status());
    let status = status.map_or("-".to_owned(), |status| status.to_string());
    let attempts = row.attempts();
    let blame = attempts.last().map_or("unasked".to_owned(), |last| {
        let charge = last.charge().map(|charge| format!(":{charge}"));
        last.blame().to_owned() + &charge.unwrap_or_default()
    });
    let rule = row.value("ban")["rule"].as_str().unwrap_or("-");
    format!("{} {status} {blame} {rule}", row.outcome())
}

/// What the rule has seen.
pub(crate) fn evidence(row: &Row) -> &str {
    row.value("ban")["evidence"].as_str().unwrap_or_default()
}

/// The rows that do not say what is expected of their URLs, one line each.
pub(crate) fn differences(name: &str, run: &Run, expected: &[(String, String)]) -> Vec<String> {
    let differs = |(url, expected): &(String, String)| {
        let row = run.row(url);
        let found = words(row);
        let (ban, error) = (evidence(row), row.value("error"));
        (found != *expected)
            .then(|| format!("{name} {url} | {found}, not {expected}; {ban:?}, {error}"))
    };
    expected.iter().filter_map(differs).collect()
}
