//! What follows an attempt: another one, or the record.

use std::time::Duration;

use crate::outcome::StatusSet;

/// The two budgets of a job and what is worth another attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Attempts after the first that reached the target; a proxy's fault spends none of them.
    pub retries: u32,
    /// Distinct proxies one job may use up by their own faults or bans.
    pub max_proxies_per_url: u32,
    /// No attempt starts later than this after the first.
    pub max_time: Option<Duration>,
    /// Statuses that are worth another attempt.
    pub retry_on: StatusSet,
    /// Send a non-idempotent request again although it may have arrived.
    pub non_idempotent: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            retries: 3,
            max_proxies_per_url: 6,
            max_time: None,
            retry_on: StatusSet::EMPTY
                .with(408, 408)
                .with(425, 425)
                .with(429, 429)
                .with(500, 500)
                .with(502, 504)
                .with(520, 524),
            non_idempotent: false,
        }
    }
}
