//! `check`: verdicts on a proxy list.

mod board;
mod cells;
mod diff;
mod earlier;
mod leak;
mod plan;
mod remember;
mod resume;
mod rows;
mod selection;
mod show;
mod sink;
mod summary;
mod table;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::fetch::{announce, joined};
use super::{Failure, gathered};
use crate::check::{self, Plan, Progress, Report, Summary, Verdict};
use crate::cli::Environment;
use crate::cli::args::{CheckArgs, CheckFormat, LogFormat};
use crate::cli::descriptors;
use crate::cli::exit::Exit;
use crate::cli::printer::{Level, Printer, error_text};
use crate::cli::progress::{self, Shown};
use crate::cli::settings::CommandLine;
use crate::cli::signals::{self, Signal};
use crate::cli::summary::Intake;
use crate::config::{Lists, state_file};
use crate::egress::SocketEgress;
use crate::error::{Error, Problem};
use crate::proxy::Proxy;
use diff::News;
use remember::{Remembering, take_all};
use sink::Sink;
use summary::Beside;

/// Rows that may wait for the file.
const CHANNEL: usize = 256;

/// Gathers the settings and checks.
pub(super) fn run(
    line: &CommandLine,
    environment: &Environment,
    early: &Printer,
) -> Result<Exit, Failure> {
    let (gathered, printer) = gathered::<CheckArgs>("check", line, environment, early)?;
    execute(&gathered.args, environment, &printer)
        .map_err(|error| (printer, gathered.placed(error)))
}

fn execute(args: &CheckArgs, environment: &Environment, printer: &Printer) -> Result<Exit, Error> {
    let format = plan::format(args, environment);
    if let Some(problem) = plan::contradiction(args, format) {
        return Err(problem.into());
    }
    let to_stdout = args.output.output.is_none();
    let output = &args.output;
    let state = match output.no_state {
        true => None,
        false => output
            .state
            .clone()
            .or_else(|| state_file(&environment.variables)),
    };
    plan::apart(args, &state)?;
    let check = Check {
        args,
        printer,
        format,
        state,
        shown: progress::choose(
            args.output.progress,
            environment.streams,
            to_stdout,
            printer,
        ),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Internal(format!("cannot start the runtime: {error}")))?;
    let ended = runtime.block_on(async {
        match args.how.leak {
            true => leak::drive(args, environment, printer).await,
            false => check.drive().await,
        }
    });
    runtime.shutdown_background();
    ended
}

/// What every round needs.
struct Check<'a> {
    args: &'a CheckArgs,
    printer: &'a Printer,
    format: CheckFormat,
    /// Where what is learned is kept.
    state: Option<PathBuf>,
    shown: Shown,
}

