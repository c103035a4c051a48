//! Reading an output back: which rows are whole, which jobs they settle, where the file has to be cut.
//!
//! A run that dies leaves whole rows and at most one torn one, at the end: rows are written front to back, many in one
//! `write`. So a torn *last* row is expected and is cut, and everything else that is not a row was not done by a crash; it is
//! refused with its line and byte, because cutting there would throw away rows that somebody may still want.
//!
//! A last row without its line feed is whole if it parses (JSON says so itself) and torn otherwise. A CSV row without its line
//! feed is always torn, since nothing else tells a whole last cell from half of one.
//!
//! The scan streams: one row is in memory at a time, and [`DoneSet`] grows by 16 bytes per row.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use super::Format;
use super::again::{Waiting, mark_in};
use super::fields::Field;
use super::group::{Group, Place};
use super::lines::{Line, Lines, MAX_ROW, cells};
use super::open::Earlier;
use crate::error::{Error, Problem};
use crate::job::{DoneSet, JobId};
use crate::outcome::Outcome;

pub(super) const BUFFER: usize = 256 * 1024;

/// What to look for.
pub(super) struct Scan<'a> {
    pub(super) path: &'a Path,
    pub(super) format: Format,
    /// CSV: the header this run would write, with its line feed.
    pub(super) header: &'a [u8],
    /// Rows have to say their `id` and `outcome`.
    pub(super) resume: bool,
    /// Rows that are not `ok` wait for another go.
    pub(super) retry_failed: bool,
}

/// What the file holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Jobs with a row that settles them.
    pub(super) done: DoneSet,
    /// How they ended.
    pub(super) earlier: Earlier,
    /// Jobs with a row that stays until there is a newer one.
    pub(super) waiting: Waiting,
    /// Whole rows.
    pub(super) rows: u64,
    /// There are rows of a run that died before it could take out those that they replace...
    pub(super) marked: bool,
    /// ...which are these.
    pub(super) gone: Waiting,
    /// Bytes up to the end of the last whole row, or of the header.
    pub(super) end: u64,
    /// The last whole row lacks its line feed (JSONL).
    pub(super) unfinished: bool,
}

