//! `[[alert]]` and `[hooks]`: what somebody wants to be told, and how.

use std::num::NonZeroU32;

use url::Url;

use super::matrix::{Axis, not_a_value, unknown_axis};
use super::reader::{Item, Table};
use super::schedule;
use super::target::Target;
use super::watch::Watch;
use crate::nearest::nearest;
use crate::secret::Secret;

/// Something that somebody wants to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// What.
    pub when: Event,
    /// Of these targets; all of them when empty.
    pub targets: Vec<Box<str>>,
    /// Where in the matrix: axes and those of their values that count. An axis that is not here counts whole.
    pub places: Vec<(Box<str>, Vec<Box<str>>)>,
    /// A program and its arguments; gets the events as JSON on its standard input.
    pub command: Option<Vec<Box<str>>>,
    /// An address the events are sent to.
    pub webhook: Option<Webhook>,
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// A target comes among the first so many.
    EntersTop(u32),
    /// A target was among the first so many and is no longer.
    LeavesTop(u32),
    /// A target moves by at least so many places.
    Moved(u32),
    /// Another address of the target stands there.
    UrlChanged,
    /// A target was not found in so many good runs in a row.
    Lost(NonZeroU32),
    /// The number falls below this.
    Below(f64),
    /// The number rises above this.
    Above(f64),
    /// What is watched has changed.
    Changed,
    /// A selector has found nothing on good pages in so many runs in a row.
    SelectorBroken(NonZeroU32),
    /// A page was answered with 404 or 410 in so many runs in a row.
    Gone(NonZeroU32),
    /// More than this part of the requests, 0..=1, was blocked.
    Blocked(f64),
    /// Fewer proxies than this are alive.
    Pool(u32),
}

impl Event {
    /// The word in the file.
    pub fn as_str(&self) -> &'static str {
        match self {
            Event::EntersTop(_) => "enters_top",
            Event::LeavesTop(_) => "leaves_top",
            Event::Moved(_) => "moved",
            Event::UrlChanged => "url_changed",
            Event::Lost(_) => "lost",
            Event::Below(_) => "below",
            Event::Above(_) => "above",
            Event::Changed => "changed",
            Event::SelectorBroken(_) => "selector_broken",
            Event::Gone(_) => "gone",
            Event::Blocked(_) => "blocked",
            Event::Pool(_) => "pool",
        }
    }
}

/// An address that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where; often holds a token.
    pub url: Secret,
    /// Key of the HMAC-SHA256 of the body.
    pub secret: Option<Secret>,
}

/// Whom a run tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks {
    /// When it begins.
    pub on_start: Option<Hook>,
    /// When it has ended well.
    pub on_success: Option<Hook>,
    /// When it has not.
    pub on_failure: Option<Hook>,
}

/// How somebody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// A program and its arguments; gets the text on its standard input.
    Command(Vec<Box<str>>),
    /// An address the text is sent to.
    Url(Secret),
}

/// Words of `when`: which jobs have them, and the keys that belong to them.
const WORDS: [(&str, Scope, Option<&str>); 12] = [
    ("enters_top", Scope::Target, Some("top")),
    ("leaves_top", Scope::Target, Some("top")),
    ("moved", Scope::Target, Some("by")),
    ("url_changed", Scope::Target, None),
    ("lost", Scope::Target, Some("runs")),
    ("below", Scope::Value, Some("value")),
    ("above", Scope::Value, Some("value")),
    ("changed", Scope::Value, None),
    ("gone", Scope::Value, Some("runs")),
    ("selector_broken", Scope::Place, Some("runs")),
    ("blocked", Scope::Run, Some("share")),
    ("pool", Scope::Run, Some("alive")),
];

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// A target at a place of the matrix.
    Target,
    /// A watched value at a place of the matrix.
    Value,
    /// A place of the matrix.
    Place,
    /// The run as a whole.
    Run,
}

/// Two, because one page may be odd.
const ODD_RUNS: NonZeroU32 = NonZeroU32::new(2).expect("not zero");

