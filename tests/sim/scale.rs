//! A hundred hosts at a time through a thousand proxies for hours: what is remembered, and the work of a choice, stay bounded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proxywheel::outcome::Blame;
use proxywheel::pool::{Ask, Avoid, Demand, HostIdx, Pool, ProbeResult, Settings, Settlement};
use proxywheel::proxy::{Proxy, Scheme};
use rand::SeedableRng;
use rand::rngs::StdRng;

const HOSTS: u32 = 100;
const PROXIES: u32 = 1000;
/// Requests in an hour.
const PART: u32 = 10_000;

/// Asks a hundred hosts from `first` on in turn for an hour; members judged for one choice on average.
fn hour(pool: &mut Pool, first: u32, now: &mut Instant, rng: &mut StdRng) -> f64 {
    let avoid = Avoid::default();
    let (_, before) = pool.effort();
    for n in 0..PART {
        let ask = Ask {
            host: HostIdx(first + n % HOSTS),
            tunnel: true,
            avoid: &avoid,
            filter: None,
            pinned: None,
            endgame: false,
            proven_first: false,
        };
        let leased = pool.lease(&ask, *now, rng, &mut |_| true);
        let lease = leased.expect("somebody is READY");
        *now += Duration::from_secs(3600) / PART;
        // One in a hundred is refused, so that there are bans and quotas to remember.
        let blame = if n % 97 == 0 {
            Blame::Pair
        } else {
            Blame::Nobody
        };
        let report = Settlement {
            latency: Duration::from_millis(500),
            ..Settlement::new(blame)
        };
        pool.settle(lease, &report, *now);
    }
    let (_, after) = pool.effort();
    (after - before) as f64 / f64::from(PART)
}

#[test]
fn pairs_are_forgotten_and_choices_take_no_more_work_than_at_first() {
    #[expect(clippy::disallowed_methods, reason = "only differences to it are used")]
    let mut now = Instant::now();
    let mut rng = StdRng::seed_from_u64(1);
    let list = (0..PROXIES).map(|n| {
        let host = format!("10.{}.{}.1", n / 256, n % 256);
        Arc::new(Proxy::new(Scheme::Http, &host, 80, None))
    });
    let mut pool = Pool::new(list.collect(), Settings::default(), now, &mut rng);
    let hungry = Demand {
        slots: u32::MAX,
        idle: u32::MAX,
        probe_limit: u32::MAX,
        waiting: true,
        ..Demand::default()
    };
    let connected = ProbeResult::Alive {
        connect: Duration::from_millis(50),
        handshake: None,
    };
    while let Some(lease) = pool.next_probe(hungry, now, &mut rng) {
        pool.settle_probe(lease, connected, now, &mut rng);
    }
    let first = hour(&mut pool, 0, &mut now, &mut rng);
    let mut remembered = Vec::new();
    for part in 1..12 {
        let work = hour(&mut pool, part * HOSTS, &mut now, &mut rng);
        assert!(
            work < 1.5 * first,
            "{work} members judged, at first {first}"
        );
        remembered.push(pool.effort().0);
    }
    let (one, last) = (remembered[1], remembered[10]);
    assert!(
        last <= one + one / 4,
        "pairs that are remembered: {remembered:?}"
    );
}
