//! Complaints of the flag parser in this program's own words.
//!
//! The parser's texts name flags even where the value came from a file or a variable, and quote values that may be
//! credentials. Both are put right here.

use clap::error::{ContextKind, ContextValue, ErrorKind};

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
                return problem.clone().at(place);
            }
            let why = cause.map(ToString::to_string).unwrap_or_default();
            Problem::new(format!("invalid value {:?}: {why}", redact(name, &value))).at(place)
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
            match text(error, ContextKind::SuggestedArg) {
                Some(near) => problem.hint(format!("did you mean {} ?", flag_of(&near))),
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
            match texts(error, ContextKind::SuggestedSubcommand).first() {
                Some(near) => problem.hint(format!("did you mean {near} ?")),
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
        .skip_while(|word| *word != "proxywheel")
        .skip(1)
        .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()))
        .collect();
    if words.is_empty() {
        return "fetch ".to_owned();
    }
    words.iter().map(|word| format!("{word} ")).collect()
}
