//! `check`: verdicts on a proxy list.

mod cells;
mod resume;
mod rows;
mod selection;
mod show;
mod summary;
mod table;

use std::collections::HashSet;
use std::sync::Arc;

use clap::FromArgMatches;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

use super::Failure;
use super::fetch::{announce, joined};
use crate::ban;
use crate::check::{self, Geo, Plan, Progress, Report, Summary};
use crate::cli::Environment;
use crate::cli::args::{CheckArgs, CheckFormat, GlobalArgs, root};
use crate::cli::descriptors;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::progress;
use crate::cli::signals::{self, Signal};
use crate::cli::usage::problem_of;
use crate::config::{ListSource, Lists, ProxySources};
use crate::egress::{self, SocketEgress};
use crate::error::{Error, Problem};
use crate::outcome::StatusSet;
use crate::proxy::Proxy;
use rows::Rows;
use selection::Selection;

/// Rows that may wait for the file.
const CHANNEL: usize = 256;
/// A judge's answer, and a page of the user's, is short; more is a proxy's doing.
const MOST_BYTES: u64 = 1024 * 1024;
/// Descriptors for everything that is not a connection.
const OTHERS: u64 = 64;

/// Reads the flags and checks.
pub(super) fn run(environment: &Environment, early: &Printer) -> Result<Exit, Failure> {
    let told = |error| (early.clone(), error);
    let matches = root()
        .try_get_matches_from(&environment.arguments)
        .map_err(|error| told(problem_of(&error, None).into()))?;
    let (_, matches) = matches
        .subcommand()
        .ok_or_else(|| told(Error::Internal("the command line has no command".into())))?;
    let flags = |error: clap::Error| told(problem_of(&error, None).into());
    let args = CheckArgs::from_arg_matches(matches).map_err(flags)?;
    let global = GlobalArgs::from_arg_matches(matches).map_err(flags)?;
    let printer = Printer::new(&global, environment);
    printer.receive_events();
    execute(&args, environment, &printer).map_err(|error| (printer, error))
}

