//! The probe lane: whom, when, how many, and when to stop.

use super::*;
use crate::job::LabelFilter;

const REFUSING: ProbeResult = ProbeResult::Failed {
    blame: Blame::Proxy(Charge::Unreachable),
    kind: REFUSED,
};

fn lane(slots: u32, probing: u32) -> Demand {
    Demand {
        slots,
        idle: slots,
        probing,
        probe_limit: 50,
        waiting: true,
        work_left: None,
        last_pick_failed: false,
    }
}

/// Probes handed out until none is left, all kept.
fn fill(bench: &mut Bench, slots: u32) -> Vec<ProbeLease> {
    let mut out = Vec::new();
    while let Some(lease) = bench.next_probe(lane(slots, out.len() as u32)) {
        out.push(lease);
    }
    out
}

#[test]
fn a_starving_run_fills_the_lane_and_a_served_one_explores_a_fifth() {
    let mut bench = Bench::untried(list((0..400).map(proxy)), Settings::default());
    let first = fill(&mut bench, 100);
    assert_eq!(first.len(), 50, "the lane's limit");
    for lease in first {
        bench
            .pool
            .settle_probe(lease, CONNECTED, bench.now, &mut bench.rng);
    }
    assert_eq!(
        fill(&mut bench, 100).len(),
        50,
        "50 READY of one request are less than 100 slots"
    );
    assert_eq!(fill(&mut bench, 30).len(), 6);
    let idle = Demand {
        waiting: false,
        work_left: None,
        ..lane(1000, 0)
    };
    assert!(bench.next_probe(idle).is_none(), "nobody waits for a proxy");
    while bench.lease(HOST).is_ok() {}
    assert_eq!(
        fill(&mut bench, 30).len(),
        50,
        "a failed choice makes it hurry"
    );
    bench.wait(1.0);
    assert_eq!(fill(&mut bench, 30).len(), 6, "not for long");
}

#[test]
fn other_strategies_explore_the_whole_list() {
    let settings = Settings {
        strategy: Strategy::Random,
        ..Settings::default()
    };
    let mut bench = Bench::untried(list((0..400).map(proxy)), settings);
    for lease in fill(&mut bench, 1) {
        bench
            .pool
            .settle_probe(lease, CONNECTED, bench.now, &mut bench.rng);
    }
    assert_eq!(fill(&mut bench, 1).len(), 50);
}

#[test]
fn quarantine_grows_and_ends_by_a_probe_only() {
    let mut bench = Bench::of(1);
    bench.attempt(HOST, &success(500));
    let mut expected = 5.0;
    bench.attempt(HOST, &unreachable(REFUSED));
    for _ in 0..5 {
        let refusal = bench.lease(HOST).unwrap_err();
        assert_eq!(refusal.reason, RefusalReason::NoneReady);
        let wait = (refusal.retry_at.unwrap() - bench.now).as_secs_f64();
        assert!(
            (0.8..=1.2).contains(&(wait / expected)),
            "{wait} {expected}"
        );
        bench.wait(wait);
        assert!(
            bench.lease(HOST).is_err(),
            "time alone does not make it READY"
        );
        let served = Demand {
            slots: 1,
            ..lane(1, 0)
        };
        let probe = bench.next_probe(served).expect("its time is up");
        bench
            .pool
            .settle_probe(probe, REFUSING, bench.now, &mut bench.rng);
        expected = (expected * 3.0).min(1800.0);
    }
    bench.wait(3600.0);
    assert_eq!(bench.probe_all(|_| CONNECTED), 1);
    let one = bench.lease(HOST).expect("READY again");
    assert!(
        bench.lease(HOST).is_err(),
        "one request until it has answered"
    );
    bench.settle(one, &success(500));
    assert_eq!(bench.counts().ready, 1);
}

