//! Tables that know where they are, collect what is wrong in them, and tell what they were not asked for.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Env, keys, variables};
use crate::error::Problem;
use crate::nearest::nearest;
use crate::text;
use crate::units::{Size, Span};

/// The file that is read, and the complaints about it.
pub(super) struct Source<'s> {
    pub(super) path: &'s Path,
    pub(super) text: &'s str,
    pub(super) env: Env<'s>,
    problems: RefCell<Vec<(usize, Problem)>>,
}

impl<'s> Source<'s> {
    pub(super) fn new(path: &'s Path, text: &'s str, env: Env<'s>) -> Self {
        Source {
            path,
            text,
            env,
            problems: RefCell::default(),
        }
    }

    /// Hands the document to `read`; `None` when it is no TOML.
    pub(super) fn document<T>(&self, read: impl FnOnce(Table<'_, '_>) -> T) -> Option<T> {
        match DeTable::parse(self.text) {
            Ok(document) => Some(read(Table {
                source: self,
                kind: "",
                heading: String::new(),
                at: 0,
                items: document.get_ref(),
            })),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                let what = error.message().trim().replace('\n', ", ");
                self.complain(at, format!("not valid TOML: {what}"), None);
                None
            }
        }
    }

    /// `FILE:LINE:COLUMN` of a byte.
    pub(super) fn place(&self, at: usize) -> String {
        let (line, column) = text::position(self.text, at);
        format!("{}:{line}:{column}", self.path.display())
    }

    pub(super) fn complain(&self, at: usize, what: impl Into<String>, hint: Option<String>) {
        let mut problem = Problem::new(what).at(self.place(at));
        problem.hint = hint;
        self.add(at, problem);
    }

    /// Takes a problem that has its own place.
    pub(super) fn add(&self, at: usize, problem: Problem) {
        self.problems.borrow_mut().push((at, problem));
    }

    /// A path of the file, which is relative to its folder.
    pub(super) fn beside(&self, path: &str) -> PathBuf {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        folder.join(path)
    }

    /// All complaints in one, in the order of the file; `None` when there are none.
    pub(super) fn problem(&self) -> Option<Problem> {
        let mut problems = self.problems.take();
        problems.sort_by_key(|(at, _)| *at);
        problems.dedup();
        let problems = problems.into_iter().map(|(_, problem)| problem).collect();
        Problem::of_all(problems, "the job file", self.path.display().to_string())
    }
}

/// One table of the file.
pub(super) struct Table<'a, 's> {
    pub(super) source: &'a Source<'s>,
    /// Its name in [`keys`].
    kind: &'static str,
    /// What it is called in the file, such as `pages` or `vary.country.de`.
    heading: String,
    at: usize,
    items: &'a DeTable<'a>,
}

impl<'a, 's> Table<'a, 's> {
    /// The value of a key.
    pub(super) fn item(&self, key: &'static str) -> Option<Item<'a, 's>> {
        debug_assert!(keys::of(self.kind).contains(&key), "{}.{key}", self.kind);
        let (key, value) = self.items.get_key_value(key)?;
        Some(self.item_of(key, value))
    }

    /// A table within this one; `None` when it is not there or is none.
    pub(super) fn table(&self, key: &'static str, kind: &'static str) -> Option<Table<'a, 's>> {
        self.item(key)?.table(kind)
    }

    /// All of them, in the order of the file: a table whose keys are the user's.
    pub(super) fn items(&self) -> Vec<Item<'a, 's>> {
        let mut items: Vec<_> = self
            .items
            .iter()
            .map(|(key, value)| self.item_of(key, value))
            .collect();
        items.sort_by_key(|item| item.key_at);
        items
    }

