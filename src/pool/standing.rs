//! How one proxy stands, for whoever tells people. Nothing is decided by it.

use std::collections::HashSet;
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

/// Bans in a row, less one, before the refusal that has just come, from which a pair is refused whatever the time: each began after
/// the one before had ended, the last of them three minutes after the first.
const AGAIN_AND_AGAIN: u8 = 1;

impl Pool {
    /// How many of these proxies the host had refused again whenever their bans had ended, before its last refusal.
    pub fn worn_out(&self, proxies: &[u32], host: HostIdx, now: Instant) -> usize {
        let is_worn = |number: &&u32| {
            // Exits of rotating endpoints have no slot, and never come again.
            if **number as usize >= self.roster.slots.len() {
                return false;
            }
            let pair = self.standing(ProxyIdx(**number), host, now).pair;
            pair.is_some_and(|rest| rest.level >= AGAIN_AND_AGAIN)
        };
        proxies.iter().filter(is_worn).count()
    }

    /// Hosts that have to keep their number, because something stands under it that another one would lose: a ban within its time, a
    /// quota, or a provider's refusal. Looks at all that is known of pairs.
    pub fn hosts_in_mind(&self) -> HashSet<u32> {
        let banning = self.pairs.banning();
        let others = self.quotas.limited().chain(self.barred.hosts());
        banning.chain(others).collect()
    }

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
