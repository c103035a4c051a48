//! `track run`: a job, once.
//!
//! The order is what makes it safe to kill at any moment: an observation is on the disk before the next answer is looked at; a run that
//! has not ended is gone on with; alerts are judged by what nobody has been told of yet, and wait in the state until they have arrived.

mod claim;
mod deliver;
mod due;
mod export;
mod telling;
mod work;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use self::deliver::Courier;
use self::telling::tell;
use self::work::{Tally, Tracking};
use super::super::fetch::{Driven, execute_work};
use super::super::{read, rule_files};
use super::{job, state_of};
use crate::cli::Environment;
use crate::cli::args::{TrackRunArgs, resolve};
use crate::cli::exit::Exit;
use crate::cli::figures::counted;
use crate::cli::printer::Printer;
use crate::cli::settings::{CommandLine, settings_of_run};
use crate::config::{LockSettings, MaxFail, Resolved};
use crate::error::{Error, Problem};
use crate::metrics::FinishReason;
use crate::observation::State;
use crate::state::History;
use crate::track::alert;
use crate::track::job::{Keep, Kind, TrackJob};

/// Runs a job.
pub(super) fn run(
    args: &TrackRunArgs,
    line: &CommandLine,
    environment: &Environment,
    printer: &Printer,
) -> Result<Exit, Error> {
    let job = Arc::new(job(&args.job, environment)?);
    let resolved = settings(&job, args, line, environment)?;
    let ended = observe(args, &job, resolved, environment, printer);
    let (report, exit) = match &ended {
        Ok(Some(ended)) => (Value::from(ended.report.clone()), ended.exit),
        // From cron every word is a mail, and whoever has the lock tells its own hooks.
        Ok(None) => return Ok(Exit::SKIPPED),
        Err(Error::Locked { .. }) => return ended.map(|_| Exit::SKIPPED),
        Err(error) => {
            let exit = Exit::of_error(error);
            let report = json!({
                "job": job.name,
                "exit": exit.code,
                "reason": exit.word,
                "error": error.to_string(),
            });
            (report, exit)
        }
    };
    let hook = match exit.code {
        0 | 10 => &job.hooks.on_success,
        _ => &job.hooks.on_failure,
    };
    let stopped = hook
        .as_ref()
        .and_then(|hook| deliver::call(hook, &report, printer));
    ended.map(|_| stopped.map_or(exit, exit_of_signal))
}

/// The exit of a run that a signal has ended after its last request.
fn exit_of_signal(code: u8) -> Exit {
    let reason = match code {
        143 => FinishReason::Terminated,
        _ => FinishReason::Interrupted,
    };
    Exit::new(code, reason.as_str())
}

struct Ended {
    exit: Exit,
    /// What hooks get and `--summary json` shows.
    report: Map<String, Value>,
}

/// Asks what is due, and tells what is new; `None` when another run is at it.
fn observe(
    args: &TrackRunArgs,
    job: &Arc<TrackJob>,
    resolved: Resolved,
    environment: &Environment,
    printer: &Printer,
) -> Result<Option<Ended>, Error> {
    resolved
        .check_proxies()
        .map_err(|problem| problem.at(job.path.display().to_string()))?;
    resolved.check_values()?;
    let Some(state) = resolved.state.clone() else {
        return Err(Problem::new("there is no place to keep what is observed")
            .at("--state")
            .hint("name a file, or set HOME or XDG_STATE_HOME")
            .into());
    };
    // The lock stands beside the state, and comes first.
    if let Some(folder) = state.parent() {
        fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;
    }
    let tally = Arc::new(Mutex::new(Tally::default()));
    let work = Tracking {
        job: job.clone(),
        state: state.clone(),
        folder: claim::folder_as_named(environment.variables.get("PWD")),
        retry_failed: args.retry_failed,
        printer: printer.clone(),
        tally: tally.clone(),
        export: None,
        opened: None,
    };
    let Driven {
        summary,
        resolved,
        told,
        exit,
        lock: _lock,
        ..
    } = execute_work(resolved, work, args.progress, environment, printer)?;
    if exit == Exit::SKIPPED {
        return Ok(None);
    }
    // Before anything is judged, so that no signal is lost from here on.
    let mut courier = Courier::new()?;
    told?;
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
    tally.count_requests(&summary.totals);
    let mut exit = of_queries(exit, &tally, resolved.max_fail);
    let mut history = History::open(&state)?.history;
    let mut alerts = telling::untold(job, &history)?;
    if tally.due > 0 {
        let alive = u64::from(summary.totals.pool.ready);
        let run = tally.run.as_ref().map(|run| &*run.0).unwrap_or_default();
        for mut one in alert::of_run(job, &tally.hosts, alive) {
            let host = one.event.get("host").and_then(Value::as_str);
            let id = format!("{run}-{}-{}", one.alert, host.unwrap_or_default());
            one.event.insert("id".into(), id.into());
            alerts.due.push(one);
        }
    }
    tell(job, &mut history, &alerts, &mut courier, printer)?;
    if let Some(code) = courier.stopped {
        exit = exit_of_signal(code);
    } else if args.exit_on_change && !alerts.due.is_empty() && matches!(exit.code, 0 | 4 | 8) {
        exit = Exit::CHANGED;
    }
    let report = report(job, &tally, &alerts.due, exit);
    let text = text(job, &tally, alerts.due.len(), exit);
    printer.ended(&text, None, report.clone(), exit);
    Ok(Some(Ended { exit, report }))
}

