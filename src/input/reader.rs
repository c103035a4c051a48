//! The thread that reads: files in, blocks of rows out.
//!
//! Reading blocks, so it has a thread of its own; the thread cuts what it reads and does not look at it. Jobs are made by the
//! task that runs them ([`super::source`]): made here, their memory would be allocated on one core and freed on another.
//!
//! What has been cut is sent before the thread asks for more, which may block: so a slow pipe (`tail -f urls | …`) is fetched
//! as it comes, and a block is never more than one buffer holds and the row that it ends. The reader of a file cannot know when
//! its buffer is empty, so [`Tap`] sits below every buffer.

use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind, Read};
use std::path::Path;

use ::csv::ByteRecord;
use tokio::sync::mpsc::Sender;

use crate::error::{Error, Problem};

use super::block::{Block, Format};
use super::csv::{self, Columns, Table};
use super::sitemap::{Errand, Sitemap};
use super::{BUFFER, InputFormat, Settings, Source, jsonl, text};

/// Blocks that may wait: a few thousand URLs, and 2 MiB when every row is as long as it may be.
pub(super) const LOOK_AHEAD: usize = 2;

/// What the thread sends.
pub(super) enum Parcel {
    Rows(Block),
    /// Nothing comes before it is answered.
    Errand(Errand),
    /// Nothing comes after it.
    Failed(Error),
}

/// One open file.
pub(super) struct Input {
    place: String,
    body: Body,
}

enum Body {
    /// Lines, of which so many bytes are kept at most.
    Lines(BufReader<Tap>, usize),
    Csv(Box<Table<Tap>>),
    Sitemap(Box<Sitemap>),
}

impl Input {
    /// Opens `source`, and reads the header of a CSV.
    pub(super) fn open(
        source: &Source,
        settings: &Settings,
        sender: Sender<Parcel>,
    ) -> Result<Self, Error> {
        let place = source.to_string();
        let since = settings.sitemap_since;
        let sitemap = match source {
            Source::Sitemap(path) => {
                Sitemap::of_file(open_file(path)?, place.clone(), since, sender)
            }
            Source::SitemapAt(url) => Sitemap::at(url.clone(), since, sender),
            Source::Stdin | Source::File(_) => {
                let reader = match source {
                    Source::File(path) => open_text(path, &place)?,
                    _ => Box::new(io::stdin()),
                };
                let format = settings.format.unwrap_or_else(|| source.format());
                let wanted = settings.url_column.as_deref();
                return Input::new(reader, place, format, wanted, sender);
            }
        };
        let body = Body::Sitemap(Box::new(sitemap));
        Ok(Input { place, body })
    }

    /// As [`Input::open`], of what is open already.
    pub(super) fn new(
        reader: Box<dyn Read + Send>,
        place: String,
        format: InputFormat,
        url_column: Option<&str>,
        sender: Sender<Parcel>,
    ) -> Result<Self, Error> {
        let tap = |format, left| Tap {
            inner: reader,
            left,
            block: Block::new(format),
            sender,
        };
        let lines = |tap, limit| Body::Lines(BufReader::with_capacity(BUFFER, tap), limit);
        let body = match format {
            InputFormat::Text => lines(tap(Format::Text, None), text::MAX_LINE),
            InputFormat::Jsonl => lines(tap(Format::Jsonl, None), jsonl::MAX_LINE),
            InputFormat::Csv | InputFormat::Tsv => {
                let tap = tap(Format::default(), Some(ROW_BUDGET));
                let separator = (format == InputFormat::Tsv).then_some(b'\t');
                let mut table = Box::new(Table::new(tap, &place, url_column, separator)?);
                let format = Format::Csv(table.columns().clone());
                table.input_mut().block = Block::new(format);
                Body::Csv(table)
            }
        };
        Ok(Input { place, body })
    }

    /// The header, where it has one.
    pub(super) fn columns(&self) -> Option<&Columns> {
        match &self.body {
            Body::Csv(table) => Some(table.columns()),
            Body::Lines(..) | Body::Sitemap(_) => None,
        }
    }

    /// Whether its jobs may have a field `name` in their tag; fails for a table that has not.
    pub(super) fn check_tag(&self, name: &str) -> Result<bool, Problem> {
        match &self.body {
            Body::Csv(table) => table
                .columns()
                .check_tag(name)
                .map(|()| true)
                .map_err(|problem| problem.at(&self.place)),
            Body::Lines(reader, _) => Ok(reader.get_ref().block.may_have_tags()),
            Body::Sitemap(_) => Ok(false),
        }
    }

    fn read(&mut self) -> Result<(), Error> {
        match &mut self.body {
            Body::Lines(reader, limit) => read_lines(reader, *limit)
                .map_err(|error| Error::io("read", self.place.as_str(), error)),
            Body::Csv(table) => read_table(table, &self.place),
            Body::Sitemap(sitemap) => sitemap.read(),
        }
    }

    /// Sends what was cut and not yet sent; fails when nobody listens any more.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.body {
            Body::Lines(reader, _) => reader.get_mut().flush(),
            Body::Csv(table) => table.input_mut().flush(),
            Body::Sitemap(_) => Ok(()),
        }
    }

    fn sender(&mut self) -> &Sender<Parcel> {
        match &mut self.body {
            Body::Lines(reader, _) => &reader.get_mut().sender,
            Body::Csv(table) => &table.input_mut().sender,
            Body::Sitemap(sitemap) => sitemap.sender(),
        }
    }
}

