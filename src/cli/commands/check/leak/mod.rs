//! `check --leak`: does the list, and does the program, hide who asks?
//!
//! Each proxy is checked by itself first, which finds what is peculiar to one. Then a few of each transport serve as a pool, and
//! requests go through it as those of `fetch` do: plain ones, redirected ones, ones whose first proxy fails, and ones that no
//! proxy can serve. The judges say, signed, what they saw of each: the address, the headers with their cookies, and where a TLS session
//! was made. Names looked up here are noted where they are looked up.
//!
//! What it does not show: that a proxy keeps no log, and what a target could tell by timing or by the form of the TLS handshake.

mod broken;
mod finding;
mod judge;
mod paths;
mod place;
mod run;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};

use self::finding::{Finding, alone, of_report};
use self::paths::{Member, Paths};
use self::place::Via;
use self::table::{Applies, Row, Word};
use super::plan::{format, plan, sources, wire};
use super::{CHANNEL, announce, joined, show};
use crate::check::{self, Nonces, Progress, Report, Verdict};
use crate::cli::Environment;
use crate::cli::args::{CheckArgs, CheckFormat};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::progress;
use crate::cli::signals::{self, Signal};
use crate::client::Settings;
use crate::config::Lists;
use crate::error::{Error, Problem};
use crate::job::{RequestSpec, shown};
use crate::pool::Strategy;
use crate::proxy::Proxy;
use crate::{engine, pool};

/// Tests the list and the program, and prints the table.
pub(super) async fn drive(
    args: &CheckArgs,
    environment: &Environment,
    printer: &Printer,
) -> Result<Exit, Error> {
    let (mut signals, _listener) = signals::listen()?;
    let format = match format(args, environment) {
        format @ (CheckFormat::Table | CheckFormat::Jsonl) => format,
        CheckFormat::Csv | CheckFormat::Txt => {
            return Err(Problem::new("--leak has no rows of this form")
                .at("--format")
                .hint("use --format table or --format jsonl")
                .into());
        }
    };
    let ended = tokio::select! {
        ended = test(args, environment, printer) => ended?,
        code = told_to_end(&mut signals) => return Ok(Exit::new(code, "interrupted")),
    };
    let Some((rows, findings)) = ended else {
        return Ok(Exit::new(6, "no_usable_proxy"));
    };
    printer.data(&match format {
        CheckFormat::Table => table::text(&rows, &findings),
        _ => table::jsonl(&rows, &findings),
    })?;
    Ok(conclude(&rows, &findings, printer))
}

/// The rows and findings; `None` when there is no judge or no proxy to find anything out with.
async fn test(
    args: &CheckArgs,
    environment: &Environment,
    printer: &Printer,
) -> Result<Option<(Vec<Row>, Vec<Finding>)>, Error> {
    let list = Lists::open(sources(args))?.read().await?;
    announce(&list, printer);
    let settings = settings(args);
    let request = Arc::new(RequestSpec {
        headers: check::Settings::default().headers,
        ..RequestSpec::default()
    });
    let nonces = Nonces::seeded(args.how.seed);
    let (judges, silent) =
        judge::meet(&args.how.judge, settings.clone(), &request, &nonces).await?;
    for (base, why) in &silent {
        let why = format!("it does not answer directly: {why}");
        printer.warn(&Problem::new(why).at(shown(base)));
    }
    if judges.is_empty() {
        let text = "no judge answers on the direct path, so nothing was tested";
        printer.warn(&Problem::new(text).hint("check the address and that its server runs"));
        return Ok(None);
    }
    // Judges that know nothing of cookies are of no use to the check either.
    let bases = judges.iter().map(|judge| judge.base.clone()).collect();
    let reports = each_alone(args, bases, list.proxies, environment, printer).await?;
    let members = Member::choose(&reports);
    if members.is_empty() {
        printer.warn(
            &Problem::new("no proxy of the list works, so nothing was tested").hint(
                "`proxywheel check` with the same list and judges says what is wrong with each",
            ),
        );
        return Ok(None);
    }
    let own: BTreeSet<_> = judges.iter().map(|judge| judge.own).collect();
    let mut paths = Paths {
        judges: &judges,
        members,
        settings,
        request,
        nonces: &nonces,
        samples: args.how.samples as usize,
        rows: rows_of(&reports),
        findings: reports
            .iter()
            .flat_map(|report| of_report(report, &own))
            .collect(),
        own,
        unserved: 0,
    };
    paths.go().await?;
    if paths.unserved > 0 {
        printer.note(&format!("{} requests found no proxy", paths.unserved));
    }
    uncovered(&judges, printer);
    Ok(Some((paths.rows, paths.findings)))
}

