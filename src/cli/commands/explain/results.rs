//! The rows of a fetch, as far as explaining needs them.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::Deserialize;
use url::Url;

use super::recorded;
use crate::error::{Error, Problem};
use crate::job::HostKey;
use crate::outcome::{Blame, Outcome, UnixMillis};

/// A URL with more rows than this is told about by its first ones.
const MOST_ROWS: usize = 3;

/// One row.
#[derive(Debug, Deserialize)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) seq: u64,
    pub(super) input: String,
    pub(super) url: Option<String>,
    pub(super) outcome: Outcome,
    pub(super) status: Option<u16>,
    pub(super) proxies_tried: u32,
    pub(super) attempt_log: Vec<Attempt>,
    pub(super) ban: Option<Ban>,
    pub(super) edge: Option<String>,
    pub(super) error: Option<Failure>,
    pub(super) timing: Timing,
    pub(super) started_at: Option<UnixMillis>,
    pub(super) finished_at: UnixMillis,
    /// Which row of its answer it is, with `--rows`.
    #[serde(default)]
    pub(super) row: Option<u32>,
    /// Of a record, which has no URLs.
    #[serde(skip)]
    pub(super) recorded_host: Option<String>,
}

/// One attempt of a row.
#[derive(Debug, Deserialize)]
pub(super) struct Attempt {
    pub(super) n: u32,
    pub(super) proxy: String,
    pub(super) outcome: Outcome,
    /// This and what is optional below it only with `--attempts full`.
    pub(super) blame: Option<Blame>,
    pub(super) status: Option<u16>,
    pub(super) connect_status: Option<u16>,
    pub(super) rule: Option<String>,
    pub(super) error: Option<Failure>,
    pub(super) t_ms: f64,
    pub(super) wait_ms: f64,
    /// What it changed; only a record says.
    #[serde(skip)]
    pub(super) changes: Vec<String>,
}

/// `ban` of a row.
#[derive(Debug, Deserialize)]
pub(super) struct Ban {
    pub(super) rule: String,
    pub(super) class: String,
    pub(super) vendor: Option<String>,
    pub(super) confidence: f64,
    pub(super) evidence: String,
}

/// `error` of a row or attempt.
#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) phase: Option<String>,
    pub(super) message: String,
}

/// Milliseconds.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Timing {
    pub(super) queue: Option<f64>,
    pub(super) total: Option<f64>,
}

/// The file.
pub(super) struct Results<'a> {
    pub(super) path: &'a Path,
}

impl<'a> Results<'a> {
    /// # Errors
    /// The file cannot be read.
    pub(super) fn open(path: &'a Path) -> Result<Self, Error> {
        File::open(path).map_err(|error| Error::io("read", path, error))?;
        Ok(Results { path })
    }

    /// Goes through the rows. The last one may be torn, as after a kill.
    ///
    /// # Errors
    /// The file cannot be read, or is no JSONL of `fetch`.
    pub(super) fn each(&self, mut with: impl FnMut(Row)) -> Result<(), Error> {
        let failed = |error| Error::io("read", self.path, error);
        let mut reader = BufReader::new(File::open(self.path).map_err(failed)?);
        let mut line = Vec::new();
        let mut record = None;
        for number in 1.. {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(failed)? == 0 {
                break;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            if let Some(reader) = recorded(number, &line, &mut record) {
                match serde_json::from_slice(&line) {
                    Ok(line) => reader.row(line).into_iter().for_each(&mut with),
                    Err(_) if !line.ends_with(b"\n") => break,
                    Err(error) => return Err(self.bad(number, &error)),
                }
                continue;
            }
            match serde_json::from_slice::<Row>(&line) {
                // The rows of one answer tell of the same attempts.
                Ok(row) if row.row.is_some_and(|row| row > 1) => {}
                Ok(row) => with(row),
                Err(_) if !line.ends_with(b"\n") => break,
                Err(error) => return Err(self.bad(number, &error)),
            }
        }
        Ok(())
    }

    fn bad(&self, number: usize, error: &serde_json::Error) -> Error {
        Problem::new(format!("no row of a fetch: {error}"))
            .at(format!("{}:{number}", self.path.display()))
            .hint("JSONL results with all fields are read, and what --record has written: fetch -o out.jsonl")
            .into()
    }

    /// The rows of this URL or id.
    ///
    /// # Errors
    /// As for [`Results::each`].
    pub(super) fn rows_of(&self, what: &str) -> Result<Vec<Row>, Error> {
        let mut found = Vec::new();
        self.each(|row| {
            let meant = [Some(&row.input), row.url.as_ref(), Some(&row.id)];
            if found.len() < MOST_ROWS
                && meant
                    .into_iter()
                    .flatten()
                    .any(|name| name == what && !name.is_empty())
            {
                found.push(row);
            }
        })?;
        Ok(found)
    }
}

/// The reader of a record, if the first line says that the file is one.
fn recorded<'a>(
    number: usize,
    line: &[u8],
    reader: &'a mut Option<recorded::Reader>,
) -> Option<&'a mut recorded::Reader> {
    if number == 1 && line.starts_with(b"{\"kind\":\"run\"") {
        *reader = Some(recorded::Reader::default());
    }
    reader.as_mut()
}

impl Row {
    /// The host its URL is on.
    pub(super) fn host(&self) -> Option<String> {
        if self.recorded_host.is_some() {
            return self.recorded_host.clone();
        }
        let url = Url::parse(self.url.as_deref()?).ok()?;
        HostKey::of(&url).map(|key| key.to_string())
    }
}

impl Attempt {
    /// What came back, in some words.
    pub(super) fn came_to(&self) -> String {
        let mut text = self.outcome.to_string();
        if let Some(status) = self.status {
            text.push_str(&format!(" {status}"));
        } else if let Some(status) = self.connect_status.filter(|status| *status >= 300) {
            text.push_str(&format!(" (CONNECT was answered with {status})"));
        }
        if let Some(rule) = &self.rule {
            text.push_str(&format!(", rule {rule}"));
        }
        if let Some(failure) = self.error.as_ref().filter(|_| self.rule.is_none()) {
            match &failure.phase {
                Some(phase) => text.push_str(&format!(", {phase}: {}", failure.message)),
                None => text.push_str(&format!(", {}", failure.message)),
            }
        }
        for change in &self.changes {
            text.push_str(&format!("; {change}"));
        }
        text
    }
}
