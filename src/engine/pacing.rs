//! What a host has said or not said of how it wants to be asked: its breaker, its tier and its clock learn from it.

use std::time::Instant;

use super::dispatch::Dispatcher;
use super::pending::End;
use crate::egress::Egress;
use crate::limit::Failure;
use crate::outcome::{Blame, Outcome};
use crate::pool::{HostIdx, Mechanism};

impl<E: Egress> Dispatcher<E> {
    /// Tells the host's breaker of a request that failed, maybe because of the host.
    pub(super) fn host_failed(&mut self, host: u32, failure: Failure, now: Instant) {
        let is_answer = failure.is_answer;
        let serving = self.pool.counts(now).proven as usize;
        let mut limiter = self.context.limiter();
        let out = limiter.clock(host).failed(failure, serving, now);
        drop(limiter);
        // Who answers does so at once.
        if out && !is_answer {
            self.call_back(host);
        }
    }

    /// Tells the host's breaker of an answer. A host that was asked too fast without saying so has a rate from now on.
    pub(super) fn host_answered(&mut self, host: u32, proxy: u32, now: Instant) {
        let mut limiter = self.context.limiter();
        if limiter.answered(host, proxy, now)
            && limiter.clock(host).rate().is_none()
            && !self.pool.without(Mechanism::HostWideLimit)
        {
            let goodput = f64::from(self.pool.goodput(HostIdx(host), now));
            limiter.clock(host).throttled(Some(goodput), None, now, now);
        }
    }

    /// The host has turned a request away that was sent at `sent`. True when that was for its rate: it has one, and is not out.
    pub(super) fn is_too_fast(&mut self, host: u32, sent: Instant, now: Instant) -> bool {
        let mut limiter = self.context.limiter();
        let clock = limiter.clock(host);
        let is_paced = clock.rate().is_some() && clock.out_since().is_none();
        if is_paced {
            clock.throttled(None, None, sent, now);
        }
        is_paced
    }

    /// Only what the host makes of an exit says something about its tier.
    pub(super) fn weigh_tier(&mut self, host: u32, exit: u32, end: &End, now: Instant) {
        let served = match (end.verdict.outcome, end.verdict.blame) {
            (Outcome::Ok, _) => true,
            (Outcome::Banned, Blame::Pair) => false,
            _ => return,
        };
        let tier = end.proxy.labels().tier;
        self.pool.judge_tier(HostIdx(host), exit, tier, served, now);
        let spared = !self.pool.is_walled(HostIdx(host), now);
        self.context.hosts().spare(host, spared);
    }

    /// The host's ledger: refusals by distinct proxies move its clock.
    pub(super) fn pace_host(
        &mut self,
        host: u32,
        proxy: u32,
        end: &End,
        sent: Instant,
        now: Instant,
    ) {
        let verdict = &end.verdict;
        let told_to_wait = verdict.retry_after.is_some_and(|wait| !wait.is_zero());
        if verdict.outcome == Outcome::RateLimited
            || (matches!(verdict.blame, Blame::Nobody | Blame::Target) && told_to_wait)
        {
            // Exits that rotate are no witnesses of that kind, and those that nobody has tried may be let in.
            let counts = self.pool.counts(now);
            let live = counts.ready.saturating_sub(counts.rotating) + counts.unknown;
            let live = live as usize;
            let asked = verdict.retry_after;
            let mut limiter = self.context.limiter();
            let shown = match end.proxy.is_rotating() {
                true => limiter.clock(host).refused_exit(asked, sent, now),
                false => limiter.clock(host).refused(proxy, asked, sent, now, live),
            };
            if shown.is_some()
                && !self.pool.without(Mechanism::HostWideLimit)
                && self.pool.limits_everybody(HostIdx(host), now)
            {
                limiter.clock(host).throttled(shown, asked, sent, now);
            }
        } else if verdict.outcome == Outcome::Ok {
            let mut limiter = self.context.limiter();
            limiter.served(host, now);
            if end.proxy.is_rotating() {
                limiter.clock(host).served_exit(sent, now);
            }
        }
    }
}
