//! Counters of a run, published as a snapshot a few times a second and once at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::outcome::Outcome;

/// What has happened so far. Cheap to clone but for the per-host part, which is bounded.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Since the run began.
    pub elapsed: Duration,
    /// Jobs read from the input.
    pub read: u64,
    /// True when the input has ended, so that `read` is the total.
    pub input_ended: bool,
    /// Jobs that have their record.
    pub done: u64,
    /// Records by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
    /// Records by last status of the target.
    pub statuses: BTreeMap<u16, u64>,
    /// Sends of requests, first attempts and retries.
    pub attempts: u64,
    /// Attempts after the first of their job.
    pub retries: u64,
    /// Retries by the outcome that caused them.
    pub retry_reasons: BTreeMap<&'static str, u64>,
    /// Connect probes.
    pub probes: u64,
    /// Probes that failed.
    pub probes_failed: u64,
    /// Failed probes and proxy faults by what went wrong (`connect refused`, `connect timeout`, `handshake rejected 403`).
    pub proxy_faults: BTreeMap<String, u64>,
    /// Requests in flight now.
    pub in_flight: u64,
    /// Jobs read but not in flight.
    pub queued: u64,
    /// The pool now.
    pub pool: PoolCounts,
    /// What held dispatch back most since the previous snapshot.
    pub binding: Option<Binding>,
    /// Body bytes on the wire.
    pub bytes_wire: u64,
    /// Body bytes decoded.
    pub bytes_body: u64,
    /// p50, p95 and p99 of the time of successful attempts, milliseconds.
    pub latency_ms: Option<[f64; 3]>,
    /// Per host, at most [`MAX_HOSTS`]; further hosts are counted in the totals only.
    pub hosts: Vec<HostStats>,
}

/// Hosts kept apart in the statistics. The bound keeps memory flat on crawls of very many hosts.
pub const MAX_HOSTS: usize = 1000;

impl Snapshot {
    /// Records with this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        Outcome::ALL
            .iter()
            .position(|each| *each == outcome)
            .map_or(0, |at| self.outcomes[at])
    }

    /// Records that are not `ok`.
    pub fn failed(&self) -> u64 {
        self.done - self.count(Outcome::Ok)
    }
}

/// One target host.
#[derive(Debug, Clone, Default)]
pub struct HostStats {
    /// As [`crate::job::HostKey`] displays it.
    pub host: String,
    /// Jobs that have their record.
    pub done: u64,
    /// Of those, not `ok`.
    pub failed: u64,
    /// Requests sent.
    pub attempts: u64,
    /// 429 and their kin.
    pub rate_limited: u64,
    /// Bans of a (proxy, host) pair.
    pub banned: u64,
    /// Milliseconds its jobs waited for limits and cooldowns.
    pub wait_ms: f64,
    /// What its failed jobs failed with most.
    pub worst: Option<Outcome>,
}

/// Where the proxies of the pool stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolCounts {
    /// All members.
    pub total: u32,
    /// Can be leased now.
    pub ready: u32,
    /// Never tried yet.
    pub unknown: u32,
    /// Out of selection until probed.
    pub quarantined: u32,
    /// Out for the rest of the run: tampering, refused credentials.
    pub retired: u32,
    /// (proxy, host) pairs in cooldown.
    pub cooling_pairs: u32,
    /// Members that served at least one valid answer.
    pub proven: u32,
}

/// The limit that binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binding {
    /// `-j`.
    Concurrency,
    /// `--rate`.
    Rate,
    /// `--host-rate`, `--delay`.
    HostRate,
    /// `--host-concurrency`.
    HostConcurrency,
    /// `--proxy-rate`, `--proxy-concurrency`, `--pair-rate` or what a proxy can bear.
    Proxies,
    /// A target asked to wait.
    RetryAfter,
    /// No proxy is ready.
    NoProxy,
    /// Jobs wait for their backoff.
    Backoff,
    /// The input is slower than the fetching.
    Input,
    /// The output is slower than the fetching.
    Output,
}

impl Binding {
    /// For the progress line.
    pub fn as_str(self) -> &'static str {
        match self {
            Binding::Concurrency => "concurrency (-j)",
            Binding::Rate => "rate (--rate)",
            Binding::HostRate => "host rate (--host-rate)",
            Binding::HostConcurrency => "host concurrency (--host-concurrency)",
            Binding::Proxies => "proxies (per-proxy limits)",
            Binding::RetryAfter => "the target asked to wait",
            Binding::NoProxy => "no proxy ready",
            Binding::Backoff => "retry backoff",
            Binding::Input => "input",
            Binding::Output => "output",
        }
    }
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// Every job has its record.
    Done,
    /// No proxy of the pool was usable.
    NoProxy,
    /// SIGINT, or the caller's drain.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// The output could not be written.
    OutputFailed,
    /// The input could not be read to its end.
    InputFailed,
}

impl FinishReason {
    /// The reason word of the summary.
    pub fn as_str(self) -> &'static str {
        match self {
            FinishReason::Done => "done",
            FinishReason::NoProxy => "no_usable_proxy",
            FinishReason::Interrupted => "interrupted",
            FinishReason::Terminated => "terminated",
            FinishReason::OutputFailed => "output_failed",
            FinishReason::InputFailed => "input_failed",
        }
    }
}

/// The end of a run.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Why it ended.
    pub reason: FinishReason,
    /// The final counters.
    pub totals: Snapshot,
}
