//! The uplink of this machine goes and comes back.

use super::*;

/// Twenty proxies that have served once each.
fn served() -> Bench {
    let mut bench = Bench::of(20);
    for _ in 0..20 {
        bench.attempt(HOST, &success(500));
    }
    bench.wait(60.0);
    bench
}

fn scores(bench: &Bench) -> Vec<Option<u8>> {
    (0..20).map(|n| bench.score(&proxy(n))).collect()
}

#[test]
fn when_every_connect_fails_nobody_is_charged_and_nobody_is_leased_until_one_works() {
    let mut bench = served();
    let before = scores(&bench);
    let under_way = bench.lease(HOST).expect("all are READY");
    let mut failures = 0;
    while let Ok(lease) = bench.lease(HOST) {
        assert!(!bench.pool.excuses(&lease, Blame::Unknown));
        bench.wait(0.01);
        bench.settle(lease, &unreachable(REFUSED));
        failures += 1;
    }
    assert_eq!(failures, 10);
    assert_eq!(
        bench.lease(HOST).unwrap_err().reason,
        RefusalReason::NoUplink
    );
    assert_eq!((bench.counts().ready, scores(&bench)), (20, before.clone()));
    assert!(bench.pool.excuses(&under_way, Blame::Unknown));

    // What had begun before is answered; that it does not know of the outage says nothing.
    bench.settle(under_way, &success(500));
    assert!(bench.pool.is_paused());
    let mut looks = 0;
    for _ in 0..100 {
        bench.wait(0.1);
        looks += bench.probe_all(|_| failed(Blame::Proxy(Charge::Unreachable), REFUSED));
    }
    assert!((20..=35).contains(&looks), "{looks} in ten seconds");
    assert_eq!(bench.counts().ready, 20);
    bench.wait(0.5);
    assert_eq!(bench.probe_all(|_| CONNECTED), 1);
    assert!(bench.lease(HOST).is_ok());
}

#[test]
fn an_outage_without_end_is_waited_for_five_minutes() {
    let mut bench = served();
    while let Ok(lease) = bench.lease(HOST) {
        bench.settle(lease, &unreachable(TIMEOUT));
    }
    bench.wait(299.0);
    assert!(bench.pool.is_paused() && !bench.pool.is_exhausted(bench.now));
    bench.wait(2.0);
    assert!(bench.pool.is_exhausted(bench.now));
}

#[test]
fn a_provider_that_goes_down_is_charged_for_it() {
    let neighbour = |n: u32| Proxy::new(Scheme::Http, &format!("10.9.1.{n}"), 80, None);
    let mut bench = Bench::ready(list((0..20).map(neighbour)), Strategy::Best);
    for _ in 0..20 {
        bench.attempt(HOST, &success(500));
    }
    while let Ok(lease) = bench.lease(HOST) {
        bench.settle(lease, &unreachable(REFUSED));
    }
    assert!(!bench.pool.is_paused());
    assert_eq!(bench.counts().quarantined, 20);
}
