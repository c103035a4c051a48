//! Profiles: rows and fields in a file, for one site.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use toml::Spanned;

use super::expression::{Field, check_name};
use super::fault::Fault;
use super::serp::Serp;
use super::source::Source;
use crate::error::Problem;
use crate::text;

/// A profile as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileFile {
    /// For messages: the path, or the name of a built-in one.
    pub name: String,
    /// TOML.
    pub text: String,
}

/// Profiles that come along, as examples: sites change, and then these have to.
const BUILT_IN: [(&str, &str); 9] = [
    ("baidu", include_str!("profiles/baidu.toml")),
    ("bing", include_str!("profiles/bing.toml")),
    ("duckduckgo", include_str!("profiles/duckduckgo.toml")),
    ("ebay", include_str!("profiles/ebay.toml")),
    ("ecosia", include_str!("profiles/ecosia.toml")),
    ("google", include_str!("profiles/google.toml")),
    ("serpapi", include_str!("profiles/serpapi.toml")),
    ("yandex", include_str!("profiles/yandex.toml")),
    ("zyte", include_str!("profiles/zyte.toml")),
];

/// The built-in profile of this name.
pub fn built_in(name: &str) -> Option<ProfileFile> {
    let found = BUILT_IN.iter().find(|(known, _)| *known == name);
    found.map(|(name, text)| ProfileFile {
        name: (*name).to_owned(),
        text: (*text).to_owned(),
    })
}

/// Their names.
pub fn built_in_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.into_iter().map(|(name, _)| name)
}

/// A profile that was read; each piece with the place it is from.
#[derive(Debug, Default)]
pub(super) struct Profile {
    pub(super) rows: Option<(Source, String)>,
    pub(super) fields: Vec<(Field, String)>,
    pub(super) required: Vec<usize>,
    pub(super) serp: Option<Serp>,
}

/// The shape of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    kind: Option<Kind>,
    #[serde(default)]
    rows: Option<Spanned<String>>,
    #[serde(default)]
    container: Option<Spanned<String>>,
    #[serde(default)]
    no_results: Option<Spanned<String>>,
    #[serde(default)]
    required: Vec<Spanned<String>>,
    fields: Fields,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// One page of search results.
    Serp,
}

/// The fields in the order of the file.
#[derive(Debug)]
struct Fields(Vec<(Spanned<String>, Spanned<String>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of expressions")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields: Vec<(Spanned<String>, Spanned<String>)> = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                fields.sort_by_key(|(name, _)| name.span().start);
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

const SHAPE: &str = "a profile has rows, [fields] and, with kind = \"serp\", container and no_results; \
                     `proxywheel extract show bing` prints an example";

impl ProfileFile {
    /// Reads the profile.
    pub(super) fn parse(&self) -> Result<Profile, Problem> {
        let raw: Raw = toml::from_str(&self.text).map_err(|error: toml::de::Error| {
            let place = match error.span() {
                Some(span) => self.place(span.start),
                None => self.name.clone(),
            };
            let message = error.message().lines().next().unwrap_or("not TOML");
            Problem::new(message).at(place).hint(SHAPE)
        })?;
        let mut profile = Profile::default();
        if let Some(rows) = &raw.rows {
            let source = self.read(rows, Source::parse_rows)?;
            profile.rows = Some((source, self.place(rows.span().start)));
        }
        let probe = |text: &Option<Spanned<String>>| {
            let read = text.as_ref().map(|text| self.read(text, Source::parse));
            read.transpose()
        };
        let (container, no_results) = (probe(&raw.container)?, probe(&raw.no_results)?);
        match raw.kind {
            Some(Kind::Serp) if profile.rows.is_none() => {
                return Err(Problem::new("a page of results has rows")
                    .at(self.name.clone())
                    .hint(SHAPE));
            }
            Some(Kind::Serp) => {
                profile.serp = Some(Serp {
                    container,
                    no_results,
                })
            }
            None => {
                if let Some(text) = raw.container.as_ref().or(raw.no_results.as_ref()) {
                    return Err(Problem::new("only a page of results says that it has none")
                        .at(self.place(text.span().start))
                        .hint("add kind = \"serp\""));
                }
            }
        }
        for (name, text) in &raw.fields.0 {
            if let Some(what) = check_name(name.get_ref()) {
                return Err(Problem::new(what)
                    .at(self.place(name.span().start))
                    .hint("use letters, digits, _ and -"));
            }
            let field = self.read(text, |text| Field::parse(name.get_ref(), text))?;
            profile.fields.push((field, self.place(text.span().start)));
        }
        for name in &raw.required {
            let at = profile
                .fields
                .iter()
                .position(|(field, _)| field.name == *name.get_ref());
            profile.required.push(at.ok_or_else(|| {
                Problem::new(format!("no field is called {:?}", name.get_ref()))
                    .at(self.place(name.span().start))
                    .hint("required names fields without which a match is no row")
            })?);
        }
        if profile.fields.is_empty() {
            return Err(Problem::new("the profile has no fields")
                .at(self.name.clone())
                .hint(SHAPE));
        }
        Ok(profile)
    }

    fn read<T>(
        &self,
        text: &Spanned<String>,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Result<T, Problem> {
        let place = self.place(text.span().start);
        parse(text.get_ref()).map_err(|fault| fault.problem(text.get_ref(), place))
    }

    /// `NAME:LINE` of a byte.
    fn place(&self, at: usize) -> String {
        let (line, _) = text::position(&self.text, at);
        format!("{}:{line}", self.name)
    }
}
