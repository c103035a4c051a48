//! Quantiles of the last few hundred samples, and the connect timeout that follows from them.
//!
//! The timeout adapts because no constant fits: 10 s makes a list that is mostly black holes take twice as long, and 1 s
//! loses a working proxy on another continent. Unknown proxies get a shorter first try than the rest: most of them are
//! dead, and one that is merely slow to connect is tried again with the longer limit.

use std::time::Duration;

/// Samples kept. Enough for a p99, few enough to follow a change within a minute.
const KEPT: usize = 256;

/// The last samples, in the order they came and in order of size.
///
/// Both are kept for every sample: finding two places among 256 and moving what lies between them is less work than the
/// sixteenth part of a sort, and a quantile is one load.
#[derive(Debug, Default)]
pub(super) struct Recent {
    ring: Vec<f32>,
    /// Where in the ring the oldest sample is, once it is full.
    next: usize,
    sorted: Vec<f32>,
}

impl Recent {
    /// Adds one, which is a number, and drops the oldest when there are too many.
    pub(super) fn push(&mut self, sample: f32) {
        let to = self.rank(sample);
        if self.ring.len() < KEPT {
            self.ring.push(sample);
            self.sorted.insert(to, sample);
            return;
        }
        let oldest = std::mem::replace(&mut self.ring[self.next], sample);
        self.next = (self.next + 1) % KEPT;
        let from = self.rank(oldest);
        if from < to {
            self.sorted.copy_within(from + 1..to, from);
            self.sorted[to - 1] = sample;
        } else {
            self.sorted.copy_within(to..from, to + 1);
            self.sorted[to] = sample;
        }
    }

    /// Samples below this one.
    fn rank(&self, sample: f32) -> usize {
        self.sorted.partition_point(|known| *known < sample)
    }

    /// Samples held, at most [`KEPT`].
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    /// The middle one, the upper of two.
    pub(super) fn median(&self) -> Option<f32> {
        self.sorted.get(self.sorted.len() / 2).copied()
    }

    /// The `q`-quantile, 0..=1; `None` without samples.
    pub(super) fn quantile(&self, q: f32) -> Option<f32> {
        let last = self.sorted.len().checked_sub(1)?;
        self.sorted.get((last as f32 * q + 0.5) as usize).copied()
    }
}

/// Which connect is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The first try of a proxy that nothing is known about.
    FirstTry,
    /// Any other.
    Later,
}

/// The adaptive connect timeout.
#[derive(Debug)]
pub(super) struct ConnectTimeout {
    times: Recent,
    ceiling: Duration,
    fixed: bool,
    /// What follows from `times`, so that a lease need not work it out: connects are fewer than requests.
    first_try: Duration,
    later: Duration,
}

/// Connects before the observed distribution is believed.
const ENOUGH: usize = 20;
/// Until then: long enough for a bad path, short enough to get through a dead list.
const UNINFORMED: f32 = 4.0;
/// A lost SYN is sent again after 1 s, so anything below 1.5 s would call packet loss a dead proxy.
const FLOOR: f32 = 1.5;
/// No working proxy was seen to need more.
const CEILING: f32 = 10.0;
/// First tries may be shorter: they are repeated.
const FIRST_TRY_FLOOR: f32 = 0.5;

impl ConnectTimeout {
    /// `ceiling` is the user's own limit; nothing longer is ever used.
    pub(super) fn new(ceiling: Duration) -> Self {
        let uninformed = Duration::from_secs_f32(UNINFORMED).min(ceiling);
        ConnectTimeout {
            times: Recent::default(),
            ceiling,
            fixed: false,
            first_try: uninformed,
            later: uninformed,
        }
    }

    /// From now on it is the user's own limit.
    pub(super) fn fix(&mut self) {
        self.fixed = true;
        self.first_try = self.ceiling;
        self.later = self.ceiling;
    }

    /// Learns from one successful connect.
    pub(super) fn learn(&mut self, took: Duration) {
        self.times.push(took.as_secs_f32());
        if self.fixed || self.times.len() < ENOUGH {
            return;
        }
        if let (Some(p95), Some(p99)) = (self.times.quantile(0.95), self.times.quantile(0.99)) {
            let later = (2.0 * p99).clamp(FLOOR, CEILING);
            let first_try = (1.5 * p95).max(FIRST_TRY_FLOOR).min(later);
            self.later = Duration::from_secs_f32(later).min(self.ceiling);
            self.first_try = Duration::from_secs_f32(first_try).min(self.ceiling);
        }
    }

    pub(super) fn at(&self, stage: Stage) -> Duration {
        match stage {
            Stage::FirstTry => self.first_try,
            Stage::Later => self.later,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_CEILING: Duration = Duration::from_secs(60);

    #[test]
    fn quantiles_follow_the_last_samples_only() {
        let mut recent = Recent::default();
        assert_eq!((recent.median(), recent.quantile(0.5)), (None, None));
        (0..1000).for_each(|_| recent.push(100.0));
        (0..KEPT).for_each(|n| recent.push(n as f32));
        let median = recent.quantile(0.5).unwrap();
        assert!((median - 128.0).abs() <= 8.0, "{median}");
    }

    #[test]
    fn quantiles_are_those_of_a_sorted_copy() {
        let mut recent = Recent::default();
        let mut all = Vec::new();
        for n in 0..2000u32 {
            // Seven bits of a multiplicative hash: every value occurs twice on average, in no order.
            let sample = (n.wrapping_mul(2_654_435_761) >> 25) as f32;
            recent.push(sample);
            all.push(sample);
            let mut last = all[all.len().saturating_sub(KEPT)..].to_vec();
            last.sort_unstable_by(f32::total_cmp);
            assert_eq!(recent.sorted, last, "after {n}");
        }
        assert_eq!(recent.median(), Some(recent.sorted[128]));
        assert_eq!(recent.median(), recent.quantile(0.5));
        assert_eq!(recent.quantile(1.0), recent.sorted.last().copied());
    }

    #[test]
    fn timeout_is_staged_adapts_and_obeys_the_user() {
        let mut timeout = ConnectTimeout::new(NO_CEILING);
        assert_eq!(timeout.at(Stage::FirstTry), Duration::from_secs(4));
        (0..100).for_each(|_| timeout.learn(Duration::from_millis(100)));
        assert_eq!(timeout.at(Stage::FirstTry), Duration::from_millis(500));
        assert_eq!(timeout.at(Stage::Later), Duration::from_millis(1500));
        (0..KEPT).for_each(|_| timeout.learn(Duration::from_secs(3)));
        assert_eq!(timeout.at(Stage::FirstTry), Duration::from_millis(4500));
        assert_eq!(timeout.at(Stage::Later), Duration::from_secs(6));
        (0..KEPT).for_each(|_| timeout.learn(Duration::from_secs(30)));
        assert_eq!(timeout.at(Stage::Later), Duration::from_secs(10));

        let mut hurried = ConnectTimeout::new(Duration::from_millis(300));
        assert_eq!(hurried.at(Stage::Later), Duration::from_millis(300));
        (0..100).for_each(|_| hurried.learn(Duration::from_millis(100)));
        assert_eq!(hurried.at(Stage::FirstTry), Duration::from_millis(300));
    }
}
