//! Which settings exist, and of what kind.

use super::nearest;

/// One setting: a long flag and its spellings elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The long flag without dashes, which is also the TOML key.
    pub name: String,
    /// What it takes.
    pub kind: Kind,
    /// The flag that says the opposite of a switch that is on by default, e.g. `no-location`.
    pub negation: Option<String>,
    /// Other accepted long names.
    pub aliases: Vec<String>,
}

/// What a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Switch,
    /// How often the flag is given: `-vv`.
    Count,
    /// One value.
    Value,
    /// Any number of values.
    List,
}

/// The settings of one command, and what the other commands know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// The command these settings are for; the name of its TOML table.
    pub command: String,
    /// The command's settings, the global ones included.
    pub settings: Vec<Setting>,
    /// Settings of the other commands by command. In a shared file they are neither used nor an error.
    pub elsewhere: Vec<(String, Vec<Setting>)>,
}

/// Settings of which a later layer displaces all others: the last word on which proxies are used, on the mode of the output,
/// on the HTTP version, on the request body, on the state and on how much is said counts as a whole. So `-x` on the command line replaces
/// the lists of a configuration file instead of joining them.
const GROUPS: [&[&str]; 6] = [
    &["proxy", "proxy-file"],
    &["quiet", "verbose"],
    &["state", "no-state"],
    &["append", "overwrite", "resume"],
    &["http1.1", "http2"],
    &["data", "data-raw", "data-binary", "json"],
];

impl Catalog {
    /// The setting called `name`, and whether `name` is its negation.
    pub fn find(&self, name: &str) -> Option<(&Setting, bool)> {
        find_in(&self.settings, name)
    }

    /// True when another command has a setting called `name`.
    pub fn is_known_elsewhere(&self, name: &str) -> bool {
        self.elsewhere
            .iter()
            .any(|(_, settings)| find_in(settings, name).is_some())
    }

    /// The settings of the command called `command`, this one or another.
    pub fn table(&self, command: &str) -> Option<&[Setting]> {
        if command == self.command {
            return Some(&self.settings);
        }
        self.elsewhere
            .iter()
            .find(|(name, _)| name == command)
            .map(|(_, settings)| settings.as_slice())
    }

    /// The known name most like `name`, if one is near.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        let elsewhere = self.elsewhere.iter().flat_map(|(_, settings)| settings);
        let names = self
            .settings
            .iter()
            .chain(elsewhere)
            .flat_map(|setting| {
                [Some(&setting.name), setting.negation.as_ref()]
                    .into_iter()
                    .flatten()
            })
            .map(String::as_str);
        nearest(name, names)
    }

    /// The other settings of the group `name` is in.
    pub(super) fn rivals(name: &str) -> impl Iterator<Item = &'static str> {
        GROUPS
            .into_iter()
            .filter(move |group| group.contains(&name))
            .flatten()
            .copied()
            .filter(move |rival| *rival != name)
    }
}

pub(super) fn find_in<'a>(settings: &'a [Setting], name: &str) -> Option<(&'a Setting, bool)> {
    settings.iter().find_map(|setting| {
        if setting.name == name || setting.aliases.iter().any(|alias| alias == name) {
            Some((setting, false))
        } else if setting.negation.as_deref() == Some(name) {
            Some((setting, true))
        } else {
            None
        }
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A small catalog for the tests of this module's siblings.
    pub(in crate::config) fn sample() -> Catalog {
        let setting = |name: &str, kind| Setting {
            name: name.into(),
            kind,
            negation: None,
            aliases: Vec::new(),
        };
        let location = Setting {
            negation: Some("no-location".into()),
            ..setting("location", Kind::Switch)
        };
        let concurrency = Setting {
            aliases: vec!["parallel-max".into()],
            ..setting("concurrency", Kind::Value)
        };
        Catalog {
            command: "fetch".into(),
            settings: vec![
                location,
                concurrency,
                setting("rate", Kind::Value),
                setting("host-rate", Kind::Value),
                setting("http1.1", Kind::Switch),
                setting("http2", Kind::Switch),
                setting("append", Kind::Switch),
                setting("resume", Kind::Switch),
                setting("header", Kind::List),
                setting("data", Kind::List),
                setting("data-raw", Kind::List),
                setting("verbose", Kind::Count),
            ],
            elsewhere: vec![("check".into(), vec![setting("min-alive", Kind::Value)])],
        }
    }

    #[test]
    fn names_aliases_and_negations_lead_to_one_setting() {
        let catalog = sample();
        assert_eq!(
            catalog.find("parallel-max").unwrap().0.name,
            "concurrency",
            "alias"
        );
        assert!(catalog.find("no-location").unwrap().1, "negated");
        assert!(catalog.find("host_rate").is_none());
        assert_eq!(catalog.nearest("host_rate"), Some("host-rate"));
        assert_eq!(catalog.nearest("minalive"), Some("min-alive"));
        assert_eq!(catalog.nearest("zebra"), None);
    }
}
