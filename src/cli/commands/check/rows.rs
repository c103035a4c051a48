//! Reports as rows: in which order, and to where.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::cells::{COLUMNS, cells};
use super::diff::replaces;
use super::remember::Finding;
use super::resume;
use super::selection::Selection;
use super::table::Table;
use crate::check::Report;
use crate::cli::args::{CheckArgs, CheckFormat, Sort};
use crate::error::{Error, Problem};
use crate::output::{self, Replacement};

/// Where rows go.
pub(super) struct Rows {
    out: Out,
    path: PathBuf,
    /// The file that is replaced as a whole, held for its lock.
    replaced: Option<File>,
    /// The file still has what an earlier check has left: it goes when there is something to take its place.
    stale: bool,
    format: CheckFormat,
    table: Table,
    selection: Selection,
    with_credentials: bool,
    sort: Option<Sort>,
    limit: usize,
    held: Vec<Report>,
    done: HashMap<String, Finding>,
    /// The head of the rows is there.
    begun: bool,
    /// Rows of this check.
    pub(super) written: u64,
    bytes: Vec<u8>,
}

enum Out {
    Stdout,
    File(File),
    /// Nothing is written yet.
    Nowhere,
    /// Nobody reads any more.
    Unread,
}

impl Rows {
    /// Opens the file, if there is one.
    ///
    /// # Errors
    /// An existing file, one that another run writes, one that cannot be read or written.
    pub(super) fn open(args: &CheckArgs, format: CheckFormat) -> Result<Self, Error> {
        let output = &args.output;
        let mut rows = Rows {
            out: Out::Stdout,
            path: "standard output".into(),
            replaced: None,
            stale: false,
            format,
            table: Table {
                places: !args.how.geoip.is_empty(),
                changes: output.diff.is_some() && output.output.is_none(),
            },
            selection: Selection::of(args),
            with_credentials: output.with_credentials,
            sort: output.sort,
            limit: output.limit.map_or(usize::MAX, |limit| limit as usize),
            held: Vec::new(),
            done: HashMap::new(),
            begun: false,
            written: 0,
            bytes: Vec::new(),
        };
        if let Some(path) = &output.output {
            rows.path.clone_from(path);
            rows.open_file(args)?;
        }
        // A table of changes has no head when there are none.
        if rows.replaced.is_none() && !rows.stale && !rows.table.changes {
            rows.begin()?;
        }
        Ok(rows)
    }

    fn open_file(&mut self, args: &CheckArgs) -> Result<(), Error> {
        let output = &args.output;
        let path = &self.path;
        if output.resume && self.format != CheckFormat::Jsonl {
            return Err(Problem::new("only JSONL rows tell what is done")
                .at("--resume")
                .hint("use --format jsonl")
                .into());
        }
        let mut file = output::open_locked(path)?;
        let metadata = file
            .metadata()
            .map_err(|error| Error::io("read", path, error))?;
        let is_watched = args.how.watch.is_some();
        let has_rows = metadata.is_file() && metadata.len() > 0;
        let in_the_way = has_rows && !output.overwrite && !replaces(args) && !is_watched;
        if output.resume {
            self.done = resume::scan(&mut file, path)?;
            self.begun = metadata.len() > 0;
        } else if in_the_way {
            return Err(Problem::new("the output exists already")
                .at(path.display().to_string())
                .hint("use --overwrite, --resume, or another -o")
                .into());
        } else if is_watched || replaces(args) {
            if !metadata.is_file() {
                return Err(Problem::new("only a file can be replaced as a whole")
                    .at(path.display().to_string())
                    .hint("name a file with -o")
                    .into());
            }
            self.out = Out::Nowhere;
            self.replaced = Some(file);
            self.stale = has_rows;
            return Ok(());
        } else {
            self.stale = has_rows;
        }
        self.out = Out::File(file);
        Ok(())
    }

    /// The rows of an earlier run, by the label of their proxy.
    pub(super) fn done(&self) -> &HashMap<String, Finding> {
        &self.done
    }

    /// The file has what an earlier check has left, and this one has nothing to take its place.
    pub(super) fn keeps_old(&self) -> bool {
        self.stale && (self.is_replaced() || self.held.is_empty())
    }

    /// The file keeps what it has until all rows are there.
    pub(super) fn is_replaced(&self) -> bool {
        self.replaced.is_some()
    }

    /// Whoever read the rows (`| head`) has had enough.
    pub(super) fn is_unread(&self) -> bool {
        matches!(self.out, Out::Unread)
    }

    /// Writes a row, or keeps it until all are there.
    pub(super) fn push(&mut self, report: Report) -> Result<(), Error> {
        if !self.takes(&report) {
            return Ok(());
        }
        if self.sort.is_some() || self.replaced.is_some() {
            self.held.push(report);
            return Ok(());
        }
        self.row(&report)
    }

