//! What the lab has seen: counters that are always on, and a log of hits that is asked for.
//!
//! Counters are relaxed atomics: they order nothing, they are read after the traffic. The log is bounded; what does not fit
//! is counted, never silently lost.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A counter.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Adds one and returns the count before.
    pub(super) fn bump(&self) -> u64 {
        self.add(1)
    }

    /// Adds and returns the count before.
    pub(super) fn add(&self, amount: u64) -> u64 {
        self.0.fetch_add(amount, Ordering::Relaxed)
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Live counters of one proxy.
#[derive(Debug, Default)]
pub(super) struct ProxyCounters {
    pub(super) connections: Count,
    pub(super) requests: Count,
    pub(super) tunnels: Count,
    pub(super) auth_failures: Count,
    pub(super) bytes_sent: Count,
    pub(super) bytes_wire: Count,
}

impl ProxyCounters {
    pub(super) fn snapshot(&self) -> ProxyStats {
        ProxyStats {
            connections: self.connections.read(),
            requests: self.requests.read(),
            tunnels: self.tunnels.read(),
            auth_failures: self.auth_failures.read(),
            bytes_sent: self.bytes_sent.read(),
            bytes_wire: self.bytes_wire.read(),
        }
    }
}

/// Live counters of one host.
#[derive(Debug, Default)]
pub(super) struct HostCounters {
    pub(super) requests: Count,
    pub(super) connections_refused: Count,
    pub(super) rate_limited: Count,
    pub(super) banned: Count,
    pub(super) errors: Count,
}

impl HostCounters {
    pub(super) fn snapshot(&self) -> HostStats {
        HostStats {
            requests: self.requests.read(),
            connections_refused: self.connections_refused.read(),
            rate_limited: self.rate_limited.read(),
            banned: self.banned.read(),
            errors: self.errors.read(),
        }
    }
}

/// What one proxy has done. Behind a gateway each exit counts for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProxyStats {
    /// Accepted connections; those of a gateway are counted at its first exit.
    pub connections: u64,
    /// Requests read: absolute-form, CONNECT and SOCKS.
    pub requests: u64,
    /// Tunnels opened.
    pub tunnels: u64,
    /// Missing or wrong credentials.
    pub auth_failures: u64,
    /// Bytes sent to clients outside of tunnels.
    pub bytes_sent: u64,
    /// Bytes on the connections of clients, both ways: what a provider bills. Those of a gateway are counted at its first exit.
    pub bytes_wire: u64,
}

/// What one host has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostStats {
    /// Requests that arrived, refused ones included.
    pub requests: u64,
    /// Connections refused because the host was down.
    pub connections_refused: u64,
    /// Answered 429 by its rate limit.
    pub rate_limited: u64,
    /// Answered by a ban.
    pub banned: u64,
    /// Answered with the status of its error plan.
    pub errors: u64,
}

/// A snapshot of all counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// By proxy number.
    pub proxies: Vec<ProxyStats>,
    /// By host name, as far as they were asked for.
    pub hosts: BTreeMap<String, HostStats>,
    /// Hits that did not fit into the log.
    pub hits_dropped: u64,
}

impl Stats {
    /// The sum over all proxies.
    pub fn proxy_total(&self) -> ProxyStats {
        let mut total = ProxyStats::default();
        for each in &self.proxies {
            total.connections += each.connections;
            total.requests += each.requests;
            total.tunnels += each.tunnels;
            total.auth_failures += each.auth_failures;
            total.bytes_sent += each.bytes_sent;
            total.bytes_wire += each.bytes_wire;
        }
        total
    }

    /// The sum over all hosts.
    pub fn host_total(&self) -> HostStats {
        let mut total = HostStats::default();
        for each in self.hosts.values() {
            total.requests += each.requests;
            total.connections_refused += each.connections_refused;
            total.rate_limited += each.rate_limited;
            total.banned += each.banned;
            total.errors += each.errors;
        }
        total
    }
}

/// One request as an origin saw it.
#[derive(Debug, Clone)]
pub struct Hit {
    /// When its head had arrived.
    pub at: Instant,
    /// The proxy it came through; `None` is a direct connection, which only a pool with `direct` may make.
    pub proxy: Option<u32>,
    /// The address the origin saw.
    pub peer: IpAddr,
    /// Host name, lower case.
    pub host: String,
    /// Inside TLS.
    pub https: bool,
    /// Came over HTTP/2.
    pub http2: bool,
    /// Request method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// The first [`Hit::MAX_HEADERS`] headers in order, each value cut at [`Hit::MAX_VALUE_CHARS`].
    pub headers: Vec<(String, String)>,
    /// Bytes of the request body.
    pub body_bytes: u64,
    /// The TLS session was resumed, and was first made through this proxy (`None` inside: directly).
    pub resumed_from: Option<Option<u32>>,
}