impl Scan<'_> {
    /// Reads the whole file.
    ///
    /// # Errors
    /// [`Error::Usage`] for damage that is not a torn last row and for files of another kind; [`Error::Io`].
    pub(super) fn run(&self, file: &File) -> Result<Found, Error> {
        let mut found = Found::default();
        let mut waiting = Waiting::default();
        // Rows of an input that is not whole yet.
        let mut open = 0;
        let walked = self.walk(file, &mut |_, Read { key, is_last, .. }| {
            open += 1;
            if !is_last {
                return Ok(());
            }
            found.rows += std::mem::take(&mut open);
            let (true, Some(id), Some(outcome)) = (self.resume, key.id, key.outcome) else {
                return Ok(());
            };
            if key.marked {
                found.marked = true;
                waiting.replace(id, &mut found.gone);
            } else {
                waiting.note(id, outcome);
            }
            if outcome.is_final() && (outcome == Outcome::Ok || !self.retry_failed) {
                found.done.insert(id);
                found.earlier.note(outcome);
            }
            Ok(())
        })?;
        found.waiting = match self.retry_failed {
            true => waiting,
            false => waiting.only_unfinished(),
        };
        found.end = walked.end;
        found.unfinished = walked.unfinished;
        Ok(found)
    }

    /// Calls `visit` for every whole row, without its separators.
    pub(super) fn walk(
        &self,
        mut file: &File,
        visit: &mut dyn FnMut(&[u8], Read) -> io::Result<()>,
    ) -> Result<Walked, Error> {
        let io = |error| Error::io("read", self.path, error);
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        let mut lines = Lines::new(
            BufReader::with_capacity(BUFFER, file),
            self.format == Format::Csv,
        );
        let mut walked = Walked::default();
        // Where the rows end that are all there.
        let mut whole = Walked::default();
        let mut group = Group::default();
        let mut shape = Shape::Begin;
        let mut torn: Option<Torn> = None;
        while let Some(line) = lines.next().map_err(io)? {
            if let Some(torn) = torn {
                return Err(self.damaged(&torn));
            }
            let content = lines.content();
            if line.length > MAX_ROW {
                return Err(self.damaged(&line.torn("a row longer than 1 GiB")));
            }
            let judged = self.judge(content, line.complete, &mut shape);
            match judged {
                Ok(Judged::Row { length, key }) => {
                    let io = |error| Error::io("write", self.path, error);
                    let is_last = match group.take(&key) {
                        Ok(is_last) => is_last,
                        Err(why) => return Err(self.damaged(&line.torn(why))),
                    };
                    let offset = line.offset;
                    let read = Read {
                        key,
                        is_last,
                        offset,
                    };
                    visit(&content[..length], read).map_err(io)?;
                    walked.rows += 1;
                    walked.unfinished = !line.complete;
                    walked.end = match self.format {
                        Format::Json => line.offset + length as u64,
                        _ => line.offset + line.length,
                    };
                    if is_last {
                        whole = walked;
                    }
                }
                Ok(Judged::Frame) => {
                    if !matches!(shape, Shape::Closed) {
                        walked.end = line.offset + content.len() as u64;
                        walked.end += u64::from(self.format == Format::Csv);
                        whole = walked;
                    }
                }
                Err(Trouble::NotARow(why)) => {
                    let tail = content;
                    if walked.rows == 0 && !self.may_be_ours(tail, line.complete, &shape) {
                        return Err(self.foreign(line.number, &why));
                    }
                    if self.format == Format::Csv
                        && let Some(hidden) = self.hidden_row(tail, &shape)
                    {
                        return Err(self.damaged(&Torn {
                            why: format!(
                                "a quote is never closed, and line {} looks like a row",
                                line.number + hidden
                            )
                            .into(),
                            ..line.torn("")
                        }));
                    }
                    torn = Some(line.torn(why));
                }
                Err(Trouble::Refused(problem)) => {
                    return Err(problem
                        .at(format!("{}:{}", self.path.display(), line.number))
                        .into());
                }
            }
        }
        Ok(if group.is_open() { whole } else { walked })
    }

    /// What a line is, given what came before it.
    fn judge(&self, line: &[u8], complete: bool, shape: &mut Shape) -> Result<Judged, Trouble> {
        match self.format {
            Format::Jsonl => Ok(Judged::Row {
                length: line.len(),
                key: self.json_key(line)?,
            }),
            Format::Json => self.judge_element(line, shape),
            Format::Csv => self.judge_cells(line, complete, shape),
        }
    }

    fn judge_element(&self, line: &[u8], shape: &mut Shape) -> Result<Judged, Trouble> {
        match (&*shape, line.trim_ascii()) {
            (Shape::Begin, b"[") => *shape = Shape::Open { comma: true },
            (Shape::Begin, b"[]") => *shape = Shape::Closed,
            (Shape::Begin, _) => return Err(Trouble::NotARow("no [ on a line of its own".into())),
            (Shape::Open { .. }, b"]") => *shape = Shape::Closed,
            (Shape::Open { comma: true }, _) => {
                let (element, comma) = match line.strip_suffix(b",") {
                    Some(element) => (element, true),
                    None => (line, false),
                };
                let key = self.json_key(element)?;
                *shape = Shape::Open { comma };
                return Ok(Judged::Row {
                    length: element.len(),
                    key,
                });
            }
            (Shape::Open { comma: false }, _) => {
                return Err(Trouble::NotARow("no comma between two elements".into()));
            }
            (Shape::Closed, _) => return Err(Trouble::NotARow("it is below the closing ]".into())),
            (Shape::Table { .. }, _) => unreachable!("only CSV has columns"),
        }
        // The bracket itself: `end` is after it for `[`, and stays at the last element for `]`.
        Ok(Judged::Frame)
    }

    fn judge_cells(
        &self,
        line: &[u8],
        complete: bool,
        shape: &mut Shape,
    ) -> Result<Judged, Trouble> {
        if !complete {
            return Err(Trouble::NotARow("it does not end".into()));
        }
        if let Shape::Table {
            columns,
            id,
            outcome,
            place,
        } = *shape
        {
            let cells = cells(line);
            if cells.len() != columns {
                let why = format!("it has {} cells, the header {columns}", cells.len());
                return Err(Trouble::NotARow(why.into()));
            }
            let cell = |at: Option<usize>| at.map(|at| cells[at].clone());
            let not_a_row = |why: &str| Trouble::NotARow(why.into());
            let mut key = key_of(cell(id), cell(outcome)).map_err(not_a_row)?;
            let number = |at: Option<usize>| match cell(at).filter(|cell| !cell.is_empty()) {
                None => Ok(None),
                Some(cell) => match std::str::from_utf8(&cell).map(str::parse) {
                    Ok(Ok(number)) => Ok(Some(number)),
                    _ => Err(not_a_row("row and rows are no numbers")),
                },
            };
            key.place = Place::of(number(place.0)?, number(place.1)?);
            key.marked = key.id.is_some_and(|id| mark_in(line, id).is_some());
            return Ok(Judged::Row {
                length: line.len(),
                key,
            });
        }
        let header = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let header = header.strip_suffix(b"\r").unwrap_or(header);
        let wanted = self.header.strip_suffix(b"\n").unwrap_or(self.header);
        if header != wanted {
            return Err(Trouble::Refused(
                Problem::new("the file has other columns than this run would write").hint(
                    "use the --fields, --body, --select and tag columns of the earlier run, or another -o",
                ),
            ));
        }
        let names = cells(header);
        let find = |name: &str| names.iter().position(|cell| **cell == *name.as_bytes());
        let (id, outcome) = (find("id"), find("outcome"));
        if self.resume && (id.is_none() || outcome.is_none()) {
            return Err(Trouble::Refused(no_key()));
        }
        *shape = Shape::Table {
            columns: names.len(),
            id,
            outcome,
            place: (find("row"), find("rows")),
        };
        Ok(Judged::Frame)
    }

    fn json_key(&self, row: &[u8]) -> Result<Key, Trouble> {
        /// The keys a resuming run needs; the rest is only checked for being JSON.
        #[derive(Deserialize)]
        struct Keys<'a> {
            #[serde(borrow)]
            id: Option<Cow<'a, str>>,
            #[serde(borrow)]
            outcome: Option<Cow<'a, str>>,
            row: Option<u32>,
            rows: Option<u32>,
        }
        let not_a_row = |why: String| Trouble::NotARow(why.into());
        // Checked whole: serde_json does not look into the strings it skips.
        let text = std::str::from_utf8(row).map_err(|error| not_a_row(error.to_string()))?;
        let (text, marked) = match text.strip_prefix(' ') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        if !text.starts_with('{') {
            return Err(Trouble::NotARow("it is not an object".into()));
        }
        let keys: Keys<'_> =
            serde_json::from_str(text).map_err(|error| not_a_row(error.to_string()))?;
        if self.resume && (keys.id.is_none() || keys.outcome.is_none()) {
            return Err(Trouble::Refused(no_key()));
        }
        let bytes = |text: Cow<'_, str>| Cow::Owned(text.into_owned().into_bytes());
        let place = Place::of(keys.row, keys.rows);
        let key = key_of(keys.id.map(bytes), keys.outcome.map(bytes));
        let key = key.map_err(|why| not_a_row(why.to_owned()))?;
        Ok(Key {
            place,
            marked,
            ..key
        })
    }

    /// True when a file without a single row may be what a run left that died in its first write.
    fn may_be_ours(&self, tail: &[u8], complete: bool, shape: &Shape) -> bool {
        let nul = tail.iter().rev().take_while(|byte| **byte == 0).count();
        let tail = &tail[..tail.len() - nul];
        let begins = |with: &[u8]| {
            let shared = tail.len().min(with.len());
            tail[..shared] == with[..shared]
        };
        match (self.format, shape) {
            // The header was this program's.
            (Format::Csv, Shape::Table { .. }) => true,
            _ if complete => false,
            (Format::Json, Shape::Begin) => tail.is_empty(),
            (Format::Csv, Shape::Begin) => tail.len() < self.header.len() && begins(self.header),
            _ => Field::ALL
                .into_iter()
                .any(|field| begins(format!("{{\"{}\":", field.name()).as_bytes())),
        }
    }

    /// The line, counted from 0, of a row inside what an unclosed quote has swallowed.
    fn hidden_row(&self, tail: &[u8], shape: &Shape) -> Option<u64> {
        let Shape::Table { id: Some(_), .. } = shape else {
            return None;
        };
        let mut lines = tail.split(|byte| *byte == b'\n').enumerate().skip(1);
        lines.find_map(|(at, line)| {
            let mut shape = shape.clone();
            let is_row = self.judge_cells(line, true, &mut shape).is_ok();
            is_row.then_some(at as u64)
        })
    }

    fn damaged(&self, torn: &Torn) -> Error {
        let Torn {
            number,
            offset,
            why,
        } = torn;
        Problem::new(format!("damaged row at byte {offset}: {why}"))
            .at(format!("{}:{number}", self.path.display()))
            .hint("only a torn last row is repaired; mend or remove that line, or start anew with --overwrite")
            .into()
    }

    fn foreign(&self, number: u64, why: &str) -> Error {
        Problem::new(format!("this file is not an output of this program: {why}"))
            .at(format!("{}:{number}", self.path.display()))
            .hint("check the path and --format, or replace the file with --overwrite")
            .into()
    }
}

