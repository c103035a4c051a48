//! Failures that may be the host's or the proxy's, kept until one of the two shows.
//!
//! Charging such a failure at once, even in part, makes every outage of a target cost the pool score and members. So it is
//! only noted, and judged by what follows:
//! - the host answers somebody else who asked later: it was up, and those in doubt are charged;
//! - more of the pool was in doubt than fails together by chance, or the one who is answered had failed as well: the host
//!   was out, and nobody is charged;
//! - one proxy alone is in doubt on several hosts in a row, more than what the others meet meanwhile makes likely: it is charged;
//! - nothing follows: nobody is charged.
//!
//! Until then a doubt only makes the proxy less wanted. It is the breaker's refund the other way around: nothing has to be
//! given back. What it cannot tell: a pool of one, and an outage so short that it met one or two requests.

use std::collections::HashMap;

use super::clock::{Micros, SECOND};
use super::hash::Mixing;

/// Chance that a proxy that has served before fails for reasons of its own, at least: even the best lose some.
const PROVEN_FAILS: f32 = 0.1;
/// The host is out when the failures, taken as independent, are less likely than this, about what a host that answered a
/// minute ago is to be down now: three proxies that hardly ever fail, more of those that often do. Proxies that have never
/// served say nothing: most of a public list that connects does nothing else.
const OUTAGE: f32 = 0.002;
/// A doubt that nothing has settled for so long is dropped.
const LIFE: Micros = 120 * SECOND;
/// Doubts about one host, each of another proxy; more would add nothing.
const MOST: usize = 64;
/// Hosts before the first look for forgotten ones.
const FIRST_PRUNE: usize = 4096;
/// Hosts in a row on which one proxy alone fails before that may be its own doing.
const ALONE: usize = 3;
/// Hosts of that row that are remembered: as many as convict a proxy of which there is nobody to compare with.
const TRAIL: usize = 64;
/// What is supposed of others that have met nothing meanwhile, failures and answers: where the proxy was silent, and where it said each
/// time that it could not reach the host, which is what one that works says of a dead host.
const SILENT: (f32, f32) = (1.0, 1.0);
const TOLD: (f32, f32) = (9.0, 1.0);
/// Weight of the newest in what the pool meets lately.
const LATELY: f32 = 1.0 / 16.0;
/// While more than this share of it fails, that a stranger fails as well is nothing of its own.
const COMMON: f32 = 0.5;

/// One proxy in doubt about one host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubt {
    pub(super) host: u32,
    pub(super) slot: u32,
    pub(super) generation: u32,
    /// Failures since the host was last known to be up that are not charged yet, saturating.
    pub(super) count: u8,
    pub(super) last: Micros,
    /// Chance that it fails for reasons of its own.
    fails: f32,
    /// The proxy said that it could not reach the host.
    told: bool,
    /// Since the request left, the proxy has carried an answer of another host, or this failure is one that is no row with others.
    serves: bool,
    /// The target's certificate did not verify: if it does through others, this proxy has replaced it.
    pub(super) altered: bool,
}

impl Doubt {
    /// A failure at `now` of a proxy that has never served.
    pub(super) fn new(host: u32, slot: u32, generation: u32, now: Micros) -> Self {
        Doubt {
            host,
            slot,
            generation,
            count: 1,
            last: now,
            fails: 1.0,
            told: false,
            serves: false,
            altered: false,
        }
    }

    /// The same of a proxy that has served before and whose chance of success is `chance`.
    pub(super) fn of_proven(self, chance: f32) -> Self {
        Doubt {
            fails: (1.0 - chance).clamp(PROVEN_FAILS, 1.0),
            ..self
        }
    }

    /// The same with the proxy's word that it could not reach the host.
    pub(super) fn with_told(self, told: bool) -> Self {
        Doubt { told, ..self }
    }

    /// The same of a proxy that has carried an answer since the request left.
    pub(super) fn with_serves(self, serves: bool) -> Self {
        Doubt { serves, ..self }
    }

    /// The same after a certificate that did not verify.
    pub(super) fn with_altered(self, altered: bool) -> Self {
        Doubt { altered, ..self }
    }
}

/// What an answer of a host shows about the failures before it.
#[derive(Debug)]
pub(super) enum Shown {
    /// It was the proxies.
    Proxies(Vec<Doubt>),
    /// It was the host.
    Host(Vec<Doubt>),
}

/// Hosts on which a proxy has failed since it last carried an answer.
#[derive(Debug)]
struct Trail {
    hosts: Vec<u32>,
    /// Doubts of this row that are counted among what all have met.
    own: u64,
    /// What all had met when it began.
    began: Met,
}

/// What all proxies together have met.
#[derive(Debug, Clone, Copy, Default)]
struct Met {
    answers: u64,
    /// Doubts about those that have served.
    doubts: u64,
}

/// See the module text. Holds only what is in doubt now.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    hosts: HashMap<u32, Vec<Doubt>, Mixing>,
    trails: HashMap<u32, Trail, Mixing>,
    met: Met,
    /// Share of new doubts about those that have served in what they met lately.
    lately: f32,
    prune_at: usize,
}