pub(super) fn read(
    table: &Table<'_, '_>,
    axes: Option<&[Axis]>,
    targets: Option<&[Target]>,
    watch: Option<&Watch>,
    is_rank: Option<bool>,
) -> Vec<Alert> {
    let Some(item) = table.item("alert") else {
        return Vec::new();
    };
    let tables = item.tables("alert");
    let alerts = tables.iter().filter_map(|table| {
        let alert = alert(table, axes, targets, watch, is_rank);
        table.finish();
        alert
    });
    alerts.collect()
}

fn alert(
    table: &Table<'_, '_>,
    axes: Option<&[Axis]>,
    targets: Option<&[Target]>,
    watch: Option<&Watch>,
    is_rank: Option<bool>,
) -> Option<Alert> {
    let named = told_targets(table, targets, is_rank);
    let places = places(table, axes);
    let command = table.item("command").and_then(|item| command(&item));
    let webhook = webhook(table);
    let Some(when) = table.item("when") else {
        let words: Vec<&str> = WORDS.iter().map(|(word, _, _)| *word).collect();
        table.lacks("when", format!("there are {}", words.join(", ")));
        return None;
    };
    let words = WORDS.map(|(word, scope, key)| (word, (word, scope, key)));
    let (word, scope, own) = when.word(&words)?;
    match (is_rank, scope) {
        (Some(true), Scope::Value) => when.complain(
            format!("{word} is about a value, and a rank job has places"),
            "there are enters_top, leaves_top, moved, url_changed and lost",
        ),
        (Some(false), Scope::Target) => when.complain(
            format!("{word} is about places, and a change job has a value"),
            "there are changed, below, above and gone",
        ),
        _ => {}
    }
    if scope != Scope::Target
        && let Some(item) = table.item("targets")
        && is_rank == Some(true)
    {
        item.complain(format!("{word} is not about targets"), "leave targets out");
    }
    if scope == Scope::Run
        && let Some(item) = table.item("match")
    {
        item.complain(format!("{word} is about the whole run"), "leave match out");
    }
    for key in ["top", "by", "runs", "value", "share", "alive"] {
        if own != Some(key)
            && let Some(item) = table.item(key)
        {
            let of = WORDS.iter().filter(|(_, _, own)| *own == Some(key));
            let of: Vec<&str> = of.map(|(word, _, _)| *word).collect();
            item.complain(
                format!("{word} does not take {key}"),
                format!("{key} belongs to {}", of.join(" and ")),
            );
        }
    }
    if matches!(word, "below" | "above")
        && watch.is_some_and(|watch| watch.field.is_none())
        && is_rank == Some(false)
    {
        when.complain(
            format!("{word} is about a number, and the text of a page is watched"),
            "add field = \"price\" to [watch], and select = [\"price=.price::text|number\"] to [extract]",
        );
    }
    Some(Alert {
        when: event(table, word, own)?,
        targets: named,
        places,
        command,
        webhook,
    })
}

/// The event of this word, with the number that belongs to it under the key `own`.
fn event(table: &Table<'_, '_>, word: &str, own: Option<&'static str>) -> Option<Event> {
    if own == Some("runs") {
        return Some(match word {
            "lost" => Event::Lost(schedule::runs(table, NonZeroU32::MIN)),
            "gone" => Event::Gone(schedule::runs(table, ODD_RUNS)),
            _ => Event::SelectorBroken(schedule::runs(table, ODD_RUNS)),
        });
    }
    let Some(key) = own else {
        return Some(if word == "changed" {
            Event::Changed
        } else {
            Event::UrlChanged
        });
    };
    let Some(item) = table.item(key) else {
        let example = match key {
            "top" => "top = 10",
            "by" => "by = 3",
            "value" => "value = 99.0",
            "share" => "share = \"30%\"",
            _ => "alive = 5",
        };
        table.lacks(key, format!("write how much: {example}"));
        return None;
    };
    Some(match word {
        "enters_top" => Event::EntersTop(item.count32(1, 100_000)?),
        "leaves_top" => Event::LeavesTop(item.count32(1, 100_000)?),
        "moved" => Event::Moved(item.count32(1, 100_000)?),
        "below" => Event::Below(item.number()?),
        "above" => Event::Above(item.number()?),
        "blocked" => Event::Blocked(item.share()?),
        _ => Event::Pool(item.count32(1, u32::MAX)?),
    })
}

