//! Rows that are had anew: each stays where it is until the row that takes its place is there.
//!
//! A run only ever adds to the file. A row that takes the place of an older one of its job carries a mark: a blank before the
//! object, and in CSV quotes around the `id`, which it never needs. Readers do not see either. When the run ends, the file is
//! settled: written anew without the older rows and without the marks, and put in place as a whole. A run that dies before
//! leaves the marks, so whoever resumes settles first. What is in memory for it are ids.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::Format;
use super::journal::{BUFFER, Found, Scan};
use super::open::Earlier;
use super::target::Replacement;
use crate::error::Error;
use crate::job::{DoneSet, JobId};
use crate::outcome::Outcome;

/// Jobs whose rows may be replaced, by how they ended; what was never seen through goes first.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    classes: [DoneSet; CLASSES],
    counts: [u64; CLASSES],
}

const CLASSES: usize = 3;
const UNFINISHED: usize = 0;
const FAILED: usize = 1;
const BLOCKED: usize = 2;

/// `None` for what nothing replaces.
fn class_of(outcome: Outcome) -> Option<usize> {
    match outcome {
        Outcome::Ok => None,
        Outcome::Banned | Outcome::RateLimited => Some(BLOCKED),
        other if other.is_final() => Some(FAILED),
        _ => Some(UNFINISHED),
    }
}

impl Waiting {
    /// Remembers a row, unless it is one that nothing replaces.
    pub(super) fn note(&mut self, id: JobId, outcome: Outcome) {
        if let Some(class) = class_of(outcome) {
            self.insert(id, class);
        }
    }

    fn insert(&mut self, id: JobId, class: usize) {
        self.classes[class].insert(id);
        self.counts[class] += 1;
    }

    /// Takes the row whose place a new one of this job takes.
    fn take_any(&mut self, id: JobId) -> Option<usize> {
        (0..CLASSES).find(|class| self.take_from(id, *class))
    }

    fn take_from(&mut self, id: JobId, class: usize) -> bool {
        let taken = self.classes[class].take(id);
        self.counts[class] -= u64::from(taken);
        taken
    }

    /// True when a new row of this job takes the place of one that is there; uses that up.
    pub(super) fn take(&mut self, id: JobId) -> bool {
        self.take_any(id).is_some()
    }

    /// Moves the row that a new one of this job replaces to `gone`.
    pub(super) fn replace(&mut self, id: JobId, gone: &mut Waiting) {
        if let Some(class) = self.take_any(id) {
            gone.insert(id, class);
        }
    }

    /// Only what was never seen through.
    pub(super) fn only_unfinished(mut self) -> Self {
        for class in [FAILED, BLOCKED] {
            self.classes[class] = DoneSet::default();
            self.counts[class] = 0;
        }
        self
    }

    pub(super) fn len(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What was waiting and is not `gone`.
    fn left(counts: [u64; CLASSES], gone: &Waiting) -> Earlier {
        let left = |class: usize| counts[class].saturating_sub(gone.counts[class]);
        Earlier {
            ok: 0,
            failed: (0..CLASSES).map(left).sum(),
            blocked: left(BLOCKED),
        }
    }
}

/// What is to be done to the file once the last row is written.
pub(super) struct Settling {
    format: Format,
    header: Vec<u8>,
    waiting: [u64; CLASSES],
}

impl Settling {
    /// `None` when no row waits for another.
    pub(super) fn of(waiting: &Waiting, format: Format, header: Vec<u8>) -> Option<Self> {
        (waiting.len() > 0).then_some(Settling {
            format,
            header,
            waiting: waiting.counts,
        })
    }

    /// Takes out what was replaced; returns the file that took the place of `file`, if one had to, and the rows still waiting.
    /// `after` ends the file.
    ///
    /// # Errors
    /// [`Error::Io`]; both the older rows and the new ones are there then, and resuming settles it.
    pub(super) fn run(
        &self,
        path: &Path,
        file: &File,
        after: &[u8],
    ) -> Result<(Option<File>, Earlier), Error> {
        let scan = Scan {
            path,
            format: self.format,
            header: &self.header,
            resume: true,
            retry_failed: false,
        };
        let found = scan.run(file)?;
        let left = Waiting::left(self.waiting, &found.gone);
        let settled = match found.marked {
            true => Some(scan.settle(file, found, after)?),
            false => None,
        };
        Ok((settled, left))
    }
}

impl Scan<'_> {
    /// Puts a file in the place of `file` that lacks the rows which were replaced. `after` ends it.
    pub(super) fn settle(&self, file: &File, found: Found, after: &[u8]) -> Result<File, Error> {
        let replacement = Replacement::beside(self.path, file)?;
        if let Err(error) = self.rewrite(file, found, &replacement, after) {
            replacement.discard();
            return Err(error);
        }
        replacement.install()
    }

    fn rewrite(
        &self,
        file: &File,
        Found { end, mut gone, .. }: Found,
        replacement: &Replacement,
        after: &[u8],
    ) -> Result<(), Error> {
        let mut out = BufWriter::with_capacity(BUFFER, &replacement.file);
        let mut begin = || -> io::Result<()> {
            match self.format {
                Format::Jsonl => Ok(()),
                Format::Json => out.write_all(b"["),
                Format::Csv => out.write_all(self.header),
            }
        };
        let failed = |error| Error::io("write", self.path, error);
        begin().map_err(failed)?;
        let mut any = false;
        // The rows of one input go together.
        let mut goes = false;
        self.walk(file, &mut |row, read| {
            if read.offset >= end {
                return Ok(());
            }
            let key = &read.key;
            if key.place.is_none_or(|place| place.row == 1) {
                let class = key.outcome.and_then(class_of);
                goes = !key.marked
                    && matches!((key.id, class), (Some(id), Some(class)) if gone.take_from(id, class));
            }
            if goes {
                return Ok(());
            }
            if self.format == Format::Json {
                out.write_all(if any { b",\n" } else { b"\n" })?;
                any = true;
            }
            match (key.marked, self.format) {
                (false, _) => out.write_all(row)?,
                (true, Format::Json | Format::Jsonl) => out.write_all(&row[1..])?,
                (true, Format::Csv) => out.write_all(&without_mark(row, key.id))?,
            }
            match self.format {
                Format::Json => Ok(()),
                Format::Jsonl | Format::Csv => out.write_all(b"\n"),
            }
        })?;
        out.write_all(after)
            .and_then(|()| out.flush())
            .map_err(failed)
    }
}

/// Where a CSV row has its mark: the id as a cell in quotes. A quoted cell that has these bytes within has its quotes doubled.
pub(super) fn mark_in(row: &[u8], id: JobId) -> Option<std::ops::Range<usize>> {
    let quoted = format!("\"{id}\"");
    let is_cell = |at: &usize| {
        (*at == 0 || row[*at - 1] == b',') && row.get(at + quoted.len()).is_none_or(|b| *b == b',')
    };
    let at = memchr::memmem::find_iter(row, quoted.as_bytes()).find(is_cell)?;
    Some(at..at + quoted.len())
}

fn without_mark(row: &[u8], id: Option<JobId>) -> Vec<u8> {
    let mut row = row.to_vec();
    if let Some(mark) = id.and_then(|id| mark_in(&row, id)) {
        row.remove(mark.end - 1);
        row.remove(mark.start);
    }
    row
}
