//! Presets: how the gateways of commercial providers take country, session and the like, as data.
//!
//! A line `provider=NAME user=... pass=... country=us sessions=20 ttl=10m` of a proxy list is the line that the provider's user would
//! have to write by hand: a template with `{session}`, of which the list reader makes as many identities. The preset knows the
//! order and the separators, in which unit a ttl is, how long a session name may be, and what does not go together; a line that asks for
//! something else is refused, because a gateway ignores what it does not know and sends the requests through the wrong country.
//!
//! Vendors change their syntax. So presets are files, built-in ones included, and those of the user go before them.

mod form;
mod line;
mod misuse;
mod parameter;

pub use misuse::{Form as ValueForm, Misuse};
pub use parameter::{Parameter, Parameters};

pub(super) use line::{is_line, read};

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use self::form::Form;
use super::Scheme;
use crate::error::Problem;
use crate::text;
use crate::units::Span;

const BUILT_IN: &str = include_str!("built_in.toml");

/// Read when the first line asks for a provider; most lists have none.
static BUILT_IN_PRESETS: LazyLock<Presets> = LazyLock::new(|| {
    let mut presets = Presets::default();
    if let Err(problem) = presets.add("built_in.toml", BUILT_IN) {
        unreachable!("{problem}");
    }
    presets
});

/// Presets of the user, before the built-in ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presets(Vec<Preset>);

/// How one provider's gateway is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Preset {
    name: String,
    aliases: Vec<String>,
    host: String,
    /// Ports of each scheme; the first is the usual one.
    ports: Vec<(Scheme, Vec<RangeInclusive<u16>>)>,
    /// Ports of which each keeps its exit.
    sticky_ports: Vec<RangeInclusive<u16>>,
    user: Form,
    password: Form,
    /// What stands behind `{session`: a length, digits.
    session: String,
    ttl: Option<Ttl>,
    blank: Option<String>,
    only: Vec<(Parameter, [u8; 2])>,
    defaults: Vec<(Parameter, String)>,
}

/// How long a session may keep its exit, and how that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ttl {
    unit: Unit,
    least: Duration,
    most: Duration,
}

/// In what a ttl is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// `600`.
    Seconds,
    /// `10`.
    Minutes,
    /// `10m`, `2h`: one unit.
    Suffix,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    preset: Vec<Raw>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Spanned<String>,
    #[serde(default)]
    aliases: Vec<String>,
    /// For people.
    #[serde(default, rename = "source")]
    _source: String,
    host: Spanned<String>,
    ports: BTreeMap<String, Spanned<String>>,
    sticky_ports: Option<Spanned<String>>,
    user: Spanned<String>,
    password: Spanned<String>,
    session: Option<Spanned<String>>,
    ttl: Option<Spanned<RawTtl>>,
    blank: Option<Spanned<String>>,
    #[serde(default)]
    only: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    defaults: BTreeMap<String, Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTtl {
    unit: Unit,
    least: Spanned<String>,
    most: Spanned<String>,
}

/// Names of the built-in presets.
pub fn built_in_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN_PRESETS.0.iter().map(|preset| preset.name.as_str())
}

impl Presets {
    /// Adds the presets of a file, which go before those of earlier ones; `name` is what the file is called in complaints.
    ///
    /// # Errors
    /// Not TOML, an unknown or missing key, a template that cannot be read: the first, with its line.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), Problem> {
        let place = |at: usize| {
            let (line, column) = text::position(text, at);
            format!("{name}:{line}:{column}")
        };
        let raw: RawFile = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let what = error.message().trim().replace('\n', ", ");
            Problem::new(what)
                .at(place(at))
                .hint("a file of presets has tables [[preset]]; docs/providers.md has an example")
        })?;
        let mut added = Vec::with_capacity(raw.preset.len());
        for raw in raw.preset {
            let preset = preset(raw).map_err(|(at, what)| Problem::new(what).at(place(at)))?;
            added.push(preset);
        }
        added.append(&mut self.0);
        self.0 = added;
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&Preset> {
        let of = |presets: &'_ [Preset]| {
            presets.iter().position(|preset| {
                preset.name == name || preset.aliases.iter().any(|alias| alias == name)
            })
        };
        match of(&self.0) {
            Some(at) => Some(&self.0[at]),
            None => of(&BUILT_IN_PRESETS.0).map(|at| &BUILT_IN_PRESETS.0[at]),
        }
    }
}

