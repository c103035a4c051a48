//! Gathers the settings of a command from file, environment and flags.
//!
//! One way for all commands. Two passes over the same flags: [`read_flags`] takes the command line apart without looking at values; [`gather`] merges it
//! with the other sources and parses the result once, so that a bad value is refused in the same words wherever it stands.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches};

use super::Environment;
use super::args::{self, FetchArgs, GlobalArgs, catalog_of, root};
use super::usage::problem_of;
use crate::config::{
    Catalog, Entry, Kind, Layer, Merged, Origin, RawValue, from_environment, from_file,
    from_job_file, instead_in_job, user_file,
};
use crate::error::{Error, Problem};
use crate::track::job::TrackJob;

/// The command line taken apart, values unread.
pub struct CommandLine {
    /// The command and its subcommand: `fetch`, `config show`.
    pub command: String,
    matches: ArgMatches,
}

impl CommandLine {
    /// True when the switch with this id is on the command line.
    pub fn has(&self, id: &str) -> bool {
        self.matches.get_flag(id)
    }
}

/// Why there is no command to run.
#[derive(Debug)]
pub enum Stop {
    /// Help or version was asked for: text for standard output, success.
    Shown(String),
    /// No command was given: help for standard error.
    Help(String),
    /// The command line is wrong.
    Usage(Problem),
}

/// Takes the command line apart.
///
/// # Errors
/// See [`Stop`].
pub fn read_flags(environment: &Environment) -> Result<CommandLine, Stop> {
    let matches = unread(root())
        .try_get_matches_from(&environment.arguments)
        .map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Shown(error.to_string()),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
                Stop::Help(error.to_string())
            }
            _ => Stop::Usage(problem_of(&error, None)),
        })?;
    let mut command = Vec::new();
    let mut inner = matches;
    while let Some((name, sub)) = inner.remove_subcommand() {
        command.push(name);
        inner = sub;
    }
    Ok(CommandLine {
        command: command.join(" "),
        matches: inner,
    })
}

/// The same flags, every value taken as it is.
fn unread(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            if arg.get_action().takes_values() {
                arg.value_parser(ValueParser::os_string())
            } else {
                arg
            }
        })
        .mut_subcommands(unread)
}

/// Settings of a command, parsed, with their origins.
pub struct Gathered<A> {
    /// The flags everything amounts to.
    pub args: Box<A>,
    /// Flags of every command.
    pub global: GlobalArgs,
    /// The same, as the parser sees them.
    pub matches: ArgMatches,
    /// Where each was made.
    pub merged: Merged,
    /// What settings there are.
    pub catalog: Catalog,
}

impl<A> Gathered<A> {
    /// The same error, placed where the setting was made: a complaint about `--user` may be about a variable.
    pub fn placed(&self, error: Error) -> Error {
        let Error::Usage(problem) = error else {
            return error;
        };
        let place = problem.place.clone().unwrap_or_default();
        let (flag, rest) = place.split_at(place.find(' ').unwrap_or(place.len()));
        let origin = flag
            .strip_prefix("--")
            .and_then(|name| self.merged.origin(name));
        match origin {
            Some(origin @ (Origin::File { .. } | Origin::Variable(_))) => {
                problem.at(format!("{origin}{rest}")).into()
            }
            _ => problem.into(),
        }
    }
}

/// Commands that do the same everywhere: nothing but their flags counts.
const FLAGS_ALONE: [&str; 1] = ["demo"];

