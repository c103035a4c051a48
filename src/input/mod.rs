//! Where jobs come from: arguments, text, JSONL and CSV, streamed with a bounded look-ahead.
//!
//! One thread reads, cuts the input into lines or rows, and hands over blocks of them through a bounded channel, so memory is
//! flat however long the input is and the run waits for the input (or the input for the run), never both. The run's own task
//! makes small batches of jobs of them. Every line becomes one job: what cannot be fetched is a job whose target says why,
//! because a list of a million lines must not fail at line 999,999.
//!
//! | format | one job is | beside the URL |
//! |---|---|---|
//! | text | a line; `#` comments and blank lines are not jobs | nothing |
//! | jsonl | an object with `url` | `method headers body json tag session proxy` |
//! | csv, tsv | a row below the header | the other columns, as `tag` |
//!
//! The format is `--input-format`, else the suffix of the file, else text: the content is never guessed at, but what is no text at
//! all is refused. This module does
//! not deduplicate, and it does not decide whether standard input should be read; it reads it when told to.

mod block;
mod csv;
mod jsonl;
mod outlook;
mod reader;
pub mod saved;
mod sitemap;
mod source;
mod stream;
mod text;

pub use outlook::ToCome;
pub use sitemap::Since;
pub use source::{Prepared, ReaderSource};
pub use stream::{Channel, StreamSource};

use std::ffi::OsStr;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use url::Url;

use crate::error::{Error, Problem};
use crate::job::{DoneSet, InvalidUrl, Job, JobId, RequestSpec, Role, parse_target};
use crate::outcome::Finished;

/// Jobs in one batch at most. Large enough that a round of the run costs little per job, small enough not to hold it up.
pub const BATCH: usize = 64;

/// Bytes of a sitemap that are read, unpacked: twice what its protocol allows.
pub const MOST_SITEMAP_BYTES: u64 = 100 * 1024 * 1024;

/// Bytes asked of the system at a time.
const BUFFER: usize = 64 * 1024;

/// A stream of jobs in small batches. Implemented for files and for the library's own streams.
pub trait JobSource: Send + 'static {
    /// The next jobs, `None` at the end. Cancel-safe: a dropped call loses nothing.
    fn next(&mut self) -> impl Future<Output = Option<Result<Vec<Job>, Error>>> + Send;

    /// What became of a job that was given out to bring something ([`Role::Sitemap`]). Gives it back when it is to have a row.
    fn answered(&mut self, done: Finished) -> Option<Finished> {
        Some(done)
    }

    /// About how many jobs are still to come; `None` when nobody can know, as of a pipe.
    fn remaining(&self) -> Option<u64> {
        None
    }
}

/// What to read and how.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// URLs named as arguments; they come first.
    pub urls: Vec<String>,
    /// Files in the order given.
    pub files: Vec<Source>,
    /// Format of all files; `None` goes by the suffix of each.
    pub format: Option<InputFormat>,
    /// CSV column that holds the URL; `None` finds it by its name.
    pub url_column: Option<String>,
    /// Pages that a sitemap says have not changed since are left out.
    pub sitemap_since: Option<Since>,
    /// Method, headers and body of every job that does not say otherwise.
    pub request: Arc<RequestSpec>,
}

/// One place jobs are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file or named pipe.
    File(PathBuf),
    /// Standard input, at most once.
    Stdin,
    /// A sitemap in a file.
    Sitemap(PathBuf),
    /// A sitemap, or a robots.txt that names some, to be fetched through the pool.
    SitemapAt(Url),
}

impl Source {
    /// What `-i` names: `-`, a file, or `sitemap:` with a file or an address.
    ///
    /// # Errors
    /// An address that is not one of http or https.
    pub fn of(text: &str) -> Result<Self, Problem> {
        let Some(place) = text.strip_prefix("sitemap:") else {
            return Ok(match text {
                "-" => Source::Stdin,
                path => Source::File(path.into()),
            });
        };
        if place.is_empty() || place == "-" {
            return Err(Problem::new("sitemap: needs a file or an address")
                .at(format!("-i {text}"))
                .hint("name one, as in -i sitemap:https://example.com/sitemap.xml"));
        }
        if !place.contains("://") {
            return Ok(Source::Sitemap(place.into()));
        }
        parse_target(place).map(Source::SitemapAt).map_err(|why| {
            Problem::new(format!("a sitemap cannot be fetched: {why}")).at(format!("-i {text}"))
        })
    }

