//! What one pool leaves, another begins with.

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy as Generator;
use url::Url;

use super::super::memory::Turn;
use super::*;
use crate::job::HostKey;

const HOUR: Duration = Duration::from_secs(3600);

fn key(host: HostIdx) -> HostKey {
    let url = format!("https://h{}.test/", host.0);
    HostKey::of(&Url::parse(&url).expect("a URL")).expect("a host")
}

fn number(key: &HostKey) -> HostIdx {
    let digits = key.host.trim_matches(|c: char| !c.is_ascii_digit());
    HostIdx(digits.parse().expect("a number"))
}

impl Bench {
    fn snapshot(&mut self) -> Memory {
        self.pool.snapshot(&|host| Some(key(host)), self.now)
    }

    fn recall(&mut self, memory: &Memory) {
        self.pool.recall(memory, &mut number, self.now);
        self.pool.roster.check();
    }

    /// A new pool of the same members after `gap`, which remembers.
    fn later(memory: &Memory, members: u32, gap: Duration) -> Self {
        let mut memory = memory.clone();
        memory.proxies.iter_mut().for_each(|one| one.age += gap);
        let mut bench = Bench::untried(list((0..members).map(proxy)), Settings::default());
        bench.recall(&memory);
        bench
    }

    /// Members in the order in which they are probed when nobody answers.
    fn probe_order(&mut self, demand: Demand) -> Vec<Arc<Proxy>> {
        let mut order = Vec::new();
        while let Some(lease) = self.next_probe(demand) {
            order.push(lease.proxy.clone());
        }
        order
    }
}

fn health() -> impl Generator<Value = Health> {
    let counts = (0.0..50.0f32, 0.0..50.0f32, 0..3u32, 0..5u8);
    (counts, any::<bool>()).prop_map(|((successes, failures, ok, unreached), dead)| Health {
        successes: if ok > 0 { successes } else { 0.0 },
        failures,
        ok,
        unreached: if dead { unreached } else { 0 },
        ..Health::default()
    })
}

proptest! {
    #[test]
    fn a_remembered_list_is_probed_best_first_and_nobody_is_ready(
        healths in prop::collection::vec(health(), 1..40),
        strangers in 0..10u32,
        hours in 0..300u32,
    ) {
        let known = healths.len() as u32;
        let proxies = (0..known).map(|n| Remembered {
            proxy: Arc::new(proxy(n)),
            health: healths[n as usize],
            age: Duration::ZERO,
        });
        let memory = Memory { proxies: proxies.collect(), ..Memory::default() };
        let gap = HOUR * hours;
        let mut bench = Bench::later(&memory, known + strangers, gap);
        prop_assert_eq!(bench.counts().ready, 0);
        prop_assert_eq!(bench.counts().proven, 0);
        let order = bench.probe_order(HUNGRY);
        let faded = |proxy: &Arc<Proxy>| {
            let one = memory.proxies.iter().find(|one| one.proxy.id() == proxy.id());
            one.map(|one| one.health.faded(gap))
        };
        let stale = |health: &Health| gap > 7 * 24 * HOUR && (health.ok == 0 || health.unreached >= 3);
        let faded = |proxy: &Arc<Proxy>| faded(proxy).filter(|health| !stale(health));
        let turn = |proxy: &Arc<Proxy>| match faded(proxy).map(|health| health.turn()) {
            Some(Turn::First) => 0,
            None => 1,
            Some(_) => 2,
        };
        prop_assert!(order.is_sorted_by_key(turn));
        let first: Vec<f32> = order.iter().filter(|one| turn(one) == 0)
            .filter_map(|one| Some(faded(one)?.chance())).collect();
        prop_assert!(first.is_sorted_by(|a, b| a >= b), "{first:?}");
        let everybody = healths.iter()
            .filter(|health| health.faded(gap).turn() == Turn::First && !stale(health));
        prop_assert_eq!(first.len(), everybody.count());
    }
}

#[test]
fn what_was_learned_survives_and_is_told_once() {
    let mut bench = Bench::of(3);
    for _ in 0..12 {
        bench.attempt(HOST, &success(700));
    }
    let memory = bench.snapshot();
    assert_eq!(memory.proxies.len(), 3);
    let total: u32 = memory.proxies.iter().map(|one| one.health.ok).sum();
    assert_eq!(total, 12);
    assert!(bench.snapshot().is_empty(), "nothing has happened since");
    bench.wait(400.0);
    assert!(bench.snapshot().is_empty(), "time alone is no news");
    bench.attempt(HOST, &success(700));
    assert_eq!(bench.snapshot().proxies.len(), 1);

    let mut later = Bench::later(&memory, 3, 6 * HOUR);
    assert!(later.snapshot().is_empty(), "it has learned nothing itself");
    later.probe_all(|_| CONNECTED);
    for one in later.snapshot().proxies {
        let before = memory.proxies.iter();
        let before = before
            .clone()
            .find(|other| other.proxy.id() == one.proxy.id());
        let before = before.expect("the same members").health;
        assert!((one.health.successes - before.successes / 2.0).abs() < 1e-3);
        assert_eq!(one.health.ok, before.ok);
        let ago = one.health.served_ago;
        assert!(ago.is_none_or(|ago| ago >= 6 * HOUR), "{ago:?}");
    }
}

