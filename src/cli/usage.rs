//! Complaints of the flag parser in this program's own words.
//!
//! The parser's texts name flags even where the value came from a file or a variable, and quote values that may be
//! credentials. Both are put right here.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::args::root;
use super::familiar;
use crate::config::{Merged, Origin, redact};
use crate::error::Problem;

/// What `error` says, placed where the value came from according to `merged`.
pub(super) fn problem_of(error: &clap::Error, merged: Option<&Merged>) -> Problem {
    let arg = text(error, ContextKind::InvalidArg).unwrap_or_default();
    let name = long_name(&arg);
    let origin = merged.and_then(|merged| merged.origin(name));
    let flag = flag_of(&arg);
    let place = match origin {
        Some(origin @ (Origin::File { .. } | Origin::Variable(_))) => origin.to_string(),
        _ => flag.clone(),
    };
    let from_flag = !matches!(origin, Some(Origin::File { .. } | Origin::Variable(_)));
    let see = format!("see proxywheel {}--help", command_of(error));
    match error.kind() {
        ErrorKind::ValueValidation => {
            let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
            let cause = std::error::Error::source(error);
            if let Some(problem) = cause.and_then(|cause| cause.downcast_ref::<Problem>()) {
                let named = !from_flag || arg.starts_with('-');
                return problem.clone().at_if(place, named);
            }
            let shown = redact(name, &value);
            // The standard library's text, "invalid digit found in string", helps nobody.
            if cause.is_some_and(|cause| cause.is::<std::num::ParseIntError>()) {
                return Problem::new(format!("invalid number {shown:?}"))
                    .at(place)
                    .hint("write a whole number, 0 or more");
            }
            let why = cause.map(ToString::to_string).unwrap_or_default();
            Problem::new(format!("invalid value {shown:?}: {why}")).at(place)
        }
        ErrorKind::InvalidValue => {
            let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
            let known = texts(error, ContextKind::ValidValue);
            if value.is_empty() && known.is_empty() {
                return Problem::new("a value is missing").at(place).hint(see);
            }
            let problem = Problem::new(format!("unknown value {value:?}")).at(place);
            let words = known.join(", ");
            match text(error, ContextKind::SuggestedValue) {
                Some(near) => problem.hint(format!("did you mean {near} ? The words are {words}")),
                None => problem.hint(format!("the words are {words}")),
            }
        }
        ErrorKind::UnknownArgument if arg.starts_with('-') => {
            let problem = Problem::new(format!("unknown flag {flag}"));
            let near = text(error, ContextKind::SuggestedArg).map(|near| flag_of(&near));
            let command = command_of(error);
            let knows = |name: &str| has_flag(command.trim_end(), name);
            if knows("request")
                && let Some(instead) = familiar::instead_of(&flag)
            {
                return problem.hint(instead);
            }
            match familiar::flag(&flag, near.as_deref(), knows) {
                Some(meant) => problem.hint(format!("did you mean {meant} ?")),
                None => problem.hint(see),
            }
        }
        ErrorKind::UnknownArgument => {
            Problem::new(format!("unexpected argument {arg:?}")).hint(see)
        }
        ErrorKind::ArgumentConflict => {
            let others = texts(error, ContextKind::PriorArg);
            let other = others
                .first()
                .map(|other| flag_of(other))
                .unwrap_or_default();
            if other == flag {
                return Problem::new(format!("{flag} is given more than once"))
                    .at_if(place, !from_flag);
            }
            Problem::new(format!("{flag} cannot be combined with {other}")).at_if(place, !from_flag)
        }
        ErrorKind::InvalidSubcommand => {
            let given = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            let problem = Problem::new(format!("unknown command {given:?}"));
            if given.contains("://") {
                return problem.hint("URLs stand behind a command: proxywheel fetch URL -x PROXY");
            }
            let near = texts(error, ContextKind::SuggestedSubcommand);
            match familiar::command(&given, near.first().map(String::as_str)) {
                Some(meant) => problem.hint(format!("did you mean {meant} ?")),
                None => problem.hint("see proxywheel --help"),
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = texts(error, ContextKind::InvalidArg).join(" and ");
            Problem::new(format!("{missing} is missing")).hint(see)
        }
        ErrorKind::NoEquals | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            Problem::new("a value is missing").at(place).hint(see)
        }
        ErrorKind::TooManyValues => Problem::new("takes no value").at(place).hint(see),
        ErrorKind::InvalidUtf8 => Problem::new("not UTF-8").at(place),
        _ => {
            let whole = error.to_string();
            let line = whole.lines().next().unwrap_or_default();
            Problem::new(line.trim_start_matches("error: ").to_owned()).hint(see)
        }
    }
}

trait AtIf {
    fn at_if(self, place: String, named: bool) -> Self;
}

impl AtIf for Problem {
    fn at_if(self, place: String, named: bool) -> Self {
        if named { self.at(place) } else { self }
    }
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    texts(error, kind).into_iter().next()
}

fn texts(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

/// True when the command (`fetch`, `track run`) or every command has this long flag.
fn has_flag(command: &str, name: &str) -> bool {
    let root = root();
    let has = |command: &clap::Command| {
        let mut arguments = command.get_arguments();
        arguments.any(|argument| argument.get_long() == Some(name))
    };
    let mut words = command.split_whitespace();
    let named = words.try_fold(&root, |command, word| command.find_subcommand(word));
    has(&root) || named.is_some_and(has)
}

/// `--rate` of `--rate <N/TIME>`.
fn flag_of(arg: &str) -> String {
    let end = arg.find([' ', '=', '[', '<']).unwrap_or(arg.len());
    match arg[..end].trim().trim_end_matches("...") {
        "" => arg.to_owned(),
        flag => flag.to_owned(),
    }
}

/// `rate` of `--rate <N/TIME>`.
fn long_name(arg: &str) -> &str {
    let end = arg.find([' ', '=', '[', '<']).unwrap_or(arg.len());
    arg[..end].trim_start_matches('-')
}

/// `fetch ` when the error is about `fetch`, or does not say.
fn command_of(error: &clap::Error) -> String {
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => String::new(),
    };
    let words: Vec<&str> = usage
        .split_whitespace()
        // By whatever name the program was called.
        .skip_while(|word| *word != "Usage:")
        .skip(2)
        .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()))
        .collect();
    if words.is_empty() {
        return "fetch ".to_owned();
    }
    words.iter().map(|word| format!("{word} ")).collect()
}
