//! What a rehearsal came to, beside what was possible.

use std::time::Duration;

use crate::lab::scenario::{Figures, Tally};
use crate::metrics::Summary;
use crate::outcome::Outcome;

/// A run, as told by its own summary and by the world it was in.
pub(super) struct Ours<'a> {
    pub(super) took: Duration,
    pub(super) summary: &'a Summary,
    pub(super) tally: Tally,
}

/// Ours and the oracle's figures in columns, with the ratio of the times.
pub(super) fn comparison(ours: &Ours<'_>, oracle: &Figures) -> String {
    let totals = &ours.summary.totals;
    let pages = totals.count(Outcome::Ok);
    let (took, needed) = (ours.took.as_secs_f64(), oracle.makespan.as_secs_f64());
    let mut rows = vec![
        (
            "time",
            format!("{took:.1} s"),
            format!("{needed:.1} s"),
            format!("{:.2} times", took / needed),
        ),
        row("pages", pages, u64::from(oracle.successes)),
        row("lost", totals.failed(), u64::from(oracle.lost)),
        row("requests", ours.tally.requests, oracle.tally.requests),
        row("to dead proxies", ours.tally.to_dead, oracle.tally.to_dead),
        row("refused by sites", ours.tally.blocked, oracle.tally.blocked),
        row("probes", totals.probes, 0),
    ];
    if ours.tally.cost > 0.0 {
        let (cost, least) = (ours.tally.cost, oracle.tally.cost);
        rows.push((
            "cost",
            format!("{cost:.4}"),
            format!("{least:.4}"),
            String::new(),
        ));
    }
    let mut text = format!("{:<18}{:>12}{:>12}", "", "this run", "oracle");
    for (name, ours, oracle, note) in rows {
        let line = format!("\n{name:<18}{ours:>12}{oracle:>12}  {note}");
        text.push_str(line.trim_end_matches(' '));
    }
    text
}

fn row(name: &'static str, ours: u64, oracle: u64) -> (&'static str, String, String, String) {
    (name, ours.to_string(), oracle.to_string(), String::new())
}

/// What clients have asked of a scenario that was served.
pub(super) fn asked(tally: &Tally) -> String {
    format!(
        "{} requests, {} of them refused by sites",
        tally.requests, tally.blocked
    )
}
