//! Does a host limit each exit, or all of us together?
//!
//! A host that counts exits refuses those that have asked much. When exits are refused that were served a moment ago and have
//! asked little, the count that matters is not theirs. Bans of pairs would then take one proxy after the other away from a host
//! that would refuse a single one just as often.

use std::collections::VecDeque;

use super::super::clock::{Micros, SECOND};
use super::Kind;
use super::window::Vector;

/// How far back the evidence goes, seconds. Pairs that take turns are served alike, and it takes them as long to show that they
/// bear twice of what they were refused for.
const MEMORY: u64 = 60;
/// Distinct proxies that have to be refused, or all of a small pool, if it is not too small to tell.
const DISTINCT: usize = 5;
const DISTINCT_LEAST: usize = 3;
/// Refusals remembered.
const MOST: usize = 512;
/// Answers to requests that are remembered with what their pairs had asked, evenly over that time.
const SAMPLES: usize = 64;
/// So few tell nothing.
const FEW: usize = 8;
/// What the refusals of a host follow is told by so many answers to pairs that were refused before, and to others.
const TOLD: u16 = 8;
const TOLD_OTHERS: u16 = 24;
/// The share of refusals among the former, and among the latter beside what it was.
const STILL_REFUSED: f32 = 0.8;
const NOT_LESS: f32 = 0.5;
/// Refusals among so many answers to pairs that have asked little, at least.
const SHARE: f32 = 0.05;
/// And so many standard deviations more: a host that bans one in fifty for reasons of its own bans five in a hundred at times.
const SURELY: f32 = 2.0;
/// The seconds over which the rate of success is measured.
const PACE: u64 = 5;

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Wide {
    /// Refused although they had been served a moment ago.
    refused: VecDeque<Refused>,
    /// Served lately.
    served: Seconds<{ MEMORY as usize + 1 }>,
    /// Every so many of them, with their uses: what is little is known only when somebody is refused.
    samples: VecDeque<(Micros, Vector)>,
    every: u32,
    skipped: u32,
}

#[derive(Debug)]
struct Refused {
    at: Micros,
    slot: u32,
    kind: Kind,
    /// Uses, this one included.
    counts: Vector,
}

impl Wide {
    /// A pair was served with these uses.
    pub(super) fn served(&mut self, counts: Vector, now: Micros) {
        self.served.count(now);
        self.forget(now);
        self.skipped += 1;
        if self.skipped < self.every {
            return;
        }
        self.skipped = 0;
        if self.samples.len() >= SAMPLES {
            let mut odd = false;
            self.samples.retain(|_| {
                odd = !odd;
                odd
            });
            self.every = 2 * self.every.max(1);
        }
        self.samples.push_back((now, counts));
    }

    /// Forgets samples that are too old, and takes more of them when few are left.
    fn forget(&mut self, now: Micros) {
        let begin = now.saturating_sub(MEMORY * SECOND);
        let before = self.samples.len();
        while self.samples.front().is_some_and(|(at, _)| *at < begin) {
            self.samples.pop_front();
        }
        if self.samples.len() < before && self.samples.len() < SAMPLES / 4 {
            self.every /= 2;
        }
    }

    /// Answers of the last minute to pairs that had asked little, by what `is_low` says now.
    fn served_low(&mut self, is_low: impl Fn(Vector) -> bool, now: Micros) -> f32 {
        self.forget(now);
        if self.samples.len() < FEW {
            // Too few to tell how many were low.
            return self.served.last(MEMORY, now) as f32;
        }
        let low = self.samples.iter().filter(|(_, counts)| is_low(*counts));
        let share = low.count() as f32 / self.samples.len() as f32;
        share * self.served.last(MEMORY, now) as f32
    }

    /// A pair that was served within the last minute was refused with these uses.
    pub(super) fn refused(&mut self, slot: u32, kind: Kind, counts: Vector, at: Micros) {
        if self.refused.len() >= MOST {
            self.refused.pop_front();
        }
        self.refused.push_back(Refused {
            at,
            slot,
            kind,
            counts,
        });
    }

