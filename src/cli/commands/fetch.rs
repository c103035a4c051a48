//! `fetch`: the main job.

mod intake;
pub(super) mod keeping;
mod patience;
pub(super) mod places;
mod rows;
mod starting;
mod steering;
mod telling;
mod why;

use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, spawn_blocking};

pub(super) use self::intake::announce;
use self::patience::Patience;
use self::rows::Rows;
use self::starting::Begun;
use self::steering::{Asked, Refresh, Reloader, Steering};
use self::telling::Teller;
use super::extract::warn_of_blind;
use super::{Failure, gathered, read, rule_files};
use crate::cli::Environment;
use crate::cli::args::{FetchArgs, Progress, resolve};
use crate::cli::descriptors::{self, idle_that_fit};
use crate::cli::exit::Exit;
use crate::cli::figures;
use crate::cli::hint::hint;
use crate::cli::lock::Lock;
use crate::cli::printer::Printer;
use crate::cli::progress::{self, Shown};
use crate::cli::settings::CommandLine;
use crate::cli::signals::{self, Signal};
use crate::cli::stats;
use crate::cli::summary::{self, Intake, render};
use crate::client::Client;
use crate::config::{Lists, Resolved, state_file};
use crate::engine::system_seed;
use crate::error::{Error, Problem};
use crate::input::{JobSource, ToCome};
use crate::metrics::{FinishReason, Snapshot, Summary};
use crate::outcome::Finished;
use crate::output::{Earlier, Written};
use crate::proxy::Proxy;
use crate::proxy::list::ProxyList;
use crate::state::Keeper;

/// Gathers and checks the settings, then runs.
pub(super) fn run(
    line: &CommandLine,
    environment: &Environment,
    early: &Printer,
) -> Result<Exit, Failure> {
    if line.has("list_fields") {
        let fields: Vec<&str> = crate::output::field_names().collect();
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
    resolved: Resolved,
    progress: Progress,
    environment: &Environment,
    printer: &Printer,
) -> Result<(Exit, Summary), Error> {
    let rows = Rows::new(printer.clone());
    let driven = execute_work(resolved, rows, progress, environment, printer)?;
    let Driven {
        summary,
        intake,
        resolved,
        told,
        exit,
        // Held until the report is out.
        lock: _lock,
    } = driven;
    if exit == Exit::SKIPPED {
        // From cron every word is a mail.
        return Ok((exit, summary));
    }
    let mut report = summary::Report {
        summary: &summary,
        // What cannot be told of a run is how it ends, whatever became of its URLs.
        exit: told.as_ref().err().map_or(exit, Exit::of_error),
        intake,
        resolved: &resolved,
    };
    let mut counters = stats::stats(&report);
    let written = match &resolved.stats {
        Some(path) => stats::write(path, &counters),
        None => Ok(()),
    };
    if let Err(error) = &written {
        report.exit = Exit::of_error(error);
        counters = stats::stats(&report);
    }
    let (text, hint) = (render(&report), hint(&report));
    printer.ended(&text, hint.as_deref(), counters, report.exit);
    written.and(told)?;
    Ok((exit, summary))
}

/// What is fetched and what becomes of it.
pub(super) trait Work: Send + 'static {
    /// Where the jobs come from.
    type Source: JobSource;

    /// Opens inputs and outputs. Blocks: the header of a table may come from a slow pipe.
    fn open(&mut self, resolved: &Resolved) -> Result<(), Error>;

    /// What there is to say once nothing can keep the run from starting.
    fn said(&self) -> Option<String> {
        None
    }

    /// More jobs than this it cannot be, once it is open; `None` when nobody can tell.
    fn most(&self) -> Option<u64> {
        None
    }

    /// Begins.
    fn start(self) -> Result<Started<Self::Source>, Error>;
}

/// Work under way.
pub(super) struct Started<S> {
    /// Where the jobs come from.
    pub(super) source: S,
    /// Where the records go.
    pub(super) rows: mpsc::Sender<Finished>,
    /// Waits until they are kept; returns after the last sender is gone.
    pub(super) join: Box<dyn FnOnce() -> Result<Written, Error> + Send>,
    /// Jobs left out because their rows are there already; counts on. `None` where that is no news.
    pub(super) skipped: Option<Arc<AtomicU64>>,
    /// How the jobs of those rows ended.
    pub(super) earlier: Earlier,
    /// Jobs not read yet, about. `None` where nobody can tell.
    pub(super) to_come: Option<ToCome>,
}