/// What the thread does: sends all of the inputs, one after the other, until one of them fails or nobody listens.
pub(super) fn read_all(inputs: Vec<Input>) {
    for mut input in inputs {
        let read = input.read();
        // What was read before a failure is still good.
        if input.flush().is_err() {
            return;
        }
        if let Err(error) = read {
            // Nobody listening any more is no failure.
            let _ = input.sender().blocking_send(Parcel::Failed(error));
            return;
        }
    }
}

fn read_lines(reader: &mut BufReader<Tap>, limit: usize) -> io::Result<()> {
    let mut line = Vec::new();
    let mut first = true;
    while let Some(too_long) = text::read_line(reader, &mut line, limit)? {
        let content = match line.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if first => rest,
            _ => &line,
        };
        first = false;
        let size = line.len() as u64 + 1;
        reader.get_mut().block.push([content], too_long, size);
    }
    Ok(())
}

fn read_table(table: &mut Table<Tap>, place: &str) -> Result<(), Error> {
    let mut row = ByteRecord::new();
    // The header counts as a part of the first row.
    let mut before = 0;
    loop {
        let line = table.line();
        table.input_mut().left = Some(ROW_BUDGET);
        match table.advance(&mut row) {
            Ok(true) => {
                if let Some((problem, line)) = table.unclosed(&row, line) {
                    return Err(problem.at(format!("{place}:{line}")).into());
                }
            }
            Ok(false) => return Ok(()),
            Err(_) if table.input_mut().left == Some(0) => {
                return Err(Problem::new(ROW_TOO_LONG)
                    .at(format!("{place}:{line}"))
                    .into());
            }
            Err(error) => return Err(csv::read_error(error, place)),
        }
        let position = table.position();
        let block = &mut table.input_mut().block;
        block.push(&row, false, position - before);
        before = position;
    }
}

/// What an input is read from: sends what was cut before every read, which may block, and bounds the bytes of one CSV row.
struct Tap {
    inner: Box<dyn Read + Send>,
    /// Bytes that may still be read for the row at hand; `None` without a bound.
    left: Option<u64>,
    /// What has been cut and not yet sent.
    block: Block,
    sender: Sender<Parcel>,
}

/// Bytes read for one CSV row: one buffer more than it may have, since the read that brings its end may bring more rows.
const ROW_BUDGET: u64 = csv::MAX_ROW + BUFFER as u64;

/// Text of the error for a CSV row that does not end.
const ROW_TOO_LONG: &str = "a row is longer than 1 MiB; is a quote never closed?";

impl Tap {
    /// Sends what there is. Fails when nobody listens any more.
    fn flush(&mut self) -> io::Result<()> {
        if self.block.len() == 0 {
            return Ok(());
        }
        let block = self.block.take();
        let sent = self.sender.blocking_send(Parcel::Rows(block));
        sent.map_err(|_| ErrorKind::BrokenPipe.into())
    }
}

impl Read for Tap {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.flush()?;
        if self.left == Some(0) {
            return Err(io::Error::other(ROW_TOO_LONG));
        }
        let count = self.inner.read(into)?;
        self.left = self.left.map(|left| left.saturating_sub(count as u64));
        Ok(count)
    }
}

/// What files begin with that hold lists in a form that is not read, what they are, and what to do about it.
const FOREIGN: [(&[u8], &str, &str); 4] = [
    (
        b"\xff\xfe",
        "the file is UTF-16, not UTF-8",
        "save it as UTF-8, or make one with iconv -f UTF-16 -t UTF-8 FILE > utf8.FILE",
    ),
    (
        b"\xfe\xff",
        "the file is UTF-16, not UTF-8",
        "save it as UTF-8, or make one with iconv -f UTF-16 -t UTF-8 FILE > utf8.FILE",
    ),
    (
        b"\x1f\x8b",
        "the file is packed with gzip",
        "unpack it, as in zcat FILE | proxywheel fetch -i -, with --input-format for CSV and JSONL; a sitemap is read packed: -i sitemap:FILE",
    ),
    (
        b"PK\x03\x04",
        "the file is a zip archive or a workbook",
        "unpack it, or save the sheet as CSV",
    ),
];

/// Opens a list, unless its first bytes say that it is none. What a pipe begins with is not known without waiting for it.
fn open_text(path: &Path, place: &str) -> Result<Box<dyn Read + Send>, Error> {
    let is_file = path.metadata().is_ok_and(|metadata| metadata.is_file());
    let mut reader = open_file(path)?;
    if !is_file {
        return Ok(reader);
    }
    let mut first = Vec::new();
    let read = reader.by_ref().take(4).read_to_end(&mut first);
    read.map_err(|error| Error::io("read", path, error))?;
    match FOREIGN.iter().find(|(magic, ..)| first.starts_with(magic)) {
        Some((_, what, hint)) => Err(Problem::new(*what).at(place).hint(*hint).into()),
        None => Ok(Box::new(Cursor::new(first).chain(reader))),
    }
}

fn open_file(path: &Path) -> Result<Box<dyn Read + Send>, Error> {
    let file = File::open(path).map_err(|error| Error::io("read", path, error))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(Problem::new("the input is a directory")
            .at(path.display().to_string())
            .hint("name a file in it with -i")
            .into());
    }
    Ok(Box::new(file))
}
