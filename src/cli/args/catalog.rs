//! The settings behind the flags.

use clap::{Arg, ArgAction};

use crate::config::{Catalog, Kind, Setting};

/// Flags that are no settings: they say what to do or where settings are.
const NOT_SETTINGS: [&str; 5] = ["help", "version", "config", "no-config", "list-fields"];

/// The catalog of the settings of `command`, read off the flags themselves.
pub fn catalog_of(command: &str) -> Catalog {
    let mut root = super::root();
    root.build();
    let mut catalog = Catalog {
        command: command.to_owned(),
        ..Catalog::default()
    };
    for sub in root.get_subcommands() {
        if sub.has_subcommands() {
            continue;
        }
        let settings = settings_of(sub);
        if sub.get_name() == command {
            catalog.settings = settings;
        } else {
            catalog
                .elsewhere
                .push((sub.get_name().to_owned(), settings));
        }
    }
    catalog
}

fn settings_of(command: &clap::Command) -> Vec<Setting> {
    // `no-x` turns a switch round; beside a flag with a value it is a switch of its own.
    let switches = command
        .get_arguments()
        .filter(|arg| !arg.get_action().takes_values());
    let longs: Vec<&str> = switches.filter_map(Arg::get_long).collect();
    let mut settings = Vec::new();
    for arg in command.get_arguments() {
        let Some(name) = arg.get_long() else { continue };
        let negates = name
            .strip_prefix("no-")
            .is_some_and(|positive| longs.contains(&positive));
        if negates || NOT_SETTINGS.contains(&name) {
            continue;
        }
        let negation = format!("no-{name}");
        settings.push(Setting {
            name: name.to_owned(),
            kind: match arg.get_action() {
                ArgAction::Append => Kind::List,
                ArgAction::Count => Kind::Count,
                ArgAction::Set => Kind::Value,
                _ => Kind::Switch,
            },
            negation: (longs.contains(&name) && longs.contains(&negation.as_str()))
                .then_some(negation),
            aliases: arg
                .get_all_aliases()
                .unwrap_or_default()
                .into_iter()
                .map(str::to_owned)
                .collect(),
        });
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_of_fetch_but_those_about_files_is_a_setting() {
        let catalog = catalog_of("fetch");
        let kind = |name: &str| catalog.find(name).map(|(setting, _)| setting.kind);
        assert_eq!(kind("host-rate"), Some(Kind::Value));
        assert_eq!(kind("header"), Some(Kind::List));
        assert_eq!(kind("fields"), Some(Kind::List));
        assert_eq!(kind("insecure"), Some(Kind::Switch));
        assert_eq!(kind("verbose"), Some(Kind::Count));
        assert_eq!(kind("http1.1"), Some(Kind::Switch));
        assert_eq!(kind("config"), None);
        assert_eq!(kind("state"), Some(Kind::Value));
        assert_eq!(kind("no-state"), Some(Kind::Switch));
        let (location, negated) = catalog.find("no-location").unwrap();
        assert!(negated && location.name == "location");
        let (concurrency, _) = catalog.find("parallel-max").unwrap();
        assert_eq!(concurrency.name, "concurrency");
    }
}
