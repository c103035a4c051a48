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
/// on the HTTP version, on the request body, on the state, on how many targets are needed and on how much is said counts as a whole. So `-x` on the command line replaces
/// the lists of a configuration file instead of joining them.
const GROUPS: [&[&str]; 7] = [
    &["proxy", "proxy-file"],
    &["quiet", "verbose"],
    &["state", "no-state"],
    &["any", "all"],
    &["append", "overwrite", "resume"],
    &["http1.1", "http2"],
    &["data", "data-raw", "data-binary", "json"],
];

/// Settings that are refused but beside one value of another, and go with it: `--overwrite` in place of a file's `resume` leaves
/// nothing that its `retry-failed` could mean, and no flag could take that back.
const DEPENDENTS: [(&str, &str, &str); 2] = [
    ("retry-failed", "resume", "true"),
    ("save-dir", "body", "file"),
];

/// The command whose settings stand at the top of a file.
const MAIN: &str = "fetch";
/// Settings that mean the same to every command that has them: where the proxies are, how they and certificates are dealt with, the
/// state, the terminal. Wherever they are made for [`MAIN`] they are made for the others, so that all use one list and one state.
/// What else two commands have by one name, such as `output`, is a matter of one run. `insecure` is, because a check cannot find out
/// what it does not verify.
const SHARED: [&str; 16] = [
    "proxy",
    "proxy-file",
    "presets",
    "proxy-scheme",
    "strict",
    "proxy-cacert",
    "proxy-insecure",
    "cacert",
    "connect-timeout",
    "state",
    "no-state",
    "progress",
    "quiet",
    "verbose",
    "log-format",
    "color",
];

impl Catalog {
    /// True for settings that need no place of their own in a file: made for `fetch` they are made for the others.
    pub fn is_shared(name: &str) -> bool {
        SHARED.contains(&name)
    }

    /// Whether this command takes the setting called `name` from the table of `table`; without one, from the top of a file or from a
    /// variable. A table of its own has the last word.
    pub(super) fn takes(&self, name: &str, table: Option<&str>) -> bool {
        match table {
            Some(table) if table == self.command => true,
            Some(table) => table == MAIN && Catalog::is_shared(name),
            None if self.command == MAIN => true,
            None => {
                let main = self.table(MAIN).unwrap_or_default();
                Catalog::is_shared(name) || find_in(main, name).is_none()
            }
        }
    }

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

    /// Settings that need another one: its name, and the value it has to have.
    pub(super) fn dependents() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        DEPENDENTS.into_iter()
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
                setting("state", Kind::Value),
            ],
            elsewhere: vec![(
                "check".into(),
                vec![
                    setting("min-alive", Kind::Value),
                    setting("concurrency", Kind::Value),
                    setting("state", Kind::Value),
                ],
            )],
        }
    }

    /// The same, seen from the other command.
    pub(in crate::config) fn other_sample() -> Catalog {
        let Catalog {
            command,
            settings,
            mut elsewhere,
        } = sample();
        let (name, own) = elsewhere.remove(0);
        Catalog {
            command: name,
            settings: own,
            elsewhere: vec![(command, settings)],
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
