//! Choosing a READY proxy.
//!
//! Candidates come in random batches, so the work does not grow with the pool, and each is judged by the job's own terms:
//! capability, policy, standing with the host, relation to what was tried, and last the user's limits. Of those that pass,
//! the least by (relation, key of the strategy) wins. When six batches hold none, a bounded scan from a random place
//! follows; a pool that is small is looked at as a whole from the start, exactly.

use std::time::Instant;

use rand::{Rng, RngExt};

use super::clock::{Micros, SECOND};
use super::lease::{Ask, Lease, ProxyIdx, Refusal, RefusalReason, Tier};
use super::pair::{Gate, PairKey};
use super::recent::Stage;
use super::roster::Shelf;
use super::slot::{Slot, State};
use super::{Pool, Strategy, weights};

/// Candidates of a choice. 2 takes twice the oracle's time on a mixed list, 8 a quarter more, 32 an eighth; 64 gain nothing.
const BATCH: usize = 32;
/// The same when few jobs are left.
const BATCH_ENDGAME: usize = 96;
/// Batches before the scan.
const ROUNDS: usize = 6;
/// Up to so many candidates are all looked at.
const SMALL: usize = 64;
/// Slots a scan looks at: bounds a lease to some tens of microseconds.
const SCAN: usize = 2048;
/// Eligible candidates after which a scan stops.
const SCAN_ENOUGH: usize = 8;
/// A turn order walk that passed over so many moves them to the end, so that the next one does not meet them again.
const LONG_WALK: usize = 256;
/// When a scan has not seen everybody, the next one looks elsewhere this much later.
const RESCAN: Micros = SECOND / 50;

/// Reason, when time alone may change it, and whether it holds for everybody.
type Refused = (RefusalReason, Option<Micros>, bool);

/// The best candidate so far, and why the others were none.
#[derive(Debug)]
struct Search {
    batch: usize,
    now: Micros,
    median: f32,
    best: Option<(Tier, f64, u32)>,
    /// The best of those the job has tried.
    tried: Option<(f64, u32)>,
    eligible: usize,
    /// READY members met, whatever came of it.
    ready: usize,
    unknown: usize,
    /// Untried ones that have all the requests they bear.
    busy: usize,
    /// The same among the tried ones.
    busy_tried: usize,
    limited: usize,
    limited_tried: usize,
    cooling: usize,
    /// READY ones that other jobs or other hosts might get.
    left_out: usize,
    first_end: Option<Micros>,
    /// Nobody was left out.
    complete: bool,
    /// Members passed over in turn order.
    walked: usize,
}

