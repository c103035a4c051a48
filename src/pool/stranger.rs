//! Proxies that have never served and were shut for failing towards a host that fails for everybody.
//!
//! A stranger is shut at its first failure, because most of a public list that connects does nothing else. At the beginning
//! of a run nothing else is known of the host either: when it leaves half of all requests unanswered, half of a good list is
//! shut before the first proxy that has served has failed towards it as well. Once enough of those have, what the strangers
//! met is what everybody meets: they are let back in, charged with no more than their share of it, and the next failure
//! counts as much as it says.

use std::collections::HashMap;

use super::Pool;
use super::clock::{Micros, SECOND};
use super::doubt::Doubt;
use super::hash::Mixing;
use super::lease::HostIdx;
use super::slot::State;

/// What was charged so long ago stands: its quarantine has ended by itself.
const LIFE: Micros = 120 * SECOND;
/// Strangers remembered of one host; those of a longer list come back by their quarantine.
const MOST: usize = 256;
/// Hosts remembered.
const MOST_HOSTS: usize = 1024;

/// A stranger in quarantine.
#[derive(Debug, Clone, Copy)]
struct Shut {
    doubt: Doubt,
    /// Of its quarantine.
    ticket: u32,
    /// What it was charged, in requests.
    charged: f32,
    at: Micros,
}

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    hosts: HashMap<u32, Vec<Shut>, Mixing>,
}

impl Strangers {
    fn add(&mut self, shut: Shut) {
        let (host, now) = (shut.doubt.host, shut.at);
        if self.hosts.len() >= MOST_HOSTS && !self.hosts.contains_key(&host) {
            self.hosts
                .retain(|_, all| all.last().is_some_and(|last| now < last.at + LIFE));
        }
        if self.hosts.len() < MOST_HOSTS {
            let all = self.hosts.entry(host).or_default();
            if all.len() >= MOST {
                all.remove(0);
            }
            all.push(shut);
        }
    }
}

impl Pool {
    /// The stranger of this doubt, now in quarantine, was charged with `charged` requests for it.
    pub(super) fn stranger_shut(&mut self, doubt: &Doubt, charged: f32, now: Micros) {
        let slot = self.roster.slot(doubt.slot);
        if slot.state != State::Quarantined || slot.suspect {
            return;
        }
        self.strangers.add(Shut {
            doubt: *doubt,
            ticket: slot.ticket,
            charged,
            at: now,
        });
        if self.hosts.is_flaky(doubt.host, now) {
            self.readmit_strangers(doubt.host, now);
        }
    }

    /// A proxy that has served before has failed towards this host.
    pub(super) fn host_failed(&mut self, host: u32, slot: u32, now: Micros) {
        self.hosts.failed(host, slot, now);
        if !self.strangers.hosts.is_empty() && self.hosts.is_flaky(host, now) {
            self.readmit_strangers(host, now);
        }
    }

    /// What these met is what everybody meets there.
    fn readmit_strangers(&mut self, host: u32, now: Micros) {
        let all = self.strangers.hosts.remove(&host).unwrap_or_default();
        for shut in all {
            let at = shut.doubt.slot;
            let slot = self.roster.slot(at);
            let same = slot.generation == shut.doubt.generation && slot.ticket == shut.ticket;
            let (is_shut, probing) = (slot.state == State::Quarantined, slot.probing);
            // A probe may have let it in meanwhile.
            let is_in = slot.state == State::Ready && !slot.is_proven();
            if !same || probing || !(is_shut || is_in) || now >= shut.at + LIFE {
                continue;
            }
            let present = self.scale.present();
            self.roster.slot_mut(at).charge(-shut.charged, present);
            let share = self.blame_share(at, Some(HostIdx(host)), now);
            self.roster.slot_mut(at).charge(share, present);
            self.reopen(at);
        }
    }

    /// Lets a proxy back in whose quarantine was for what may not have been its own.
    pub(super) fn reopen(&mut self, at: u32) {
        let slot = self.roster.slot_mut(at);
        slot.state = State::Ready;
        slot.level = slot.level.saturating_sub(1);
        slot.on_doubt = false;
        self.roster.refile(at);
    }
}
