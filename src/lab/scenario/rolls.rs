//! Random numbers that depend on what they are for and on nothing else.

use super::super::stats::dice;

/// What a roll decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Shuffle,
    AnswerMedian,
    ConnectMedian,
    Capacity,
    Up,
    Change,
    Redraw,
    Banned,
    Connect,
    LostSyn,
    Answer,
    Notice,
    Outage,
    Reset,
    Tail,
}

/// The dice of one seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rolls(u64);

impl Rolls {
    pub(super) fn new(seed: u64) -> Self {
        // [`dice`] adds its first two numbers: without this, proxy 1 of seed 1 would be proxy 0 of seed 2.
        Rolls(dice(seed, 0, 0, 0))
    }

    /// Above 0 and below 1, evenly.
    pub(super) fn uniform(self, what: What, proxy: usize, number: u32) -> f64 {
        self.roll(what as u64, proxy, number)
    }

    /// Mean 0, variance 1.
    pub(super) fn normal(self, what: What, proxy: usize, number: u32) -> f64 {
        // Box and Muller; the second number is one of a purpose that nothing else has.
        let u = self.roll(what as u64, proxy, number);
        let v = self.roll(what as u64 | 1 << 32, proxy, number);
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    pub(super) fn exponential(self, what: What, proxy: usize, number: u32, mean: f64) -> f64 {
        -mean * self.uniform(what, proxy, number).ln()
    }

    fn roll(self, what: u64, proxy: usize, number: u32) -> f64 {
        let bits = dice(self.0, proxy as u64, u64::from(number), what);
        // 53 bits are what a double holds; the half keeps it off both ends.
        ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}
