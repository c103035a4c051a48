//! What came of it, at the end.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::diff::Counts;
use crate::check::{Change, Geo, Summary, Verdict};
use crate::cli::exit::Exit;
use crate::cli::figures;
use crate::cli::summary::Intake;

/// Bounds of the histogram, milliseconds.
const BOUNDS: [u64; 6] = [50, 100, 300, 1000, 3000, 10_000];
/// Countries that are named; the rest are summed up.
const COUNTRIES: usize = 12;
/// Width of the longest bar.
const BAR: usize = 30;

/// Exits by country.
pub(super) type Countries = BTreeMap<Box<str>, u64>;

/// What is not in the summary of the check itself.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) exit: Exit,
    /// What the list held.
    pub(super) intake: Intake,
    pub(super) countries: Option<Countries>,
    pub(super) changes: Option<Counts>,
}

/// For people.
pub(super) fn text(summary: &Summary, beside: &Beside) -> String {
    let mut lines = vec![counts(summary)];
    lines.extend(unjudged(summary));
    let lost: Vec<_> = beside.intake.lost().collect();
    if !lost.is_empty() {
        lines.push(format!("of the list: {}", lost.join(", ")));
    }
    lines.extend(beside.changes.as_ref().map(changes));
    let mut reasons: Vec<_> = summary.reasons.iter().collect();
    reasons.sort_by_key(|(reason, count)| (std::cmp::Reverse(**count), **reason));
    if !reasons.is_empty() {
        let reasons: Vec<_> = reasons
            .iter()
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        lines.push(format!("why not: {}", reasons.join(", ")));
    }
    if !summary.exits.is_empty() {
        lines.push(format!(
            "exits: {} addresses in {} networks (/24, /48)",
            summary.exits.len(),
            networks(&summary.exits)
        ));
    }
    if !summary.names.is_empty() {
        let names = summary.names.iter();
        let words: Vec<_> = names
            .map(|(word, count)| format!("{word} {count}"))
            .collect();
        lines.push(format!("names at the exit: {}", words.join(", ")));
    }
    if let Some(countries) = beside.countries.as_ref().filter(|all| !all.is_empty()) {
        lines.push(format!("countries: {}", most_first(countries, COUNTRIES)));
    }
    lines.extend(histogram(&summary.medians));
    if summary.local > 0 {
        lines.push(format!(
            "this machine was short of sockets or routes {} times; those proxies were tried again",
            summary.local
        ));
    }
    lines.join("\n")
}

