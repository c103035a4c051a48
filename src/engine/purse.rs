//! The caps of a run: how much it may use, and whether the next request still fits.
//!
//! A cap on requests is exact: each takes its place before it is sent, also one that is sent once more because its connection was
//! stale, and gives it back if nothing was sent. What a request will
//! take in bytes and money shows only afterwards, so what is under way is reckoned with at the average so far and two standard
//! deviations of the sum; near the cap fewer and fewer are under way, and the run ends within about one answer of it. Between
//! them and the cap nothing is lost: jobs that were not tried have no row and a later run takes them up.

use std::time::Duration;

use crate::egress::Allowance;
use crate::metrics::{Cap, Spend};
use crate::proxy::Price;

/// What a run may use at most. `None` is without end.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Caps {
    /// Time from the beginning; what is under way then has [`super::Settings::drain_grace`].
    pub deadline: Option<Duration>,
    /// Attempts, redirect hops and probes of which something is sent.
    pub requests: Option<u64>,
    /// Bytes to and from proxies.
    pub bytes: Option<u64>,
    /// Money.
    pub cost: Option<f64>,
}

impl Caps {
    /// True when nothing is capped.
    pub fn is_empty(&self) -> bool {
        *self == Caps::default()
    }
}

/// Bytes reckoned for a request while nothing is known: a large page, so that the first ones are few.
const FIRST_GUESS: f64 = 100_000.0;
/// Standard deviations of the sum of what is under way.
const CAUTION: f64 = 2.0;

/// May the next request be sent?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// What is under way may need it.
    Wait,
    /// Never again in this run.
    None(Cap),
}

/// What is under way, as far as its cost goes.
#[derive(Debug, Default)]
struct UnderWay {
    attempts: u32,
    per_request: f64,
    per_byte: f64,
    /// Sum of the squares.
    per_byte_squared: f64,
}

/// See the module text.
#[derive(Debug)]
pub(super) struct Purse {
    caps: Caps,
    spent: Spend,
    under_way: UnderWay,
    /// Bytes of the attempts so far: how many attempts, their mean, the sum of squares about it.
    seen: u64,
    mean: f64,
    squares: f64,
    /// The cap that ends the run.
    pub(super) reached: Option<Cap>,
}

impl Purse {
    pub(super) fn new(caps: Caps) -> Self {
        Purse {
            caps,
            spent: Spend::default(),
            under_way: UnderWay::default(),
            seen: 0,
            mean: 0.0,
            squares: 0.0,
            reached: None,
        }
    }

    /// True when bytes or money are capped.
    fn reckons(&self) -> bool {
        self.caps.bytes.is_some() || self.caps.cost.is_some()
    }

    /// Whether a request through a proxy of this price fits, beside what is under way.
    pub(super) fn room(&self, allowance: &Allowance, price: Option<Price>) -> Room {
        if allowance.left() == 0 {
            // Some of those under way may send nothing.
            return if self
                .caps
                .requests
                .is_some_and(|most| self.spent.requests >= most)
            {
                Room::None(Cap::Requests)
            } else {
                Room::Wait
            };
        }
        if !self.reckons() {
            return Room::Free;
        }
        let alone = self.under_way.attempts == 0;
        let (expected, spread) = self.expected();
        // A first request is always sent: else nobody would ever know what one takes.
        let least = if self.seen == 0 { 0.0 } else { self.mean };
        let (price, way) = (price.unwrap_or_default(), &self.under_way);
        let at = |bytes: f64| price.per_request + price.per_byte * bytes;
        if let Some(most) = self.caps.bytes {
            let many = f64::from(way.attempts);
            let reserved = many * expected + CAUTION * many.sqrt() * spread;
            let (spent, most) = (self.spent.bytes as f64, most as f64);
            if spent >= most || spent + least > most {
                return Room::None(Cap::Bytes);
            }
            if !alone && spent + reserved + expected > most {
                return Room::Wait;
            }
        }
        if let Some(most) = self.caps.cost {
            let reserved = way.per_request
                + way.per_byte * expected
                + CAUTION * way.per_byte_squared.max(0.0).sqrt() * spread;
            let spent = self.spent.money;
            if spent >= most || spent + at(least) > most {
                return Room::None(Cap::Cost);
            }
            if !alone && spent + reserved + at(expected) > most {
                return Room::Wait;
            }
        }
        Room::Free
    }

    /// Bytes of an attempt, and how far they are from it: a guess that counts as one attempt, and what was seen.
    fn expected(&self) -> (f64, f64) {
        let seen = self.seen as f64;
        let mean = (FIRST_GUESS + self.mean * seen) / (1.0 + seen);
        let variance = (mean * mean + self.squares) / (1.0 + seen);
        (mean, variance.sqrt())
    }

    /// An attempt leaves.
    pub(super) fn left(&mut self, price: Option<Price>) {
        self.under_way.add(price.unwrap_or_default(), 1.0);
        self.under_way.attempts += 1;
    }

    /// An attempt is back, and has used so much.
    pub(super) fn landed(&mut self, price: Option<Price>, used: Spend) {
        let way = &mut self.under_way;
        way.attempts = way.attempts.saturating_sub(1);
        if way.attempts == 0 {
            // What rounding has left.
            *way = UnderWay::default();
        } else {
            way.add(price.unwrap_or_default(), -1.0);
        }
        self.seen += 1;
        let off = used.bytes as f64 - self.mean;
        self.mean += off / self.seen as f64;
        self.squares += off * (used.bytes as f64 - self.mean);
        self.spent.add(used);
    }

    /// A probe is back.
    pub(super) fn probed(&mut self, used: Spend) {
        self.spent.add(used);
    }

    /// True when so many probes under way leave enough for requests.
    pub(super) fn admits_probe(&self, allowance: &Allowance, probing: usize) -> bool {
        let left = allowance.left();
        let over = |spent: f64, most: Option<f64>| most.is_some_and(|most| spent >= most);
        left > 0
            && (probing as u64) < (left / 2).max(1)
            && !over(self.spent.money, self.caps.cost)
            && !over(
                self.spent.bytes as f64,
                self.caps.bytes.map(|most| most as f64),
            )
    }
}

impl UnderWay {
    fn add(&mut self, price: Price, sign: f64) {
        self.per_request += sign * price.per_request;
        self.per_byte += sign * price.per_byte;
        self.per_byte_squared += sign * price.per_byte * price.per_byte;
    }
}
