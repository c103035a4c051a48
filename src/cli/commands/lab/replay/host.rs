//! What a host does, from what it did: bans after a count, bans from the start, a limit for everybody, outages.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::model::{positive, seconds, share};
use super::recorded::Recorded;
use crate::cli::recording::{Attempt, Change};
use crate::lab::scenario::{BanRule, Host, Limit, Span};
use crate::outcome::{Blame, Outcome};

/// Windows that are tried, seconds.
const WINDOWS: [f64; 4] = [10.0, 60.0, 600.0, 3600.0];
/// A rule needs so many bans after an answer.
const BANS: usize = 2;
/// A longer window has to explain the bans so much better.
const BETTER: f64 = 1.1;
/// A ban lasts so long when nobody was served after one, seconds.
const LASTS_S: f64 = 600.0;
/// Answers of a host that limits everybody are counted within this time, seconds.
const MEASURE_S: f64 = 5.0;

/// The host, and its rule for people, if it has one.
pub(super) fn of(recorded: &Recorded, number: usize) -> (Host, Option<String>) {
    let name = &recorded.hosts[number];
    let of_host = recorded
        .attempts
        .iter()
        .filter(|attempt| attempt.host == *name);
    let attempts: Vec<&Attempt> = of_host.collect();
    let mut pairs: BTreeMap<u32, Vec<&Attempt>> = BTreeMap::new();
    for attempt in &attempts {
        pairs.entry(attempt.proxy).or_default().push(attempt);
    }
    for pair in pairs.values_mut() {
        pair.sort_by(|a, b| began(a).total_cmp(&began(b)));
    }
    let mut host = Host {
        outages: outages(&attempts),
        ..Host::default()
    };
    let mut rules = Vec::new();
    if let Some(limit) = limit(&attempts) {
        rules.push(format!(
            "serves {:.1} requests a second",
            limit.per_second.get()
        ));
        host.limit = Some(limit);
    } else {
        let unserved = pairs.values().filter(|pair| is_barred(pair)).count();
        let banned = unserved as f64 / pairs.len().max(1) as f64;
        host.banned = share(banned);
        if unserved > 0 {
            rules.push(format!(
                "bans {:.0} % of the proxies from the start",
                100.0 * banned
            ));
        }
        if let Some(rule) = rule(&pairs) {
            let lasts = match lasts(&pairs) {
                Some(time) => format!("for {time:.0} s"),
                None => format!("for {LASTS_S} s, which is a guess,"),
            };
            rules.push(format!(
                "bans a proxy {lasts} beyond {} requests in {:.0} s",
                rule.requests,
                rule.window_s.get()
            ));
            host.ban = Some(rule);
        }
    }
    let rule = (!rules.is_empty()).then(|| format!("{name} {}", rules.join(" and ")));
    (host, rule)
}

fn began(attempt: &Attempt) -> f64 {
    attempt.t - attempt.took
}

fn is_refusal(attempt: &Attempt) -> bool {
    attempt.blame == Blame::Pair
}

fn is_served(attempt: &Attempt) -> bool {
    attempt.outcome == Outcome::Ok
}

/// Refused whenever it asked.
fn is_barred(pair: &[&Attempt]) -> bool {
    pair.iter().any(|attempt| is_refusal(attempt)) && !pair.iter().any(|attempt| is_served(attempt))
}

/// Requests of a pair within `window` before and with its request `at`.
fn uses(pair: &[&Attempt], at: usize, window: f64) -> u32 {
    let since = began(pair[at]) - window;
    let within = pair[..=at].iter().filter(|attempt| began(attempt) > since);
    u32::try_from(within.count()).unwrap_or(u32::MAX)
}

/// The most requests of a pair within `window`.
fn most_uses(pair: &[&Attempt], window: f64) -> u32 {
    let (mut first, mut most) = (0, 0);
    for (last, attempt) in pair.iter().enumerate() {
        while began(pair[first]) <= began(attempt) - window {
            first += 1;
        }
        most = most.max(last - first + 1);
    }
    u32::try_from(most).unwrap_or(u32::MAX)
}

