//! `fetch`: the main job.

use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{Failure, read};
use crate::cli::Environment;
use crate::cli::args::resolve;
use crate::cli::exit::Exit;
use crate::cli::hint::hint;
use crate::cli::printer::Printer;
use crate::cli::progress::{self, Shown};
use crate::cli::settings::{CommandLine, gather};
use crate::cli::signals::{self, Signal};
use crate::cli::stats;
use crate::cli::summary::{Intake, Report, render};
use crate::config::Resolved;
use crate::error::Error;
use crate::metrics::{Snapshot, Summary};

/// Fields of a record, in the order of the schema.
const FIELDS: [&str; 38] = [
    "v",
    "id",
    "seq",
    "input",
    "url",
    "final_url",
    "method",
    "tag",
    "outcome",
    "ok",
    "status",
    "http_version",
    "content_type",
    "charset",
    "proxy",
    "proxy_connect_status",
    "exit_ip",
    "attempts",
    "proxies_tried",
    "attempt_log",
    "ban",
    "edge",
    "error",
    "redirects",
    "timing",
    "started_at",
    "finished_at",
    "size_wire",
    "size_body",
    "truncated",
    "body_sha256",
    "title",
    "fields",
    "headers",
    "body",
    "body_b64",
    "body_path",
    "resumed",
];

/// Gathers and checks the settings, then runs.
pub(super) fn run(
    line: &CommandLine,
    environment: &Environment,
    early: &Printer,
) -> Result<Exit, Failure> {
    if line.has("list_fields") {
        let listed = early.data(&format!("{}\n", FIELDS.join("\n")));
        return listed
            .map(|()| Exit::DONE)
            .map_err(|error| (early.clone(), error));
    }
    let gathered = gather(line, environment).map_err(|error| (early.clone(), error))?;
    let printer = Printer::new(&gathered.global, environment);
    printer.receive_events();
    let prepare = || {
        let resolved = resolve(&gathered.args, &gathered.matches, &mut read)?;
        resolved.check(environment.streams)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Internal(format!("cannot start threads: {error}")))?;
        Ok((Arc::new(resolved), runtime))
    };
    let (resolved, runtime) =
        prepare().map_err(|error| (printer.clone(), gathered.placed(error)))?;
    let to_stdout = resolved.output.path.is_none();
    let wanted = gathered.args.run.progress;
    let shown = progress::choose(wanted, environment.streams, to_stdout, &printer);
    let ended = runtime.block_on(drive(resolved, &printer, shown));
    // Everything is flushed; what still blocks (a read from a terminal) must not hold the process.
    runtime.shutdown_background();
    ended.map_err(|error| (printer, error))
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
    let report = Report {
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

/// Fetches. `control` brings the signals; the progress display ends when `snapshots` is dropped.
async fn run_fetch(
    _resolved: Arc<Resolved>,
    _printer: &Printer,
    _control: mpsc::Receiver<Signal>,
    _snapshots: watch::Sender<Snapshot>,
) -> Result<Ended, Error> {
    Err(Error::Internal("not wired".into()))
}