/// How a run went, before anybody is told.
pub(super) struct Driven {
    pub(super) summary: Summary,
    pub(super) intake: Intake,
    pub(super) resolved: Arc<Resolved>,
    /// What became of the record of the run.
    pub(super) told: Result<(), Error>,
    pub(super) exit: Exit,
    /// Other runs wait until this is dropped.
    pub(super) lock: Option<Lock>,
}

/// Does some work through the proxies that the settings name.
pub(super) fn execute_work<W: Work>(
    mut resolved: Resolved,
    work: W,
    progress: Progress,
    environment: &Environment,
    printer: &Printer,
) -> Result<Driven, Error> {
    let busy =
        u64::from(resolved.limit.concurrency.get()) + resolved.engine.probe_concurrency as u64;
    resolved.egress.max_idle = idle_that_fit(busy, descriptors::raise());
    places::check(&resolved)?;
    if resolved.record.is_some() {
        resolved.engine.seed.get_or_insert_with(system_seed);
    }
    // One thread: the work is waiting, and waking other threads costs more than it brings (benches/README.md).
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Internal(format!("cannot start the runtime: {error}")))?;
    let to_stdout = resolved.output.path.is_none();
    let shown = progress::choose(progress, environment.streams, to_stdout, printer);
    let ended = runtime.block_on(drive(Arc::new(resolved), work, printer, shown));
    // Everything is flushed; what still blocks (a read from a terminal) must not hold the process.
    runtime.shutdown_background();
    ended
}

/// The run with everything around it: signals in, progress out.
async fn drive<W: Work>(
    resolved: Arc<Resolved>,
    work: W,
    printer: &Printer,
    shown: Shown,
) -> Result<Driven, Error> {
    let (mut control, _listener) = signals::listen()?;
    let (snapshots, seen) = watch::channel(Snapshot::default());
    let warning = tokio::spawn(progress::warn(seen.clone(), printer.clone()));
    let display = tokio::spawn(progress::show(seen, printer.clone(), shown));
    let seed = resolved.engine.seed.unwrap_or_else(system_seed);
    let begun = starting::begin(&resolved.start, seed, &mut control, &snapshots).await;
    let mut held = None;
    let ended = match begun {
        Ok(Begun::Now(lock)) => {
            held = lock;
            run_work(Arc::clone(&resolved), work, printer, control, snapshots).await
        }
        Ok(Begun::Ended(code)) => {
            drop(snapshots);
            let reason = reason_of(code);
            Ok(Ended::early(reason, Snapshot::default(), Intake::default()))
        }
        Ok(Begun::Skipped) => {
            tracing::info!("another run has the lock: nothing to do");
            let totals = Snapshot::default();
            return Ok(Driven {
                summary: Summary {
                    reason: FinishReason::Done,
                    totals,
                },
                intake: Intake::default(),
                resolved,
                told: Ok(()),
                exit: Exit::SKIPPED,
                lock: None,
            });
        }
        Err(error) => {
            drop(snapshots);
            Err(error)
        }
    };
    warning.abort();
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
        teller,
    } = ended?;
    let told = match teller {
        Some(teller) => teller.end(&summary).await,
        None => Ok(()),
    };
    let exit = Exit::of_summary(&summary, resolved.max_fail);
    keeping::end(keeper, &summary, exit, printer).await;
    if let Some(failure) = failure {
        printer.error(&failure);
    }
    warn_of_blind(&summary.totals, printer);
    Ok(Driven {
        summary,
        intake,
        resolved,
        told,
        exit,
        lock: held,
    })
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
    /// Tells what was decided.
    teller: Option<Teller>,
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
            teller: None,
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
            teller: None,
        }
    }
}

/// A run that can start: everything is read, checked and locked.
struct Ready<W> {
    lists: Lists,
    intake: Intake,
    client: Client,
    work: W,
    keeper: Option<Keeper>,
    teller: Option<Teller>,
}

