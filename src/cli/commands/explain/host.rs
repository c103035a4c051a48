//! What is remembered of a host.

use std::time::SystemTime;

use super::proxy::rest;
use super::tally::Tally;
use super::words::{ago, ordinal, until};
use crate::cli::figures;
use crate::cli::figures::counted;
use crate::state::{KnownHost, LimitRow, TierRow, millis};

/// Proxies shown one by one.
const PROXIES: usize = 8;

/// One host, at length.
pub(super) fn told(
    host: &str,
    known: &KnownHost,
    tally: Option<&Tally>,
    time: SystemTime,
) -> String {
    let now = millis(time);
    let mut text = match &known.wait {
        Some(wait) => format!(
            "host {host}: stopped {}\n  asked     everybody to wait, for the {} time in a row; runs send it nothing before, \
             and a URL that would wait longer than 10 min has its row as rate_limited\n",
            until(wait.until, now),
            ordinal(wait.level.max(1))
        ),
        None => format!("host {host}: open\n"),
    };
    if let Some(limit) = &known.limit {
        text.push_str(&bears(limit, now));
    }
    if let Some(tier) = &known.tier {
        text.push_str(&served_from(tier, now));
    }
    let banned = known.pairs.iter().filter(|(_, pair)| pair.until > now);
    let banned = banned.count();
    let trial = known.pairs.len() - banned;
    if known.pairs.is_empty() {
        text.push_str("  proxies   it refuses none that is known\n");
    } else {
        let refused = counted(banned as u64, "proxy rests", "proxies rest");
        text.push_str(&format!("  proxies   {refused} from it after refusals"));
        if trial > 0 {
            text.push_str(&format!(", {trial} may be tried again"));
        }
        text.push('\n');
    }
    for (label, pair) in known.pairs.iter().take(PROXIES) {
        text.push_str(&format!("    {label}  {}\n", rest(pair, now)));
    }
    if known.pairs.len() > PROXIES {
        let more = known.pairs.len() - PROXIES;
        text.push_str(&format!("    and {more} more\n"));
    }
    if let Some(tally) = tally {
        text.push_str(&tally.to_string());
    }
    text
}

/// Which proxies of the list it gets, and why.
fn served_from(row: &TierRow, now: i64) -> String {
    let when = ago(row.observed, now);
    if row.tier == 0 {
        return format!("  tier      0, the cheapest; it came back there {when}\n");
    }
    let exits = counted(row.exits.into(), "exit", "exits");
    format!(
        "  tier      {} {when}, after {exits} in a row of the tier below had been banned; a few requests try that tier again\n",
        row.tier
    )
}

fn bears(limit: &LimitRow, now: i64) -> String {
    let mut text = String::new();
    let found = ago(limit.observed, now);
    if let Some((window, uses)) = limit.window.zip(limit.uses) {
        let uses = counted(uses.into(), "request", "requests");
        text.push_str(&format!(
            "  bears     {uses} of one proxy in {window:.0} s before it bans that proxy, learned from bans {found}; runs stay below\n"
        ));
    }
    if let Some(rate) = limit.rate {
        let rate = figures::rate(rate);
        text.push_str(&format!(
            "  rate      {rate} of all proxies together, found out from refusals {found}\n"
        ));
    }
    text
}
