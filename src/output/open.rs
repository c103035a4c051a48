//! Opening an output: checks, lock, and what the mode says about rows that are there.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use super::again::{Settling, Waiting};
use super::body::BodyStore;
use super::chunk::Chunk;
use super::encode::Encoder;
use super::journal::{Scan, no_key};
use super::render::Renderer;
use super::sink::{Aside, Sink};
use super::target;
use super::write_out::WriteOut;
use super::writer::Writer;
use super::{BodyMode, Format, Mode, Settings};
use crate::error::{Error, Problem};
use crate::job::DoneSet;
use crate::outcome::Outcome;

/// An output that is ready to be written.
#[derive(Debug)]
pub struct Opened {
    /// Holds the lock; start it to write.
    pub writer: Writer,
    /// Jobs that the file has a row for that settles them; empty but for [`Mode::Resume`].
    pub done: DoneSet,
    /// How those jobs ended.
    pub earlier: Earlier,
    /// What was done to the file.
    pub repaired: Repair,
}

/// How the jobs ended whose rows a resumed run finds and keeps: what it does is the rest of one piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Earlier {
    /// Rows with outcome `ok`.
    pub ok: u64,
    /// Rows with another one.
    pub failed: u64,
    /// Bans and rate limits among those.
    pub blocked: u64,
}

impl Earlier {
    pub(super) fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.ok += 1,
            _ => self.failed += 1,
        }
        if matches!(outcome, Outcome::Banned | Outcome::RateLimited) {
            self.blocked += 1;
        }
    }

    /// These and others.
    pub fn and(self, others: Earlier) -> Earlier {
        Earlier {
            ok: self.ok + others.ok,
            failed: self.failed + others.failed,
            blocked: self.blocked + others.blocked,
        }
    }

    /// All of them.
    pub fn all(&self) -> u64 {
        self.ok + self.failed
    }
}

/// What opening did to the rows of an existing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repair {
    /// Bytes of a torn row that were cut; the closing bracket of a JSON array does not count.
    pub cut_bytes: u64,
    /// Rows that are there.
    pub rows: u64,
    /// Those of them that stay until their jobs, which are taken up again, have a newer one.
    pub waiting: u64,
}

/// Opens, locks and if need be repairs the output. Nothing is written to a file that is refused.
///
/// # Errors
/// [`Error::Usage`]: settings that contradict each other, an unknown field or `-w` variable, an existing file with
/// [`Mode::New`], damage that is more than a torn last row. [`Error::Locked`]: another run writes this file. [`Error::Io`].
pub fn open(settings: Settings) -> Result<Opened, Error> {
    check(&settings)?;
    let mut encoder = Encoder::new(&settings)?;
    if settings.path.is_none() && io::stdout().is_terminal() {
        encoder.for_terminal();
    }
    let (write_out, aside) = match &settings.write_out {
        Some(format) => (
            Some(WriteOut::parse(format, io::stdout().is_terminal())?),
            Some(Aside::new(target::stdout()?)),
        ),
        None => (None, None),
    };
    let begun = match &settings.path {
        None => {
            let sink = Sink::new(target::stdout()?, "standard output".into(), true)?;
            as_new(sink)
        }
        Some(path) => open_file(path, &settings, &mut encoder)?,
    };
    // Last, so that a refused output leaves no directory behind.
    let bodies = match (settings.body, settings.save_dir) {
        (BodyMode::File, Some(directory)) => Some(BodyStore::create(directory)?),
        _ => None,
    };
    let Begun {
        sink,
        before,
        settled: (done, earlier),
        waiting,
        settling,
        repaired,
    } = begun;
    let renderer = Renderer::new(
        encoder,
        settings.body,
        write_out,
        settings.attempts,
        waiting,
    );
    Ok(Opened {
        writer: Writer::new(sink, before, renderer, bodies, aside, settling),
        done,
        earlier,
        repaired,
    })
}

/// Whether the records can be made as the settings say: what [`open()`] refuses without having looked at a file.
///
/// # Errors
/// A field or a variable that does not exist.
pub fn check_form(settings: &Settings) -> Result<(), Problem> {
    Encoder::new(settings)?;
    if let Some(format) = &settings.write_out {
        WriteOut::parse(format, false)?;
    }
    Ok(())
}

fn check(settings: &Settings) -> Result<(), Problem> {
    if settings.path.is_none() && settings.write_out.is_some() {
        return Err(
            Problem::new("records and --write-out would both go to standard output")
                .at("--write-out")
                .hint("send the records to a file with -o out.jsonl"),
        );
    }
    if settings.path.is_none() && settings.mode == Mode::Resume {
        return Err(Problem::new("standard output cannot be resumed")
            .at("--resume")
            .hint("name a file with -o out.jsonl"));
    }
    if settings.retry_failed && settings.mode != Mode::Resume {
        return Err(
            Problem::new("there is nothing to retry without the earlier output")
                .at("--retry-failed")
                .hint("add --resume"),
        );
    }
    if settings.mode == Mode::Resume
        && let Some(fields) = &settings.fields
        && !["id", "outcome"]
            .iter()
            .all(|name| fields.iter().any(|field| field.trim() == *name))
    {
        return Err(no_key().at("--fields"));
    }
    if settings.rows
        && matches!(settings.mode, Mode::Append | Mode::Resume)
        && let Some(fields) = &settings.fields
        && !["row", "rows"]
            .iter()
            .all(|name| fields.iter().any(|field| field == name))
    {
        return Err(Problem::new(
            "without row and rows nobody can tell whether all rows of an input are there",
        )
        .at("--fields")
        .hint("name row and rows in --fields, beside id and outcome"));
    }
    if settings.body == BodyMode::File && settings.save_dir.is_none() {
        return Err(Problem::new("no directory for the body files")
            .at("--body file")
            .hint("name one with --save-dir pages"));
    }
    Ok(())
}

