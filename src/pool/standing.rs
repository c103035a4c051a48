//! How one proxy stands, for whoever tells people. Nothing is decided by it.

use std::time::{Duration, Instant};

use super::clock::between;
use super::memory::Rest;
use super::pair::PairKey;
use super::slot::State;
use super::{HostIdx, Pool, ProxyIdx};

/// How a proxy stands, and what one host thinks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The host's refusal as it stands; `None` in good standing.
    pub pair: Option<Rest>,
    /// What is left of its quarantine.
    pub aside: Option<Duration>,
    /// Quarantines in a row, less one.
    pub level: u8,
    /// Out for the rest of the run.
    pub retired: bool,
}

impl Pool {
    /// How this proxy stands with this host.
    ///
    /// # Panics
    /// If the index was not given out by this pool.
    pub fn standing(&self, idx: ProxyIdx, host: HostIdx, now: Instant) -> Standing {
        let now = self.clock.micros(now);
        let slot = self.roster.slot(idx.0);
        let key = PairKey {
            slot: idx.0,
            generation: slot.generation,
            host: host.0,
        };
        let quarantined = slot.state == State::Quarantined;
        Standing {
            pair: self.pairs.rest(key, now),
            aside: quarantined.then(|| between(now, slot.until)),
            level: slot.level.saturating_sub(1),
            retired: slot.state == State::Retired,
        }
    }
}
