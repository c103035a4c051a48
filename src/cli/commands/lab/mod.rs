//! `lab`: scenarios over sockets in this process, to rehearse a job against.
//!
//! `lab run` is [`fetch::execute`] against the scenario, as `demo` is against its own lab; `lab serve` is the lab alone.

mod replay;
mod report;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use clap::FromArgMatches;
use clap::parser::ValueSource;

use super::{Failure, fetch, flags, read};
use crate::cli::Environment;
use crate::cli::args::{FetchArgs, LabArgs, LabCommand, LabRunArgs, ScenarioArgs, resolve, root};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::signals::{self, Signal};
use crate::cli::usage::problem_of;
use crate::config::{ProxySources, Resolved, Streams};
use crate::error::{Error, Problem};
use crate::input;
use crate::lab::Lab;
use crate::lab::scenario::{Scenario, oracle};
use crate::secret::Secret;
use report::{Ours, asked, comparison};

/// How a page of a scenario's sites looks: what a careful person would tell `fetch`, since some proxies make up their own.
const MUST_MATCH: &str = r"<title>/\d+ at h\d+\.test</title>";

/// Runs the command below `lab` that the line names.
pub(super) fn run(environment: &Environment, early: &Printer) -> Result<Exit, Failure> {
    let (args, global) = flags::<LabArgs>(environment).map_err(|error| (early.clone(), error))?;
    let printer = Printer::new(&global, environment);
    printer.receive_events();
    let done = match &args.command {
        _ if global.config.is_some() => Err(Problem::new("lab reads no configuration")
            .at("--config")
            .hint("drop --config; flags of fetch stand after --")
            .into()),
        LabCommand::Run(run) => rehearse(run, environment, &printer),
        LabCommand::Serve(scenario) => serve(scenario, &printer),
        LabCommand::Replay(record) => replay::run(record, &printer),
    };
    done.map_err(|error| (printer, error))
}

fn open(args: &ScenarioArgs) -> Result<Scenario, Error> {
    let bytes = read(&args.scenario)?;
    let path = args.scenario.display().to_string();
    let text = String::from_utf8(bytes)
        .map_err(|_| Problem::new("a scenario is UTF-8 text").at(path.clone()))?;
    Ok(Scenario::parse(&path, &text)?)
}

fn rehearse(
    args: &LabRunArgs,
    environment: &Environment,
    printer: &Printer,
) -> Result<Exit, Error> {
    let scenario = open(&args.scenario)?;
    let seed = args.scenario.seed;
    let mut resolved = settings(&args.fetch, &scenario)?;
    // Said first: to find out what an oracle needs takes a while.
    printer.note(&format!(
        "{}: {} URLs through {} proxies, all of them in this process",
        scenario.title, scenario.urls, scenario.proxies,
    ));
    let truth = oracle(&scenario, seed);
    printer.note(&format!(
        "an oracle needs {:.0} s",
        truth.makespan.as_secs_f64()
    ));
    let lab = start(&scenario, seed)?;
    resolved.proxies.lines = lab.proxy_list().lines().map(Secret::new).collect();
    resolved.check(Streams::default())?;
    let began = now();
    let (exit, summary) = fetch::execute_told(resolved, args.progress, environment, printer)?;
    let ours = Ours {
        took: began.elapsed(),
        summary: &summary,
        tally: lab.tally().unwrap_or_default(),
    };
    printer.note(&comparison(&ours, &truth));
    Ok(exit)
}

fn start(scenario: &Scenario, seed: u64) -> Result<Lab, Error> {
    Lab::spawn_thread(Lab::builder().scenario(scenario, seed))
        .map_err(|error| Error::io("start", "the lab", error))
}

/// The settings that the flags after `--` amount to, with the scenario's where there is no flag.
fn settings(words: &[OsString], scenario: &Scenario) -> Result<Resolved, Error> {
    let words = ["proxywheel".into(), "fetch".into()]
        .into_iter()
        .chain(words.iter().cloned());
    let wrong = |error: clap::Error| Error::from(problem_of(&error, None));
    let matches = root().try_get_matches_from(words).map_err(wrong)?;
    let (_, matches) = matches
        .subcommand()
        .ok_or_else(|| Error::Internal("the flags after -- have no command".into()))?;
    let flags = FetchArgs::from_arg_matches(matches).map_err(wrong)?;
    let mut resolved = resolve(&flags, matches, &mut read)?;
    let own = input::Settings {
        urls: Vec::new(),
        files: Vec::new(),
        ..resolved.input.clone()
    };
    if resolved.input != own
        || !resolved.proxies.lines.is_empty()
        || !resolved.proxies.lists.is_empty()
    {
        // Anything else would go to real sites through real proxies, and the figures would mean nothing.
        return Err(
            Problem::new("URLs and proxies of a rehearsal are the scenario's")
                .hint("leave only flags after --, none of -i, -x and --proxy-file")
                .into(),
        );
    }
    // Not everything that a scenario says has a flag.
    let has_flag = |id: &str| matches.try_contains_id(id).is_ok();
    let given =
        |id: &str| has_flag(id) && matches.value_source(id) == Some(ValueSource::CommandLine);
    if !given("concurrency") {
        resolved.limit.concurrency = scenario.concurrency;
    }
    if !given("proxy_concurrency") {
        resolved.pool.proxy_concurrency = scenario.proxy_concurrency.get();
    }
    if let Some(most) = scenario.probe_concurrency
        && !given("probe_concurrency")
    {
        resolved.engine.probe_concurrency = most.get() as usize;
    }
    if resolved.ban.must_match.is_empty() {
        resolved.ban.must_match = vec![MUST_MATCH.into()];
    }
    if resolved.output.path.is_none() {
        resolved.output.path = Some(PathBuf::from("/dev/null"));
    }
    let urls = 0..scenario.urls.get();
    resolved.input.urls = urls
        .map(|number| format!("http://h{}.test/{number}", scenario.host_of(number)))
        .collect();
    resolved.proxies = ProxySources::default();
    Ok(resolved)
}

fn serve(args: &ScenarioArgs, printer: &Printer) -> Result<Exit, Error> {
    let scenario = open(args)?;
    let lab = start(&scenario, args.seed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Internal(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(async {
        // Before anything is announced: whoever reads it may send a signal at once.
        let (mut signals, _listener) = signals::listen()?;
        printer.data(&lab.proxy_list())?;
        printer.note(&format!(
            "{}: {} proxies are listed on standard output; sites are http://h0.test/ to http://h{}.test/",
            scenario.title,
            lab.len(),
            scenario.hosts.len() - 1
        ));
        while signals.recv().await == Some(Signal::Reload) {}
        Ok::<(), Error>(())
    })?;
    printer.note(&asked(&lab.tally().unwrap_or_default()));
    Ok(Exit::DONE)
}

/// Only its difference to itself is used, for people.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
