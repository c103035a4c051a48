//! Behaviour of the whole pool, by what a caller sees.

mod capabilities;
mod choosing;
mod invariants;
mod pausing;
mod probing;
mod remembering;
mod strategies;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::candidate::Terms;
use super::*;
use crate::outcome::{Blame, Charge, FaultKind, Phase};
use crate::proxy::{Credentials, Labels, Scheme};
use crate::secret::Secret;

const HOST: HostIdx = HostIdx(0);
const OTHER: HostIdx = HostIdx(1);
const REFUSED: (Phase, FaultKind) = (Phase::Connect, FaultKind::Refused);
const TIMEOUT: (Phase, FaultKind) = (Phase::Connect, FaultKind::Timeout);

/// A pool with its clock and generator.
struct Bench {
    pool: Pool,
    now: Instant,
    rng: StdRng,
}

/// Some instant to count from; no decision of the pool depends on which.
fn origin() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "only differences to it are used")]
    Instant::now()
}

/// Proxy `n`, in a subnet of its own.
fn proxy(n: u32) -> Proxy {
    Proxy::new(
        Scheme::Http,
        &format!("10.{}.{}.1", n / 256, n % 256),
        80,
        None,
    )
}

fn with_user(n: u32, user: &str) -> Proxy {
    let credentials = Credentials {
        user: Secret::new(user),
        password: Secret::new("pw"),
    };
    Proxy::new(Scheme::Http, &format!("10.9.{n}.1"), 80, Some(credentials))
}

fn list(proxies: impl IntoIterator<Item = Proxy>) -> Vec<Arc<Proxy>> {
    proxies.into_iter().map(Arc::new).collect()
}

const CONNECTED: ProbeResult = ProbeResult::Alive {
    connect: Duration::from_millis(50),
    handshake: None,
};

const HUNGRY: Demand = Demand {
    slots: 1_000_000,
    idle: 1_000_000,
    probing: 0,
    probe_limit: u32::MAX,
    waiting: true,
    work_left: None,
    last_pick_failed: false,
};

fn failed(blame: Blame, kind: (Phase, FaultKind)) -> ProbeResult {
    ProbeResult::Failed { blame, kind }
}

fn unreachable(kind: (Phase, FaultKind)) -> Settlement {
    Settlement {
        kind: Some(kind),
        ..Settlement::new(Blame::Proxy(Charge::Unreachable))
    }
}

fn success(latency_ms: u64) -> Settlement {
    Settlement {
        latency: Duration::from_millis(latency_ms),
        ..Settlement::new(Blame::Nobody)
    }
}

impl Bench {
    /// All unknown.
    fn untried(proxies: Vec<Arc<Proxy>>, settings: Settings) -> Self {
        let mut rng = StdRng::seed_from_u64(42);
        let now = origin();
        let pool = Pool::new(proxies, settings, now, &mut rng);
        Bench { pool, now, rng }
    }

    /// All READY.
    fn ready(proxies: Vec<Arc<Proxy>>, strategy: Strategy) -> Self {
        let settings = Settings {
            strategy,
            ..Settings::default()
        };
        let mut bench = Bench::untried(proxies, settings);
        bench.probe_all(|_| CONNECTED);
        bench
    }

    /// `count` READY proxies under the default strategy.
    fn of(count: u32) -> Self {
        Bench::ready(list((0..count).map(proxy)), Strategy::Best)
    }

    fn wait(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
    }

    fn next_probe(&mut self, demand: Demand) -> Option<ProbeLease> {
        self.pool.next_probe(demand, self.now, &mut self.rng)
    }

    /// Probes whatever is due, without limit; the number of probes.
    fn probe_all(&mut self, result: impl Fn(&Proxy) -> ProbeResult) -> usize {
        let mut count = 0;
        while let Some(lease) = self.next_probe(HUNGRY) {
            count += 1;
            let result = result(&lease.proxy);
            self.pool
                .settle_probe(lease, result, self.now, &mut self.rng);
        }
        count
    }

    fn ask(&mut self, ask: &Ask<'_>) -> Result<Lease, Refusal> {
        self.pool.lease(ask, self.now, &mut self.rng, &mut |_| true)
    }

