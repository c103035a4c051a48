//! Flags of `track` and the commands below it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::rules::{FORMS, Form};
use super::words::words;

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

    /// Form of the list
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = words(&FORMS))]
    pub format: Form,
}
