//! The record of a run (`fetch --record`): what it decided and what came of it, one JSON object a line.
//!
//! The first line says what was to be done and with what, the last how it ended; a run that was killed has none. Proxies are
//! numbers; a line says the label of each before it is used. Times are seconds, those called `t` since the run began. There
//! is no URL in it, and no credentials.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::event::{Effect, Next, Probed, Told, Tried};
use crate::outcome::{Blame, Outcome, UnixMillis};

/// Version of the lines.
pub(super) const VERSION: u32 = 1;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Line {
    Run(Head),
    Proxy { proxy: u32, label: String },
    Attempt(Attempt),
    Probe(Probe),
    GivenUp(GivenUp),
    End(End),
}

/// The run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) v: u32,
    pub(super) at: UnixMillis,
    /// Members of the list.
    pub(super) proxies: u32,
    pub(super) rotate: String,
    pub(super) concurrency: u32,
    pub(super) proxy_concurrency: u32,
    pub(super) probe_concurrency: u32,
    pub(super) retries: u32,
    pub(super) max_proxies_per_url: u32,
    pub(super) connect_timeout: f64,
    pub(super) max_time: f64,
    pub(super) hedge: bool,
    pub(super) seed: u64,
}

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) t: f64,
    /// Position of the job in the input.
    pub(super) seq: u64,
    pub(super) n: u32,
    pub(super) host: String,
    pub(super) proxy: u32,
    /// `first`, `retry` or `hedge`.
    pub(super) why: String,
    pub(super) outcome: Outcome,
    pub(super) blame: Blame,
    pub(super) status: Option<u16>,
    pub(super) rule: Option<String>,
    pub(super) fault: Option<Fault>,
    pub(super) took: f64,
    pub(super) connect: Option<f64>,
    /// Seconds to the next attempt; `null` when there is none of this one.
    pub(super) again: Option<f64>,
    /// The row is written.
    pub(super) done: bool,
    pub(super) changes: Vec<Change>,
}

/// What failed on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fault {
    pub(super) phase: String,
    pub(super) kind: String,
}

/// See [`Effect`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    PairRests { s: f64, refusals: u32 },
    PairIsFree,
    Aside { s: f64, times: u32 },
    Retired,
    HostWaits { s: f64 },
    HostIsPaced { per_second: f64 },
    HostIsOut,
    HostIsBack,
}

/// A look at a proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Probe {
    pub(super) t: f64,
    pub(super) proxy: u32,
    pub(super) connect: Option<f64>,
    pub(super) fault: Option<Fault>,
}

/// A job that nothing could be done for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct GivenUp {
    pub(super) t: f64,
    pub(super) seq: u64,
    pub(super) host: String,
    pub(super) outcome: Outcome,
    pub(super) why: String,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) t: f64,
    pub(super) urls: u64,
    pub(super) ok: u64,
    pub(super) attempts: u64,
    pub(super) probes: u64,
    pub(super) reason: String,
}

impl Attempt {
    pub(super) fn of(tried: &Tried, proxy: u32, at: Duration) -> Self {
        let again = match tried.next {
            Next::Retry { after, .. } => Some(after.as_secs_f64()),
            Next::Done | Next::Other => None,
        };
        let fault = tried.error.as_ref().map(|error| Fault {
            phase: error.phase.unwrap_or_default().to_owned(),
            kind: error.kind.to_owned(),
        });
        Attempt {
            t: at.as_secs_f64(),
            seq: tried.job.seq,
            n: tried.n,
            host: tried.job.host.to_string(),
            proxy,
            why: tried.kind.as_str().to_owned(),
            outcome: tried.outcome,
            blame: tried.blame,
            status: tried.status,
            rule: tried.ban.as_ref().map(|ban| ban.rule.to_string()),
            fault,
            took: tried.took.as_secs_f64(),
            connect: tried.connect.map(|connect| connect.as_secs_f64()),
            again,
            done: tried.next == Next::Done && tried.outcome != Outcome::Cancelled,
            changes: tried.effects.iter().map(Change::of).collect(),
        }
    }
}

impl Change {
    fn of(effect: &Effect) -> Self {
        match *effect {
            Effect::PairRests { time, refusals } => Change::PairRests {
                s: time.as_secs_f64(),
                refusals,
            },
            Effect::PairIsFree => Change::PairIsFree,
            Effect::Aside { time, times } => Change::Aside {
                s: time.as_secs_f64(),
                times,
            },
            Effect::Retired => Change::Retired,
            Effect::HostWaits { time } => Change::HostWaits {
                s: time.as_secs_f64(),
            },
            Effect::HostIsPaced { rate } => Change::HostIsPaced { per_second: rate },
            Effect::HostIsOut => Change::HostIsOut,
            Effect::HostIsBack => Change::HostIsBack,
        }
    }
}

impl Probe {
    pub(super) fn of(probed: &Probed, proxy: u32, at: Duration) -> Self {
        let fault = probed.result.err().map(|(phase, kind)| Fault {
            phase: phase.as_str().to_owned(),
            kind: kind.as_str().to_owned(),
        });
        Probe {
            t: at.as_secs_f64(),
            proxy,
            connect: probed.result.ok().map(|connect| connect.as_secs_f64()),
            fault,
        }
    }
}

impl GivenUp {
    pub(super) fn of(job: &Told, outcome: Outcome, why: &str, at: Duration) -> Self {
        GivenUp {
            t: at.as_secs_f64(),
            seq: job.seq,
            host: job.host.to_string(),
            outcome,
            why: why.to_owned(),
        }
    }
}