    /// True for a sitemap.
    pub fn is_sitemap(&self) -> bool {
        matches!(self, Source::Sitemap(_) | Source::SitemapAt(_))
    }

    /// Bytes to be read from it; `None` when only its end will tell.
    fn size(&self) -> Option<u64> {
        match self {
            Source::Stdin | Source::Sitemap(_) | Source::SitemapAt(_) => None,
            Source::File(path) => {
                let metadata = std::fs::metadata(path).ok()?;
                metadata.is_file().then_some(metadata.len())
            }
        }
    }

    fn format(&self) -> InputFormat {
        let suffix = match self {
            Source::File(path) => path.extension().and_then(OsStr::to_str).unwrap_or(""),
            Source::Stdin | Source::Sitemap(_) | Source::SitemapAt(_) => "",
        };
        suffix.parse().unwrap_or(InputFormat::Text)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) | Source::Sitemap(path) => path.display().fmt(f),
            Source::SitemapAt(url) => url.fmt(f),
            Source::Stdin => f.write_str("<stdin>"),
        }
    }
}

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputFormat {
    /// One URL a line.
    Text,
    /// One JSON object a line.
    Jsonl,
    /// Separated values with a header row, which shows what separates them.
    Csv,
    /// The same, separated by tabs.
    Tsv,
}

impl FromStr for InputFormat {
    type Err = Problem;

    /// Reads `text` (or `txt`), `jsonl` (or `ndjson`), `csv` and `tsv`, in any case.
    fn from_str(text: &str) -> Result<Self, Problem> {
        match text.to_ascii_lowercase().as_str() {
            "text" | "txt" => Ok(InputFormat::Text),
            "jsonl" | "ndjson" => Ok(InputFormat::Jsonl),
            "csv" => Ok(InputFormat::Csv),
            "tsv" => Ok(InputFormat::Tsv),
            _ => Err(Problem::new(format!("unknown input format {text:?}"))
                .hint("use text, jsonl, csv or tsv")),
        }
    }
}

/// Opens every file and checks what can be checked before the run starts.
///
/// Call [`Prepared::start`] to begin reading. The two steps are apart because an output file wants to know the tag columns of
/// the input, and the input wants to know what the output already holds.
///
/// # Errors
/// [`Error::Usage`] for no input at all, a directory, standard input named twice, a CSV without a usable URL
/// column; [`Error::Io`] when a file cannot be opened or its CSV header cannot be read.
pub fn prepare(settings: Settings) -> Result<Prepared, Error> {
    Prepared::new(settings)
}

/// [`prepare`] and start in one step; jobs in `done` are skipped and counted.
///
/// # Errors
/// As [`prepare`]; [`Error::Io`] also when no thread can be started.
pub fn open(settings: Settings, done: DoneSet) -> Result<ReaderSource, Error> {
    prepare(settings)?.start(done)
}

/// Characters of an unusable line that are shown in its record.
const SHOWN_CHARS: usize = 200;

/// A job that is a record from the start: `shown` is its input, `whole` tells it from other broken lines.
fn invalid(
    seq: u64,
    shown: &str,
    whole: &str,
    why: impl Into<Box<str>>,
    request: &Arc<RequestSpec>,
) -> Job {
    let id = JobId::of(&request.method, whole.trim(), &request.body);
    Job {
        seq,
        id,
        page: id,
        input: shown.chars().take(SHOWN_CHARS).collect::<String>().into(),
        target: Err(InvalidUrl(why.into())),
        request: request.clone(),
        tag: None,
        session: None,
        filter: None,
        role: Role::Named,
    }
}
