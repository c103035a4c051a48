//! The face: flags, messages, progress, exit codes. Standard output is data, standard error is for people.
//!
//! [`run`] is the program: parse the command line, gather the settings, run the command, tell the exit code. Everything it
//! takes from the outside (arguments, variables, what the streams are) comes in one [`Environment`], so that tests need no
//! process. Printing happens in [`printer`] only.

pub mod args;
mod commands;
mod descriptors;
pub mod exit;
mod familiar;
mod figures;
pub mod hint;
pub mod lock;
pub mod printer;
pub mod progress;
mod recording;
pub mod settings;
pub mod signals;
#[doc(hidden)]
pub mod simulated;
pub mod stats;
pub mod summary;
mod usage;

use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use crate::config::{Streams, Variables};
use crate::error::Error;
use exit::Exit;
use printer::Printer;

/// What the program is given.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The command line, program name first.
    pub arguments: Vec<OsString>,
    /// Environment variables whose names are UTF-8.
    pub variables: Variables,
    /// Which streams are terminals.
    pub streams: Streams,
}

impl Environment {
    /// What this process was given.
    pub fn of_process() -> Self {
        Environment {
            arguments: std::env::args_os().collect(),
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .collect(),
            streams: Streams {
                stdin_is_terminal: stdin().is_terminal(),
                stdout_is_terminal: stdout().is_terminal(),
                stdout_is_file: is_file(stdout()),
                stderr_is_terminal: stderr().is_terminal(),
            },
        }
    }
}

/// The folder that a path is in, if it is in one.
fn folder_of(path: &Path) -> &Path {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// True for a regular file.
fn is_file(stream: impl AsFd) -> bool {
    let copy = stream.as_fd().try_clone_to_owned();
    let metadata = copy.and_then(|copy| File::from(copy).metadata());
    metadata.is_ok_and(|metadata| metadata.is_file())
}

/// Runs the program.
pub fn run(environment: &Environment) -> ExitCode {
    let early = Printer::early(environment);
    let command_line = match settings::read_flags(environment) {
        Ok(command_line) => command_line,
        Err(settings::Stop::Shown(text)) => return told(early.data(&text)),
        Err(settings::Stop::Help(text)) => {
            early.plain(&text);
            return Exit::USAGE.into();
        }
        Err(settings::Stop::Usage(problem)) => return failed(&early, &problem.into()),
    };
    match commands::run(&command_line, environment, &early) {
        Ok(exit) => exit.into(),
        Err((printer, error)) => failed(&printer, &error),
    }
}

fn failed(printer: &Printer, error: &Error) -> ExitCode {
    printer.error(error);
    Exit::of_error(error).into()
}

/// The exit of a command whose whole work was to print.
fn told(result: Result<(), Error>) -> ExitCode {
    match result {
        Ok(()) => Exit::DONE.into(),
        Err(error) => Exit::of_error(&error).into(),
    }
}
