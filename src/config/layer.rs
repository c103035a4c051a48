//! Raw settings of one source, their merging, and the command line they amount to.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::catalog::{Catalog, Kind, Setting};

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a configuration file, from 1.
    File {
        /// The file as the user named it.
        path: PathBuf,
        /// Line of the key.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// The command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// One value as text, with its position among all values of its source.
#[derive(Clone, PartialEq, Eq)]
pub struct RawValue {
    /// The text; `true` or `false` for a switch, a number for a count.
    pub text: OsString,
    /// Orders the values of different settings within one source: `-d a --data-raw b` is sent in the order written.
    pub rank: usize,
}

/// A setting as one source makes it. Has no `Debug` output of its values, because they may be credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The values; exactly one unless the setting is a list.
    pub values: Vec<RawValue>,
    /// Where it was made.
    pub origin: Origin,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} value(s) from {}", self.values.len(), self.origin)
    }
}

/// The settings of one source by canonical name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer(BTreeMap<String, Entry>);

impl Layer {
    /// Makes a setting, replacing what this layer said before. `negated` turns a switch round.
    pub fn set(&mut self, setting: &Setting, negated: bool, mut entry: Entry) {
        if negated && let Some(value) = entry.values.first_mut() {
            value.text = if value.text == "true" {
                "false"
            } else {
                "true"
            }
            .into();
        }
        self.0.insert(setting.name.clone(), entry);
    }

    /// Takes back what this layer says about `name` and the others of its group.
    pub fn forget(&mut self, name: &str) {
        self.0.remove(name);
        for rival in Catalog::rivals(name) {
            self.0.remove(rival);
        }
    }

    /// What this layer says about `name`.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.0.get(name)
    }
}

/// All layers as one.
#[derive(Debug, Clone, Default)]
pub struct Merged(BTreeMap<String, (usize, Entry)>);

impl Merged {
    /// Puts later layers over earlier ones. A later layer replaces a setting as a whole, lists too; what it says of one member
    /// of a group (see [`Catalog`]) displaces the other members below it, and a value displaces what needed the one before.
    pub fn of(layers: impl IntoIterator<Item = Layer>) -> Self {
        let mut merged = BTreeMap::new();
        for (depth, layer) in layers.into_iter().enumerate() {
            for (name, entry) in &layer.0 {
                let speaks = entry.values.iter().any(|value| value.text != "false");
                if speaks {
                    for rival in Catalog::rivals(name) {
                        if !layer.0.contains_key(rival) {
                            merged.remove(rival);
                        }
                    }
                }
            }
            for (name, entry) in layer.0 {
                merged.insert(name, (depth, entry));
            }
        }
        let mut merged = Merged(merged);
        for (name, needed, value) in Catalog::dependents() {
            if merged.is_displaced(name, needed, value) {
                merged.0.remove(name);
            }
        }
        merged
    }

    /// True when a layer above that of `name` has the last word on `needed` and its group, and does not say `value`.
    fn is_displaced(&self, name: &str, needed: &'static str, value: &str) -> bool {
        let Some((own, _)) = self.0.get(name) else {
            return false;
        };
        let said = |by: &str| {
            let (depth, entry) = self.0.get(by)?;
            let fits = by == needed && entry.values.iter().any(|each| each.text == value);
            Some((*depth, fits))
        };
        let last = Catalog::rivals(needed)
            .chain([needed])
            .filter_map(said)
            .max();
        last.is_some_and(|(depth, fits)| depth > *own && !fits)
    }

    /// Where the effective value of `name` was set; `None` for a default.
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.0.get(name).map(|(_, entry)| &entry.origin)
    }

    /// The command line that says the same as all layers together, without program and command name.
    pub fn render(&self, catalog: &Catalog) -> Vec<OsString> {
        let mut words: Vec<((usize, usize), OsString)> = Vec::new();
        for (name, (depth, entry)) in &self.0 {
            let Some((setting, _)) = catalog.find(name) else {
                continue;
            };
            for value in &entry.values {
                let place = (*depth, value.rank);
                match setting.kind {
                    Kind::Switch if value.text == "true" => {
                        words.push((place, flag(name)));
                    }
                    Kind::Switch => {
                        if let Some(negation) = &setting.negation {
                            words.push((place, flag(negation)));
                        }
                    }
                    Kind::Count => {
                        let times = value.text.to_str().and_then(|text| text.parse().ok());
                        words.extend((0..times.unwrap_or(0u8)).map(|_| (place, flag(name))));
                    }
                    Kind::Value | Kind::List => {
                        let mut word = flag(name);
                        word.push("=");
                        word.push(&value.text);
                        words.push((place, word));
                    }
                }
            }
        }
        words.sort_by_key(|(place, _)| *place);
        words.into_iter().map(|(_, word)| word).collect()
    }
}

fn flag(name: &str) -> OsString {
    format!("--{name}").into()
}

#[cfg(test)]
mod tests {
    use super::super::catalog::tests::sample;
    use super::*;

    fn layer(origin: &str, settings: &[(&str, &[&str])]) -> Layer {
        let catalog = sample();
        let mut layer = Layer::default();
        for (rank, (name, values)) in settings.iter().enumerate() {
            let (setting, negated) = catalog.find(name).expect(name);
            let values = values
                .iter()
                .map(|text| RawValue {
                    text: text.into(),
                    rank,
                })
                .collect();
            let origin = Origin::Variable(origin.into());
            layer.set(setting, negated, Entry { values, origin });
        }
        layer
    }

    fn line(layers: &[Layer]) -> Vec<String> {
        Merged::of(layers.iter().cloned())
            .render(&sample())
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_later_layer_replaces_values_and_whole_lists() {
        let low = layer("low", &[("rate", &["1/s"]), ("header", &["a: 1", "b: 2"])]);
        let high = layer("high", &[("header", &["c: 3"])]);
        assert_eq!(
            line(&[low.clone(), high.clone()]),
            ["--rate=1/s", "--header=c: 3"]
        );
        let merged = Merged::of([low, high]);
        assert_eq!(merged.origin("header").unwrap().to_string(), "high");
        assert_eq!(merged.origin("rate").unwrap().to_string(), "low");
        assert_eq!(merged.origin("host-rate"), None);
    }

    #[test]
    fn the_last_word_of_a_group_displaces_the_others() {
        let low = layer("low", &[("resume", &["true"]), ("data", &["x"])]);
        let append = layer("high", &[("append", &["true"]), ("data-raw", &["@y"])]);
        assert_eq!(
            line(&[low.clone(), append]),
            ["--append", "--data-raw=@y"],
            "one mode, one body"
        );
        let not_append = layer("high", &[("append", &["false"])]);
        assert_eq!(line(&[low, not_append]), ["--resume", "--data=x"]);
    }

    #[test]
    fn switches_can_be_turned_off_again() {
        let low = layer("low", &[("http2", &["true"]), ("location", &["false"])]);
        assert_eq!(
            line(std::slice::from_ref(&low)),
            ["--http2", "--no-location"]
        );
        let high = layer(
            "high",
            &[("http2", &["false"]), ("no-location", &["false"])],
        );
        assert_eq!(line(&[low, high]), ["--location"]);
    }

    #[test]
    fn values_keep_the_order_they_were_written_in() {
        let flags = layer("flags", &[("data-raw", &["b"]), ("data", &["a"])]);
        assert_eq!(line(&[flags]), ["--data-raw=b", "--data=a"]);
    }
}