    fn lease(&mut self, host: HostIdx) -> Result<Lease, Refusal> {
        let avoid = Avoid::default();
        self.ask(&plain(host, &avoid))
    }

    fn settle(&mut self, lease: Lease, report: &Settlement) {
        self.pool.settle(lease, report, self.now);
    }

    /// One attempt with this report; the proxy that served it.
    fn attempt(&mut self, host: HostIdx, report: &Settlement) -> Arc<Proxy> {
        let lease = self.lease(host).expect("a proxy is READY");
        let proxy = lease.proxy.clone();
        self.settle(lease, report);
        proxy
    }

    fn score(&self, proxy: &Proxy) -> Option<u8> {
        self.pool.score(self.pool.find(proxy.id())?, self.now)
    }

    fn counts(&self) -> Counts {
        self.pool.counts(self.now)
    }
}

fn plain(host: HostIdx, avoid: &Avoid) -> Ask<'_> {
    Ask {
        host,
        tunnel: true,
        avoid,
        filter: None,
        pinned: None,
        endgame: false,
        proven_first: false,
    }
}

#[test]
fn answers_of_the_target_move_no_score_by_a_bit() {
    const COUNT: u32 = 40;
    let mut bench = Bench::of(COUNT);
    for _ in 0..COUNT {
        bench.attempt(HOST, &success(700));
    }
    bench.wait(30.0);
    let exact = |bench: &Bench| -> Vec<(Option<u8>, u32, u32)> {
        let present = bench.pool.scale.at(bench.pool.clock.micros(bench.now));
        let terms = Terms::new(bench.pool.median(), present);
        let roster = &bench.pool.roster;
        (0..COUNT)
            .map(|n| {
                let cost = roster.candidate(n).cost(&terms);
                let score = bench.pool.score(ProxyIdx(n), bench.now);
                let chance = roster.slot(n).chance(present);
                (score, chance.to_bits(), cost.to_bits())
            })
            .collect()
    };
    let before = exact(&bench);
    let mut avoid = Avoid::default();
    let answer = Settlement {
        latency: Duration::from_secs(3),
        ..Settlement::new(Blame::Target)
    };
    // One URL that is a 404, a 500 or a maintenance page everywhere, through every proxy.
    for n in 0..COUNT {
        let lease = bench
            .ask(&plain(HOST, &avoid))
            .expect("untried ones are left");
        avoid.note(&lease.proxy);
        bench.settle(lease, &answer);
        assert_eq!(avoid.len() as u32, n + 1);
    }
    assert_eq!(exact(&bench), before);
    assert_eq!(bench.counts().ready, COUNT);
    assert_eq!(bench.counts().proven, COUNT);
    assert!(before.iter().all(|(score, ..)| score.is_some()));
}

#[test]
fn a_ban_parks_the_pair_as_long_as_asked_and_spares_the_proxy() {
    let mut bench = Bench::of(1);
    let proxy = bench.attempt(HOST, &success(500));
    let score = bench.score(&proxy);
    let refused = Settlement {
        retry_after: Some(Duration::from_secs(7)),
        ..Settlement::new(Blame::Pair)
    };
    bench.attempt(HOST, &refused);
    assert_eq!(bench.score(&proxy), score);
    assert_eq!(bench.counts().cooling_pairs, 1);

    let refusal = bench.lease(HOST).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::AllCooling);
    let wait = refusal.retry_at.unwrap() - bench.now;
    assert!((7.0..7.4).contains(&wait.as_secs_f64()), "{wait:?}");
    bench.attempt(OTHER, &success(500));

    bench.now = refusal.retry_at.unwrap();
    let trial = bench.lease(HOST).expect("the cooldown is over");
    let second = bench.lease(HOST).unwrap_err();
    assert_eq!(
        second.reason,
        RefusalReason::AllBusy,
        "one request on probation"
    );
    bench.settle(trial, &success(500));
    bench.attempt(HOST, &success(500));
    assert_eq!(bench.counts().cooling_pairs, 0);
}