#[test]
fn who_was_bad_is_left_alone_unless_there_is_nobody_else() {
    let mut bench = Bench::of(3);
    for n in 0..3 {
        let avoid = Avoid::default();
        let pinned = Some(ProxyIdx(n));
        let ask = Ask {
            pinned,
            ..plain(HOST, &avoid)
        };
        let lease = bench.ask(&ask).expect("READY");
        let report = match n {
            0 => success(100),
            _ => Settlement::new(Blame::Proxy(Charge::Broken)),
        };
        bench.settle(lease, &report);
    }
    let memory = bench.snapshot();
    for one in &memory.proxies {
        let good = one.proxy.id() == proxy(0).id();
        assert_eq!(one.health.rests.is_none(), good, "{:?}", one.health);
    }
    let mut later = Bench::later(&memory, 3, HOUR);
    let order = later.probe_order(HUNGRY);
    assert_eq!(order, [Arc::new(proxy(0))], "the good one, alone");

    let mut later = Bench::later(&memory, 3, HOUR);
    let refused = failed(Blame::Proxy(Charge::Unreachable), REFUSED);
    assert_eq!(
        later.probe_all(|_| refused),
        3,
        "it is gone: now the others, at once"
    );
    assert_eq!(later.probe_all(|_| refused), 0, "once");
}

#[test]
fn newcomers_of_another_list_are_remembered_too_and_nobody_is_told_twice() {
    let known = |n: u32, health| Remembered {
        proxy: Arc::new(proxy(n)),
        health,
        age: HOUR,
    };
    let good = Health {
        successes: 9.0,
        ok: 9,
        ..Health::default()
    };
    let dead = Health {
        unreached: 1,
        ..Health::default()
    };
    let mut bench = Bench::of(1);
    let change = bench
        .pool
        .replace(list((0..4).map(proxy)), bench.now, &mut bench.rng);
    assert_eq!(change.added, 3);
    // What this run has seen of the first counts, not what another says.
    let memory = Memory {
        proxies: vec![known(0, dead), known(1, dead), known(3, good)],
        ..Memory::default()
    };
    bench.recall(&memory);
    bench.recall(&memory);
    let counts = bench.counts();
    assert_eq!(
        (counts.ready, counts.unknown, counts.quarantined),
        (1, 2, 1)
    );
    let order = bench.probe_order(HUNGRY);
    assert_eq!(order, [Arc::new(proxy(3)), Arc::new(proxy(2))]);
}

#[test]
fn an_evening_without_a_network_is_not_remembered() {
    let mut bench = Bench::untried(list((0..4).map(proxy)), Settings::default());
    let timeout = failed(Blame::Proxy(Charge::Unreachable), TIMEOUT);
    assert_eq!(bench.probe_all(|_| timeout), 4);
    assert!(bench.snapshot().is_empty());
    // One was reached after all: the others were really away.
    bench.wait(1000.0);
    let reached = proxy(2).id();
    bench.probe_all(|one| {
        if one.id() == reached {
            CONNECTED
        } else {
            timeout
        }
    });
    let memory = bench.snapshot();
    let unreached = |n| {
        let mut found = memory.proxies.iter();
        let found = found.find(|one| one.proxy.id() == proxy(n).id());
        found.expect("told").health.unreached
    };
    assert_eq!([0, 1, 2, 3].map(unreached), [1, 1, 0, 1]);
}

#[test]
fn bans_outlive_the_run_and_are_lifted_once() {
    let mut bench = Bench::untried(list([proxy(0)]), Settings::default());
    bench.recall(&Memory::default());
    bench.probe_all(|_| CONNECTED);
    bench.attempt(HOST, &success(100));
    let refused = Settlement {
        retry_after: Some(Duration::from_secs(600)),
        ..Settlement::new(Blame::Pair)
    };
    bench.attempt(HOST, &refused);
    let mut memory = bench.snapshot();
    assert_eq!(memory.pairs.len(), 1);
    assert_eq!(memory.pairs[0].host, key(HOST));
    let rest = memory.pairs[0].rest.as_mut().expect("it stands");
    assert!(rest.ends_in >= Duration::from_secs(600), "{rest:?}");
    rest.ends_in -= Duration::from_secs(500);

    let mut later = Bench::later(&memory, 1, Duration::from_secs(500));
    later.probe_all(|_| CONNECTED);
    let refusal = later.lease(HOST).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::AllCooling);
    let wait = refusal.retry_at.expect("an end") - later.now;
    assert!(wait.as_secs().abs_diff(115) <= 16, "{wait:?}");
    later.attempt(OTHER, &success(100));
    later.now = refusal.retry_at.expect("an end");
    later.attempt(HOST, &success(100));
    let pairs = later.snapshot().pairs;
    assert_eq!((pairs.len(), pairs[0].rest), (1, None));
}
