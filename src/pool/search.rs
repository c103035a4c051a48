//! Looking for the best READY member a job can have.
//!
//! Candidates come in random batches, so the work does not grow with the pool. A batch is ranked, which takes half a cache line
//! a member and nothing else; then it is judged by the job's terms, the least in rank first, until one passes: capability,
//! policy, relation to what was tried, account, standing with the host, and last the user's limits. So the terms are asked of
//! one member mostly, and of everybody when nobody passes, and a refusal knows its reasons. When six batches hold nobody, a
//! bounded scan from a random place follows; a list that is small is looked at as a whole from the start, exactly.

use prefetch_index::prefetch_index;

use super::candidate::{Candidate, Place};
use super::clock::Micros;
use super::field::{Field, Looks, fetch};
use super::lease::{Ask, ProxyIdx, Tier};
use super::pair::Gate;
use super::random::Random;
use super::rank::Ranking;
use super::roster::Shelf;
use super::{Mechanism, Pool, Strategy, weights};

/// Candidates of a choice. 2 takes twice the oracle's time on a mixed list, 8 a quarter more, 32 an eighth; 64 gain nothing.
const BATCH: usize = 32;
/// The same when few jobs are left.
const BATCH_ENDGAME: usize = 96;
/// Batches before the scan.
const ROUNDS: usize = 6;
/// Up to so many candidates are all looked at.
const SMALL: usize = 64;
/// Members a scan looks at: bounds a lease to some tens of microseconds.
const SCAN: usize = 2048;
/// Eligible candidates after which a scan stops.
const SCAN_ENOUGH: usize = 8;

/// What a search has come to.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) best: Option<(Tier, f32, u32)>,
    /// The best of those the job has tried.
    pub(super) tried: Option<(f32, u32)>,
    pub(super) met: Met,
    /// Nobody was left out.
    pub(super) complete: bool,
    /// Members passed over in turn order.
    pub(super) walked: usize,
    /// Members judged.
    pub(super) judged: u64,
}

/// Who was judged, and what spoke against them.
#[derive(Debug, Default)]
pub(super) struct Met {
    /// READY members, whatever came of it.
    pub(super) ready: usize,
    pub(super) unknown: usize,
    eligible: usize,
    /// Untried ones that have all the requests they bear.
    pub(super) busy: usize,
    /// The same among the tried ones.
    pub(super) busy_tried: usize,
    pub(super) limited: usize,
    pub(super) limited_tried: usize,
    pub(super) cooling: usize,
    /// READY ones that other jobs or other hosts might get.
    pub(super) left_out: usize,
    pub(super) first_end: Option<Micros>,
}

/// A search under way.
pub(super) struct Search<'a> {
    pool: &'a Pool,
    ask: &'a Ask<'a>,
    admit: &'a mut dyn FnMut(ProxyIdx) -> bool,
    now: Micros,
    ranking: Ranking<'a>,
    random: Random,
    batch: usize,
    pub(super) found: Found,
}

impl Pool {
    /// Asks for the memory that is needed next: the slot that was chosen, and what the next choice will look at if it is one
    /// among all members.
    pub(super) fn look_ahead(&self, chosen: u32) {
        prefetch_index(&self.roster.slots, chosen as usize);
        if self.settings.strategy != Strategy::Best {
            // The others look elsewhere.
            return;
        }
        let [fresh, free] = [Shelf::Fresh, Shelf::Free].map(|shelf| self.roster.shelf(shelf));
        let shelf = if fresh.is_empty() { free } else { fresh };
        if !shelf.is_empty() {
            let mut random = self.next_choice.clone();
            fetch(shelf, &Looks::some(shelf, BATCH, random.split()));
        }
    }
}

impl<'a> Search<'a> {
    pub(super) fn new(
        pool: &'a Pool,
        ask: &'a Ask<'a>,
        now: Micros,
        random: Random,
        admit: &'a mut dyn FnMut(ProxyIdx) -> bool,
    ) -> Self {
        Search {
            pool,
            ask,
            admit,
            now,
            ranking: Ranking::new(pool),
            random,
            batch: match ask.endgame {
                _ if pool.without(Mechanism::ManyChoices) => 2,
                true => BATCH_ENDGAME,
                false => BATCH,
            },
            found: Found::default(),
        }
    }

