//! Leaving a memory to the next run, and beginning with one.
//!
//! Nobody is READY from memory; it decides who is probed first. Those that have served come in the order of their chance of
//! serving again, before any stranger. The others begin as if their last quarantine had just begun, so that a pool which finds
//! what it needs never asks them, and one that starves asks them as it asks anybody in quarantine. Only when there is nobody
//! else are they asked at once: an earlier run's word alone keeps no request waiting.

use std::time::{Duration, Instant};

use super::clock::between;
use super::lease::HostIdx;
use super::memory::{Memory, Remembered, RememberedLimit, RememberedPair, Rest, Turn};
use super::pair::PairKey;
use super::probe::UNKNOWN_LOOKS;
use super::settle::{BASE_NEVER_ALIVE, BASE_UNPROVEN};
use super::slot::State;
use super::{Pool, Strategy};
use crate::job::HostKey;

/// Quarantines in a row that a memory holds against a proxy at most: 810 s for one that was there, half an hour for others.
const HIGHEST_LEVEL: u8 = 3;

impl Pool {
    /// Begins with what is remembered of its members, as far as nothing is known of them yet. `number` gives a host its number.
    /// From now on [`Pool::snapshot`] also tells of pairs.
    pub fn recall(
        &mut self,
        memory: &Memory,
        number: &mut dyn FnMut(&HostKey) -> HostIdx,
        now: Instant,
    ) {
        let t = self.moment(now);
        self.pairs.take_notes();
        let mut first = Vec::new();
        let (mut late, mut last) = (Vec::new(), Vec::new());
        for one in &memory.proxies {
            let Some(at) = self.admits_memory_of(one) else {
                continue;
            };
            let health = one.health.faded(one.age);
            let present = self.scale.present();
            let slot = self.roster.slot_mut(at);
            slot.recall(&health, present);
            match health.turn() {
                Turn::First => first.push((health.chance(), at)),
                Turn::Late => late.push((health.chance(), at, health.level)),
                Turn::Last => last.push((health.unreached, at)),
                Turn::Never => slot.state = State::Retired,
            }
            self.roster.refile(at);
        }
        first.sort_by(|a, b| b.0.total_cmp(&a.0));
        self.known.extend(first.into_iter().map(|(_, at)| at));
        // Other strategies are to find out about the whole list.
        if self.settings.strategy == Strategy::Best {
            late.sort_by(|a, b| b.0.total_cmp(&a.0));
            for (_, at, level) in late {
                self.roster.slot_mut(at).level = level.saturating_sub(1).min(HIGHEST_LEVEL);
                self.quarantine(at, BASE_UNPROVEN, t);
            }
            last.sort_by_key(|(unreached, _)| *unreached);
            for (unreached, at) in last {
                self.roster.slot_mut(at).level = unreached.saturating_sub(1).min(HIGHEST_LEVEL);
                self.quarantine(at, BASE_NEVER_ALIVE, t);
            }
        }
        for pair in &memory.pairs {
            if let (Some(rest), Some(at)) = (pair.rest, self.roster.locate(pair.proxy.id())) {
                let key = PairKey {
                    slot: at,
                    generation: self.roster.slot(at).generation,
                    host: number(&pair.host).0,
                };
                self.pairs.recall(key, rest, t);
            }
        }
        for tier in &memory.tiers {
            self.tiers.recall(number(&tier.host).0, tier);
        }
        for limit in memory.limits.iter().filter(|limit| !limit.is_stale()) {
            if let Some(quota) = limit.quota {
                self.quotas.recall(number(&limit.host).0, quota, t);
            }
        }
    }

    /// The slot of a member that a memory may still say something about.
    fn admits_memory_of(&self, one: &Remembered) -> Option<u32> {
        if one.health.is_stale(one.age) {
            return None;
        }
        let at = self.roster.locate(one.proxy.id())?;
        let slot = self.roster.slot(at);
        let untouched = slot.state == State::Unknown && !slot.probing && slot.probes == 0;
        (untouched && !slot.is_recalled()).then_some(at)
    }

    /// What has been learned since the last snapshot, or since the beginning. `host` is the inverse of the numbers that leases
    /// were asked with; what is known of a host without a name is left out.
    ///
    /// Empty while nobody of the pool was reached at all: the fault may be this machine's, and one evening without a network
    /// must not turn a list of good proxies into a list of dead ones.
    pub fn snapshot(&mut self, host: &dyn Fn(HostIdx) -> Option<HostKey>, now: Instant) -> Memory {
        let t = self.moment(now);
        let mut memory = Memory::default();
        let slots = &self.roster.slots;
        if !slots.iter().any(|slot| slot.alive && !slot.is_direct()) {
            return memory;
        }
        self.noted.resize(slots.len(), 0);
        let present = self.scale.present();
        for (slot, noted) in slots.iter().zip(&mut self.noted) {
            let Some(mut health) = slot.health(present) else {
                continue;
            };
            let mark = slot.mark();
            if std::mem::replace(noted, mark) != mark {
                if slot.state == State::Quarantined {
                    health.rests = Some(between(t, slot.until)).filter(|left| !left.is_zero());
                }
                memory.proxies.push(Remembered {
                    proxy: slot.proxy.clone(),
                    health,
                    age: Duration::ZERO,
                });
            }
        }
        for (key, standing) in self.pairs.news() {
            let slot = self.roster.slot(key.slot);
            if slot.generation != key.generation {
                continue;
            }
            let Some(host) = host(HostIdx(key.host)) else {
                continue;
            };
            let rest = standing.map(|(level, until, forget)| Rest {
                level,
                ends_in: between(t, until),
                forgotten_in: between(t, forget),
            });
            memory.pairs.push(RememberedPair {
                proxy: slot.proxy.clone(),
                host,
                rest: rest.filter(|rest| !rest.forgotten_in.is_zero()),
            });
        }
        memory.tiers = self.tier_news(host);
        for (number, quota) in self.quotas.news() {
            memory
                .limits
                .extend(host(HostIdx(number)).map(|host| RememberedLimit {
                    host,
                    quota,
                    rate: None,
                    age: Duration::ZERO,
                }));
        }
        memory
    }

    /// The best of those that an earlier run has found good and that nobody has looked at yet.
    pub(super) fn next_known(&mut self) -> Option<u32> {
        let waits = |pool: &Pool, at: u32| {
            let slot = pool.roster.slot(at);
            slot.state == State::Unknown && !slot.probing && slot.is_recalled()
        };
        while let Some(at) = self.known.front().copied()
            && !waits(self, at)
        {
            self.known.pop_front();
        }
        let admitted =
            |at: &u32| waits(self, *at) && self.accounts.admits(self.roster.slot(*at).account);
        let found = self.known.iter().take(UNKNOWN_LOOKS).position(admitted)?;
        self.known.remove(found)
    }
}