/// Gathers the settings for `command`, whose line this is, or one that asks for its settings.
///
/// # Errors
/// A configuration file that cannot be read, an unknown name, or a value that its flag refuses.
pub fn gather<A: FromArgMatches>(
    command: &str,
    line: &CommandLine,
    environment: &Environment,
) -> Result<Gathered<A>, Error> {
    let catalog = catalog_of(command);
    let mut layers = Vec::new();
    if !FLAGS_ALONE.contains(&command) {
        for file in files(line, environment)? {
            layers.push(from_file(&file.path, &file.text, &catalog)?);
        }
        layers.push(from_environment(&environment.variables, &catalog)?);
    } else if line.matches.contains_id("config") {
        return Err(Problem::new(format!("{command} reads no configuration"))
            .at("--config")
            .hint("drop --config; proxywheel config show tells what a file changes")
            .into());
    }
    // Of the two words without a flag, URLs have no setting beside them, lists do: they replace those of a file.
    let of_line = |id| line.matches.try_get_raw(id).ok().flatten();
    let words_alone: Vec<OsString> = ["urls", "lists"]
        .into_iter()
        .filter_map(of_line)
        .flatten()
        .map(OsString::from)
        .collect();
    if of_line("lists").is_some() {
        layers
            .iter_mut()
            .for_each(|layer| layer.forget("proxy-file"));
    }
    layers.push(layer_of_flags(line, &catalog));
    parsed(command, catalog, layers, words_alone)
}

/// The settings of `fetch` that a job file makes, parsed like a command line.
///
/// # Errors
/// Unknown names and those that a job makes elsewhere, each with its line; else the first value that its flag refuses.
pub fn settings_of_job(job: &TrackJob) -> Result<Gathered<FetchArgs>, Error> {
    let catalog = catalog_of("fetch");
    let layer = from_job_file(&job.path, &job.text, &catalog)?;
    parsed("fetch", catalog, vec![layer], Vec::new())
}

/// The settings of `fetch` for a run of a job: of the configuration and the variables, of the job, and of `words`, which are flags of
/// `fetch`; the later wins. `line` says which configuration counts.
///
/// # Errors
/// As for [`gather`] and [`settings_of_job`], and for flags that have no effect on the run of a job.
pub fn settings_of_run(
    job: &TrackJob,
    words: &[OsString],
    line: &CommandLine,
    environment: &Environment,
) -> Result<Gathered<FetchArgs>, Error> {
    let catalog = catalog_of("fetch");
    let mut layers = Vec::new();
    for file in files(line, environment)? {
        layers.push(from_file(&file.path, &file.text, &catalog)?);
    }
    layers.push(from_environment(&environment.variables, &catalog)?);
    layers.push(from_job_file(&job.path, &job.text, &catalog)?);
    let fetch = ["proxywheel".into(), "fetch".into()].into_iter();
    let matches = unread(root())
        .try_get_matches_from(fetch.chain(words.iter().cloned()))
        .map_err(|error| problem_of(&error, None))?;
    let matches = matches.subcommand_matches("fetch").cloned();
    let matches = matches.ok_or_else(|| Error::Internal("there is no fetch".into()))?;
    let flags = CommandLine {
        command: "fetch".into(),
        matches,
    };
    let typed = layer_of_flags(&flags, &catalog);
    refuse_in_job(&typed, &flags, &catalog)?;
    layers.push(typed);
    parsed("fetch", catalog, layers, Vec::new())
}

/// What is no setting and may be typed all the same, its id, and the setting that it is refused like.
const REFUSED_LIKE: [(&str, &str, &str); 4] = [
    ("URL", "urls", "input"),
    ("--list-fields", "list_fields", "fields"),
    ("--config", "config", "quiet"),
    ("--no-config", "no_config", "quiet"),
];

/// Refuses what would have no effect on the run of a job.
fn refuse_in_job(typed: &Layer, flags: &CommandLine, catalog: &Catalog) -> Result<(), Error> {
    let of_line = |id: &str| flags.matches.value_source(id) == Some(ValueSource::CommandLine);
    let others = REFUSED_LIKE.iter().filter(|(_, id, _)| of_line(id));
    let others = others.map(|(place, _, like)| ((*place).to_owned(), *like));
    let settings = catalog.settings.iter().map(|setting| &*setting.name);
    let settings = settings.filter(|name| typed.get(name).is_some());
    let all = settings
        .map(|name| (format!("--{name}"), name))
        .chain(others);
    let refused = all.filter_map(|(place, like)| {
        let problem = Problem::new("not for the run of a job").at(place);
        Some(problem.hint(instead_in_job(like)?))
    });
    let within = "the flags of fetch";
    match Problem::of_all(refused.collect(), within, "--") {
        Some(problem) => Err(problem.into()),
        None => Ok(()),
    }
}

