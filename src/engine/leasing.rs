//! A proxy for a job: what the job asks of the pool, and the user's limits that are asked with it.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;

use super::attempt::Context;
use super::dispatch::Dispatcher;
use crate::egress::Egress;
use crate::limit;
use crate::metrics::Binding;
use crate::pool::{Ask, HostIdx, Lease, Pool, ProxyIdx, Refusal, RefusalReason};

/// A session waits so long for its proxy to be let in again: with another one it would have lost its cookies.
const SESSION_REST: Duration = Duration::from_secs(4);

/// Why a job has no proxy now.
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    /// The proxy that its session is on, which is all that it waits for.
    pub(super) pinned: Option<ProxyIdx>,
}

impl Refused {
    fn of(refusal: Refusal, pinned: Option<ProxyIdx>) -> Self {
        Refused { refusal, pinned }
    }
}

/// True when a session had better wait for its proxy than move to another.
fn is_soon_over(refusal: &Refusal, now: Instant) -> bool {
    match refusal.reason {
        RefusalReason::AllBusy | RefusalReason::Limited | RefusalReason::NoUplink => true,
        RefusalReason::AllCooling => refusal.retry_at.is_some_and(|at| at <= now + SESSION_REST),
        _ => false,
    }
}

fn busy() -> Refusal {
    Refusal {
        reason: RefusalReason::AllBusy,
        retry_at: None,
        everybody: false,
    }
}

impl<E: Egress> Dispatcher<E> {
    /// What holds back every other host too, so that asking for them is no use.
    pub(super) fn holds_everybody(&self, host: u32, refusal: &Refusal) -> Option<Binding> {
        match refusal.reason {
            RefusalReason::NoUplink => Some(Binding::Uplink),
            RefusalReason::NoneReady if !self.pool.has_room() => Some(Binding::NoProxy),
            RefusalReason::AllBusy if !self.pool.has_room() => Some(self.reason(refusal)),
            // Were every host to be parked until the next proxy is due, all of them would go through the pool for it.
            RefusalReason::AllBusy | RefusalReason::Limited
                if refusal.everybody && self.limits.pair_rate.is_none() && self.takes_any(host) =>
            {
                Some(self.reason(refusal))
            }
            _ => None,
        }
    }

    /// What a refusal of the pool is called to people.
    pub(super) fn reason(&self, refusal: &Refusal) -> Binding {
        let is_paced = self.limits.proxy_rate.is_some() || self.limits.pair_rate.is_some();
        match refusal.reason {
            RefusalReason::NoUplink => Binding::Uplink,
            // Some are busy, and the others wait for their rate.
            RefusalReason::AllBusy if is_paced && refusal.retry_at.is_some() => {
                self.rate_of_proxies()
            }
            RefusalReason::AllBusy => Binding::Proxies,
            RefusalReason::Limited => self.rate_of_proxies(),
            RefusalReason::AllCooling => Binding::Rests,
            RefusalReason::AllTried => Binding::Tried,
            RefusalReason::NoneReady | RefusalReason::NoMatch | RefusalReason::Incapable => {
                Binding::NoProxy
            }
        }
    }

    /// The rate of the user's that proxies are held to.
    pub(super) fn rate_of_proxies(&self) -> Binding {
        if self.limits.proxy_rate.is_some() {
            Binding::ProxyRate
        } else {
            Binding::PairRate
        }
    }

    /// Why the clock of `host` has it wait.
    pub(super) fn clock_of(&self, host: u32, now: Instant) -> Binding {
        let limiter = self.context.limiter();
        if limiter.out_since(host).is_some() {
            Binding::HostOut
        } else if limiter.is_asked_to_wait(host, now) {
            Binding::RetryAfter
        } else {
            Binding::HostPace
        }
    }

    /// True when the first job of `host` has no wishes about its proxy: no labels, no session, none it has tried already.
    pub(super) fn takes_any(&self, host: u32) -> bool {
        self.frontier.peek(host).is_some_and(|job| {
            job.job.filter.is_none() && job.session.is_none() && job.avoid.is_empty()
        })
    }

    /// A proxy for the first job of `host`. A session whose proxy cannot serve it moves to another: waiting for a proxy that
    /// is shut, gone or banned for long would lose the session's jobs, not save the session.
    pub(super) fn lease_for_first(&mut self, host: u32, now: Instant) -> Result<Lease, Refused> {
        let session = self.frontier.peek(host).and_then(|job| job.session.clone());
        let pinned = session
            .as_ref()
            .and_then(|session| self.sessions.get(session));
        if let (Some(session), Some(id)) = (session, pinned) {
            let at = self.pool.find(id);
            let waits = at.filter(|at| self.frontier.is_behind(host, at.number()));
            if let Some(at) = waits {
                return Err(Refused::of(busy(), Some(at)));
            }
            match at.map(|at| self.lease_from(host, Some(at), now)) {
                Some(Err(refusal)) if is_soon_over(&refusal, now) => {
                    return Err(Refused::of(refusal, at));
                }
                Some(Ok(lease)) => return Ok(lease),
                _ => self.sessions.release(&session, id),
            }
        }
        let lease = self.lease_from(host, None, now);
        lease.map_err(|refusal| Refused::of(refusal, None))
    }

    fn lease_from(
        &mut self,
        host: u32,
        pinned: Option<ProxyIdx>,
        now: Instant,
    ) -> Result<Lease, Refusal> {
        let Some(pending) = self.frontier.peek(host) else {
            return Err(busy());
        };
        let slots = self.limits.concurrency.get() as usize;
        let ask = Ask {
            host: HostIdx(host),
            tunnel: pending.needs_tunnel(),
            avoid: &pending.avoid,
            filter: pending.job.filter.as_deref(),
            pinned,
            endgame: self.input_ended && self.frontier.len() < slots,
            // Strangers that alter pages or hang are not to have all tries of one, nor is one of them worth much as a second opinion.
            proven_first: pending.is_altered()
                || pending.is_late()
                || pending.spent.second_opinions > 0
                || self
                    .flights
                    .trials
                    .are_enough(slots, !self.pool.knows_patience()),
        };
        let (context, limits) = (&self.context, &self.limits);
        lease_within_limits(&mut self.pool, context, limits, &ask, now, &mut self.rng)
    }
}

/// A proxy that the limits of the user admit now.
pub(super) fn lease_within_limits<E>(
    pool: &mut Pool,
    context: &Context<E>,
    limits: &limit::Settings,
    ask: &Ask<'_>,
    now: Instant,
    rng: &mut StdRng,
) -> Result<Lease, Refusal> {
    if limits.proxy_rate.is_none() && limits.pair_rate.is_none() {
        return pool.lease(ask, now, rng, &mut |_| true);
    }
    let limiter = context.limiter();
    let mut earliest: Option<Instant> = None;
    let leased = pool.lease(ask, now, rng, &mut |proxy| match limiter.check_proxy(
        ask.host.0,
        proxy.number(),
        now,
    ) {
        Ok(()) => true,
        Err(wait) => {
            earliest = earliest.into_iter().chain([wait.until]).min();
            false
        }
    });
    leased.map_err(|refusal| Refusal {
        retry_at: earliest.into_iter().chain(refusal.retry_at).min(),
        ..refusal
    })
}