/// Reads the proxy lists, opens inputs and output. Blocks: a list or the header of a table may come from a slow pipe.
async fn prepare<W: Work>(
    resolved: &Resolved,
    mut work: W,
    printer: &Printer,
) -> Result<Ready<W>, Error> {
    let mut lists = Lists::open(resolved.proxies.clone())?;
    let list = lists.read().await?;
    check_prices(resolved, &list)?;
    let client = Client::builder()
        .proxies(list.proxies.iter().cloned())
        .configure(|settings| *settings = resolved.client_settings())
        .build()?;
    work.open(resolved)?;
    // Nothing is said about a run that does not start.
    let intake = announce(&list, printer);
    if let Some(said) = work.said() {
        printer.note(&said);
    }
    // No more proxies are probed at once than there are, and a job is under way twice at most.
    let probes = (resolved.engine.probe_concurrency).min(list.proxies.len()) as u64;
    let attempts = work.most().map_or(u64::MAX, |most| most.saturating_mul(2));
    let wanted = attempts.min(resolved.limit.concurrency.get().into()) + probes;
    descriptors::warn_if_short(wanted, "-j and --probe-concurrency", printer);
    let state = resolved.state.as_deref();
    let (client, keeper) = keeping::begin(client, state, &list.proxies, printer);
    let (client, teller) = match telling::begin(resolved, list.proxies.len(), printer)? {
        Some((events, teller)) => (client.telling(events), Some(teller)),
        None => (client, None),
    };
    Ok(Ready {
        lists,
        intake,
        client,
        work,
        keeper,
        teller,
    })
}

/// A cap on money that nothing can ever reach is a mistake.
fn check_prices(resolved: &Resolved, list: &ProxyList) -> Result<(), Problem> {
    let priced = |proxy: &Arc<Proxy>| proxy.labels().cost.is_some();
    if resolved.engine.caps.cost.is_none() || list.proxies.iter().any(priced) {
        return Ok(());
    }
    Err(Problem::new("no proxy of the list has a price")
        .at("--max-cost")
        .hint("give one with --price 3.5/GB, or to single proxies with cost=3.5/GB in the list"))
}

/// Fetches. `signals` steer the run; the progress display ends when `snapshots` is dropped.
async fn run_work<W: Work>(
    resolved: Arc<Resolved>,
    work: W,
    printer: &Printer,
    mut signals: mpsc::Receiver<Signal>,
    snapshots: watch::Sender<Snapshot>,
) -> Result<Ended, Error> {
    let mut preparing = {
        let (resolved, printer) = (Arc::clone(&resolved), printer.clone());
        let runtime = Handle::current();
        spawn_blocking(move || runtime.block_on(prepare(&resolved, work, &printer)))
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
        work,
        keeper,
        teller,
    } = ready;
    let Started {
        source,
        rows,
        join,
        skipped,
        earlier,
        to_come,
    } = work.start()?;
    let running = client.start(source, rows)?;
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
                let mut snapshot = progress.borrow_and_update().clone();
                snapshot.to_come = to_come.as_ref().and_then(ToCome::get);
                // The display may have ended before the run has.
                let _ = snapshots.send(snapshot);
            }
        }
    };
    // Rows that were to be replaced and stay count with those that stayed from the beginning.
    let mut left = Earlier::default();
    let mut ended = match done {
        Some((summary, read)) => {
            let mut writing = spawn_blocking(join);
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
            if let Some(Ok(written)) = &written {
                left = written.left;
            }
            Ended::of(summary, read, written, intake)
        }
        None => Ended::stuck(progress.borrow().clone(), intake),
    };
    ended.summary.totals.earlier = earlier.and(left);
    ended.keeper = keeper;
    ended.teller = teller;
    if let (Some(code), true) = (patience.code, ended.stuck) {
        ended.summary.reason = reason_of(code);
        printer.warn(
            &Problem::new("nobody took the last rows of the output, which may end in a torn one")
                .hint("--resume repairs a file; a pipe has to be read"),
        );
    }
    let Some(skipped) = skipped.map(|skipped| skipped.load(Ordering::Relaxed)) else {
        return Ok(ended);
    };
    if skipped > 0 {
        printer.note(&figures::counted(
            skipped,
            "URL was skipped: the output has its row",
            "URLs were skipped: the output has their rows",
        ));
    }
    let summary = &ended.summary;
    if summary.reason == FinishReason::Done && summary.totals.read == 0 && skipped == 0 {
        printer.warn(&Problem::new("the input holds no URLs"));
    }
    Ok(ended)
}

/// The value of a task; its panic goes on here.
pub(super) fn joined<T>(ended: Result<T, JoinError>) -> T {
    ended.unwrap_or_else(|failed| resume_unwind(failed.into_panic()))
}

fn reason_of(code: u8) -> FinishReason {
    if code == 143 {
        FinishReason::Terminated
    } else {
        FinishReason::Interrupted
    }
}
