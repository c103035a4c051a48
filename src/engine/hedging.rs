//! A second attempt for a request that takes too long, through another proxy: whichever is answered first counts.
//!
//! A straggler is one that takes three times what its own proxy usually takes; judged by the pool's tail, proxies that are slow
//! but fine would use up the whole budget. It goes ahead of new work, because a slot that waits for it is worth more than a new
//! start, and costs one in twenty requests at most. Proxies that have never served are not in that account: whoever tries them
//! out has to expect that they hang, and few are tried out. When the input has ended and slots are idle, duplicates of the oldest
//! requests cost nothing that anybody waits for; where they cost money they are not made. No job has more than three. Only requests that may be sent twice are, and only with a free choice of proxy.

use std::time::{Duration, Instant};

use http::Method;

use super::dispatch::Dispatcher;
use super::leasing::lease_within_limits;
use super::pending::Pending;
use crate::egress::Egress;
use crate::pool::{Ask, HostIdx, Lease, Mechanism, ProxyIdx};

/// Hedges at the beginning, at most, and per success.
const BUDGET: f32 = 10.0;
const BUDGET_MOST: f32 = 50.0;
const PER_SUCCESS: f32 = 0.05;
/// Between looks for old requests when slots are idle.
const LOOK: Duration = Duration::from_millis(100);
/// A straggler for which nobody had room is looked at again after this.
const AGAIN: Duration = Duration::from_millis(500);
/// Medians after which a duplicate hangs as well.
const HANGS: u32 = 3;
/// Requests younger than this are not duplicated, however fast the pool is.
const YOUNG: Duration = Duration::from_millis(300);

/// How many second attempts may be made.
#[derive(Debug)]
pub(super) struct Budget {
    left: f32,
    look_at: Option<Instant>,
    /// Requests that left before anybody knew what is long are watched by now.
    watches: bool,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget {
            left: BUDGET,
            look_at: None,
            watches: false,
        }
    }

    pub(super) fn earn(&mut self) {
        self.left = (self.left + PER_SUCCESS).min(BUDGET_MOST);
    }
}

/// Second attempts of one job: a page that hangs whoever asks is not to be shown to every exit there is.
const SECONDS: u8 = 3;

/// True when another attempt of this job would do no harm.
pub(super) fn is_harmless(job: &Pending) -> bool {
    job.session.is_none() && matches!(job.job.request.method, Method::GET | Method::HEAD)
}

/// True when a second attempt of this job may be made.
pub(super) fn may_hedge(job: &Pending) -> bool {
    job.seconds < SECONDS && is_harmless(job)
}

impl<E: Egress> Dispatcher<E> {
    fn hedges(&self) -> bool {
        self.context.settings.hedge && !self.pool.without(Mechanism::Hedging)
    }

    /// When a request through this proxy is a straggler, if it may be hedged at all.
    pub(super) fn patience(&self, job: &Pending, lease: &Lease) -> Option<Duration> {
        if !self.hedges() || !may_hedge(job) {
            return None;
        }
        self.pool.patience(lease.idx)
    }

    /// The first requests of a run go to strangers, and some of those never answer: as soon as others have shown what is long,
    /// they are watched too.
    fn watch_the_first(&mut self) {
        if !self.budget.watches && self.pool.knows_patience() {
            self.budget.watches = true;
            let pool = &self.pool;
            self.flights.watch_all(|flight| {
                let hedges = flight.job.as_ref().is_some_and(|job| may_hedge(job));
                hedges.then(|| pool.patience(flight.proxy)).flatten()
            });
        }
    }

    /// Second attempts for those that have become stragglers, as long as slots are free.
    pub(super) fn hedge(&mut self, now: Instant) {
        if self.hedges() {
            self.watch_the_first();
        }
        let mut unpaid = Vec::new();
        while self.slots_left() > 0
            && let Some(number) = self.flights.next_straggler(now)
        {
            let flight = self.flights.get_mut(number);
            let known = flight.is_some_and(|flight| self.pool.is_proven(flight.proxy));
            let price = if known { 1.0 } else { 0.0 };
            if price > self.budget.left {
                unpaid.push(number);
            } else if self.duplicate(number, now) {
                self.budget.left -= price;
            } else {
                self.flights.watch_again(number, now + AGAIN);
            }
        }
        for number in unpaid {
            self.flights.watch_again(number, now + AGAIN);
        }
    }

