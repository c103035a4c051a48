//! The job file: what is watched, where, how often, and what is done about it.
//!
//! One TOML file for each job; docs/track.md has every key. [`TrackJob::read`] takes the file and those it names (keywords, a profile)
//! and answers with all that is wrong in them at once, each with line and column, because whoever writes such a file wants to correct
//! it once. The tables are read by hand and not by derived code, which stops at the first unknown key and cannot say in which table
//! the key would be right.
//!
//! `[fetch]` is not looked into here: its keys are the long flags of `fetch`, and [`crate::track`] does not know them.
//!
//! What is where: `reader` tables that know what they were asked for, `keys` which there are, `template` the URL, `matrix` the axes and
//! what their values change, `extract`, `target`, `watch`, `alert`, `schedule` the tables of these names, `query` the expansion.

mod alert;
mod extract;
mod keys;
mod matrix;
mod query;
mod reader;
mod schedule;
mod target;
mod template;
mod variables;
mod watch;

#[cfg(test)]
mod tests;

pub use alert::{Alert, Event, Hook, Hooks, Webhook};
pub use extract::Extract;
pub use matrix::{Axis, Vary};
pub use query::{Plan, Query};
pub use schedule::{Depth, Keep, Observations, Order, Output, Pages, Schedule};
pub use target::{Subdomains, Target};
pub use template::UrlTemplate;
pub use watch::{Clean, Threshold, Watch};

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::reader::{Source, Table};
use crate::error::{Error, Problem};

/// Looks up an environment variable; `None` when it is not set.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A job, checked.
#[derive(Debug, Clone)]
pub struct TrackJob {
    /// The file, as the user named it.
    pub path: PathBuf,
    /// The whole text of the file. Who knows the settings of `fetch` reads the table `fetch` out of it, with its lines.
    pub text: Arc<str>,
    /// What its observations are kept under.
    pub name: Box<str>,
    /// What it watches.
    pub kind: Kind,
    /// The address, with placeholders.
    pub url: UrlTemplate,
    /// The axes of the matrix in the order of the file; none is one query.
    pub matrix: Vec<Axis>,
    /// Pages of a query.
    pub pages: Pages,
    /// What single values of the axes change, in the order of the axes.
    pub vary: Vec<Vary>,
    /// What is taken out of a page.
    pub extract: Extract,
    /// When and how much.
    pub schedule: Schedule,
    /// Files it writes.
    pub output: Output,
    /// What somebody wants to be told.
    pub alerts: Vec<Alert>,
    /// Whom to tell of the run itself.
    pub hooks: Hooks,
}

/// What a job watches.
#[derive(Debug, Clone)]
pub enum Kind {
    /// The places of these targets among the results; at least one.
    Rank(Vec<Target>),
    /// A value or the text of a page.
    Change(Watch),
}

impl Kind {
    /// The word in the file.
    pub fn as_str(&self) -> &'static str {
        match self {
            Kind::Rank(_) => "rank",
            Kind::Change(_) => "change",
        }
    }
}

impl TrackJob {
    /// Reads the file at `path` and those it names. `env` is asked for `${NAME}` in secrets, addresses of hooks, headers and cookies.
    ///
    /// # Errors
    /// The file cannot be read, or something is wrong in it: one problem that tells all of them, each with its line and column.
    pub fn read(path: &Path, env: Env<'_>) -> Result<TrackJob, Error> {
        let bytes = fs::read(path).map_err(|source| Error::io("read", path, source))?;
        let text = String::from_utf8(bytes).map_err(|_| {
            Problem::new("a job file has to be UTF-8").at(path.display().to_string())
        })?;
        Ok(TrackJob::parse(path, &text, env)?)
    }

    /// The same with the text of the file given. Files it names are read, relative to the folder of `path`.
    ///
    /// # Errors
    /// As [`TrackJob::read`].
    pub fn parse(path: &Path, text: &str, env: Env<'_>) -> Result<TrackJob, Problem> {
        let source = Source::new(path, text, env);
        let job = source.document(|table| read(&table, &source)).flatten();
        match (source.problem(), job) {
            (Some(problem), _) => Err(problem),
            (None, Some(job)) => Ok(job),
            (None, None) => Err(Problem::new("not a job").at(path.display().to_string())),
        }
    }

    /// The targets; none where a value is watched.
    pub fn targets(&self) -> &[Target] {
        match &self.kind {
            Kind::Rank(targets) => targets,
            Kind::Change(_) => &[],
        }
    }
}

/// Reads every table, so that all complaints are made; `None` when there was one that leaves no job.
fn read(table: &Table<'_, '_>, source: &Source<'_>) -> Option<TrackJob> {
    let name = name(table, source);
    let is_rank = kind(table);
    let matrix = matrix::read_axes(table, source);
    let axes = matrix.as_deref();
    let pages = schedule::pages(table, is_rank);
    let vary = matrix::read_vary(table, axes);
    let url = template::read(table, axes, &vary, &pages);
    let extract = extract::read(table, source, is_rank);
    let targets = target::read(table, is_rank);
    let watch = watch::read(table, extract.as_ref(), is_rank);
    let schedule = schedule::schedule(table);
    let output = schedule::output(table, source);
    let alerts = alert::read(table, axes, targets.as_deref(), watch.as_ref(), is_rank);
    let hooks = alert::hooks(table);
    if let Some(fetch) = table.item("fetch")
        && !fetch.is_table()
    {
        fetch.mistyped("a table");
    }
    table.finish();
    let job = TrackJob {
        path: source.path.to_owned(),
        text: source.text.into(),
        name: name?,
        kind: if is_rank? {
            Kind::Rank(targets?)
        } else {
            Kind::Change(watch?)
        },
        url: url?,
        matrix: matrix?,
        pages,
        vary,
        extract: extract?,
        schedule,
        output,
        alerts,
        hooks,
    };
    query::check(&job, table);
    Some(job)
}

/// `name`, by default the stem of the file.
fn name(table: &Table<'_, '_>, source: &Source<'_>) -> Option<Box<str>> {
    let Some(item) = table.item("name") else {
        let stem = source.path.file_stem()?.to_string_lossy();
        return Some(stem.into());
    };
    let name = item.text()?;
    if name.trim().is_empty() || name.chars().any(|c| c.is_control() || c == '/') {
        item.complain(
            "a name is some letters, without / and line breaks",
            "series are kept under it; leave it out for the name of the file",
        );
        return None;
    }
    Some(name.into())
}

/// `kind`: true for ranks.
fn kind(table: &Table<'_, '_>) -> Option<bool> {
    let Some(item) = table.item("kind") else {
        table.lacks(
            "kind",
            "kind = \"rank\" watches the places of [[target]]s among results, kind = \"change\" a value or a text",
        );
        return None;
    };
    item.word(&[("rank", true), ("change", false)])
}
