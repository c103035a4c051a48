//! `fetch`: the main job.

pub(super) mod keeping;

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{Failure, gathered, read, rule_files};
use crate::cli::Environment;
use crate::cli::args::{FetchArgs, Progress, resolve};
use crate::cli::descriptors::{self, idle_that_fit};
use crate::cli::exit::Exit;
use crate::cli::hint::hint;
use crate::cli::printer::{Printer, error_text};
use crate::cli::progress::{self, Shown};
use crate::cli::settings::CommandLine;
use crate::cli::signals::{self, Signal};
use crate::cli::stats;
use crate::cli::summary::{self, Intake, render};
use crate::client::Client;
use crate::config::{Lists, Resolved, state_file};
use crate::engine::Control;
use crate::error::{Error, Problem};
use crate::metrics::{FinishReason, Snapshot, Summary};
use crate::output::Written;
use crate::proxy::list::{ProxyList, Report};
use crate::state::Keeper;
use crate::{input, output};

/// Gathers and checks the settings, then runs.
pub(super) fn run(
    line: &CommandLine,
    environment: &Environment,
    early: &Printer,
) -> Result<Exit, Failure> {
    if line.has("list_fields") {
        let fields: Vec<&str> = output::field_names().collect();
        let listed = early.data(&format!("{}\n", fields.join("\n")));
        return listed
            .map(|()| Exit::DONE)
            .map_err(|error| (early.clone(), error));
    }
    let (gathered, printer) = gathered::<FetchArgs>("fetch", line, environment, early)?;
    let mut resolved = resolve(&gathered.args, &gathered.matches, &mut read)
        .and_then(|resolved| Ok(resolved.check(environment.streams).map(|()| resolved)?))
        .map_err(|error| (printer.clone(), gathered.placed(error)))?;
    resolved.ban.rules = rule_files(&gathered.args.bans.rules)
        .map_err(|error| (printer.clone(), gathered.placed(error)))?;
    let progress = gathered.args.run.progress;
    if resolved.state.is_none() && !gathered.args.run.no_state {
        resolved.state = state_file(&environment.variables);
    }
    execute(resolved, progress, environment, &printer)
        .map_err(|error| (printer, gathered.placed(error)))
}

/// Fetches what the settings say, shows how it goes, and tells how it went. `fetch` and `demo` differ in their settings only.
pub(super) fn execute(
    resolved: Resolved,
    progress: Progress,
    environment: &Environment,
    printer: &Printer,
) -> Result<Exit, Error> {
    let told = execute_told(resolved, progress, environment, printer)?;
    Ok(told.0)
}

/// The same, for who has more to say about it.
pub(super) fn execute_told(
    mut resolved: Resolved,
    progress: Progress,
    environment: &Environment,
    printer: &Printer,
) -> Result<(Exit, Summary), Error> {
    let busy =
        u64::from(resolved.limit.concurrency.get()) + resolved.engine.probe_concurrency as u64;
    resolved.egress.max_idle = idle_that_fit(busy, descriptors::raise());
    // One thread: the work is waiting, and waking other threads costs more than it brings (benches/README.md).
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Internal(format!("cannot start the runtime: {error}")))?;
    let to_stdout = resolved.output.path.is_none();
    let shown = progress::choose(progress, environment.streams, to_stdout, printer);
    let ended = runtime.block_on(drive(Arc::new(resolved), printer, shown));
    // Everything is flushed; what still blocks (a read from a terminal) must not hold the process.
    runtime.shutdown_background();
    ended
}

/// The run with everything around it: signals in, progress out, summary at the end.
async fn drive(
    resolved: Arc<Resolved>,
    printer: &Printer,
    shown: Shown,
) -> Result<(Exit, Summary), Error> {
    let (control, _listener) = signals::listen()?;
    let (snapshots, seen) = watch::channel(Snapshot::default());
    let display = tokio::spawn(progress::show(seen, printer.clone(), shown));
    let ended = run_fetch(Arc::clone(&resolved), printer, control, snapshots).await;
    if let Err(failed) = display.await
        && failed.is_panic()
    {
        resume_unwind(failed.into_panic());
    }
    let Ended {
        summary,
        intake,
        failure,
        stuck: _,
        keeper,
    } = ended?;
    let report = summary::Report {
        summary: &summary,
        exit: Exit::of_summary(&summary, resolved.max_fail),
        intake,
        resolved: &resolved,
    };
    keeping::end(keeper, &summary, report.exit, printer).await;
    if let Some(failure) = failure {
        printer.error(&failure);
    }
    let counters = stats::stats(&report);
    let written = match &resolved.stats {
        Some(path) => stats::write(path, &counters),
        None => Ok(()),
    };
    printer.report(&render(&report), hint(&report).as_deref(), counters);
    written?;
    let exit = report.exit;
    Ok((exit, summary))
}

