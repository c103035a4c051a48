//! What became of a URL, attempt by attempt.

use super::results::{Attempt, Row};
use super::words::{blame, ms};
use crate::cli::figures::counted;
use crate::outcome::{Blame, Charge, Outcome, UnixMillis};

/// Attempts shown one by one, the first and the last of them.
const ATTEMPTS: usize = 8;

/// One row, at length.
pub(super) fn told(row: &Row) -> String {
    let attempts = counted(row.attempt_log.len() as u64, "attempt", "attempts");
    let proxies = counted(row.proxies_tried.into(), "proxy", "proxies");
    let mut text = format!("url {} (row {}): {}", row.input, row.seq, row.outcome);
    if let Some(status) = row.status {
        text.push_str(&format!(" {status}"));
    }
    text.push_str(&format!(" after {attempts} through {proxies}"));
    if let Some(total) = row.timing.total {
        text.push_str(&format!(", {}", ms(total)));
    }
    text.push('\n');
    if let (Some(at), Some(queue)) = (row.started_at, row.timing.queue) {
        let queue = ms(queue);
        text.push_str(&format!("  first sent {at}, {queue} after it was read\n"));
    }
    text.push_str(&log(row));
    if row
        .attempt_log
        .iter()
        .any(|attempt| attempt.blame.is_none())
    {
        text.push_str(
            "  (who was charged and by which rule is in the rows with fetch --attempts full)\n",
        );
    }
    if let Some(ban) = &row.ban {
        let who = match (&ban.vendor, &*ban.class) {
            (Some(vendor), class) => format!("{class}, {vendor}"),
            (None, "user") => "your own rules".to_owned(),
            (None, class) => class.to_owned(),
        };
        text.push_str(&format!(
            "  rule      {} ({who}), {:.0} % sure; it saw: {}\n",
            ban.rule,
            100.0 * ban.confidence,
            ban.evidence
        ));
    }
    if let Some(edge) = &row.edge {
        text.push_str(&format!(
            "  edge      {edge} stands in front of the target\n"
        ));
    }
    text.push_str(&format!("  finished  {}: {}\n", row.finished_at, end(row)));
    text
}

fn log(row: &Row) -> String {
    let mut text = String::new();
    let all = row.attempt_log.len();
    // The log says how long each took and waited; when, follows from the first, but not where two were out at once: the one
    // that was answered comes first there, whenever it left.
    let in_turn = |log: &[Attempt]| log.iter().all(|one| one.outcome != Outcome::Cancelled);
    let began = row.started_at.filter(|_| in_turn(&row.attempt_log));
    let mut clock = began.map(|at| at.0 as f64);
    for (number, attempt) in row.attempt_log.iter().enumerate() {
        let waited = if number == 0 { 0.0 } else { attempt.wait_ms };
        let began = clock.map(|at| at + waited);
        clock = began.map(|at| at + attempt.t_ms);
        let hidden = all > ATTEMPTS && (ATTEMPTS / 2..all - ATTEMPTS / 2).contains(&number);
        if hidden {
            if number == ATTEMPTS / 2 {
                text.push_str(&format!("  ... {} more\n", all - ATTEMPTS));
            }
            continue;
        }
        if number > 0 && attempt.outcome != Outcome::Cancelled {
            text.push_str(&format!(
                "     then another attempt, {} later\n",
                ms(waited)
            ));
        }
        let at = began.map_or(String::new(), |at| format!("{}  ", UnixMillis(at as i64)));
        text.push_str(&line(attempt, &at));
    }
    text
}

fn line(attempt: &Attempt, at: &str) -> String {
    let Attempt { n, proxy, t_ms, .. } = attempt;
    let took = ms(*t_ms);
    if attempt.outcome == Outcome::Cancelled {
        return format!(
            "  {n}  {proxy}  sent beside another and stopped after {took}: the other was answered first\n"
        );
    }
    let mut text = format!("  {n}  {at}{proxy}  {}, after {took}\n", attempt.came_to());
    if let Some(charged) = attempt.blame {
        text.push_str(&format!("     charged: {}\n", blame(charged)));
    }
    text
}

/// Why there was no further attempt.
fn end(row: &Row) -> String {
    let tried = row.attempt_log.iter().rev();
    let last = tried
        .into_iter()
        .find(|attempt| attempt.outcome != Outcome::Cancelled);
    let Some(last) = last else {
        let why = row
            .error
            .as_ref()
            .map_or("no reason is given", |failure| &failure.message);
        return format!("nothing was sent: {why}");
    };
    let blame = last.blame.unwrap_or(match row.outcome {
        Outcome::Banned | Outcome::RateLimited => Blame::Pair,
        Outcome::Timeout | Outcome::NetworkError => Blame::Unknown,
        Outcome::ProxyError | Outcome::Corrupt => Blame::Proxy(Charge::Broken),
        _ => Blame::Target,
    });
    match (row.outcome, blame) {
        (Outcome::Ok, _) => "the answer is accepted",
        (_, Blame::Target | Blame::Nobody) => {
            "it is the target's own answer, which another proxy would hear as well"
        }
        (_, Blame::Pair) => {
            "no further proxy was tried for it: see --max-proxies-per-url, or every proxy had to rest from the host"
        }
        (_, Blame::Proxy(_)) => "no further proxy was tried for it: see --max-proxies-per-url",
        (_, Blame::Unknown) => "the attempts of the URL are used up: see --retry",
        (_, Blame::Local) => "this machine could not send it",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_said_to_be_the_users_only_where_it_is() {
        for (class, vendor, who) in [
            ("block_ip", "null", "(block_ip)"),
            ("block_rule", "\"akamai\"", "(block_rule, akamai)"),
            ("user", "null", "(your own rules)"),
        ] {
            let row = format!(
                r#"{{"id":"1","seq":0,"input":"http://a/","url":null,"outcome":"banned","status":200,"proxies_tried":1,"attempt_log":[],
                "ban":{{"rule":"r","class":"{class}","vendor":{vendor},"confidence":1,"evidence":"e"}},"edge":null,"error":null,
                "timing":{{"queue":null,"total":null}},"started_at":null,"finished_at":"2026-11-01T00:00:00.000Z"}}"#
            );
            let row: Row = serde_json::from_str(&row).expect("a row");
            let text = told(&row);
            assert!(
                text.contains(&format!("  rule      r {who}, 100 % sure")),
                "{text}"
            );
        }
    }
}