fn told_targets(
    table: &Table<'_, '_>,
    targets: Option<&[Target]>,
    is_rank: Option<bool>,
) -> Vec<Box<str>> {
    let named = table.item("targets").and_then(|item| item.texts());
    let named = named.unwrap_or_default();
    if let (Some(targets), true) = (targets, is_rank != Some(false)) {
        let known: Vec<&str> = targets.iter().map(|target| &*target.name).collect();
        for (name, item) in &named {
            if known.contains(name) {
                continue;
            }
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean {near:?} ?"),
                None => format!("the targets are {}", known.join(", ")),
            };
            item.complain(format!("no target is called {name:?}"), hint);
        }
    } else if is_rank == Some(false)
        && let Some((_, item)) = named.first()
    {
        item.complain("a change job has no targets", "leave targets out");
    }
    named.into_iter().map(|(name, _)| name.into()).collect()
}

/// `match`: axes and values.
fn places(table: &Table<'_, '_>, axes: Option<&[Axis]>) -> Vec<(Box<str>, Vec<Box<str>>)> {
    let Some(table) = table.table("match", "matrix") else {
        return Vec::new();
    };
    let mut places = Vec::new();
    for item in table.items() {
        let axis = axes.map(|axes| axes.iter().find(|axis| *axis.name == *item.key));
        if axis == Some(None) {
            unknown_axis(&item, axes.unwrap_or_default());
            continue;
        }
        let mut values: Vec<Box<str>> = Vec::new();
        for element in item.elements() {
            let Some(value) = element.scalar() else {
                element.mistyped("a value of the axis, or a list of some");
                continue;
            };
            if let Some(Some(axis)) = axis
                && !axis.values.iter().any(|known| **known == *value)
            {
                let (what, hint) = not_a_value(&value, axis);
                element.complain(what, hint);
            }
            values.push(value.into());
        }
        places.push((item.key.into(), values));
    }
    places
}

fn command(item: &Item<'_, '_>) -> Option<Vec<Box<str>>> {
    let texts = item.texts()?;
    if texts.first().is_none_or(|(program, _)| program.is_empty()) {
        item.complain(
            "a command names a program",
            "write [\"/usr/bin/notify\", \"--flag\"]",
        );
        return None;
    }
    if texts.len() == 1 && texts[0].0.contains(' ') {
        item.complain(
            format!("there is no program {:?}", texts[0].0),
            "no shell is asked: write [\"program\", \"argument\"], or [\"sh\", \"-c\", \"...\"]",
        );
        return None;
    }
    Some(texts.into_iter().map(|(text, _)| text.into()).collect())
}

fn webhook(table: &Table<'_, '_>) -> Option<Webhook> {
    let url = table.item("webhook").map(|item| address(&item));
    let secret = table.item("secret");
    if url.is_none()
        && let Some(item) = &secret
    {
        item.complain(
            "a secret signs the body of a webhook, and there is none",
            "add webhook = \"https://...\"",
        );
    }
    let secret = secret.and_then(|item| item.filled());
    Some(Webhook {
        url: url??,
        secret: secret.map(Secret::new),
    })
}

/// An http or https address, which the complaint does not show: it may hold a token.
fn address(item: &Item<'_, '_>) -> Option<Secret> {
    let text = item.filled()?;
    let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
    if Url::parse(&text).ok().filter(is_web).is_none() {
        item.complain(
            format!("{} takes an http or https address", item.key),
            "write \"https://...\"; a command is a list, such as [\"notify\"]",
        );
        return None;
    }
    Some(Secret::new(text))
}

pub(super) fn hooks(table: &Table<'_, '_>) -> Hooks {
    let Some(table) = table.table("hooks", "hooks") else {
        return Hooks::default();
    };
    let hook = |key| {
        let item: Item<'_, '_> = table.item(key)?;
        if item.is_list() {
            command(&item).map(Hook::Command)
        } else {
            address(&item).map(Hook::Url)
        }
    };
    let hooks = Hooks {
        on_start: hook("on_start"),
        on_success: hook("on_success"),
        on_failure: hook("on_failure"),
    };
    table.finish();
    hooks
}