/// What a run leaves behind.
struct Ended {
    summary: Summary,
    intake: Intake,
    /// Why it could not go on.
    failure: Option<Error>,
    /// The output took nothing more and the run was not to wait for it.
    stuck: bool,
    /// Writes what was learned.
    keeper: Option<Keeper>,
}

impl Ended {
    /// A run that came to its end; `written` is `None` when its last rows were not waited for.
    fn of(
        mut summary: Summary,
        read: Result<(), Error>,
        written: Option<Result<Written, Error>>,
        intake: Intake,
    ) -> Self {
        let stuck = written.is_none();
        let failure = match written {
            Some(Err(error)) => {
                summary.reason = FinishReason::OutputFailed;
                Some(error)
            }
            Some(Ok(written)) if written.reader_gone => {
                summary.reason = FinishReason::ReaderGone;
                None
            }
            Some(Ok(_)) | None => read.err(),
        };
        Ended {
            summary,
            intake,
            failure,
            stuck,
            keeper: None,
        }
    }

    /// A run that was left in the middle of its end.
    fn stuck(totals: Snapshot, intake: Intake) -> Self {
        Ended {
            stuck: true,
            ..Ended::early(FinishReason::Interrupted, totals, intake)
        }
    }

    fn early(reason: FinishReason, totals: Snapshot, intake: Intake) -> Self {
        Ended {
            summary: Summary { reason, totals },
            intake,
            failure: None,
            stuck: false,
            keeper: None,
        }
    }
}

/// A run that can start: everything is read, checked and locked.
struct Ready {
    lists: Lists,
    intake: Intake,
    client: Client,
    jobs: input::Prepared,
    opened: output::Opened,
    keeper: Option<Keeper>,
}

/// Reads the proxy lists, opens inputs and output. Blocks: a list or the header of a table may come from a slow pipe.
async fn prepare(resolved: &Resolved, printer: &Printer) -> Result<Ready, Error> {
    let mut lists = Lists::open(resolved.proxies.clone())?;
    let list = lists.read().await?;
    let client = Client::builder()
        .proxies(list.proxies.iter().cloned())
        .settings(resolved.client_settings())
        .build()?;
    let jobs = input::prepare(input::Settings {
        request: Arc::new(resolved.request.clone()),
        ..resolved.input.clone()
    })?;
    let opened = output::open(output::Settings {
        tag_columns: jobs.tag_columns(),
        ..resolved.output.clone()
    })?;
    // Nothing is said about a run that does not start.
    let intake = announce(&list, printer);
    if opened.repaired.cut_bytes > 0 {
        let cut = opened.repaired.cut_bytes;
        printer.note(&format!(
            "the last row of the output was torn; {cut} bytes were cut"
        ));
    }
    let state = resolved.state.as_deref();
    let (client, keeper) = keeping::begin(client, state, &list.proxies, printer);
    Ok(Ready {
        lists,
        intake,
        client,
        jobs,
        opened,
        keeper,
    })
}

