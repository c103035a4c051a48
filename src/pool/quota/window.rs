//! How often a pair was used in the last ten seconds, minute, ten minutes and hour.
//!
//! Sixteen parts of a fifteenth of the window each: the running part and fifteen whole ones. So a count is never too low, and
//! too high by a fifteenth at most. With parts of a sixteenth the running part would be missing at the other end, and a limit
//! learned from such counts is above the host's.

use std::time::Duration;

use super::super::clock::{Micros, SECOND, micros};

/// Windows that are tried as the host's.
pub(super) const WINDOWS: usize = 4;
/// Their lengths.
const LENGTHS: [Micros; WINDOWS] = [10 * SECOND, 60 * SECOND, 600 * SECOND, 3600 * SECOND];
/// The window of this length, if there is one.
pub(super) fn of_length(length: Duration) -> Option<usize> {
    LENGTHS.iter().position(|known| *known == micros(length))
}

/// How long a window is.
pub(super) fn length(window: usize) -> Duration {
    Duration::from_micros(LENGTHS[window])
}

/// The longest of them.
pub(super) const LONGEST: Micros = LENGTHS[WINDOWS - 1];
/// The window of a minute.
pub(super) const MINUTE: usize = 1;
const PARTS: u32 = 16;

/// A count for each window.
pub(in crate::pool) type Vector = [u16; WINDOWS];

/// The counts of one pair.
#[derive(Debug, Clone, Default)]
pub(super) struct Windows {
    /// Number of the running part of each window.
    running: [u32; WINDOWS],
    /// What the parts of a window add up to.
    sums: Vector,
    parts: [[u16; PARTS as usize]; WINDOWS],
}

fn part(window: usize, now: Micros) -> u32 {
    (now * u64::from(PARTS - 1) / LENGTHS[window]) as u32
}

impl Windows {
    /// Reads a little of every part of it; see where it is used.
    pub(super) fn look(&self) -> u16 {
        self.parts.iter().fold(0, |all, parts| all ^ parts[0])
    }

    /// Counts one more use, as far as can be counted.
    pub(super) fn note(&mut self, now: Micros) {
        for window in 0..WINDOWS {
            let (parts, running) = (&mut self.parts[window], &mut self.running[window]);
            let sum = &mut self.sums[window];
            let at = part(window, now);
            for passed in 0..at.saturating_sub(*running).min(PARTS) {
                *sum -= std::mem::take(&mut parts[((at - passed) % PARTS) as usize]);
            }
            *running = at.max(*running);
            if *sum < u16::MAX {
                *sum += 1;
                parts[(*running % PARTS) as usize] += 1;
            }
        }
    }

    /// Counts one more use, and gives the counts with it.
    pub(super) fn count(&mut self, now: Micros) -> Vector {
        self.note(now);
        self.sums
    }

    /// Uses that are surely within `window` as of the last one: without its oldest part, which may be over.
    pub(super) fn surely(&self, window: usize) -> u16 {
        let oldest = (self.running[window] + 1) % PARTS;
        self.sums[window] - self.parts[window][oldest as usize]
    }

    /// All counts as of `at`: as far as is still known, if that is past.
    pub(super) fn as_of(&self, at: Micros) -> Vector {
        std::array::from_fn(|window| self.used(window, at))
    }

    /// Uses within `window` as of `now`.
    pub(super) fn used(&self, window: usize, now: Micros) -> u16 {
        let at = part(window, now);
        // Mostly it is asked soon after it was used.
        if at == self.running[window] {
            return self.sums[window];
        }
        self.kept(window, at).map(|(_, count)| count).sum()
    }

    /// The earliest moment, `now` or later, at which fewer than `limit` uses are within `window`.
    pub(super) fn free_at(&self, window: usize, limit: u16, now: Micros) -> Micros {
        let mut left = self.used(window, now);
        if left < limit {
            return now;
        }
        for (number, count) in self.kept(window, part(window, now)) {
            left -= count.min(left);
            if left < limit {
                let leaves = u64::from(number + PARTS) * LENGTHS[window];
                return leaves.div_ceil(u64::from(PARTS - 1)).max(now);
            }
        }
        now + LENGTHS[window]
    }

    /// The parts that are still within the window when part `at` runs, oldest first.
    fn kept(&self, window: usize, at: u32) -> impl Iterator<Item = (u32, u16)> + '_ {
        let running = self.running[window];
        let oldest = (at + 1)
            .saturating_sub(PARTS)
            .max((running + 1).saturating_sub(PARTS));
        (oldest..=running.min(at))
            .map(move |number| (number, self.parts[window][(number % PARTS) as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_count_is_never_too_low_and_at_most_a_fifteenth_of_the_window_too_late(
            gaps in proptest::collection::vec(0u64..200 * SECOND, 1..200),
            limit in 1u16..50,
        ) {
            let (mut windows, mut now, mut times) = (Windows::default(), 0, Vec::new());
            for gap in gaps {
                now += gap;
                times.push(now);
                let counts = windows.count(now);
                for window in 0..WINDOWS {
                    let within = |length: Micros| {
                        times.iter().filter(|at| **at + length > now).count() as u16
                    };
                    let length = LENGTHS[window];
                    prop_assert!(counts[window] >= within(length));
                    prop_assert!(counts[window] <= within(length + length / 15 + 1));
                    prop_assert_eq!(windows.used(window, now), counts[window]);
                    prop_assert!(windows.surely(window) <= within(length));
                    prop_assert!(windows.surely(window) >= within(length - length / 15 - 1));
                    let free = windows.free_at(window, limit, now);
                    prop_assert!(windows.used(window, free) < limit);
                    prop_assert!(free == now || windows.used(window, free - 1) >= limit);
                    prop_assert!(free <= now + length + length / 15);
                }
            }
        }
    }
}
