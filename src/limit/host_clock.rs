//! The request clock of one host: when several exits are told to slow down, it is the host that is busy.
//!
//! One 429 says something about one exit and parks that pair (the pool does it). Only when `k` distinct proxies in a row hear
//! the same within a short window, and nobody is served between them, does the whole host wait. Answers to requests that were
//! sent before the clock last moved are no new evidence: forty requests in flight that all come back as 429 advance it once.
//! A host that serves some and refuses others, whoever they are, has a rate instead ([`super::host_rate`]); it is the pool that
//! tells it apart from one that counts exits.

use std::time::{Duration, Instant};

use super::host_breaker::{Failure, HostBreaker};
use super::host_exits::HostExits;
use super::host_rate::HostRate;

/// Distinct proxies that have to agree; all of a smaller pool.
const AGREEING_PROXIES: usize = 3;
/// Waits in a row that show a host which limits everybody: it has refused distinct proxies together, everybody has left it alone
/// for as long as it wanted, and it does so again. A large pool shows it no other way, because no proxy comes twice.
const WAITS: u32 = 2;
/// They have to agree within this time.
const WINDOW: Duration = Duration::from_secs(10);
/// First wait when the host does not say how long, doubling to the cap (the values Crawlee settled on).
const BASE: Duration = Duration::from_secs(2);
const CAP: Duration = Duration::from_secs(60);
/// No host is believed when it asks for more.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// See the module text.
#[derive(Debug, Default)]
pub struct HostClock {
    blocked_until: Option<Instant>,
    moved_at: Option<Instant>,
    level: u32,
    witnesses: Vec<Witness>,
    /// Accepted answers since the clock last moved.
    served: u32,
    /// It limits everybody together.
    rate: Option<Box<HostRate>>,
    /// Of rotating endpoints.
    exits: Option<Box<HostExits>>,
    breaker: HostBreaker,
}

#[derive(Debug, Clone, Copy)]
struct Witness {
    proxy: u32,
    at: Instant,
    asked: Option<Duration>,
}

impl HostClock {
    /// When the host may be asked again, if it has to wait.
    pub fn blocked_until(&self, now: Instant) -> Option<Instant> {
        let paused = self.rate.as_ref().map(|rate| rate.paused_until());
        self.blocked_until
            .max(paused)
            .max(self.breaker.until())
            .filter(|until| *until > now)
    }

