//! A host with a rule, and proxies that are used as the quotas allow.

use super::*;
use std::collections::VecDeque;

const HOST: u32 = 7;

fn key(slot: u32) -> PairKey {
    PairKey {
        slot,
        generation: 0,
        host: HOST,
    }
}

fn kin(slot: u32) -> Kin {
    Kin {
        subnet: u64::from(slot),
        account: None,
    }
}

/// A host that bans who exceeds `most` requests in `window`, for `length`.
struct Rule {
    most: usize,
    window: Micros,
    length: Micros,
    asked: HashMap<u32, VecDeque<Micros>>,
    banned: HashMap<u32, Micros>,
}

impl Rule {
    fn new(most: usize, window: Micros) -> Self {
        Rule {
            most,
            window,
            length: 120 * SECOND,
            asked: HashMap::new(),
            banned: HashMap::new(),
        }
    }

    fn serves(&mut self, slot: u32, now: Micros) -> bool {
        if self.banned.get(&slot).is_some_and(|until| *until > now) {
            return false;
        }
        let asked = self.asked.entry(slot).or_default();
        while asked.front().is_some_and(|at| at + self.window <= now) {
            asked.pop_front();
        }
        asked.push_back(now);
        if asked.len() > self.most {
            self.banned.insert(slot, now + self.length);
            return false;
        }
        true
    }
}

fn block(kin: Kin, live: usize) -> Block {
    Block {
        kind: super::Kind::Rate,
        compared: false,
        kin,
        in_ban: false,
        live,
    }
}

/// Uses `slots` proxies as often as their quota allows, at most `pace` times a second in all, for `seconds`. Gives the numbers
/// of requests served and refused.
fn use_up(quotas: &mut Quotas, rule: &mut Rule, slots: u32, pace: u64, seconds: u64) -> (u32, u32) {
    let (mut served, mut refused, mut next) = (0, 0, 0);
    for tick in 0..seconds * pace {
        let now = SECOND + tick * SECOND / pace;
        let free = (0..slots).map(|n| (next + n) % slots).find(|slot| {
            let banned = rule.banned.get(slot).is_some_and(|until| *until > now);
            !banned && quotas.gate(key(*slot), || kin(*slot), now) == Gate::Open
        });
        let Some(slot) = free else { continue };
        // Not all alike: some are used more than others.
        next = if tick % 3 == 0 { slot } else { slot + 1 };
        let counts = quotas.begin(key(slot), || kin(slot), 0, now);
        if rule.serves(slot, now) {
            served += 1;
            quotas.served(key(slot), counts, 0, now);
        } else {
            refused += 1;
            let scope = quotas.refused(key(slot), counts, block(kin(slot), slots as usize), now);
            assert!(matches!(scope, Scope::Pair { .. }), "{scope:?} at {now}");
        }
    }
    (served, refused)
}

#[test]
fn a_quota_is_learned_whatever_its_window_and_few_are_banned_for_it() {
    for (most, window) in [(10, 10), (30, 60), (100, 600), (300, 3600)] {
        let mut rule = Rule::new(most, window * SECOND);
        let mut quotas = Quotas::default();
        let (slots, seconds) = (20, 3 * window.max(120));
        let pace = (2 * u64::from(slots) * most as u64 / window).max(1);
        let (served, refused) = use_up(&mut quotas, &mut rule, slots, pace, seconds);
        let possible = f64::from(slots) * most as f64 * seconds as f64 / window as f64;
        let share = f64::from(served) / possible;
        assert!(refused <= 15, "{refused} banned at {most} in {window} s");
        assert!(share > 0.7, "{share} of what {most} in {window} s allow");
    }
}

#[test]
fn what_one_run_has_learned_the_next_keeps_to_and_learns_anew_when_the_host_has_changed() {
    for (most, window) in [(10, 10), (30, 60), (100, 600)] {
        let mut first = Quotas::default();
        let pace = (40 * most as u64 / window).max(1);
        let seconds = 3 * window.max(120);
        let mut rule = Rule::new(most, window * SECOND);
        let (_, banned) = use_up(&mut first, &mut rule, 20, pace, seconds);
        let (host, quota) = first.news().next().expect("it has learned");
        let quota = quota.expect("it holds");
        assert_eq!((host, quota.window.as_secs()), (HOST, window));
        assert!(first.news().next().is_none(), "told twice");

        let mut second = Quotas::default();
        second.recall(HOST, quota, SECOND);
        assert!(second.news().next().is_none(), "a memory is no news");
        let mut rule = Rule::new(most, window * SECOND);
        let (served, again) = use_up(&mut second, &mut rule, 20, pace, seconds);
        // Those that try more, one at a time, are left.
        assert!(
            again < banned && again <= 4,
            "{again} banned after {banned}"
        );
        assert!(served > 0);

        let mut third = Quotas::default();
        third.recall(HOST, quota, SECOND);
        let mut tighter = Rule::new(most / 2, window * SECOND);
        let (_, banned) = use_up(&mut third, &mut tighter, 20, pace, seconds);
        assert!(
            banned <= 30,
            "{banned} banned at half of what was remembered"
        );
    }
}