/// The layers put together, parsed once. `words_alone` are the words of the line that belong to no flag.
fn parsed<A: FromArgMatches>(
    command: &str,
    catalog: Catalog,
    layers: Vec<Layer>,
    words_alone: Vec<OsString>,
) -> Result<Gathered<A>, Error> {
    let merged = Merged::of(layers);

    let mut words: Vec<OsString> = vec!["proxywheel".into(), command.into()];
    words.extend(merged.render(&catalog));
    words.push("--".into());
    words.extend(words_alone);

    let refused = |error: clap::Error| problem_of(&error, Some(&merged));
    let whole = root().try_get_matches_from(words).map_err(refused)?;
    let (_, matches) = whole
        .subcommand()
        .ok_or_else(|| Error::Internal("the rendered command line has no command".into()))?;
    let global = GlobalArgs::from_arg_matches(matches).map_err(refused)?;
    let args = Box::new(A::from_arg_matches(matches).map_err(refused)?);
    Ok(Gathered {
        args,
        global,
        matches: matches.clone(),
        merged,
        catalog,
    })
}

struct ConfigFile {
    path: PathBuf,
    text: String,
}

/// The configuration files to read, lowest first.
fn files(line: &CommandLine, environment: &Environment) -> Result<Vec<ConfigFile>, Error> {
    let variable = |name: &str| {
        let value = environment.variables.get(name)?;
        (!value.is_empty()).then(|| value.clone())
    };
    let flag = line
        .matches
        .get_raw("config")
        .and_then(|mut raw| raw.next());
    let named = flag.map(OsString::from);
    if named.is_none() {
        let none = line.has("no_config")
            || variable("PROXYWHEEL_NO_CONFIG")
                .is_some_and(|value| value != "0" && value != "false");
        if none {
            return Ok(Vec::new());
        }
    }
    let mut files = Vec::new();
    if let Some(path) = user_file(&environment.variables) {
        match read(&path) {
            Ok(file) => files.push(file),
            Err(Error::Io { source, .. })
                if matches!(
                    source.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(path) = named.or_else(|| variable("PROXYWHEEL_CONFIG")) {
        files.push(read(Path::new(&path))?);
    }
    Ok(files)
}

fn read(path: &Path) -> Result<ConfigFile, Error> {
    let bytes = fs::read(path).map_err(|source| Error::io("read", path, source))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Problem::new("not UTF-8").at(path.display().to_string()))?;
    Ok(ConfigFile {
        path: path.to_owned(),
        text,
    })
}

/// What the user typed, as a layer.
fn layer_of_flags(line: &CommandLine, catalog: &Catalog) -> Layer {
    let matches = &line.matches;
    let typed = |id: &str| {
        matches.try_contains_id(id).unwrap_or(false)
            && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let mut layer = Layer::default();
    for setting in &catalog.settings {
        let spellings = [Some(&setting.name), setting.negation.as_ref()];
        for (name, negated) in spellings.into_iter().flatten().zip([false, true]) {
            let id = args::id_of(name);
            if !typed(&id) {
                continue;
            }
            let ranks = matches.indices_of(&id).into_iter().flatten();
            let texts: Vec<OsString> = match setting.kind {
                Kind::Switch => vec!["true".into()],
                Kind::Count => vec![matches.get_count(&id).to_string().into()],
                Kind::Value | Kind::List => matches
                    .get_raw(&id)
                    .into_iter()
                    .flatten()
                    .map(OsString::from)
                    .collect(),
            };
            let values = texts
                .into_iter()
                .zip(ranks)
                .map(|(text, rank)| RawValue { text, rank })
                .collect();
            let origin = Origin::Flag(name.clone());
            layer.set(setting, negated, Entry { values, origin });
        }
    }
    layer
}
