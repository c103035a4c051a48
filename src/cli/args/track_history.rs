//! Flags of the commands that show the history of tracking jobs.

use std::path::PathBuf;

use clap::Args;

use super::StateFileArgs;
use super::words::{AGAINST, DIFF_FORMATS, HISTORY_FORMATS, some_time, words};
use crate::config::Span;
use crate::track::compare::Against;

/// Which job, and in which state.
#[derive(Args)]
pub struct KeptJobArgs {
    /// The name of a job, or its file
    ///
    /// As the state has it. May be left out where the state has one job alone.
    #[arg(value_name = "JOB")]
    pub job: Option<String>,

    /// Which state.
    #[command(flatten)]
    pub file: StateFileArgs,
}

/// Which series of a job.
#[derive(Args)]
pub struct SeriesArgs {
    /// Only series with this in their name, or with this id
    ///
    /// The name is that of the table, such as running shoes · de; case does not count. No default: all.
    ///
    /// Example: --series "running shoes"
    #[arg(long, value_name = "TEXT|ID")]
    pub series: Option<String>,

    /// Only this target
    ///
    /// As the job file names it. No default: all.
    ///
    /// Example: --target example.com
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
}

/// Arguments of `track history`.
#[derive(Args)]
pub struct TrackHistoryArgs {
    /// Which job.
    #[command(flatten)]
    pub kept: KeptJobArgs,

    /// Which series.
    #[command(flatten)]
    pub of: SeriesArgs,

    /// Only what was observed since
    ///
    /// Seconds, or a number with a unit.
    ///
    /// Example: --since 90d
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = some_time)]
    pub since: Span,

    /// Form of the rows
    #[arg(long, value_name = "FORM", default_value = "table", value_parser = words(&HISTORY_FORMATS))]
    pub format: HistoryFormat,
}

/// Arguments of `track diff`.
#[derive(Args)]
pub struct TrackDiffArgs {
    /// Which job.
    #[command(flatten)]
    pub kept: KeptJobArgs,

    /// Which series.
    #[command(flatten)]
    pub of: SeriesArgs,

    /// With what the last observation is compared
    ///
    /// Only good observations are compared. With last a series of which the last run knows nothing has no change; with 7d and 30d the
    /// last good observation is compared.
    #[arg(long, value_name = "WHAT", default_value = "last", value_parser = words(&AGAINST))]
    pub against: Against,

    /// Form of the rows
    #[arg(long, value_name = "FORM", default_value = "table", value_parser = words(&DIFF_FORMATS))]
    pub format: HistoryFormat,

    /// Exit code 10 when something changed
    ///
    /// Off by default.
    #[arg(long)]
    pub exit_on_change: bool,
}

/// Arguments of `track report`.
#[derive(Args)]
pub struct TrackReportArgs {
    /// Which job.
    #[command(flatten)]
    pub kept: KeptJobArgs,

    /// Where to write the page
    ///
    /// An existing file is replaced as a whole. No default.
    ///
    /// Example: --html serp.html
    #[arg(long, value_name = "FILE")]
    pub html: PathBuf,

    /// What the page goes back to
    ///
    /// Seconds, or a number with a unit.
    ///
    /// Example: --since 365d
    #[arg(long, value_name = "AGE", default_value = "90d", value_parser = some_time)]
    pub since: Span,
}

/// Forms of observations and changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryFormat {
    /// For people.
    Table,
    /// One JSON object a line.
    Jsonl,
    /// A fixed header, one row an observation.
    Csv,
}