#[test]
fn refusals_that_do_not_depend_on_use_teach_no_quota() {
    let mut quotas = Quotas::default();
    let mut refused = 0;
    for tick in 0..20_000u64 {
        let (now, slot) = (SECOND + tick * SECOND / 50, (tick % 40) as u32);
        let counts = quotas.begin(key(slot), || kin(slot), 0, now);
        // One in ninety, by no rule that a count could explain.
        if tick.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32 & 0xFF < 3 {
            refused += 1;
            let _ = quotas.refused(key(slot), counts, block(kin(slot), 40), now);
        } else {
            quotas.served(key(slot), counts, 0, now);
        }
    }
    assert!(refused > 150, "{refused}");
    let now = 402 * SECOND;
    let open = (0..40).filter(|slot| quotas.gate(key(*slot), || kin(*slot), now) == Gate::Open);
    assert_eq!(open.count(), 40);
}

#[test]
fn until_three_unrelated_exits_are_banned_only_their_relatives_are_held_back() {
    let mut quotas = Quotas::default();
    let family = |slot: u32| Kin {
        subnet: u64::from(slot / 10),
        account: None,
    };
    let mut now = SECOND;
    for slot in 0..50 {
        for _ in 0..10 {
            let counts = quotas.begin(key(slot), || family(slot), 0, now);
            quotas.served(key(slot), counts, 0, now);
        }
    }
    let held = |quotas: &Quotas, now| {
        let held =
            (0..50).filter(|slot| quotas.gate(key(*slot), || family(*slot), now) != Gate::Open);
        held.map(|slot| slot / 10)
            .collect::<std::collections::BTreeSet<_>>()
    };
    now += SECOND;
    for (banned, expected) in [
        (0, vec![]),
        (1, vec![0]),
        (10, vec![0]),
        (11, vec![0, 1]),
        (20, vec![0, 1, 2, 3, 4]),
    ] {
        let counts = quotas.begin(key(banned), || family(banned), 0, now);
        let _ = quotas.refused(key(banned), counts, block(family(banned), 50), now);
        assert_eq!(
            Vec::from_iter(held(&quotas, now)),
            expected,
            "after {banned}"
        );
    }
}

#[test]
fn a_quota_that_is_far_too_low_does_not_shut_everybody_out_for_as_long_as_its_window() {
    let mut quotas = Quotas::default();
    let use_once = |quotas: &mut Quotas, slot, now| {
        let used = quotas.begin(key(slot), || kin(slot), 0, now);
        quotas.served(key(slot), used, 0, now);
    };
    for n in 0..120 {
        use_once(&mut quotas, n % 3, SECOND + u64::from(n) * SECOND / 2);
    }
    let too_low = Quota {
        window: window::length(window::WINDOWS - 1),
        uses: 5,
    };
    let now = 62 * SECOND;
    quotas.recall(HOST, too_low, now);
    let gates =
        |quotas: &Quotas, now| [0, 1, 2].map(|slot| quotas.gate(key(slot), || kin(slot), now));
    let cooling = |now, gate| matches!(gate, Gate::Cooling(until) if until <= now + 60 * SECOND);
    assert!(
        gates(&quotas, now)
            .into_iter()
            .all(|gate| cooling(now, gate))
    );
    // One tries, the others do not; when it is served the quota is what that one has borne.
    let later = now + 60 * SECOND;
    assert_eq!(gates(&quotas, later), [Gate::Open; 3]);
    let used = quotas.begin(key(1), || kin(1), 0, later);
    assert!(
        gates(&quotas, later)
            .into_iter()
            .all(|gate| cooling(later, gate))
    );
    let [other, _, _] = gates(&quotas, later + 60 * SECOND);
    assert_eq!(other, Gate::Open, "what tried may be dead");
    quotas.cancelled(key(1), used);
    let [other, resting, _] = gates(&quotas, later);
    assert_eq!(other, Gate::Open, "nothing came of it");
    assert!(cooling(later, resting));
    let used = quotas.begin(key(1), || kin(1), 0, later);
    quotas.served(key(1), used, 0, later);
    let (_, learned) = quotas.news().next().expect("it has changed");
    assert!(
        learned.is_some_and(|learned| learned.uses >= 40),
        "{learned:?}"
    );
}

