//! Choosing a READY proxy: who is asked, the lease, and the reasons of a refusal. The looking itself is [`super::search`].

use std::time::Instant;

use rand::{Rng, RngExt};

use super::clock::{Micros, SECOND};
use super::lease::{Ask, HostIdx, Lease, ProxyIdx, Refusal, RefusalReason};
use super::pair::{Gate, PairKey};
use super::random::Random;
use super::recent::Stage;
use super::roster::Shelf;
use super::search::{Found, Search};
use super::slot::State;
use super::{Mechanism, Pool};

/// A turn order walk that passed over so many moves them to the end, so that the next one does not meet them again.
const LONG_WALK: usize = 256;
/// When a scan has not seen everybody, the next one looks elsewhere this much later.
const RESCAN: Micros = SECOND / 50;

/// Reason, when time alone may change it, whether it holds for everybody, and whether nobody is READY or may be.
pub(super) type Refused = (RefusalReason, Option<Micros>, bool, bool);

impl Pool {
    /// Chooses a READY proxy and borrows it for one attempt. `admit` says whether the user's limits let this proxy serve
    /// now; it is asked last, and only of a proxy that would be chosen if it says yes.
    ///
    /// After a refusal call [`Pool::next_probe`] again: a failed choice is what makes the probe lane hurry.
    ///
    /// # Errors
    /// No proxy can serve the job now, with the reason.
    pub fn lease(
        &mut self,
        ask: &Ask<'_>,
        now: Instant,
        rng: &mut impl Rng,
        admit: &mut dyn FnMut(ProxyIdx) -> bool,
    ) -> Result<Lease, Refusal> {
        let at = self.moment(now);
        if self.is_paused() {
            return Err(Refusal {
                reason: RefusalReason::NoUplink,
                retry_at: None,
                everybody: true,
            });
        }
        self.pairs.expire(at);
        let view = ask
            .filter
            .map(|filter| self.filters.index(filter, &self.roster));
        let mut random = std::mem::replace(&mut self.next_choice, Random::new(rng.random()));
        let chosen = if view.is_none() && ask.pinned.is_none() && self.tiers.are_used() {
            // Another host may be served from another tier.
            self.choose_by_tier(ask, at, &mut random, admit)
                .map_err(|(refused, view)| ((refused.0, refused.1, false, refused.3), Some(view)))
        } else {
            self.choose(ask, view, at, random, admit)
                .map_err(|refused| (refused, view))
        };
        match chosen {
            Ok(slot) => {
                self.look_ahead(slot);
                Ok(self.bind(slot, ask, now, at))
            }
            Err(((reason, retry_at, everybody, _), view)) => {
                if reason != RefusalReason::NoMatch {
                    self.lane.pick_failed(at, ask, view);
                }
                Err(Refusal {
                    reason,
                    retry_at: retry_at.map(|at| self.clock.instant(at)),
                    everybody,
                })
            }
        }
    }

    fn bind(&mut self, at: u32, ask: &Ask<'_>, now: Instant, sent: Micros) -> Lease {
        self.turn += 1;
        self.roster.touch(at, self.turn);
        self.roster.tally.in_flight += 1;
        let slot = self.roster.slot_mut(at);
        slot.in_flight += 1;
        let proxy = slot.lend();
        self.roster.refile(at);
        let slot = self.roster.slot(at);
        self.accounts.begin(slot.account);
        let exit = slot.is_rotating().then(|| self.exit_numbers.next());
        let key = PairKey {
            slot: at,
            generation: exit.unwrap_or(slot.generation),
            host: ask.host.0,
        };
        Lease {
            exit,
            idx: ProxyIdx(at),
            host: ask.host,
            at: now,
            in_flight_at_dispatch: slot.in_flight,
            ok_before: slot.ok,
            connect_timeout: self.connect_timeout.at(Stage::Later),
            patience_with_stranger: self.patience_with_stranger(slot),
            generation: slot.generation,
            sent,
            tunnel: ask.tunnel,
            on_trial: self.pairs.begin(key),
            used: self
                .quotas
                .begin(key, || slot.kin(), slot.in_flight - 1, sent),
            proxy,
        }
    }