pub(super) fn no_key() -> Problem {
    Problem::new("the row has no id or no outcome, so nobody can tell what is done")
        .hint("name id and outcome in --fields for outputs that are to be resumed")
}

/// What a row says about its job; id and outcome are there when the scan is for a resuming run.
pub(super) struct Key {
    pub(super) id: Option<JobId>,
    pub(super) outcome: Option<Outcome>,
    /// Among the rows of its input.
    pub(super) place: Option<Place>,
    /// It takes the place of an older row; see [`super::again`].
    pub(super) marked: bool,
}

/// A row that was read.
pub(super) struct Read {
    pub(super) key: Key,
    /// It is the last of its input.
    pub(super) is_last: bool,
    /// Of its first byte.
    pub(super) offset: u64,
}

fn key_of(id: Option<Cow<'_, [u8]>>, outcome: Option<Cow<'_, [u8]>>) -> Result<Key, &'static str> {
    let word = |bytes: Cow<'_, [u8]>| String::from_utf8(bytes.into_owned()).ok();
    Ok(Key {
        id: match id {
            Some(hex) => Some(
                word(hex)
                    .and_then(|hex| JobId::from_hex(&hex))
                    .ok_or("id is not 16 hexadecimal digits")?,
            ),
            None => None,
        },
        outcome: match outcome {
            Some(text) => Some(
                word(text)
                    .and_then(|text| Outcome::from_word(&text))
                    .ok_or("outcome is not a known word")?,
            ),
            None => None,
        },
        place: None,
        marked: false,
    })
}

/// Where the rows of a file end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Walked {
    end: u64,
    unfinished: bool,
    rows: u64,
}

/// How far the frame around the rows has been read.
#[derive(Debug, Clone)]
enum Shape {
    Begin,
    /// In a JSON array; an element may follow only after `[` or a comma.
    Open {
        comma: bool,
    },
    Closed,
    /// Below the CSV header.
    Table {
        columns: usize,
        id: Option<usize>,
        outcome: Option<usize>,
        /// Columns of `row` and `rows`.
        place: (Option<usize>, Option<usize>),
    },
}

enum Judged {
    /// A row of this many bytes, separators not counted.
    Row { length: usize, key: Key },
    /// A bracket or the header.
    Frame,
}

enum Trouble {
    /// Torn if it is the last line, damage if it is not.
    NotARow(Box<str>),
    /// Whole, and unusable.
    Refused(Problem),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Trouble::NotARow(why.into())
    }
}

/// A line that is not a row.
struct Torn {
    number: u64,
    offset: u64,
    why: Box<str>,
}

impl Line {
    fn torn(&self, why: impl Into<Box<str>>) -> Torn {
        Torn {
            number: self.number,
            offset: self.offset,
            why: why.into(),
        }
    }
}