/// Fetches. `signals` steer the run; the progress display ends when `snapshots` is dropped.
async fn run_fetch(
    resolved: Arc<Resolved>,
    printer: &Printer,
    mut signals: mpsc::Receiver<Signal>,
    snapshots: watch::Sender<Snapshot>,
) -> Result<Ended, Error> {
    let mut preparing = {
        let (resolved, printer) = (Arc::clone(&resolved), printer.clone());
        let runtime = Handle::current();
        spawn_blocking(move || runtime.block_on(prepare(&resolved, &printer)))
    };
    let mut reload = false;
    let ready = loop {
        tokio::select! {
            ready = &mut preparing => break joined(ready)?,
            Some(signal) = signals.recv() => match signal {
                Signal::Reload => reload = true,
                Signal::Drain(code) | Signal::Stop(code) => {
                    let reason = reason_of(code);
                    return Ok(Ended::early(reason, Snapshot::default(), Intake::default()));
                }
            },
        }
    };
    let Ready {
        lists,
        intake,
        client,
        jobs,
        opened,
        keeper,
    } = ready;
    let source = jobs.start(opened.done)?;
    let skipped = source.skipped();
    let writer = opened.writer.start()?;
    let running = client.start(source, writer.sender.clone())?;
    let mut progress = running.progress.clone();
    let mut steering = Steering {
        reloader: Reloader::new(lists),
        control: running.control.clone(),
        printer: printer.clone(),
        state: keeper.as_ref().and(resolved.state.clone()),
    };
    if reload {
        steering.obey(Signal::Reload).await;
    }
    let mut refresh = Refresh::every(resolved.proxies.refresh);
    let mut ended = pin!(running.join());
    let mut listening = true;
    let mut patience = Patience::default();
    let done = loop {
        tokio::select! {
            ended = &mut ended => break Some(ended),
            signal = signals.recv(), if listening => match signal {
                Some(signal) => {
                    patience.note(signal);
                    steering.obey(signal).await;
                }
                None => listening = false,
            },
            () = patience.over() => break None,
            () = refresh.due() => {
                steering.reloader.start(Asked::ByClock);
            }
            (list, asked) = steering.reloader.read() => steering.swap(list, asked).await,
            Ok(()) = progress.changed() => {
                let snapshot = progress.borrow_and_update().clone();
                // The display may have ended before the run has.
                let _ = snapshots.send(snapshot);
            }
        }
    };
    let mut ended = match done {
        Some((summary, read)) => {
            let mut writing = spawn_blocking(move || writer.join());
            let written = loop {
                tokio::select! {
                    written = &mut writing => break Some(joined(written)),
                    Some(signal) = signals.recv() => {
                        patience.note(signal);
                        steering.obey(signal).await;
                    }
                    () = patience.over() => break None,
                }
            };
            Ended::of(summary, read, written, intake)
        }
        None => Ended::stuck(progress.borrow().clone(), intake),
    };
    ended.keeper = keeper;
    if let (Some(code), true) = (patience.code, ended.stuck) {
        ended.summary.reason = reason_of(code);
        printer.warn(
            &Problem::new("nobody took the last rows of the output, which may end in a torn one")
                .hint("--resume repairs a file; a pipe has to be read"),
        );
    }
    let skipped = skipped.load(Ordering::Relaxed);
    if skipped > 0 {
        printer.note(&format!(
            "{skipped} URLs were skipped: the output has their rows"
        ));
    }
    let summary = &ended.summary;
    if summary.reason == FinishReason::Done && summary.totals.read == 0 && skipped == 0 {
        printer.warn(&Problem::new("the input holds no URLs"));
    }
    Ok(ended)
}

/// How long a stopped run may take to hand over its last rows.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// Waits for ever until somebody asks for the second time.
#[derive(Default)]
struct Patience {
    /// The exit code of the signal that stops.
    code: Option<u8>,
    until: Option<Instant>,
}

impl Patience {
    fn note(&mut self, signal: Signal) {
        if let Signal::Stop(code) = signal {
            self.code.get_or_insert(code);
            self.until.get_or_insert(Instant::now() + STOP_GRACE);
        }
    }

    async fn over(&self) {
        match self.until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}

/// The value of a task; its panic goes on here.
pub(super) fn joined<T>(ended: Result<T, JoinError>) -> T {
    ended.unwrap_or_else(|failed| resume_unwind(failed.into_panic()))
}

/// Says what the proxy list held.
pub(super) fn announce(list: &ProxyList, printer: &Printer) -> Intake {
    let Report {
        lines,
        proxies,
        duplicates,
        rejected,
        rejects,
    } = &list.report;
    for reject in rejects.iter().take(REJECTS_SHOWN) {
        printer.warn(&Problem::new(format!("{reject}; the entry is skipped")));
    }
    let more = rejected.saturating_sub(REJECTS_SHOWN as u64);
    if more > 0 {
        printer.warn(&Problem::new(format!(
            "{more} further entries of the proxy list rejected"
        )));
    }
    if list.only_direct() {
        printer.warn(
            &Problem::new("the pool holds only direct: every target sees this machine's address")
                .hint("name proxies with --proxy-file FILE or -x URL"),
        );
    }
    Intake {
        lines: *lines,
        proxies: *proxies,
        duplicates: *duplicates,
        rejected: *rejected,
    }
}

/// Rejected entries shown one by one; the rest is counted.
const REJECTS_SHOWN: usize = 10;

/// Acts on signals while the run goes on.
struct Steering {
    reloader: Reloader,
    control: mpsc::Sender<Control>,
    printer: Printer,
    /// The state, when there is one that is written.
    state: Option<PathBuf>,
}

impl Steering {
    async fn obey(&mut self, signal: Signal) {
        match signal {
            Signal::Drain(code) => {
                self.printer
                    .note("finishing what is in flight; once more stops now");
                self.send(Control::Drain(reason_of(code))).await;
            }
            Signal::Stop(code) => self.send(Control::Stop(reason_of(code))).await,
            Signal::Reload => {
                if !self.reloader.start(Asked::BySignal) {
                    self.printer.warn(
                        &Problem::new("there is no proxy list that could be read again")
                            .hint("only lists of --proxy-file FILE or URL are"),
                    );
                }
            }
        }
    }

