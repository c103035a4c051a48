//! Flags of `demo`.

use std::path::PathBuf;

use clap::Args;

use super::Progress;
use super::words::{PROGRESS, words};

/// `-o --overwrite --progress --seed`.
#[derive(Args)]
#[command(next_help_heading = "Demo")]
pub struct DemoArgs {
    /// Write the records to this file
    ///
    /// As JSONL. The file of an earlier demo is replaced, any other file is refused.
    ///
    /// Example: -o /tmp/demo.jsonl
    #[arg(short, long, value_name = "FILE", default_value = "demo.jsonl")]
    pub output: PathBuf,

    /// Replace the file whatever it holds
    ///
    /// Off by default.
    #[arg(long)]
    pub overwrite: bool,

    /// Progress on standard error
    ///
    /// `auto` is a bar when standard error is a terminal, else none.
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = words(&PROGRESS))]
    pub progress: Progress,

    /// Seed of the lab: which proxy is bad in which way
    ///
    /// A whole number.
    ///
    /// Example: --seed 7
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}
