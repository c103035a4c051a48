//! Reports as rows: which of them, in which form, in which order, and to where.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::resume;
use crate::check::{Anonymity, Report, Verdict};
use crate::cli::args::{CheckArgs, CheckFormat, Sort};
use crate::error::{Error, Problem};
use crate::output;
use crate::proxy::Scheme;

/// Columns of CSV.
const COLUMNS: [&str; 24] = [
    "seq",
    "proxy",
    "scheme",
    "host",
    "port",
    "verdict",
    "reason",
    "phase",
    "message",
    "score",
    "speaks",
    "forwards",
    "tunnels",
    "ok",
    "failed",
    "success_low",
    "success_high",
    "p50_ms",
    "p95_ms",
    "exits",
    "rotates",
    "anonymity",
    "tampering",
    "checked_at",
];

/// Which rows are wanted.
pub(super) struct Selection {
    alive: bool,
    /// One of the user's URLs is enough.
    any: bool,
    anonymity: Option<Anonymity>,
    max_latency: Option<Duration>,
    min_score: Option<u8>,
    protocols: Vec<Scheme>,
}

impl Selection {
    pub(super) fn of(args: &CheckArgs) -> Self {
        let output = &args.output;
        let list = output.format == Some(CheckFormat::Txt)
            || output.output.as_ref().is_some_and(|path| {
                output.format.is_none() && path.extension().is_some_and(|suffix| suffix == "txt")
            });
        Selection {
            alive: output.alive || list,
            any: args.how.any,
            anonymity: output.anonymity,
            max_latency: output.max_latency.map(|span| span.0),
            min_score: output.min_score,
            protocols: output.protocol.clone(),
        }
    }

    pub(super) fn takes(&self, report: &Report) -> bool {
        let works = matches!(report.verdict, Verdict::Alive | Verdict::Unstable);
        let for_the_targets = match (&report.targets[..], self.any) {
            ([], _) => true,
            (targets, true) => targets.iter().any(|target| target.ok),
            (targets, false) => targets.iter().all(|target| target.ok),
        };
        let quick = |most| report.latency().is_some_and(|latency| latency.p50 <= most);
        (!self.alive || (works && for_the_targets))
            && self
                .anonymity
                .is_none_or(|least| works && report.anonymity.unwrap_or(Anonymity::Elite) >= least)
            && self.max_latency.is_none_or(quick)
            && self
                .min_score
                .is_none_or(|least| report.score >= Some(least))
            && (self.protocols.is_empty()
                || report
                    .protocols
                    .iter()
                    .any(|scheme| self.protocols.contains(scheme)))
    }
}

/// Where rows go.
pub(super) struct Rows {
    file: Option<File>,
    path: PathBuf,
    format: CheckFormat,
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
                CheckFormat::Table => rows.bytes.extend_from_slice(table_head().as_bytes()),
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
            CheckFormat::Table => self.bytes.extend_from_slice(table_row(report).as_bytes()),
            CheckFormat::Txt => {
                self.bytes
                    .extend_from_slice(report.proxy.line().expose().as_bytes());
                self.bytes.push(b'\n');
            }
            CheckFormat::Jsonl => {
                let internal = |error| Error::Internal(format!("a row cannot be written: {error}"));
                let mut row = serde_json::to_value(report).map_err(internal)?;
                if self.with_credentials
                    && let Value::Object(row) = &mut row
                {
                    let label = row.insert("proxy".into(), report.proxy.line().expose().into());
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

fn words(schemes: &[Scheme]) -> String {
    let words: Vec<_> = schemes.iter().map(|scheme| scheme.as_str()).collect();
    words.join(" ")
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

fn cells(report: &Report) -> Vec<String> {
    let text = |value: Option<bool>| value.map(|value| value.to_string()).unwrap_or_default();
    let latency = report.latency();
    let exits: Vec<_> = report.exits.iter().map(ToString::to_string).collect();
    let interval = crate::check::wilson(report.ok(), report.ok() + report.failed);
    let share = |share: Option<f64>| share.map(|share| format!("{share:.3}")).unwrap_or_default();
    vec![
        report.seq.to_string(),
        report.proxy.label().to_string(),
        report.proxy.scheme().to_string(),
        report.proxy.host().to_owned(),
        report.proxy.port().to_string(),
        report.verdict.to_string(),
        report.reason().to_owned(),
        report
            .trouble
            .as_ref()
            .and_then(|trouble| trouble.phase)
            .map(|phase| phase.to_string())
            .unwrap_or_default(),
        report
            .trouble
            .as_ref()
            .map(|trouble| trouble.message.to_string())
            .unwrap_or_default(),
        report
            .score
            .map(|score| score.to_string())
            .unwrap_or_default(),
        words(&report.protocols),
        text(report.forwards),
        text(report.tunnels),
        report.ok().to_string(),
        report.failed.to_string(),
        share(interval.map(|(low, _)| low)),
        share(interval.map(|(_, high)| high)),
        latency.map(|latency| ms(latency.p50)).unwrap_or_default(),
        latency.map(|latency| ms(latency.p95)).unwrap_or_default(),
        exits.join(" "),
        text(report.rotates()),
        report
            .anonymity
            .map(|level| level.as_str().to_owned())
            .unwrap_or_default(),
        report
            .tampering
            .as_ref()
            .map(|tampering| tampering.kind.to_owned())
            .unwrap_or_default(),
        report.checked_at.to_string(),
    ]
}

fn table_head() -> String {
    format!(
        "{:<44} {:<9} {:>5} {:>8}  {:<13} {:<12} {:<16} {}\n",
        "PROXY", "VERDICT", "SCORE", "P50", "WAYS", "ANONYMITY", "EXIT", "WHY"
    )
}

fn table_row(report: &Report) -> String {
    let ways = match (report.forwards, report.tunnels) {
        (Some(true), Some(true)) => "plain, tunnel",
        (Some(true), _) => "plain",
        (_, Some(true)) => "tunnel",
        _ => "",
    };
    let exit = match &report.exits[..] {
        [] => String::new(),
        [one] => one.to_string(),
        many => format!("{} addresses", many.len()),
    };
    let why = match &report.trouble {
        Some(trouble) if report.verdict != Verdict::Alive => {
            format!("{}: {}", trouble.reason, trouble.message)
        }
        _ => String::new(),
    };
    let line = format!(
        "{:<44} {:<9} {:>5} {:>8}  {:<13} {:<12} {:<16} {}",
        report.proxy.label().to_string(),
        report.verdict.as_str(),
        report
            .score
            .map(|score| score.to_string())
            .unwrap_or_else(|| "-".into()),
        report
            .latency()
            .map(|latency| format!("{:.0} ms", latency.p50.as_secs_f64() * 1000.0))
            .unwrap_or_default(),
        ways,
        report.anonymity.map_or("", Anonymity::as_str),
        exit,
        why,
    );
    format!("{}\n", line.trim_end())
}
