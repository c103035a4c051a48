//! One file per command.

mod check;
mod config;
mod demo;
mod explain;
mod extract;
mod fetch;
mod judge;
mod lab;
mod rules;
mod state;
mod track;

use std::io::Read as _;
use std::panic::resume_unwind;
use std::path::Path;

use url::Url;

use clap::FromArgMatches;

use super::Environment;
use super::args::{GlobalArgs, root};
use super::exit::Exit;
use super::printer::Printer;
use super::settings::{CommandLine, Gathered, gather};
use super::usage::problem_of;
use crate::ban::RuleFile;
use crate::egress::{Fetched, Validators, fetch_list};
use crate::error::{Error, Problem};

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
        "explain" => explain::run(line, environment).map_err(|error| (early.clone(), error)),
        "config show" => config::show(line, environment).map_err(|error| (early.clone(), error)),
        command if command.starts_with("state ") => {
            state::run(line, environment).map_err(|error| (early.clone(), error))
        }
        command if command.starts_with("extract ") => extract::run(environment, early),
        command if command.starts_with("rules ") => rules::run(environment, early),
        command if command.starts_with("track ") => track::run(line, environment, early),
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

/// The rule files of `--rules`: files, standard input for `-`, and URLs, which are fetched without a proxy.
fn rule_files(names: &[String]) -> Result<Vec<RuleFile>, Error> {
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        let url = Url::parse(name).ok();
        let bytes = match url.filter(|url| matches!(url.scheme(), "http" | "https")) {
            Some(url) => fetched(&url)?,
            None => read(Path::new(name))?,
        };
        let text = String::from_utf8(bytes)
            .map_err(|_| Problem::new("a rule file has to be UTF-8").at(name.clone()))?;
        files.push(RuleFile {
            name: name.clone(),
            text,
        });
    }
    Ok(files)
}

/// On a thread of its own: the command that asks may be within a runtime already.
fn fetched(url: &Url) -> Result<Vec<u8>, Error> {
    let fetch = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Internal(error.to_string()))?;
        runtime.block_on(fetch_list(url, &Validators::default()))
    };
    let fetched = std::thread::scope(|scope| match scope.spawn(fetch).join() {
        Ok(fetched) => fetched,
        Err(panic) => resume_unwind(panic),
    });
    match fetched? {
        Fetched::Body { bytes, .. } => Ok(bytes.into()),
        Fetched::NotModified => Err(Error::Internal("unchanged since never".into())),
    }
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
