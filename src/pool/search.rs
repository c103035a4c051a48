//! Looking for the best READY member a job can have.
//!
//! Candidates come in random batches, so the work does not grow with the pool. A batch is ranked, which takes half a cache line
//! a member and nothing else; then it is judged by the job's terms, the least in rank first, until one passes: capability,
//! policy, relation to what was tried, account, standing with the host, and last the user's limits. So the terms are asked of
//! one member mostly, and of everybody when nobody passes, and a refusal knows its reasons. When six batches hold nobody, a
//! bounded scan from a random place follows; a list that is small is looked at as a whole from the start, exactly.

use super::candidate::{Candidate, Place};
use super::clock::Micros;
use super::field::{Entry, Field, draw};
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
                let [first, then] = if self.ask.second {
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
        let mut room = [Entry::default(); BATCH_ENDGAME];
        if self.found.complete {
            let batch = &mut room[..len];
            for (entry, index) in batch.iter_mut().zip(0..) {
                entry.index = index;
            }
            return self.best_of(field, batch);
        }
        for _ in 0..ROUNDS {
            let batch = &mut room[..self.batch];
            draw(field.run(), len, self.random.split(), batch);
            self.best_of(field, batch);
            if self.is_settled() {
                return;
            }
        }
        if self.found.best.is_none() {
            self.found.met = Met::default();
            self.scan(field);
        }
    }

    /// Those of a field that are entered here.
    fn best_of(&mut self, field: impl Field, batch: &mut [Entry]) {
        if batch.is_empty() {
            return;
        }
        field.fetch(batch);
        let (mut least, mut first) = (f32::INFINITY, 0);
        for (at, entry) in batch.iter_mut().enumerate() {
            let (ranking, random) = (&self.ranking, &mut self.random);
            let rank = |candidate: &Candidate| ranking.rank(candidate, random);
            let (roster, met) = (&self.pool.roster, &mut self.found.met);
            let rank = field.show(entry.index as usize, roster, met, rank);
            entry.rank = rank.unwrap_or(f32::INFINITY);
            if entry.rank < least {
                (least, first) = (entry.rank, at);
            }
        }
        batch.swap(0, first);
        for at in 0..batch.len() {
            if at == 1 {
                // Something speaks against the first: rare enough for a sort.
                batch[1..].sort_unstable_by(|one, other| one.rank.total_cmp(&other.rank));
            }
            let Entry { rank, index } = batch[at];
            if rank == f32::INFINITY {
                return;
            }
            let (roster, met) = (&self.pool.roster, &mut self.found.met);
            if let Some(candidate) = field.show(index as usize, roster, met, |one| *one) {
                self.judge(&candidate, rank);
            }
            if self.is_settled() {
                return;
            }
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
