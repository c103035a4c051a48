//! A list as one finds them, and the truth about every entry.

use std::time::Duration;

use proxywheel::check::Verdict;
use proxywheel::lab::{BadTls, Fault, ProxySpec};
use proxywheel::proxy::Scheme;

/// Limits that the check is given; what a dead entry costs follows from them.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
pub(crate) const MAX_TIME: Duration = Duration::from_secs(5);

/// One sort of entry.
pub(crate) struct Sort {
    pub(crate) spec: ProxySpec,
    pub(crate) verdict: Verdict,
    /// How long an entry holds its place because nobody answers.
    pub(crate) waits: Duration,
}

fn sort(scheme: Scheme, faults: &[Fault], verdict: Verdict, waits: Duration) -> Sort {
    let mut spec = ProxySpec::new(scheme);
    for fault in faults {
        spec = spec.fault(fault.clone());
    }
    if matches!(verdict, Verdict::Alive | Verdict::Hostile) {
        spec = spec.latency(Duration::from_millis(5), Duration::from_millis(40));
    }
    Sort {
        spec,
        verdict,
        waits,
    }
}

fn dead() -> Vec<Sort> {
    let none = Duration::ZERO;
    let http = |fault, waits| sort(Scheme::Http, &[fault], Verdict::Dead, waits);
    vec![
        http(Fault::Refuse, none),
        http(Fault::BlackHole, CONNECT_TIMEOUT),
        http(Fault::HangAfterAccept, MAX_TIME),
        http(Fault::Reset, none),
        http(Fault::Garbage, none),
        http(Fault::BlackHole, CONNECT_TIMEOUT),
        http(Fault::Refuse, none),
        sort(Scheme::Socks5, &[Fault::Garbage], Verdict::Dead, none),
        sort(
            Scheme::Socks5,
            &[Fault::HangAfterAccept],
            Verdict::Dead,
            CONNECT_TIMEOUT,
        ),
        // Silent to plain requests and in tunnels; both are asked at a time.
        http(Fault::HangAfterConnect, MAX_TIME),
    ]
}

fn hostile() -> Vec<Sort> {
    let http = |fault| sort(Scheme::Http, &[fault], Verdict::Hostile, Duration::ZERO);
    vec![
        http(Fault::InjectScript),
        http(Fault::TlsIntercept),
        http(Fault::ForeignPage),
        http(Fault::Empty200),
        http(Fault::Stale),
        http(Fault::RedirectLoop),
        http(Fault::BadTls(BadTls::WrongName)),
        sort(
            Scheme::Socks5,
            &[Fault::TlsIntercept],
            Verdict::Hostile,
            Duration::ZERO,
        ),
    ]
}

fn good() -> Vec<Sort> {
    let good = |scheme, faults: &[Fault]| sort(scheme, faults, Verdict::Alive, Duration::ZERO);
    vec![
        good(Scheme::Http, &[]),
        good(Scheme::Socks5, &[]),
        good(Scheme::Http, &[Fault::NoTunnel]),
        good(Scheme::Https, &[]),
        good(Scheme::Http, &[Fault::LeakHeader]),
        good(Scheme::Socks4a, &[]),
        good(Scheme::Http, &[Fault::KeepaliveClose]),
    ]
}

/// `count` entries of which so many of a hundred are dead and hostile; the rest is good. Every sort comes in turn.
pub(crate) fn crowd(count: usize, dead_percent: usize, hostile_percent: usize) -> Vec<Sort> {
    [
        (count * dead_percent / 100, dead as fn() -> Vec<Sort>),
        (count * hostile_percent / 100, hostile),
        (
            count - count * dead_percent / 100 - count * hostile_percent / 100,
            good,
        ),
    ]
    .into_iter()
    .flat_map(|(count, make)| std::iter::repeat_with(make).flatten().take(count))
    .collect()
}

/// `count` entries of which one in a thousand is good and nobody listens at the others.
pub(crate) fn desert(count: usize) -> Vec<Sort> {
    (0..count)
        .map(|at| match at % 1000 {
            0 => sort(Scheme::Http, &[], Verdict::Alive, Duration::ZERO),
            _ => sort(
                Scheme::Http,
                &[Fault::Refuse],
                Verdict::Dead,
                Duration::ZERO,
            ),
        })
        .collect()
}