/// The exit of a run by what its queries came to: that a page failed does not count when all that was asked of it is known.
fn of_queries(exit: Exit, tally: &Tally, max_fail: MaxFail) -> Exit {
    let exit = match exit.code {
        // A cap that was met with the last answers has kept nothing undone.
        7 if tally.done == tally.due => Exit::DONE,
        0 | 4 | 5 | 8 => exit,
        _ => return exit,
    };
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
    resolved.state = state_of(args.state.as_ref(), resolved.state.as_ref(), environment);
    let schedule = &job.schedule;
    let caps = &mut resolved.engine.caps;
    caps.deadline = caps.deadline.or(schedule.deadline);
    caps.requests = caps.requests.or(schedule.max_requests);
    caps.bytes = caps.bytes.or(schedule.max_bytes);
    caps.cost = caps.cost.or(schedule.max_cost);
    if resolved.start.jitter.is_zero() {
        resolved.start.jitter = schedule.start_jitter;
    }
    if let Some(state) = &resolved.state
        && (resolved.start.lock.is_none() || !args.lock.is_empty())
    {
        // One run of a job at a time, in one state.
        let mut beside = state.clone().into_os_string();
        beside.push(format!(".{}", job.name));
        let words = match args.lock.is_empty() {
            true => vec!["fail".to_owned()],
            false => args.lock.clone(),
        };
        resolved.start.lock = LockSettings::of(&words, Some(Path::new(&beside)))?;
    }
    Ok(resolved)
}

/// The run in numbers.
fn report(job: &TrackJob, tally: &Tally, alerts: &[alert::Due], exit: Exit) -> Map<String, Value> {
    let states = State::ALL.map(|state| (state.as_str().to_owned(), tally.count(state).into()));
    let states: Map<String, Value> = states.into_iter().collect();
    let alerts: Vec<_> = alerts.iter().map(|due| due.event.clone()).collect();
    let value = json!({
        "job": job.name,
        "run": tally.run.as_ref().map(|run| &run.0),
        "exit": exit.code,
        "reason": exit.word,
        "queries": tally.done,
        "left": tally.due - tally.done,
        "fresh": tally.fresh,
        "states": states,
        "requests": tally.took.attempts,
        "blocked": tally.took.blocked,
        "bytes": tally.took.bytes,
        "cost": tally.took.cost as f64 / 1e6,
        "alerts": alerts,
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The same for people.
fn text(job: &TrackJob, tally: &Tally, alerts: usize, exit: Exit) -> String {
    let mut words = Vec::new();
    for state in State::ALL {
        let count = tally.count(state);
        if count > 0 {
            words.push(format!("{count} {}", state.as_str().replace('_', " ")));
        }
    }
    let queries = counted(tally.done, "query", "queries");
    let mut text = format!("{}: {queries}", job.name);
    if !words.is_empty() {
        text.push_str(&format!(": {}", words.join(", ")));
    }
    if tally.fresh > 0 {
        let fresh = counted(tally.fresh, "was", "were");
        text.push_str(&format!("; {fresh} fresh enough"));
    }
    let left = tally.due - tally.done;
    if left > 0 {
        let left = counted(left, "is", "are");
        text.push_str(&format!("; {left} left for the next run"));
    }
    let took = &tally.took;
    if took.attempts > 0 {
        let requests = counted(took.attempts.into(), "request", "requests");
        text.push_str(&format!("\n{requests}, {} blocked", took.blocked));
    }
    if alerts > 0 {
        let alerts = counted(alerts as u64, "alert", "alerts");
        text.push_str(&format!("\n{alerts}"));
    }
    text.push_str(&format!("\nexit {} ({})", exit.code, exit.word));
    text
}
