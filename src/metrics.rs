//! Counters of a run, published as a snapshot a few times a second and once at the end.

mod binding;
mod distinct;
mod ledger;

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::time::Duration;

use crate::ban::BLOCKS_CLIENT;
use crate::job::HostKey;
use crate::outcome::{Blame, Charge, FaultKind, Finished, Outcome, Phase, Record};
use crate::output::Earlier;
pub use crate::pool::Counts as PoolCounts;
use crate::proxy::{Price, Scheme};
pub use binding::{Binding, Wait};
use distinct::Distinct;
use foldhash::fast::RandomState;
pub use ledger::{Ledger, Spend, rounded};

/// What has happened so far. Cheap to clone but for the per-host part, which is bounded.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// Since the run began.
    pub elapsed: Duration,
    /// How long until it begins, while it waits for that.
    pub starts_in: Option<Duration>,
    /// Jobs read from the input.
    pub read: u64,
    /// True when the input has ended, so that `read` is the total.
    pub input_ended: bool,
    /// Jobs not read yet, about, as far as the input can tell; whoever reads the input may set it.
    pub to_come: Option<u64>,
    /// How jobs ended that are not done again; whoever resumes an output may set it.
    pub earlier: Earlier,
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
    /// Answers that fields were extracted from.
    pub looked_at: u64,
    /// In how many of them each field was found, in any row; 0 is there, too.
    pub fields: BTreeMap<Box<str>, u64>,
    /// Attempts made beside another one of their job that took too long.
    pub hedges: u64,
    /// Retries by the outcome that caused them; `local` where it was this machine.
    pub retry_reasons: BTreeMap<&'static str, u64>,
    /// Connect probes.
    pub probes: u64,
    /// Probes that failed.
    pub probes_failed: u64,
    /// Distinct proxies by what went wrong with them, in probes or in attempts: `connect refused`, `handshake rejected 403`. One
    /// that fails in two ways is counted in both, and one that took the place of another in a reloaded list is not told apart.
    pub proxy_faults: BTreeMap<String, u64>,
    /// Attempts whose HTTP/2 stream or connection the target has ended with an error code.
    pub http2_ended: u64,
    /// Distinct proxies that took a connection and answered nothing that their protocol knows, as long as none has served: in all
    /// likelihood they speak another one.
    pub foreign: Foreign,
    /// Requests in flight now.
    pub in_flight: u64,
    /// Jobs read but not in flight.
    pub queued: u64,
    /// The pool now.
    pub pool: PoolCounts,
    /// What holds dispatch back now; at the end of a run, what did for more than half of it.
    pub binding: Option<Binding>,
    /// Whom that is about.
    pub wait: Wait,
    /// Body bytes on the wire.
    pub bytes_wire: u64,
    /// Body bytes decoded.
    pub bytes_body: u64,
    /// What was used of the proxies, and what it cost.
    pub ledger: Ledger,
    /// Jobs without a record at the end, unread input included; `None` while the run goes on, and when nobody can know.
    pub left: Option<u64>,
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
#[non_exhaustive]
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
    /// Jobs that were not asked for, because the host had challenged every exit ([`crate::ban::Hosts::gives_up`]).
    pub not_asked: u64,
    /// Milliseconds its jobs waited for limits and cooldowns.
    pub wait_ms: f64,
    /// What its failed jobs failed with most.
    pub worst: Option<Outcome>,
}

/// Proxies that seem to speak another protocol, by the one they are listed with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Foreign {
    /// `http` and `https`.
    pub http: u64,
    /// `socks4`, `socks4a`, `socks5` and `socks5h`.
    pub socks: u64,
}

impl Foreign {
    /// Both.
    pub fn all(self) -> u64 {
        self.http + self.socks
    }
}

/// A cap of the run, set by the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cap {
    /// `--deadline`.
    Deadline,
    /// `--max-requests`.
    Requests,
    /// `--max-bytes`.
    Bytes,
    /// `--max-cost`.
    Cost,
}

impl Cap {
    /// The flag.
    pub fn flag(self) -> &'static str {
        match self {
            Cap::Deadline => "--deadline",
            Cap::Requests => "--max-requests",
            Cap::Bytes => "--max-bytes",
            Cap::Cost => "--max-cost",
        }
    }
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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
    /// The output is a pipe that nobody reads any more.
    ReaderGone,
    /// A cap was reached; the rest of the input has no rows.
    Capped(Cap),
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
            FinishReason::ReaderGone => "reader_gone",
            FinishReason::Capped(Cap::Deadline) => "deadline",
            FinishReason::Capped(Cap::Requests) => "max_requests",
            FinishReason::Capped(Cap::Bytes) => "max_bytes",
            FinishReason::Capped(Cap::Cost) => "max_cost",
        }
    }
}

/// The end of a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Summary {
    /// Why it ended.
    pub reason: FinishReason,
    /// The final counters.
    pub totals: Snapshot,
}