#[test]
fn a_cancelled_trial_leaves_the_pair_on_probation() {
    let mut bench = Bench::of(1);
    bench.attempt(HOST, &success(500));
    bench.attempt(HOST, &Settlement::new(Blame::Pair));
    bench.now = bench.lease(HOST).unwrap_err().retry_at.unwrap();
    let lease = bench.lease(HOST).unwrap();
    bench.pool.cancel(lease, bench.now);
    let _trial = bench.lease(HOST).expect("the trial is free again");
    assert!(bench.lease(HOST).is_err());
}

#[test]
fn refused_credentials_retire_their_whole_group_and_nobody_else() {
    let mut bench = Bench::ready(
        list((0..5).map(|n| with_user(n, "paid")).chain([proxy(0)])),
        Strategy::Best,
    );
    let lease = loop {
        let lease = bench.lease(HOST).unwrap();
        if lease.proxy.credentials().is_some() {
            break lease;
        }
    };
    bench.settle(lease, &Settlement::new(Blame::Proxy(Charge::Auth)));
    assert_eq!((bench.counts().retired, bench.counts().ready), (5, 1));
    assert_eq!(bench.score(&with_user(3, "paid")), Some(0));

    // New members with the same credentials are not tried either; other credentials are.
    let list = list([
        with_user(7, "paid"),
        with_user(8, "other"),
        with_user(0, "paid"),
    ]);
    let change = bench.pool.replace(list, bench.now, &mut bench.rng);
    assert_eq!((change.kept, change.added, change.removed), (1, 2, 5));
    bench.probe_all(|_| CONNECTED);
    assert_eq!((bench.counts().retired, bench.counts().ready), (2, 1));
}

#[test]
fn a_proxy_that_alters_answers_is_shut_then_retired() {
    let mut bench = Bench::of(1);
    let tampered = Settlement::new(Blame::Proxy(Charge::Tampered));
    bench.attempt(HOST, &success(50));
    bench.attempt(HOST, &tampered);
    assert_eq!(bench.counts().quarantined, 1);
    bench.wait(200.0);
    bench.probe_all(|_| CONNECTED);
    bench.attempt(HOST, &tampered);
    assert_eq!(bench.counts().retired, 1);
    assert!(bench.pool.is_exhausted(bench.now));
}

#[test]
fn ambiguous_failures_on_a_dead_host_hardly_touch_proven_proxies() {
    const COUNT: u32 = 30;
    let mut bench = Bench::of(COUNT);
    for _ in 0..20 * COUNT {
        bench.attempt(OTHER, &success(500));
    }
    let scores = |bench: &Bench| -> Vec<u8> {
        let score = |n| bench.score(&proxy(n)).expect("it has served");
        (0..COUNT).map(score).collect()
    };
    let before = scores(&bench);
    let dead = Settlement::new(Blame::Unknown);
    for _ in 0..10 * COUNT {
        bench.wait(0.02);
        bench.attempt(HOST, &dead);
    }
    let counts = bench.counts();
    assert_eq!(counts.quarantined, 0, "the host is dead, not the proxies");
    for (before, after) in before.iter().zip(scores(&bench)) {
        assert!(before.abs_diff(after) <= 2, "{before} became {after}");
    }
    // The same failures on a host that answers others are the proxy's.
    let mut bench = Bench::of(2);
    for _ in 0..40 {
        bench.attempt(HOST, &success(500));
    }
    for _ in 0..6 {
        let good = bench.pool.find(proxy(0).id());
        let avoid = Avoid::default();
        let ask = |pinned| Ask {
            pinned,
            ..plain(HOST, &avoid)
        };
        if let Ok(lease) = bench.ask(&ask(bench.pool.find(proxy(1).id()))) {
            bench.settle(lease, &dead);
        }
        let lease = bench.ask(&ask(good)).unwrap();
        bench.settle(lease, &success(500));
    }
    assert_eq!(bench.counts().quarantined, 1);
    assert_eq!(bench.counts().ready, 1);
}

#[test]
fn local_faults_teach_nothing() {
    let mut bench = Bench::of(3);
    let before: Vec<_> = (0..3).map(|n| bench.score(&proxy(n))).collect();
    for _ in 0..50 {
        bench.attempt(HOST, &Settlement::new(Blame::Local));
    }
    let after: Vec<_> = (0..3).map(|n| bench.score(&proxy(n))).collect();
    assert_eq!(before, after);
    assert_eq!(bench.counts().ready, 3);
}

