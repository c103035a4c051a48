//! Hosts that a provider's policy refuses to an account.
//!
//! Such a refusal is final for the run. A run over very many hosts forgets the oldest ones, at the price of one more
//! question each.

use std::collections::{HashSet, VecDeque};

use super::hash::Mixing;
use crate::proxy::CredentialGroup;

/// Refusals remembered.
const MOST: usize = 1 << 16;

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Barred {
    pairs: HashSet<(CredentialGroup, u32), Mixing>,
    /// As they came, oldest first.
    order: VecDeque<(CredentialGroup, u32)>,
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
