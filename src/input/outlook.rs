//! How many jobs are still to come, estimated from how many the bytes read so far were.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What has become of the input so far. URLs named as arguments are a part of it.
#[derive(Debug)]
pub(super) struct Outlook {
    /// Bytes of all of it; `None` when a file is no regular one.
    total: Option<u64>,
    /// Bytes of it that have become jobs, and how many jobs.
    consumed: u64,
    jobs: u64,
}

impl Outlook {
    /// For an input of `total` bytes; `None` when that is not known.
    pub(super) fn new(total: Option<u64>) -> Self {
        Outlook {
            total,
            consumed: 0,
            jobs: 0,
        }
    }

    /// No more jobs than this can be sent, however the input is read.
    pub(super) fn most(&self) -> Option<u64> {
        /// Every one of them has an address, of which this is the shortest.
        const SHORTEST: u64 = "http://a".len() as u64;
        self.total.map(|bytes| bytes / SHORTEST)
    }

    /// The next `bytes` of them were `jobs` jobs.
    pub(super) fn note(&mut self, bytes: u64, jobs: u64) {
        self.consumed += bytes;
        self.jobs += jobs;
    }

    /// Jobs still to come, about.
    pub(super) fn remaining(&self) -> Option<u64> {
        let left = self.total?.saturating_sub(self.consumed);
        if left == 0 {
            return Some(0);
        }
        if self.consumed == 0 || self.jobs == 0 {
            // Nothing to go by yet.
            return None;
        }
        Some((u128::from(self.jobs) * u128::from(left) / u128::from(self.consumed)) as u64)
    }
}

/// What remained when it was last reckoned, to be seen from elsewhere.
#[derive(Debug, Clone)]
pub struct ToCome(Arc<AtomicU64>);

impl ToCome {
    /// No input is that long.
    const UNKNOWN: u64 = u64::MAX;

    /// Jobs that are not read yet, about; `None` while there is nothing to go by.
    pub fn get(&self) -> Option<u64> {
        let jobs = self.0.load(Ordering::Relaxed);
        (jobs != Self::UNKNOWN).then_some(jobs)
    }

    pub(super) fn set(&self, jobs: Option<u64>) {
        self.0
            .store(jobs.unwrap_or(Self::UNKNOWN), Ordering::Relaxed);
    }
}

impl Default for ToCome {
    fn default() -> Self {
        ToCome(Arc::new(AtomicU64::new(Self::UNKNOWN)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_come_is_like_what_has_come() {
        assert_eq!(Outlook::new(None).remaining(), None);
        let mut outlook = Outlook::new(Some(1000));
        assert_eq!(outlook.remaining(), None);
        // A long comment says nothing.
        outlook.note(50, 0);
        assert_eq!(outlook.remaining(), None);
        outlook.note(50, 5);
        assert_eq!(outlook.remaining(), Some(45));
        outlook.note(400, 5);
        assert_eq!(outlook.remaining(), Some(10));
        outlook.note(500, 20);
        assert_eq!(outlook.remaining(), Some(0));
        // It has grown since it was opened.
        outlook.note(500, 20);
        assert_eq!(outlook.remaining(), Some(0));
    }
}