impl Doubts {
    /// Notes a failure. Returns the doubts of this proxy that are its own doing after all.
    pub(super) fn add(&mut self, doubt: Doubt, now: Micros) -> Vec<Doubt> {
        if self.hosts.len() >= self.prune_at.max(FIRST_PRUNE) {
            self.hosts
                .retain(|_, doubts| doubts.iter().any(|doubt| now < doubt.last + LIFE));
            self.prune_at = 2 * self.hosts.len();
        }
        let doubts = self.hosts.entry(doubt.host).or_default();
        let known = doubts
            .iter_mut()
            .find(|known| known.slot == doubt.slot && known.generation == doubt.generation);
        match known {
            Some(known) => {
                // To the others it is a failure like any.
                if doubt.fails < 1.0 {
                    self.met.doubts += 1;
                    let trail = self.trails.get_mut(&doubt.slot);
                    trail.into_iter().for_each(|trail| trail.own += 1);
                }
                known.count = known.count.saturating_add(1);
                known.last = doubt.last;
                known.told &= doubt.told;
                known.altered |= doubt.altered;
                // That it fails again at a host which has answered nobody since says nothing new of the proxy.
                return Vec::new();
            }
            None => {
                if doubts.len() >= MOST {
                    doubts.remove(0);
                }
                doubts.push(doubt);
            }
        }
        // Requests that hang come back late: those of thirty hosts that hang are no row while other hosts were answered beside them.
        if doubt.serves {
            return Vec::new();
        }
        let met = self.met;
        let trail = self.trails.entry(doubt.slot).or_insert_with(|| Trail {
            hosts: Vec::new(),
            own: 0,
            began: met,
        });
        if !trail.hosts.contains(&doubt.host) {
            if trail.hosts.len() >= TRAIL {
                trail.hosts.remove(0);
            }
            trail.hosts.push(doubt.host);
            if doubt.fails < 1.0 {
                trail.own += 1;
                self.met.doubts += 1;
                self.lately += LATELY * (1.0 - self.lately);
            }
        }
        self.alone(doubt.slot, now)
    }

    /// The doubts about a proxy that fails alone while others are served. Where all meet dead hosts, because they stand
    /// together in the input, each has such a row.
    fn alone(&mut self, slot: u32, now: Micros) -> Vec<Doubt> {
        let Some(trail) = self.trails.get(&slot) else {
            return Vec::new();
        };
        let alone = |host: &u32| {
            let doubts = self.hosts.get(host).map_or(&[][..], Vec::as_slice);
            let mut fresh = doubts.iter().filter(|doubt| now < doubt.last + LIFE);
            let first = fresh.next().filter(|doubt| doubt.slot == slot);
            first.copied().filter(|_| fresh.next().is_none())
        };
        let row: Vec<Doubt> = trail.hosts.iter().filter_map(alone).collect();
        if row.len() < ALONE || self.chance_of(trail, &row) >= OUTAGE {
            return Vec::new();
        }
        self.trails.remove(&slot);
        let mut taken = Vec::new();
        for Doubt { host, .. } in row {
            let doubts = self.hosts.entry(host).or_default();
            // It stays, with nothing left to charge: that it fails again says nothing new.
            if let Some(own) = doubts.iter_mut().find(|doubt| doubt.slot == slot) {
                taken.push(*own);
                own.count = 0;
            }
        }
        taken
    }

    /// How likely another proxy were to fail on so many hosts in a row, by what all others have met since this row began.
    fn chance_of(&self, trail: &Trail, row: &[Doubt]) -> f32 {
        let doubts = (self.met.doubts - trail.began.doubts).saturating_sub(trail.own) as f32;
        let answers = (self.met.answers - trail.began.answers) as f32;
        let told = row.iter().all(|doubt| doubt.told);
        let (failed, answered) = if told { TOLD } else { SILENT };
        ((doubts + failed) / (doubts + answers + failed + answered)).powi(row.len() as i32)
    }

    /// True while those that have served fail on most hosts.
    pub(super) fn are_common(&self) -> bool {
        self.lately > COMMON
    }

    /// The proxy in `slot` has carried an answer of some host.
    pub(super) fn served(&mut self, slot: u32) {
        self.met.answers += 1;
        self.lately -= LATELY * self.lately;
        if !self.trails.is_empty() {
            self.trails.remove(&slot);
        }
    }

    /// The host has answered a request that was sent through `slot` at `sent`.
    pub(super) fn answered(
        &mut self,
        host: u32,
        slot: u32,
        sent: Micros,
        now: Micros,
    ) -> Option<Shown> {
        let doubts = self.hosts.get_mut(&host)?;
        let mut due = Vec::new();
        doubts.retain(|doubt| {
            let fresh = now < doubt.last + LIFE;
            let settled = doubt.last <= sent;
            if fresh && settled {
                due.push(*doubt);
            }
            fresh && !settled
        });
        if doubts.is_empty() {
            self.hosts.remove(&host);
        }
        let own = due.iter().any(|doubt| doubt.slot == slot);
        Some(if is_outage(&due) || own {
            Shown::Host(due)
        } else {
            Shown::Proxies(due)
        })
    }

