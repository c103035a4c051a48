//! `track run`: a job, once.
//!
//! The order is what makes it safe to kill at any moment: an observation is on the disk before the next answer is looked at; a run that
//! has not ended is gone on with; alerts are judged by what nobody has been told of yet, and that mark moves when they have arrived.

mod deliver;
mod due;
mod telling;
mod work;

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use self::due::{Choice, choose};
use self::telling::tell;
use self::work::{Tally, Tracking, now};
use super::super::fetch::{Driven, execute_work};
use super::super::{read, rule_files};
use super::job;
use crate::cli::Environment;
use crate::cli::args::{TrackRunArgs, resolve};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::settings::{CommandLine, settings_of_run};
use crate::config::{MaxFail, Resolved, state_file};
use crate::error::{Error, Problem};
use crate::observation::State;
use crate::state::{History, RunId};
use crate::track::alert;
use crate::track::job::{Hook, Keep, Kind, TrackJob};

/// Runs a job.
pub(super) fn run(
    args: &TrackRunArgs,
    line: &CommandLine,
    environment: &Environment,
    printer: &Printer,
) -> Result<Exit, Error> {
    let job = Arc::new(job(&args.job, environment)?);
    let resolved = settings(&job, args, line, environment)?;
    let Some(state) = resolved.state.clone() else {
        return Err(Problem::new("there is no place to keep what is observed")
            .at("--state")
            .hint("name a file, or set HOME or XDG_STATE_HOME")
            .into());
    };
    let opened = History::open(&state)?;
    if let Some(aside) = &opened.aside {
        printer.warn(&aside.problem());
    }
    let history = opened.history;
    if let Some(hook) = &job.hooks.on_start {
        call(hook, &json!({"job": job.name, "event": "start"}), printer);
    }
    let ended = observe(args, &job, resolved, history, environment, printer);
    let (report, exit) = match &ended {
        Ok(ended) => (Value::from(ended.report.clone()), ended.exit),
        Err(error) => {
            let exit = Exit::of_error(error);
            let report = json!({"job": job.name, "exit": exit.code, "reason": exit.word, "error": error.to_string()});
            (report, exit)
        }
    };
    let hook = match exit.code {
        0 | 10 => &job.hooks.on_success,
        _ => &job.hooks.on_failure,
    };
    if let Some(hook) = hook {
        call(hook, &report, printer);
    }
    ended.map(|ended| ended.exit)
}

struct Ended {
    exit: Exit,
    /// What hooks get and `--summary json` shows.
    report: Map<String, Value>,
}

/// Asks what is due, and tells what is new.
fn observe(
    args: &TrackRunArgs,
    job: &Arc<TrackJob>,
    resolved: Resolved,
    history: History,
    environment: &Environment,
    printer: &Printer,
) -> Result<Ended, Error> {
    let path = history.path().to_owned();
    let Choice {
        run,
        due,
        fresh,
        continued,
    } = choose(job, &history, &resolved.request, args.retry_failed, now())?;
    if continued && !due.is_empty() {
        printer.note(&format!(
            "going on with a run that was not ended: {} queries are left",
            due.len()
        ));
    }
    let asked = due.len();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut exit = Exit::DONE;
    let max_fail = resolved.max_fail;
    let mut alive = None;
    if let Some(run) = &run
        && !due.is_empty()
    {
        let work = Tracking {
            job: job.clone(),
            history,
            run: run.clone(),
            due,
            tally: tally.clone(),
        };
        let Driven {
            summary,
            told,
            exit: of_run,
            ..
        } = execute_work(resolved, work, args.progress, environment, printer)?;
        told?;
        exit = of_run;

        alive = Some(u64::from(summary.totals.pool.ready));
    }
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
    exit = of_queries(exit, &tally, max_fail);
    let history = History::open_existing(&path)?;
    // A run that was stopped before it could ask is left open, too.
    if let Some(run) = &run
        && tally.done == asked as u64
    {
        history.end(run, now())?;
    }
    let mut alerts = telling::untold(job, &history)?;
    if let Some(alive) = alive {
        alerts.due.extend(alert::of_run(job, &tally.hosts, alive));
    }
    let arrived = tell(job, &alerts.due, printer)?;
    if arrived && let Some(seq) = alerts.last {
        history.tell(&job.name, seq)?;
    }
    if args.exit_on_change && !alerts.due.is_empty() && matches!(exit.code, 0 | 4 | 8) {
        exit = Exit::CHANGED;
    }
    let report = report(job, run.as_ref(), &tally, fresh, &alerts.due, exit);
    let text = text(job, &tally, fresh, alerts.due.len(), exit);
    printer.report(&text, None, report.clone());
    Ok(Ended { exit, report })
}

