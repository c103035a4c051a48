//! `track`: rank and change monitoring from job files.

mod diff;
mod history;
mod kept;
mod plan;
mod report;
mod run;
mod validate;

use std::path::{Path, PathBuf};

use super::{Failure, flags};
use crate::cli::Environment;
use crate::cli::args::{TrackArgs, TrackCommand};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::settings::{CommandLine, settings_of_job};
use crate::config::state_file;
use crate::error::Error;
use crate::track::job::TrackJob;

/// Runs the command below `track` that the line names.
pub(super) fn run(
    line: &CommandLine,
    environment: &Environment,
    early: &Printer,
) -> Result<Exit, Failure> {
    let (args, global) = flags::<TrackArgs>(environment).map_err(|error| (early.clone(), error))?;
    let printer = Printer::new(&global, environment);
    let done = match &args.command {
        TrackCommand::Validate(args) => validate::run(args, environment, &printer),
        TrackCommand::Plan(args) => plan::run(args, line, environment, &printer),
        TrackCommand::Run(args) => run::run(args, line, environment, &printer),
        TrackCommand::History(args) => history::run(args, line, environment, &printer),
        TrackCommand::Diff(args) => diff::run(args, line, environment, &printer),
        TrackCommand::Report(args) => report::run(args, line, environment, &printer),
    };
    done.map_err(|error| (printer, error))
}

/// The job in this file, its `[fetch]` checked like a command line.
fn job(path: &Path, environment: &Environment) -> Result<TrackJob, Error> {
    let variable = |name: &str| {
        let value = environment.variables.get(name)?;
        value.to_str().map(str::to_owned)
    };
    let job = TrackJob::read(path, &variable)?;
    settings_of_job(&job)?;
    Ok(job)
}

/// The state of a job: the one that is named, that of its settings, or the one of all.
fn state_of(
    named: Option<&PathBuf>,
    set: Option<&PathBuf>,
    environment: &Environment,
) -> Option<PathBuf> {
    named
        .or(set)
        .cloned()
        .or_else(|| state_file(&environment.variables))
}

/// `50 queries x 2 countries x 3 targets = 300 series`: how much a job is.
fn size(job: &TrackJob) -> String {
    let axes = job
        .matrix
        .iter()
        .map(|axis| counted(axis.values.len(), &axis.name));
    let targets = job.targets().len();
    let targets = (targets > 0).then(|| counted(targets, "target"));
    let factors: Vec<String> = axes.chain(targets).collect();
    let series = job.plan().series;
    if factors.is_empty() {
        format!("{series} series")
    } else {
        format!("{} = {series} series", factors.join(" x "))
    }
}

/// `1 query`, `2 queries`.
fn counted(count: usize, name: &str) -> String {
    let plural = match name.strip_suffix('y') {
        _ if count == 1 => name.to_owned(),
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ if name.ends_with('s') => name.to_owned(),
        _ => format!("{name}s"),
    };
    format!("{count} {plural}")
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn axes_are_counted_in_words() {
        assert_eq!(counted(1, "query"), "1 query");
        assert_eq!(counted(2, "query"), "2 queries");
        assert_eq!(counted(2, "key"), "2 keys");
        assert_eq!(counted(0, "device"), "0 devices");
        assert_eq!(counted(2, "news"), "2 news");
    }
}
