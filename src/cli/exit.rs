//! Exit codes, decided from how the run ended.
//!
//! | code | word | meaning |
//! |---|---|---|
//! | 0 | `done` | every URL has its record, failures within `--max-fail` |
//! | 0 | `locked` | another run has the lock, and `--lock skip` says to leave it at that |
//! | 0 | `reader_gone` | whoever read the output (`| head`) has had enough |
//! | 1 | `internal` | a promise of the program was broken |
//! | 2 | `usage` | flags, configuration or input are wrong; nothing was done |
//! | 3 | `output_failed`, `input_failed`, `io` | a file could not be read or written |
//! | 4 | `some_failed` | more URLs failed than `--max-fail` allows |
//! | 4 | `not_clean`, `unproven` | `check --leak` has found something, or had no answer on some path |
//! | 5 | `all_failed` | not one URL succeeded |
//! | 6 | `no_usable_proxy` | the pool had no usable proxy |
//! | 6 | `no_judge`, `judge_down` | `check`: no judge answered, at all or before everybody was judged |
//! | 6 | `too_few_alive` | `check`: fewer than `--min-alive` |
//! | 7 | `deadline`, `max_requests`, `max_bytes`, `max_cost` | stopped by a cap after a clean flush; `--resume` goes on |
//! | 8 | `blocked` | most failures are bans or rate limits: slowing down may help, trying again will not |
//! | 10 | `changed` | `check --exit-on-change` found a change |
//! | 75 | `locked` | another run writes the same output, or has the lock |
//! | 130, 143 | `interrupted`, `terminated` | stopped by SIGINT or SIGTERM after a clean flush; `--resume` goes on |
//!
//! 8 goes before 5 and 4, because it says what to do. All of them count the rows that `--resume` found and left as well.

use std::process::ExitCode;

use crate::config::MaxFail;
use crate::error::Error;
use crate::metrics::{FinishReason, Summary};
use crate::outcome::Outcome;

/// An exit code and its reason word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The number the process returns.
    pub code: u8,
    /// The word in the summary and in `--stats`.
    pub word: &'static str,
}

impl Exit {
    /// Success.
    pub const DONE: Exit = Exit::new(0, "done");
    /// Another run does the work.
    pub const SKIPPED: Exit = Exit::new(0, "locked");
    /// Whoever read the output has had enough.
    pub const READER_GONE: Exit = Exit::new(0, "reader_gone");
    /// Something that somebody wants to hear of has changed.
    pub const CHANGED: Exit = Exit::new(10, "changed");
    /// The caller's settings are wrong.
    pub const USAGE: Exit = Exit::new(2, "usage");

    pub(super) const fn new(code: u8, word: &'static str) -> Self {
        Exit { code, word }
    }

    /// True for what somebody has to look after: neither success nor a change, nor a run that left the work to another.
    pub fn is_failure(self) -> bool {
        !matches!(self.code, 0 | 10 | 75)
    }

    /// True for an input or output that failed, which is told of as the error that it is.
    pub fn is_of_a_file(self) -> bool {
        self.code == 3
    }

    /// The exit of a run that came to its end.
    pub fn of_summary(summary: &Summary, max_fail: MaxFail) -> Self {
        let totals = &summary.totals;
        match summary.reason {
            reason @ FinishReason::Interrupted => Exit::new(130, reason.as_str()),
            reason @ FinishReason::Terminated => Exit::new(143, reason.as_str()),
            reason @ (FinishReason::OutputFailed | FinishReason::InputFailed) => {
                Exit::new(3, reason.as_str())
            }
            reason @ FinishReason::NoProxy => Exit::new(6, reason.as_str()),
            FinishReason::ReaderGone => Exit::READER_GONE,
            reason @ FinishReason::Capped(_) => Exit::new(7, reason.as_str()),
            FinishReason::Done => {
                // What a run goes on with is judged with it: the second half of a list says nothing about the first.
                let earlier = totals.earlier;
                let failed = totals.failed() + earlier.failed;
                let all = totals.done + earlier.all();
                let blocked = totals.count(Outcome::Banned)
                    + totals.count(Outcome::RateLimited)
                    + earlier.blocked;
                if max_fail.admits(failed, all) {
                    Exit::DONE
                } else if blocked * 2 > failed {
                    Exit::new(8, "blocked")
                } else if failed == all {
                    Exit::new(5, "all_failed")
                } else {
                    Exit::new(4, "some_failed")
                }
            }
        }
    }

