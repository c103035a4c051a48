//! A hasher for the pool's own integer keys. They come from counters and from a cryptographic hash, never from input that
//! could be chosen to collide, so mixing well is enough and SipHash would be wasted.

use std::hash::{BuildHasherDefault, Hasher};

/// `HashMap` parameter.
pub(super) type Mixing = BuildHasherDefault<Mixer>;

/// Multiplies and folds each word.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Mixer(u64);

/// 2^64 divided by the golden ratio: an odd constant without short patterns.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        // The high bits of a product depend on all bits of the factors and the low bits do not; hash tables use both ends.
        let product = (self.0 ^ word).wrapping_mul(SPREAD);
        self.0 = product ^ (product >> 32);
    }
}