impl Hit {
    /// Headers kept of a request.
    pub const MAX_HEADERS: usize = 64;
    /// Characters kept of a header value.
    pub const MAX_VALUE_CHARS: usize = 256;

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(each, _)| each.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// The log of hits.
#[derive(Debug, Default)]
pub(super) struct HitLog {
    capacity: usize,
    hits: Mutex<Vec<Hit>>,
    dropped: Count,
}

impl HitLog {
    /// A log of at most `capacity` hits; 0 logs nothing and counts nothing as dropped.
    pub(super) fn new(capacity: usize) -> Self {
        HitLog {
            capacity,
            ..HitLog::default()
        }
    }

    /// Logs what `hit` makes, if it is asked for and fits.
    pub(super) fn record(&self, hit: impl FnOnce() -> Hit) {
        if self.capacity == 0 {
            return;
        }
        let hit = hit();
        let mut hits = self.hits.lock().unwrap_or_else(PoisonError::into_inner);
        if hits.len() < self.capacity {
            hits.push(hit);
        } else {
            self.dropped.bump();
        }
    }

    pub(super) fn all(&self) -> Vec<Hit> {
        self.hits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn take(&self) -> Vec<Hit> {
        std::mem::take(&mut *self.hits.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.read()
    }
}

/// The most hits of one key in any window of this length, wherever the window starts: what a rate limit is checked with.
pub fn busiest_window<K: Eq + Hash>(
    hits: &[Hit],
    window: Duration,
    key: impl Fn(&Hit) -> K,
) -> usize {
    let mut times: HashMap<K, Vec<Instant>> = HashMap::new();
    for hit in hits {
        times.entry(key(hit)).or_default().push(hit.at);
    }
    let mut most = 0;
    for times in times.values_mut() {
        times.sort_unstable();
        let mut first = 0;
        for (last, at) in times.iter().enumerate() {
            while *at - times[first] >= window {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
    }
    most
}

/// Requests counted in windows that follow one another without a gap.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    start: Option<Instant>,
    count: u32,
}

impl Window {
    /// Counts one request; the time until the window ends when it is one too many.
    pub(super) fn excess(
        &mut self,
        now: Instant,
        requests: u32,
        window: Duration,
    ) -> Option<Duration> {
        let start = match self.start {
            Some(start) if now - start < window => start,
            _ => {
                self.count = 0;
                now
            }
        };
        self.start = Some(start);
        self.count = self.count.saturating_add(1);
        (self.count > requests).then(|| window - (now - start))
    }
}

/// A number that depends on all four and on nothing else: the lab's dice. (SplitMix64's finaliser.)
pub(super) fn dice(seed: u64, a: u64, b: u64, c: u64) -> u64 {
    let mut state = seed;
    for part in [a, b, c] {
        state = state.wrapping_add(part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 31;
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn a_window_lets_its_quota_pass_and_says_when_it_ends() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut window = Window::default();
        assert_eq!(window.excess(start, 2, second), None);
        assert_eq!(window.excess(start, 2, second), None);
        assert_eq!(
            window.excess(start + second / 4, 2, second),
            Some(second * 3 / 4)
        );
        assert_eq!(window.excess(start + second, 2, second), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn the_busiest_window_may_start_anywhere() {
        let start = Instant::now();
        let hit = |ms: u64, host: &str| Hit {
            at: start + Duration::from_millis(ms),
            proxy: None,
            peer: std::net::Ipv4Addr::LOCALHOST.into(),
            host: host.to_owned(),
            https: false,
            http2: false,
            method: String::new(),
            path: String::new(),
            headers: Vec::new(),
            body_bytes: 0,
            resumed_from: None,
        };
        let hits = [
            hit(0, "a"),
            hit(900, "a"),
            hit(1100, "a"),
            hit(1899, "a"),
            hit(1000, "b"),
        ];
        let second = Duration::from_secs(1);
        assert_eq!(busiest_window(&hits, second, |hit| hit.host.clone()), 3);
        assert_eq!(busiest_window(&hits, second, |_| ()), 4);
    }
}