#[test]
fn nobody_explores_for_work_that_is_nearly_done() {
    let mut bench = Bench::untried(list((0..200).map(proxy)), Settings::default());
    // Enough READY ones for the one slot.
    for _ in 0..5 {
        let probe = bench.next_probe(lane(1, 0)).expect("a starving run");
        bench
            .pool
            .settle_probe(probe, CONNECTED, bench.now, &mut bench.rng);
    }
    let with_left = |seconds| Demand {
        work_left: Some(Duration::from_secs(seconds)),
        ..lane(1, 0)
    };
    assert!(bench.next_probe(with_left(4)).is_none());
    assert!(bench.next_probe(with_left(6)).is_some());
    assert!(bench.next_probe(lane(1, 1)).is_some(), "nobody knows");
    // Who starves looks on, however little is left.
    let starved = Demand {
        slots: 100,
        ..with_left(1)
    };
    assert!(bench.next_probe(starved).is_some());
}

#[test]
fn a_starving_run_looks_again_every_ten_seconds_at_everybody_once() {
    let mut bench = Bench::untried(list((0..30).map(proxy)), Settings::default());
    assert_eq!(bench.probe_all(|_| REFUSING), 30);
    assert_eq!(bench.probe_all(|_| REFUSING), 0);
    let wake = bench.pool.next_wake().expect("there is a next look");
    assert!((wake - bench.now).as_secs_f64() > 9.0);
    bench.wait(9.9);
    assert_eq!(bench.probe_all(|_| REFUSING), 0);
    bench.wait(0.2);
    assert_eq!(bench.probe_all(|_| REFUSING), 30);
}

#[test]
fn first_tries_of_unknown_proxies_are_short_once_connect_times_are_known() {
    let mut bench = Bench::untried(list((0..100).map(proxy)), Settings::default());
    let first = bench.next_probe(HUNGRY).unwrap();
    assert_eq!(first.connect_timeout, Duration::from_secs(4));
    bench
        .pool
        .settle_probe(first, REFUSING, bench.now, &mut bench.rng);
    for _ in 0..40 {
        let lease = bench.next_probe(HUNGRY).unwrap();
        bench
            .pool
            .settle_probe(lease, CONNECTED, bench.now, &mut bench.rng);
    }
    let unknown = bench.next_probe(HUNGRY).unwrap();
    assert_eq!(unknown.connect_timeout, Duration::from_millis(500));
    assert_eq!(
        bench.lease(HOST).unwrap().connect_timeout,
        Duration::from_millis(1500)
    );
}

#[test]
fn faults_of_this_machine_pause_the_lane_and_count_against_nobody() {
    let mut bench = Bench::untried(list((0..10).map(proxy)), Settings::default());
    let local = failed(Blame::Local, (Phase::Connect, FaultKind::Local));
    let mut pauses = Vec::new();
    for _ in 0..7 {
        assert_eq!(bench.probe_all(|_| local), 1);
        let wake = bench.pool.next_wake().expect("the pause ends");
        pauses.push((wake - bench.now).as_secs_f64());
        bench.now = wake;
    }
    assert_eq!(pauses, [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]);
    assert_eq!(bench.counts().unknown, 10);
    assert!(
        !bench
            .pool
            .is_exhausted(bench.now + Duration::from_secs(600))
    );
    assert_eq!(bench.probe_all(|_| CONNECTED), 10);
}

#[test]
fn a_handshake_that_fails_against_a_dead_host_does_not_shut_the_proxy() {
    let mut bench = Bench::untried(list((0..30).map(proxy)), Settings::default());
    for _ in 0..20 {
        let lease = bench.next_probe(HUNGRY).unwrap();
        bench
            .pool
            .settle_probe(lease, CONNECTED, bench.now, &mut bench.rng);
    }
    for _ in 0..40 {
        bench.attempt(OTHER, &success(300));
    }
    for _ in 0..40 {
        bench.attempt(HOST, &Settlement::new(Blame::Unknown));
    }
    let rejected = failed(Blame::Unknown, (Phase::Handshake, FaultKind::Rejected(502)));
    let mut on_host = |host, expected| {
        let mut lease = bench.next_probe(HUNGRY).unwrap();
        let proxy = lease.proxy.clone();
        lease.host = Some(host);
        bench
            .pool
            .settle_probe(lease, rejected, bench.now, &mut bench.rng);
        let slot = bench.pool.find(proxy.id()).unwrap();
        let ready = bench.pool.roster.slot(slot.0).state == super::super::slot::State::Ready;
        assert_eq!(ready, expected, "{host:?}");
    };
    on_host(HOST, true);
    on_host(OTHER, false);
}