    /// True while more of the pool fails towards this host than fails together by chance.
    pub(super) fn is_out(&self, host: u32) -> bool {
        self.hosts
            .get(&host)
            .is_some_and(|doubts| is_outage(doubts))
    }
}

fn is_outage(doubts: &[Doubt]) -> bool {
    doubts.iter().map(|doubt| doubt.fails).product::<f32>() < OUTAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proven(host: u32, slot: u32, at: Micros) -> Doubt {
        Doubt::new(host, slot, 0, at).of_proven(0.98)
    }

    fn charged(shown: Option<Shown>) -> usize {
        match shown {
            Some(Shown::Proxies(doubts)) => doubts.len(),
            Some(Shown::Host(_)) | None => 0,
        }
    }

    #[test]
    fn one_failure_among_answers_is_the_proxys_and_three_in_silence_are_the_hosts() {
        for (failing, expected) in [(1, 1), (2, 2), (3, 0), (10, 0)] {
            let mut doubts = Doubts::default();
            for slot in 0..failing {
                assert!(doubts.add(proven(7, slot, 100), 100).is_empty());
            }
            assert_eq!(doubts.is_out(7), failing > 2);
            assert_eq!(charged(doubts.answered(7, 99, 50, 110)), 0, "sent before");
            assert_eq!(charged(doubts.answered(7, 99, 100, 120)), expected);
            assert!(doubts.answered(7, 99, 100, 130).is_none(), "settled once");
        }
    }

    #[test]
    fn who_failed_and_is_answered_clears_the_others() {
        let mut doubts = Doubts::default();
        doubts.add(proven(7, 1, 100), 100);
        doubts.add(proven(7, 2, 100), 100);
        assert!(
            matches!(doubts.answered(7, 1, 200, 210), Some(Shown::Host(all)) if all.len() == 2)
        );
    }

    #[test]
    fn strangers_do_not_testify_against_a_host_and_old_doubts_count_for_nothing() {
        let mut doubts = Doubts::default();
        for slot in 0..40 {
            doubts.add(Doubt::new(7, slot, 0, 100), 100);
            assert!(!doubts.is_out(7));
            doubts.add(Doubt::new(8, slot, 0, 100), 100);
        }
        assert_eq!(charged(doubts.answered(7, 99, 100, 100)), 40);
        assert_eq!(charged(doubts.answered(8, 99, 2 * LIFE, 2 * LIFE)), 0);
    }

    #[test]
    fn a_proxy_alone_in_doubt_on_three_hosts_in_a_row_is_charged_while_others_are_served() {
        let mut doubts = Doubts::default();
        doubts.add(proven(1, 1, 0), 0);
        doubts.add(proven(2, 1, 0), 0);
        doubts.served(1);
        let others = |doubts: &mut Doubts| (10..30).for_each(|slot| doubts.served(slot));
        others(&mut doubts);
        assert!(
            doubts.add(proven(3, 1, 0), 0).is_empty(),
            "the row is broken"
        );
        doubts.add(proven(4, 1, 0), 0);
        doubts.add(proven(5, 2, 0), 0);
        others(&mut doubts);
        assert!(
            doubts.add(proven(5, 1, 0), 0).is_empty(),
            "not alone on one"
        );
        assert_eq!(doubts.add(proven(6, 1, 0), 0).len(), 3);
        for host in [3, 4, 6] {
            assert!(doubts.add(proven(host, 1, 1), 1).is_empty(), "charged once");
        }
    }

    #[test]
    fn a_row_is_charged_to_nobody_who_failed_long_ago() {
        let mut doubts = Doubts::default();
        for host in [1, 2, 3] {
            doubts.add(proven(host, 9, 0), 0);
        }
        doubts.add(proven(1, 1, LIFE), LIFE);
        doubts.add(proven(2, 1, LIFE), LIFE);
        (10..40).for_each(|slot| doubts.served(slot));
        let charged = doubts.add(proven(3, 1, LIFE), LIFE);
        assert_eq!(charged.len(), 3);
        assert!(charged.iter().all(|doubt| doubt.slot == 1));
    }

    #[test]
    fn dead_hosts_that_all_meet_charge_nobody() {
        let mut doubts = Doubts::default();
        for host in 0..30 {
            assert!(doubts.add(proven(host, host % 3, 0), 0).is_empty());
        }
        assert!(doubts.are_common());
        (0..20).for_each(|slot| doubts.served(slot));
        assert!(!doubts.are_common());
    }

    #[test]
    fn with_nobody_to_compare_with_it_takes_a_longer_row_and_longest_for_one_that_says_so() {
        let row = |told| {
            let mut doubts = Doubts::default();
            let each = (0..100).map(|host| doubts.add(proven(host, 0, 0).with_told(told), 0).len());
            let charged: Vec<(usize, usize)> = each.enumerate().filter(|one| one.1 > 0).collect();
            charged[0]
        };
        assert_eq!(row(false), (8, 9));
        assert_eq!(row(true), (58, 59));
    }
}