#[test]
fn requests_that_die_together_are_one_event() {
    let mut bench = Bench::of(1);
    for _ in 0..60 {
        let mut leases = Vec::new();
        while let Ok(lease) = bench.lease(HOST) {
            leases.push(lease);
        }
        for lease in leases {
            bench.settle(lease, &success(500));
        }
    }
    let leases: Vec<_> = std::iter::from_fn(|| bench.lease(HOST).ok()).collect();
    assert_eq!(leases.len(), 8, "it has grown to the user's limit");
    for lease in leases {
        bench.settle(lease, &unreachable(REFUSED));
    }
    let until = bench.lease(HOST).unwrap_err().retry_at.unwrap();
    let wait = until - bench.now;
    assert!((4.0..=6.0).contains(&wait.as_secs_f64()), "{wait:?}");
}

#[test]
fn an_answer_under_way_brings_a_shut_proxy_back() {
    let mut bench = Bench::of(1);
    bench.attempt(HOST, &success(500));
    let (one, two) = (bench.lease(HOST).unwrap(), bench.lease(HOST).unwrap());
    bench.settle(one, &unreachable(REFUSED));
    assert_eq!(bench.counts().quarantined, 1);
    bench.settle(two, &success(500));
    assert_eq!(bench.counts().ready, 1);
}

#[test]
fn one_lost_syn_does_not_shut_a_proven_proxy_but_two_do() {
    let mut bench = Bench::of(1);
    bench.attempt(HOST, &success(500));
    bench.attempt(HOST, &unreachable(TIMEOUT));
    assert_eq!(bench.counts().ready, 1);
    bench.attempt(HOST, &unreachable(TIMEOUT));
    assert_eq!(bench.counts().quarantined, 1);
}

#[test]
fn reload_keeps_health_by_identity_and_lets_leases_of_the_removed_end() {
    let mut bench = Bench::of(4);
    for _ in 0..40 {
        bench.attempt(HOST, &success(900));
    }
    let scores: Vec<_> = (0..4).map(|n| bench.score(&proxy(n))).collect();
    let lease = bench.lease(HOST).unwrap();
    let leaver = lease.proxy.clone();
    let stays: Vec<u32> = (0..4).filter(|n| proxy(*n).id() != leaver.id()).collect();
    let new = list(stays.iter().copied().chain([77]).map(proxy));
    let change = bench.pool.replace(new.clone(), bench.now, &mut bench.rng);
    assert_eq!((change.kept, change.added, change.removed), (3, 1, 1));
    assert_eq!(bench.pool.find(leaver.id()), None);
    for n in &stays {
        assert_eq!(bench.score(&proxy(*n)), scores[*n as usize]);
    }
    assert_eq!(bench.score(&proxy(77)), None);

    // The late report of the removed one settles safely, and its slot is then free for another.
    bench.settle(lease, &unreachable(REFUSED));
    assert_eq!(bench.counts().quarantined, 0);
    let slots = bench.pool.roster.slots.len();
    let more = list(stays.iter().copied().chain([77, 78]).map(proxy));
    bench.pool.replace(more, bench.now, &mut bench.rng);
    assert_eq!(bench.pool.roster.slots.len(), slots);
    assert_eq!(bench.score(&proxy(78)), None, "nothing is inherited");
    bench.pool.roster.check();

    let same = bench.pool.replace(new, bench.now, &mut bench.rng);
    assert_eq!((same.kept, same.added, same.removed), (4, 0, 1));
}

#[test]
fn a_lease_gets_the_proxy_as_the_newest_list_has_it() {
    let mut bench = Bench::of(1);
    let mut newest = list([proxy(0)]);
    for late in [false, true] {
        bench.attempt(HOST, &success(900));
        let out = late.then(|| bench.lease(HOST).unwrap());
        newest = list([proxy(0)]);
        bench
            .pool
            .replace(newest.clone(), bench.now, &mut bench.rng);
        if let Some(lease) = out {
            bench.settle(lease, &success(900));
        }
        for _ in 0..2 {
            let used = bench.attempt(HOST, &success(900));
            assert!(Arc::ptr_eq(&used, &newest[0]), "late: {late}");
        }
    }
    drop(bench);
    assert_eq!(Arc::strong_count(&newest[0]), 1, "nobody keeps it");
}

