//! A record read back.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use crate::cli::recording::{Attempt, End, Head, Line, Probe, VERSION};
use crate::error::{Error, Problem};
use crate::outcome::{Blame, Outcome};

/// What a run decided and what came of it.
pub(super) struct Recorded {
    pub(super) head: Head,
    pub(super) attempts: Vec<Attempt>,
    pub(super) probes: Vec<Probe>,
    /// Hosts, by the number the model gives them.
    pub(super) hosts: Vec<String>,
    /// The host of each URL of the run, in the order of the input.
    pub(super) urls: Vec<usize>,
    /// `None` when the run was killed.
    pub(super) end: Option<End>,
}

/// Sums of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Totals {
    /// Seconds.
    pub(super) makespan: f64,
    pub(super) urls: u64,
    pub(super) ok: u64,
    pub(super) attempts: u64,
    pub(super) refused: u64,
    pub(super) probes: u64,
}

impl Totals {
    /// Attempts that brought no row its page.
    pub(super) fn waste(&self) -> u64 {
        self.attempts.saturating_sub(self.ok)
    }
}

impl Recorded {
    /// # Errors
    /// The file cannot be read or is no record.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::io("read", path, error);
        let bad = |number: usize, why: String| {
            Problem::new(why)
                .at(format!("{}:{number}", path.display()))
                .hint("only what fetch --record FILE has written is replayed")
        };
        let mut reader = BufReader::new(File::open(path).map_err(failed)?);
        let (mut head, mut end) = (None, None);
        let (mut attempts, mut probes) = (Vec::new(), Vec::new());
        let mut of_url: BTreeMap<u64, String> = BTreeMap::new();
        let mut text = Vec::new();
        for number in 1.. {
            text.clear();
            if reader.read_until(b'\n', &mut text).map_err(failed)? == 0 {
                break;
            }
            let line = match serde_json::from_slice(&text) {
                Ok(line) => line,
                // A run that was killed.
                Err(_) if !text.ends_with(b"\n") && head.is_some() => break,
                Err(error) => return Err(bad(number, error.to_string()).into()),
            };
            match (line, &head) {
                (Line::Run(run), None) if run.v == VERSION => head = Some(run),
                (Line::Run(run), None) => {
                    return Err(bad(number, format!("a record of version {}", run.v)).into());
                }
                (Line::Run(_), Some(_)) => {
                    return Err(bad(number, "a second record begins".into()).into());
                }
                (_, None) => return Err(bad(number, "the first line is missing".into()).into()),
                (Line::Proxy { .. }, _) => {}
                (Line::Attempt(attempt), _) => {
                    of_url
                        .entry(attempt.seq)
                        .or_insert_with(|| attempt.host.clone());
                    attempts.push(attempt);
                }
                (Line::Probe(probe), _) => probes.push(probe),
                (Line::GivenUp(job), _) => {
                    of_url.entry(job.seq).or_insert(job.host);
                }
                (Line::End(line), _) => end = Some(line),
            }
        }
        let head = head.ok_or_else(|| bad(1, "the record is empty".into()))?;
        if of_url.is_empty() {
            return Err(bad(1, "the run has attempted nothing".into()).into());
        }
        let mut hosts: Vec<String> = Vec::new();
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let urls = of_url.into_values().map(|host| {
            *numbers.entry(host).or_insert_with_key(|host| {
                hosts.push(host.clone());
                hosts.len() - 1
            })
        });
        let urls = urls.collect();
        Ok(Recorded {
            head,
            attempts,
            probes,
            hosts,
            urls,
            end,
        })
    }

    /// What the run came to.
    pub(super) fn totals(&self) -> Totals {
        let count = |wanted: &dyn Fn(&Attempt) -> bool| {
            self.attempts
                .iter()
                .filter(|attempt| wanted(attempt))
                .count() as u64
        };
        let last = self.attempts.iter().map(|attempt| attempt.t);
        Totals {
            makespan: last.fold(0.0, f64::max),
            urls: self.urls.len() as u64,
            ok: count(&|attempt| attempt.done && attempt.outcome == Outcome::Ok),
            attempts: self.attempts.len() as u64,
            refused: count(&|attempt| attempt.blame == Blame::Pair),
            probes: self.probes.len() as u64,
        }
    }
}
