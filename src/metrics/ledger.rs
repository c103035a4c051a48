//! What a run has used of its proxies, and for what.
//!
//! A provider bills what passes through it, so everything on a connection counts, handshakes and refusals included. Useful is
//! what became a good row; the rest is the price of bad proxies, bans and haste, and of finding out who is there.

use crate::proxy::Price;

/// Use of proxies.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Spend {
    /// Requests of which something was sent: of an attempt each redirect hop, of a probe its handshake.
    pub requests: u64,
    /// Bytes on connections to proxies, both ways.
    pub bytes: u64,
    /// Money, in the currency of the prices; proxies without a price cost nothing.
    pub money: f64,
}

impl Spend {
    /// So much use at this price.
    pub fn at(price: Option<Price>, requests: u64, bytes: u64) -> Self {
        Spend {
            requests,
            bytes,
            money: price.map_or(0.0, |price| price.of(requests, bytes)),
        }
    }

    /// Adds other use to it.
    pub fn add(&mut self, other: Spend) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.money += other.money;
    }
}

/// The use of a whole run.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Ledger {
    /// Attempts whose answers became `ok` rows.
    pub useful: Spend,
    /// All other attempts: failed, repeated, or beaten by another one of their job.
    pub retry: Spend,
    /// The probe lane.
    pub probe: Spend,
    /// Some of it had a price.
    pub is_priced: bool,
}

impl Ledger {
    /// All of it.
    pub fn total(&self) -> Spend {
        let mut total = self.useful;
        total.add(self.retry);
        total.add(self.probe);
        total
    }

    /// Money for each of so many good rows; `None` without a price or a row.
    pub fn per_row(&self, ok: u64) -> Option<f64> {
        (self.is_priced && ok > 0).then(|| self.total().money / ok as f64)
    }
}

/// Money as it is written down: a millionth of a millionth is noise of the addition.
pub fn rounded(money: f64) -> f64 {
    (money * 1e12).round() / 1e12
}
