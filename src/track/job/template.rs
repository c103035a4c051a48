//! The URL of a job, with placeholders.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::matrix::{Axis, Vary, is_name};
use super::reader::Table;
use super::schedule::Pages;
use crate::nearest::nearest;

/// What is encoded: everything but the unreserved characters of RFC 3986, so that a value stays one component of a query or path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// `https://shop.example/search?q={query}&page={page}`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Placeholder(Box<str>),
}

impl UrlTemplate {
    /// Names of the placeholders, in their order.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Placeholder(name) => Some(&**name),
            Part::Text(_) => None,
        })
    }

    /// True when an axis says the whole address, or its beginning.
    pub(super) fn begins_with_placeholder(&self) -> bool {
        matches!(self.0.first(), Some(Part::Placeholder(_)))
    }

    /// The address with each placeholder that is left replaced by a number.
    pub(super) fn fill(&self, number: impl Fn(&str) -> u64) -> String {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Placeholder(name) => filled.push_str(&number(name).to_string()),
            }
        }
        filled
    }

    /// The same address with the placeholders replaced for which `value` has an answer, percent-encoded, unless it is the beginning
    /// of the address: then it is one itself and stays as it is.
    pub(super) fn bind<'v>(&self, value: impl Fn(&str) -> Option<&'v Box<str>>) -> UrlTemplate {
        let mut parts: Vec<Part> = Vec::with_capacity(self.0.len());
        let mut text = String::new();
        for (at, part) in self.0.iter().enumerate() {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Placeholder(name) => match value(name) {
                    Some(value) if at == 0 => text.push_str(value),
                    Some(value) => text.extend(utf8_percent_encode(value, ENCODED)),
                    None => {
                        if !text.is_empty() {
                            parts.push(Part::Text(std::mem::take(&mut text).into()));
                        }
                        parts.push(part.clone());
                    }
                },
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.into()));
        }
        UrlTemplate(parts)
    }

    /// Takes a template apart.
    ///
    /// # Errors
    /// The byte of a brace that begins or ends no placeholder.
    fn parse(text: &str) -> Result<Self, usize> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let at = text.len() - rest.len() + open;
            let name = rest[open..].strip_prefix('{').and_then(|inside| {
                let (name, _) = inside.split_once('}')?;
                is_name(name).then_some(name)
            });
            let name = name.ok_or(at)?;
            if open > 0 {
                parts.push(Part::Text(rest[..open].into()));
            }
            parts.push(Part::Placeholder(name.into()));
            rest = &rest[open + name.len() + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(UrlTemplate(parts))
    }
}

