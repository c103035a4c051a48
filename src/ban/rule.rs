//! Rules as data: the shape of the rule files.

use serde::Deserialize;

use super::class::{Class, Layer};
use super::condition::Spec;
use super::view::{Kind, View};
use crate::outcome::StatusSet;

/// Weight from which a rule may decide alone (see [`RuleSpec::weight`]).
pub(super) const DECIDES: u8 = 6;

/// One `[[rule]]` of a rule file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleSpec {
    /// `family.what`, unique.
    pub(super) id: String,
    /// Who answered.
    #[serde(default)]
    pub(super) vendor: Option<Box<str>>,
    pub(super) class: Class,
    /// `connect` or `response` where a rule holds for one of them only.
    #[serde(default)]
    pub(super) phase: Option<Phase>,
    #[serde(default)]
    pub(super) when: When,
    /// All of these hold.
    #[serde(default)]
    pub(super) all: Vec<Spec>,
    /// At least `least` of these hold.
    #[serde(default)]
    pub(super) any: Vec<Spec>,
    /// See `any`.
    #[serde(default = "one")]
    pub(super) least: usize,
    /// None of these holds.
    #[serde(default)]
    pub(super) none: Vec<Spec>,
    /// A machine-readable statement of its vendor: comes before the user's rules, confidence 1.
    #[serde(default)]
    pub(super) star: bool,
    /// Strength of the evidence in points of ten; structure is worth 6 and more. Points of several rules are not summed
    /// here, so a rule below 6 could never decide and is refused. Absent: by `source`.
    #[serde(default)]
    pub(super) weight: Option<u8>,
    /// Where the fact is from: `vendor` documentation, the `code` that prints it, `captures` in public, `general` knowledge.
    pub(super) source: Source,
    /// In a file of the user's: `proxy` for answers written by the proxy or its vendor.
    #[serde(default)]
    pub(super) layer: Layer,
    /// Answers that the rule has to recognise, and such that it must not; read by the tests only.
    #[serde(default)]
    #[cfg_attr(not(test), expect(dead_code, reason = "a rule file documents itself"))]
    pub(super) hit: Fixtures,
    #[serde(default)]
    #[cfg_attr(not(test), expect(dead_code, reason = "a rule file documents itself"))]
    pub(super) miss: Fixtures,
}

#[cfg(test)]
type Fixtures = Vec<Fixture>;
/// Skipped without being built.
#[cfg(not(test))]
type Fixtures = Option<serde::de::IgnoredAny>;

fn one() -> usize {
    1
}

/// Which answer a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    Connect,
    Response,
}

/// Provenance of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    Vendor,
    Code,
    Captures,
    General,
}

impl Source {
    /// Weight of a rule that names none: what nobody has shown in a capture counts for less.
    pub(super) fn weight(self) -> u8 {
        match self {
            Source::Vendor | Source::Code => 10,
            Source::Captures => 9,
            Source::General => 7,
        }
    }
}

/// The frame outside of which a rule is not asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    /// Statuses in the syntax of `--accept`; required where title or body are asked.
    #[serde(default)]
    pub(super) status: Option<String>,
    /// Longest body.
    #[serde(default)]
    pub(super) max_bytes: Option<usize>,
    /// Body types for which title and body are asked: `html` (default), `json`, `xml`, `text`, `any`.
    #[serde(default)]
    pub(super) kind: KindSpec,
    /// The URL names no port.
    #[serde(default)]
    pub(super) default_port: bool,
}

/// Body types of a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KindSpec {
    #[default]
    Html,
    Json,
    Xml,
    Text,
    /// Html, json, xml and text, but never a download.
    Any,
}

impl KindSpec {
    pub(super) fn admits(self, kind: Kind) -> bool {
        match self {
            KindSpec::Html => kind == Kind::Html,
            KindSpec::Json => kind == Kind::Json,
            KindSpec::Xml => kind == Kind::Xml,
            KindSpec::Text => kind == Kind::Text,
            KindSpec::Any => kind != Kind::Other,
        }
    }
}

/// An answer that a rule has to recognise (`hit`), or must not take for a block (`miss`).
#[cfg(test)]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fixture {
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) url: Option<String>,
    pub(super) headers: Vec<String>,
    pub(super) body: String,
    /// Filler appended to the body, for the size gates.
    pub(super) pad: usize,
    pub(super) connect: bool,
}

/// A rule ready to be asked. Conditions are numbers into the table's list.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: Box<str>,
    pub(super) vendor: Option<Box<str>>,
    pub(super) class: Class,
    pub(super) layer: Layer,
    pub(super) star: bool,
    /// From a file of the user's, who knows the pages that it is asked of.
    pub(super) own: bool,
    pub(super) source: Source,
    pub(super) confidence: f32,
    pub(super) phase: Option<Phase>,
    pub(super) status: Option<StatusSet>,
    pub(super) max_bytes: usize,
    /// For which bodies its title and body conditions count; absent where it has none.
    pub(super) kind: Option<KindSpec>,
    pub(super) default_port: bool,
    pub(super) all: Vec<u16>,
    pub(super) any: Vec<u16>,
    pub(super) least: usize,
    pub(super) none: Vec<u16>,
}

impl Rule {
    /// True when the rule describes this answer; `holds` says which conditions do.
    pub(super) fn fires(&self, view: &View<'_>, holds: impl Fn(u16) -> bool) -> bool {
        self.frame_admits(view)
            && self.all.iter().all(|&id| holds(id))
            && (self.any.is_empty()
                || self.any.iter().filter(|&&id| holds(id)).count() >= self.least)
            && !self.none.iter().any(|&id| holds(id))
    }

    /// The same while it is not known of some conditions whether they hold: true when the rule could still fire.
    pub(super) fn may_fire(&self, view: &View<'_>, holds: impl Fn(u16) -> Option<bool>) -> bool {
        let may_hold = |id: u16| holds(id) != Some(false);
        self.frame_admits(view)
            && self.all.iter().all(|&id| may_hold(id))
            && (self.any.is_empty()
                || self.any.iter().filter(|&&id| may_hold(id)).count() >= self.least)
            && !self.none.iter().any(|&id| holds(id) == Some(true))
    }

    /// All its conditions, those first that have to hold.
    pub(super) fn conditions(&self) -> impl Iterator<Item = u16> + '_ {
        self.all.iter().chain(&self.any).chain(&self.none).copied()
    }

    /// True when its conditions on title and body count for this kind of body.
    pub(super) fn reads(&self, view: &View<'_>) -> bool {
        self.kind.is_none_or(|kind| kind.admits(view.kind))
    }

    fn frame_admits(&self, view: &View<'_>) -> bool {
        self.status
            .as_ref()
            .is_none_or(|set| set.contains(view.status))
            && match self.phase {
                None => true,
                Some(Phase::Connect) => view.connect,
                Some(Phase::Response) => !view.connect,
            }
            && view.body.len() <= self.max_bytes
            && (!self.default_port || view.url.is_none_or(|url| url.port().is_none()))
    }
}
