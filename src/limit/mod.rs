//! The user's limits and the host clock: when may this request be sent?

mod cell;
mod host_breaker;
mod host_clock;
mod host_exits;
mod host_rate;
mod limiter;
mod quota;
mod wire;

pub use host_breaker::Failure;
pub use host_clock::HostClock;
pub use limiter::{Limit, Limiter, Standing, Wait};
pub use quota::Quota;

use std::num::NonZeroU32;
use std::time::Duration;

/// `-j`, the four rates, and spacing per host.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Requests in flight in all.
    pub concurrency: NonZeroU32,
    /// Requests in all.
    pub rate: Option<Quota>,
    /// Requests to one host.
    pub host_rate: Option<Quota>,
    /// Requests in flight to one host; `None` leaves only `concurrency`.
    pub host_concurrency: Option<NonZeroU32>,
    /// Requests through one proxy.
    pub proxy_rate: Option<Quota>,
    /// Requests to one host through one proxy.
    pub pair_rate: Option<Quota>,
    /// Least time between two requests to one host.
    pub delay: Duration,
    /// Random part added to `delay`, as a fraction of it, 0..=1.
    pub jitter: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            concurrency: NonZeroU32::new(64).expect("not zero"),
            rate: None,
            host_rate: None,
            host_concurrency: None,
            proxy_rate: None,
            pair_rate: None,
            delay: Duration::ZERO,
            jitter: 0.5,
        }
    }
}
