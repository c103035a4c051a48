//! `fetch`: the main job.

use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{Failure, read};
use crate::cli::Environment;
use crate::cli::args::{Progress, resolve};
use crate::cli::descriptors::{self, idle_that_fit};
use crate::cli::exit::Exit;
use crate::cli::hint::hint;
use crate::cli::printer::Printer;
use crate::cli::progress::{self, Shown};
use crate::cli::settings::{CommandLine, gather};
use crate::cli::signals::{self, Signal};
use crate::cli::stats;
use crate::cli::summary::{self, Intake, render};
use crate::client::Client;
use crate::config::{Lists, Resolved};
use crate::engine::Control;
use crate::error::{Error, Problem};
use crate::metrics::{FinishReason, Snapshot, Summary};
use crate::proxy::list::{ProxyList, Report};
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
    let gathered = gather(line, environment).map_err(|error| (early.clone(), error))?;
    let printer = Printer::new(&gathered.global, environment);
    printer.receive_events();
    let resolved = resolve(&gathered.args, &gathered.matches, &mut read)
        .and_then(|resolved| Ok(resolved.check(environment.streams).map(|()| resolved)?))
        .map_err(|error| (printer.clone(), gathered.placed(error)))?;
    let progress = gathered.args.run.progress;
    execute(resolved, progress, environment, &printer).map_err(|error| (printer, error))
}

/// Fetches what the settings say, shows how it goes, and tells how it went. `fetch` and `demo` differ in their settings only.
pub(super) fn execute(
    mut resolved: Resolved,
    progress: Progress,
    environment: &Environment,
    printer: &Printer,
) -> Result<Exit, Error> {
    let busy =
        u64::from(resolved.limit.concurrency.get()) + resolved.engine.probe_concurrency as u64;
    resolved.egress.max_idle = idle_that_fit(resolved.egress.max_idle, busy, descriptors::raise());
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
async fn drive(resolved: Arc<Resolved>, printer: &Printer, shown: Shown) -> Result<Exit, Error> {
    let (control, _listener) = signals::listen()?;
    let (snapshots, seen) = watch::channel(Snapshot::default());
    let display = tokio::spawn(progress::show(seen, printer.clone(), shown));
    let ended = run_fetch(Arc::clone(&resolved), printer, control, snapshots).await;
    if let Err(failed) = display.await
        && failed.is_panic()
    {
        resume_unwind(failed.into_panic());
    }
    let Ended { summary, intake } = ended?;
    let report = summary::Report {
        summary: &summary,
        exit: Exit::of_summary(&summary, resolved.max_fail),
        intake,
        resolved: &resolved,
    };
    let counters = stats::stats(&report);
    let written = match &resolved.stats {
        Some(path) => stats::write(path, &counters),
        None => Ok(()),
    };
    printer.report(&render(&report), hint(&report).as_deref(), counters);
    written?;
    Ok(report.exit)
}

/// What a run leaves behind.
struct Ended {
    summary: Summary,
    intake: Intake,
}

/// Fetches. `signals` steer the run; the progress display ends when `snapshots` is dropped.
async fn run_fetch(
    resolved: Arc<Resolved>,
    printer: &Printer,
    mut signals: mpsc::Receiver<Signal>,
    snapshots: watch::Sender<Snapshot>,
) -> Result<Ended, Error> {
    let mut lists = Lists::open(resolved.proxies.clone())?;
    let list = lists.read().await?;
    let intake = announce(&list, printer);
    let client = Client::builder()
        .proxies(list.proxies)
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
    if opened.repaired.cut_bytes > 0 {
        let cut = opened.repaired.cut_bytes;
        printer.note(&format!(
            "the last row of the output was torn; {cut} bytes were cut"
        ));
    }
    let source = jobs.start(opened.done)?;
    let skipped = source.skipped();
    let writer = opened.writer.start()?;
    let running = client.start(source, writer.sender.clone())?;
    let control = running.control.clone();
    let mut progress = running.progress.clone();
    let mut steering = Steering {
        lists,
        control,
        printer: printer.clone(),
    };
    let mut refresh = Refresh::every(resolved.proxies.refresh);
    let mut ended = pin!(running.join());
    let mut listening = true;
    let (summary, read) = loop {
        tokio::select! {
            ended = &mut ended => break ended,
            signal = signals.recv(), if listening => match signal {
                Some(signal) => steering.obey(signal).await,
                None => listening = false,
            },
            () = refresh.due() => steering.obey(Signal::Reload).await,
            Ok(()) = progress.changed() => {
                let snapshot = progress.borrow_and_update().clone();
                // The display may have ended before the run has.
                let _ = snapshots.send(snapshot);
            }
        }
    };
    let written = tokio::task::spawn_blocking(move || writer.join()).await;
    written.unwrap_or_else(|failed| resume_unwind(failed.into_panic()))?;
    read?;
    let skipped = skipped.load(Ordering::Relaxed);
    if skipped > 0 {
        printer.note(&format!(
            "{skipped} URLs were skipped: the output has their rows"
        ));
    }
    Ok(Ended { summary, intake })
}

/// Says what the proxy list held.
fn announce(list: &ProxyList, printer: &Printer) -> Intake {
    let Report {
        lines,
        proxies,
        duplicates,
        rejected,
        rejects,
    } = &list.report;
    for reject in rejects.iter().take(REJECTS_SHOWN) {
        printer.warn(&Problem::new(reject.to_string()));
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
    lists: Lists,
    control: mpsc::Sender<Control>,
    printer: Printer,
}

impl Steering {
    async fn obey(&mut self, signal: Signal) {
        let control = match signal {
            Signal::Drain(code) => {
                self.printer
                    .note("finishing what is in flight; once more stops now");
                Control::Drain(reason_of(code))
            }
            Signal::Stop => Control::Stop(FinishReason::Interrupted),
            Signal::Reload => match self.lists.read().await {
                Ok(list) => {
                    self.printer.note(&format!(
                        "proxy list read again: {} proxies",
                        list.proxies.len()
                    ));
                    Control::Replace(list.proxies)
                }
                Err(error) => {
                    let problem = Problem::new(format!("the proxy list stays as it was: {error}"));
                    self.printer.warn(&problem);
                    return;
                }
            },
        };
        // A run that has ended needs no steering.
        let _ = self.control.send(control).await;
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
