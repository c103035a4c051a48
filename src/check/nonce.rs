//! Numbers that nobody can know beforehand.

use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Makes nonces.
pub(super) struct Nonces(Mutex<StdRng>);

impl Nonces {
    pub(super) fn new(seed: u64) -> Self {
        Nonces(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// Sixteen hexadecimal digits.
    pub(super) fn next(&self) -> String {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{:016x}", rng.random::<u64>())
    }
}