/// One round of many, for people.
pub(super) fn line(summary: &Summary, beside: &Beside) -> String {
    let changes = beside.changes.as_ref().map(changes);
    let lines = [Some(counts(summary)), unjudged(summary), changes];
    lines.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// For programs: flat.
pub(super) fn json(summary: &Summary, beside: &Beside, written: u64) -> Value {
    let mut fields = Map::new();
    fields.insert("all".into(), summary.progress.all.into());
    fields.insert("checked".into(), summary.progress.done.into());
    fields.insert("rows".into(), written.into());
    for (name, count) in beside.intake.fields() {
        fields.insert(name.into(), count.into());
    }
    for verdict in Verdict::ALL {
        fields.insert(format!("verdict/{verdict}"), summary.count(verdict).into());
    }
    for (reason, count) in &summary.reasons {
        fields.insert(format!("reason/{reason}"), (*count).into());
    }
    fields.insert("exits".into(), summary.exits.len().into());
    fields.insert("networks".into(), networks(&summary.exits).into());
    for (word, count) in &summary.names {
        fields.insert(format!("dns/{word}"), (*count).into());
    }
    for (country, count) in beside.countries.iter().flatten() {
        fields.insert(format!("country/{country}"), (*count).into());
    }
    for (change, count) in Change::ALL.iter().zip(beside.changes.iter().flatten()) {
        fields.insert(format!("change/{change}"), (*count).into());
    }
    fields.insert("local".into(), summary.local.into());
    fields.insert("stopped".into(), summary.stopped.into());
    fields.insert("no_judge".into(), summary.no_judge.into());
    fields.insert("unjudged".into(), summary.progress.unjudged.into());
    fields.insert("exit_code".into(), beside.exit.code.into());
    fields.insert("finish_reason".into(), beside.exit.word.into());
    fields.insert(
        "seconds".into(),
        json!((summary.took.as_secs_f64() * 1000.0).round() / 1000.0),
    );
    Value::Object(fields)
}

/// `120 of 2000 proxies in 4.0 s: 30 alive, 90 dead`
fn counts(summary: &Summary) -> String {
    let progress = &summary.progress;
    let counts: Vec<_> = Verdict::ALL
        .iter()
        .map(|verdict| (verdict, summary.count(*verdict)))
        .filter(|(verdict, count)| *count > 0 || **verdict == Verdict::Alive)
        .map(|(verdict, count)| format!("{count} {verdict}"))
        .collect();
    format!(
        "{} of {} proxies in {}: {}",
        progress.done,
        progress.all,
        figures::time(summary.took),
        counts.join(", ")
    )
}

/// `not judged: 35 of 40, because no judge answered (judge_down)`
fn unjudged(summary: &Summary) -> Option<String> {
    let (unjudged, all) = (summary.progress.unjudged, summary.progress.all);
    let reason = if summary.no_judge {
        "no_judge"
    } else {
        "judge_down"
    };
    (unjudged > 0)
        .then(|| format!("not judged: {unjudged} of {all}, because no judge answered ({reason})"))
}

/// `changes: 3 died, 1 gone`
fn changes(counts: &Counts) -> String {
    let counts = Change::ALL.iter().zip(counts);
    let words: Vec<_> = counts
        .filter(|(_, count)| **count > 0)
        .map(|(change, count)| format!("{count} {change}"))
        .collect();
    match &words[..] {
        [] => "no changes".into(),
        words => format!("changes: {}", words.join(", ")),
    }
}

/// How many of the exits are in which country; `unknown` for those of which no file knows it.
pub(super) fn countries(summary: &Summary, geo: &Geo) -> Countries {
    let mut countries = Countries::new();
    for ip in &summary.exits {
        let country = geo.place(*ip).country.unwrap_or_else(|| "unknown".into());
        *countries.entry(country).or_default() += 1;
    }
    countries
}

/// `de 12, fr 3`, and how many others there are.
fn most_first(counts: &Countries, most: usize) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let others: u64 = counts.iter().skip(most).map(|(_, count)| **count).sum();
    let mut words: Vec<_> = counts
        .iter()
        .take(most)
        .map(|(country, count)| format!("{country} {count}"))
        .collect();
    if others > 0 {
        words.push(format!("others {others}"));
    }
    words.join(", ")
}

fn networks(exits: &HashSet<IpAddr>) -> usize {
    let network = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets()[..3].to_vec(),
        IpAddr::V6(ip) => ip.octets()[..6].to_vec(),
    };
    exits.iter().map(network).collect::<HashSet<_>>().len()
}

/// How the medians of those that work are spread, as text.
fn histogram(medians: &[Duration]) -> Vec<String> {
    if medians.is_empty() {
        return Vec::new();
    }
    let mut counts = [0usize; BOUNDS.len() + 1];
    for median in medians {
        let at = BOUNDS
            .iter()
            .position(|bound| median.as_millis() < u128::from(*bound));
        counts[at.unwrap_or(BOUNDS.len())] += 1;
    }
    let most = counts.iter().max().copied().unwrap_or(1).max(1);
    let names = BOUNDS
        .iter()
        .map(|bound| format!("< {bound} ms"))
        .chain(["slower".to_owned()]);
    let mut lines = vec!["median request:".to_owned()];
    for (name, count) in names.zip(counts).filter(|(_, count)| *count > 0) {
        let bar = "#".repeat((count * BAR).div_ceil(most));
        lines.push(format!("  {name:>10}  {bar} {count}"));
    }
    lines
}
