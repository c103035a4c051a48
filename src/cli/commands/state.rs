//! `state`: what is remembered between runs.

use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::flags;
use crate::cli::Environment;
use crate::cli::args::{
    FetchArgs, StateArgs, StateCommand, StateFileArgs, StateForgetArgs, StateImportArgs,
};
use crate::cli::exit::Exit;
use crate::cli::figures;
use crate::cli::printer::Printer;
use crate::cli::settings::{CommandLine, gather};
use crate::config::{Span, state_file};
use crate::error::{Error, Problem};
use crate::outcome::UnixMillis;
use crate::state::{Forgotten, History, ProxyRow, RunRow, State, Survey, gap, millis};

/// Runs the command below `state` that the line names.
pub(super) fn run(line: &CommandLine, environment: &Environment) -> Result<Exit, Error> {
    let (args, global) = flags::<StateArgs>(environment)?;
    let printer = Printer::new(&global, environment);
    let find = |file: &StateFileArgs| path(file, line, environment);
    let now = SystemTime::now();
    match &args.command {
        StateCommand::Show(show) => {
            let state = State::open_existing(&find(&show.file)?)?;
            let survey = state.survey(show.runs, now)?;
            printer.data(&shown(&state, &survey, millis(now)))?;
        }
        StateCommand::Top(top) => {
            let best = State::open_existing(&find(&top.file)?)?.top(top.most, now)?;
            printer.data(&ranked(&best, millis(now)))?;
        }
        StateCommand::Export(file) => {
            let mut lines = Vec::new();
            let rows = State::open_existing(&find(file)?)?.export(&mut lines)?;
            printer.data(&String::from_utf8_lossy(&lines))?;
            printer.note(&format!("{rows} rows exported"));
        }
        StateCommand::Import(import) => import_from(import, find(&import.file)?, &printer)?,
        StateCommand::Forget(forget) => {
            let path = find(&forget.file)?;
            match &forget.job {
                Some(job) => forget_job(&path, job, forget.older_than, now, &printer)?,
                None => forget_in(State::open_existing(&path)?, forget, now, &printer)?,
            }
        }
        StateCommand::Vacuum(file) => {
            let (before, after) = State::open_existing(&find(file)?)?.vacuum()?;
            let (before, after) = (figures::bytes(before), figures::bytes(after));
            printer.note(&format!("{before} before, {after} now"));
        }
    }
    Ok(Exit::DONE)
}

/// The file that `fetch` would use, unless one is named.
pub(super) fn path(
    file: &StateFileArgs,
    line: &CommandLine,
    environment: &Environment,
) -> Result<PathBuf, Error> {
    if let Some(path) = &file.state {
        return Ok(path.clone());
    }
    let gathered = gather::<FetchArgs>("fetch", line, environment)?;
    let path = gathered.args.run.state;
    path.or_else(|| state_file(&environment.variables))
        .ok_or_else(|| {
            Problem::new("there is no home directory to look for the state in")
                .hint("name the file with --state FILE")
                .into()
        })
}

fn import_from(args: &StateImportArgs, path: PathBuf, printer: &Printer) -> Result<(), Error> {
    let mut from: Box<dyn BufRead> = if args.from.as_os_str() == "-" {
        Box::new(stdin().lock())
    } else {
        let failed = |error| Error::io("read", &args.from, error);
        Box::new(BufReader::new(File::open(&args.from).map_err(failed)?))
    };
    let mut state = State::open(&path)?.state;
    let name = args.from.display().to_string();
    let imported = state.import(&mut *from, &name)?;
    let mut text = format!("{} rows taken", imported.taken);
    if imported.older > 0 {
        text.push_str(&format!(", {} known already", imported.older));
    }
    printer.note(&text);
    if imported.untold > 0 {
        let problem = Problem::new(format!(
            "{} rows of proxies with credentials were left out: this state has other ids for them",
            imported.untold
        ));
        printer.warn(&problem.hint("import into a new file: --state NEW.db"));
    }
    Ok(())
}