/// Reads `url` and checks that every query and page gets an address of its own.
pub(super) fn read(
    table: &Table<'_, '_>,
    axes: Option<&[Axis]>,
    vary: &[Vary],
    pages: &Pages,
) -> Option<UrlTemplate> {
    let Some(item) = table.item("url") else {
        table.lacks(
            "url",
            "url = \"https://www.example.com/search?q={query}&page={page}\"",
        );
        return None;
    };
    let text = item.text()?;
    let template = match UrlTemplate::parse(text) {
        Ok(template) => template,
        Err(at) => {
            let column = text[..at].chars().count() + 1;
            item.complain(
                format!("letter {column} of the url: a brace that belongs to no placeholder"),
                "placeholders are {NAME}; a brace that is meant is written %7B or %7D",
            );
            return None;
        }
    };
    let axes = axes?;
    let mut good = true;
    let vars = || {
        vary.iter()
            .flat_map(|vary| vary.vars.iter().map(|(name, _)| &**name))
    };
    for name in template.placeholders() {
        let is_axis = axes.iter().any(|axis| *axis.name == *name);
        if is_axis || matches!(name, "page" | "offset") {
            continue;
        }
        if !vars().any(|var| var == name) {
            let known: Vec<&str> = axes
                .iter()
                .map(|axis| &*axis.name)
                .chain(vars())
                .chain(["page", "offset"])
                .collect();
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean {{{near}}} ?"),
                None => {
                    let mut known: Vec<String> =
                        known.iter().map(|name| format!("{{{name}}}")).collect();
                    known.dedup();
                    format!(
                        "there are {}; others are axes of [matrix] or vars of [vary]",
                        known.join(", ")
                    )
                }
            };
            item.complain(format!("unknown placeholder {{{name}}} in the url"), hint);
            good = false;
        } else if let Some((axis, value)) = without(name, axes, vary) {
            item.complain(
                format!("{{{name}}} has no value where {axis} is {value:?}"),
                format!(
                    "add vars = {{ {name} = \"...\" }} to [vary.{axis}.{}]",
                    key(value)
                ),
            );
            good = false;
        }
    }
    if !good {
        // What is misspelt is the use that is missed below.
        return None;
    }
    for axis in axes.iter().filter(|axis| axis.values.len() > 1) {
        let is_used = |name: &str| template.placeholders().any(|used| used == name);
        let changes = |vary: &Vary| {
            vary.axis == axis.name
                && (vary.vars.iter().any(|(var, _)| is_used(var))
                    || !vary.headers.is_empty()
                    || !vary.cookies.is_empty()
                    || vary.exit_country.is_some()
                    || !vary.exit_tags.is_empty())
        };
        if !is_used(&axis.name) && !vary.iter().any(changes) {
            item.complain(
                format!(
                    "the values of {} make no difference: all would ask for the same",
                    axis.name
                ),
                format!(
                    "put {{{0}}} into the url, or say in [vary.{0}.VALUE] what a value changes",
                    axis.name
                ),
            );
            good = false;
        }
    }
    if pages.most > 1
        && !template
            .placeholders()
            .any(|name| matches!(name, "page" | "offset"))
    {
        item.complain(
            format!(
                "pages.most is {}, and the url is the same for every page",
                pages.most
            ),
            "put {page} or {offset} into it",
        );
        good = false;
    }
    good.then_some(template)
}

/// A value of an axis for which nobody says what the variable `name` is.
fn without<'a>(name: &str, axes: &'a [Axis], vary: &[Vary]) -> Option<(&'a str, &'a str)> {
    let sets = |vary: &Vary| vary.vars.iter().any(|(var, _)| **var == *name);
    let mut missing = None;
    for axis in axes {
        let of_axis = || {
            vary.iter()
                .filter(|vary| vary.axis == axis.name && sets(vary))
        };
        if of_axis().next().is_none() {
            continue;
        }
        let lacking = axis
            .values
            .iter()
            .find(|value| !of_axis().any(|vary| vary.value == **value));
        match lacking {
            // One axis that always says is enough.
            None => return None,
            Some(value) => missing = missing.or(Some((&*axis.name, &**value))),
        }
    }
    missing
}

/// A value as a TOML key.
fn key(value: &str) -> String {
    if is_name(value) {
        value.to_owned()
    } else {
        format!("{value:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_one_component_and_a_whole_address_stays_as_it_is() {
        let fill = |template: &str, value: &'static str| {
            let value = Box::from(value);
            UrlTemplate::parse(template)
                .unwrap()
                .bind(|_| Some(&value))
                .fill(|_| 0)
        };
        assert_eq!(
            fill("http://h.test/{a}?q={a}", "a b/c&d=\u{e9}"),
            "http://h.test/a%20b%2Fc%26d%3D%C3%A9?q=a%20b%2Fc%26d%3D%C3%A9"
        );
        assert_eq!(
            fill("https://www.shop.{tld}/", "co.uk"),
            "https://www.shop.co.uk/"
        );
        assert_eq!(
            fill("{url}", "https://h.test/a?b=c"),
            "https://h.test/a?b=c"
        );
    }

    #[test]
    fn a_brace_without_its_partner_is_found() {
        for (text, at) in [
            ("http://h/{a", 9),
            ("http://h/a}", 10),
            ("{}", 0),
            ("{a}{b c}", 3),
        ] {
            assert_eq!(UrlTemplate::parse(text).err(), Some(at), "{text}");
        }
    }
}
