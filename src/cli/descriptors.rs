//! Open files: as many as the system lets us have, and no more idle connections than fit.
//!
//! Every request in flight, probe and idle connection is a descriptor, and the usual soft limit of 1024 is less than a
//! busy run needs. The soft limit is raised to the hard one, which any process may do for itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::printer::Printer;
use crate::error::Problem;

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

/// Idle connections kept at most. With fewer, a round through a list of 10,000 proxies never meets a connection again; one that
/// has cooled down is a bare stream, and 10,000 of them take some 20 MB.
const MOST_IDLE: usize = 16_384;

/// How many idle connections are kept beside `busy` ones under a limit of `most` descriptors.
pub(super) fn idle_that_fit(busy: u64, most: Option<u64>) -> usize {
    let room = most.map(|most| most.saturating_sub(busy + OTHERS));
    let room = room.and_then(|room| usize::try_from(room).ok());
    room.map_or(MOST_IDLE, |room| room.min(MOST_IDLE))
}

/// How many of `wanted` connections a limit of `most` descriptors has room for; one at least.
pub(super) fn connections_that_fit(wanted: u32, most: Option<u64>) -> usize {
    let room = most.map_or(u64::MAX, |most| most.saturating_sub(OTHERS).max(1));
    usize::try_from(room.min(u64::from(wanted))).unwrap_or(usize::MAX)
}

/// Warns when `wanted` connections at once, which `flags` ask for, are more than the system lets us have: nothing fails then, but
/// the run waits for descriptors again and again, and looks as if the proxies were slow.
pub(super) fn warn_if_short(wanted: u64, flags: &str, printer: &Printer) {
    if let Some(problem) = shortage(wanted, flags, raise()) {
        printer.warn(&problem);
    }
}

fn shortage(wanted: u64, flags: &str, most: Option<u64>) -> Option<Problem> {
    let needed = wanted + OTHERS;
    let most = most.filter(|most| *most < needed)?;
    let what = format!(
        "{most} open files are all the system allows, too few for {wanted} connections at once"
    );
    Some(Problem::new(what).hint(format!(
        "lower {flags}, or raise the limit, which ulimit -Hn tells, to {needed}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_connections_yield_to_busy_ones() {
        assert_eq!(idle_that_fit(200, None), MOST_IDLE);
        assert_eq!(idle_that_fit(200, Some(1_000_000)), MOST_IDLE);
        assert_eq!(idle_that_fit(200, Some(1024)), 760);
        assert_eq!(idle_that_fit(5000, Some(1024)), 0);
    }

    #[test]
    fn a_limit_that_is_too_low_is_told_with_the_one_that_would_do() {
        assert_eq!(shortage(200, "-j", None), None);
        assert_eq!(shortage(200, "-j", Some(264)), None);
        let problem = shortage(200, "-j", Some(263)).expect("too low");
        assert_eq!(
            (problem.to_string(), problem.hint.as_deref()),
            (
                "263 open files are all the system allows, too few for 200 connections at once"
                    .to_owned(),
                Some("lower -j, or raise the limit, which ulimit -Hn tells, to 264"),
            )
        );
    }

    #[test]
    fn connections_yield_to_the_limit_of_the_system() {
        assert_eq!(connections_that_fit(4096, None), 4096);
        assert_eq!(connections_that_fit(4096, Some(1_000_000)), 4096);
        assert_eq!(connections_that_fit(4096, Some(1024)), 960);
        assert_eq!(connections_that_fit(4096, Some(10)), 1);
    }
}
