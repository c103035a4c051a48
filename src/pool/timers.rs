//! When quarantined proxies are looked at again: when their time is up, and earlier, least recently checked first, when
//! the run starves.
//!
//! Entries are not removed when a proxy leaves quarantine by another way; a ticket tells stale ones, and they are dropped
//! when met or when they are the majority.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::clock::Micros;
use super::roster::Roster;
use super::slot::State;

/// A slot as it was when the entry was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    pub(super) slot: u32,
    pub(super) number: u32,
}

impl Ticket {
    fn holds(self, roster: &Roster) -> bool {
        let slot = roster.slot(self.slot);
        slot.state == State::Quarantined && slot.ticket == self.number && !slot.probing
    }
}

/// Timers of the quarantine.
#[derive(Debug, Default)]
pub(super) struct Timers {
    ends: BinaryHeap<Reverse<(Micros, Ticket)>>,
    due: VecDeque<Ticket>,
    /// By last check, oldest first.
    checks: VecDeque<(Micros, Ticket)>,
}

impl Timers {
    /// Follows a slot that has just been shut.
    pub(super) fn watch(&mut self, at: u32, roster: &Roster) {
        let slot = roster.slot(at);
        let ticket = Ticket {
            slot: at,
            number: slot.ticket,
        };
        self.ends.push(Reverse((slot.until, ticket)));
        self.checks.push_back((slot.checked, ticket));
        let most = 64 + 2 * roster.tally.quarantined as usize;
        if self.ends.len() > most {
            self.ends
                .retain(|Reverse((_, ticket))| ticket.holds(roster));
        }
        if self.checks.len() > most {
            self.checks.retain(|(_, ticket)| ticket.holds(roster));
        }
    }

    /// Moves what is over by `now` to the due list.
    pub(super) fn collect(&mut self, roster: &Roster, now: Micros) {
        while let Some(Reverse((until, ticket))) = self.ends.peek().copied()
            && (until <= now || !ticket.holds(roster))
        {
            self.ends.pop();
            if ticket.holds(roster) {
                self.due.push_back(ticket);
            }
        }
    }

    /// A proxy whose quarantine is over.
    pub(super) fn next_due(&mut self, roster: &Roster) -> Option<u32> {
        loop {
            let ticket = self.due.pop_front()?;
            if ticket.holds(roster) {
                return Some(ticket.slot);
            }
        }
    }

    /// The quarantined proxy that was looked at longest ago, and when that was.
    pub(super) fn least_recently_checked(&mut self, roster: &Roster) -> Option<(Micros, u32)> {
        loop {
            let (checked, ticket) = *self.checks.front()?;
            if ticket.holds(roster) {
                return Some((checked, ticket.slot));
            }
            self.checks.pop_front();
        }
    }

    /// The earliest end of a quarantine that [`Timers::collect`] has not seen yet.
    pub(super) fn next_end(&mut self, roster: &Roster) -> Option<Micros> {
        loop {
            let Reverse((until, ticket)) = *self.ends.peek()?;
            if ticket.holds(roster) {
                return Some(until);
            }
            self.ends.pop();
        }
    }
}
