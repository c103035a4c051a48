//! Another proxy list while the run goes on. Health is kept for identities that remain; the others finish what they carry.

use std::sync::Arc;
use std::time::Instant;

use rand::Rng;

use super::Pool;
use super::slot::State;
use crate::proxy::Proxy;

/// What another list changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// Members that are still listed.
    pub kept: u32,
    /// New members.
    pub added: u32,
    /// Members that are gone.
    pub removed: u32,
}

impl Pool {
    /// Makes `list` the members. Identities that remain keep their health and take the new labels; new ones are unknown;
    /// the others are not leased again, and their slots are reused when their last lease and probe have been settled.
    pub fn replace(&mut self, list: Vec<Arc<Proxy>>, now: Instant, _rng: &mut impl Rng) -> Change {
        let t = self.clock.micros(now);
        self.note_ready(t);
        let mut change = Change::default();
        let mut listed = vec![false; self.roster.slots.len()];
        let mut new = Vec::new();
        for proxy in list {
            match self.roster.locate(proxy.id()) {
                None => new.push(proxy),
                Some(at) if listed[at as usize] => {}
                Some(at) => {
                    listed[at as usize] = true;
                    if self.roster.slot(at).is_member() {
                        change.kept += 1;
                    } else {
                        change.added += 1;
                        self.readmit(at);
                    }
                    self.roster.slot_mut(at).relabel(proxy);
                    self.roster.refile(at);
                }
            }
        }
        for (at, listed) in listed.into_iter().enumerate() {
            if !listed && self.roster.slots[at].is_member() {
                change.removed += 1;
                self.roster.dismiss(at as u32);
            }
        }
        for proxy in new {
            if self.roster.locate(proxy.id()).is_none() {
                let account = self.accounts.number(&proxy);
                let at = self.roster.admit(proxy, account);
                change.added += 1;
                if self.is_out_for_good(at) {
                    self.roster.slot_mut(at).state = State::Retired;
                    self.roster.refile(at);
                }
            }
        }
        self.groups = None;
        self.filters.forget();
        self.tiers.count(&self.roster);
        self.find_rotating();
        self.lane.forget();
        self.note_ready(t);
        change
    }

    /// Takes back one that was leaving: what is known of it still holds, whether it is there has to be seen.
    fn readmit(&mut self, at: u32) {
        let out = self.is_out_for_good(at);
        let slot = self.roster.slot_mut(at);
        slot.state = if out {
            State::Retired
        } else if slot.proxy.is_direct() {
            State::Ready
        } else {
            State::Unknown
        };
        slot.trusted = false;
    }
}
