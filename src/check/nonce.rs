//! Numbers that nobody can know beforehand.

use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::run::system_seed;

/// Makes nonces.
#[derive(Debug)]
pub struct Nonces(Mutex<StdRng>);

impl Nonces {
    pub(super) fn new(seed: u64) -> Self {
        Nonces(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// From this seed, or from the system's random numbers.
    pub fn seeded(seed: Option<u64>) -> Self {
        Nonces::new(seed.unwrap_or_else(system_seed))
    }

    /// Sixteen hexadecimal digits.
    pub fn next(&self) -> String {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{:016x}", rng.random::<u64>())
    }
}
