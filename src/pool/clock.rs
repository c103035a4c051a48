//! Time inside the pool: microseconds since the pool was made.
//!
//! An `Instant` takes 16 bytes and a proxy has four of them; at a million proxies half of that is worth the conversion.

use std::time::{Duration, Instant};

/// Microseconds since the pool was made.
pub(super) type Micros = u64;

/// One second.
pub(super) const SECOND: Micros = 1_000_000;

/// Converts between the caller's clock and the pool's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(super) fn new(epoch: Instant) -> Self {
        Clock { epoch }
    }

    /// Rounded down; 0 before the epoch.
    pub(super) fn micros(self, at: Instant) -> Micros {
        micros(at.saturating_duration_since(self.epoch))
    }

    /// The first instant that [`Clock::micros`] maps to `at`.
    pub(super) fn instant(self, at: Micros) -> Instant {
        self.epoch + Duration::from_micros(at)
    }
}

pub(super) fn micros(duration: Duration) -> Micros {
    let seconds = duration.as_secs().min(u64::MAX / 4 / SECOND);
    seconds * SECOND + u64::from(duration.subsec_micros())
}

/// Seconds from one moment to a later one; 0 when the order is reversed.
pub(super) fn seconds(from: Micros, to: Micros) -> f32 {
    to.saturating_sub(from) as f32 / SECOND as f32
}

/// Time from one moment to a later one; zero when the order is reversed.
pub(super) fn between(from: Micros, to: Micros) -> Duration {
    Duration::from_micros(to.saturating_sub(from))
}

/// What is left of a quantity after `age` seconds when half of it is left after `half_life` seconds.
pub(super) fn remains(age: f32, half_life: f32) -> f32 {
    let halvings = age / half_life;
    if halvings < STRAIGHT {
        // Every answer fades what is known of its host, and most come a moment after another.
        return 1.0 - halvings * std::f32::consts::LN_2;
    }
    (-halvings).exp2()
}

/// Below this many halvings the curve is a straight line to one part in a million.
const STRAIGHT: f32 = 1.0 / 512.0;