/// Latency buckets: 24 per decade from 0.1 ms to 1000 s, so a percentile is off by at most 5 %.
const BUCKETS: usize = 24 * 7;
const BUCKETS_PER_DECADE: f64 = 24.0;
const FIRST_BUCKET_MS: f64 = 0.1;

/// A host as the engine knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host<'a> {
    pub(crate) number: u32,
    pub(crate) key: &'a HostKey,
}

/// Collects what the engine reports and makes snapshots of it.
#[derive(Debug)]
pub(crate) struct Tally {
    snapshot: Snapshot,
    /// Proxies by what went wrong with them.
    faults: HashMap<(Phase, FaultKind), Distinct, RandomState>,
    /// What [`Snapshot::foreign`] counts.
    foreign: [Distinct; 2],
    latency: Box<[u64; BUCKETS]>,
    /// By the engine's number of the host.
    hosts: HashMap<u32, HostTally, RandomState>,
}

/// What a proxy was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Useful,
    Retry,
    Probe,
}

#[derive(Debug, Default)]
struct HostTally {
    stats: HostStats,
    failures: [u64; Outcome::ALL.len()],
}

impl Tally {
    pub(crate) fn new() -> Self {
        let snapshot = Snapshot::default();
        Tally {
            snapshot,
            faults: HashMap::default(),
            foreign: Default::default(),
            latency: Box::new([0; BUCKETS]),
            hosts: HashMap::default(),
        }
    }

    /// The counters that the engine sets directly.
    pub(crate) fn counters(&mut self) -> &mut Snapshot {
        &mut self.snapshot
    }

    /// Jobs that have their record.
    pub(crate) fn done(&self) -> u64 {
        self.snapshot.done
    }

    /// So much of a proxy was used by the probe lane, or by an attempt that was `useful` or not.
    pub(crate) fn used(&mut self, what: Use, price: Option<Price>, used: Spend) {
        let ledger = &mut self.snapshot.ledger;
        ledger.is_priced |= price.is_some();
        match what {
            Use::Useful => ledger.useful.add(used),
            Use::Retry => ledger.retry.add(used),
            Use::Probe => ledger.probe.add(used),
        }
    }

    /// A request was sent; `retry_of` names what made it necessary, as [`Snapshot::retry_reasons`] has it.
    pub(crate) fn attempt(&mut self, retry_of: Option<&'static str>) {
        self.snapshot.attempts += 1;
        if let Some(reason) = retry_of {
            self.snapshot.retries += 1;
            *self.snapshot.retry_reasons.entry(reason).or_default() += 1;
        }
    }

    /// A second attempt of a job leaves while the first is in flight.
    pub(crate) fn hedged(&mut self) {
        self.snapshot.attempts += 1;
        self.snapshot.hedges += 1;
    }

    /// An attempt came back.
    pub(crate) fn landed(&mut self, host: Host<'_>, outcome: Outcome, took: Duration) {
        if outcome == Outcome::Ok {
            let ms = took.as_secs_f64() * 1000.0;
            let at = ((ms / FIRST_BUCKET_MS).max(1.0).log10() * BUCKETS_PER_DECADE) as usize;
            self.latency[at.min(BUCKETS - 1)] += 1;
        }
        if let Some(host) = self.host(host) {
            host.stats.attempts += 1;
            match outcome {
                Outcome::RateLimited => host.stats.rate_limited += 1,
                Outcome::Banned => host.stats.banned += 1,
                _ => {}
            }
        }
    }

    /// The target has ended the HTTP/2 stream or connection of an attempt with an error code.
    pub(crate) fn http2_ended(&mut self) {
        self.snapshot.http2_ended += 1;
    }

    /// A proxy failed, in a probe or in an attempt. Refused credentials are called that, whatever status said so: some proxies
    /// answer CONNECT with 401.
    pub(crate) fn proxy_fault(&mut self, proxy: u32, fault: (Phase, FaultKind), blame: Blame) {
        let (phase, kind) = fault;
        let refused = blame == Blame::Proxy(Charge::Auth);
        let key = (phase, if refused { FaultKind::Auth } else { kind });
        self.faults.entry(key).or_default().add(proxy);
    }

    /// A proxy that has never served met this, in a probe or in an attempt.
    pub(crate) fn stranger_failed(
        &mut self,
        proxy: u32,
        scheme: Scheme,
        fault: (Phase, FaultKind),
    ) {
        use FaultKind::{Closed, Malformed, Reset};
        if matches!(
            fault,
            (
                Phase::Handshake | Phase::Headers,
                Closed | Malformed | Reset
            )
        ) {
            self.foreign[usize::from(!scheme.is_http())].add(proxy);
        }
    }

    /// Distinct proxies that seem to speak another protocol than they are listed with.
    pub(crate) fn foreign(&self) -> Foreign {
        let [http, socks] = &self.foreign;
        Foreign {
            http: http.len(),
            socks: socks.len(),
        }
    }