/// A file that rows can be added to.
struct Begun {
    sink: Sink,
    /// What it lacks before the first row.
    before: Chunk,
    /// Jobs that are done, and how they ended.
    settled: (DoneSet, Earlier),
    /// Jobs whose rows stay until there is a newer one.
    waiting: Waiting,
    /// What is due after the last row.
    settling: Option<Settling>,
    repaired: Repair,
}

fn as_new(sink: Sink) -> Begun {
    Begun {
        sink,
        before: Chunk::default(),
        settled: Default::default(),
        waiting: Waiting::default(),
        settling: None,
        repaired: Repair::default(),
    }
}

fn open_file(path: &Path, settings: &Settings, encoder: &mut Encoder) -> Result<Begun, Error> {
    let file = target::open_locked(path)?;
    let metadata = file
        .metadata()
        .map_err(|error| Error::io("read", path, error))?;
    let sink = |file: File, new: bool| Sink::new(file, path.to_owned(), new);
    if !metadata.is_file() {
        if settings.mode == Mode::Resume {
            return Err(Problem::new("only a regular file can be resumed")
                .at(path.display().to_string())
                .into());
        }
        return Ok(as_new(sink(file, true)?));
    }
    match settings.mode {
        Mode::New if metadata.len() > 0 => {
            return Err(Problem::new("the output exists")
                .at(path.display().to_string())
                .hint(
                    "go on with --resume, add to it with --append, or replace it with --overwrite",
                )
                .into());
        }
        Mode::Overwrite => {
            target::cut(&file, 0).map_err(|error| Error::io("write", path, error))?;
        }
        Mode::Append | Mode::Resume if metadata.len() > 0 => {
            return continue_file(file, path, settings, encoder, metadata.len());
        }
        Mode::New | Mode::Append | Mode::Resume => {}
    }
    Ok(as_new(sink(file, true)?))
}

/// Repairs a file with content and goes to its end.
fn continue_file(
    mut file: File,
    path: &Path,
    settings: &Settings,
    encoder: &mut Encoder,
    length: u64,
) -> Result<Begun, Error> {
    let mut header = Vec::new();
    encoder.begin(&mut header);
    let scan = Scan {
        path,
        format: settings.format,
        header: &header,
        resume: settings.mode == Mode::Resume,
        retry_failed: settings.retry_failed,
    };
    let mut found = scan.run(&file)?;
    let write = |error| Error::io("write", path, error);
    let tail = closing_bracket(&file, path, settings.format, found.end, length)?;
    let cut_bytes = length - found.end - tail;
    if found.marked {
        file = scan.settle(&file, found, &[])?;
        found = scan.run(&file)?;
    }
    target::cut(&file, found.end).map_err(write)?;
    // An array that has its bracket and nothing else, or a table that lost its header, starts anew.
    let new = match settings.format {
        Format::Jsonl => false,
        Format::Json => found.rows == 0,
        Format::Csv => found.end == 0,
    };
    if new {
        target::cut(&file, 0).map_err(write)?;
    } else if found.rows > 0 {
        encoder.continue_after_rows();
    }
    let mut before = Chunk::default();
    if found.unfinished && settings.format == Format::Jsonl {
        // The last row lacks its line feed.
        before.bytes.push(b'\n');
        before.mark();
    }
    let repaired = Repair {
        cut_bytes,
        rows: found.rows,
        waiting: found.waiting.len(),
    };
    Ok(Begun {
        sink: Sink::new(file, path.to_owned(), new)?,
        before,
        settled: (found.done, found.earlier),
        settling: Settling::of(&found.waiting, settings.format, header),
        waiting: found.waiting,
        repaired,
    })
}

/// Bytes after the last element that are the regular end of an array, not a torn row.
fn closing_bracket(
    mut file: &File,
    path: &Path,
    format: Format,
    end: u64,
    length: u64,
) -> Result<u64, Error> {
    use std::io::{Read, Seek, SeekFrom};
    // `\n]\n`, or the comma and line feed before an element that was never written.
    const LONGEST: u64 = 3;
    let rest = length - end;
    if format != Format::Json || rest > LONGEST {
        return Ok(0);
    }
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(end))
        .and_then(|_| file.read_to_end(&mut tail))
        .map_err(|error| Error::io("read", path, error))?;
    let regular = tail.iter().all(|byte| matches!(byte, b'\n' | b']' | b','));
    Ok(if regular { rest } else { 0 })
}