fn forget_in(
    mut state: State,
    args: &StateForgetArgs,
    now: SystemTime,
    printer: &Printer,
) -> Result<(), Error> {
    for what in &args.what {
        match state.forget(what)? {
            Forgotten {
                proxies: 0,
                pairs: 0,
                hosts: 0,
                ..
            } => {
                let problem = Problem::new(format!("nothing is remembered of {what:?}"));
                printer.warn(&problem.hint("proxywheel state export has all names"));
            }
            forgotten => printer.note(&format!("{what}: {}", counted(forgotten))),
        }
    }
    if let Some(age) = args.older_than {
        let forgotten = state.forget_older(age.0, now)?;
        printer.note(&format!("older than {age}: {}", counted(forgotten)));
    }
    Ok(())
}

fn forget_job(
    path: &Path,
    job: &str,
    older_than: Option<Span>,
    now: SystemTime,
    printer: &Printer,
) -> Result<(), Error> {
    let mut history = History::open_existing(path)?;
    let jobs = history.jobs()?;
    if !jobs.iter().any(|known| **known == *job) {
        let problem = Problem::new(format!("nothing is remembered of a job {job:?}"));
        let hint = match jobs.is_empty() {
            true => "--state FILE names another state".to_owned(),
            false => format!("there are {}", jobs.join(", ")),
        };
        printer.warn(&problem.hint(hint));
        return Ok(());
    }
    let until = older_than.map(|age| now.checked_sub(age.0).map_or(0, millis));
    let forgotten = history.forget(job, until)?;
    printer.note(&figures::counted(
        forgotten,
        "observation forgotten",
        "observations forgotten",
    ));
    Ok(())
}

fn counted(forgotten: Forgotten) -> String {
    let Forgotten {
        proxies,
        pairs,
        hosts,
        runs,
    } = forgotten;
    format!("{proxies} proxies, {pairs} pairs, {hosts} hosts, {runs} runs forgotten")
}

fn shown(state: &State, survey: &Survey, now: i64) -> String {
    let Survey {
        bytes,
        proxies,
        proven,
        unreached,
        condemned,
        pairs,
        hosts,
        runs,
        observed,
        last,
    } = survey;
    let mut text = format!(
        "{}, {}\n  proxies  {proxies}: {proven} have served, {unreached} not reached lately, {condemned} set aside for altering answers\n",
        state.path().display(),
        figures::bytes(*bytes),
    );
    if let Some((oldest, newest)) = observed {
        let (oldest, newest) = (ago(*oldest, now), ago(*newest, now));
        text.push_str(&format!("  observed {newest} to {oldest}\n"));
    }
    text.push_str(&format!(
        "  pairs    {pairs} at rest\n  hosts    {hosts} asked to wait\n  runs     {runs}\n"
    ));
    for run in last {
        text.push_str(&format!("    {}\n", told(run)));
    }
    text
}

/// One run on one line.
fn told(run: &RunRow) -> String {
    let started = UnixMillis(run.started);
    let Some(ended) = run.ended else {
        return format!("{started}  has not ended, or was killed");
    };
    let count = |count: Option<i64>| count.unwrap_or(0);
    format!(
        "{started}  {}: {} URLs, {} ok, {} attempts, {} probes, {} of {} proxies served a page: {}",
        figures::time(gap(run.started, ended)),
        count(run.urls),
        count(run.ok),
        count(run.attempts),
        count(run.probes),
        count(run.worked),
        count(run.proxies),
        run.reason.as_deref().unwrap_or("ended"),
    )
}

/// A table of the best.
fn ranked(best: &[(u8, ProxyRow)], now: i64) -> String {
    let mut text = String::from("score  answers  seconds  observed      proxy\n");
    for (score, row) in best {
        let seconds = if row.latency > 0.0 {
            format!("{:.2}", row.latency)
        } else {
            "-".to_owned()
        };
        let observed = ago(row.observed, now);
        text.push_str(&format!(
            "{score:>5}  {:>7}  {seconds:>7}  {observed:<12}  {}\n",
            row.ok, row.label
        ));
    }
    text
}

/// `now`, `5 min ago`, `3 h ago`, `12 d ago`.
fn ago(at: i64, now: i64) -> String {
    let seconds = gap(at, now).as_secs();
    const DAY: u64 = Duration::from_secs(24 * 3600).as_secs();
    match seconds {
        0..60 => "now".to_owned(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..DAY => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / DAY),
    }
}
