//! Open files: as many as the system lets us have, and no more idle connections than fit.
//!
//! Every request in flight, probe and idle connection is a descriptor, and the usual soft limit of 1024 is less than a
//! busy run needs. The soft limit is raised to the hard one, which any process may do for itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one and returns what is in force; `None` is no limit.
pub(super) fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // Refused in odd sandboxes: then the old limit is the answer.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        );
    }
    getrlimit(Resource::Nofile).current
}

/// Descriptors for everything that is not a connection: files, the runtime, name look-ups.
const OTHERS: u64 = 64;

/// How many idle connections fit beside `busy` ones under a limit of `most` descriptors; `wanted` when all of them do.
pub(super) fn idle_that_fit(wanted: usize, busy: u64, most: Option<u64>) -> usize {
    let Some(most) = most else { return wanted };
    let room = most.saturating_sub(busy + OTHERS);
    wanted.min(usize::try_from(room).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_connections_yield_to_busy_ones() {
        assert_eq!(idle_that_fit(1024, 200, None), 1024);
        assert_eq!(idle_that_fit(1024, 200, Some(20_000)), 1024);
        assert_eq!(idle_that_fit(1024, 200, Some(1024)), 760);
        assert_eq!(idle_that_fit(1024, 5000, Some(1024)), 0);
    }
}
