//! Where the records go and what they hold.

use std::path::PathBuf;

use clap::Args;

use super::words::{ATTEMPTS, BODIES, FORMATS, words};
use crate::output::{Attempts, BodyMode, Format};

/// `-o --format --fields --body --headers --attempts -w` and what an existing file means.
#[derive(Args)]
pub struct OutputArgs {
    /// Write the records to this file, - for standard output
    ///
    /// An existing file is refused unless --append, --overwrite or --resume is given. The default is standard output.
    ///
    /// Example: -o out.jsonl
    #[arg(short, long, value_name = "FILE|-")]
    pub output: Option<PathBuf>,

    /// Format of the records
    ///
    /// By default the suffix of --output decides (.jsonl, .ndjson, .csv, .json), and everything else is jsonl.
    #[arg(long, value_name = "FORMAT", value_parser = words(&FORMATS))]
    pub format: Option<Format>,

    /// Write these fields only, in this order
    ///
    /// Names with commas, see --list-fields. By default all of them.
    ///
    /// Example: --fields url,status,title
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub fields: Vec<String>,

    /// Print the names of all fields and exit
    ///
    /// One a line. Off by default.
    #[arg(long)]
    pub list_fields: bool,

    /// What becomes of bodies
    #[arg(long, value_name = "WHERE", default_value = "none", value_parser = words(&BODIES))]
    pub body: BodyMode,

    /// Directory for the bodies of --body file
    ///
    /// Created if missing. No default.
    ///
    /// Example: --body file --save-dir pages
    #[arg(long, value_name = "DIR")]
    pub save_dir: Option<PathBuf>,

    /// Keep the response headers in the record
    ///
    /// Off by default.
    #[arg(long)]
    pub headers: bool,

    /// How much the record says of each attempt
    #[arg(long, value_name = "HOW", default_value = "short", value_parser = words(&ATTEMPTS))]
    pub attempts: Attempts,

    /// Print this line to standard output for each record
    ///
    /// Text with %{field} and \n, \t, as in curl. Needs --output FILE. Nothing by default.
    ///
    /// Example: -w '%{status} %{url}\n'
    #[arg(short = 'w', long, value_name = "FORMAT")]
    pub write_out: Option<String>,

    /// Add to an existing output file
    ///
    /// Off by default.
    #[arg(long, conflicts_with_all = ["overwrite", "resume"])]
    pub append: bool,

    /// Replace an existing output file
    ///
    /// Off by default.
    #[arg(long, conflicts_with = "resume")]
    pub overwrite: bool,

    /// Go on where an earlier run with this output file stopped
    ///
    /// A torn last line is repaired, URLs with a record are skipped, the others are fetched and added. Off by default.
    #[arg(long)]
    pub resume: bool,

    /// With --resume, fetch again what failed
    ///
    /// Off by default: a record of a failure counts as done. It stays until the new one is there, which then takes its place.
    #[arg(long)]
    pub retry_failed: bool,

    /// Leave CSV cells as they are that a spreadsheet would run
    ///
    /// By default a cell that starts with = + - @ is prefixed with an apostrophe.
    #[arg(long)]
    pub csv_raw: bool,
}
