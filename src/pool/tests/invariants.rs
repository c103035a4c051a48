//! Whatever the order of events: leases balance, nobody is leased who must not be, lists and tallies agree.

use std::collections::{HashMap, HashSet};

use proptest::prelude::{Just, ProptestConfig, any, prop, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;

use super::*;
use crate::proxy::{CredentialGroup, ProxyId};

const PROXIES: u32 = 12;
const PROXY_CONCURRENCY: u32 = 3;

#[derive(Debug, Clone)]
enum Op {
    Lease {
        host: u32,
        tunnel: bool,
        avoid: u32,
        pinned: bool,
    },
    Settle {
        which: usize,
        blame: usize,
        ms: u64,
    },
    Cancel {
        which: usize,
    },
    Probe,
    SettleProbe {
        which: usize,
        result: usize,
    },
    Wait {
        ms: u64,
    },
    Replace {
        mask: u32,
    },
}

fn op() -> impl Generator<Value = Op> {
    prop_oneof![
        6 => (0..3u32, any::<bool>(), 0..8u32, prop::bool::weighted(0.1))
            .prop_map(|(host, tunnel, avoid, pinned)| Op::Lease { host, tunnel, avoid, pinned }),
        6 => (any::<usize>(), 0..BLAMES.len(), 0..5000u64)
            .prop_map(|(which, blame, ms)| Op::Settle { which, blame, ms }),
        1 => any::<usize>().prop_map(|which| Op::Cancel { which }),
        4 => Just(Op::Probe),
        4 => (any::<usize>(), 0..8usize).prop_map(|(which, result)| Op::SettleProbe { which, result }),
        3 => prop_oneof![0..2000u64, 0..100_000u64].prop_map(|ms| Op::Wait { ms }),
        1 => any::<u32>().prop_map(|mask| Op::Replace { mask }),
    ]
}

const BLAMES: [Blame; 16] = [
    Blame::Nobody,
    Blame::Nobody,
    Blame::Nobody,
    Blame::Nobody,
    Blame::Target,
    Blame::Pair,
    Blame::Pair,
    Blame::Local,
    Blame::Unknown,
    Blame::Unknown,
    Blame::Proxy(Charge::Unreachable),
    Blame::Proxy(Charge::Broken),
    Blame::Proxy(Charge::Tampered),
    Blame::Proxy(Charge::Policy),
    Blame::Proxy(Charge::NoTunnel),
    Blame::Proxy(Charge::Auth),
];

/// What must hold, kept apart from the pool's own books.
#[derive(Default)]
struct Model {
    members: HashSet<ProxyId>,
    /// Not to be leased before a probe finds it there, or an answer that was under way comes through it.
    away: HashSet<ProxyId>,
    refused_groups: HashSet<CredentialGroup>,
    /// A member of theirs has served, perhaps in an earlier life.
    served: HashSet<CredentialGroup>,
    /// Refused once through one of those, and when.
    doubted_groups: HashMap<CredentialGroup, Instant>,
    barred: HashSet<(CredentialGroup, HostIdx)>,
    /// Somebody was let through to the host before.
    reached: HashSet<(CredentialGroup, HostIdx)>,
    no_tunnel: HashSet<ProxyId>,
    /// Not before this moment.
    cooling: HashMap<(ProxyId, HostIdx), Instant>,
    in_flight: HashMap<ProxyId, u32>,
}

fn member(n: u32) -> Proxy {
    // Some share credentials, some a subnet.
    if n.is_multiple_of(4) {
        with_user(n, if n < 6 { "a" } else { "b" })
    } else {
        proxy(n)
    }
}

impl Model {
    fn on_lease(&mut self, lease: &Lease, tunnel: bool, now: Instant) {
        let (id, group) = (lease.proxy.id(), lease.proxy.group());
        assert!(self.members.contains(&id), "a stranger was leased");
        assert!(!self.away.contains(&id), "one that is away was leased");
        assert!(
            !self.refused_groups.contains(&group),
            "a refused account was leased"
        );
        assert!(
            !self.barred.contains(&(group, lease.host)),
            "a barred one was leased"
        );
        assert!(
            !(tunnel && self.no_tunnel.contains(&id)),
            "one without tunnels was leased"
        );
        let until = self.cooling.get(&(id, lease.host));
        assert!(
            until.is_none_or(|until| *until <= now),
            "a cooling pair was leased"
        );
        let in_flight = self.in_flight.entry(id).or_default();
        *in_flight += 1;
        assert!(*in_flight <= PROXY_CONCURRENCY, "too many at once");
    }

    fn on_settle(&mut self, lease: &Lease, report: &Settlement, now: Instant) {
        let (id, group) = (lease.proxy.id(), lease.proxy.group());
        *self.in_flight.get_mut(&id).expect("it was leased") -= 1;
        if !self.members.contains(&id) {
            return;
        }
        let answered = matches!(report.blame, Blame::Nobody | Blame::Target | Blame::Pair);
        if answered {
            self.away.remove(&id);
            self.reached.insert((group, lease.host));
            let is_shown = !lease.tunnel && lease.proxy.scheme().is_http();
            let first = self.doubted_groups.get(&group);
            if is_shown && first.is_some_and(|first| lease.at > *first) {
                self.doubted_groups.remove(&group);
            }
        }
        if report.blame == Blame::Nobody {
            self.served.insert(group);
        }
        if matches!(report.blame, Blame::Nobody | Blame::Target) {
            self.cooling
                .retain(|pair, until| *pair != (id, lease.host) || *until > now);
        }
        // A good answer may name a time too: it was the last one of its quota.
        let rest = match report.blame {
            // Only one pair of a host at a time tries so soon.
            Blame::Pair => Some(report.retry_after.unwrap_or(Duration::from_secs(2))),
            Blame::Nobody => report.retry_after.filter(|asked| !asked.is_zero()),
            _ => None,
        };
        if let Some(rest) = rest {
            let until = self.cooling.entry((id, lease.host)).or_insert(now);
            // Late news of the same ban need not lengthen it unless the target says so.
            if *until <= now || report.retry_after.is_some() {
                *until = (*until).max(now + rest);
            }
        }
        match report.blame {
            Blame::Proxy(Charge::Unreachable) => {
                self.away.insert(id);
            }
            Blame::Proxy(Charge::Auth) => {
                let first = self.doubted_groups.entry(group).or_insert(now);
                let since = (now - *first).as_secs();
                if since >= 60 {
                    *first = now;
                }
                if (8..60).contains(&since) || !self.served.contains(&group) {
                    self.refused_groups.insert(group);
                }
            }
            Blame::Proxy(Charge::Policy) if !self.reached.contains(&(group, lease.host)) => {
                self.barred.insert((group, lease.host));
            }
            Blame::Proxy(Charge::NoTunnel) => {
                self.no_tunnel.insert(id);
            }
            _ => {}
        }
    }
}

fn run(strategy: super::Strategy, ops: Vec<Op>) {
    let settings = Settings {
        strategy,
        proxy_concurrency: PROXY_CONCURRENCY,
        ..Settings::default()
    };
    let mut bench = Bench::untried(list((0..PROXIES).map(member)), settings);
    let mut model = Model {
        members: (0..PROXIES).map(|n| member(n).id()).collect(),
        ..Model::default()
    };
    let (mut leases, mut probes) = (Vec::new(), Vec::new());
    for op in ops {
        match op {
            Op::Lease {
                host,
                tunnel,
                avoid,
                pinned,
            } => {
                let mut tried = Avoid::default();
                (0..avoid).for_each(|n| tried.note(&member(n)));
                let pinned = pinned
                    .then(|| bench.pool.find(member(avoid).id()))
                    .flatten();
                let ask = Ask {
                    tunnel,
                    pinned,
                    ..plain(HostIdx(host), &tried)
                };
                match bench.ask(&ask) {
                    Ok(lease) => {
                        assert!(pinned.is_none_or(|pinned| pinned == lease.idx));
                        assert_eq!(bench.pool.find(lease.proxy.id()), Some(lease.idx));
                        model.on_lease(&lease, tunnel, bench.now);
                        leases.push(lease);
                    }
                    Err(refusal) => {
                        let later = refusal.retry_at.is_none_or(|at| at > bench.now);
                        assert!(later, "{refusal:?} would make the caller spin");
                    }
                }
            }
            Op::Settle { which, blame, ms } if !leases.is_empty() => {
                let lease: Lease = leases.swap_remove(which % leases.len());
                let report = Settlement {
                    latency: Duration::from_millis(ms),
                    retry_after: ms.is_multiple_of(3).then(|| Duration::from_millis(ms * 10)),
                    kind: Some(REFUSED),
                    ..Settlement::new(BLAMES[blame])
                };
                model.on_settle(&lease, &report, bench.now);
                bench.settle(lease, &report);
            }
            Op::Cancel { which } if !leases.is_empty() => {
                let lease: Lease = leases.swap_remove(which % leases.len());
                *model.in_flight.get_mut(&lease.proxy.id()).unwrap() -= 1;
                bench.pool.cancel(lease, bench.now);
            }
            Op::Probe => {
                let probing = probes.len() as u32;
                let demand = Demand {
                    slots: 20,
                    idle: 5,
                    probing,
                    probe_limit: 8,
                    ..HUNGRY
                };
                match bench.next_probe(demand) {
                    Some(probe) => {
                        assert!(probing < 8);
                        assert!(model.members.contains(&probe.proxy.id()));
                        assert!(!model.refused_groups.contains(&probe.proxy.group()));
                        probes.push(probe);
                    }
                    None => {
                        let wake = bench.pool.next_wake();
                        assert!(
                            wake.is_none_or(|at| at > bench.now),
                            "the caller would spin"
                        );
                    }
                }
            }
            Op::SettleProbe { which, result } if !probes.is_empty() => {
                let probe: ProbeLease = probes.swap_remove(which % probes.len());
                let result = match result {
                    0 => failed(Blame::Proxy(Charge::Unreachable), TIMEOUT),
                    1 => failed(Blame::Unknown, (Phase::Handshake, FaultKind::Rejected(502))),
                    2 => failed(Blame::Local, (Phase::Connect, FaultKind::Local)),
                    _ => CONNECTED,
                };
                // A refused tunnel is the proxy's own word, so it is there; the pool may try it with a request.
                let spoke = matches!(
                    result,
                    ProbeResult::Failed {
                        kind: (Phase::Handshake, FaultKind::Rejected(_)),
                        ..
                    }
                );
                if result == CONNECTED || spoke {
                    model.away.remove(&probe.proxy.id());
                }
                bench
                    .pool
                    .settle_probe(probe, result, bench.now, &mut bench.rng);
            }
            Op::Wait { ms } => bench.wait(ms as f64 / 1000.0),
            Op::Replace { mask } => {
                let kept = || (0..PROXIES).filter(|n| mask & (1 << n) != 0).map(member);
                let change = bench.pool.replace(list(kept()), bench.now, &mut bench.rng);
                let new: HashSet<_> = kept().map(|proxy| proxy.id()).collect();
                let stayed = model.members.intersection(&new).count();
                assert_eq!(change.kept as usize, stayed);
                assert_eq!(change.added as usize, new.len() - stayed);
                assert_eq!(change.removed as usize, model.members.len() - stayed);
                // One that left may come back with or without its history.
                model.away.retain(|id| new.contains(id));
                model.no_tunnel.retain(|id| new.contains(id));
                model.cooling.retain(|(id, _), _| new.contains(id));
                model.members = new;
            }
            _ => {}
        }
        bench.pool.roster.check();
        assert_eq!(bench.counts().total as usize, model.members.len());
    }
    for lease in leases {
        bench.pool.cancel(lease, bench.now);
    }
    for probe in probes {
        bench
            .pool
            .settle_probe(probe, CONNECTED, bench.now, &mut bench.rng);
    }
    bench.pool.roster.check();
    let tally = bench.pool.roster.tally;
    assert_eq!((tally.in_flight, tally.probing), (0, 0));
    assert_eq!(tally.total() as usize, model.members.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_events_keeps_the_books(
        strategy in prop::sample::select(vec![
            super::Strategy::Best,
            super::Strategy::RoundRobin,
            super::Strategy::Random,
            super::Strategy::LeastBusy,
            super::Strategy::Weighted,
        ]),
        ops in prop::collection::vec(op(), 1..250),
    ) {
        run(strategy, ops);
    }
}
