//! How many jobs are still to come, estimated from how many the bytes read so far were.

use std::sync::atomic::{AtomicU64, Ordering};

/// Shared by the thread that reads and the run that plans by it. Nothing depends on the numbers fitting together to the byte,
/// so they are not read together.
#[derive(Debug)]
pub(super) struct Outlook {
    /// Size of all files; `None` when one of them is no regular file.
    total: Option<u64>,
    /// Bytes of it that have become jobs, and how many jobs.
    consumed: AtomicU64,
    jobs: AtomicU64,
}

impl Outlook {
    /// For files of `total` bytes together; `None` when that is not known.
    pub(super) fn new(total: Option<u64>) -> Self {
        Outlook {
            total,
            consumed: AtomicU64::new(0),
            jobs: AtomicU64::new(0),
        }
    }

    /// The first `consumed` bytes were `jobs` jobs.
    pub(super) fn note(&self, consumed: u64, jobs: u64) {
        self.consumed.store(consumed, Ordering::Relaxed);
        self.jobs.store(jobs, Ordering::Relaxed);
    }

    /// Jobs beyond the first `given`, about.
    pub(super) fn beyond(&self, given: u64) -> Option<u64> {
        let total = self.total?;
        let consumed = self.consumed.load(Ordering::Relaxed);
        let jobs = self.jobs.load(Ordering::Relaxed);
        let all = match total.checked_sub(consumed) {
            None | Some(0) => jobs,
            // Nothing to go by yet.
            Some(_) if consumed == 0 || jobs == 0 => return None,
            Some(_) => (u128::from(jobs) * u128::from(total) / u128::from(consumed)) as u64,
        };
        Some(all.saturating_sub(given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_come_is_like_what_has_come() {
        assert_eq!(Outlook::new(None).beyond(0), None);
        let outlook = Outlook::new(Some(1000));
        assert_eq!(outlook.beyond(0), None);
        outlook.note(100, 5);
        assert_eq!(outlook.beyond(0), Some(50));
        assert_eq!(outlook.beyond(5), Some(45));
        assert_eq!(outlook.beyond(60), Some(0));
        outlook.note(1000, 40);
        assert_eq!(outlook.beyond(38), Some(2));
        // Only URLs named as arguments.
        let named = Outlook::new(Some(0));
        named.note(0, 3);
        assert_eq!(named.beyond(1), Some(2));
    }
}
