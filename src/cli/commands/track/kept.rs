//! The job whose history is asked for, and which of its series.

use std::fs;
use std::path::Path;

use time::OffsetDateTime;
use time::macros::format_description;

use super::super::state;
use crate::cli::Environment;
use crate::cli::args::{KeptJobArgs, SeriesArgs};
use crate::cli::settings::CommandLine;
use crate::error::{Error, Problem};
use crate::observation::{Observation, Series, State};
use crate::state::History;
use crate::text::harmless;
use crate::track::name::job_name;

/// Opens the history, and finds the one job that is meant.
pub(super) fn open(
    args: &KeptJobArgs,
    line: &CommandLine,
    environment: &Environment,
) -> Result<(History, Box<str>), Error> {
    let history = History::open_existing(&state::path(&args.file, line, environment)?)?;
    let jobs = history.jobs()?;
    let wanted = args.job.as_deref();
    let found = match wanted {
        None if jobs.len() > 1 => None,
        None => jobs.first().map(|job| &**job),
        Some(name) => find(&jobs, name),
    };
    let Some(job) = found.map(Box::from) else {
        let what = match wanted {
            None if jobs.len() > 1 => "the state has several jobs".to_owned(),
            Some(name) if !jobs.is_empty() => format!("no run of the job {name:?} was kept"),
            _ => "no run of a job was kept yet".to_owned(),
        };
        let hint = if jobs.is_empty() {
            "--state FILE names another state".to_owned()
        } else {
            format!("name one: {}", jobs.join(", "))
        };
        return Err(Problem::new(what)
            .at(history.path().display().to_string())
            .hint(hint)
            .into());
    };
    Ok((history, job))
}

/// A job by its name, or by the path of its file.
fn find<'a>(jobs: &'a [Box<str>], name: &str) -> Option<&'a str> {
    let called = |name: &str| jobs.iter().map(|job| &**job).find(|job| *job == name);
    called(name).or_else(|| {
        let path = Path::new(name);
        let text = fs::read_to_string(path).unwrap_or_default();
        called(&job_name(path, &text)?)
    })
}

/// The series of a job that are asked for, in the order they were first observed.
pub(super) fn chosen(
    history: &History,
    job: &str,
    args: &SeriesArgs,
) -> Result<Vec<Series>, Error> {
    let all = history.series(job)?;
    let wanted = args.series.as_deref().map(str::to_lowercase);
    let is_named = |series: &Series| {
        wanted.as_ref().is_none_or(|wanted| {
            series.to_string().to_lowercase().contains(wanted) || series.id().to_string() == *wanted
        })
    };
    let is_target = |series: &Series| args.target.is_none() || args.target == owned(&series.target);
    let is_any_target = args.target.is_none() || all.iter().any(is_target);
    let chosen: Vec<Series> = all.iter().filter(|one| is_named(one)).cloned().collect();
    let what = match (chosen.is_empty(), &args.series, &args.target) {
        (true, Some(name), _) => format!("no series of {job} is called {name:?}"),
        (_, _, Some(target)) if !is_any_target => format!("{job} has no target {target:?}"),
        _ => return Ok(chosen.into_iter().filter(is_target).collect()),
    };
    let hint = "proxywheel track history lists all series with their targets";
    Err(Problem::new(what).hint(hint).into())
}

fn owned(target: &Option<Box<str>>) -> Option<String> {
    target.as_deref().map(str::to_owned)
}

/// Text of strangers on one line of a terminal.
pub(super) fn plain(text: &str, most: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut letters = harmless(&words);
    let mut shown: String = letters.by_ref().take(most).collect();
    if letters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// `2026-03-01 06:00`, UTC.
pub(super) fn minute(at: i64) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]");
    OffsetDateTime::from_unix_timestamp(at.div_euclid(1000))
        .ok()
        .and_then(|at| at.format(form).ok())
        .unwrap_or_default()
}

/// What one observation found, in a few words: `3`, `≥ 53`, `12.90`, `not in depth`.
pub(super) fn found(one: &Observation) -> String {
    match (one.state, one.position) {
        (State::Ranked, Some(at)) if one.lower_bound => format!("≥ {at}"),
        (State::Ranked, Some(at)) => at.to_string(),
        (State::Seen, _) => plain(one.value.as_deref().unwrap_or_default(), 40),
        (state, _) => state.as_str().replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_strangers_is_one_harmless_line() {
        assert_eq!(plain("a\n\u{1b}[31mred\u{7}\tb", 20), "a [31mred b");
        assert_eq!(plain("abcdef", 3), "abc…");
    }
}