    fn item_of(
        &self,
        key: &'a Spanned<std::borrow::Cow<'a, str>>,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Item<'a, 's> {
        Item {
            source: self.source,
            heading: self.heading.clone(),
            key: key.get_ref(),
            key_at: key.span().start,
            at: value.span().start,
            value: value.get_ref(),
        }
    }

    /// Complains that a key is missing.
    pub(super) fn lacks(&self, key: &str, hint: impl Into<String>) {
        let place = match self.kind {
            "" => String::new(),
            kind => format!(" in {}", keys::heading(kind)),
        };
        let what = format!("{key} is missing{place}");
        self.source.complain(self.at, what, Some(hint.into()));
    }

    /// Complains of the keys that no table of this kind has.
    pub(super) fn finish(&self) {
        let known = keys::of(self.kind);
        for (key, _) in self.items {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let place = keys::heading(self.kind);
            let hint = match (nearest(name, known.iter().copied()), keys::home(name)) {
                (Some(near), _) => format!("did you mean {near} ?"),
                (None, Some(home)) => format!("it belongs into {}", keys::heading(home)),
                (None, None) => format!("the keys of {place} are {}", known.join(", ")),
            };
            let what = format!("unknown key {name:?} in {place}");
            self.source.complain(key.span().start, what, Some(hint));
        }
    }
}

/// One value of the file.
#[derive(Clone)]
pub(super) struct Item<'a, 's> {
    pub(super) source: &'a Source<'s>,
    heading: String,
    pub(super) key: &'a str,
    pub(super) key_at: usize,
    pub(super) at: usize,
    value: &'a DeValue<'a>,
}

impl<'a, 's> Item<'a, 's> {
    /// Complains of the value.
    pub(super) fn complain(&self, what: impl Into<String>, hint: impl Into<String>) {
        self.source.complain(self.at, what, Some(hint.into()));
    }

    /// Complains of a value that is none of the sort that is wanted.
    pub(super) fn mistyped(&self, wanted: &str) {
        let what = format!(
            "{} takes {wanted}, not a TOML {}",
            self.key,
            self.value.type_str()
        );
        self.source.complain(self.at, what, None);
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// A string.
    pub(super) fn text(&self) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.mistyped("a string");
        }
        text
    }

