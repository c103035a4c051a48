//! One file per command.

mod check;
mod config;
mod demo;
mod fetch;
mod judge;
mod lab;
mod state;

use std::io::Read as _;
use std::path::Path;

use clap::FromArgMatches;

use super::Environment;
use super::args::{GlobalArgs, root};
use super::exit::Exit;
use super::printer::Printer;
use super::settings::{CommandLine, Gathered, gather};
use super::usage::problem_of;
use crate::error::Error;

/// An error, and the printer that knows how it is to be told.
pub(super) type Failure = (Printer, Error);

/// Runs the command the line names.
pub(super) fn run(
    line: &CommandLine,
    environment: &Environment,
    early: &Printer,
) -> Result<Exit, Failure> {
    match line.command.as_str() {
        "fetch" => fetch::run(line, environment, early),
        "check" => check::run(line, environment, early),
        "demo" => demo::run(line, environment, early),
        "judge" => judge::run(line, environment, early),
        command if command.starts_with("lab ") => lab::run(environment, early),
        "config show" => config::show(line, environment).map_err(|error| (early.clone(), error)),
        command if command.starts_with("state ") => {
            state::run(line, environment).map_err(|error| (early.clone(), error))
        }
        other => {
            let error = Error::Internal(format!("the command {other:?} has no code"));
            Err((early.clone(), error))
        }
    }
}

/// The settings of a command, and a printer made by them.
fn gathered<A: FromArgMatches>(
    command: &str,
    line: &CommandLine,
    environment: &Environment,
    early: &Printer,
) -> Result<(Gathered<A>, Printer), Failure> {
    let gathered =
        gather::<A>(command, line, environment).map_err(|error| (early.clone(), error))?;
    let printer = Printer::new(&gathered.global, environment);
    printer.receive_events();
    Ok((gathered, printer))
}

/// The arguments of a command below a command, which no configuration concerns.
fn flags<A: FromArgMatches>(environment: &Environment) -> Result<(A, GlobalArgs), Error> {
    let broken = |error: clap::Error| problem_of(&error, None);
    let matches = root()
        .try_get_matches_from(&environment.arguments)
        .map_err(broken)?;
    let (_, matches) = matches
        .subcommand()
        .ok_or_else(|| Error::Internal("the command line has no command".into()))?;
    let args = A::from_arg_matches(matches).map_err(broken)?;
    let global = GlobalArgs::from_arg_matches(matches).map_err(broken)?;
    Ok((args, global))
}

/// The bytes of a file, of standard input for `-`.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        return match std::io::stdin().lock().read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(source) => Err(Error::io("read", "standard input", source)),
        };
    }
    std::fs::read(path).map_err(|source| Error::io("read", path, source))
}