    /// Among all members.
    pub(super) fn everywhere(&mut self) {
        let fresh = self.pool.roster.shelf(Shelf::Fresh);
        let free = self.pool.roster.shelf(Shelf::Free);
        match self.pool.settings.strategy {
            Strategy::Best => {
                // The first use of a proxy is what finds the good ones, so it goes before any comparison.
                let [first, then] = if self.ask.proven_first {
                    [free, fresh]
                } else {
                    [fresh, free]
                };
                if !first.is_empty() {
                    self.sample(first);
                }
                if !self.is_settled() {
                    let complete = first.is_empty() || self.found.complete;
                    self.sample(then);
                    self.found.complete &= complete;
                }
            }
            Strategy::LeastBusy | Strategy::Random => self.sample([fresh, free]),
            Strategy::Weighted => {
                if let Some(weights) = &self.pool.roster.weights {
                    for _ in 0..BATCH * ROUNDS {
                        let Some(at) = weights.draw(&mut self.random) else {
                            break;
                        };
                        self.look(&[at][..], 0);
                        if self.is_settled() {
                            return;
                        }
                    }
                }
                // The draws told nothing about how many of each kind there are; the scan counts.
                self.found.met = Met::default();
                self.scan([fresh, free]);
            }
            Strategy::RoundRobin => self.walk(),
        }
    }

    /// Random batches; all of the field when it is small.
    pub(super) fn sample(&mut self, field: impl Field) {
        let len = field.len();
        self.found.complete = len <= SMALL.max(self.batch);
        if self.found.complete {
            return self.best_of(field, &Looks::all(field));
        }
        for _ in 0..ROUNDS {
            let looks = Looks::some(field, self.batch, self.random.split());
            self.best_of(field, &looks);
            if self.is_settled() {
                return;
            }
        }
        if self.found.best.is_none() {
            self.found.met = Met::default();
            self.scan(field);
        }
    }

    /// The best of those that are looked at.
    fn best_of(&mut self, field: impl Field, looks: &Looks) {
        let roster = &self.pool.roster;
        let (ranking, random, met) = (&self.ranking, &mut self.random, &mut self.found.met);
        let (mut least, mut first) = (f32::INFINITY, 0);
        for start in looks.starts() {
            for index in looks.run(start) {
                field.show(index, roster, met, |candidate| {
                    let rank = ranking.rank(candidate, random);
                    if rank < least {
                        (least, first) = (rank, index);
                    }
                });
            }
            // Its slot is far as well, and will be written to if nothing better comes.
            if field.run() > 1 {
                field.show(first, roster, met, |candidate| {
                    prefetch_index(&roster.slots, candidate.at as usize);
                });
            }
        }
        if least == f32::INFINITY {
            return;
        }
        self.judge_at(field, first, least);
        if !self.is_settled() {
            self.rest_of(field, looks, first);
        }
    }

    /// The others, when something speaks against the first: rare enough to rank them again, and for a sort.
    #[inline(never)]
    fn rest_of(&mut self, field: impl Field, looks: &Looks, first: usize) {
        let (roster, ranking, random) = (&self.pool.roster, &self.ranking, &mut self.random);
        let mut room = [(f32::INFINITY, 0); BATCH_ENDGAME];
        let mut len = 0;
        for index in looks.starts().flat_map(|start| looks.run(start)) {
            // Who is not READY was noted.
            let rank = field.show(index, roster, &mut Met::default(), |candidate| {
                ranking.rank(candidate, random)
            });
            if let Some(rank) = rank.filter(|_| index != first) {
                room[len] = (rank, index);
                len += 1;
            }
        }
        let rest = &mut room[..len];
        rest.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        for (rank, index) in rest {
            self.judge_at(field, *index, *rank);
            if self.is_settled() {
                return;
            }
        }
    }

    fn judge_at(&mut self, field: impl Field, index: usize, rank: f32) {
        let (roster, met) = (&self.pool.roster, &mut self.found.met);
        if let Some(candidate) = field.show(index, roster, met, |candidate| *candidate) {
            self.judge(&candidate, rank);
        }
    }

