//! Who is chosen, strategy by strategy.

use std::collections::HashMap;

use super::*;
use crate::job::LabelFilter;
use crate::proxy::ProxyId;

/// Uses per proxy of `attempts` successes, one after the other.
fn uses(
    bench: &mut Bench,
    attempts: u32,
    latency_ms: impl Fn(&Proxy) -> u64,
) -> HashMap<ProxyId, u32> {
    let mut uses = HashMap::new();
    for _ in 0..attempts {
        bench.wait(0.01);
        let lease = bench.lease(HOST).expect("a proxy is READY");
        *uses.entry(lease.proxy.id()).or_default() += 1;
        let report = success(latency_ms(&lease.proxy));
        bench.settle(lease, &report);
    }
    uses
}

#[test]
fn round_robin_is_exact_and_serves_newcomers_first() {
    let mut bench = Bench::ready(list((0..100).map(proxy)), Strategy::RoundRobin);
    let all = uses(&mut bench, 300, |_| 500);
    assert!(all.values().all(|count| *count == 3) && all.len() == 100);
    let longer = list((0..101).map(proxy));
    bench.pool.replace(longer, bench.now, &mut bench.rng);
    bench.probe_all(|_| CONNECTED);
    let next = bench.attempt(HOST, &success(500));
    assert_eq!(next.id(), proxy(100).id());
    bench.pool.roster.check();
}

#[test]
fn round_robin_does_not_meet_a_long_row_of_cooling_proxies_again_and_again() {
    const COUNT: u32 = 5000;
    let mut bench = Bench::ready(list((0..COUNT).map(proxy)), Strategy::RoundRobin);
    for _ in 0..1500 {
        bench.attempt(HOST, &Settlement::new(Blame::Pair));
    }
    uses(&mut bench, COUNT - 1500, |_| 500);
    // The cooling ones come first in turn now, and can only serve others.
    bench.attempt(HOST, &success(500));
    let first = bench.pool.roster.in_turn().next().unwrap();
    assert!(bench.pool.roster.slot(first).is_proven(), "passed over");
    bench.pool.roster.check();
}

#[test]
fn random_is_even() {
    let mut bench = Bench::ready(list((0..100).map(proxy)), Strategy::Random);
    let all = uses(&mut bench, 10_000, |_| 500);
    // Mean 100, standard deviation 10.
    assert!(
        all.len() == 100 && all.values().all(|count| (50..150).contains(count)),
        "{all:?}"
    );
}

#[test]
fn weighted_follows_the_labels_with_and_without_a_filter() {
    let weighted = |n: u32| {
        proxy(n).with_labels(Labels {
            weight: Some(if n == 0 { 3.0 } else { n as f32 % 2.0 }),
            tags: vec!["a".into()],
            ..Labels::default()
        })
    };
    let filter = LabelFilter {
        country: None,
        tags: vec!["a".into()],
    };
    for filter in [None, Some(&filter)] {
        let mut bench = Bench::ready(list((0..10).map(weighted)), Strategy::Weighted);
        let avoid = Avoid::default();
        let mut uses: HashMap<ProxyId, u32> = HashMap::new();
        for _ in 0..8000 {
            let ask = Ask {
                filter,
                ..plain(HOST, &avoid)
            };
            let lease = bench.ask(&ask).unwrap();
            *uses.entry(lease.proxy.id()).or_default() += 1;
            bench.settle(lease, &success(500));
        }
        // 3 for one, 1 for five others, 0 for four.
        assert_eq!(uses.len(), 6);
        assert!((2700..3300).contains(&uses[&proxy(0).id()]), "{uses:?}");
        assert!((850..1150).contains(&uses[&proxy(7).id()]), "{uses:?}");
    }
}

#[test]
fn least_busy_spreads_requests_in_flight() {
    let mut bench = Bench::ready(list((0..20).map(proxy)), Strategy::LeastBusy);
    uses(&mut bench, 400, |_| 500);
    let leases: Vec<_> = (0..40).map(|_| bench.lease(HOST).unwrap()).collect();
    let most = leases.iter().map(|lease| lease.in_flight_at_dispatch).max();
    assert_eq!(most, Some(2));
}

#[test]
fn best_prefers_fast_proxies_and_never_instant_failures() {
    let mut bench = Bench::ready(list((0..40).map(proxy)), Strategy::Best);
    let hole = proxy(0).id();
    let fast = proxy(1).id();
    let mut counts: HashMap<ProxyId, u32> = HashMap::new();
    for _ in 0..2000 {
        bench.wait(0.05);
        let lease = bench.lease(HOST).unwrap();
        let id = lease.proxy.id();
        *counts.entry(id).or_default() += 1;
        // The hole answers at once, with failures that are the proxy's but keep it READY: reset after reset.
        let report = if id == hole {
            Settlement::new(Blame::Unknown)
        } else {
            success(if id == fast { 200 } else { 2000 })
        };
        bench.settle(lease, &report);
        bench.probe_all(|_| CONNECTED);
    }
    assert!(counts[&hole] < 20, "{} to the hole", counts[&hole]);
    assert!(counts[&fast] > 1500, "{} to the fast one", counts[&fast]);
}
