//! What a run came to, and what it has to come to.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::world::Tally;

/// Figures of one run.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Until the last URL was done with.
    pub makespan: Duration,
    /// URLs whose row is `ok`, believed fakes among them.
    pub successes: u32,
    /// URLs whose row is not.
    pub lost: u32,
    /// Until the hundredth success.
    pub hundredth: Option<Duration>,
    /// Until the last success of the hosts that have no outage, where some have.
    pub other_hosts: Option<Duration>,
    /// Rows that are `ok` although their body is not the page.
    pub fakes_accepted: u32,
    /// What the world saw.
    pub tally: Tally,
}

/// A figure that can be bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Seconds that the oracle takes: tells that the scenario is what it is said to be.
    OracleS,
    /// Makespan over the oracle's.
    MakespanRatio,
    /// Requests sent per success.
    AttemptsPerSuccess,
    /// Probes per success.
    ProbesPerSuccess,
    /// Requests that a host refused, per 1,000 successes.
    BlockedPer1000,
    /// Rows with a fake for a page, per 1,000 successes.
    FakesPer1000,
    /// Time of the hosts without outage over the oracle's.
    OtherHostsRatio,
    /// URLs without their page.
    Lost,
}

impl Metric {
    /// All of them, in the order of tables.
    pub const ALL: [Metric; 8] = [
        Metric::OracleS,
        Metric::MakespanRatio,
        Metric::AttemptsPerSuccess,
        Metric::ProbesPerSuccess,
        Metric::BlockedPer1000,
        Metric::FakesPer1000,
        Metric::OtherHostsRatio,
        Metric::Lost,
    ];

    /// The key in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Metric::OracleS => "oracle-s",
            Metric::MakespanRatio => "makespan-ratio",
            Metric::AttemptsPerSuccess => "attempts-per-success",
            Metric::ProbesPerSuccess => "probes-per-success",
            Metric::BlockedPer1000 => "blocked-per-1000",
            Metric::FakesPer1000 => "fakes-per-1000",
            Metric::OtherHostsRatio => "other-hosts-ratio",
            Metric::Lost => "lost",
        }
    }

    /// The value for one run, beside the oracle's run of the same world; `None` where it does not apply.
    pub fn of(self, run: &Figures, oracle: &Figures) -> Option<f64> {
        let per_success = |count: u64| count as f64 / f64::from(run.successes.max(1));
        let ratio = |run: Duration, oracle: Duration| run.as_secs_f64() / oracle.as_secs_f64();
        Some(match self {
            Metric::OracleS => oracle.makespan.as_secs_f64(),
            Metric::MakespanRatio => ratio(run.makespan, oracle.makespan),
            Metric::AttemptsPerSuccess => per_success(run.tally.requests),
            Metric::ProbesPerSuccess => per_success(run.tally.probes),
            Metric::BlockedPer1000 => 1000.0 * per_success(run.tally.blocked),
            Metric::FakesPer1000 => 1000.0 * per_success(u64::from(run.fakes_accepted)),
            Metric::OtherHostsRatio => ratio(run.other_hosts?, oracle.other_hosts?),
            Metric::Lost => f64::from(run.lost),
        })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Bounds of a figure, both included; none is any value.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Range {
    /// The least.
    pub least: Option<f64>,
    /// The most.
    pub most: Option<f64>,
}

impl Range {
    /// True when the value is within the bounds.
    pub fn holds(&self, value: f64) -> bool {
        self.least.is_none_or(|least| value >= least) && self.most.is_none_or(|most| value <= most)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.least, self.most) {
            (Some(least), Some(most)) => write!(f, "{least} to {most}"),
            (Some(least), None) => write!(f, "at least {least}"),
            (None, Some(most)) => write!(f, "at most {most}"),
            (None, None) => f.write_str("anything"),
        }
    }
}

/// The bounds of a scenario. They are meant for the median of several seeds.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    oracle_s: Range,
    makespan_ratio: Range,
    attempts_per_success: Range,
    probes_per_success: Range,
    #[serde(rename = "blocked-per-1000")]
    blocked: Range,
    #[serde(rename = "fakes-per-1000")]
    fakes: Range,
    other_hosts_ratio: Range,
    lost: Range,
}

impl Expect {
    /// The bounds of one figure.
    pub fn of(&self, metric: Metric) -> Range {
        match metric {
            Metric::OracleS => self.oracle_s,
            Metric::MakespanRatio => self.makespan_ratio,
            Metric::AttemptsPerSuccess => self.attempts_per_success,
            Metric::ProbesPerSuccess => self.probes_per_success,
            Metric::BlockedPer1000 => self.blocked,
            Metric::FakesPer1000 => self.fakes,
            Metric::OtherHostsRatio => self.other_hosts_ratio,
            Metric::Lost => self.lost,
        }
    }
}