fn settings(args: &CheckArgs) -> Settings {
    let how = &args.how;
    Settings {
        pool: pool::Settings {
            strategy: Strategy::RoundRobin,
            connect_timeout: how.connect_timeout.0,
            ..pool::Settings::default()
        },
        egress: wire(args),
        engine: engine::Settings {
            max_time: how.max_time.0,
            seed: how.seed,
            ..engine::Settings::default()
        },
        ..Settings::default()
    }
}

/// Checks every proxy by itself.
async fn each_alone(
    args: &CheckArgs,
    judges: Vec<url::Url>,
    proxies: Vec<Arc<Proxy>>,
    environment: &Environment,
    printer: &Printer,
) -> Result<Vec<Report>, Error> {
    let mut plan = plan(args)?;
    plan.settings.judges = judges;
    let to_stdout = true;
    let shown = progress::choose(
        args.output.progress,
        environment.streams,
        to_stdout,
        printer,
    );
    let (out, mut reports) = mpsc::channel(CHANNEL);
    let (sender, seen) = watch::channel(Progress::default());
    let (_stop, stopped) = watch::channel(false);
    let display = tokio::spawn(show::show(seen, printer.clone(), shown));
    let collect = async {
        let mut all: Vec<Report> = Vec::new();
        while let Some(report) = reports.recv().await {
            all.push(report);
        }
        all
    };
    let (mut all, _) = tokio::join!(collect, check::run(plan, proxies, out, sender, stopped));
    joined(display.await);
    all.sort_by_key(|report| report.seq);
    Ok(all)
}

/// One row for each transport of which something answered, if only to deceive.
fn rows_of(reports: &[Report]) -> Vec<Row> {
    let mut counts: BTreeMap<Via, (u32, u32)> = BTreeMap::new();
    let told = |report: &&Report| report.ok() > 0 || report.verdict == Verdict::Hostile;
    for report in reports.iter().filter(told) {
        let via = Via::of(report.proxy.scheme());
        let (asked, answered) = counts.entry(via).or_default();
        *asked += report.ok() + report.failed;
        *answered += report.ok();
    }
    let row = |(via, (asked, answered)): (Via, (u32, u32))| Row {
        place: alone(via),
        asked: asked as usize,
        answered: answered as usize,
        applies: Applies {
            headers: matches!(via, Via::Http | Via::Https),
            tampered: true,
            ..Applies::default()
        },
    };
    counts.into_iter().map(row).collect()
}

/// Says what these judges cannot show.
fn uncovered(judges: &[judge::Judge], printer: &Printer) {
    if judges.iter().all(|judge| judge.name().is_none()) {
        printer.note("names: the judges are given by address, so there was none to look up");
    }
    for (https, what) in [(true, "TLS sessions"), (false, "headers added by proxies")] {
        if !judges.iter().any(|judge| judge.is_https() == https) {
            let scheme = if https { "https" } else { "http" };
            printer.note(&format!("{what}: not tested without an {scheme} judge"));
        }
    }
}

fn conclude(rows: &[Row], findings: &[Finding], printer: &Printer) -> Exit {
    let count = |word| {
        let has = |row: &&Row| row.word(findings) == word;
        rows.iter().filter(has).count()
    };
    let (clean, not_clean, no_answer) = (
        count(Word::Clean),
        count(Word::NotClean),
        count(Word::NoAnswer),
    );
    let exit = match (not_clean, no_answer) {
        (0, 0) => Exit::DONE,
        (0, _) => Exit::new(4, "unproven"),
        _ => Exit::new(4, "not_clean"),
    };
    let mut text = format!(
        "{clean} of {} paths are clean",
        clean + not_clean + no_answer
    );
    for (count, what) in [(not_clean, "are not"), (no_answer, "had no answer")] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    let mut fields = Map::new();
    fields.insert("clean".into(), clean.into());
    fields.insert("not_clean".into(), not_clean.into());
    fields.insert("no_answer".into(), no_answer.into());
    fields.insert("exit".into(), exit.code.into());
    fields.insert("reason".into(), Value::from(exit.word));
    printer.report(&text, None, fields);
    exit
}

/// Waits for the signal to end.
async fn told_to_end(signals: &mut mpsc::Receiver<Signal>) -> u8 {
    loop {
        match signals.recv().await {
            Some(Signal::Drain(code) | Signal::Stop(code)) => return code,
            Some(Signal::Reload) => {}
            None => std::future::pending().await,
        }
    }
}