    /// The exit of a run that could not start or go on.
    pub fn of_error(error: &Error) -> Self {
        match error {
            Error::Usage(_) => Exit::USAGE,
            Error::Io { .. } => Exit::new(3, "io"),
            Error::NoProxy(_) => Exit::new(6, "no_usable_proxy"),
            Error::Locked { .. } => Exit::new(75, "locked"),
            Error::Ended(reason) => Exit::new(7, reason),
            Error::Internal(_) => Exit::new(1, "internal"),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Cap, Snapshot};

    fn exit(reason: FinishReason, counts: &[(Outcome, u64)], max_fail: &str) -> u8 {
        let mut totals = Snapshot::default();
        for (outcome, count) in counts {
            let at = Outcome::ALL.iter().position(|each| each == outcome);
            totals.outcomes[at.expect("listed")] = *count;
            totals.done += count;
        }
        let summary = Summary { reason, totals };
        Exit::of_summary(&summary, max_fail.parse().expect("limit")).code
    }

    #[test]
    fn rows_that_were_there_count_as_those_of_the_run() {
        use crate::output::Earlier;
        let earlier = |ok, failed, blocked| Earlier {
            ok,
            failed,
            blocked,
        };
        for (before, ok, failed, max_fail, code) in [
            (earlier(0, 20, 0), 5, 0, "0", 4),
            (earlier(0, 20, 0), 0, 5, "0", 5),
            (earlier(40, 0, 0), 0, 1, "0", 4),
            (earlier(40, 0, 0), 0, 1, "5%", 0),
            (earlier(0, 20, 20), 5, 0, "0", 8),
        ] {
            let mut totals = Snapshot {
                done: ok + failed,
                earlier: before,
                ..Snapshot::default()
            };
            totals.outcomes[0] = ok;
            totals.outcomes[1] = failed;
            let reason = FinishReason::Done;
            let summary = Summary { reason, totals };
            let exit = Exit::of_summary(&summary, max_fail.parse().expect("limit"));
            assert_eq!(exit.code, code, "{before:?} {ok} {failed}");
        }
    }

    #[test]
    fn codes_follow_reason_then_failures_then_their_cause() {
        use FinishReason::*;
        use Outcome::*;
        for (reason, counts, max_fail, code) in [
            (Done, vec![(Ok, 9)], "0", 0),
            (Done, vec![], "0", 0),
            (Done, vec![(Ok, 9), (HttpError, 1)], "0", 4),
            (Done, vec![(Ok, 9), (HttpError, 1)], "1", 0),
            (Done, vec![(Ok, 9), (HttpError, 1)], "10%", 0),
            (Done, vec![(HttpError, 2)], "1", 5),
            (Done, vec![(Ok, 9), (Banned, 2), (HttpError, 1)], "0", 8),
            (Done, vec![(RateLimited, 2)], "0", 8),
            (Done, vec![(Ok, 9), (Banned, 1), (HttpError, 1)], "0", 4),
            (NoProxy, vec![(Ok, 9)], "0", 6),
            (Interrupted, vec![(Ok, 9)], "0", 130),
            (Terminated, vec![(Ok, 9)], "0", 143),
            (OutputFailed, vec![(Ok, 9)], "0", 3),
            (InputFailed, vec![(Ok, 9)], "0", 3),
            (Capped(Cap::Cost), vec![(Ok, 1), (HttpError, 1)], "0", 7),
            (ReaderGone, vec![(Ok, 1), (HttpError, 1)], "0", 0),
        ] {
            assert_eq!(
                exit(reason, &counts, max_fail),
                code,
                "{reason:?} {counts:?}"
            );
        }
    }
}
