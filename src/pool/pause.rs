//! What an outage of our own uplink means for the pool: nobody is leased, one is probed now and then, charges are taken back.

use std::time::Instant;

use rand::{Rng, RngExt};

use super::clock::{Micros, SECOND};
use super::evidence::Present;
use super::roster::Shelf;
use super::slot::State;
use super::timers::Timers;
use super::{Lease, Mechanism, Pool};
use crate::outcome::{Blame, Charge, FaultKind, Phase};

/// Nothing is waited for any longer: the network may be gone for good, or it was the proxies after all.
const PATIENCE: Micros = 300 * SECOND;
/// One in quarantine when its probe met the outage is looked at again this long after it is over, at most.
const AGAIN: Micros = SECOND;

/// What a failed connect has cost a member, so that it can be given back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    at: u32,
    generation: u32,
    state: State,
    trusted: bool,
    streak: u8,
    level: u8,
    probes: u8,
    present: Present,
}

impl Pool {
    /// True for a failure that tells nothing of its proxy or its host, because this machine's own uplink was gone while the
    /// attempt was under way.
    pub fn excuses(&self, lease: &Lease, blame: Blame) -> bool {
        let failed = match blame {
            Blame::Unknown => true,
            Blame::Proxy(charge) => matches!(charge, Charge::Unreachable | Charge::Broken),
            _ => false,
        };
        failed && self.uplink.excuses(lease.sent)
    }

    /// True while this machine seems to have no network: nobody is leased.
    pub fn is_paused(&self) -> bool {
        self.uplink.out_since().is_some()
    }

    /// True when that has gone on for so long that nobody waits for its end.
    pub(super) fn is_cut_off(&self, now: Instant) -> bool {
        let now = self.clock.micros(now);
        let since = self.uplink.out_since();
        since.is_some_and(|since| since + PATIENCE <= now)
    }

    /// What the member is before a failed connect is charged to it.
    pub(super) fn before_charge(&self, at: u32) -> Cost {
        let slot = self.roster.slot(at);
        Cost {
            at,
            generation: slot.generation,
            state: slot.state,
            trusted: slot.trusted,
            streak: slot.streak,
            level: slot.level,
            probes: slot.probes,
            present: self.scale.present(),
        }
    }

    /// A connect that was begun at `sent` has failed, and was charged if `cost` says what its proxy was before.
    pub(super) fn uplink_failed(&mut self, at: u32, cost: Option<Cost>, sent: Micros, now: Micros) {
        if self.without(Mechanism::Pause) {
            return;
        }
        let slot = self.roster.slot(at);
        let of = (slot.subnet(), slot.has_served());
        for cost in self.uplink.failed(of, cost, sent, now) {
            self.refund(&cost, now);
        }
    }

    fn refund(&mut self, cost: &Cost, now: Micros) {
        let slot = self.roster.slot_mut(cost.at);
        if slot.generation != cost.generation {
            return;
        }
        slot.charge(-1.0, cost.present);
        slot.streak = cost.streak;
        slot.level = cost.level;
        slot.probes = cost.probes;
        if slot.state == State::Quarantined && !slot.suspect && !slot.probing {
            match cost.state {
                State::Ready | State::Unknown => {
                    slot.state = cost.state;
                    slot.trusted = cost.trusted;
                }
                _ => self.look_again(cost.at, now),
            }
        }
        self.roster.refile(cost.at);
    }

    /// A probe that met the outage leaves its proxy as it was.
    pub(super) fn look_again(&mut self, at: u32, now: Micros) {
        if self.roster.slot(at).state == State::Quarantined {
            let length = (self.jitter.within(0.5, 1.0) * AGAIN as f64) as Micros;
            self.shut_for(at, length, now);
        }
    }

    /// Whom to probe to find out whether the outage is over: in turn one that is READY and one that nobody knows.
    pub(super) fn next_canary(&mut self, now: Micros, rng: &mut impl Rng) -> Option<u32> {
        if !self.uplink.looks(now) {
            return None;
        }
        let mut shelves =
            [Shelf::Free, Shelf::Fresh, Shelf::Unknown].map(|one| self.roster.shelf(one));
        if rng.random() && rng.random() {
            shelves.reverse();
        }
        let of = shelves.into_iter().find(|shelf| !shelf.is_empty());
        let any = of.map(|shelf| shelf[rng.random_range(0..shelf.len())].at);
        let checked = |timers: &mut Timers| timers.least_recently_checked(&self.roster);
        any.or_else(|| checked(&mut self.timers).map(|(_, at)| at))
            .filter(|at| !self.roster.slot(*at).probing)
    }
}

/// True for a failure of the connect itself.
pub(super) fn is_connect(kind: Option<(Phase, FaultKind)>) -> bool {
    matches!(kind, Some((Phase::Connect, _)))
}