    fn scan(&mut self, field: impl Field) {
        let len = field.len();
        self.found.complete = len <= SCAN;
        if len == 0 {
            return;
        }
        let from = self.random.below(len);
        for step in 0..len.min(SCAN) {
            self.look(field, (from + step) % len);
            if self.found.met.eligible >= SCAN_ENOUGH {
                self.found.complete = false;
                return;
            }
        }
    }

    /// Least recently used first.
    fn walk(&mut self) {
        let roster = &self.pool.roster;
        for at in roster.in_turn().take(SCAN) {
            // Members without room stand in the ring too; the tally counts them.
            if roster.slot(at).filed.shelf.is_some() {
                self.look(&[at][..], 0);
            }
            if self.is_settled() {
                return;
            }
            self.found.walked += 1;
        }
        self.found.complete = roster.tally.ready as usize <= SCAN;
        if self.found.best.is_none() && !self.found.complete {
            self.found.met = Met::default();
            self.scan([roster.shelf(Shelf::Fresh), roster.shelf(Shelf::Free)]);
        }
    }

    /// Judges one member whatever its rank.
    pub(super) fn look(&mut self, field: impl Field, index: usize) {
        let (roster, met) = (&self.pool.roster, &mut self.found.met);
        if let Some(candidate) = field.show(index, roster, met, |candidate| *candidate) {
            let rank = self.ranking.rank(&candidate, &mut self.random);
            self.judge(&candidate, rank);
        }
    }

    /// Chooses the candidate if nothing speaks against it and it is the best so far; notes what does.
    fn judge(&mut self, candidate: &Candidate, rank: f32) {
        let at = candidate.at;
        let can_serve = self.can_serve(candidate);
        let (pool, found) = (self.pool, &mut self.found);
        let met = &mut found.met;
        found.judged += 1;
        met.ready += 1;
        if !can_serve {
            met.left_out += 1;
            return;
        }
        let tier = self.ask.avoid.tier(pool.roster.slot(at));
        let (busy, limited) = if tier == Tier::Tried {
            (&mut met.busy_tried, &mut met.limited_tried)
        } else {
            (&mut met.busy, &mut met.limited)
        };
        if candidate.place == Place::Full || !pool.accounts.admits(candidate.account) {
            *busy += 1;
            return;
        }
        match pool.gate(at, self.ask.host, self.now) {
            Gate::Open => {}
            Gate::Cooling(end) => {
                met.cooling += 1;
                met.left_out += 1;
                met.first_end = Some(met.first_end.map_or(end, |first| first.min(end)));
                return;
            }
            Gate::OnTrial => {
                *busy += 1;
                met.left_out += 1;
                return;
            }
        }
        if tier == Tier::Tried {
            if found.tried.is_none_or(|(least, _)| rank < least) {
                if (self.admit)(ProxyIdx(at)) {
                    found.tried = Some((rank, at));
                } else {
                    *limited += 1;
                }
            }
            return;
        }
        let better = |(best_tier, least, _)| (tier, rank) < (best_tier, least);
        if found.best.is_none_or(better) {
            if !(self.admit)(ProxyIdx(at)) {
                *limited += 1;
                return;
            }
            found.best = Some((tier, rank, at));
        }
        met.eligible += 1;
    }

    /// Whether the proxy may and can carry the request at all.
    fn can_serve(&self, candidate: &Candidate) -> bool {
        let pool = self.pool;
        let lacks = if self.ask.tunnel {
            candidate.lacks.tunnel
        } else {
            candidate.lacks.forward
        };
        let proxy = || &pool.roster.slot(candidate.at).proxy;
        let unwanted = pool.settings.strategy == Strategy::Weighted
            && weights::units(proxy().labels().weight) == 0;
        let barred = !pool.barred.is_empty() && pool.barred.holds(proxy().group(), self.ask.host.0);
        !(lacks || unwanted || barred)
    }

    /// True when looking further cannot give a better relation.
    fn is_settled(&self) -> bool {
        matches!(self.found.best, Some((Tier::Unrelated, ..)))
    }
}
