//! The pool's own random numbers: which members a choice looks at, and jitter.
//!
//! Knuth's linear congruential generator. Its upper half is random enough to spread 32 looks over a list and to keep timers
//! apart, at a tenth of what a cipher costs. It is seeded from the caller's generator: once for the pool and once for every
//! choice, so a run's seed decides everything.

/// See the module text.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// Another one that starts elsewhere.
    pub(super) fn split(&mut self) -> Self {
        Random(self.wide())
    }

    fn wide(&mut self) -> u64 {
        u64::from(self.next()) << 32 | u64::from(self.next())
    }

    fn next(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// An index below `len`. The product favours some by one part in 40,000 in a list of 100,000.
    #[inline]
    pub(super) fn below(&mut self, len: usize) -> usize {
        ((u64::from(self.next()) * len as u64) >> 32) as usize
    }

    /// A number below `limit`, which need not fit into 32 bits.
    pub(super) fn below_wide(&mut self, limit: u64) -> u64 {
        ((u128::from(self.wide()) * u128::from(limit)) >> 64) as u64
    }

    /// Uniform in 0..1.
    pub(super) fn unit(&mut self) -> f64 {
        f64::from(self.next()) / (1u64 << 32) as f64
    }

    /// Uniform in `low..high`.
    pub(super) fn within(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_looks_everywhere_alike() {
        const LEN: usize = 1000;
        let mut looks = [0u32; LEN];
        let mut pairs = 0;
        for seed in 0..20_000 {
            let mut random = Random::new(seed);
            let mut met: Vec<usize> = (0..32).map(|_| random.below(LEN)).collect();
            met.iter().for_each(|at| looks[*at] += 1);
            met.sort_unstable();
            pairs += met.windows(2).filter(|pair| pair[0] == pair[1]).count();
        }
        // Mean 640, standard deviation 25.
        assert!(
            looks.iter().all(|count| (500..780).contains(count)),
            "{looks:?}"
        );
        // 32 looks meet the same one twice about once in two choices: 32 * 31 / 2 / 1000.
        assert!((9_400..10_400).contains(&pairs), "{pairs}");
    }

    #[test]
    fn units_fill_the_range() {
        let mut random = Random::new(3);
        let units: Vec<f64> = (0..10_000).map(|_| random.within(2.0, 4.0)).collect();
        assert!(units.iter().all(|unit| (2.0..4.0).contains(unit)));
        let mean = units.iter().sum::<f64>() / 10_000.0;
        assert!((2.97..3.03).contains(&mean), "{mean}");
        let tenth = units.iter().filter(|unit| **unit < 2.2).count();
        assert!((900..1100).contains(&tenth), "{tenth}");
        let wide = (0..1000).map(|_| random.below_wide(1 << 60));
        assert!(
            wide.max()
                .is_some_and(|most| most > 1 << 59 && most < 1 << 60)
        );
    }
}
