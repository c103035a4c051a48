//! Does a host limit each exit, or all of us together?
//!
//! A host that counts exits refuses those that have asked much. When exits are refused that were served a moment ago and have
//! asked little, the count that matters is not theirs. Bans of pairs would then take one proxy after the other away from a host
//! that would refuse a single one just as often.

use std::collections::VecDeque;

use super::super::clock::{Micros, SECOND};

/// How far back the evidence goes.
const MEMORY: u64 = 10;
/// Distinct proxies that have to be refused, or all of a small pool, if it is not too small to tell.
const DISTINCT: usize = 5;
const DISTINCT_LEAST: usize = 3;
/// Refusals remembered.
const MOST: usize = 64;
/// Refusals among so many answers to pairs that have asked little, at least.
const SHARE: f32 = 0.05;
/// The seconds over which the rate of success is measured.
const PACE: u64 = 5;

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Wide {
    /// Refused although they had asked little: when, and which slot.
    refused: VecDeque<(Micros, u32)>,
    /// Served pairs that had asked little.
    served_low: Seconds,
    served: Seconds,
}

impl Wide {
    pub(super) fn served(&mut self, low: bool, now: Micros) {
        self.served.count(now);
        if low {
            self.served_low.count(now);
        }
    }

    /// A pair that had asked little, and was served within the last minute, was refused; `live` proxies could be. True when the
    /// host is shown to limit all of them together.
    pub(super) fn refused(&mut self, slot: u32, live: usize, now: Micros) -> bool {
        let begin = now.saturating_sub(MEMORY * SECOND);
        while let Some((at, _)) = self.refused.front()
            && (*at < begin || self.refused.len() >= MOST)
        {
            self.refused.pop_front();
        }
        self.refused.push_back((now, slot));
        let mut distinct: Vec<u32> = self.refused.iter().map(|(_, slot)| *slot).collect();
        let refused = distinct.len() as f32;
        distinct.sort_unstable();
        distinct.dedup();
        let answers = refused + self.served_low.last(MEMORY, now) as f32;
        distinct.len() >= DISTINCT.min(live).max(DISTINCT_LEAST) && refused >= SHARE * answers
    }

    /// Successes per second lately.
    pub(super) fn goodput(&self, now: Micros) -> f32 {
        let span = (PACE * SECOND + now % SECOND).min(now).max(SECOND);
        self.served.last(PACE, now) as f32 * SECOND as f32 / span as f32
    }
}

/// Events in each of the last seconds.
#[derive(Debug, Default)]
struct Seconds {
    counts: [u32; MEMORY as usize + 1],
    running: u64,
}

impl Seconds {
    fn count(&mut self, now: Micros) {
        let second = now / SECOND;
        let len = self.counts.len() as u64;
        for passed in 0..second.saturating_sub(self.running).min(len) {
            self.counts[((second - passed) % len) as usize] = 0;
        }
        self.running = second.max(self.running);
        self.counts[(self.running % len) as usize] += 1;
    }

    /// Events in the running second and the `seconds` before it.
    fn last(&self, seconds: u64, now: Micros) -> u32 {
        let (second, len) = (now / SECOND, self.counts.len() as u64);
        let oldest = second.saturating_sub(seconds);
        let from = oldest.max((self.running + 1).saturating_sub(len));
        (from..=self.running)
            .map(|second| self.counts[(second % len) as usize])
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_proxies_refused_early_show_a_common_limit_unless_many_more_are_served_as_early() {
        for (served, expected) in [(0, true), (80, true), (200, false)] {
            let mut wide = Wide::default();
            for n in 0..served {
                wide.served(true, SECOND + n);
            }
            let shown: Vec<bool> = (0..5)
                .map(|slot| wide.refused(slot, 100, 2 * SECOND))
                .collect();
            assert_eq!(shown, [false, false, false, false, expected], "{served}");
        }
    }

    #[test]
    fn one_proxy_refused_again_and_again_shows_nothing_in_a_large_pool() {
        let mut wide = Wide::default();
        assert!((0..50).all(|n| !wide.refused(7, 100, n * SECOND / 10)));
        let mut wide = Wide::default();
        let shown: Vec<bool> = (0..3).map(|slot| wide.refused(slot, 3, 0)).collect();
        assert_eq!(shown, [false, false, true], "they are all of the pool");
    }

    #[test]
    fn goodput_is_that_of_the_last_seconds() {
        let mut wide = Wide::default();
        for n in 0..400 {
            wide.served(false, n * SECOND / 40);
            let goodput = wide.goodput(n * SECOND / 40);
            assert!(n < 60 || (goodput - 40.0).abs() < 2.0, "{goodput} at {n}");
        }
        assert!(wide.goodput(30 * SECOND) < f32::EPSILON);
    }
}
