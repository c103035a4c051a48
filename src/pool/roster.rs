//! The members and the lists they stand in.
//!
//! A proxy is in at most one *shelf*: unknown and not being probed, READY and never used, or READY with room for another
//! request. Choosing samples shelves, so neither dead nor busy proxies cost a choice anything. Every change of a slot is
//! followed by [`Roster::refile`], which compares what the slot is with what it was filed as and moves it: lists and
//! tallies have one writer and cannot disagree.
//!
//! READY members stand on their shelf in an order that is random at any time: a new one goes to a random place, and who stood
//! there to the end; the last one takes the place of one that leaves. Neighbours have nothing in common then, neither their
//! place in the list nor the time of their last use, and a choice may look at some of them together.

use std::collections::HashMap;
use std::sync::Arc;

use super::candidate::Candidate;
use super::clock::Micros;
use super::evidence::Present;
use super::hash::Mixing;
use super::random::Random;
use super::ring::Ring;
use super::rotating::Caps;
use super::slot::{Filed, Slot, State};
use super::weights::Weights;
use super::{ProxyIdx, Strategy};
use crate::proxy::{Proxy, ProxyId};

/// The lists a choice is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shelf {
    /// Never probed, and not being probed now.
    Unknown = 0,
    /// READY and never used.
    Fresh = 1,
    /// READY, used before, with room for another request.
    Free = 2,
}

/// Members by state, and what else is asked for in one step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) unknown: u32,
    pub(super) ready: u32,
    pub(super) quarantined: u32,
    pub(super) retired: u32,
    pub(super) proven: u32,
    /// Members that may yet come alive and were not probed twice.
    pub(super) underprobed: u32,
    /// Requests the READY members bear at once.
    pub(super) capacity: u64,
    /// Leases out, those on leaving proxies included.
    pub(super) in_flight: u32,
    /// Probes out.
    pub(super) probing: u32,
}

impl Tally {
    pub(super) fn total(&self) -> u32 {
        self.unknown + self.ready + self.quarantined + self.retired
    }
}

/// All slots, with their lists.
#[derive(Debug)]
pub(super) struct Roster {
    pub(super) slots: Vec<Slot>,
    pub(super) tally: Tally,
    /// Draw by weight; only under [`Strategy::Weighted`].
    pub(super) weights: Option<Weights>,
    shelves: [Vec<Candidate>; 3],
    by_id: HashMap<ProxyId, u32, Mixing>,
    vacant: Vec<u32>,
    /// READY members, least recently used first; only under [`Strategy::RoundRobin`].
    ring: Option<Ring>,
    caps: Caps,
    /// Where on a shelf the next member goes.
    order: Random,
}

impl Roster {
    pub(super) fn new(strategy: Strategy, caps: Caps, capacity: usize, order: Random) -> Self {
        // All begin as unknown.
        let unknown = Vec::with_capacity(capacity);
        Roster {
            slots: Vec::with_capacity(capacity),
            tally: Tally::default(),
            weights: (strategy == Strategy::Weighted).then(Weights::default),
            shelves: [unknown, Vec::new(), Vec::new()],
            by_id: HashMap::with_capacity_and_hasher(capacity, Mixing::default()),
            vacant: Vec::new(),
            ring: (strategy == Strategy::RoundRobin).then(Ring::default),
            caps,
            order,
        }
    }

    pub(super) fn shelf(&self, shelf: Shelf) -> &[Candidate] {
        &self.shelves[shelf as usize]
    }

    /// What a choice reads of this slot, wherever it stands.
    pub(super) fn candidate(&self, at: u32) -> Candidate {
        self.slot(at).candidate(at, self.caps)
    }

    pub(super) fn slot(&self, at: u32) -> &Slot {
        &self.slots[at as usize]
    }

    pub(super) fn slot_mut(&mut self, at: u32) -> &mut Slot {
        &mut self.slots[at as usize]
    }

