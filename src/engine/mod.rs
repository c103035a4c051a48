//! The run: jobs in, records out.

use std::time::Duration;

/// What keeps jobs on one proxy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sticky {
    /// Every attempt chooses anew; a job's own `session` still holds.
    #[default]
    None,
    /// One proxy and cookie jar per target host.
    Host,
    /// One proxy and cookie jar per value of this field of `tag`.
    Tag(String),
}

/// Settings of the run itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Follow redirects.
    pub follow: bool,
    /// Hops followed at most.
    pub max_redirs: u32,
    /// Limit of one attempt, redirects and body included (`-m`).
    pub max_time: Duration,
    /// `--sticky`.
    pub sticky: Sticky,
    /// Keep response headers in the record.
    pub headers: bool,
    /// Sockets of the probe lane, beside `-j`.
    pub probe_concurrency: usize,
    /// How long a drain waits for requests in flight.
    pub drain_grace: Duration,
    /// Seed of every random choice; `None` takes one from the system.
    pub seed: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            follow: true,
            max_redirs: 10,
            max_time: Duration::from_secs(30),
            sticky: Sticky::None,
            headers: false,
            probe_concurrency: 128,
            drain_grace: Duration::from_secs(10),
            seed: None,
        }
    }
}
