//! Flags of `track` and the commands below it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Progress;
use super::rules::{FORMS, Form};
use super::track_history::{TrackDiffArgs, TrackHistoryArgs, TrackReportArgs};
use super::words::{PROGRESS, words};
use super::{EXIT_CODES, StateFileArgs};

/// Arguments of `track`.
#[derive(Args)]
pub struct TrackArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TrackCommand,
}

/// The commands below `track`.
#[derive(Subcommand)]
pub enum TrackCommand {
    /// Check a job file without a network
    ///
    /// Tells everything that is wrong in it at once, each with line, column and what would mend it, or how much the job is.
    ///
    /// Example: proxywheel track validate serp.toml
    Validate(TrackValidateArgs),
    /// Show what a job asks for, and how much that is, without asking
    ///
    /// A line for each place in the matrix: where its exit has to be, pages at least and at most, address of the first one.
    ///
    /// Example: proxywheel track plan serp.toml | head
    Plan(TrackPlanArgs),
    /// Run a job once: ask what is due, keep what is seen, tell what has changed
    ///
    /// What is observed is kept in the state. A run that was killed or stopped is gone on with by the next one; nothing is asked or
    /// kept twice. Alerts that are due are printed on standard output, one a line, and sent where the job says. The exit code is
    /// that of fetch, and 10 for alerts with --exit-on-change.
    ///
    /// Example: proxywheel track run serp.toml -q --exit-on-change
    #[command(after_help = EXIT_CODES)]
    Run(Box<TrackRunArgs>),
    /// List what was observed, run by run
    ///
    /// Where a target did not stand, or nothing is known, there is no position: an empty cell or null, never 0. Times are UTC.
    ///
    /// Example: proxywheel track history serp --since 7d
    History(TrackHistoryArgs),
    /// List what changed since the last good observation, and nothing else
    ///
    /// Of a page that was blocked or failed nothing is known, which is no change. Selectors that find nothing any more are warned of
    /// on standard error.
    ///
    /// Example: proxywheel track diff serp --against 7d --exit-on-change
    #[command(
        after_help = "Exit codes: 0 told, or nothing to tell, 2 usage, 3 the state cannot be read, 10 changes with --exit-on-change."
    )]
    Diff(TrackDiffArgs),
    /// Write a page to look at: one HTML file that needs nothing else
    ///
    /// Places of every keyword with their course, winners and losers, the share of keywords on the first places, what hosts have
    /// refused, what it cost. Can be sorted, filtered and printed.
    ///
    /// Example: proxywheel track report serp --html serp.html
    Report(TrackReportArgs),
}

/// Arguments of `track run`.
#[derive(Args)]
pub struct TrackRunArgs {
    /// Job file
    #[arg(value_name = "JOB.toml")]
    pub job: PathBuf,

    /// Ask only what nothing is known of: what failed the last time, and what was never seen
    #[arg(long)]
    pub retry_failed: bool,

    /// End with exit code 10 when an alert is due
    #[arg(long)]
    pub exit_on_change: bool,

    /// What to do when another run of the job is under way: fail, skip or wait=TIME
    ///
    /// fail, the default, ends with exit code 75 and names the process; skip ends quietly with 0; wait=TIME waits so long, then fails.
    /// A path names the lock file, which by default stands beside the state.
    ///
    /// Example: --lock skip
    #[arg(long, value_name = "WHAT|FILE")]
    pub lock: Vec<String>,

    /// File with what is known of proxies and the history of jobs
    ///
    /// By default that of fetch.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,

    /// Progress on standard error
    ///
    /// `auto` is a bar when standard error is a terminal, else none.
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = words(&PROGRESS))]
    pub progress: Progress,

    /// Flags of fetch, after --
    ///
    /// They go before those of the job. None by default.
    ///
    /// Example: -- -j 100 --host-rate 1/s
    #[arg(last = true, value_name = "FETCH FLAGS")]
    pub fetch: Vec<OsString>,
}

/// Arguments of `track validate`.
#[derive(Args)]
pub struct TrackValidateArgs {
    /// Job files
    #[arg(value_name = "JOB.toml", required = true)]
    pub jobs: Vec<PathBuf>,
}

/// Arguments of `track plan`.
#[derive(Args)]
pub struct TrackPlanArgs {
    /// Job file
    #[arg(value_name = "JOB.toml")]
    pub job: PathBuf,

    /// Which state; what earlier runs took is in it.
    #[command(flatten)]
    pub file: StateFileArgs,

    /// Form of the list
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = words(&FORMS))]
    pub format: Form,
}