    /// The slot of this identity, a leaving one included.
    pub(super) fn locate(&self, id: ProxyId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// The slot of this member.
    pub(super) fn find(&self, id: ProxyId) -> Option<ProxyIdx> {
        self.locate(id)
            .filter(|at| self.slot(*at).is_member())
            .map(ProxyIdx)
    }

    /// Takes a proxy that is not a member in. It is filed as unknown, `direct` as READY.
    pub(super) fn admit(&mut self, proxy: Arc<Proxy>, account: u32) -> u32 {
        let id = proxy.id();
        let direct = proxy.is_direct();
        let at = if let Some(at) = self.vacant.pop() {
            let generation = self.slot(at).generation;
            *self.slot_mut(at) = Slot::new(proxy);
            self.slot_mut(at).generation = generation;
            at
        } else {
            self.slots.push(Slot::new(proxy));
            (self.slots.len() - 1) as u32
        };
        self.by_id.insert(id, at);
        self.slot_mut(at).account = account;
        self.slot_mut(at).state = if direct { State::Ready } else { State::Unknown };
        self.refile(at);
        at
    }

    /// Lets a member go, at once or when its last lease or probe is over.
    pub(super) fn dismiss(&mut self, at: u32) {
        self.slot_mut(at).state = State::Leaving;
        self.refile(at);
        self.vacate_if_idle(at);
    }

    /// Frees the slot of a leaving proxy that nobody uses any more.
    pub(super) fn vacate_if_idle(&mut self, at: u32) {
        let slot = self.slot_mut(at);
        if slot.state != State::Leaving || slot.in_flight > 0 || slot.probing {
            return;
        }
        slot.state = State::Vacant;
        slot.generation = slot.generation.wrapping_add(1);
        let id = slot.proxy.id();
        self.by_id.remove(&id);
        self.vacant.push(at);
        self.refile(at);
    }

    /// Marks a member as used now: the round-robin ring puts it last.
    pub(super) fn touch(&mut self, at: u32, turn: u64) {
        self.slot_mut(at).used = turn;
        if let Some(ring) = &mut self.ring {
            ring.move_to_end(at);
        }
    }

    /// Least recently used READY members first, each once.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = u32> + '_ {
        self.ring.iter().flat_map(Ring::iter)
    }

    /// Moves everything before `at` to the end of the turn order: they were asked and could not serve.
    pub(super) fn pass_over_to(&mut self, at: u32) {
        if let Some(ring) = &mut self.ring {
            ring.begin_with(at);
        }
    }

    /// Brings lists and tallies up to date with one slot. To be called after every change of it.
    pub(super) fn refile(&mut self, at: u32) {
        let slot = &self.slots[at as usize];
        let new = slot.filing(self.caps);
        if new != slot.filed {
            self.move_to(at, new);
        } else if let Some(shelf) = new.shelf {
            let candidate = slot.candidate(at, self.caps);
            self.shelves[shelf as usize][slot.pos as usize] = candidate;
        }
        if let Some(weights) = &mut self.weights {
            // Another list may have another weight for the same proxy.
            let on_offer = matches!(new.shelf, Some(Shelf::Fresh | Shelf::Free));
            let proxy = &self.slots[at as usize].proxy;
            weights.set(at, on_offer.then(|| proxy.labels().weight));
        }
    }

    /// Moves a slot between lists and tallies.
    #[inline(never)]
    fn move_to(&mut self, at: u32, new: Filed) {
        let old = std::mem::replace(&mut self.slot_mut(at).filed, new);
        if let Some(shelf) = old.shelf {
            let pos = self.slot(at).pos;
            let list = &mut self.shelves[shelf as usize];
            list.swap_remove(pos as usize);
            if let Some(moved) = list.get(pos as usize) {
                self.slots[moved.at as usize].pos = pos;
            }
        }
        if let Some(shelf) = new.shelf {
            let candidate = self.candidate(at);
            let list = &mut self.shelves[shelf as usize];
            let end = list.len();
            list.push(candidate);
            let pos = match shelf {
                // Nobody looks at several of these together.
                Shelf::Unknown => end,
                Shelf::Fresh | Shelf::Free => self.order.below(end + 1),
            };
            list.swap(pos, end);
            let moved = list[end].at;
            self.slots[moved as usize].pos = end as u32;
            self.slots[at as usize].pos = pos as u32;
        }
        let ready = new.state == State::Ready;
        if let Some(ring) = &mut self.ring
            && (old.state == State::Ready) != ready
        {
            if ready {
                ring.push_first(at);
            } else {
                ring.remove(at);
            }
        }
        let tally = &mut self.tally;
        if new.state != old.state {
            if let Some(count) = tally.of(old.state) {
                *count -= 1;
            }
            if let Some(count) = tally.of(new.state) {
                *count += 1;
            }
        }
        tally.capacity = tally.capacity - u64::from(old.capacity) + u64::from(new.capacity);
        tally.proven = tally.proven - u32::from(old.proven) + u32::from(new.proven);
        tally.underprobed =
            tally.underprobed - u32::from(old.underprobed) + u32::from(new.underprobed);
    }

    /// Brings all evidence to a new epoch of the pool's scale.
    pub(super) fn rebase(&mut self, divisor: Present) {
        self.slots.iter_mut().for_each(|slot| slot.rebase(divisor));
        let candidates = self.shelves.iter_mut().flatten();
        candidates.for_each(|candidate| candidate.evidence.rebase(divisor));
    }