impl Search {
    /// True when looking further cannot give a better relation.
    fn is_settled(&self) -> bool {
        matches!(self.best, Some((Tier::Unrelated, ..)))
    }
}

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
        self.pairs.expire(at);
        let view = ask
            .filter
            .map(|filter| self.filters.index(filter, &self.roster));
        match self.choose(ask, view, at, rng, admit) {
            Ok(slot) => Ok(self.bind(slot, ask, now)),
            Err((reason, retry_at, everybody)) => {
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

    fn bind(&mut self, at: u32, ask: &Ask<'_>, now: Instant) -> Lease {
        self.turn += 1;
        self.roster.touch(at, self.turn);
        self.roster.tally.in_flight += 1;
        let slot = self.roster.slot_mut(at);
        slot.in_flight += 1;
        self.accounts.begin(slot.account);
        let key = PairKey {
            slot: at,
            generation: slot.generation,
            host: ask.host.0,
        };
        let lease = Lease {
            idx: ProxyIdx(at),
            proxy: slot.proxy.clone(),
            host: ask.host,
            at: now,
            in_flight_at_dispatch: slot.in_flight,
            connect_timeout: self.connect_timeout.at(Stage::Later),
            generation: slot.generation,
            tunnel: ask.tunnel,
            on_trial: self.pairs.begin(key),
        };
        self.roster.refile(at);
        lease
    }

    fn choose(
        &mut self,
        ask: &Ask<'_>,
        view: Option<usize>,
        now: Micros,
        rng: &mut impl Rng,
        admit: &mut dyn FnMut(ProxyIdx) -> bool,
    ) -> Result<u32, Refused> {
        let mut search = Search {
            batch: if ask.endgame { BATCH_ENDGAME } else { BATCH },
            now,
            median: self.median(),
            best: None,
            tried: None,
            eligible: 0,
            ready: 0,
            unknown: 0,
            busy: 0,
            busy_tried: 0,
            limited: 0,
            limited_tried: 0,
            cooling: 0,
            left_out: 0,
            first_end: None,
            complete: false,
            walked: 0,
        };
        if let Some(pinned) = ask.pinned {
            return self.choose_pinned(pinned.0, ask, search, rng, admit);
        }
        if let Some(view) = view {
            let members = self.filters.members(view);
            if members.is_empty() {
                return Err((RefusalReason::NoMatch, None, false));
            }
            self.sample(&[members], ask, &mut search, rng, admit);
        } else {
            self.sample_all(ask, &mut search, rng, admit);
            search.ready = self.roster.tally.ready as usize;
            search.unknown = self.roster.tally.unknown as usize;
            let (untried, tried) = self.without_room(ask);
            search.busy += untried;
            search.busy_tried += tried;
        }
        if let Some((_, _, at)) = search.best {
            if search.walked > LONG_WALK {
                self.roster.pass_over_to(at);
            }
            return Ok(at);
        }
        // Nothing else exists: waiting would not bring another one.
        if let Some((_, at)) = search.tried
            && search.complete
            && search.busy + search.limited + search.unknown == 0
        {
            return Ok(at);
        }
        Err(self.refusal(&search))
    }

    /// The session's own proxy or none.
    fn choose_pinned(
        &mut self,
        at: u32,
        ask: &Ask<'_>,
        mut search: Search,
        rng: &mut impl Rng,
        admit: &mut dyn FnMut(ProxyIdx) -> bool,
    ) -> Result<u32, Refused> {
        let fits = self.roster.slots.get(at as usize).is_some_and(|slot| {
            slot.is_member()
                && slot.state != State::Retired
                && ask
                    .filter
                    .is_none_or(|filter| filter.admits(slot.proxy.labels()))
        });
        if !fits {
            return Err((RefusalReason::NoMatch, None, false));
        }
        self.consider(at, ask, &mut search, rng, admit);
        search.complete = true;
        let chosen = search.best.map(|(_, _, at)| at);
        if let Some(at) = chosen.or(search.tried.map(|(_, at)| at)) {
            return Ok(at);
        }
        let slot = self.roster.slot(at);
        if slot.state == State::Quarantined {
            let until = (slot.until > search.now).then_some(slot.until);
            return Err((RefusalReason::NoneReady, until, false));
        }
        Err(self.refusal(&search))
    }

    fn sample_all(
        &self,
        ask: &Ask<'_>,
        search: &mut Search,
        rng: &mut impl Rng,
        admit: &mut dyn FnMut(ProxyIdx) -> bool,
    ) {
        let fresh = self.roster.shelf(Shelf::Fresh);
        let free = self.roster.shelf(Shelf::Free);
        match self.settings.strategy {
            Strategy::Best => {
                // The first use of a proxy is what finds the good ones, so it goes before any comparison.
                self.sample(&[fresh], ask, search, rng, admit);
                if !search.is_settled() {
                    let complete = search.complete;
                    self.sample(&[free], ask, search, rng, admit);
                    search.complete &= complete;
                }
            }
            Strategy::LeastBusy | Strategy::Random => {
                self.sample(&[fresh, free], ask, search, rng, admit);
            }
            Strategy::Weighted => {
                if let Some(weights) = &self.roster.weights {
                    for _ in 0..BATCH * ROUNDS {
                        let Some(at) = weights.draw(rng) else { break };
                        self.consider(at, ask, search, rng, admit);
                        if search.is_settled() {
                            return;
                        }
                    }
                }
                // The draws told nothing about how many of each kind there are; the scan counts.
                search.forget_reasons();
                self.scan(&[fresh, free], ask, search, rng, admit);
            }
            Strategy::RoundRobin => self.walk(ask, search, rng, admit),
        }
    }

    /// Random batches over some lists taken as one; all of it when it is small.
    fn sample(
        &self,
        lists: &[&[u32]],
        ask: &Ask<'_>,
        search: &mut Search,
        rng: &mut impl Rng,
        admit: &mut dyn FnMut(ProxyIdx) -> bool,
    ) {
        let len: usize = lists.iter().map(|list| list.len()).sum();
        if len <= SMALL.max(search.batch) {
            lists
                .iter()
                .flat_map(|list| list.iter())
                .for_each(|at| self.consider(*at, ask, search, rng, admit));
            search.complete = true;
            return;
        }
        search.complete = false;
        for _ in 0..ROUNDS {
            for _ in 0..search.batch {
                let at = nth(lists, rng.random_range(0..len));
                self.consider(at, ask, search, rng, admit);
            }
            if search.is_settled() {
                return;
            }
        }
        if search.best.is_none() {
            search.forget_reasons();
            self.scan(lists, ask, search, rng, admit);
        }
    }

    fn scan(
        &self,
        lists: &[&[u32]],
        ask: &Ask<'_>,
        search: &mut Search,
        rng: &mut impl Rng,
        admit: &mut dyn FnMut(ProxyIdx) -> bool,
    ) {
        let len: usize = lists.iter().map(|list| list.len()).sum();
        search.complete = len <= SCAN;
        if len == 0 {
            return;
        }
        let from = rng.random_range(0..len);
        for step in 0..len.min(SCAN) {
            self.consider(nth(lists, (from + step) % len), ask, search, rng, admit);
            if search.eligible >= SCAN_ENOUGH {
                search.complete = false;
                return;
            }
        }
    }

    /// Least recently used first.
    fn walk(
        &self,
        ask: &Ask<'_>,
        search: &mut Search,
        rng: &mut impl Rng,
        admit: &mut dyn FnMut(ProxyIdx) -> bool,
    ) {
        for at in self.roster.in_turn().take(SCAN) {
            // Members without room stand in the ring too; the tally counts them.
            if self.roster.slot(at).filed.shelf.is_some() {
                self.consider(at, ask, search, rng, admit);
            }
            if search.is_settled() {
                return;
            }
            search.walked += 1;
        }
        search.complete = self.roster.tally.ready as usize <= SCAN;
        if search.best.is_none() && !search.complete {
            search.forget_reasons();
            let lists = [
                self.roster.shelf(Shelf::Fresh),
                self.roster.shelf(Shelf::Free),
            ];
            self.scan(&lists, ask, search, rng, admit);
        }
    }

    fn consider(
        &self,
        at: u32,
        ask: &Ask<'_>,
        search: &mut Search,
        rng: &mut impl Rng,
        admit: &mut dyn FnMut(ProxyIdx) -> bool,
    ) {
        let slot = self.roster.slot(at);
        if slot.state != State::Ready {
            search.unknown += usize::from(slot.state == State::Unknown);
            return;
        }
        search.ready += 1;
        if !self.can_serve(slot, ask) {
            search.left_out += 1;
            return;
        }
        let tier = ask.avoid.tier(slot);
        let busy = if tier == Tier::Tried {
            &mut search.busy_tried
        } else {
            &mut search.busy
        };
        if slot.in_flight >= self.roster.cap(slot) || !self.accounts.admits(slot.account) {
            *busy += 1;
            return;
        }
        let key = PairKey {
            slot: at,
            generation: slot.generation,
            host: ask.host.0,
        };
        match self.pairs.gate(key, search.now) {
            Gate::Open => {}
            Gate::Cooling(end) => {
                search.cooling += 1;
                search.left_out += 1;
                search.first_end = Some(search.first_end.map_or(end, |first| first.min(end)));
                return;
            }
            Gate::OnTrial => {
                *busy += 1;
                search.left_out += 1;
                return;
            }
        }
        let rank = self.rank(slot, search, rng);
        if tier == Tier::Tried {
            if search.tried.is_none_or(|(least, _)| rank < least) {
                if admit(ProxyIdx(at)) {
                    search.tried = Some((rank, at));
                } else {
                    search.limited_tried += 1;
                }
            }
            return;
        }
        let better =
            |(best_tier, best_rank, _): (Tier, f64, u32)| (tier, rank) < (best_tier, best_rank);
        if search.best.is_none_or(better) {
            if !admit(ProxyIdx(at)) {
                search.limited += 1;
                return;
            }
            search.best = Some((tier, rank, at));
        }
        search.eligible += 1;
    }

    /// Whether the proxy may and can carry the request at all.
    fn can_serve(&self, slot: &Slot, ask: &Ask<'_>) -> bool {
        let lacks = if ask.tunnel {
            slot.lacks.tunnel
        } else {
            slot.lacks.forward
        };
        let unwanted = self.settings.strategy == Strategy::Weighted
            && weights::units(slot.proxy.labels().weight) == 0;
        let barred = !self.barred.is_empty() && self.barred.holds(slot.proxy.group(), ask.host.0);
        !(lacks || unwanted || barred)
    }

    /// The strategy's key; the least is chosen.
    fn rank(&self, slot: &Slot, search: &Search, rng: &mut impl Rng) -> f64 {
        let user_cap = self.settings.proxy_concurrency;
        match self.settings.strategy {
            Strategy::Best if slot.used == 0 => -1.0 - rng.random::<f64>(),
            Strategy::Best => f64::from(slot.cost(search.median, user_cap, self.scale.present())),
            Strategy::RoundRobin => slot.used as f64,
            Strategy::Random => rng.random(),
            Strategy::LeastBusy => f64::from(slot.in_flight) + rng.random::<f64>() / 2.0,
            // The least of exponential variables with these rates is member i with probability weight_i / sum.
            Strategy::Weighted => {
                let weight = weights::units(slot.proxy.labels().weight) as f64;
                -(1.0 - rng.random::<f64>()).ln() / weight
            }
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

    fn refusal(&mut self, search: &Search) -> Refused {
        let reason = if search.ready == 0 {
            RefusalReason::NoneReady
        } else if search.busy + search.busy_tried > 0 {
            RefusalReason::AllBusy
        } else if search.limited + search.limited_tried > 0 {
            RefusalReason::Limited
        } else if search.cooling > 0 {
            RefusalReason::AllCooling
        } else if search.tried.is_some() {
            RefusalReason::AllTried
        } else if search.unknown > 0 || !search.complete {
            RefusalReason::NoneReady
        } else {
            RefusalReason::Incapable
        };
        let rescan = (!search.complete).then_some(search.now + RESCAN);
        let released = match reason {
            RefusalReason::NoneReady | RefusalReason::AllTried | RefusalReason::Incapable
                if self.roster.tally.quarantined > 0 =>
            {
                // One that is being probed right now has no timer.
                let end = self.timers.next_end(&self.roster);
                Some(end.map_or(search.now + SECOND, |end| end.max(search.now + RESCAN)))
            }
            _ => None,
        };
        let retry_at = [search.first_end, rescan, released]
            .into_iter()
            .flatten()
            .min();
        let everybody = matches!(reason, RefusalReason::AllBusy | RefusalReason::Limited)
            && search.complete
            && search.left_out == 0
            && search.tried.is_none();
        (reason, retry_at, everybody)
    }
}

impl Search {
    /// Before a scan that counts everybody once.
    fn forget_reasons(&mut self) {
        (self.ready, self.unknown, self.eligible) = (0, 0, 0);
        (self.busy, self.busy_tried) = (0, 0);
        (self.limited, self.limited_tried) = (0, 0);
        self.cooling = 0;
        self.left_out = 0;
        self.first_end = None;
    }
}

/// The element at `index` of lists taken as one.
fn nth(lists: &[&[u32]], mut index: usize) -> u32 {
    for list in lists {
        match list.get(index) {
            Some(at) => return *at,
            None => index -= list.len(),
        }
    }
    unreachable!("index {index} is beyond the lists")
}