/// The preset of this name: of the user's or built in.
pub(super) fn find<'a>(own: Option<&'a Presets>, name: &str) -> Option<&'a Preset> {
    match own {
        Some(own) => own.find(name),
        None => BUILT_IN_PRESETS
            .0
            .iter()
            .find(|preset| preset.name == name || preset.aliases.iter().any(|alias| alias == name)),
    }
}

fn preset(raw: Raw) -> Result<Preset, (usize, String)> {
    let name = raw.name.get_ref();
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(is_name) {
        let what = "the name of a preset is small letters, digits, - and _".to_owned();
        return Err((raw.name.span().start, what));
    }
    let form = |text: &Spanned<String>| {
        Form::parse(text.get_ref()).map_err(|(at, why)| {
            let what = format!(
                "letter {} of the template: {why}",
                text.get_ref()[..at].chars().count() + 1
            );
            (text.span().start, what)
        })
    };
    let mut ports = Vec::new();
    for (scheme, text) in &raw.ports {
        let known: Scheme = scheme.parse().map_err(|_| {
            (
                text.span().start,
                format!("{scheme:?} is no scheme of a proxy"),
            )
        })?;
        ports.push((known, ranges(text)?));
    }
    if ports.is_empty() {
        return Err((raw.host.span().start, "a preset needs a port".to_owned()));
    }
    let ttl = raw.ttl.map(|ttl| {
        let ttl = ttl.into_inner();
        let span = |text: &Spanned<String>| {
            let read: Result<Span, Problem> = text.get_ref().parse();
            read.map(|span| span.0)
                .map_err(|problem| (text.span().start, problem.what))
        };
        Ok(Ttl {
            unit: ttl.unit,
            least: span(&ttl.least)?,
            most: span(&ttl.most)?,
        })
    });
    let parameter = |name: &str, at: usize| {
        Parameter::of_placeholder(name).ok_or((at, format!("{name:?} is not a parameter")))
    };
    let mut only = Vec::new();
    for (name, country) in &raw.only {
        let at = country.span().start;
        let code = <[u8; 2]>::try_from(country.get_ref().as_bytes());
        let code = code.map_err(|_| (at, "a country has two letters".to_owned()))?;
        only.push((parameter(name, at)?, code));
    }
    let mut defaults = Vec::new();
    for (name, value) in &raw.defaults {
        defaults.push((
            parameter(name, value.span().start)?,
            value.get_ref().clone(),
        ));
    }
    Ok(Preset {
        user: form(&raw.user)?,
        password: form(&raw.password)?,
        sticky_ports: raw
            .sticky_ports
            .as_ref()
            .map(ranges)
            .transpose()?
            .unwrap_or_default(),
        session: raw.session.map(Spanned::into_inner).unwrap_or_default(),
        ttl: ttl.transpose()?,
        blank: raw.blank.map(Spanned::into_inner),
        host: raw.host.into_inner(),
        name: raw.name.into_inner(),
        aliases: raw.aliases,
        ports,
        only,
        defaults,
    })
}

/// `80,1080,9999-19999`
fn ranges(text: &Spanned<String>) -> Result<Vec<RangeInclusive<u16>>, (usize, String)> {
    let one = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first > 0 && first <= last).then_some(first..=last)
    };
    let read: Option<Vec<_>> = text.get_ref().split(',').map(one).collect();
    read.ok_or_else(|| {
        let what = "not ports, expected numbers and ranges such as 80,9999-19999".to_owned();
        (text.span().start, what)
    })
}

#[cfg(test)]
mod tests;
