//! The terms of the job: what it has tried, the labels it wants, the proxy it is pinned to, the user's limits.

use std::cell::Cell;

use super::super::slot::State;
use super::*;
use crate::job::LabelFilter;

#[test]
fn a_retry_prefers_another_subnet_and_account_and_reuses_only_at_the_end() {
    let near = |n: u32| Proxy::new(Scheme::Http, &format!("10.1.1.{n}"), 80, None);
    let proxies = (0..50).map(near).chain([proxy(9)]);
    let mut bench = Bench::ready(list(proxies), Strategy::Best);
    let mut avoid = Avoid::default();
    avoid.note(&near(0));
    let lease = bench.ask(&plain(HOST, &avoid)).unwrap();
    assert_eq!(lease.proxy.id(), proxy(9).id());
    avoid.note(&lease.proxy);
    bench.settle(lease, &success(500));
    for _ in 0..49 {
        let lease = bench.ask(&plain(HOST, &avoid)).unwrap();
        let before = avoid.len();
        avoid.note(&lease.proxy);
        assert_eq!(avoid.len(), before + 1, "{} was tried", lease.proxy.label());
        bench.settle(lease, &success(500));
    }
    // All were tried: one of them again is better than giving up.
    let lease = bench.ask(&plain(HOST, &avoid)).unwrap();
    bench.settle(lease, &success(500));
}

#[test]
fn a_retry_waits_for_an_untried_proxy_that_is_busy_or_unknown() {
    let mut bench = Bench::untried(list((0..3).map(proxy)), Settings::default());
    for _ in 0..2 {
        let lease = bench.next_probe(HUNGRY).unwrap();
        bench
            .pool
            .settle_probe(lease, CONNECTED, bench.now, &mut bench.rng);
    }
    let mut avoid = Avoid::default();
    let tried = bench.lease(HOST).unwrap();
    avoid.note(&tried.proxy);
    let busy = bench.lease(HOST).unwrap();
    bench.settle(tried, &success(500));
    let refusal = bench.ask(&plain(HOST, &avoid)).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::AllBusy);
    avoid.note(&busy.proxy);
    bench.settle(busy, &success(500));
    let refusal = bench.ask(&plain(HOST, &avoid)).unwrap_err();
    assert_eq!(
        refusal.reason,
        RefusalReason::AllTried,
        "the third is not probed yet"
    );
    let failure = failed(Blame::Proxy(Charge::Unreachable), REFUSED);
    bench.probe_all(|_| failure);
    assert!(bench.ask(&plain(HOST, &avoid)).is_ok(), "the third is dead");
}

#[test]
fn filters_pins_and_the_users_limits() {
    let labelled = |n: u32, country: &str| {
        proxy(n).with_labels(Labels {
            country: Some(country.into()),
            ..Labels::default()
        })
    };
    let proxies = (0..200).map(|n| labelled(n, if n < 3 { "us" } else { "de" }));
    let mut bench = Bench::ready(list(proxies), Strategy::Best);
    let wants = |country: &str| LabelFilter {
        country: Some(country.into()),
        tags: Vec::new(),
    };
    let avoid = Avoid::default();
    let (us, fr) = (wants("us"), wants("fr"));
    let ask = |filter| Ask {
        filter: Some(filter),
        ..plain(HOST, &avoid)
    };
    let leases: Vec<_> = std::iter::from_fn(|| bench.ask(&ask(&us)).ok()).collect();
    assert_eq!(leases.len(), 3);
    for lease in &leases {
        assert_eq!(lease.proxy.labels().country.as_deref(), Some("us"));
    }
    let refusal = bench.ask(&ask(&us)).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::AllBusy);
    let refusal = bench.ask(&ask(&fr)).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::NoMatch);
    let mut longer: Vec<_> = (0..200)
        .map(|n| bench.pool.roster.slot(n).proxy.clone())
        .collect();
    longer.push(Arc::new(labelled(900, "fr")));
    bench.pool.replace(longer, bench.now, &mut bench.rng);
    bench.probe_all(|_| CONNECTED);
    let lease = bench.ask(&ask(&fr)).expect("it has been listed meanwhile");
    bench.settle(lease, &success(500));

    let pinned = Ask {
        pinned: Some(leases[0].idx),
        ..plain(HOST, &avoid)
    };
    let refusal = bench.ask(&pinned).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::AllBusy);
    let home = leases[0].idx;
    for lease in leases {
        bench.settle(lease, &success(500));
    }
    assert_eq!(bench.ask(&pinned).unwrap().idx, home);

    let asked = Cell::new(0);
    let refusal = bench
        .pool
        .lease(&plain(HOST, &avoid), bench.now, &mut bench.rng, &mut |_| {
            asked.set(asked.get() + 1);
            false
        })
        .unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::Limited);
    assert!(asked.get() > 0);
}

