//! The example configuration is complete and true.

use std::collections::BTreeSet;
use std::path::Path;

use proxywheel::cli::args::{catalog_of, id_of, root};
use proxywheel::config::{Kind, Merged, from_file};

const EXAMPLE: &str = include_str!("../../config.example.toml");

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
    let catalog = catalog_of("fetch");
    let table: toml::Table = text.parse().expect("TOML");
    let keys: BTreeSet<&str> = table["fetch"]
        .as_table()
        .expect("[fetch]")
        .keys()
        .map(String::as_str)
        .collect();
    let known: BTreeSet<&str> = catalog.settings.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(keys, known);

    // `json` excludes the other bodies; the file shows an example of each.
    let text = text.replace("\njson = ", "\n#json = ");
    let layer = from_file(Path::new("config.example.toml"), &text, &catalog).expect("accepted");
    let mut words = vec!["proxywheel".into(), "fetch".into()];
    words.extend(Merged::of([layer]).render(&catalog));
    let parsed = root().try_get_matches_from(words);
    assert!(
        parsed.is_ok(),
        "{:?}",
        parsed.err().map(|error| error.to_string())
    );
}

#[test]
fn what_it_calls_a_default_is_the_default() {
    let catalog = catalog_of("fetch");
    let mut root = root();
    root.build();
    let fetch = root.find_subcommand("fetch").expect("fetch");
    let text = uncommented();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(" = ") else {
            continue;
        };
        if line.starts_with('#') {
            continue;
        }
        let name = key.trim_matches('"');
        let (setting, _) = catalog.find(name).expect(name);
        let arg = fetch
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
        assert_eq!(documented, real, "{name}");
    }
}