fn execute(args: &CheckArgs, environment: &Environment, printer: &Printer) -> Result<Exit, Error> {
    if args.how.judge.is_empty() && args.how.url.is_empty() {
        return Err(Problem::new("there is nothing to ask the proxies for")
            .at("check")
            .hint("name a judge with --judge URL (`proxywheel judge` serves one), or a target with --url URL")
            .into());
    }
    if !args.output.country.is_empty() && args.how.geoip.is_empty() {
        return Err(
            Problem::new("countries of exits are not known without --geoip")
                .at("--country")
                .hint("name a MaxMind file with countries: --geoip GeoLite2-Country.mmdb")
                .into(),
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Internal(format!("cannot start the runtime: {error}")))?;
    let ended = runtime.block_on(drive(args, environment, printer));
    runtime.shutdown_background();
    ended
}

fn sources(args: &CheckArgs) -> ProxySources {
    let named = args.lists.iter().chain(&args.proxies.proxy_file);
    ProxySources {
        lines: args.proxies.proxy.clone(),
        lists: named.map(|text| ListSource::of(text)).collect(),
        scheme: args.proxies.proxy_scheme,
        refresh: None,
        strict: args.proxies.strict,
    }
}

fn rules(args: &CheckArgs) -> Result<ban::Judge, Problem> {
    ban::Judge::new(&ban::Settings {
        accept: args.bans.accept.clone(),
        ban_status: args.bans.ban_status.clone().unwrap_or(StatusSet::EMPTY),
        ban_regex: args.bans.ban_regex.clone(),
        ban_header: args.bans.ban_header.clone(),
        ban_redirect: args.bans.ban_redirect.clone(),
        must_match: args.bans.must_match.clone(),
        must_not_match: args.bans.must_not_match.clone(),
    })
}

fn plan(args: &CheckArgs) -> Result<Plan<SocketEgress>, Error> {
    let how = &args.how;
    // A proxy that is silent is asked in two ways, and as many as are asked may be silent beside them.
    let room =
        descriptors::raise().map_or(u64::MAX, |most| (most.saturating_sub(OTHERS) / 4).max(1));
    let concurrency = u64::from(how.concurrency.get()).min(room);
    Ok(Plan {
        egress: SocketEgress::new(egress::Settings {
            max_filesize: MOST_BYTES,
            insecure: how.insecure,
            cacert: how.cacert.clone(),
            proxy_insecure: args.proxies.proxy_insecure,
            proxy_cacert: args.proxies.proxy_cacert.clone(),
            // Every sample is a new connection.
            max_idle: 0,
            ..egress::Settings::default()
        })?,
        rules: rules(args)?,
        settings: check::Settings {
            judges: how.judge.clone(),
            urls: how.url.clone(),
            control: !how.no_control,
            samples: how.samples,
            concurrency: usize::try_from(concurrency).unwrap_or(usize::MAX),
            connect_timeout: how.connect_timeout.0,
            max_time: how.max_time.0,
            detect: how.detect,
            seed: how.seed,
            ..check::Settings::default()
        },
    })
}

/// The check with everything around it: the list in, rows out, signals, progress, the summary at the end.
async fn drive(
    args: &CheckArgs,
    environment: &Environment,
    printer: &Printer,
) -> Result<Exit, Error> {
    let (mut signals, _listener) = signals::listen()?;
    let plan = plan(args)?;
    let geo = geo(args)?.map(Arc::new);
    let to_stdout = args.output.output.is_none();
    let format = format(args, environment);
    let mut rows = Rows::open(args, format)?;
    let list = Lists::open(sources(args))?.read().await?;
    announce(&list, printer);
    let done = rows.done();
    let proxies = remaining(list.proxies, done);
    if !done.is_empty() {
        printer.note(&format!("{} proxies have a row already", done.len()));
    }
    let shown = progress::choose(
        args.output.progress,
        environment.streams,
        to_stdout,
        printer,
    );
    let (out, mut reports) = mpsc::channel::<Report>(CHANNEL);
    let (sender, seen) = watch::channel(Progress::default());
    let (stop, stopped) = watch::channel(false);
    let display = tokio::spawn(show::show(seen, printer.clone(), shown));
    let selection = Selection::of(args);
    let places = geo.clone();
    let writing = spawn_blocking(move || -> Result<Rows, Error> {
        while let Some(mut report) = reports.blocking_recv() {
            if let Some(geo) = &places {
                report.locate(geo);
            }
            if selection.takes(&report) {
                rows.push(report)?;
            }
        }
        rows.close()?;
        Ok(rows)
    });
    let mut code = None;
    let ended = {
        let mut running = std::pin::pin!(check::run(plan, proxies, out, sender, stopped));
        loop {
            tokio::select! {
                ended = &mut running => break ended,
                Some(signal) = signals.recv() => {
                    if let Signal::Drain(with) | Signal::Stop(with) = signal {
                        code.get_or_insert(with);
                        // The receiver lives in the check, which is still there.
                        let _ = stop.send(true);
                    }
                }
            }
        }
    };
    joined(display.await);
    let written = joined(writing.await)?;
    tell(args, &ended, geo.as_deref(), &written, printer);
    Ok(exit(args, &ended, code))
}

/// The files that tell where exits are.
fn geo(args: &CheckArgs) -> Result<Option<Geo>, Error> {
    if args.how.geoip.is_empty() {
        return Ok(None);
    }
    let mut geo = Geo::default();
    for path in &args.how.geoip {
        let bytes =
            std::fs::read(path).map_err(|error| Error::io("read the --geoip file", path, error))?;
        geo.add(bytes).map_err(|why| {
            Problem::new(format!("not a MaxMind file: {why}"))
                .at(format!("--geoip {}", path.display()))
                .hint("name a .mmdb file, unpacked, such as GeoLite2-Country.mmdb")
        })?;
    }
    Ok(Some(geo))
}

/// The form of the rows.
fn format(args: &CheckArgs, environment: &Environment) -> CheckFormat {
    let suffix = args
        .output
        .output
        .as_ref()
        .and_then(|path| path.extension()?.to_str());
    match (args.output.format, suffix) {
        (Some(format), _) => format,
        (None, Some("csv")) => CheckFormat::Csv,
        (None, Some("txt")) => CheckFormat::Txt,
        (None, None) if args.output.output.is_none() && environment.streams.stdout_is_terminal => {
            CheckFormat::Table
        }
        _ => CheckFormat::Jsonl,
    }
}

fn remaining(proxies: Vec<Arc<Proxy>>, done: &HashSet<String>) -> Vec<Arc<Proxy>> {
    let mut proxies = proxies;
    if !done.is_empty() {
        proxies.retain(|proxy| !done.contains(&proxy.label().to_string()));
    }
    proxies
}

fn tell(args: &CheckArgs, ended: &Summary, geo: Option<&Geo>, written: &Rows, printer: &Printer) {
    for (judge, why) in &ended.silent {
        printer
            .warn(&Problem::new(format!("it does not answer directly: {why}")).at(judge.clone()));
    }
    if ended.no_judge {
        let text = "no judge answers on the direct path, so nothing was checked";
        printer.warn(&Problem::new(text).hint("check the address and that its server runs"));
    }
    let countries = geo.map(|geo| summary::countries(ended, geo));
    let fields = summary::json(ended, countries.as_ref(), written.written);
    if args.output.summary == crate::cli::args::LogFormat::Json {
        printer.plain(&format!("{fields}\n"));
    } else {
        printer.report(
            &summary::text(ended, countries.as_ref()),
            None,
            fields.as_object().cloned().unwrap_or_default(),
        );
    }
}

fn exit(args: &CheckArgs, ended: &Summary, code: Option<u8>) -> Exit {
    let alive = ended.count(check::Verdict::Alive);
    match code {
        Some(code) if ended.stopped => Exit::new(code, "interrupted"),
        _ if ended.no_judge => Exit::new(6, "no_judge"),
        _ if !args.output.min_alive.is_met(alive, ended.progress.all) => {
            Exit::new(6, "too_few_alive")
        }
        _ => Exit::DONE,
    }
}
