//! Where records go: one writer, one file that is also the journal of the run.
//!
//! The output *is* the journal: a row is written whole, in one piece with its neighbours, by one thread, and only then counted
//! in the [`Receipt`](crate::job::Receipt). There is no second file that could disagree with it. `--resume` reads the output
//! back, cuts a torn last row, refuses damage anywhere else, and skips what it finds. A crash may therefore fetch a URL again,
//! and never loses or doubles a row.
//!
//! Guarantees, and their limits. After `kill -9` the file ends in at most one torn row. After a power cut the same holds for
//! what is older than a second (`fdatasync` runs at most once a second); body files under `--save-dir` are not synced one by
//! one. The file is locked for the whole run; a second run on it gets [`Error::Locked`](crate::error::Error::Locked).
//!
//! What is where: `fields` the keys of a row, `value` what they hold, `parts` those values that have structure, `json`,
//! `digits` and `timestamp` their bytes; `object` a row of JSON, `encode` JSONL, JSON and CSV, `writer` the thread, `journal`
//! scan and repair, `again` rows that replace others, `group` the rows of one input, `lines` the rows of a file, `target` opening and locking, `body` the response bodies, `write_out` the `-w`
//! format.

mod again;
mod body;
mod chunk;
mod digits;
mod encode;
mod fields;
mod group;
mod journal;
mod json;
mod lines;
mod object;
mod open;
mod parts;
mod render;
mod sink;
mod target;
mod timestamp;
mod value;
mod write_out;
mod writer;

pub use open::{Earlier, Opened, Repair, check_form, open};
pub use target::{Replacement, open_locked};
pub use writer::{Writer, WriterHandle, Written};

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::Problem;

/// JSON Schema (draft 2020-12) of one row of the JSONL output.
pub const SCHEMA: &str = include_str!("../../schema/record.v1.json");

/// Where and how records are written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The file; `None` is standard output.
    pub path: Option<PathBuf>,
    /// Form of the rows; [`Format::of`] reads it off a path.
    pub format: Format,
    /// Only these fields, in this order; `None` is all of them (JSON) or the fixed header (CSV).
    pub fields: Option<Vec<String>>,
    /// What becomes of an output that exists.
    pub mode: Mode,
    /// With [`Mode::Resume`]: what is not `ok` is fetched again, and its row replaced once the new one is there.
    pub retry_failed: bool,
    /// CSV: leave cells that a spreadsheet would run as a formula as they are.
    pub csv_raw: bool,
    /// What becomes of response bodies.
    pub body: BodyMode,
    /// Directory of [`BodyMode::File`].
    pub save_dir: Option<PathBuf>,
    /// How much of the attempts a row shows.
    pub attempts: Attempts,
    /// CSV: the keys of `tag` that have a column. Fixed before the first row, never inferred from it.
    pub tag_columns: Vec<String>,
    /// CSV: the extracted fields that have a column, for the same reason.
    pub extract_columns: Vec<String>,
    /// An answer may have several rows, which then say so.
    pub rows: bool,
    /// `-w` format, printed to standard output once per record.
    pub write_out: Option<String>,
}

/// The form of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// Comma-separated values, RFC 4180 quoting, a header once.
    Csv,
    /// One JSON array, one element a line, closed at the end.
    Json,
}

impl Format {
    /// The format a file of this name has: `.csv`, `.json`, else JSONL, which is also that of standard output.
    pub fn of(path: Option<&Path>) -> Self {
        let suffix = path.and_then(Path::extension).and_then(OsStr::to_str);
        suffix
            .and_then(|suffix| suffix.parse().ok())
            .unwrap_or_default()
    }
}

impl FromStr for Format {
    type Err = Problem;

    /// Reads `jsonl` (or `ndjson`), `csv` and `json`, in any case.
    fn from_str(text: &str) -> Result<Self, Problem> {
        match text.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Ok(Format::Jsonl),
            "csv" => Ok(Format::Csv),
            "json" => Ok(Format::Json),
            _ => Err(Problem::new(format!("unknown output format {text:?}"))
                .hint("use jsonl, csv or json")),
        }
    }
}

/// What becomes of an output that exists and is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It is refused.
    #[default]
    New,
    /// Rows are added; every job is fetched.
    Append,
    /// It is emptied.
    Overwrite,
    /// It is read back; rows are added for the jobs it does not have.
    Resume,
}

/// What becomes of response bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyMode {
    /// They are not kept.
    #[default]
    None,
    /// In the row: text decoded to UTF-8 as `body`, everything else as `body_b64`; both for a text that cannot be decoded whole.
    Inline,
    /// In the row, as `body_b64`.
    Base64,
    /// One file each below `save_dir`, named in the row as `body_path`. A file is never replaced by another body: rows of one id
    /// have a file for each different body.
    File,
}

impl FromStr for BodyMode {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        match text {
            "none" => Ok(BodyMode::None),
            "inline" => Ok(BodyMode::Inline),
            "base64" => Ok(BodyMode::Base64),
            "file" => Ok(BodyMode::File),
            _ => Err(Problem::new(format!("unknown body mode {text:?}"))
                .hint("use none, inline, base64 or file")),
        }
    }
}

/// How much of the attempts a row shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attempts {
    /// `n`, `proxy`, `outcome`, `status`, `t_ms` and `wait_ms`.
    #[default]
    Short,
    /// All of it, with blame, rule and error.
    Full,
}

impl FromStr for Attempts {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        match text {
            "short" => Ok(Attempts::Short),
            "full" => Ok(Attempts::Full),
            _ => Err(Problem::new(format!("unknown detail of attempts {text:?}"))
                .hint("use short or full")),
        }
    }
}

/// The names `--fields` accepts in JSON outputs, in the order of the row.
pub fn field_names() -> impl Iterator<Item = &'static str> {
    fields::Field::ALL.into_iter().map(fields::Field::name)
}

#[cfg(test)]
mod tests;