impl Check<'_> {
    /// The check with everything around it: the list in, rows out, signals, progress, the summary at the end; with `--watch` again
    /// and again.
    async fn drive(&self) -> Result<Exit, Error> {
        let (mut signals, _listener) = signals::listen()?;
        // Whatever is wrong with it is told before the output is touched.
        let mut plan = plan::plan(self.args)?;
        let mut lists = Lists::open(plan::sources(self.args))?;
        let read = lists.read().await?;
        let mut sink = Sink::open(self.args, self.format)?;
        let mut intake = announce(&read, self.printer);
        let mut list = read.proxies;
        let mut due = sink.begin(&list);
        let wanted = plan::connections(self.args, due.len());
        descriptors::warn_if_short(wanted, "-j", self.printer);
        loop {
            let began = Instant::now();
            let earlier = Tally::of(&list, &sink);
            self.greet(&sink);
            let (ended, code);
            let state = self.state.as_deref();
            let remembering = Remembering::open(state, &list, sink.rows.done(), self.printer);
            (sink, ended, code) = self
                .round(plan, due, (sink, remembering), &mut signals)
                .await?;
            let news = sink.end(&list, &ended)?;
            let tally = earlier.with(&ended);
            let exit = match code {
                None if sink.rows.is_unread() => Exit::READER_GONE,
                _ => self.exit(&ended, tally, news.as_ref(), code),
            };
            self.tell(&ended, &sink, news.as_ref(), (exit, intake))?;
            self.complain(&ended, tally, exit);
            let Some(every) = self.args.how.watch else {
                return Ok(exit);
            };
            if code.is_some() || rest(began + every.0, &mut signals).await {
                // A signal is the only end of a watch.
                return Ok(Exit::DONE);
            }
            plan = plan::plan(self.args)?;
            match lists.read().await {
                Ok(read) => {
                    intake = Intake::from(&read.report);
                    list = read.proxies;
                }
                Err(error) => {
                    let why = format!("the old list stays: {}", error_text(&error));
                    self.printer.warn(&Problem::new(why));
                }
            }
            due = sink.begin(&list);
        }
    }

    /// Says from where this goes on.
    fn greet(&self, sink: &Sink) {
        let done = sink.rows.done().len();
        if done > 0 {
            self.printer
                .note(&format!("{done} proxies have a row already"));
        }
        if let Some(path) = self.args.output.diff.as_ref().filter(|_| sink.is_first()) {
            let path = path.display();
            self.printer.note(&format!(
                "no rows in {path} yet: the next check is compared with this one"
            ));
        }
    }

    /// Checks `proxies`; the code is that of the signal that ended it.
    async fn round(
        &self,
        plan: Plan<SocketEgress>,
        proxies: Vec<Arc<Proxy>>,
        (mut sink, remembering): (Sink, Option<Remembering>),
        signals: &mut mpsc::Receiver<Signal>,
    ) -> Result<(Sink, Summary, Option<u8>), Error> {
        let (out, reports) = mpsc::channel::<Report>(CHANNEL);
        let (sender, seen) = watch::channel(Progress::default());
        let (stop, stopped) = watch::channel(false);
        let display = tokio::spawn(show::show(seen, self.printer.clone(), self.shown));
        let (runtime, printer) = (Handle::current(), self.printer.clone());
        let writing = spawn_blocking(move || {
            take_all(reports, &mut sink, remembering, &runtime, &printer).map(|()| sink)
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
        let sink = joined(writing.await)?;
        Ok((sink, ended, code))
    }

    /// What has changed is data when the rows are elsewhere, and the end of a table; the rest is for people.
    fn tell(
        &self,
        ended: &Summary,
        sink: &Sink,
        news: Option<&News>,
        (exit, intake): (Exit, Intake),
    ) -> Result<(), Error> {
        let output = &self.args.output;
        let to_file = output.output.is_some();
        let none = News::default();
        let news = news.unwrap_or_else(|| {
            let path = output.output.as_deref().unwrap_or("".as_ref()).display();
            let why = format!("not all were checked: {path} is left as it was");
            self.printer.warn(&Problem::new(why));
            &none
        });
        let lines = news.lines.iter().filter(|_| to_file);
        let is_table = self.format == CheckFormat::Table;
        let gone = news.gone.iter().filter(|_| to_file || is_table);
        for line in lines.chain(gone) {
            self.printer.data(&format!("{line}\n"))?;
        }
        for (judge, why) in &ended.silent {
            let why = format!("it does not answer directly: {why}");
            let problem = Problem::new(why).at(judge.clone());
            // What it would have told is in no row, and nothing else says so.
            match self.printer.level() {
                Level::Quiet if output.summary == LogFormat::Text => {
                    self.printer.error(&problem.into());
                }
                _ => self.printer.warn(&problem),
            }
        }
        if let Some(why) = &ended.astray {
            let domain = self.args.how.dns_domain.as_deref().unwrap_or_default();
            let why =
                format!("names made up below it lead to no judge, so none was asked for: {why}");
            let hint = format!(
                "give its zone an entry for all names: *.{domain} A <address of the http judge>"
            );
            self.printer.warn(
                &Problem::new(why)
                    .at(format!("--dns-domain {domain}"))
                    .hint(hint),
            );
        }
        if ended.no_judge {
            let text = "no judge answers on the direct path, so nothing was checked";
            let hint = "check the address and that its server runs";
            self.printer.warn(&Problem::new(text).hint(hint));
        }
        let beside = Beside {
            exit,
            intake,
            countries: sink.geo.as_ref().map(|geo| summary::countries(ended, geo)),
            changes: news.counts,
        };
        let fields = summary::json(ended, &beside, sink.rows.written);
        if output.summary == LogFormat::Json {
            self.printer.plain(&format!("{fields}\n"));
            return Ok(());
        }
        let text = match self.args.how.watch {
            Some(_) => summary::line(ended, &beside),
            None => summary::text(ended, &beside),
        };
        let fields = fields.as_object().cloned().unwrap_or_default();
        self.printer.report(&text, self.hint(ended), fields);
        Ok(())
    }

    /// What helps those that are unknown.
    fn hint(&self, ended: &Summary) -> Option<&'static str> {
        let output = &self.args.output;
        let goes_on =
            output.output.is_some() && self.format == CheckFormat::Jsonl && output.diff.is_none();
        match ended.progress.unjudged {
            0 => None,
            _ if ended.no_judge || self.args.how.watch.is_some() => None,
            _ if goes_on => {
                Some("once a judge answers, the same with --resume asks only them again")
            }
            _ => Some(
                "they are no worse than before: check again once a judge answers, or name more than one",
            ),
        }
    }

    /// Says why the check counts as failed, where nothing has said so.
    fn complain(&self, ended: &Summary, tally: Tally, exit: Exit) {
        let output = &self.args.output;
        let progress = &ended.progress;
        let is_told = self.printer.level() > Level::Quiet;
        let what = match exit.word {
            // The summary has it.
            _ if output.summary == LogFormat::Json => return,
            "too_few_alive" => format!(
                "too few proxies are alive for --min-alive: {} of {}",
                tally.alive, tally.all
            ),
            "no_judge" | "judge_down" if !is_told => format!(
                "{} of {} proxies are not judged, because no judge answered",
                progress.unjudged, progress.all
            ),
            _ => return,
        };
        self.printer.error(&Problem::new(what).into());
    }

    fn exit(&self, ended: &Summary, tally: Tally, news: Option<&News>, code: Option<u8>) -> Exit {
        let output = &self.args.output;
        match code {
            Some(code) if ended.stopped => Exit::new(code, "interrupted"),
            _ if ended.no_judge => Exit::new(6, "no_judge"),
            _ if ended.progress.unjudged > 0 => Exit::new(6, "judge_down"),
            _ if !output.min_alive.is_met(tally.alive, tally.all) => Exit::new(6, "too_few_alive"),
            _ if output.exit_on_change && news.is_some_and(News::is_any) => Exit::CHANGED,
            _ => Exit::DONE,
        }
    }
}

/// How many of the list are alive, by this run and the one it goes on with.
#[derive(Clone, Copy)]
struct Tally {
    alive: u64,
    all: u64,
}

impl Tally {
    /// By the rows that are there already.
    fn of(list: &[Arc<Proxy>], sink: &Sink) -> Self {
        let done = sink.rows.done();
        let mut tally = Tally { alive: 0, all: 0 };
        if done.is_empty() {
            return tally;
        }
        for proxy in list {
            if let Some(finding) = done.get(&proxy.label().to_string()) {
                tally.all += 1;
                tally.alive += u64::from(finding.verdict == Verdict::Alive);
            }
        }
        tally
    }

    /// The same with what this run has found.
    fn with(self, ended: &Summary) -> Self {
        Tally {
            alive: self.alive + ended.count(Verdict::Alive),
            all: self.all + ended.progress.all,
        }
    }
}

/// Waits for the next round, which SIGHUP begins at once. True when there is to be none.
async fn rest(until: Instant, signals: &mut mpsc::Receiver<Signal>) -> bool {
    tokio::select! {
        () = sleep_until(until) => false,
        Some(signal) = signals.recv() => signal != Signal::Reload,
    }
}