    /// True when the host is shown to limit all pairs together in this way: too many were refused although they had asked little, by what
    /// `is_low` says now. `live` proxies could be refused.
    pub(super) fn is_shown(
        &mut self,
        kind: Kind,
        is_low: impl Fn(Vector) -> bool + Copy,
        live: usize,
        now: Micros,
    ) -> bool {
        let begin = now.saturating_sub(MEMORY * SECOND);
        while self.refused.front().is_some_and(|first| first.at < begin) {
            self.refused.pop_front();
        }
        let alike = self.refused.iter().filter(|one| one.kind == kind);
        let low = alike.filter(|one| is_low(one.counts));
        let mut distinct: Vec<u32> = low.map(|one| one.slot).collect();
        let refused = distinct.len() as f32;
        distinct.sort_unstable();
        distinct.dedup();
        let answers = refused + self.served_low(is_low, now);
        let by_chance = SHARE * answers;
        let least = by_chance + SURELY * by_chance.sqrt();
        distinct.len() >= DISTINCT.min(live).max(DISTINCT_LEAST) && refused >= least
    }

    /// Share of those that had asked little which was refused, with the last refusal.
    pub(super) fn share(&mut self, is_low: impl Fn(Vector) -> bool + Copy, now: Micros) -> f32 {
        let refused = self.refused.iter().filter(|one| is_low(one.counts)).count() as f32;
        refused / (refused + self.served_low(is_low, now)).max(1.0)
    }

    /// Successes per second lately.
    pub(super) fn goodput(&self, now: Micros) -> f32 {
        let span = (PACE * SECOND + now % SECOND).min(now).max(SECOND);
        self.served.last(PACE, now) as f32 * SECOND as f32 / span as f32
    }
}

/// Whether the refusals of a host follow the pairs.
///
/// They do when pairs that were refused are refused again although others were served meanwhile, and when of the others as many are
/// refused as before, although the host is asked less: then it bans exits, each for reasons of its own.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// Share of the others that was refused before the host was asked less.
    at_first: f32,
    /// Of pairs that had been refused before.
    before: Share,
    /// Of the others.
    others: Share,
}

#[derive(Debug, Default)]
struct Share {
    refused: u16,
    served: u16,
}

impl Followed {
    pub(super) fn new(at_first: f32) -> Self {
        Followed {
            at_first,
            ..Followed::default()
        }
    }

    /// A pair was refused or served, which was refused or served the last time.
    pub(super) fn note(&mut self, refused_before: bool, refused: bool) {
        let share = match refused_before {
            true => &mut self.before,
            false => &mut self.others,
        };
        match refused {
            true => share.refused += 1,
            false => share.served += 1,
        }
        if share.all() >= 20 * TOLD {
            share.refused /= 2;
            share.served /= 2;
        }
    }

    /// True when the refusals follow the pairs.
    pub(super) fn is_shown(&self) -> bool {
        let (before, others) = (&self.before, &self.others);
        before.all() >= TOLD
            && others.all() >= TOLD_OTHERS
            && before.refused() >= STILL_REFUSED
            && others.refused() >= NOT_LESS * self.at_first
    }
}

impl Share {
    fn all(&self) -> u16 {
        self.refused + self.served
    }

    fn refused(&self) -> f32 {
        f32::from(self.refused) / f32::from(self.all().max(1))
    }
}

/// Events in each of the last seconds, as far as can be counted.
#[derive(Debug)]
struct Seconds<const KEPT: usize> {
    counts: [u16; KEPT],
    running: u64,
}

impl<const KEPT: usize> Default for Seconds<KEPT> {
    fn default() -> Self {
        Seconds {
            counts: [0; KEPT],
            running: 0,
        }
    }
}