/// The exit of a run by what its queries came to: that a page failed does not count when all that was asked of it is known.
fn of_queries(exit: Exit, tally: &Tally, max_fail: MaxFail) -> Exit {
    if !matches!(exit.code, 0 | 4 | 5 | 8) {
        return exit;
    }
    let failed = tally.count(State::Unknown) + tally.count(State::Missing);
    let all = tally.states.iter().sum();
    match exit.code {
        _ if max_fail.admits(failed, all) => Exit::DONE,
        0 if failed == all => Exit::new(5, "all_failed"),
        0 => Exit::new(4, "some_failed"),
        _ => exit,
    }
}

/// The settings of a job: those of `[fetch]` and of the flags after `--`, with what the job itself asks for.
fn settings(
    job: &TrackJob,
    args: &TrackRunArgs,
    line: &CommandLine,
    environment: &Environment,
) -> Result<Resolved, Error> {
    let gathered = settings_of_run(job, &args.fetch, line, environment)?;
    let placed = |error| gathered.placed(error);
    let mut resolved = resolve(&gathered.args, &gathered.matches, &mut read).map_err(placed)?;
    resolved.ban.rules = rule_files(&gathered.args.bans.rules).map_err(placed)?;
    resolved.engine.extract.clone_from(&job.extract.extractor);
    // A page that is none of results (a consent wall, a shell that wants scripts) is worth another exit.
    let container = job
        .extract
        .extractor
        .as_ref()
        .and_then(|extractor| extractor.container());
    resolved
        .ban
        .expect_selector
        .extend(container.map(str::to_owned));
    let whole = matches!(&job.kind, Kind::Change(watch) if watch.field.is_none());
    resolved.engine.bodies = whole || job.output.pages != Keep::Never;
    // The validators of a page that is watched.
    resolved.engine.headers = matches!(job.kind, Kind::Change(_));
    if let Some(state) = &args.state {
        resolved.state = Some(state.clone());
    }
    if resolved.state.is_none() {
        resolved.state = state_file(&environment.variables);
    }
    Ok(resolved)
}

/// Tells a hook. One that fails is complained of and changes nothing: the run is what it is.
fn call(hook: &Hook, report: &Value, printer: &Printer) {
    let called = match hook {
        Hook::Command(words) => deliver::run_program(words, report),
        Hook::Url(url) => deliver::send(url, None, report),
    };
    if let Err(why) = called {
        printer.warn(&Problem::new(format!("a hook failed: {why}")));
    }
}

/// The run in numbers.
fn report(
    job: &TrackJob,
    run: Option<&RunId>,
    tally: &Tally,
    fresh: u64,
    alerts: &[alert::Due],
    exit: Exit,
) -> Map<String, Value> {
    let states = State::ALL.map(|state| (state.as_str().to_owned(), tally.count(state).into()));
    let states: Map<String, Value> = states.into_iter().collect();
    let alerts: Vec<_> = alerts.iter().map(|due| due.event.clone()).collect();
    let value = json!({
        "job": job.name,
        "run": run.map(|run| &run.0),
        "exit": exit.code,
        "reason": exit.word,
        "queries": tally.done,
        "left": tally.left,
        "fresh": fresh,
        "states": states,
        "requests": tally.took.attempts,
        "blocked": tally.took.blocked,
        "bytes": tally.took.bytes,
        "alerts": alerts,
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The same for people.
fn text(job: &TrackJob, tally: &Tally, fresh: u64, alerts: usize, exit: Exit) -> String {
    let mut words = Vec::new();
    for state in State::ALL {
        let count = tally.count(state);
        if count > 0 {
            words.push(format!("{count} {}", state.as_str().replace('_', " ")));
        }
    }
    let mut text = format!("{}: {} queries", job.name, tally.done);
    if !words.is_empty() {
        text.push_str(&format!(": {}", words.join(", ")));
    }
    if fresh > 0 {
        text.push_str(&format!("; {fresh} were fresh enough"));
    }
    if tally.left > 0 {
        text.push_str(&format!("; {} are left for the next run", tally.left));
    }
    let took = &tally.took;
    if took.attempts > 0 {
        text.push_str(&format!(
            "\n{} requests, {} blocked",
            took.attempts, took.blocked
        ));
    }
    if alerts > 0 {
        text.push_str(&format!("\n{alerts} alerts"));
    }
    text.push_str(&format!("\nexit {} ({})", exit.code, exit.word));
    text
}