    /// Puts a slot into quarantine until `until`; timers are the caller's.
    pub(super) fn shut(&mut self, at: u32, until: Micros, now: Micros) {
        let slot = self.slot_mut(at);
        slot.state = State::Quarantined;
        slot.until = until;
        slot.checked = now;
        slot.trusted = false;
        slot.ticket = slot.ticket.wrapping_add(1);
        self.refile(at);
    }
}

impl Tally {
    fn of(&mut self, state: State) -> Option<&mut u32> {
        match state {
            State::Unknown => Some(&mut self.unknown),
            State::Ready => Some(&mut self.ready),
            State::Quarantined => Some(&mut self.quarantined),
            State::Retired => Some(&mut self.retired),
            State::Vacant | State::Leaving => None,
        }
    }
}

#[cfg(test)]
impl Roster {
    /// Panics when a list or tally disagrees with the slots.
    pub(super) fn check(&self) {
        let mut tally = Tally {
            in_flight: self.tally.in_flight,
            probing: self.tally.probing,
            ..Tally::default()
        };
        let mut shelved = 0;
        let mut leased = 0;
        for (at, slot) in self.slots.iter().enumerate() {
            if let Some(count) = tally.of(slot.state) {
                *count += 1;
            }
            if let Some(shelf) = slot.filed.shelf {
                shelved += 1;
                assert_eq!(
                    self.shelf(shelf)[slot.pos as usize],
                    self.candidate(at as u32)
                );
            }
            let ready = slot.state == State::Ready;
            let room = ready && slot.in_flight < slot.cap(self.caps);
            assert_eq!(
                room,
                matches!(slot.filed.shelf, Some(Shelf::Fresh | Shelf::Free))
            );
            if ready {
                tally.capacity += u64::from(slot.cap(self.caps));
            }
            tally.proven += u32::from(slot.is_member() && slot.is_proven());
            leased += slot.in_flight;
        }
        assert_eq!(leased, tally.in_flight);
        assert_eq!(shelved, self.shelves.iter().map(Vec::len).sum::<usize>());
        if self.ring.is_some() {
            assert_eq!(self.in_turn().count() as u32, tally.ready);
        }
        let shown = |tally: &Tally| {
            let states = [
                tally.unknown,
                tally.ready,
                tally.quarantined,
                tally.retired,
                tally.proven,
            ];
            (states, tally.capacity)
        };
        assert_eq!(shown(&tally), shown(&self.tally));
    }
}

#[cfg(test)]
mod tests {
    use super::super::slot::NONE;
    use super::*;
    use crate::proxy::Scheme;

    const MEMBERS: u32 = 8;
    const CAPS: Caps = Caps {
        fixed: 8,
        rotating: 8,
    };

    fn file(roster: &mut Roster, at: u32, state: State) {
        roster.slot_mut(at).state = state;
        roster.refile(at);
    }

    #[test]
    fn the_order_on_a_shelf_tells_neither_the_order_of_the_list_nor_who_was_filed_last() {
        // By member, how often it stood at each place, and how often each other one stood behind it.
        let mut places = [[0u32; MEMBERS as usize]; MEMBERS as usize];
        let mut behind = [[0u32; MEMBERS as usize]; MEMBERS as usize];
        for seed in 0..8_000 {
            let order = Random::new(seed);
            let mut roster = Roster::new(Strategy::Best, CAPS, MEMBERS as usize, order);
            for n in 0..MEMBERS {
                let proxy = Proxy::new(Scheme::Http, "192.0.2.1", 80 + n as u16, None);
                let at = roster.admit(Arc::new(proxy), NONE);
                file(&mut roster, at, State::Ready);
            }
            for at in [2, 3, 5, 3] {
                file(&mut roster, at, State::Quarantined);
                file(&mut roster, at, State::Ready);
            }
            roster.check();
            let shelf = roster.shelf(Shelf::Fresh);
            for (place, one) in shelf.iter().enumerate() {
                places[one.at as usize][place] += 1;
                let next = shelf[(place + 1) % shelf.len()].at;
                behind[one.at as usize][next as usize] += 1;
            }
        }
        // Mean 1000 and 1143, standard deviation 30 and 31.
        let alike = |count: &u32| (870..1280).contains(count);
        assert!(places.iter().flatten().all(alike), "{places:?}");
        for (at, others) in behind.iter().enumerate() {
            let mut others = others.iter().enumerate().filter(|(other, _)| *other != at);
            assert!(others.all(|(_, count)| alike(count)), "{behind:?}");
        }
    }
}