    pub(super) fn choose(
        &mut self,
        ask: &Ask<'_>,
        view: Option<usize>,
        now: Micros,
        random: Random,
        admit: &mut dyn FnMut(ProxyIdx) -> bool,
    ) -> Result<u32, Refused> {
        let mut search = Search::new(self, ask, now, random, admit);
        if let Some(pinned) = ask.pinned {
            if !self.is_home(pinned.0, ask) {
                return Err((RefusalReason::NoMatch, None, false, false));
            }
            search.look(&[pinned.0][..], 0);
            let found = search.found;
            return self.choose_pinned(pinned.0, found, now);
        }
        if let Some(view) = view {
            let members = self.filters.members(view);
            if members.is_empty() {
                return Err((RefusalReason::NoMatch, None, false, false));
            }
            search.sample(members);
        } else {
            search.everywhere();
        }
        let mut found = search.found;
        self.judged += found.judged;
        if let Some((_, _, at)) = found.best {
            if found.walked > LONG_WALK {
                self.roster.pass_over_to(at);
            }
            return Ok(at);
        }
        if view.is_none() {
            found.met.ready = self.roster.tally.ready as usize;
            found.met.unknown = self.roster.tally.unknown as usize;
            let (untried, tried) = self.without_room(ask);
            found.met.busy += untried;
            found.met.busy_tried += tried;
        }
        // Nothing else exists: waiting would not bring another one.
        if let Some((_, at)) = found.tried
            && found.complete
            && found.met.busy + found.met.limited + found.met.unknown == 0
        {
            return Ok(at);
        }
        Err(self.refusal(&found, now))
    }

    /// True when the session's own proxy may still come to serve the job.
    fn is_home(&self, at: u32, ask: &Ask<'_>) -> bool {
        self.roster.slots.get(at as usize).is_some_and(|slot| {
            let labels = slot.proxy.labels();
            slot.is_member()
                && slot.state != State::Retired
                && ask.filter.is_none_or(|filter| filter.admits(labels))
        })
    }

    /// The session's own proxy or none.
    fn choose_pinned(&mut self, at: u32, mut found: Found, now: Micros) -> Result<u32, Refused> {
        found.complete = true;
        let chosen = found.best.map(|(_, _, at)| at);
        if let Some(at) = chosen.or(found.tried.map(|(_, at)| at)) {
            return Ok(at);
        }
        let slot = self.roster.slot(at);
        if slot.state == State::Quarantined {
            let until = (slot.until > now).then_some(slot.until);
            return Err((RefusalReason::NoneReady, until, false, false));
        }
        Err(self.refusal(&found, now))
    }

    /// May a request be sent to the host through this slot?
    pub(super) fn gate(&self, at: u32, host: HostIdx, now: Micros) -> Gate {
        if self.pairs.is_empty() && !self.quotas.limits(host.0) {
            return Gate::Open;
        }
        let slot = self.roster.slot(at);
        if slot.is_rotating() {
            return Gate::Open;
        }
        let key = PairKey {
            slot: at,
            generation: slot.generation,
            host: host.0,
        };
        match self.pairs.gate(key, now) {
            Gate::Open if self.without(Mechanism::Quota) => Gate::Open,
            Gate::Open => self.quotas.gate(key, || slot.kin(), now),
            shut => shut,
        }
    }

    /// READY members without room: those the job has not tried, and those it has.
    fn without_room(&self, ask: &Ask<'_>) -> (usize, usize) {
        let room = self.roster.shelf(Shelf::Fresh).len() + self.roster.shelf(Shelf::Free).len();
        let full = (self.roster.tally.ready as usize).saturating_sub(room);
        let tried = ask
            .avoid
            .ids()
            .filter_map(|id| self.roster.locate(id))
            .map(|at| self.roster.slot(at))
            .filter(|slot| slot.state == State::Ready && slot.filed.shelf.is_none())
            .count();
        (full.saturating_sub(tried), tried)
    }

    fn refusal(&mut self, found: &Found, now: Micros) -> Refused {
        let met = &found.met;
        let reason = if met.ready == 0 {
            RefusalReason::NoneReady
        } else if met.busy + met.busy_tried > 0 {
            RefusalReason::AllBusy
        } else if met.limited + met.limited_tried > 0 {
            RefusalReason::Limited
        } else if met.cooling > 0 {
            RefusalReason::AllCooling
        } else if found.tried.is_some() {
            RefusalReason::AllTried
        } else if met.unknown > 0 || !found.complete {
            RefusalReason::NoneReady
        } else {
            RefusalReason::Incapable
        };
        let rescan = (!found.complete).then_some(now + RESCAN);
        let released = match reason {
            RefusalReason::NoneReady | RefusalReason::AllTried | RefusalReason::Incapable
                if self.roster.tally.quarantined > 0 =>
            {
                // One that is being probed right now has no timer.
                let end = self.timers.next_end(&self.roster);
                Some(end.map_or(now + SECOND, |end| end.max(now + RESCAN)))
            }
            _ => None,
        };
        let retry_at = [met.first_end, rescan, released]
            .into_iter()
            .flatten()
            .min();
        let everybody = matches!(reason, RefusalReason::AllBusy | RefusalReason::Limited)
            && found.complete
            && met.left_out == 0
            && found.tried.is_none();
        let nobody = met.ready + met.unknown == 0;
        (reason, retry_at, everybody, nobody)
    }
}
