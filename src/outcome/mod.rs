//! What became of a job: faults, outcomes, blame, verdicts, attempts and the record.
//!
//! Every attempt ends in a [`Verdict`]. The pool reads only its [`Blame`]; the record shows its [`Outcome`]. The two are apart
//! because a 404 is an outcome and nobody's fault.

mod fault;
mod record;
mod status_set;

pub use fault::{Fault, FaultKind, Phase};
pub use record::{
    Attempt, BodyField, ErrorInfo, Finished, Record, RedirectHop, Timing, UnixMillis,
};
pub use status_set::StatusSet;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The one word of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// An accepted answer that passed every rule of the user.
    Ok,
    /// The target answered with a status that is not accepted: 404, 500 and the like.
    HttpError,
    /// 429 or its kin, to the end.
    RateLimited,
    /// The target refused this exit or wanted a challenge solved, on every proxy tried.
    Banned,
    /// No proxy brought the request to the target.
    ProxyError,
    /// A time limit passed after the target was reached.
    Timeout,
    /// The connection to the target failed through a working proxy.
    NetworkError,
    /// TLS with the target failed.
    TlsError,
    /// The body was cut, damaged, tampered with, or failed `--must-match`.
    Corrupt,
    /// The body is larger than `--max-filesize`.
    TooLarge,
    /// The robots.txt of its host keeps it from being fetched.
    Robots,
    /// The input is not a URL that can be fetched.
    InvalidUrl,
    /// Never attempted: the run stopped first. `--resume` takes it up again.
    Skipped,
    /// Interrupted while in flight. `--resume` takes it up again.
    Cancelled,
}

impl Outcome {
    /// All outcomes, in the order of the summary.
    pub const ALL: [Outcome; 14] = [
        Outcome::Ok,
        Outcome::HttpError,
        Outcome::RateLimited,
        Outcome::Banned,
        Outcome::ProxyError,
        Outcome::Timeout,
        Outcome::NetworkError,
        Outcome::TlsError,
        Outcome::Corrupt,
        Outcome::TooLarge,
        Outcome::Robots,
        Outcome::InvalidUrl,
        Outcome::Skipped,
        Outcome::Cancelled,
    ];

    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::HttpError => "http_error",
            Outcome::RateLimited => "rate_limited",
            Outcome::Banned => "banned",
            Outcome::ProxyError => "proxy_error",
            Outcome::Timeout => "timeout",
            Outcome::NetworkError => "network_error",
            Outcome::TlsError => "tls_error",
            Outcome::Corrupt => "corrupt",
            Outcome::TooLarge => "too_large",
            Outcome::Robots => "robots",
            Outcome::InvalidUrl => "invalid_url",
            Outcome::Skipped => "skipped",
            Outcome::Cancelled => "cancelled",
        }
    }

    /// The outcome with this word, as found in an output file.
    pub fn from_word(word: &str) -> Option<Self> {
        Outcome::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }

    /// True when `--resume` may skip a job with this outcome: it was seen through to an answer.
    pub fn is_final(self) -> bool {
        !matches!(self, Outcome::Skipped | Outcome::Cancelled)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who caused the result of an attempt. Nothing else reaches the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Blame {
    /// A valid answer: the proxy is credited.
    Nobody,
    /// The target's own answer (404, 500, its maintenance page): the proxy worked and is neither credited nor charged.
    Target,
    /// The target refuses this proxy: a ban or rate limit of (proxy, host).
    Pair,
    /// The proxy, with certainty.
    Proxy(Charge),
    /// This machine: no descriptors, no route, no ports. Nobody else is charged.
    Local,
    /// The proxy or the target; the pool splits it by what it knows of both.
    Unknown,
}

/// What exactly a proxy is charged with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Charge {
    /// Connect refused or timed out, its TLS or handshake failed, or it spoke garbage.
    Unreachable,
    /// It failed after the connect: closed, reset, or answered with its own 5xx.
    Broken,
    /// 407 or a SOCKS authentication failure: charged to the whole credential group.
    Auth,
    /// It altered or replaced the answer, or broke TLS with the target.
    Tampered,
    /// It does not tunnel (CONNECT refused for every host) but may forward.
    NoTunnel,
    /// It tunnels but does not forward plain `http://`.
    NoForward,
    /// A provider's policy refuses this target: final for (provider, host), never rotated around, no score loss.
    Policy,
    /// A gateway had no exit matching its filters: the session is gone, the endpoint is fine.
    NoExit,
}

/// The judgement on one attempt.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// What the record would say if this were the last attempt.
    pub outcome: Outcome,
    /// Who is charged.
    pub blame: Blame,
    /// The rule that fired, if one did.
    pub ban: Option<Box<Ban>>,
    /// How long the target asked to wait, as sent and bounded; `Some(0)` is "at once".
    pub retry_after: Option<Duration>,
}

impl Verdict {
    /// A verdict without ban or wait.
    pub fn new(outcome: Outcome, blame: Blame) -> Self {
        Verdict {
            outcome,
            blame,
            ban: None,
            retry_after: None,
        }
    }
}

/// Why an answer counts as a block: `record.ban`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Ban {
    /// Id of the rule that decided.
    pub rule: Box<str>,
    /// Verdict class of the rule, e.g. `challenge_js`, `rate_limit`, `proxy_policy`, `user`.
    pub class: Box<str>,
    /// Who answered, e.g. `cloudflare`, `squid`; absent for the user's own rules.
    pub vendor: Option<Box<str>>,
    /// 0.0..=1.0: how certain the rule is.
    pub confidence: f32,
    /// What it saw, at most 200 characters.
    pub evidence: Box<str>,
}
