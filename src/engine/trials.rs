//! What it may cost to try proxies that have never served.
//!
//! A trial is how good proxies are found, and many of a public list take a request and never answer. While others who have served
//! have room, the time of trials that hang stays a share of all the time that requests take: where most hang there are few
//! trials, where most serve there is no limit, and with one slot the two take turns.

use std::time::Duration;

use super::pending::End;
use crate::outcome::Outcome;

/// One slot in so many may be held by trials until the first pages have shown what is long.
const SHARE: usize = 2;
/// The time of answered requests for each of lost trials.
const ANSWERED: u32 = 3;

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Trials {
    under_way: u32,
    ended: u32,
    /// Time of those that hung.
    lost: Duration,
    /// Time of requests that were answered, trials or not.
    answered: Duration,
}

impl Trials {
    pub(super) fn begin(&mut self) {
        self.under_way += 1;
    }

    pub(super) fn end(&mut self) {
        self.under_way -= 1;
        self.ended += 1;
    }

    /// A request, of a trial or not, has ended so after so long; `None` when it took so long that another was asked in its place.
    /// Who fails at once costs nothing, and it may be the host.
    pub(super) fn landed(&mut self, is_trial: bool, end: Option<&End>, took: Duration) {
        let is_silent = end.is_none_or(|end| end.verdict.outcome == Outcome::Timeout);
        if end.is_some_and(|end| end.answer.is_some()) {
            self.answered += took;
        } else if is_trial && is_silent {
            self.lost += took;
        }
    }

    /// True when those that have served are to go first; `early` until enough was answered to know what is long.
    pub(super) fn are_enough(&self, slots: usize, early: bool) -> bool {
        // Those under way, and one more, will lose what trials have lost so far.
        let each = self.lost / self.ended.max(1);
        let expected = self.lost + each * (self.under_way + 1);
        early && slots <= SHARE * self.under_way as usize || expected * ANSWERED > self.answered
    }
}