    /// The text of a string or number, without a complaint.
    pub(super) fn scalar(&self) -> Option<String> {
        match self.value {
            DeValue::String(text) => Some(text.as_ref().to_owned()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .map(|number| number.to_string()),
            DeValue::Float(number) => Some(number.as_str().to_owned()),
            _ => None,
        }
    }

    /// A string in which `${NAME}` was filled in.
    pub(super) fn filled(&self) -> Option<String> {
        let text = self.text()?;
        match variables::fill(text, self.source.env) {
            Ok(filled) => Some(filled),
            Err(problem) => {
                self.complain(problem.what, problem.hint.unwrap_or_default());
                None
            }
        }
    }

    /// True or false, without a complaint.
    pub(super) fn as_switch(&self) -> Option<bool> {
        self.value.as_bool()
    }

    pub(super) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    /// True or false.
    pub(super) fn switch(&self) -> Option<bool> {
        let on = self.value.as_bool();
        if on.is_none() {
            self.mistyped("true or false");
        }
        on
    }

    /// A whole number within bounds.
    pub(super) fn count(&self, least: u64, most: u64) -> Option<u64> {
        let DeValue::Integer(number) = self.value else {
            self.mistyped("a whole number");
            return None;
        };
        let read = i128::from_str_radix(number.as_str(), number.radix()).ok();
        let read = read.and_then(|number| u64::try_from(number).ok());
        let fits = read.filter(|number| (least..=most).contains(number));
        if fits.is_none() {
            let hint = if most == u64::MAX {
                format!("write {least} or more")
            } else {
                format!("write {least} to {most}")
            };
            self.complain(format!("{} is out of range", self.key), hint);
        }
        fits
    }

    /// A [`Item::count`] of 32 bits.
    pub(super) fn count32(&self, least: u32, most: u32) -> Option<u32> {
        let count = self.count(least.into(), most.into())?;
        u32::try_from(count).ok()
    }

    /// A number, whole or not; finite.
    pub(super) fn number(&self) -> Option<f64> {
        let read = self.scalar().and_then(|text| f64::from_str(&text).ok());
        let fits = read.filter(|number| number.is_finite() && !self.value.is_str());
        if fits.is_none() {
            self.mistyped("a number");
        }
        fits
    }

    /// A length of time: a string with a unit, or seconds.
    pub(super) fn duration(&self) -> Option<Duration> {
        self.unit::<Span>("a duration such as \"20h\"")
            .map(|span| span.0)
    }

    /// A number of bytes.
    pub(super) fn size(&self) -> Option<u64> {
        self.unit::<Size>("a size such as \"200M\"")
            .map(|size| size.0)
    }

    fn unit<T: FromStr<Err = Problem>>(&self, wanted: &str) -> Option<T> {
        let Some(text) = self.scalar() else {
            self.mistyped(wanted);
            return None;
        };
        match text.parse() {
            Ok(read) => Some(read),
            Err(Problem { what, hint, .. }) => {
                self.complain(what, hint.unwrap_or_default());
                None
            }
        }
    }

    /// A part of a whole: `"30%"`, or 0.3.
    pub(super) fn share(&self) -> Option<f64> {
        let text = self.scalar().unwrap_or_default();
        let read = match text.trim().strip_suffix('%') {
            Some(percent) => percent.trim().parse().map(|percent: f64| percent / 100.0),
            None => text.trim().parse(),
        };
        let fits = read.ok().filter(|share| (0.0..=1.0).contains(share));
        if fits.is_none() {
            self.complain(
                format!("{} is not a share", self.key),
                "write a percentage such as \"30%\", or a number from 0 to 1",
            );
        }
        fits
    }

    /// One of some words.
    pub(super) fn word<T: Clone>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let hint = match nearest(text, names.iter().copied()) {
                Some(near) => format!("did you mean {near} ? There are {}", names.join(", ")),
                None => format!("there are {}", names.join(", ")),
            };
            self.complain(format!("{} = {text:?} is unknown", self.key), hint);
        }
        found.map(|(_, value)| value.clone())
    }

    /// The elements of a list; a single value is a list of one.
    pub(super) fn elements(&self) -> Vec<Item<'a, 's>> {
        let DeValue::Array(items) = self.value else {
            return vec![self.clone()];
        };
        let element = |item: &'a Spanned<DeValue<'a>>| Item {
            at: item.span().start,
            key_at: item.span().start,
            value: item.get_ref(),
            ..self.clone()
        };
        items.iter().map(element).collect()
    }

    /// A list of strings; a single string is a list of one.
    pub(super) fn texts(&self) -> Option<Vec<(&'a str, Item<'a, 's>)>> {
        let elements = self.elements();
        let all = elements.len();
        let texts: Vec<_> = elements
            .into_iter()
            .filter_map(|item| Some((item.text()?, item)))
            .collect();
        (texts.len() == all).then_some(texts)
    }

    /// A table of this kind.
    pub(super) fn table(&self, kind: &'static str) -> Option<Table<'a, 's>> {
        let Some(items) = self.value.as_table() else {
            self.mistyped("a table");
            return None;
        };
        let heading = if self.heading.is_empty() {
            self.key.to_owned()
        } else {
            format!("{}.{}", self.heading, self.key)
        };
        Some(Table {
            source: self.source,
            kind,
            heading,
            at: self.key_at,
            items,
        })
    }

    /// The tables under `[[KEY]]`.
    pub(super) fn tables(&self, kind: &'static str) -> Vec<Table<'a, 's>> {
        if !self.value.is_array() {
            self.complain(
                format!("{} is a list of tables", self.key),
                format!("head each with [[{}]]", self.key),
            );
            return Vec::new();
        }
        let tables = self.elements().into_iter();
        tables.filter_map(|item| item.table(kind)).collect()
    }
}

impl Table<'_, '_> {
    /// Where it is headed.
    pub(super) fn at(&self) -> usize {
        self.at
    }
}