    /// When the next request may go to the host: [`HostClock::blocked_until`], or later when its rate says so.
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        let rate = self.rate.as_ref().map(|rate| rate.ready_at());
        self.blocked_until
            .max(rate)
            .max(self.breaker.until())
            .filter(|at| *at > now)
    }

    /// Requests that the host may have at once; `None` for as many as there are.
    pub fn window(&self) -> Option<u32> {
        self.breaker.window()
    }

    /// Since when the host answers nobody, if it does not.
    pub fn out_since(&self) -> Option<Instant> {
        self.breaker.out_since()
    }

    /// True when it has been out for five minutes, or for one if it has never served.
    pub fn is_lost(&self, now: Instant) -> bool {
        self.breaker.is_lost(now)
    }

    /// A request failed, and it may have been the host, while so many proxies serve. True when that shows that it is out.
    pub fn failed(&mut self, failure: Failure, serving: usize, now: Instant) -> bool {
        self.breaker.failed(failure, serving, now)
    }

    /// The host answered through `proxy`, whatever it said. True when that shows that it was asked too fast, which it had not called
    /// so: what it turns away from now on is to be told to [`HostClock::throttled`].
    pub fn answered(&mut self, proxy: u32, now: Instant) -> bool {
        self.breaker.answered(proxy, now)
    }

    /// A request goes to the host.
    pub fn charge(&mut self, now: Instant) {
        if let Some(rate) = &mut self.rate {
            rate.charge(now);
        }
    }

    /// A request sent at `sent` was refused by a host that limits everybody together. `goodput` with the refusal that has shown
    /// it: successes per second so far.
    pub fn throttled(
        &mut self,
        goodput: Option<f64>,
        asked: Option<Duration>,
        sent: Instant,
        now: Instant,
    ) {
        let asked = asked.map(|asked| asked.min(LONGEST_ASKED));
        match (&mut self.rate, goodput) {
            (Some(rate), _) => rate.refused(asked, sent, now),
            (rate @ None, Some(goodput)) => {
                let mut begun = HostRate::new(goodput, now);
                begun.pause(asked, now);
                *rate = Some(Box::new(begun));
            }
            // Forgotten meanwhile; it begins with little.
            (rate @ None, None) => *rate = Some(Box::new(HostRate::new(0.0, now))),
        }
    }

    /// The host does not limit everybody together.
    pub fn lift_rate(&mut self) {
        self.rate = None;
    }

    /// Takes over what an earlier run was told: to wait until then, so many times in a row.
    pub fn recall(&mut self, until: Instant, level: u32, now: Instant) {
        self.blocked_until = Some(until.min(now + LONGEST_ASKED));
        self.level = level;
    }

    /// Takes over the rate that an earlier run has found out, requests a second.
    pub fn recall_rate(&mut self, rate: f64, now: Instant) {
        self.rate
            .get_or_insert_with(|| Box::new(HostRate::recalled(rate, now)));
    }

    /// The rate found out so far, requests a second; `None` while the host has limited nobody.
    pub fn rate(&self) -> Option<f64> {
        self.rate.as_ref().map(|rate| rate.rate())
    }

    /// The same, if the host has shown in this run that it limits everybody.
    pub fn shown_rate(&self) -> Option<f64> {
        let rate = self.rate.as_ref().filter(|rate| rate.is_shown())?;
        Some(rate.rate())
    }

    /// Times in a row the host has asked everybody to wait.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// A request through `proxy`, sent at `sent`, was told to slow down, or was told that nothing is left (RateLimit headers). `live` is the number of proxies that could be
    /// witnesses: in a small pool all of them agreeing is enough. Returns what it has served a second between its waits when the
    /// clock moved and that shows that it limits everybody together.
    pub fn refused(
        &mut self,
        proxy: u32,
        asked: Option<Duration>,
        sent: Instant,
        now: Instant,
        live: usize,
    ) -> Option<f64> {
        if self.moved_at.is_some_and(|moved| sent <= moved) {
            return None;
        }
        let asked = asked.filter(|asked| !asked.is_zero());
        self.witnesses.retain(|witness| {
            witness.proxy != proxy && now.saturating_duration_since(witness.at) <= WINDOW
        });
        self.witnesses.push(Witness {
            proxy,
            at: now,
            asked,
        });
        if self.witnesses.len() < AGREEING_PROXIES.min(live.max(1)) {
            return None;
        }
        let longest = self
            .witnesses
            .iter()
            .filter_map(|witness| witness.asked)
            .max();
        self.wait(longest, now)
    }

    /// The same of a request through an exit of a rotating endpoint.
    pub fn refused_exit(
        &mut self,
        asked: Option<Duration>,
        sent: Instant,
        now: Instant,
    ) -> Option<f64> {
        let is_old = self.moved_at.is_some_and(|moved| sent <= moved);
        if is_old || !self.exits.get_or_insert_default().refused(sent, now) {
            return None;
        }
        self.wait(asked.filter(|asked| !asked.is_zero()), now)
    }

    /// Everybody waits, as long as was asked for if that is known. See [`HostClock::refused`].
    fn wait(&mut self, asked: Option<Duration>, now: Instant) -> Option<f64> {
        let wait = match asked {
            Some(asked) => asked.min(LONGEST_ASKED),
            None => BASE.saturating_mul(1 << self.level.min(10)).min(CAP),
        };
        let moved = self.moved_at.replace(now);
        let served = std::mem::take(&mut self.served);
        self.level += 1;
        self.witnesses.clear();
        if let Some(exits) = &mut self.exits {
            exits.clear();
        }
        self.blocked_until = Some(now + wait);
        let shown = self.level >= WAITS && self.rate.is_none();
        let since = moved.filter(|_| shown && served > 0)?;
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        Some(f64::from(served) / seconds)
    }

    /// An accepted answer to a request through an exit of a rotating endpoint, beside [`HostClock::served`].
    pub fn served_exit(&mut self, sent: Instant, now: Instant) {
        self.exits.get_or_insert_default().served(sent, now);
    }

    /// An accepted answer. One quiet window after the wait is over the backoff starts from the beginning.
    pub fn served(&mut self, now: Instant) {
        self.witnesses.clear();
        self.served += 1;
        if let Some(rate) = &mut self.rate {
            rate.served(now);
        }
        if self.level > 0
            && self
                .blocked_until
                .is_none_or(|until| now.saturating_duration_since(until) > WINDOW)
        {
            self.level = 0;
        }
    }

    /// True when it holds nothing worth keeping.
    pub fn is_idle(&self, now: Instant) -> bool {
        let over = |at: Instant| now.saturating_duration_since(at) > WINDOW;
        self.blocked_until.is_none_or(over)
            && self.witnesses.iter().all(|witness| over(witness.at))
            && self.rate.as_ref().is_none_or(|rate| rate.is_idle(now))
            && self.exits.as_ref().is_none_or(|exits| exits.is_idle(now))
            && self.breaker.is_idle(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do as the zero of the test"
    )]
    fn forty_concurrent_refusals_advance_the_clock_once() {
        let start = Instant::now();
        let mut clock = HostClock::default();
        for n in 0..40 {
            clock.refused(n, None, start, start + second(1), 100);
        }
        assert_eq!(clock.level(), 1);
        assert_eq!(
            clock.blocked_until(start + second(1)),
            Some(start + second(3))
        );
        // The next round, sent after the wait, doubles it.
        let sent = start + second(4);
        for n in 0..3 {
            clock.refused(n, None, sent, sent, 100);
        }
        assert_eq!(clock.blocked_until(sent), Some(sent + second(4)));
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do as the zero of the test"
    )]
    fn one_proxy_does_not_stop_the_host_unless_it_is_the_only_one() {
        let now = Instant::now();
        let mut clock = HostClock::default();
        for _ in 0..10 {
            clock.refused(7, Some(second(30)), now, now, 100);
        }
        assert_eq!(clock.blocked_until(now), None);
        let mut clock = HostClock::default();
        clock.refused(7, Some(second(30)), now, now, 1);
        assert_eq!(clock.blocked_until(now), Some(now + second(30)));
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do as the zero of the test"
    )]
    fn absurd_waits_are_bounded_and_zero_is_no_answer() {
        let now = Instant::now();
        let mut clock = HostClock::default();
        clock.refused(1, Some(Duration::from_secs(1 << 40)), now, now, 1);
        assert_eq!(clock.blocked_until(now), Some(now + LONGEST_ASKED));
        let mut clock = HostClock::default();
        clock.refused(1, Some(Duration::ZERO), now, now, 1);
        assert_eq!(clock.blocked_until(now), Some(now + BASE));
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do as the zero of the test"
    )]
    fn a_host_that_serves_a_few_and_refuses_the_rest_after_every_wait_limits_everybody() {
        let start = Instant::now();
        let round = |clock: &mut HostClock, at: Instant, served: u32| -> Vec<f64> {
            (0..served).for_each(|_| clock.served(at));
            let asked = Some(second(30));
            let shown = (0..20).filter_map(|n| clock.refused(n, asked, at, at, 100));
            shown.collect()
        };
        let mut clock = HostClock::default();
        assert_eq!(round(&mut clock, start + second(1), 10), Vec::<f64>::new());
        assert_eq!(round(&mut clock, start + second(41), 10), vec![0.25]);
        // One that serves nobody is no host with a rate.
        let mut clock = HostClock::default();
        for n in 0..5 {
            assert_eq!(
                round(&mut clock, start + second(1 + 40 * n), 0),
                Vec::<f64>::new()
            );
        }
    }
}
