//! `PROXYWHEEL_*` variables as a layer. The environment is a parameter; nothing here reads the process's own.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::catalog::{Catalog, Kind};
use super::layer::{Entry, Layer, Origin, RawValue};
use crate::error::Problem;

/// The environment by variable name.
pub type Variables = BTreeMap<String, OsString>;

/// What the variables of this program start with; the rest is the long flag in capitals with `_` for `-` and `.`.
pub const PREFIX: &str = "PROXYWHEEL_";

/// Variables that say where settings are to be found; they are no settings.
const ABOUT_FILES: [&str; 2] = ["config", "no-config"];

/// Reads the variables that start with [`PREFIX`]; an empty one counts as not set. The values of a list stand on lines of
/// their own.
///
/// # Errors
/// A variable no command knows, or a switch or count whose value is neither.
pub fn from_environment(variables: &Variables, catalog: &Catalog) -> Result<Layer, Problem> {
    let mut layer = Layer::default();
    for (variable, value) in variables {
        let Some(rest) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let matching = |name: &str| spelled(name) == rest;
        if value.is_empty() || ABOUT_FILES.into_iter().any(matching) {
            continue;
        }
        let known = catalog.settings.iter().find_map(|setting| {
            if matching(&setting.name) || setting.aliases.iter().any(|alias| matching(alias)) {
                Some((setting, false))
            } else {
                let negation = setting.negation.as_deref();
                negation.is_some_and(matching).then_some((setting, true))
            }
        });
        let Some((setting, negated)) = known else {
            let mut elsewhere = catalog.elsewhere.iter().flat_map(|(_, settings)| settings);
            if elsewhere.any(|setting| matching(&setting.name)) {
                continue;
            }
            return Err(unknown(variable, rest, catalog));
        };
        if !catalog.takes(&setting.name, None) {
            continue;
        }
        let wrong = |wanted: &str| {
            Problem::new(format!("{} takes {wanted}", setting.name)).at(variable.clone())
        };
        let texts: Vec<OsString> = match setting.kind {
            Kind::Switch => vec![
                switch(value.to_str())
                    .ok_or_else(|| wrong("true or false"))?
                    .into(),
            ],
            Kind::Count => {
                let count = value.to_str().and_then(|text| text.parse::<u8>().ok());
                vec![
                    count
                        .ok_or_else(|| wrong("a small number"))?
                        .to_string()
                        .into(),
                ]
            }
            Kind::Value => vec![value.clone()],
            Kind::List => match value.to_str() {
                Some(text) => text
                    .lines()
                    .filter(|line| !line.trim().is_empty())
                    .map(OsString::from)
                    .collect(),
                None => vec![value.clone()],
            },
        };
        let values = texts
            .into_iter()
            .enumerate()
            .map(|(rank, text)| RawValue { text, rank })
            .collect();
        let origin = Origin::Variable(variable.clone());
        layer.set(setting, negated, Entry { values, origin });
    }
    Ok(layer)
}

fn unknown(variable: &str, rest: &str, catalog: &Catalog) -> Problem {
    let problem = Problem::new(format!("unknown variable {variable}"));
    let name = rest.to_lowercase().replace('_', "-");
    match catalog.nearest(&name) {
        Some(near) => problem.hint(format!("did you mean {PREFIX}{} ?", spelled(near))),
        None => problem.hint(format!(
            "unset it; {PREFIX}… variables are the long flags of `proxywheel {} --help` in capitals",
            catalog.command
        )),
    }
}

fn spelled(name: &str) -> String {
    name.to_uppercase().replace(['-', '.'], "_")
}

fn switch(text: Option<&str>) -> Option<&'static str> {
    match text?.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some("true"),
        "0" | "false" | "no" | "off" => Some("false"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::tests::sample;
    use super::super::layer::Merged;
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Layer, Problem> {
        let variables = pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.into()))
            .collect();
        from_environment(&variables, &sample())
    }

    #[test]
    fn names_are_flags_in_capitals_and_empty_is_not_set() {
        let layer = read(&[
            ("PROXYWHEEL_HOST_RATE", "2/s"),
            ("PROXYWHEEL_HTTP1_1", "yes"),
            ("PROXYWHEEL_NO_LOCATION", "1"),
            ("PROXYWHEEL_HEADER", "a: 1\nb: 2\n"),
            ("PROXYWHEEL_RATE", ""),
            ("PROXYWHEEL_MIN_ALIVE", "3"),
            ("PROXYWHEEL_CONFIG", "x.toml"),
            ("HOME", "/h"),
        ])
        .unwrap();
        let mut line = Merged::of([layer]).render(&sample());
        line.sort();
        assert_eq!(
            line,
            [
                "--header=a: 1",
                "--header=b: 2",
                "--host-rate=2/s",
                "--http1.1",
                "--no-location"
            ]
        );
    }

    #[test]
    fn misspelled_variables_and_switches_are_refused_without_their_value() {
        let problem = read(&[("PROXYWHEEL_HOST_RAET", "s3cret")]).unwrap_err();
        assert_eq!(problem.what, "unknown variable PROXYWHEEL_HOST_RAET");
        assert_eq!(
            problem.hint.as_deref(),
            Some("did you mean PROXYWHEEL_HOST_RATE ?")
        );
        let problem = read(&[("PROXYWHEEL_HTTP2", "s3cret")]).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "PROXYWHEEL_HTTP2: http2 takes true or false"
        );
    }
}