    /// Takes a list that was read while the run went on, or keeps the old one.
    async fn swap(&mut self, list: Result<ProxyList, Error>, asked: Asked) {
        let list = match list {
            Ok(list) => list,
            Err(error) => {
                let why = error_text(&error);
                let problem = Problem::new(format!("the proxy list stays as it was: {why}"));
                self.printer.warn(&match error.hint() {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                });
                return;
            }
        };
        let count = |number: u64, one: &str, more: &str| match number {
            1 => format!("1 {one}"),
            _ => format!("{number} {more}"),
        };
        let proxies = list.proxies.len() as u64;
        let mut text = format!(
            "proxy list read again: {}",
            count(proxies, "proxy", "proxies")
        );
        if list.report.rejected > 0 {
            let rejected = count(list.report.rejected, "entry", "entries");
            text.push_str(&format!(", {rejected} rejected"));
        }
        match asked {
            Asked::BySignal => self.printer.note(&text),
            Asked::ByClock => self.printer.detail(&text),
        }
        let memory = keeping::again(self.state.as_deref(), &list.proxies).await;
        self.send(Control::Replace(list.proxies)).await;
        if let Some(memory) = memory {
            self.send(Control::Recall(memory)).await;
        }
    }

    async fn send(&self, control: Control) {
        // A run that has ended needs no steering.
        let _ = self.control.send(control).await;
    }
}

/// Who wanted the lists to be read again.
#[derive(Debug, Clone, Copy)]
enum Asked {
    BySignal,
    ByClock,
}

/// Reads the lists again beside the run: a server that does not answer, or a million lines, hold up neither requests nor
/// signals.
struct Reloader {
    /// Away while they are read.
    lists: Option<Lists>,
    reading: Option<(Reading, Asked)>,
    /// Asked for while a reading went on, which may have missed the change.
    again: Option<Asked>,
}

type Reading = JoinHandle<(Lists, Result<ProxyList, Error>)>;

impl Reloader {
    fn new(lists: Lists) -> Self {
        Reloader {
            lists: Some(lists),
            reading: None,
            again: None,
        }
    }

    /// Starts to read; false when there is nothing that can have changed.
    fn start(&mut self, asked: Asked) -> bool {
        let Some(mut lists) = self.lists.take() else {
            self.again = Some(asked);
            return true;
        };
        if !lists.can_change() {
            self.lists = Some(lists);
            return false;
        }
        let runtime = Handle::current();
        let reading = spawn_blocking(move || {
            let list = runtime.block_on(lists.read());
            (lists, list)
        });
        self.reading = Some((reading, asked));
        true
    }

    /// The lists that were asked for, once they are read.
    async fn read(&mut self) -> (Result<ProxyList, Error>, Asked) {
        let Some((reading, asked)) = &mut self.reading else {
            return std::future::pending().await;
        };
        let asked = *asked;
        let (lists, list) = joined(reading.await);
        self.reading = None;
        self.lists = Some(lists);
        if let Some(asked) = self.again.take() {
            self.start(asked);
        }
        (list, asked)
    }
}

fn reason_of(code: u8) -> FinishReason {
    if code == 143 {
        FinishReason::Terminated
    } else {
        FinishReason::Interrupted
    }
}

/// The beat of `--proxy-refresh`.
struct Refresh(Option<Interval>);

impl Refresh {
    fn every(period: Option<Duration>) -> Self {
        Refresh(period.map(|period| {
            let mut beat = interval_at(Instant::now() + period, period);
            // A machine that slept has missed beats; one reading makes up for all of them.
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beat
        }))
    }

    async fn due(&mut self) {
        match &mut self.0 {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}
