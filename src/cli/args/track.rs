//! Flags of `track` and the commands below it.

use clap::{Args, Subcommand};

use super::track_history::{TrackDiffArgs, TrackHistoryArgs, TrackReportArgs};

/// Arguments of `track`.
#[derive(Args)]
pub struct TrackArgs {
    /// What to do with jobs.
    #[command(subcommand)]
    pub command: TrackCommand,
}

/// The commands below `track`.
#[derive(Subcommand)]
pub enum TrackCommand {
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
