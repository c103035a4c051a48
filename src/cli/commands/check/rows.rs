//! Reports as rows: in which order, and to where.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::cells::{COLUMNS, cells};
use super::resume;
use super::table::Table;
use crate::check::Report;
use crate::cli::args::{CheckArgs, CheckFormat, Sort};
use crate::error::{Error, Problem};
use crate::output;

/// Where rows go.
pub(super) struct Rows {
    file: Option<File>,
    path: PathBuf,
    format: CheckFormat,
    table: Table,
    with_credentials: bool,
    sort: Option<Sort>,
    limit: usize,
    held: Vec<Report>,
    done: HashSet<String>,
    /// Rows of this run.
    pub(super) written: u64,
    bytes: Vec<u8>,
    /// Nobody reads any more.
    gone: bool,
}

impl Rows {
    /// Opens the file, if there is one, and begins.
    ///
    /// # Errors
    /// An existing file, one that another run writes, one that cannot be read or written.
    pub(super) fn open(args: &CheckArgs, format: CheckFormat) -> Result<Self, Error> {
        let output = &args.output;
        let mut done = HashSet::new();
        let mut fresh = true;
        let file = match &output.output {
            None => None,
            Some(path) => {
                if output.resume && format != CheckFormat::Jsonl {
                    return Err(Problem::new("only JSONL rows tell what is done")
                        .at("--resume")
                        .hint("use --format jsonl")
                        .into());
                }
                let mut file = output::open_locked(path)?;
                let metadata = file
                    .metadata()
                    .map_err(|error| Error::io("read", path, error))?;
                if output.resume {
                    done = resume::scan(&mut file, path)?;
                    fresh = metadata.len() == 0;
                } else if metadata.is_file() && metadata.len() > 0 {
                    if !output.overwrite {
                        return Err(Problem::new("the output exists already")
                            .at(path.display().to_string())
                            .hint("use --overwrite, --resume, or another -o")
                            .into());
                    }
                    file.set_len(0)
                        .map_err(|error| Error::io("write", path, error))?;
                }
                Some(file)
            }
        };
        let mut rows = Rows {
            path: output
                .output
                .clone()
                .unwrap_or_else(|| "standard output".into()),
            file,
            format,
            table: Table {
                places: !args.how.geoip.is_empty(),
            },
            with_credentials: output.with_credentials,
            sort: output.sort,
            limit: output.limit.map_or(usize::MAX, |limit| limit as usize),
            held: Vec::new(),
            done,
            written: 0,
            bytes: Vec::new(),
            gone: false,
        };
        if fresh {
            match format {
                CheckFormat::Csv => rows.csv(COLUMNS)?,
                CheckFormat::Table => rows.bytes.extend_from_slice(rows.table.head().as_bytes()),
                CheckFormat::Jsonl | CheckFormat::Txt => {}
            }
            rows.flush()?;
        }
        Ok(rows)
    }

    /// Labels of proxies that have a row from an earlier run.
    pub(super) fn done(&self) -> &HashSet<String> {
        &self.done
    }

    /// Writes a row, or keeps it for its place in the order.
    pub(super) fn push(&mut self, report: Report) -> Result<(), Error> {
        if self.sort.is_some() {
            self.held.push(report);
            return Ok(());
        }
        self.row(&report)
    }

    /// Writes what was kept.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        let mut held = std::mem::take(&mut self.held);
        let latency = |report: &Report| {
            report
                .latency()
                .map_or(Duration::MAX, |latency| latency.p50)
        };
        match self.sort {
            Some(Sort::Score) => {
                held.sort_by_key(|report| (Reverse(report.score), latency(report), report.seq))
            }
            Some(Sort::Latency) => held.sort_by_key(|report| (latency(report), report.seq)),
            Some(Sort::List) => held.sort_by_key(|report| report.seq),
            None => {}
        }
        held.iter().try_for_each(|report| self.row(report))
    }

    fn row(&mut self, report: &Report) -> Result<(), Error> {
        if self.gone || self.written >= self.limit as u64 {
            return Ok(());
        }
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
                if self.with_credentials
                    && let Value::Object(row) = &mut row
                {
                    let label = row.insert("proxy".into(), report.line().expose().into());
                    row.insert("label".into(), label.unwrap_or_default());
                }
                serde_json::to_writer(&mut self.bytes, &row).map_err(internal)?;
                self.bytes.push(b'\n');
            }
            CheckFormat::Csv => {
                let cells = cells(report);
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
        let written = match &mut self.file {
            Some(file) => file.write_all(&self.bytes),
            None => {
                let mut out = io::stdout().lock();
                out.write_all(&self.bytes).and_then(|()| out.flush())
            }
        };
        self.bytes.clear();
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            Err(error) => Err(Error::io("write", &self.path, error)),
            Ok(()) => Ok(()),
        }
    }
}
