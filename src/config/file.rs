//! TOML files as layers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::catalog::{Catalog, Kind, Setting, find_in};
use super::environment::Variables;
use super::layer::{Entry, Layer, Origin, RawValue};
use crate::error::Problem;
use crate::text;

/// The user's own file: `$XDG_CONFIG_HOME/proxywheel/config.toml`, else below `$HOME/.config`.
pub fn user_file(variables: &Variables) -> Option<PathBuf> {
    let set = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let base = match set("XDG_CONFIG_HOME") {
        Some(base) => PathBuf::from(base),
        None => Path::new(set("HOME")?).join(".config"),
    };
    Some(base.join("proxywheel").join("config.toml"))
}

/// Where state is kept unless a setting says otherwise: `$XDG_STATE_HOME/proxywheel/state.db`, else below
/// `$HOME/.local/state`. `None` without a home.
pub fn state_file(variables: &Variables) -> Option<PathBuf> {
    let set = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    // The specification has relative paths ignored.
    let named = set("XDG_STATE_HOME").map(PathBuf::from);
    let base = match named.filter(|base| base.is_absolute()) {
        Some(base) => base,
        None => Path::new(set("HOME")?).join(".local/state"),
    };
    Some(base.join("proxywheel").join("state.db"))
}

/// Reads the text of the file called `path`. Keys stand at the top or in the table of the command, which wins; what `fetch` and
/// another command share counts for both in the table of `fetch`, too.
///
/// # Errors
/// Not TOML, an unknown key, or a value of the wrong type, each with its line. No value is quoted: it may be a credential.
pub fn from_file(path: &Path, text: &str, catalog: &Catalog) -> Result<Layer, Problem> {
    let file = File { path, text };
    let document = file.parse()?;
    let mut layer = Layer::default();
    let mut tables = BTreeMap::new();
    for (key, value) in document.get_ref() {
        let name = key.get_ref().as_ref();
        match (catalog.table(name), value.get_ref()) {
            (Some(settings), DeValue::Table(table)) => {
                tables.insert(name, (settings, table));
            }
            _ => match catalog.find(name) {
                Some((setting, negated)) => {
                    if catalog.takes(&setting.name, None) {
                        layer.set(setting, negated, file.entry(setting, key, value)?);
                    }
                }
                None if catalog.is_known_elsewhere(name) => {}
                None => return Err(file.unknown(key, catalog)),
            },
        }
    }
    // The table of the command itself last, which so has the last word.
    let mut tables: Vec<_> = tables.into_iter().collect();
    tables.sort_by_key(|(command, _)| *command == catalog.command);
    for (command, (settings, table)) in tables {
        for (key, value) in table {
            let Some((setting, negated)) = find_in(settings, key.get_ref()) else {
                return Err(file.unknown(key, catalog));
            };
            let entry = file.entry(setting, key, value)?;
            if catalog.find(&setting.name).is_some() && catalog.takes(&setting.name, Some(command))
            {
                layer.set(setting, negated, entry);
            }
        }
    }
    Ok(layer)
}

pub(super) struct File<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl<'a> File<'a> {
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'a>>, Problem> {
        DeTable::parse(self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            Problem::new(format!("not valid TOML: {}", error.message())).at(self.place(at))
        })
    }

    fn line(&self, offset: usize) -> usize {
        text::position(self.text, offset).0
    }

    pub(super) fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.path.display(), self.line(offset))
    }

    pub(super) fn unknown(
        &self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        catalog: &Catalog,
    ) -> Problem {
        let name: &str = key.get_ref();
        let problem =
            Problem::new(format!("unknown setting {name:?}")).at(self.place(key.span().start));
        // A dot in a bare key makes a table of it: `http1.1 = true`.
        let cut = format!("{name}.");
        if let Some(whole) = catalog.settings.iter().find(|s| s.name.starts_with(&cut)) {
            return problem.hint(format!("put the key in quotes: \"{}\"", whole.name));
        }
        match catalog.nearest(name) {
            Some(near) => problem.hint(format!("did you mean {near} ?")),
            None => problem.hint(format!(
                "keys are the long flags of `proxywheel {} --help` without the dashes",
                catalog.command
            )),
        }
    }

    pub(super) fn entry(
        &self,
        setting: &Setting,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Entry, Problem> {
        let name = &setting.name;
        let wrong = |wanted: &str, got: &str| {
            Problem::new(format!("{name} takes {wanted}, not a TOML {got}"))
                .at(self.place(key.span().start))
        };
        let texts: Vec<(usize, OsString)> = match (setting.kind, value.get_ref()) {
            (Kind::Switch, DeValue::Boolean(on)) => {
                vec![(value.span().start, on.to_string().into())]
            }
            (Kind::Switch, other) => return Err(wrong("true or false", other.type_str())),
            (Kind::Count, DeValue::Integer(_)) => vec![(
                value.span().start,
                scalar(value.get_ref()).ok_or_else(|| wrong("a small number", "integer"))?,
            )],
            (Kind::Count, other) => return Err(wrong("a number", other.type_str())),
            (Kind::Value, other) => {
                let text = scalar(other).ok_or_else(|| {
                    let problem = wrong("one value", other.type_str());
                    match other {
                        DeValue::Array(_) => problem.hint(
                            "write one value; several codes are one string with commas between",
                        ),
                        _ => problem,
                    }
                })?;
                vec![(value.span().start, text)]
            }
            (Kind::List, DeValue::Array(items)) => items
                .iter()
                .map(|item| {
                    scalar(item.get_ref())
                        .map(|text| (item.span().start, text))
                        .ok_or_else(|| wrong("a list of strings", item.get_ref().type_str()))
                })
                .collect::<Result<_, _>>()?,
            (Kind::List, other) => {
                let text = scalar(other)
                    .ok_or_else(|| wrong("a string or a list of strings", other.type_str()))?;
                vec![(value.span().start, text)]
            }
        };
        Ok(Entry {
            values: texts
                .into_iter()
                .map(|(rank, text)| RawValue { text, rank })
                .collect(),
            origin: Origin::File {
                path: self.path.to_owned(),
                line: self.line(key.span().start),
            },
        })
    }
}

