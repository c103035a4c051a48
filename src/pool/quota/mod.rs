//! Learned quotas: how much of one exit a host bears, so that the pool stops before the ban.
//!
//! Uses are counted per (proxy, host) pair ([`window`]) and what they mean is learned per host ([`learner`]); whether the host
//! limits each exit or everybody together is told apart first ([`wide`]), because the two call for opposite things. Counts are
//! taken when a request leaves: when its answer is there, others have left the window, and the quota would be read too low.

mod learner;
#[cfg(test)]
mod tests;
mod wide;
mod window;

use std::collections::{HashMap, VecDeque};

use super::clock::{Micros, SECOND};
use super::hash::Mixing;
use super::memory::Quota;
use super::pair::{Gate, PairKey};
pub(super) use learner::Kin;
use learner::Learner;
use wide::Wide;
pub(super) use window::Vector;
use window::{LONGEST, Windows};

/// A refusal so soon after an answer is not the exit's reputation.
const RECENT: Micros = 60 * SECOND;
/// Pairs whose uses are counted; those idle for longest go first. About 180 bytes each.
const MOST_PAIRS: usize = 1 << 17;
/// Hosts about which something is kept; beyond it, those unused for longest go. About a kilobyte each.
const MOST_HOSTS: usize = 1 << 14;

#[derive(Debug, Default)]
struct Pair {
    generation: u32,
    windows: Windows,
    /// Last use.
    used: Micros,
    /// Last time it was served, since it was refused.
    served: Option<Micros>,
}

#[derive(Debug)]
struct Host {
    learner: Learner,
    wide: Wide,
    /// It limits all of us together, so there is nothing to learn about pairs.
    is_wide: bool,
    used: Micros,
    /// What was last told of it: window and uses.
    told: Option<(usize, u16)>,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scope {
    /// This pair. `learned`: it was in good standing, so how long the ban lasts is the host's way with everybody; otherwise the
    /// exit may be known to the host for worse.
    Pair { learned: bool },
    /// Everybody together: this refusal shows it, at so many successes per second.
    Shown { goodput: f32 },
    /// Everybody together, as was known.
    Everybody,
}

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    pairs: HashMap<u64, Pair, Mixing>,
    /// Pairs in the order of a use of theirs; moved back if there was a later one.
    idle: VecDeque<(Micros, u64)>,
    hosts: HashMap<u32, Host, Mixing>,
}

impl Quotas {
    /// A request leaves on this pair. Gives its counts, this use included.
    pub(super) fn begin(&mut self, key: PairKey, kin: impl FnOnce() -> Kin, now: Micros) -> Vector {
        let packed = key.packed();
        let known = self.pairs.len();
        let pair = self.pairs.entry(packed).or_default();
        if pair.generation != key.generation {
            *pair = Pair {
                generation: key.generation,
                ..Pair::default()
            };
        }
        pair.used = now;
        let counts = pair.windows.count(now);
        if self.pairs.len() > known {
            self.idle.push_back((now, packed));
            self.make_room(now);
        }
        if let Some(host) = self.hosts.get_mut(&key.host)
            && let Some((window, limit)) = host.learner.limit(kin)
            && counts[window] > limit
        {
            host.learner.tries(key.slot);
        }
        counts
    }

    /// True when some exits may not ask this host as often as they could.
    #[inline]
    pub(super) fn limits(&self, host: u32) -> bool {
        self.hosts
            .get(&host)
            .is_some_and(|host| host.learner.has_learned())
    }

    /// May another request leave on this pair, as far as its quota is concerned?
    #[inline]
    pub(super) fn gate(&self, key: PairKey, kin: impl FnOnce() -> Kin, now: Micros) -> Gate {
        let Some(host) = self.hosts.get(&key.host) else {
            return Gate::Open;
        };
        let Some((window, limit)) = host.learner.limit(kin) else {
            return Gate::Open;
        };
        let Some(pair) = self.pairs.get(&key.packed()) else {
            return Gate::Open;
        };
        if pair.generation != key.generation {
            return Gate::Open;
        }
        let uses = pair.windows.used(window, now).saturating_add(1);
        if uses <= limit || host.learner.may_try(key.slot, window, uses, now) {
            return Gate::Open;
        }
        Gate::Cooling(pair.windows.free_at(window, limit, now))
    }

