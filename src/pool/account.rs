//! Accounts: credentials that nobody has accepted yet are tried by a few requests at a time.
//!
//! A provider sells thousands of sessions under one password. All of them are unknown when a run starts, and without this
//! a wrong password would be tried through every session that fits into the probe lane before the first refusal is read,
//! which is how accounts get locked. Once one member of the account has been let in, nothing is held back any more.

use std::collections::HashMap;

use super::hash::Mixing;
use super::slot::NONE;
use crate::proxy::Proxy;

/// Requests and probes at a time under credentials that nobody has accepted yet.
const TRIALS: u32 = 3;
/// Refusals after which an account that nobody ever accepted is not tried through its other users either.
const REFUSALS: u8 = 3;

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
        self.all
            .get(number as usize)
            .is_none_or(|account| account.accepted || account.in_flight < TRIALS)
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
