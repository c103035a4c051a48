//! `config show`: every setting of `fetch` with value and origin.

use super::{read, rule_files};
use crate::ban::Judge;
use crate::cli::Environment;
use crate::cli::args::{FetchArgs, id_of, resolve};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::settings::{CommandLine, Gathered, gather};
use crate::config::{Kind, Lists, ProxySources, Setting, shown};
use crate::egress::SocketEgress;
use crate::error::Error;
use crate::output::check_form;

/// Prints the settings in effect as TOML.
pub(super) fn show(line: &CommandLine, environment: &Environment) -> Result<Exit, Error> {
    let gathered = gather::<FetchArgs>("fetch", line, environment)?;
    check(&gathered).map_err(|error| gathered.placed(error))?;
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

/// Refuses what `fetch` would, in its words. What is only missing (proxies, URLs, the output file) may come with the next command
/// line; inputs and lists may not be there yet; and nothing is asked of the network.
fn check(gathered: &Gathered<FetchArgs>) -> Result<(), Error> {
    let args = &gathered.args;
    let mut resolved = resolve(args, &gathered.matches, &mut read)?;
    resolved.check_values()?;
    check_form(&resolved.output)?;
    let is_local = |name: &&String| !name.contains("://");
    let rules: Vec<String> = args.bans.rules.iter().filter(is_local).cloned().collect();
    resolved.ban.rules = rule_files(&rules)?;
    Judge::new(&resolved.ban)?;
    SocketEgress::new(resolved.egress)?;
    Lists::open(ProxySources {
        lists: Vec::new(),
        ..resolved.proxies
    })?;
    Ok(())
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
