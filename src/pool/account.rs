//! Accounts: credentials that nobody has accepted yet are tried by a few requests at a time.
//!
//! A provider sells thousands of sessions under one password. All of them are unknown when a run starts, and without this
//! a wrong password would be tried through every session that fits into the probe lane before the first refusal is read,
//! which is how accounts get locked. Once one member of the account has been let in, nothing is held back any more.
//!
//! Credentials that were accepted in this run and are refused then are asked about once more: it may be a slip of the gateway. Of the
//! sessions of a template it may be one alone, whose user name the provider does not like: it takes several in a row to doubt all.

use std::collections::HashMap;

use super::Pool;
use super::clock::{Micros, SECOND};
use super::hash::Mixing;
use super::lease::Lease;
use super::settle::slot_group;
use super::slot::NONE;
use crate::proxy::{CredentialGroup, Proxy};

/// Requests and probes under credentials that nobody has accepted yet: those that are under way and those that were refused.
const TRIALS: u32 = 3;
/// Refusals after which an account that nobody ever accepted is not tried through its other users either, and sessions in a row
/// whose refusals are those of all.
const REFUSALS: u8 = 3;
/// Of all that use credentials which were refused though they had been accepted, and when a further refusal counts at the earliest.
const SECOND_THOUGHT: f64 = 10.0;
const SECOND_LEAST: Micros = 8 * SECOND;
/// Later it is a first one again.
const SECOND_MOST: Micros = 60 * SECOND;

/// A group whose credentials were refused though they had been accepted, and not accepted since.
#[derive(Debug, Default)]
pub(super) struct Doubted {
    since: Micros,
    /// Nobody uses them for a moment.
    shut: bool,
    /// Members that were refused since.
    refused: Vec<u32>,
}

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    numbers: HashMap<u64, u32, Mixing>,
    all: Vec<Account>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Account {
    accepted: bool,
    refused: u8,
    in_flight: u32,
}

impl Account {
    fn is_refused(self) -> bool {
        !self.accepted && self.refused >= REFUSALS
    }
}

impl Accounts {
    /// The number of this proxy's account; [`NONE`] without credentials.
    pub(super) fn number(&mut self, proxy: &Proxy) -> u32 {
        let Some(key) = proxy.account() else {
            return NONE;
        };
        let next = self.all.len() as u32;
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.all.push(Account::default());
        }
        number
    }

    fn find(&mut self, number: u32) -> Option<&mut Account> {
        self.all.get_mut(number as usize)
    }

    /// False while enough requests are out to tell whether these credentials are any good.
    pub(super) fn admits(&self, number: u32) -> bool {
        self.all.get(number as usize).is_none_or(|account| {
            account.accepted || account.in_flight + u32::from(account.refused) < TRIALS
        })
    }

    /// A request or probe goes out.
    pub(super) fn begin(&mut self, number: u32) {
        if let Some(account) = self.find(number) {
            account.in_flight += 1;
        }
    }

    /// It is back.
    pub(super) fn end(&mut self, number: u32) {
        if let Some(account) = self.find(number) {
            account.in_flight -= 1;
        }
    }

    /// True when somebody was let in.
    fn is_accepted(&self, number: u32) -> bool {
        self.all
            .get(number as usize)
            .is_some_and(|account| account.accepted)
    }

    /// Somebody was let in.
    pub(super) fn accept(&mut self, number: u32) {
        if let Some(account) = self.find(number) {
            account.accepted = true;
        }
    }

    /// Somebody was not. True when that was the last attempt for all.
    pub(super) fn refuse(&mut self, number: u32) -> bool {
        self.find(number).is_some_and(|account| {
            account.refused = account.refused.saturating_add(1);
            account.refused == REFUSALS && account.is_refused()
        })
    }

    /// True when the account is not to be tried any more.
    pub(super) fn is_refused(&self, number: u32) -> bool {
        self.all
            .get(number as usize)
            .is_some_and(|account| account.is_refused())
    }
}

impl Pool {
    /// The credentials of this member were refused.
    pub(super) fn refuse_credentials(&mut self, at: u32, now: Micros) {
        let group = slot_group(self, at);
        let members = self.group(group);
        let slot = self.roster.slot(at);
        let (account, is_session) = (slot.account, slot.proxy.is_session() && members.len() > 1);
        let is_proven = |member: &u32| self.roster.slot(*member).is_proven();
        let accepted = is_session && self.accounts.is_accepted(account);
        if accepted || members.iter().any(is_proven) {
            let row = match is_session {
                true => members.len().min(usize::from(REFUSALS)),
                false => 1,
            };
            if !self.is_refused_again(at, &members, row, now) {
                return;
            }
        }
        let is_last = self.accounts.refuse(account);
        if is_session && !accepted && !is_last {
            return self.quarantine_ready(at, SECOND_THOUGHT, now);
        }
        self.refuse_group(group);
        if is_last {
            for other in 0..self.roster.slots.len() as u32 {
                if self.roster.slot(other).account == account {
                    self.retire(other);
                }
            }
        }
    }

    /// One of the members of a group that had been accepted was refused. True when that is the last word: `row` of them in a row had
    /// been, nobody has used the credentials for a moment, and as many were refused since.
    fn is_refused_again(&mut self, at: u32, members: &[u32], row: usize, now: Micros) -> bool {
        let group = slot_group(self, at);
        let doubted = self.doubted_groups.entry(group).or_default();
        if doubted.refused.is_empty() && !doubted.shut || now >= doubted.since + SECOND_MOST {
            *doubted = Doubted {
                since: now,
                ..Doubted::default()
            };
        }
        // It was out with the first.
        if doubted.shut && now < doubted.since + SECOND_LEAST {
            self.quarantine_ready(at, SECOND_THOUGHT, now);
            return false;
        }
        if !doubted.refused.contains(&at) {
            doubted.refused.push(at);
        }
        if doubted.refused.len() < row {
            self.doubt_session(at, now);
            return false;
        }
        if doubted.shut {
            return true;
        }
        *doubted = Doubted {
            since: now,
            shut: true,
            refused: Vec::new(),
        };
        for member in members {
            self.quarantine_ready(*member, SECOND_THOUGHT, now);
            self.roster.refile(*member);
        }
        false
    }

    /// A session was refused that others are not, as far as anybody knows. The second time it is out, alone.
    fn doubt_session(&mut self, at: u32, now: Micros) {
        let id = self.roster.slot(at).proxy.id();
        let first = *self.doubted_sessions.entry(id).or_insert(now);
        match now < first + SECOND_LEAST {
            true => self.quarantine_ready(at, SECOND_THOUGHT, now),
            false => self.retire(at),
        }
    }

    /// The credentials of this lease were accepted.
    pub(super) fn trust_again(&mut self, lease: &Lease) {
        let group = lease.proxy.group();
        let doubted = self.doubted_groups.get(&group);
        if doubted.is_some_and(|doubted| lease.sent > doubted.since) {
            self.doubted_groups.remove(&group);
        }
        if !self.doubted_sessions.is_empty() {
            self.doubted_sessions.remove(&lease.proxy.id());
        }
    }

    /// The credentials were refused: trying them through the next of a provider's ten thousand endpoints would lock the
    /// account, not find a way in.
    fn refuse_group(&mut self, group: CredentialGroup) {
        self.refused_groups.insert(group);
        for at in self.group(group) {
            self.retire(at);
        }
    }
}