    /// Writes what was kept; a check that came to its end without a row leaves no old ones.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        let held = std::mem::take(&mut self.held);
        if self.replaced.is_some() {
            return self.replace(&held);
        }
        self.all(&held)?;
        match self.stale {
            true => self.begin(),
            false => Ok(()),
        }
    }

    /// Writes `reports` into a file that takes the place of the one there is, so that whoever reads it always has a whole list.
    pub(super) fn replace<R: Borrow<Report>>(&mut self, reports: &[R]) -> Result<(), Error> {
        let Some(original) = &self.replaced else {
            return Err(Error::Internal(
                "a file is replaced that is not held".into(),
            ));
        };
        let replacement = Replacement::beside(&self.path, original)?;
        let writable = replacement.file.try_clone();
        let written = writable
            .map_err(|error| Error::io("write", &self.path, error))
            .and_then(|file| {
                self.out = Out::File(file);
                self.begun = false;
                self.written = 0;
                self.begin()?;
                self.all(reports)
            });
        self.out = Out::Nowhere;
        if written.is_err() {
            replacement.discard();
            return written;
        }
        self.replaced = Some(replacement.install()?);
        self.stale = false;
        Ok(())
    }

    fn all<R: Borrow<Report>>(&mut self, reports: &[R]) -> Result<(), Error> {
        let mut reports: Vec<&Report> = reports.iter().map(Borrow::borrow).collect();
        let latency = |report: &Report| {
            report
                .latency()
                .map_or(Duration::MAX, |latency| latency.p50)
        };
        match self.sort {
            Some(Sort::Score) => {
                reports.sort_by_key(|report| (Reverse(report.score), latency(report), report.seq));
            }
            Some(Sort::Latency) => reports.sort_by_key(|report| (latency(report), report.seq)),
            Some(Sort::List) => reports.sort_by_key(|report| report.seq),
            None => {}
        }
        let mut reports = reports.into_iter();
        reports.try_for_each(|report| match self.takes(report) {
            true => self.row(report),
            false => Ok(()),
        })
    }

    fn takes(&self, report: &Report) -> bool {
        // A table is for people, who want to know what is different.
        let is_news = !self.table.changes
            || self.format != CheckFormat::Table
            || report
                .changes
                .as_ref()
                .is_none_or(|changes| !changes.is_empty());
        is_news && self.selection.takes(report)
    }

    fn begin(&mut self) -> Result<(), Error> {
        if !std::mem::replace(&mut self.begun, true) {
            match self.format {
                CheckFormat::Csv => self.csv(COLUMNS)?,
                CheckFormat::Table => self.bytes.extend_from_slice(self.table.head().as_bytes()),
                CheckFormat::Jsonl | CheckFormat::Txt => {}
            }
            self.flush()?;
        }
        Ok(())
    }

    fn row(&mut self, report: &Report) -> Result<(), Error> {
        if self.written >= self.limit as u64 {
            return Ok(());
        }
        self.begin()?;
        match self.format {
            CheckFormat::Table => self
                .bytes
                .extend_from_slice(self.table.row(report).as_bytes()),
            CheckFormat::Txt => {
                self.bytes
                    .extend_from_slice(report.line().expose().as_bytes());
                self.bytes.push(b'\n');
            }
            CheckFormat::Jsonl => {
                let internal = |error| Error::Internal(format!("a row cannot be written: {error}"));
                let mut row = serde_json::to_value(report).map_err(internal)?;
                let is_listed = report.proxy.id() == report.listed.id();
                if let Value::Object(row) = &mut row
                    && (self.with_credentials || !is_listed)
                {
                    if self.with_credentials {
                        row.insert("proxy".into(), report.line().expose().into());
                    }
                    row.insert("label".into(), report.listed.label().to_string().into());
                }
                serde_json::to_writer(&mut self.bytes, &row).map_err(internal)?;
                self.bytes.push(b'\n');
            }
            CheckFormat::Csv => {
                let cells = cells(report, self.with_credentials);
                self.csv(cells)?;
            }
        }
        self.flush()?;
        self.written += 1;
        Ok(())
    }

    fn csv<S: AsRef<[u8]>>(&mut self, cells: impl IntoIterator<Item = S>) -> Result<(), Error> {
        let mut writer = csv::Writer::from_writer(&mut self.bytes);
        let ended = writer
            .write_record(cells)
            .and_then(|()| Ok(writer.flush()?));
        ended.map_err(|error| Error::Internal(format!("a row cannot be written: {error}")))
    }

    /// One row, one write.
    fn flush(&mut self) -> Result<(), Error> {
        let mut cut = |file: &File| match std::mem::take(&mut self.stale) {
            true => file.set_len(0),
            false => Ok(()),
        };
        let written = match &mut self.out {
            Out::File(file) => cut(file).and_then(|()| file.write_all(&self.bytes)),
            Out::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&self.bytes).and_then(|()| out.flush())
            }
            Out::Nowhere | Out::Unread => Ok(()),
        };
        self.bytes.clear();
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.out = Out::Unread;
                Ok(())
            }
            Err(error) => Err(Error::io("write", &self.path, error)),
            Ok(()) => Ok(()),
        }
    }
}