/// The text of a string or number.
fn scalar(value: &DeValue<'_>) -> Option<OsString> {
    match value {
        DeValue::String(text) => Some(text.as_ref().into()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string().into()),
        DeValue::Float(number) => Some(number.as_str().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::tests::{other_sample, sample};
    use super::super::layer::Merged;
    use super::*;

    fn read(text: &str) -> Result<Layer, Problem> {
        from_file(Path::new("c.toml"), text, &sample())
    }

    fn line(text: &str) -> Vec<OsString> {
        Merged::of([read(text).expect(text)]).render(&sample())
    }

    #[test]
    fn keys_are_long_flags_at_the_top_or_in_the_table_of_the_command() {
        assert_eq!(
            line(
                "rate = '9/s'\nmin-alive = 3\n[fetch]\nrate = '2/s'\nheader = ['a: 1', 'b: 2']\n[check]\nmin-alive = 5"
            ),
            ["--rate=2/s", "--header=a: 1", "--header=b: 2"]
        );
        assert_eq!(
            line("concurrency = 0x10\nlocation = false\nverbose = 2\n'http1.1' = true"),
            [
                "--concurrency=16",
                "--no-location",
                "--verbose",
                "--verbose",
                "--http1.1"
            ]
        );
    }

    #[test]
    fn what_commands_share_counts_for_both_and_the_rest_where_it_is_meant() {
        let line = |text: &str| {
            let layer = from_file(Path::new("c.toml"), text, &other_sample());
            Merged::of([layer.expect(text)]).render(&other_sample())
        };
        assert_eq!(
            line(
                "rate = 10\nconcurrency = 8\nmin-alive = 3\n[fetch]\nstate = 'a.db'\nconcurrency = 9"
            ),
            ["--min-alive=3", "--state=a.db"]
        );
        assert_eq!(
            line(
                "state = 'a.db'\n[check]\nconcurrency = 7\nstate = 'c.db'\n[fetch]\nstate = 'b.db'"
            ),
            ["--concurrency=7", "--state=c.db"]
        );
    }

    #[test]
    fn complaints_name_the_line_and_quote_no_value() {
        for (text, place, what, hint) in [
            (
                "\nhost_rate = 's3cret'",
                "c.toml:2",
                "host_rate",
                "host-rate",
            ),
            ("[fetch]\nraet = 's3cret'", "c.toml:2", "raet", "rate"),
            ("[chekc]\na = 1", "c.toml:1", "chekc", ""),
            ("http1.1 = true", "c.toml:1", "http1", "\"http1.1\""),
            ("rate = ['s3cret']", "c.toml:1", "one value", "commas"),
            ("location = 's3cret'", "c.toml:1", "true or false", ""),
            ("a = 1\nrate = s3cret", "c.toml:2", "TOML", ""),
        ] {
            let problem = read(text).expect_err(text);
            let shown = format!("{problem} {}", problem.hint.as_deref().unwrap_or(""));
            assert!(problem.place.as_deref() == Some(place), "{text}: {shown}");
            assert!(
                shown.contains(what) && shown.contains(hint),
                "{text}: {shown}"
            );
            assert!(!shown.contains("s3cret"), "{text}: {shown}");
        }
    }

    #[test]
    fn the_users_file_follows_xdg() {
        let variables = |pairs: &[(&str, &str)]| {
            Variables::from_iter(pairs.iter().map(|(k, v)| (k.to_string(), v.into())))
        };
        assert_eq!(
            user_file(&variables(&[("HOME", "/h")])),
            Some("/h/.config/proxywheel/config.toml".into())
        );
        assert_eq!(
            user_file(&variables(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")])),
            Some("/x/proxywheel/config.toml".into())
        );
        assert_eq!(user_file(&variables(&[("XDG_CONFIG_HOME", "")])), None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics_on_any_text(text: String) {
            let _ = read(&text);
        }
    }
}