impl<const KEPT: usize> Seconds<KEPT> {
    fn count(&mut self, now: Micros) {
        let second = now / SECOND;
        let len = self.counts.len() as u64;
        for passed in 0..second.saturating_sub(self.running).min(len) {
            self.counts[((second - passed) % len) as usize] = 0;
        }
        self.running = second.max(self.running);
        let count = &mut self.counts[(self.running % len) as usize];
        *count = count.saturating_add(1);
    }

    /// Events in the running second and the `seconds` before it.
    fn last(&self, seconds: u64, now: Micros) -> u32 {
        let (second, len) = (now / SECOND, self.counts.len() as u64);
        let oldest = second.saturating_sub(seconds);
        let from = oldest.max((self.running + 1).saturating_sub(len));
        (from..=self.running)
            .map(|second| u32::from(self.counts[(second % len) as usize]))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::WINDOWS;
    use super::*;

    /// What is shown after each refusal.
    fn refuse(
        wide: &mut Wide,
        slots: impl IntoIterator<Item = u32>,
        live: usize,
        now: Micros,
    ) -> Vec<bool> {
        let refuse = |slot| {
            wide.refused(slot, Kind::Rate, [1; WINDOWS], now);
            assert!(!wide.is_shown(Kind::Other, |_| true, live, now));
            wide.is_shown(Kind::Rate, |_| true, live, now)
        };
        slots.into_iter().map(refuse).collect()
    }

    #[test]
    fn five_proxies_refused_early_show_a_common_limit_unless_many_more_are_served_as_early() {
        for (served, expected) in [(0, true), (20, true), (80, false), (200, false)] {
            let mut wide = Wide::default();
            for n in 0..served {
                wide.served([1; WINDOWS], SECOND + n);
            }
            let shown = refuse(&mut wide, 0..5, 100, 2 * SECOND);
            assert_eq!(shown, [false, false, false, false, expected], "{served}");
        }
    }

    #[test]
    fn one_proxy_refused_again_and_again_shows_nothing_in_a_large_pool() {
        let mut wide = Wide::default();
        let shown = refuse(&mut wide, [7; 50], 100, SECOND);
        assert!(!shown.contains(&true));
        let mut wide = Wide::default();
        let shown = refuse(&mut wide, 0..3, 3, 0);
        assert_eq!(shown, [false, false, true], "they are all of the pool");
    }

    #[test]
    fn what_was_much_when_it_was_refused_is_little_when_others_have_borne_more() {
        let mut wide = Wide::default();
        (0..10).for_each(|slot| wide.refused(slot, Kind::Other, [3; WINDOWS], SECOND));
        for (second, most, expected) in [(2, 3, false), (30, 6, true), (62, 6, false)] {
            let is_low = |counts: Vector| 2 * counts[1] <= most;
            let shown = wide.is_shown(Kind::Other, is_low, 100, second * SECOND);
            assert_eq!(shown, expected, "{second}");
        }
    }

    #[test]
    fn refusals_follow_the_pairs_when_slowing_down_has_changed_nothing() {
        // Share of the others that is refused, of those that were refused before, and what it was at first.
        for (others, before, at_first, expected) in [
            (10, 90, 0.1, true),
            // Fewer than at first: it is the rate.
            (10, 90, 0.4, false),
            // Who was refused is served: likewise.
            (10, 20, 0.1, false),
        ] {
            let mut followed = Followed::new(at_first);
            for n in 0..100 {
                assert!(n >= TOLD || !followed.is_shown(), "{n} answers");
                followed.note(false, n * 37 % 100 < others);
                followed.note(true, n * 37 % 100 < before);
            }
            assert_eq!(
                followed.is_shown(),
                expected,
                "{others} {before} {at_first}"
            );
        }
    }

    #[test]
    fn goodput_is_that_of_the_last_seconds() {
        let mut wide = Wide::default();
        for n in 0..400 {
            wide.served([9; WINDOWS], n * SECOND / 40);
            let goodput = wide.goodput(n * SECOND / 40);
            assert!(n < 60 || (goodput - 40.0).abs() < 2.0, "{goodput} at {n}");
        }
        assert!(wide.goodput(30 * SECOND) < f32::EPSILON);
    }
}