    /// A job has its record.
    pub(crate) fn finished(&mut self, host: Option<Host<'_>>, record: &Record, waited: Duration) {
        let snapshot = &mut self.snapshot;
        snapshot.done += 1;
        let at = Outcome::ALL
            .iter()
            .position(|each| *each == record.outcome)
            .unwrap_or(0);
        snapshot.outcomes[at] += 1;
        if let Some(status) = record.status {
            *snapshot.statuses.entry(status).or_default() += 1;
        }
        snapshot.bytes_wire += record.size_wire.unwrap_or(0);
        snapshot.bytes_body += record.size_body.unwrap_or(0);
        if let Some(host) = host.and_then(|host| self.host(host)) {
            host.stats.done += 1;
            host.stats.wait_ms += waited.as_secs_f64() * 1000.0;
            if !record.ok {
                host.stats.failed += 1;
                host.failures[at] += 1;
                let rule = record.ban.as_ref().map(|ban| &*ban.rule);
                host.stats.not_asked += u64::from(rule == Some(BLOCKS_CLIENT));
            }
        }
    }

    /// The same job's fields, if any were extracted.
    pub(crate) fn extracted(&mut self, done: &Finished) {
        let Some(first) = &done.record.fields else {
            return;
        };
        self.snapshot.looked_at += 1;
        for (name, value) in first {
            let in_row = |row: &serde_json::Map<String, serde_json::Value>| {
                row.get(name).is_some_and(|value| !value.is_null())
            };
            let found = u64::from(!value.is_null() || done.more.iter().any(in_row));
            match self.snapshot.fields.get_mut(name.as_str()) {
                Some(count) => *count += found,
                None => {
                    self.snapshot.fields.insert(name.as_str().into(), found);
                }
            }
        }
    }

    fn host(&mut self, host: Host<'_>) -> Option<&mut HostTally> {
        let full = self.hosts.len() >= MAX_HOSTS;
        match self.hosts.entry(host.number) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(_) if full => None,
            Entry::Vacant(entry) => {
                let tally = entry.insert(HostTally::default());
                tally.stats.host = host.key.to_string();
                Some(tally)
            }
        }
    }

    /// The counters now; `with_hosts` adds the per-host part.
    pub(crate) fn snapshot(&self, elapsed: Duration, with_hosts: bool) -> Snapshot {
        let mut snapshot = self.snapshot.clone();
        snapshot.elapsed = elapsed;
        snapshot.latency_ms = self.percentiles();
        let faults = self.faults.iter();
        snapshot.proxy_faults = faults
            .map(|((phase, kind), proxies)| (format!("{phase} {kind}"), proxies.len()))
            .collect();
        if snapshot.pool.proven == 0 {
            snapshot.foreign = self.foreign();
        }
        if with_hosts {
            snapshot.hosts = self.hosts.values().map(HostTally::stats).collect();
            snapshot
                .hosts
                .sort_by(|a, b| (b.failed, &a.host).cmp(&(a.failed, &b.host)));
        }
        snapshot
    }

    fn percentiles(&self) -> Option<[f64; 3]> {
        let total: u64 = self.latency.iter().sum();
        if total == 0 {
            return None;
        }
        Some([0.50, 0.95, 0.99].map(|share| {
            let wanted = (total as f64 * share).ceil() as u64;
            let mut seen = 0;
            let at = self.latency.iter().position(|count| {
                seen += count;
                seen >= wanted
            });
            let middle = (at.unwrap_or(BUCKETS - 1) as f64 + 0.5) / BUCKETS_PER_DECADE;
            FIRST_BUCKET_MS * 10f64.powf(middle)
        }))
    }
}

impl HostTally {
    fn stats(&self) -> HostStats {
        let worst = Outcome::ALL
            .into_iter()
            .zip(self.failures)
            .max_by_key(|(_, count)| *count);
        HostStats {
            worst: worst
                .filter(|(_, count)| *count > 0)
                .map(|(outcome, _)| outcome),
            ..self.stats.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_five_percent() {
        let mut tally = Tally::new();
        let key = HostKey {
            https: true,
            host: "a.test".into(),
            port: 443,
        };
        let host = Host {
            number: 0,
            key: &key,
        };
        for ms in 1..=1000 {
            tally.landed(host, Outcome::Ok, Duration::from_millis(ms));
        }
        let snapshot = tally.snapshot(Duration::ZERO, true);
        let [p50, p95, p99] = snapshot.latency_ms.unwrap();
        for (found, truth) in [(p50, 500.0), (p95, 950.0), (p99, 990.0)] {
            assert!((found / truth - 1.0f64).abs() < 0.06, "{found} for {truth}");
        }
        assert_eq!(snapshot.hosts[0].attempts, 1000);
    }
}
