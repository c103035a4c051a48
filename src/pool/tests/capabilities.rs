//! What a proxy cannot do is told from what it fails at.

use super::*;

#[test]
fn missing_capabilities_cost_no_score_and_are_not_asked_for_again() {
    let mut bench = Bench::of(1);
    let before = bench.score(&proxy(0));
    bench.attempt(HOST, &Settlement::new(Blame::Proxy(Charge::NoTunnel)));
    assert_eq!(bench.score(&proxy(0)), before);
    let refusal = bench.lease(HOST).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::Incapable);
    assert_eq!(refusal.retry_at, None);
    let avoid = Avoid::default();
    let forward = Ask {
        tunnel: false,
        ..plain(HOST, &avoid)
    };
    let lease = bench.ask(&forward).expect("it still forwards");
    bench.settle(lease, &Settlement::new(Blame::Proxy(Charge::Policy)));
    assert_eq!(bench.score(&proxy(0)), before);
    assert_eq!(
        bench.ask(&forward).unwrap_err().reason,
        RefusalReason::Incapable
    );
    let elsewhere = Ask {
        host: OTHER,
        ..forward
    };
    assert!(bench.ask(&elsewhere).is_ok(), "the bar is for one host");
}

#[test]
fn a_404_to_connect_is_a_lack_of_tunnels_only_where_none_has_worked_and_the_host_is_up() {
    let report = |status| Settlement {
        kind: Some((Phase::Handshake, FaultKind::Rejected(status))),
        ..Settlement::new(Blame::Proxy(Charge::NoTunnel))
    };
    let mut bench = Bench::of(1);
    bench.probe_all(|_| CONNECTED);
    bench.attempt(OTHER, &success(50));
    for host in [HOST, OTHER, HOST] {
        bench.attempt(host, &report(404));
    }
    assert!(bench.lease(HOST).is_ok(), "it has tunnelled before");

    for is_up in [true, false] {
        let mut bench = Bench::of(2);
        let avoid = Avoid::default();
        let one = bench.lease(OTHER).expect("a proxy");
        let odd = bench.lease(HOST).expect("the other one");
        let pinned = Some(odd.idx);
        if is_up {
            bench.settle(one, &success(50));
        }
        bench.settle(odd, &report(404));
        bench.wait(60.0);
        bench.probe_all(|_| CONNECTED);
        let only = |host| Ask {
            pinned,
            ..plain(host, &avoid)
        };
        let again = bench.ask(&only(OTHER)).expect("it is back");
        bench.settle(again, &report(400));
        bench.wait(100.0);
        bench.probe_all(|_| CONNECTED);
        assert_eq!(bench.ask(&only(HOST)).is_err(), is_up);
    }

    let mut bench = Bench::of(1);
    bench.probe_all(|_| CONNECTED);
    bench.attempt(HOST, &report(405));
    assert_eq!(
        bench.lease(HOST).unwrap_err().reason,
        RefusalReason::Incapable
    );
}

#[test]
fn a_policy_against_a_host_that_was_reached_rests_the_pair_and_is_final_when_it_comes_again() {
    let mut bench = Bench::of(1);
    bench.probe_all(|_| CONNECTED);
    let refused = Settlement::new(Blame::Proxy(Charge::Policy));
    bench.attempt(HOST, &success(50));
    for reason in [RefusalReason::AllCooling, RefusalReason::Incapable] {
        bench.wait(100.0);
        bench.attempt(HOST, &refused);
        assert_eq!(bench.lease(HOST).unwrap_err().reason, reason);
    }
    // Somebody was let through in between.
    bench.attempt(OTHER, &success(50));
    for _ in 0..3 {
        bench.wait(100.0);
        bench.attempt(OTHER, &refused);
        bench.wait(100.0);
        bench.attempt(OTHER, &success(50));
    }
    // Its number is another host's now.
    let gone = HashSet::from([OTHER.0]);
    bench.pool.forget_hosts(&gone);
    bench.attempt(OTHER, &refused);
    let refusal = bench.lease(OTHER).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::Incapable);
}