#[test]
fn members_a_filtered_or_pinned_job_waits_for_are_probed_first() {
    let labelled = |n: u32| {
        let tags = if n == 500 {
            vec!["rare".into()]
        } else {
            Vec::new()
        };
        proxy(n).with_labels(Labels {
            tags,
            ..Labels::default()
        })
    };
    let mut bench = Bench::untried(list((0..1000).map(labelled)), Settings::default());
    let avoid = Avoid::default();
    let rare = LabelFilter {
        country: None,
        tags: vec!["rare".into()],
    };
    let ask = Ask {
        filter: Some(&rare),
        ..plain(HOST, &avoid)
    };
    assert_eq!(
        bench.ask(&ask).unwrap_err().reason,
        RefusalReason::NoneReady
    );
    let probe = bench.next_probe(HUNGRY).unwrap();
    assert_eq!(probe.proxy.id(), proxy(500).id());

    let pinned = Ask {
        pinned: bench.pool.find(proxy(7).id()),
        ..plain(HOST, &avoid)
    };
    assert_eq!(
        bench.ask(&pinned).unwrap_err().reason,
        RefusalReason::NoneReady
    );
    let probe = bench.next_probe(HUNGRY).unwrap();
    assert_eq!(probe.proxy.id(), proxy(7).id());
}

#[test]
fn exhaustion_needs_two_probes_of_everybody_and_some_patience() {
    let mut bench = Bench::untried(list((0..5).map(proxy)), Settings::default());
    assert!(
        !bench
            .pool
            .is_exhausted(bench.now + Duration::from_secs(100)),
        "nobody was tried"
    );
    bench.probe_all(|_| REFUSING);
    bench.wait(6.0);
    assert!(!bench.pool.is_exhausted(bench.now), "once is not enough");
    bench.wait(5.0);
    let probes: Vec<_> = std::iter::from_fn(|| bench.next_probe(HUNGRY)).collect();
    assert_eq!(probes.len(), 5);
    assert!(
        !bench.pool.is_exhausted(bench.now),
        "the second look is under way"
    );
    for probe in probes {
        bench
            .pool
            .settle_probe(probe, REFUSING, bench.now, &mut bench.rng);
    }
    assert!(bench.pool.is_exhausted(bench.now));

    // The same pool, once alive, is waited for longer.
    bench.wait(10.5);
    bench.probe_all(|_| CONNECTED);
    while let Ok(lease) = bench.lease(HOST) {
        bench.settle(lease, &unreachable(REFUSED));
    }
    bench.wait(59.0);
    assert!(!bench.pool.is_exhausted(bench.now));
    bench.wait(2.0);
    assert!(bench.pool.is_exhausted(bench.now));
    assert!(
        Bench::untried(Vec::new(), Settings::default())
            .pool
            .is_exhausted(bench.now)
    );
}

#[test]
fn the_last_one_left_serves_on_trial_until_a_minute_has_brought_no_answer() {
    let rejected = failed(Blame::Unknown, (Phase::Handshake, FaultKind::Rejected(5)));
    let mut bench = Bench::untried(list((0..3).map(proxy)), Settings::default());
    assert_eq!(bench.probe_all(|_| rejected), 3);
    assert_eq!((bench.counts().ready, bench.counts().quarantined), (1, 2));
    let begun = bench.now;
    let mut asked = 0;
    while !bench.pool.is_exhausted(bench.now) {
        if let Ok(lease) = bench.lease(HOST) {
            asked += 1;
            bench.settle(lease, &Settlement::new(Blame::Unknown));
        }
        assert!(
            bench.now - begun < Duration::from_secs(90),
            "never given up"
        );
        bench.wait(0.5);
        bench.probe_all(|_| rejected);
    }
    assert!((bench.now - begun).as_secs() >= 60);
    assert!((20..=70).contains(&asked), "{asked} requests");
}