#[test]
fn what_is_remembered_of_a_host_and_turns_out_wrong_is_told_once() {
    let mut quotas = Quotas::default();
    quotas.recall_limit(HOST, SECOND);
    assert!(quotas.news().next().is_none(), "a memory is no news");
    let mut refuted = false;
    // Every third exit is refused whenever it asks, the others are served.
    for tick in 0..1000u64 {
        let (now, slot) = (SECOND + tick * SECOND / 5, (tick % 30) as u32);
        let counts = quotas.begin(key(slot), || kin(slot), 0, now);
        if slot % 3 == 0 {
            let scope = quotas.refused(key(slot), counts, block(kin(slot), 30), now);
            refuted |= scope == Scope::Refuted;
        } else {
            quotas.served(key(slot), counts, 0, now);
        }
    }
    assert!(refuted);
    assert_eq!(quotas.news().collect::<Vec<_>>(), [(HOST, None)]);
    assert!(quotas.news().next().is_none(), "told twice");
}

#[test]
fn a_quota_of_a_moment_is_tried_by_one_exit_as_soon_as_the_shortest_window_is_over() {
    let mut quotas = Quotas::default();
    let uses = |quotas: &mut Quotas, slot, count, now| {
        for _ in 0..count {
            let counts = quotas.begin(key(slot), || kin(slot), 0, now);
            quotas.served(key(slot), counts, 0, now);
        }
    };
    // All four are refused the eighth at the same time: a limit for everybody looks like that, and a quota as well.
    let eighth = (0..4).map(|slot| {
        uses(&mut quotas, slot, 7, SECOND);
        let counts = quotas.begin(key(slot), || kin(slot), 0, 2 * SECOND);
        (slot, counts)
    });
    for (slot, counts) in eighth.collect::<Vec<_>>() {
        let scope = quotas.refused(key(slot), counts, block(kin(slot), 4), 2 * SECOND);
        assert_eq!(scope, Scope::Pair { learned: true });
    }
    let gate = |quotas: &Quotas, slot, now| quotas.gate(key(slot), || kin(slot), now);
    let later = 13 * SECOND;
    for slot in 0..2 {
        assert!(matches!(gate(&quotas, slot, 5 * SECOND), Gate::Cooling(_)));
        uses(&mut quotas, slot, 7, later);
    }
    assert_eq!(gate(&quotas, 0, later), Gate::Open);
    uses(&mut quotas, 0, 1, later);
    assert!(matches!(gate(&quotas, 1, later), Gate::Cooling(_)));
}

#[test]
fn memory_is_bounded_however_many_pairs_and_hosts_there_are() {
    let mut quotas = Quotas::default();
    let names = |n: u32| PairKey {
        slot: n % 1000,
        generation: 0,
        host: n / 10,
    };
    for n in 0..3 * MOST_PAIRS as u32 {
        let counts = quotas.begin(names(n), || kin(0), 0, u64::from(n));
        quotas.served(names(n), counts, 0, u64::from(n));
    }
    assert!(quotas.pairs.len() <= MOST_PAIRS && quotas.idle.len() <= MOST_PAIRS);
    assert!(quotas.hosts.len() <= MOST_HOSTS);
    // An hour later all of it can go, as others come.
    for n in 0..MOST_PAIRS as u32 {
        quotas.begin(names(n), || kin(0), 0, 2 * LONGEST + u64::from(n));
    }
    assert!(quotas.pairs.len() <= MOST_PAIRS);
}

#[test]
fn pages_that_were_refusals_all_along_teach_no_quota() {
    let learned = |compared| {
        let mut quotas = Quotas::default();
        for round in 0..6u64 {
            for slot in 0..8 {
                let at = SECOND * (1 + round * 400);
                for nth in 0..3 {
                    let counts = quotas.begin(key(slot), || kin(slot), 0, at + nth * SECOND);
                    if nth < 2 {
                        quotas.served(key(slot), counts, 0, at + nth * SECOND);
                    } else {
                        let block = Block {
                            kind: super::Kind::Other,
                            compared,
                            ..block(kin(slot), 1000)
                        };
                        quotas.refused(key(slot), counts, block, at + nth * SECOND);
                    }
                }
            }
        }
        quotas.limits(HOST)
    };
    assert!(learned(false));
    assert!(!learned(true));
}
