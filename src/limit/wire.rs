//! The last word before a request is written: have too many been written within the last second?
//!
//! The cells charge a request when it is dispatched. If its connection has to be opened first, it is written later than that, by
//! tens of milliseconds or by seconds, and a slow one followed by quick ones would arrive bunched. So requests are counted once
//! more at the moment they are written, in windows of a second. The cells hand requests out a little more slowly than this lets
//! them pass: while connections are quick it never makes anyone wait, and behind a bunch the wait is short.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Quota;

/// The window is longer than it says by this much, because the network moves requests by some milliseconds against each other.
/// Less than the headroom of the cells.
const HEADROOM: f64 = 1.025;

/// Requests remembered at most; beyond so many a second the window is shorter accordingly.
const MOST: usize = 1000;

/// When the last requests under one quota were written.
#[derive(Debug, Default)]
pub(super) struct Wire {
    written: VecDeque<Instant>,
}

impl Wire {
    /// When the next request may be written; `None` for now.
    pub(super) fn ready_at(&self, quota: Quota) -> Option<Instant> {
        let (most, window) = bound(quota);
        let oldest = self.written.len().checked_sub(most)?;
        self.written.get(oldest).map(|at| *at + window)
    }

    /// Takes note of a request written at `now`.
    pub(super) fn note(&mut self, quota: Quota, now: Instant) {
        let (most, _) = bound(quota);
        while self.written.len() >= most {
            self.written.pop_front();
        }
        self.written.push_back(now);
    }

    /// True when it says nothing any more and may be forgotten.
    pub(super) fn is_idle(&self, quota: Option<Quota>, now: Instant) -> bool {
        let last = self.written.back();
        quota.is_none_or(|quota| last.is_none_or(|last| *last + bound(quota).1 <= now))
    }
}

/// How many requests may be written within how long: as many as a second holds, and one in its interval at slower rates.
fn bound(quota: Quota) -> (usize, Duration) {
    let interval = quota.interval();
    let each = interval.as_secs_f64().max(1e-9);
    // Half a millionth above, so that ten times 100 ms are a second.
    let most = ((1.0 + 5e-7) / each) as usize;
    let most = most.clamp(1, MOST);
    let window = interval.mul_f64(most as f64 * HEADROOM);
    (most, window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_what_the_rate_says() {
        for (text, most, seconds) in [
            ("50/s", 50, 1.0),
            ("600/m", 10, 1.0),
            ("1/s", 1, 1.0),
            ("2/5s", 1, 2.5),
            ("90/m", 1, 2.0 / 3.0),
            ("4000/s", 1000, 0.25),
        ] {
            let (count, window) = bound(text.parse().unwrap());
            assert_eq!(count, most, "{text}");
            assert!(
                (window.as_secs_f64() / HEADROOM - seconds).abs() < 1e-6,
                "{text}: {window:?}"
            );
        }
    }
}