    /// True when this pair was served, and has not been refused since.
    pub(super) fn is_served(&self, key: PairKey) -> bool {
        self.pairs
            .get(&key.packed())
            .is_some_and(|pair| pair.generation == key.generation && pair.served.is_some())
    }

    /// A request that left with `counts` was served.
    pub(super) fn served(&mut self, key: PairKey, counts: Vector, now: Micros) {
        if let Some(pair) = self.known_mut(key) {
            pair.served = Some(now);
        }
        let host = self.host(key.host, now);
        let low = host.learner.is_low(counts);
        host.wide.served(low, now);
        if !host.is_wide {
            host.learner.served(key.slot, counts);
        }
    }

    /// A request that left with `counts` was refused. `in_ban` when the pair is banned already; `live` is the number of proxies
    /// that could have been refused.
    pub(super) fn refused(
        &mut self,
        key: PairKey,
        counts: Vector,
        kin: Kin,
        in_ban: bool,
        live: usize,
        now: Micros,
    ) -> Scope {
        let served = self.known_mut(key).and_then(|pair| pair.served.take());
        let recent = served.is_some_and(|served| now < served + RECENT);
        let host = self.host(key.host, now);
        if host.is_wide {
            return Scope::Everybody;
        }
        if recent && host.learner.is_low(counts) && host.wide.refused(key.slot, live, now) {
            host.is_wide = true;
            host.learner = Learner::new();
            let goodput = host.wide.goodput(now);
            return Scope::Shown { goodput };
        }
        // Only one that was served before shows what was too much.
        let learned = served.is_some();
        if learned && !in_ban {
            host.learner.banned(counts, kin);
        }
        host.learner.refused(key.slot, now);
        Scope::Pair { learned }
    }

    /// The request of a probation, `after` the beginning of the ban, was refused or served.
    pub(super) fn tried(&mut self, host: u32, after: Micros, served: bool, now: Micros) {
        let learner = &mut self.host(host, now).learner;
        if served {
            learner.free_again(after);
        } else {
            learner.still_banned(after);
        }
    }

    /// How long to leave a pair alone that was banned for its uses.
    pub(super) fn wait(&self, host: u32) -> Option<Micros> {
        Some(self.hosts.get(&host)?.learner.wait())
    }

    /// What has been learned of hosts since it was last told.
    pub(super) fn news(&mut self) -> impl Iterator<Item = (u32, Quota)> {
        self.hosts.iter_mut().filter_map(|(number, host)| {
            let learned = host.learner.learned()?;
            let told = host.told.replace(learned);
            let (window, uses) = learned;
            let window = window::length(window);
            (told != Some(learned)).then_some((*number, Quota { window, uses }))
        })
    }

    /// Begins with what an earlier run has learned of a host.
    pub(super) fn recall(&mut self, host: u32, quota: Quota, now: Micros) {
        if let Some(window) = window::of_length(quota.window) {
            let host = self.host(host, now);
            host.learner.recall(window, quota.uses);
            // That it was remembered is no news: else it would never grow old.
            host.told = host.learner.learned();
        }
    }

    fn known_mut(&mut self, key: PairKey) -> Option<&mut Pair> {
        self.pairs
            .get_mut(&key.packed())
            .filter(|pair| pair.generation == key.generation)
    }

    fn host(&mut self, host: u32, now: Micros) -> &mut Host {
        if self.hosts.len() >= MOST_HOSTS && !self.hosts.contains_key(&host) {
            let mut used: Vec<Micros> = self.hosts.values().map(|host| host.used).collect();
            let (_, middle, _) = used.select_nth_unstable(MOST_HOSTS / 2);
            let middle = *middle;
            self.hosts.retain(|_, host| host.used > middle);
        }
        let host = self.hosts.entry(host).or_insert_with(|| Host {
            learner: Learner::new(),
            wide: Wide::default(),
            is_wide: false,
            used: now,
            told: None,
        });
        host.used = now;
        host
    }

    /// Forgets pairs whose uses do not count any more, a few at a time, and the idlest when there are too many.
    fn make_room(&mut self, now: Micros) {
        for _ in 0..4 {
            let Some((at, packed)) = self.idle.front().copied() else {
                return;
            };
            if now < at + LONGEST && self.pairs.len() < MOST_PAIRS {
                return;
            }
            self.idle.pop_front();
            match self.pairs.get(&packed) {
                Some(pair) if pair.used > at => self.idle.push_back((pair.used, packed)),
                _ => {
                    self.pairs.remove(&packed);
                }
            }
        }
    }
}