#[test]
fn direct_is_ready_at_once_and_never_probed_or_shut() {
    let mut bench = Bench::untried(list([Proxy::direct()]), Settings::default());
    assert_eq!(bench.counts().ready, 1);
    assert!(bench.next_probe(HUNGRY).is_none());
    for charge in [
        Charge::Unreachable,
        Charge::Broken,
        Charge::Tampered,
        Charge::NoExit,
    ] {
        for _ in 0..4 {
            bench.attempt(HOST, &Settlement::new(Blame::Proxy(charge)));
        }
    }
    assert_eq!(bench.counts().ready, 1);
    assert!(
        !bench
            .pool
            .is_exhausted(bench.now + Duration::from_secs(3600))
    );
    let leases = std::iter::from_fn(|| bench.lease(HOST).ok()).count();
    assert_eq!(leases, 8, "the user's limit, not a learned one");
}

#[test]
fn limits_that_refuse_everybody_are_told_from_those_of_one_job() {
    let mut bench = Bench::of(3);
    bench.probe_all(|_| CONNECTED);
    let avoid = Avoid::default();
    let none = |bench: &mut Bench| {
        let ask = plain(HOST, &avoid);
        let refusal = bench
            .pool
            .lease(&ask, bench.now, &mut bench.rng, &mut |_| false);
        refusal.expect_err("a proxy that no limit admits")
    };
    let refusal = none(&mut bench);
    assert_eq!(
        (refusal.reason, refusal.everybody),
        (RefusalReason::Limited, true)
    );
    // One of them rests from this host only.
    bench.attempt(HOST, &Settlement::new(Blame::Pair));
    assert!(!none(&mut bench).everybody);
}

#[test]
fn a_used_up_quota_rests_the_pair_and_keeps_its_credit() {
    let mut bench = Bench::of(1);
    bench.probe_all(|_| CONNECTED);
    let last = Settlement {
        retry_after: Some(Duration::from_secs(30)),
        ..success(50)
    };
    bench.attempt(HOST, &last);
    assert_eq!(bench.counts().proven, 1);
    let refusal = bench.lease(HOST).expect_err("it rests");
    assert_eq!(refusal.reason, RefusalReason::AllCooling);
    let elsewhere = bench
        .lease(OTHER)
        .expect("other hosts are no concern of it");
    bench.settle(elsewhere, &success(50));
    bench.wait(32.0);
    assert!(bench.lease(HOST).is_ok());
}

#[test]
fn a_rotating_endpoint_rests_as_long_as_it_says_whatever_is_answered_meanwhile() {
    let labels = Labels {
        rotation: crate::proxy::Rotation::PerConnection,
        ..Labels::default()
    };
    let mut bench = Bench::ready(list([proxy(0).with_labels(labels)]), Strategy::Best);
    bench.attempt(HOST, &success(50));
    let (slow, refused) = (bench.lease(HOST).unwrap(), bench.lease(OTHER).unwrap());
    let report = Settlement {
        kind: Some((Phase::Handshake, FaultKind::Rejected(429))),
        retry_after: Some(Duration::from_secs(30)),
        ..Settlement::new(Blame::Pair)
    };
    let wide = bench.pool.settle(refused, &report, bench.now);
    assert_eq!(wide, Some(HostWide::Endpoint));
    bench.wait(1.0);
    bench.settle(slow, &success(1000));
    for wait in [0.0, 28.0] {
        bench.wait(wait);
        assert_eq!(bench.probe_all(|_| CONNECTED), 0, "it is not asked");
        let refusal = bench.lease(HOST).unwrap_err();
        assert_eq!(refusal.reason, RefusalReason::NoneReady);
    }
    bench.wait(2.0);
    bench.probe_all(|_| CONNECTED);
    assert!(bench.lease(HOST).is_ok());
}
