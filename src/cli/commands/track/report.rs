//! `track report`: the history of a job as one HTML file.

use std::time::SystemTime;

use super::kept::open;
use crate::cli::Environment;
use crate::cli::args::TrackReportArgs;
use crate::cli::exit::Exit;
use crate::cli::figures;
use crate::cli::printer::Printer;
use crate::cli::settings::CommandLine;
use crate::cli::stats::replace;
use crate::error::Error;
use crate::state::millis;
use crate::track::report::{EARLIER_MS, Material, html};

/// Writes the page.
pub(super) fn run(
    args: &TrackReportArgs,
    line: &CommandLine,
    environment: &Environment,
    printer: &Printer,
) -> Result<Exit, Error> {
    let (history, job) = open(&args.kept, line, environment)?;
    let now = millis(SystemTime::now());
    let since = now - i64::try_from(args.since.0.as_millis()).unwrap_or(now);
    let page = html(&Material {
        now,
        since,
        series: history.series(&job)?,
        runs: history.runs(&job, since)?,
        observations: history.since(&job, since - EARLIER_MS)?,
        visits: history.visits(&job, since)?,
        job,
    });
    replace(&args.html, &page)?;
    let (path, bytes) = (args.html.display(), figures::bytes(page.len() as u64));
    printer.note(&format!("{path}: {bytes}"));
    Ok(Exit::DONE)
}
