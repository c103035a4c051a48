//! What a choice reads of one READY member.
//!
//! Thirty-two members, anywhere in the list, are weighed for each request, so in a large list a choice is made of cache misses.
//! Shelves therefore hold candidates, not slot numbers: half a cache line each, and one miss.

use super::evidence::{Evidence, Present, Prior};
use super::slot::Lacks;

/// A failure costs this many median latencies, whatever it took.
const PENALTY: f32 = 2.0;
/// Below this the median is noise of a local network and would make failures free, seconds.
const PENALTY_FLOOR: f32 = 0.5;

/// How far a READY member has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Has all the requests it bears.
    Full,
    /// Has room, as the following have; was never used.
    Fresh,
    /// Was used, and lately failed for reasons that may be the host's.
    Doubted,
    /// Was used and never served.
    Unproven,
    /// Has served.
    Proven,
}

/// A copy of what [`super::slot::Slot`] says; [`super::roster::Roster::refile`] keeps it so.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(32))]
pub(super) struct Candidate {
    pub(super) at: u32,
    pub(super) account: u32,
    pub(super) evidence: Evidence,
    /// 1 and the share of the user's limit that is in flight.
    pub(super) load: f32,
    pub(super) place: Place,
    pub(super) lacks: Lacks,
}

/// What the costs of a choice have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    median: f32,
    /// Seconds that a failure costs.
    penalty: f32,
    /// By [`Place`].
    priors: [Prior; 5],
    present: Present,
    /// Inverse of what a measurement weighs now.
    fade: f32,
}

impl Terms {
    /// `median` is the pool's latency.
    pub(super) fn new(median: f32, present: Present) -> Self {
        let (unproven, proven) = (Prior::new(false, present), Prior::new(true, present));
        Terms {
            median,
            penalty: PENALTY * median.max(PENALTY_FLOOR),
            priors: [unproven, unproven, unproven, unproven, proven],
            present,
            fade: 1.0 / present.latency,
        }
    }
}

impl Terms {
    /// Failures cost nothing.
    pub(super) fn without_penalty(self) -> Self {
        Terms {
            penalty: 0.0,
            ..self
        }
    }
}

impl Candidate {
    /// Expected seconds per success if chosen now. A failure costs the same however fast it was, because a proxy that fails
    /// instantly would otherwise look like the fastest of all and draw every request.
    pub(super) fn cost(&self, terms: &Terms) -> f32 {
        self.cost_after(terms.priors[self.place as usize], terms)
    }

    /// The same for one with so many failures in doubt. They do not fade: they are judged soon, or dropped.
    pub(super) fn cost_in_doubt(&self, proven: bool, doubts: u8, terms: &Terms) -> f32 {
        let prior = Prior::new(proven, terms.present);
        self.cost_after(prior.with_failures(f32::from(doubts), terms.present), terms)
    }

    fn cost_after(&self, prior: Prior, terms: &Terms) -> f32 {
        let odds = self.evidence.odds_against(prior);
        let latency = self.evidence.expected_latency(terms.median, terms.fade);
        (latency + odds * terms.penalty) * self.load
    }
}
