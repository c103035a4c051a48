//! Hosts that a provider's policy refuses to an account.
//!
//! Such a refusal is final for the run where nobody of the account was let through to the host before. Where somebody was, it is a
//! slip of the gateway or the doing of one exit: the pair rests, and only refusals of one after the other, or of all and then one of them
//! again, with none let through in between are the provider's word. A run over very many hosts forgets the oldest ones, at the price of one more question each.

use std::collections::{HashMap, HashSet, VecDeque};

use super::clock::Micros;
use super::hash::Mixing;
use super::lease::Lease;
use super::pair::{Gate, PairKey, Term};
use super::{HostIdx, Pool};
use crate::proxy::CredentialGroup;

/// Refusals remembered, and hosts that were reached.
const MOST: usize = 1 << 16;
/// Rounds of refusals after which those who were let through before are refused for good. An endpoint of which one exit in five refuses
/// has such a row once in 400,000 requests.
const ROUNDS: usize = 8;

type Key = (CredentialGroup, u32);

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Barred {
    pairs: HashSet<Key, Mixing>,
    /// As they came, oldest first.
    order: VecDeque<Key>,
    /// Who was let through.
    reached: HashMap<Key, Row, Mixing>,
    /// As they came, oldest first.
    reached_order: VecDeque<Key>,
}

/// Refusals since the group was let through to the host last.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    refusals: usize,
    /// Those that were asked for after the one before was known: what is under way together is one.
    rounds: usize,
    /// When the last round was over.
    last: Micros,
}

impl Row {
    /// One more, who had asked at `sent`.
    fn refuse(&mut self, sent: Micros, now: Micros) -> Row {
        self.refusals += 1;
        if self.rounds == 0 || sent >= self.last {
            self.rounds += 1;
            self.last = now;
        }
        *self
    }
}

impl Barred {
    pub(super) fn add(&mut self, group: CredentialGroup, host: u32) {
        if !self.pairs.insert((group, host)) {
            return;
        }
        self.order.push_back((group, host));
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.pairs.remove(&oldest);
        }
    }

    /// Somebody of the group got through to the host.
    pub(super) fn let_through(&mut self, group: CredentialGroup, host: u32) {
        let key = (group, host);
        if let Some(row) = self.reached.get_mut(&key) {
            *row = Row::default();
            return;
        }
        self.reached.insert(key, Row::default());
        self.reached_order.push_back(key);
        if self.reached_order.len() > MOST
            && let Some(oldest) = self.reached_order.pop_front()
        {
            self.reached.remove(&oldest);
        }
    }

    /// These hosts are gone, and others will have their numbers.
    fn forget(&mut self, hosts: &HashSet<u32>) {
        self.reached.retain(|(_, host), _| !hosts.contains(host));
        self.reached_order.retain(|(_, host)| !hosts.contains(host));
    }

    pub(super) fn holds(&self, group: CredentialGroup, host: u32) -> bool {
        self.pairs.contains(&(group, host))
    }

    /// True when anybody is refused this host. Looks at all of them: asked once for a job that is given up.
    pub(super) fn names(&self, host: u32) -> bool {
        self.order.iter().any(|(_, barred)| *barred == host)
    }

    /// Hosts that anybody is refused, once for each who is.
    pub(super) fn hosts(&self) -> impl Iterator<Item = u32> {
        self.order.iter().map(|(_, barred)| *barred)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl Pool {
    /// The provider refuses this host to this member, which had asked at `sent`.
    pub(super) fn refused_by_policy(&mut self, at: u32, host: HostIdx, sent: Micros, now: Micros) {
        let slot = self.roster.slot(at);
        let (group, is_rotating) = (slot.proxy.group(), slot.is_rotating());
        let key = PairKey {
            slot: at,
            generation: slot.generation,
            host: host.0,
        };
        let Some(row) = self.barred.reached.get_mut(&(group, host.0)) else {
            return self.barred.add(group, host.0);
        };
        if !is_rotating && matches!(self.pairs.gate(key, now), Gate::Cooling(_)) {
            // It was under way with the one that the pair rests for.
            return;
        }
        let row = row.refuse(sent, now);
        // All of a small group, and one of them again after its rest.
        if row.rounds >= ROUNDS || !is_rotating && row.refusals > self.group(group).len() {
            self.barred.add(group, host.0);
        } else if !is_rotating {
            let again = self.pairs.is_banned(key);
            let jitter = &mut self.jitter;
            self.pairs.refuse(key, again, Term::default(), jitter, now);
        }
    }

    /// These hosts are done, and their numbers may name others: who was let through to them says nothing of those.
    pub fn forget_hosts(&mut self, hosts: &HashSet<u32>) {
        if !hosts.is_empty() {
            self.barred.forget(hosts);
        }
    }

    /// True when somebody of the account of this lease was let through to its host.
    pub fn has_reached(&self, lease: &Lease) -> bool {
        let key = (lease.proxy.group(), lease.host.0);
        self.barred.reached.contains_key(&key)
    }

    /// True when the policy of some provider refuses this host to its accounts, for the rest of the run.
    pub fn is_barred(&self, host: HostIdx) -> bool {
        self.barred.names(host.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::{Proxy, Scheme};

    #[test]
    fn the_newest_refusals_are_kept() {
        let group = Proxy::new(Scheme::Http, "p", 1, None).group();
        let mut barred = Barred::default();
        let most = MOST as u32;
        for host in 0..most + 10 {
            barred.add(group, host);
            barred.add(group, host);
        }
        assert_eq!((barred.pairs.len(), barred.order.len()), (MOST, MOST));
        assert!(!barred.holds(group, 9) && barred.holds(group, 10));
        assert!(barred.holds(group, most + 9));
    }
}
