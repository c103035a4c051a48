//! What is remembered of a proxy, and what the next run makes of it.

use std::time::SystemTime;

use super::tally::Tally;
use super::words::{about, ago, ordinal, until};
use crate::cli::figures::counted;
use crate::pool::Health;
use crate::state::{PairRow, ProxyRow, gap, millis};

/// Hosts shown one by one.
const HOSTS: usize = 8;
/// Rows of a list.
const ROWS: usize = 20;

/// One proxy, at length.
pub(super) fn told(
    row: &ProxyRow,
    pairs: &[PairRow],
    tally: Option<&Tally>,
    time: SystemTime,
) -> String {
    let now = millis(time);
    let age = gap(row.observed, now);
    let health = row.health().faded(age);
    let mut text = format!(
        "proxy {}: {}, score {} of 100\n",
        row.label,
        standing(&health),
        row.score(now)
    );
    let mut line = |name: &str, what: String| text.push_str(&format!("  {name:<10}{what}\n"));
    line("next", next(row, &health, now));
    line("served", served(row, now));
    line(
        "evidence",
        format!(
            "{:.1} requests served and {:.1} lost are still counted (half of it is forgotten in 6 h): \
             the next one is served with {:.0} %",
            health.successes,
            health.failures,
            100.0 * health.chance()
        ),
    );
    let lacks = [
        (health.no_tunnel, "https"),
        (health.no_forward, "plain http"),
    ];
    for (_, what) in lacks.into_iter().filter(|(lacks, _)| *lacks) {
        line(
            "lacks",
            format!("it has refused to carry {what}, which it is not asked for"),
        );
    }
    if health.tampered > 0 {
        line(
            "tampering",
            counted(health.tampered.into(), "altered answer", "altered answers"),
        );
    }
    line("observed", ago(row.observed, now));
    line("hosts", refused_by(pairs, now));
    for pair in pairs.iter().take(HOSTS) {
        text.push_str(&format!("    {}  {}\n", pair.host, rest(pair, now)));
    }
    if pairs.len() > HOSTS {
        text.push_str(&format!("    and {} more\n", pairs.len() - HOSTS));
    }
    if let Some(tally) = tally {
        text.push_str(&tally.to_string());
    }
    text
}

/// Where it stands, in a word or two.
fn standing(health: &Health) -> &'static str {
    match health {
        Health {
            condemned: true, ..
        } => "out for altering answers",
        Health { rests: Some(_), .. } => "in quarantine",
        _ if health.unreached >= Health::LOST_AFTER => "lost",
        _ if health.unreached > 0 && !health.is_proven() => "never reached",
        _ if health.is_worth_asking() => "good",
        _ => "doubtful",
    }
}

/// What a run does with it.
fn next(row: &ProxyRow, health: &Health, now: i64) -> String {
    if health.condemned {
        let ends = row.observed + i64::try_from(Health::GRUDGE.as_millis()).unwrap_or(i64::MAX);
        return format!(
            "not used at all {}; then it is a stranger again",
            until(ends, now)
        );
    }
    if let Some(end) = row.rests.filter(|end| *end > now) {
        let times = ordinal(u32::from(row.level) + 1);
        let after = turn(health);
        return format!(
            "set aside {} by the run that met it, for the {times} time in a row; then a probe, not a URL, tries it\n            {after}",
            until(end, now)
        );
    }
    turn(health)
}

/// When a new run looks at it.
fn turn(health: &Health) -> String {
    let absent = counted(health.unreached.into(), "run", "runs");
    if health.unreached >= Health::LOST_AFTER && health.is_proven() {
        format!("a new run probes it last: it served once, but {absent} in a row did not reach it")
    } else if health.unreached > 0 && !health.is_proven() {
        format!("a new run probes it last: {absent} did not reach it, and none ever has")
    } else if health.is_worth_asking() {
        "a new run probes it before proxies that nobody knows, and uses it once that works".into()
    } else {
        "a new run probes it only after proxies that nobody knows".into()
    }
}

fn served(row: &ProxyRow, now: i64) -> String {
    if row.ok == 0 {
        return "nothing in any run".to_owned();
    }
    let mut text = counted(row.ok.into(), "valid answer", "valid answers");
    text.push_str(" in all runs");
    if let Some(at) = row.served {
        text.push_str(&format!(", the last {}", ago(at, now)));
    }
    if row.latency > 0.0 {
        text.push_str(&format!("; an answer takes {:.2} s", row.latency));
    }
    text
}

fn refused_by(pairs: &[PairRow], now: i64) -> String {
    let banned = pairs.iter().filter(|pair| pair.until > now).count() as u64;
    let refuse = counted(banned, "refuses it", "refuse it");
    match (banned, pairs.len() as u64 - banned) {
        (0, 0) => "none refuses it".to_owned(),
        (_, 0) => refuse,
        (0, lately) => format!("{lately} refused it lately"),
        (_, lately) => format!("{refuse}, {lately} did lately"),
    }
}

/// How long a pair rests.
pub(super) fn rest(pair: &PairRow, now: i64) -> String {
    let times = counted(u64::from(pair.level) + 1, "refusal", "refusals in a row");
    if pair.until > now {
        return format!(
            "banned {}, {times}; then one request tries it",
            until(pair.until, now)
        );
    }
    let left = about(gap(now, pair.expires));
    format!("{times}; the rest is over, one request tries it; forgotten in {left}")
}

/// Many proxies, a line each.
pub(super) fn list(rows: &[ProxyRow], time: SystemTime) -> String {
    let now = millis(time);
    let mut text = format!(
        "{} proxies; name one by what follows # for more\n",
        rows.len()
    );
    for row in rows.iter().take(ROWS) {
        let health = row.health().faded(gap(row.observed, now));
        let (score, stands) = (row.score(now), standing(&health));
        text.push_str(&format!("{score:>5}  {stands:<24}  {}\n", row.label));
    }
    if rows.len() > ROWS {
        text.push_str(&format!("  and {} more\n", rows.len() - ROWS));
    }
    text
}