    /// When nothing is left to start: duplicates of the oldest requests in idle slots. Gives when to look again.
    pub(super) fn endgame(&mut self, now: Instant) -> Option<Instant> {
        if !self.hedges()
            || self.pool.without(Mechanism::EndGame)
            || !self.input_ended
            || !self.frontier.is_empty()
            || self.attempts.is_empty()
            || self.slots_left() == 0
            // Where requests have a price, duplicates that only save time are not worth it.
            || self.tally.counters().ledger.is_priced
        {
            return None;
        }
        if let Some(at) = self.budget.look_at.filter(|at| *at > now) {
            return Some(at);
        }
        let median = self.pool.median_latency()?;
        let again = now + LOOK;
        self.budget.look_at = Some(again);
        // Both attempts of a job hang: one gives way to a third.
        if let Some(long) = now.checked_sub(HANGS * median.max(YOUNG)) {
            for number in self.flights.spare_since(long) {
                self.attempts.stop(number);
            }
        }
        let since = now.checked_sub(median.max(YOUNG))?;
        for number in self.flights.alone_since(since) {
            if self.slots_left() == 0 {
                break;
            }
            self.duplicate(number, now);
        }
        Some(again)
    }

    pub(super) fn slots_left(&self) -> usize {
        let slots = self.limits.concurrency.get() as usize;
        slots.saturating_sub(self.attempts.len())
    }

    /// Sends the job of a request in flight once more, if that was not done yet and another proxy and all limits are free for it.
    fn duplicate(&mut self, number: usize, now: Instant) -> bool {
        let flight = self.flights.get_mut(number);
        // A duplicate of the end-game may become a straggler after all.
        let Some(flight) = flight.filter(|flight| flight.twin.is_none()) else {
            return false;
        };
        let (host, first) = (flight.host, flight.proxy);
        let Some(mut job) = flight.job.take_if(|job| may_hedge(job)) else {
            return false;
        };
        let sent = self.send_twin(&mut job, number, host, first, now);
        job.seconds += u8::from(sent.is_some());
        if let Some(flight) = self.flights.get_mut(number) {
            flight.job = Some(job);
            flight.twin = sent;
        }
        sent.is_some()
    }

    fn send_twin(
        &mut self,
        job: &mut Pending,
        number: usize,
        host: u32,
        first: ProxyIdx,
        now: Instant,
    ) -> Option<usize> {
        if self.context.limiter().check_host(host, now).is_err()
            || self.frontier.is_full_host(host)
            || self.context.limiter().window(host).is_some()
        {
            return None;
        }
        job.avoid.note(self.pool.proxy(first));
        let ask = Ask {
            host: HostIdx(host),
            tunnel: job.needs_tunnel(),
            avoid: &job.avoid,
            filter: job.job.filter.as_deref(),
            pinned: None,
            endgame: true,
            proven_first: true,
        };
        let (context, limits) = (&self.context, &self.limits);
        let leased = lease_within_limits(&mut self.pool, context, limits, &ask, now, &mut self.rng);
        let lease = leased.ok()?;
        if job.avoid.has_tried(&lease.proxy) {
            // There is no other.
            self.pool.cancel(lease, now);
            return None;
        }
        if self.beyond_caps(&lease).is_some() {
            self.pool.cancel(lease, now);
            return None;
        }
        self.context.limiter().charge(host, lease.idx.number(), now);
        self.frontier.left(host);
        let proxy = (lease.idx, !self.pool.is_proven(lease.idx));
        let twin = self.start(job.job.clone(), host, None, lease);
        self.flights.add(twin, None, host, proxy, None, now);
        if let Some(flight) = self.flights.get_mut(twin) {
            flight.twin = Some(number);
        }
        self.tally.hedged();
        Some(twin)
    }
}