/// READY proxies that have each served a few answers, all of them different.
fn served(count: u32) -> Bench {
    let mut bench = Bench::of(count);
    for n in 0..3 * count {
        bench.wait(0.1);
        let avoid = Avoid::default();
        let home = bench.pool.find(proxy(n % count).id());
        let pinned = Ask {
            pinned: home,
            ..plain(HOST, &avoid)
        };
        let Ok(lease) = bench.ask(&pinned) else {
            continue;
        };
        let report = if n % 17 == 3 {
            Settlement::new(Blame::Unknown)
        } else {
            success(200 + u64::from(n * n % 977))
        };
        bench.settle(lease, &report);
    }
    bench
}

/// Slots by what a success through them is expected to take, failures in doubt counted in.
fn by_cost(bench: &Bench) -> Vec<u32> {
    let roster = &bench.pool.roster;
    let present = bench.pool.scale.at(bench.pool.clock.micros(bench.now));
    let terms = Terms::new(bench.pool.median(), present);
    let cost = |at: u32| {
        let slot = roster.slot(at);
        let candidate = roster.candidate(at);
        candidate.cost_in_doubt(slot.is_proven(), slot.doubts, &terms)
    };
    let mut slots: Vec<u32> = (0..roster.slots.len() as u32).collect();
    slots.retain(|at| roster.slot(*at).state == State::Ready);
    slots.sort_by(|one, other| cost(*one).total_cmp(&cost(*other)));
    slots
}

#[test]
fn limits_are_asked_of_the_best_first_and_of_nobody_worse_than_who_passes() {
    let mut bench = served(60);
    let expected = by_cost(&bench);
    let avoid = Avoid::default();
    let mut asked = Vec::new();
    let lease = bench
        .pool
        .lease(&plain(HOST, &avoid), bench.now, &mut bench.rng, &mut |at| {
            asked.push(at.number());
            asked.len() > 4
        })
        .expect("the fifth is admitted");
    assert_eq!(asked, expected[..5]);
    assert_eq!(lease.idx.number(), expected[4]);
}

#[test]
fn evidence_is_worth_the_same_when_its_weights_are_brought_down() {
    let mut bench = served(40);
    let costs = |bench: &Bench| -> Vec<f32> {
        let present = bench.pool.scale.at(bench.pool.clock.micros(bench.now));
        let terms = Terms::new(bench.pool.median(), present);
        let cost = |at| bench.pool.roster.candidate(at).cost(&terms);
        (0..40).map(cost).collect()
    };
    // Some more in the last seconds of the hour.
    bench.wait(3583.0);
    for _ in 0..40 {
        bench.attempt(HOST, &success(700));
    }
    bench.wait(20.0);
    let before = costs(&bench);
    let lease = bench.lease(HOST).unwrap();
    bench.pool.cancel(lease, bench.now);
    bench.pool.roster.check();
    for (before, after) in before.iter().zip(costs(&bench)) {
        assert!((before / after - 1.0).abs() < 1e-5, "{before} {after}");
    }
}
