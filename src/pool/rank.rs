//! The strategy's key of a member; the least is chosen.

use super::candidate::{Candidate, Place, Terms};
use super::random::Random;
use super::{Mechanism, Pool, Strategy, weights};

/// The keys of one choice.
pub(super) struct Ranking<'a> {
    pool: &'a Pool,
    terms: Terms,
    /// From this [`Place`] on the cost is the key; beyond all of them when the strategy has another one.
    by_cost: u8,
}

impl<'a> Ranking<'a> {
    pub(super) fn new(pool: &'a Pool) -> Self {
        Ranking {
            pool,
            terms: if pool.without(Mechanism::FailureCost) {
                Terms::new(pool.median(), pool.scale.present()).without_penalty()
            } else {
                Terms::new(pool.median(), pool.scale.present())
            },
            by_cost: match pool.settings.strategy {
                Strategy::Best => Place::Unproven as u8,
                _ => u8::MAX,
            },
        }
    }

    /// Below infinity.
    #[inline(always)] // The loop over a batch is this and little more; a call would be a third of it.
    pub(super) fn rank(&self, candidate: &Candidate, random: &mut Random) -> f32 {
        if candidate.place as u8 >= self.by_cost {
            candidate.cost(&self.terms)
        } else {
            self.otherwise(candidate, random)
        }
    }

    #[inline(never)]
    fn otherwise(&self, candidate: &Candidate, random: &mut Random) -> f32 {
        let slot = self.pool.roster.slot(candidate.at);
        match self.pool.settings.strategy {
            // Nothing is known of it yet.
            Strategy::Best if candidate.place == Place::Fresh => -1.0 - random.unit() as f32,
            Strategy::Best => candidate.cost_in_doubt(slot.is_proven(), slot.doubts, &self.terms),
            // Exact for the last sixteen million leases, and nearly so for older ones.
            Strategy::RoundRobin => -((self.pool.turn - slot.used) as f32),
            Strategy::Random => random.unit() as f32,
            Strategy::LeastBusy => slot.in_flight as f32 + random.unit() as f32 / 2.0,
            // The least of exponential variables with these rates is member i with probability weight_i / sum.
            Strategy::Weighted => {
                let weight = weights::units(slot.proxy.labels().weight) as f64;
                let time = -(1.0 - random.unit()).ln() / weight;
                time.min(f64::from(f32::MAX)) as f32
            }
        }
    }
}
