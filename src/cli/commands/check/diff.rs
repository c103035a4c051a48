//! What has changed since the check before, and how it is told.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::earlier;
use crate::check::{Change, Known, Report};
use crate::cli::args::CheckArgs;
use crate::error::Error;
use crate::proxy::Proxy;

/// The check before, and what is different from it.
#[derive(Default)]
pub(super) struct Diff {
    /// By label: what was known after it; `None` for a row that said nothing. `None` as a whole when there was no check.
    earlier: Option<HashMap<String, Option<Known>>>,
    /// The same after this one.
    later: HashMap<String, Option<Known>>,
    /// Place in the list and what is told.
    lines: Vec<(u64, String)>,
    news: News,
}

/// What came of a comparison.
#[derive(Debug, Default)]
pub(super) struct News {
    /// One a proxy that has changed, in the order of the list.
    pub(super) lines: Vec<String>,
    /// One a proxy that is no longer in the list.
    pub(super) gone: Vec<String>,
    /// `None` when there was nothing to compare with.
    pub(super) counts: Option<Counts>,
}

impl News {
    /// Something has changed.
    pub(super) fn is_any(&self) -> bool {
        !(self.lines.is_empty() && self.gone.is_empty())
    }

    fn count(&mut self, change: Change) {
        let counts = self.counts.get_or_insert_default();
        if let Some(at) = Change::ALL.iter().position(|each| *each == change) {
            counts[at] += 1;
        }
    }
}

/// How often each change was seen, in the order of [`Change::ALL`].
pub(super) type Counts = [u64; Change::ALL.len()];

impl Diff {
    /// What the flags ask for: a comparison with a file, with the round before, or none.
    ///
    /// # Errors
    /// The file cannot be read, or has a line that is no row of a check. That it is not there yet is no error when this check
    /// writes it.
    pub(super) fn open(args: &CheckArgs) -> Result<Option<Self>, Error> {
        let Some(path) = &args.output.diff else {
            return Ok(args.how.watch.map(|_| Diff::default()));
        };
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && replaces(args) => {
                return Ok(Some(Diff::default()));
            }
            opened => opened.map_err(|error| Error::io("read the --diff file", path, error))?,
        };
        let mut earlier = HashMap::new();
        let hint = "--diff compares with a JSONL file of `check`; choose another one";
        earlier::rows(file, path, hint, |row| {
            earlier.extend([row.known()]);
        })?;
        Ok(Some(Diff {
            earlier: (!earlier.is_empty()).then_some(earlier),
            ..Diff::default()
        }))
    }

    /// There is a check to compare with.
    pub(super) fn compares(&self) -> bool {
        self.earlier.is_some()
    }

    /// Compares, and remembers.
    pub(super) fn note(&mut self, report: &mut Report) {
        let label = report.listed.label().to_string();
        if let Some(earlier) = &self.earlier {
            report.compare(earlier.get(&label).map(Option::as_ref));
            for change in report.changes.iter().flatten() {
                self.news.count(*change);
            }
            if let Some(text) = told(report) {
                self.lines.push((report.seq, format!("{label}  {text}")));
            }
        }
        self.later.insert(label, Known::after(report));
    }

    /// Looks for those that are no longer in the list.
    pub(super) fn look_for_gone(&mut self, list: &[Arc<Proxy>]) {
        let Some(earlier) = &mut self.earlier else {
            return;
        };
        let listed: HashSet<_> = list.iter().map(|proxy| proxy.label().to_string()).collect();
        let mut gone: Vec<_> = earlier
            .extract_if(|label, _| !listed.contains(label))
            .collect();
        gone.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (label, known) in gone {
            let was = known.map_or("unknown", |known| known.verdict.as_str());
            self.news.count(Change::Gone);
            self.news.gone.push(format!("{label}  gone: was {was}"));
        }
    }

    /// Ends the comparison. The next one is with what is known now.
    pub(super) fn end(&mut self) -> News {
        let mut news = std::mem::take(&mut self.news);
        let mut lines = std::mem::take(&mut self.lines);
        lines.sort_by_key(|(seq, _)| *seq);
        news.lines = lines.into_iter().map(|(_, line)| line).collect();
        if self.compares() {
            news.counts.get_or_insert_default();
        }
        let later = std::mem::take(&mut self.later);
        // A check that found out nothing is none to compare with.
        if !later.is_empty() {
            self.earlier.get_or_insert_default().extend(later);
        }
        news
    }
}

/// The file compared with is the one written.
pub(super) fn replaces(args: &CheckArgs) -> bool {
    let place = |path: &Path| -> Option<PathBuf> {
        let known = path.canonicalize();
        known.or_else(|_| std::path::absolute(path)).ok()
    };
    match (&args.output.diff, &args.output.output) {
        (Some(diff), Some(output)) => place(diff) == place(output),
        _ => false,
    }
}

/// `died: alive, now dead (connect_refused)`; several with semicolons between them.
pub(super) fn told(report: &Report) -> Option<String> {
    let changes = report.changes.as_deref()?;
    let (before, now) = (report.before.as_deref(), Known::after(report));
    let verdict = match report.reason() {
        "ok" => report.verdict.to_string(),
        reason => format!("{} ({reason})", report.verdict),
    };
    let pair = |shown: &dyn Fn(&Known) -> String| match (before, &now) {
        (Some(before), Some(now)) => format!("{}, now {}", shown(before), shown(now)),
        _ => String::new(),
    };
    let texts = changes.iter().map(|change| {
        let text = match change {
            Change::New => verdict.clone(),
            Change::Gone => String::new(),
            Change::Revived | Change::Died | Change::Verdict => {
                let was = before.map_or("unknown", |before| before.verdict.as_str());
                format!("{was}, now {verdict}")
            }
            Change::Slower | Change::Quicker => pair(&|known| {
                known
                    .p50_ms
                    .map(|ms| format!("{ms:.0} ms"))
                    .unwrap_or_default()
            }),
            Change::Exit => pair(&|known| {
                let exits: Vec<_> = known.exits.iter().map(ToString::to_string).collect();
                exits.join(" ")
            }),
            Change::Country => pair(&|known| known.countries.join(" ")),
            Change::Anonymity => pair(&|known| {
                known
                    .anonymity
                    .map_or("", |level| level.as_str())
                    .to_owned()
            }),
        };
        format!("{change}: {text}")
    });
    let texts: Vec<_> = texts.collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}
