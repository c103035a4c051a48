//! `track`: rank and change monitoring.

mod diff;
mod history;
mod kept;
mod report;

use super::{Failure, flags};
use crate::cli::Environment;
use crate::cli::args::{TrackArgs, TrackCommand};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::settings::CommandLine;

/// Runs the command below `track` that the line names.
pub(super) fn run(
    line: &CommandLine,
    environment: &Environment,
    early: &Printer,
) -> Result<Exit, Failure> {
    let (args, global) = flags::<TrackArgs>(environment).map_err(|error| (early.clone(), error))?;
    let printer = Printer::new(&global, environment);
    let done = match &args.command {
        TrackCommand::History(args) => history::run(args, line, environment, &printer),
        TrackCommand::Diff(args) => diff::run(args, line, environment, &printer),
        TrackCommand::Report(args) => report::run(args, line, environment, &printer),
    };
    done.map_err(|error| (printer, error))
}
