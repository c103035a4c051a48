//! What happened to a proxy or a host in the results of a fetch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use super::results::{Results, Row};
use crate::cli::figures::counted;
use crate::error::Error;
use crate::outcome::{Outcome, UnixMillis};

/// Failures shown one by one.
const LAST: usize = 3;
/// Rules shown.
const RULES: usize = 3;

/// An attempt, as a choice among them sees it.
pub(super) struct At<'a> {
    pub(super) proxy: &'a str,
    pub(super) host: &'a str,
}

/// Counts of some attempts, and the last failures among them.
#[derive(Debug, Default)]
pub(super) struct Tally {
    path: PathBuf,
    attempts: u64,
    outcomes: BTreeMap<Outcome, u64>,
    rules: BTreeMap<String, u64>,
    proxies: BTreeSet<String>,
    /// URLs that were given up, or of which nothing was sent, with why.
    unattempted: BTreeMap<String, u64>,
    last: Vec<(UnixMillis, String)>,
}

impl Tally {
    /// # Errors
    /// As for [`Results::each`].
    pub(super) fn of(
        results: &Results<'_>,
        wanted: impl Fn(&At<'_>) -> bool,
    ) -> Result<Self, Error> {
        let mut tally = Tally {
            path: results.path.to_owned(),
            ..Tally::default()
        };
        results.each(|row| tally.add(&row, &wanted))?;
        tally.last.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        tally.last.truncate(LAST);
        Ok(tally)
    }

    fn add(&mut self, row: &Row, wanted: impl Fn(&At<'_>) -> bool) {
        let host = row.host().unwrap_or_default();
        let host = host.as_str();
        if row.attempt_log.is_empty()
            && let Some(failure) = &row.error
            && wanted(&At { proxy: "", host })
        {
            *self.unattempted.entry(failure.message.clone()).or_default() += 1;
        }
        for attempt in &row.attempt_log {
            let proxy = attempt.proxy.as_str();
            if !wanted(&At { proxy, host }) {
                continue;
            }
            self.attempts += 1;
            self.proxies.insert(attempt.proxy.clone());
            *self.outcomes.entry(attempt.outcome).or_default() += 1;
            if let Some(rule) = &attempt.rule {
                *self.rules.entry(rule.clone()).or_default() += 1;
            }
            if !matches!(attempt.outcome, Outcome::Ok | Outcome::Cancelled) {
                let text = format!("{} through {proxy}: {}", row.input, attempt.came_to());
                self.last.push((row.finished_at, text));
                // Sorting now and then keeps what is held small.
                if self.last.len() > 1000 {
                    self.last.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
                    self.last.truncate(LAST);
                }
            }
        }
    }

    /// True when nothing was chosen.
    pub(super) fn is_empty(&self) -> bool {
        self.attempts == 0 && self.unattempted.is_empty()
    }

    /// The proxies, or how many there are.
    pub(super) fn proxies(&self) -> String {
        match self.proxies.iter().next() {
            Some(one) if self.proxies.len() == 1 => one.clone(),
            _ => counted(self.proxies.len() as u64, "proxy", "proxies"),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let attempts = counted(self.attempts, "attempt", "attempts");
        let through = counted(self.proxies.len() as u64, "proxy", "proxies");
        write!(f, "  in {path}: {attempts} through {through}")?;
        for (number, (outcome, count)) in self.outcomes.iter().enumerate() {
            let before = if number == 0 { ": " } else { ", " };
            write!(f, "{before}{count} {outcome}")?;
        }
        writeln!(f)?;
        let mut rules: Vec<_> = self.rules.iter().collect();
        rules.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (rule, count) in rules.into_iter().take(RULES) {
            writeln!(f, "    {count} by rule {rule}")?;
        }
        for (why, count) in &self.unattempted {
            let urls = counted(*count, "URL", "URLs");
            writeln!(f, "    {urls} given up or not sent: {why}")?;
        }
        for (at, text) in &self.last {
            writeln!(f, "    {at}  {text}")?;
        }
        Ok(())
    }
}
