//! Numbers out of a few samples.

use std::time::Duration;

use serde::Serialize;

/// Median and 95th percentile of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Half of the samples took no longer.
    pub p50: Duration,
    /// 19 of 20 took no longer; of a few samples this is the longest.
    pub p95: Duration,
}

impl Spread {
    /// `None` without samples.
    pub(super) fn of(samples: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<_> = samples.into_iter().collect();
        sorted.sort_unstable();
        let rank = |percent: usize| (sorted.len() * percent).div_ceil(100).max(1) - 1;
        Some(Spread {
            p50: *sorted.get(rank(50))?,
            p95: *sorted.get(rank(95))?,
        })
    }
}

impl Serialize for Spread {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        [("p50", ms(self.p50)), ("p95", ms(self.p95))]
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>()
            .serialize(serializer)
    }
}

/// The Wilson score interval for `ok` of `all`, at 95 %: between which bounds the true share lies.
/// Wilson, JASA 22 (1927), 209-212.
pub fn wilson(ok: u32, all: u32) -> Option<(f64, f64)> {
    const Z: f64 = 1.96;
    if all == 0 {
        return None;
    }
    let (n, p) = (f64::from(all), f64::from(ok) / f64::from(all));
    let middle = p + Z * Z / (2.0 * n);
    let reach = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    Some((
        ((middle - reach) / scale).max(0.0),
        ((middle + reach) / scale).min(1.0),
    ))
}

/// 0..=100: a cautious chance, in percent, that the next request brings a valid answer, less if it takes longer than two seconds
/// (ALGORITHMS section 2.13, the counts being those of this check).
pub fn score(ok: u32, failed: u32, median: Option<Duration>) -> u8 {
    let (s, f) = (f64::from(ok), f64::from(failed));
    let prior = if ok > 0 { 0.9 } else { 0.6 };
    let p = (s + 2.0 * prior) / (s + f + 2.0);
    let cautious = (p - (p * (1.0 - p) / (s + f + 3.0)).sqrt()).max(0.0);
    let slow = median.map_or(1.0, |time| (2.0 / time.as_secs_f64()).sqrt().min(1.0));
    // Between 0 and 100 by its factors.
    (100.0 * cautious * slow).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        let (low, high) = wilson(3, 3).unwrap();
        assert!(
            (low - 0.4385).abs() < 1e-3 && (high - 1.0).abs() < 1e-9,
            "{low} {high}"
        );
        let (low, high) = wilson(5, 10).unwrap();
        assert!(
            (low - 0.2366).abs() < 1e-3 && (high - 0.7634).abs() < 1e-3,
            "{low} {high}"
        );
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn a_score_falls_with_losses_and_with_time() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let quick = score(3, 0, ms(100));
        assert!(quick > 75, "{quick}");
        assert!(score(2, 1, ms(100)) < quick);
        assert_eq!(
            score(3, 0, ms(8000)),
            (f64::from(quick) / 2.0).round() as u8
        );
        assert!(score(30, 0, ms(100)) > quick);
    }

    #[test]
    fn percentiles_are_samples() {
        let ms = Duration::from_millis;
        let spread = Spread::of([30, 10, 20].map(ms)).unwrap();
        assert_eq!((spread.p50, spread.p95), (ms(20), ms(30)));
        let spread = Spread::of((1..=100).map(ms)).unwrap();
        assert_eq!((spread.p50, spread.p95), (ms(50), ms(95)));
        assert_eq!(Spread::of([]), None);
    }
}
