//! The pool: which proxy serves the next request.

/// How a proxy is chosen among those that are READY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Best of 32 by expected seconds per success.
    #[default]
    Best,
    /// The one not used for longest.
    RoundRobin,
    /// Any.
    Random,
    /// The one with the fewest requests in flight.
    LeastBusy,
    /// By the `weight` label.
    Weighted,
}

/// What to do when no proxy of the pool is usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnNoProxy {
    /// End the run; exit code 6.
    #[default]
    Stop,
    /// Keep re-probing until one comes back.
    Wait,
}

/// The user's say in the pool. Everything else is learned or a constant with a reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `--rotate`.
    pub strategy: Strategy,
    /// `--on-no-proxy`.
    pub on_no_proxy: OnNoProxy,
    /// Requests in flight through one proxy, at most.
    pub proxy_concurrency: u32,
    /// Upper bound of the adaptive connect timeout.
    pub connect_timeout: std::time::Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            strategy: Strategy::Best,
            on_no_proxy: OnNoProxy::Stop,
            proxy_concurrency: 8,
            connect_timeout: std::time::Duration::from_secs(10),
        }
    }
}
