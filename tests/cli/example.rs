//! The example configuration is complete and true.

use std::collections::BTreeSet;
use std::path::Path;

use proxywheel::cli::args::{catalog_of, id_of, root};
use proxywheel::config::{Catalog, Kind, Merged, from_file};

const EXAMPLE: &str = include_str!("../../config.example.toml");
/// The tables. The first one has what the others share with it.
const COMMANDS: [&str; 3] = ["fetch", "check", "judge"];

/// The file with every setting in force. Settings are the lines with `#` and no blank after it.
fn uncommented() -> String {
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.is_empty() && !rest.starts_with([' ', '#']) => rest,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn every_setting_is_there_once_and_is_accepted() {
    let text = uncommented();
    let table: toml::Table = text.parse().expect("TOML");
    assert_eq!(table.len(), COMMANDS.len());
    let mut fetch = BTreeSet::new();
    for command in COMMANDS {
        let catalog = catalog_of(command);
        let keys = table[command].as_table().expect("a table").keys();
        let keys: BTreeSet<&str> = keys.map(String::as_str).collect();
        let settings = catalog.settings.iter().map(|s| s.name.as_str());
        let known: BTreeSet<&str> = settings
            .filter(|name| command == "fetch" || !Catalog::is_shared(name))
            .collect();
        assert_eq!(keys, known, "{command}");
        if command == "fetch" {
            fetch = known.iter().map(|name| (*name).to_owned()).collect();
        }
        let shared = catalog
            .settings
            .iter()
            .filter(|s| Catalog::is_shared(&s.name));
        assert!(
            shared.into_iter().all(|s| fetch.contains(&s.name)),
            "{command}"
        );
        for line in section(&text, command) {
            accept(&catalog, line);
        }
    }
    // All of one command together; `json` excludes the other bodies, of which the file shows an example each.
    let text = text.replace("\njson = ", "\n#json = ");
    let layer = from_file(
        Path::new("config.example.toml"),
        &text,
        &catalog_of("fetch"),
    );
    parse(&catalog_of("fetch"), Merged::of([layer.expect("accepted")]));
}

/// The settings in the table of `command`.
fn section<'a>(text: &'a str, command: &str) -> impl Iterator<Item = &'a str> {
    let (_, rest) = text.split_once(&format!("[{command}]\n")).expect("a table");
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    lines.filter(|line| line.contains(" = ") && !line.starts_with('#'))
}

/// Asserts that the command takes this one setting.
fn accept(catalog: &Catalog, line: &str) {
    // They go with another setting only.
    if !line.starts_with("resume = ") && !line.starts_with("retry-failed = ") {
        let text = format!("[{}]\n{line}", catalog.command);
        let layer = from_file(Path::new("config.example.toml"), &text, catalog);
        parse(catalog, Merged::of([layer.expect("accepted")]));
    }
}

fn parse(catalog: &Catalog, merged: Merged) {
    let mut words = vec!["proxywheel".into(), catalog.command.clone().into()];
    words.extend(merged.render(catalog));
    let parsed = root().try_get_matches_from(words);
    assert!(
        parsed.is_ok(),
        "{:?}",
        parsed.err().map(|error| error.to_string())
    );
}

#[test]
fn what_it_calls_a_default_is_the_default() {
    let mut root = root();
    root.build();
    let text = uncommented();
    let lines = COMMANDS.map(|command| section(&text, command).map(move |line| (command, line)));
    for (command, line) in lines.into_iter().flatten() {
        let (key, value) = line.split_once(" = ").expect("a setting");
        let name = key.trim_matches('"');
        let catalog = catalog_of(command);
        let (setting, _) = catalog.find(name).expect(name);
        let arg = root
            .find_subcommand(command)
            .expect(command)
            .get_arguments()
            .find(|arg| arg.get_id().as_str() == id_of(name))
            .expect(name);
        let real = match (setting.kind, arg.get_default_values()) {
            (Kind::Switch, _) => Some(setting.negation.is_some().to_string()),
            (Kind::Count, _) => Some("0".to_owned()),
            (_, [default]) => Some(default.to_string_lossy().into_owned()),
            _ => None,
        };
        let documented = match value.strip_suffix(" # example") {
            Some(_) => None,
            None => Some(value.trim_matches('"').to_owned()),
        };
        assert_eq!(documented, real, "{command} {name}");
    }
}
