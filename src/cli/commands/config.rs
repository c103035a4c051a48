//! `config show`: every setting of `fetch` with value and origin.

use crate::cli::Environment;
use crate::cli::args::{FetchArgs, id_of};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::settings::{CommandLine, Gathered, gather};
use crate::config::{Kind, Setting, shown};
use crate::error::Error;

/// Prints the settings in effect as TOML.
pub(super) fn show(line: &CommandLine, environment: &Environment) -> Result<Exit, Error> {
    let gathered = gather::<FetchArgs>("fetch", line, environment)?;
    let printer = Printer::new(&gathered.global, environment);
    let mut text = String::new();
    for setting in &gathered.catalog.settings {
        let origin = match gathered.merged.origin(&setting.name) {
            Some(origin) => origin.to_string(),
            None => "default".to_owned(),
        };
        let values = values(setting, &gathered);
        text.push_str(&shown(&setting.name, setting.kind, &values, &origin));
        text.push('\n');
    }
    printer.data(&text)?;
    Ok(Exit::DONE)
}

fn values(setting: &Setting, gathered: &Gathered<FetchArgs>) -> Vec<String> {
    let matches = &gathered.matches;
    let id = id_of(&setting.name);
    match (setting.kind, &setting.negation) {
        (Kind::Switch, Some(negation)) => {
            vec![(!matches.get_flag(&id_of(negation))).to_string()]
        }
        (Kind::Switch, None) => vec![matches.get_flag(&id).to_string()],
        (Kind::Count, _) => vec![matches.get_count(&id).to_string()],
        (Kind::Value | Kind::List, _) => matches
            .get_raw(&id)
            .into_iter()
            .flatten()
            .map(|value| value.to_string_lossy().into_owned())
            .collect(),
    }
}
