//! One GCRA cell: requests spaced at a fixed interval, asked first and charged later.
//!
//! Four of these stand in every request's way, and a request may only go when all four agree. So a cell is asked
//! ([`Cell::ready_at`]) and charged ([`Cell::charge`]) in two steps: a refusal by one limit costs the other three nothing.
//! governor, the usual crate, has neither a peek nor a refund, which is why these few lines are our own.

use std::time::{Duration, Instant};

/// How late a request may be and still keep the rhythm. Timers fire up to a few milliseconds late, on a busy machine more;
/// without this every delay would be lost for good and a rate of 50/s would end up at 47/s. Below the headroom of a second, so
/// that what is caught up does not exceed the rate.
const LATENESS: Duration = Duration::from_millis(25);

/// The interval is stretched by this much, so that no window of one second at the *receiver* holds more than the rate,
/// although network and timers move requests by some milliseconds against each other.
const HEADROOM: f64 = 1.035;

/// Theoretical arrival time of the next request; `None` before the first.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cell {
    next: Option<Instant>,
}

impl Cell {
    /// When the next request may go.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        self.next
    }

    /// Takes a request at `now`; the following one may go an interval later.
    pub(super) fn charge(&mut self, now: Instant, interval: Duration) {
        let earliest = now.checked_sub(LATENESS).unwrap_or(now);
        let start = self.next.map_or(now, |next| next.max(earliest));
        self.next = Some(start + interval.mul_f64(HEADROOM));
    }

    /// True when the cell says nothing any more and may be forgotten.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next + LATENESS < now)
    }
}