/// The window that tells bans from answers best, and the count in it.
fn rule(pairs: &BTreeMap<u32, Vec<&Attempt>>) -> Option<BanRule> {
    let mut best: Option<(f64, f64, u32)> = None;
    for window in WINDOWS {
        let (mut banned, mut served) = (Vec::new(), Vec::new());
        for pair in pairs.values() {
            let first = pair.iter().position(|attempt| is_refusal(attempt));
            let before = &pair[..first.unwrap_or(pair.len())];
            if !before.iter().any(|attempt| is_served(attempt)) {
                continue;
            }
            served.push(most_uses(before, window));
            banned.extend(first.map(|at| uses(pair, at, window)));
        }
        if banned.len() < BANS {
            return None;
        }
        banned.sort_unstable();
        served.sort_unstable();
        let quota = banned[banned.len() / 4].saturating_sub(1).max(1);
        let most = served[served.len().saturating_sub(3)].max(1);
        let explained = (f64::from(quota) / f64::from(most)).min(1.0);
        if best.is_none_or(|(least, _, _)| explained > least * BETTER) {
            best = Some((explained, window, quota));
        }
    }
    let (_, window, quota) = best?;
    Some(BanRule {
        requests: NonZeroU32::new(quota)?,
        window_s: positive(window),
        lasts_s: positive(lasts(pairs).unwrap_or(LASTS_S)),
    })
}

/// The shortest time from a first refusal to an answer of the same pair; `None` when no pair was served again.
fn lasts(pairs: &BTreeMap<u32, Vec<&Attempt>>) -> Option<f64> {
    let mut shortest: Option<f64> = None;
    for pair in pairs.values() {
        let mut since = None;
        for attempt in pair {
            if is_refusal(attempt) {
                since.get_or_insert(began(attempt));
            } else if is_served(attempt)
                && let Some(since) = since.take()
            {
                let took = began(attempt) - since;
                shortest = Some(shortest.map_or(took, |known| known.min(took)));
            }
        }
    }
    // An answer that was under way when the refusal came says nothing.
    shortest.filter(|time| *time > 1.0)
}

/// The limit for everybody, if the run found one.
fn limit(attempts: &[&Attempt]) -> Option<Limit> {
    let changes = || attempts.iter().flat_map(|attempt| &attempt.changes);
    changes().find(|change| matches!(change, Change::HostIsPaced { .. }))?;
    let mut served: Vec<f64> = Vec::new();
    served.extend(attempts.iter().filter(|a| is_served(a)).map(|a| a.t));
    served.sort_by(f64::total_cmp);
    let mut most = 1;
    let mut first = 0;
    for (last, at) in served.iter().enumerate() {
        while served[first] < at - MEASURE_S {
            first += 1;
        }
        most = most.max(last - first + 1);
    }
    let waits = changes().filter_map(|change| match change {
        Change::HostWaits { s } => Some(*s),
        _ => None,
    });
    Some(Limit {
        per_second: positive(most as f64 / MEASURE_S),
        retry_after_s: seconds(waits.fold(0.0, f64::max)),
        closes_s: seconds(0.0),
    })
}

/// From the attempt that found it out to the one that found it back.
fn outages(attempts: &[&Attempt]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut from: Option<f64> = None;
    for attempt in attempts {
        for change in &attempt.changes {
            match change {
                Change::HostIsOut => {
                    from.get_or_insert(began(attempt));
                }
                Change::HostIsBack => {
                    if let Some(from_s) = from.take()
                        && from_s < began(attempt)
                    {
                        let to_s = began(attempt);
                        spans.push(Span { from_s, to_s });
                    }
                }
                _ => {}
            }
        }
    }
    if let Some(from_s) = from {
        spans.push(Span {
            from_s,
            to_s: f64::INFINITY,
        });
    }
    spans
}
