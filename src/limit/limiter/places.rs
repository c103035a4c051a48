//! `--host-concurrency` for what redirects lead to.
//!
//! The engine counts the requests of its own jobs, by the host they were read for. A redirect leads to another one: there it takes
//! a place, and gives back that of the host it comes from. It goes before jobs that have not begun, which can wait without
//! losing anything.

use std::time::Instant;

use super::{FULL_WAIT, Limit, Limiter, Wait};

/// Requests of one host. Only counted where their number has a bound.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    taken: u32,
    /// Redirects that have led here and wait.
    awaited: u32,
}

impl Limiter {
    /// A redirect has led to `host`; to be followed by [`Limiter::take_awaited`] or [`Limiter::turn_away`].
    pub fn expect(&mut self, host: u32) {
        if self.settings.host_concurrency.is_some() {
            self.hosts.entry(host).or_default().places.awaited += 1;
        }
    }

    /// One that was expected does not come.
    pub fn turn_away(&mut self, host: u32) {
        if let Some(host) = self.hosts.get_mut(&host) {
            host.places.awaited = host.places.awaited.saturating_sub(1);
        }
    }

    /// A request to `host` that was charged is under way no more.
    pub fn left(&mut self, host: u32) {
        if let Some(host) = self.hosts.get_mut(&host) {
            host.places.taken = host.places.taken.saturating_sub(1);
        }
    }

    /// Checks all limits for a redirect that is expected, and charges them if they admit.
    ///
    /// # Errors
    /// Not now.
    pub fn take_awaited(&mut self, host: u32, proxy: u32, now: Instant) -> Result<(), Wait> {
        self.check_clocks(host, now)?;
        self.check_place(host, false, now)?;
        self.check_proxy(host, proxy, now)?;
        self.turn_away(host);
        self.charge(host, proxy, now);
        Ok(())
    }

    /// Is there a place, beside those that redirects wait for if they go `before` this request?
    pub(super) fn check_place(&self, host: u32, before: bool, now: Instant) -> Result<(), Wait> {
        if let Some(most) = self.settings.host_concurrency
            && let Some(host) = self.hosts.get(&host)
        {
            let places = host.places;
            let awaited = if before { places.awaited } else { 0 };
            if places.taken.saturating_add(awaited) >= most.get() {
                let (until, limit) = (now + FULL_WAIT, Limit::Full);
                return Err(Wait { until, limit });
            }
        }
        Ok(())
    }

    pub(super) fn take_place(&mut self, host: u32) {
        if self.settings.host_concurrency.is_some() {
            self.hosts.entry(host).or_default().places.taken += 1;
        }
    }
}
