//! Sources: where a value is found. CSS, regex, JSONPath, meta elements, JSON-LD.

use regex::{Captures, Regex};
use scraper::{ElementRef, Selector};
use serde_json::Value;
use serde_json_path::JsonPath;

use super::fault::Fault;
use super::page::{Page, select, text_of};
use super::split::{last_colons, steps};

/// Where to look for the values of a field, or for rows.
#[derive(Debug)]
pub(super) enum Source {
    Css(Css),
    /// Over the whole text.
    Regex(Regex),
    /// In a body that is JSON.
    Json(JsonPath),
    /// In the JSON-LD blocks of a page.
    JsonLd(JsonPath),
    /// `content` of a meta element.
    Meta(String),
}

/// Elements, and what is taken of each.
#[derive(Debug)]
pub(super) struct Css {
    /// As written.
    pub(super) text: String,
    /// `None` is the row itself, or the root of the page.
    pub(super) selector: Option<Selector>,
    pub(super) take: Take,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Take {
    Text,
    Html,
    Attr(String),
}

/// Rows of one answer. Whoever answers could otherwise make a gigabyte of rows of a megabyte of page.
const MOST_ROWS: usize = 10_000;

/// What a source looks at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Row<'a> {
    /// All of the page.
    Page,
    Element(ElementRef<'a>),
    Json(&'a Value),
}

/// What the rows of a page are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowKind {
    Page,
    Element,
    Json,
}

impl Source {
    /// Reads a source; faults count from the first byte of `text`.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let start = text.len() - text.trim_start().len();
        let trimmed = text.trim();
        let of = |prefix: &str| {
            let rest = trimmed.strip_prefix(prefix)?;
            Some((
                rest.trim(),
                start + prefix.len() + rest.len() - rest.trim_start().len(),
            ))
        };
        if let Some((pattern, at)) = of("re:") {
            return regex(pattern)
                .map_err(|fault| fault.moved(at))
                .map(Source::Regex);
        }
        if let Some((path, at)) = of("json:") {
            return json_path(path)
                .map_err(|fault| fault.moved(at))
                .map(Source::Json);
        }
        if let Some((path, at)) = of("jsonld:") {
            return json_ld(path)
                .map_err(|fault| fault.moved(at))
                .map(Source::JsonLd);
        }
        if let Some((name, at)) = of("meta:") {
            if name.is_empty() {
                return Err(Fault::new(
                    at,
                    "a name is missing",
                    "write meta:description or meta:og:title",
                ));
            }
            return Ok(Source::Meta(name.to_owned()));
        }
        Css::parse(trimmed)
            .map_err(|fault| fault.moved(start))
            .map(Source::Css)
    }

    /// The same for rows, of which no part is taken.
    pub(super) fn parse_rows(text: &str) -> Result<Self, Fault> {
        let source = Source::parse(text)?;
        match &source {
            Source::Css(css) if css.take != Take::Text || css.text.len() < text.trim().len() => {
                Err(Fault::new(
                    last_colons(text).unwrap_or(0),
                    "a row is a whole element",
                    "drop the part from :: on; fields say what is taken of a row",
                ))
            }
            Source::Regex(_) | Source::Meta(_) => Err(Fault::new(
                0,
                "rows are elements or values of JSON",
                "write a CSS selector such as '.result', or a path such as 'json:$.items[*]'",
            )),
            _ => Ok(source),
        }
    }

    /// What rows of this source are.
    pub(super) fn row_kind(&self) -> RowKind {
        match self {
            Source::Css(_) => RowKind::Element,
            Source::Json(_) | Source::JsonLd(_) => RowKind::Json,
            Source::Regex(_) | Source::Meta(_) => RowKind::Page,
        }
    }

    /// Why this source finds nothing in such rows, if it cannot.
    pub(super) fn unfit(&self, rows: RowKind) -> Option<Fault> {
        let (what, hint) = match (self, rows) {
            (Source::Css(_), RowKind::Json) => (
                "a row of JSON has no elements",
                "write a path within the row, such as json:$.title",
            ),
            (Source::Json(_), RowKind::Element) => (
                "a row of HTML is no JSON",
                "write a selector, or rows such as 'json:$.items[*]'",
            ),
            _ => return None,
        };
        Some(Fault::new(0, what, hint))
    }

    /// What it finds, in order; the first only unless `all` are wanted.
    pub(super) fn find(&self, page: &Page<'_>, row: Row<'_>, all: bool) -> Vec<Value> {
        let most = if all { usize::MAX } else { 1 };
        match (self, row) {
            (Source::Css(css), Row::Page) => css.find(page, None, most),
            (Source::Css(css), Row::Element(element)) => css.find(page, Some(element), most),
            (Source::Css(_), Row::Json(_)) => Vec::new(),
            (Source::Regex(regex), Row::Page) => given(page, captured(regex, page.text()), most),
            (Source::Regex(regex), Row::Element(element)) => {
                in_row(page, regex, &element.html(), most)
            }
            (Source::Regex(regex), Row::Json(value)) => {
                in_row(page, regex, &value.to_string(), most)
            }
            (Source::Json(path), Row::Json(value)) => {
                given(page, path.query(value).into_iter().cloned(), most)
            }
            (Source::Json(path), Row::Page) => page
                .json()
                .map(|value| given(page, path.query(value).into_iter().cloned(), most))
                .unwrap_or_default(),
            (Source::Json(_), Row::Element(_)) => Vec::new(),
            (Source::JsonLd(path), _) => {
                let found = page.blocks().iter().flat_map(|block| path.query(block));
                given(page, found.cloned(), most)
            }
            (Source::Meta(name), _) => {
                let found = page.meta(name).map(|content| content.trim().into());
                given(page, found, most)
            }
        }
    }

    /// The rows of a page, the first [`MOST_ROWS`] of them, and how many there are.
    pub(super) fn rows<'a>(&'a self, page: &'a Page<'_>) -> (Vec<Row<'a>>, usize) {
        let mut rows = self.all_rows(page);
        let all = rows.len();
        rows.truncate(MOST_ROWS);
        (rows, all)
    }

    fn all_rows<'a>(&'a self, page: &'a Page<'_>) -> Vec<Row<'a>> {
        match self {
            Source::Css(css) => css.elements(page, None).map(Row::Element).collect(),
            Source::Json(path) => {
                let found = page.json().map(|value| path.query(value).all());
                found
                    .unwrap_or_default()
                    .into_iter()
                    .map(Row::Json)
                    .collect()
            }
            Source::JsonLd(path) => {
                let blocks = page.blocks().iter();
                blocks
                    .flat_map(|block| path.query(block))
                    .map(Row::Json)
                    .collect()
            }
            Source::Regex(_) | Source::Meta(_) => Vec::new(),
        }
    }

    /// True when it finds anything at all.
    pub(super) fn is_there(&self, page: &Page<'_>) -> bool {
        match self {
            Source::Css(css) => css.elements(page, None).next().is_some(),
            Source::Regex(regex) => regex.is_match(page.text()),
            _ => !self.find(page, Row::Page, false).is_empty(),
        }
    }
}

impl Css {
    fn parse(text: &str) -> Result<Self, Fault> {
        let (css, take) = match last_colons(text) {
            None => (text, Take::Text),
            Some(at) => {
                let part = &text[at + 2..];
                let take = match part {
                    "text" => Take::Text,
                    "html" => Take::Html,
                    _ => match part
                        .strip_prefix("attr(")
                        .and_then(|rest| rest.strip_suffix(')'))
                    {
                        Some(name) if !name.trim().is_empty() => {
                            Take::Attr(name.trim().to_ascii_lowercase())
                        }
                        _ => {
                            return Err(Fault::new(
                                at,
                                format!("there is no part ::{part}"),
                                "write ::text, ::html or ::attr(NAME), as in a::attr(href)",
                            ));
                        }
                    },
                };
                (text[..at].trim_end(), take)
            }
        };
        let selector = match css {
            "" if text.is_empty() => {
                return Err(Fault::new(
                    0,
                    "the expression is empty",
                    "write a CSS selector such as .price::text, or re:, json:, jsonld: or meta:",
                ));
            }
            "" => None,
            css => Some(selector(css)?),
        };
        Ok(Css {
            text: css.to_owned(),
            selector,
            take,
        })
    }

    /// The elements that the selector matches.
    pub(super) fn elements<'a>(
        &'a self,
        page: &'a Page<'_>,
        within: Option<ElementRef<'a>>,
    ) -> Box<dyn Iterator<Item = ElementRef<'a>> + 'a> {
        match &self.selector {
            Some(selector) => select(page, within, selector),
            None => {
                let own = within.unwrap_or_else(|| page.html().root_element());
                Box::new(std::iter::once(own))
            }
        }
    }

    /// What is taken of an element.
    pub(super) fn take(&self, element: ElementRef<'_>) -> Option<Value> {
        match &self.take {
            Take::Text => Some(text_of(element).into()),
            Take::Html => Some(element.html().into()),
            Take::Attr(name) => element.attr(name).map(Value::from),
        }
    }

    fn find<'a>(
        &'a self,
        page: &'a Page<'_>,
        within: Option<ElementRef<'a>>,
        most: usize,
    ) -> Vec<Value> {
        let elements = self.elements(page, within);
        given(
            page,
            elements.filter_map(|element| self.take(element)),
            most,
        )
    }
}

/// A CSS selector. The parser does not say where it stumbled, so the first step that it does not take is shown.
pub(super) fn selector(css: &str) -> Result<Selector, Fault> {
    Selector::parse(css).map_err(|_| {
        let ends = steps(css);
        let bad = ends
            .iter()
            .position(|end| Selector::parse(&css[..*end]).is_err());
        let from = match bad {
            Some(at) if at > 0 => ends[at - 1],
            _ => 0,
        };
        let skipped = css[from..].find(|c: char| !c.is_whitespace()).unwrap_or(0);
        Fault::new(
            from + skipped,
            "this is no CSS selector",
            "write it as in a style sheet, such as '#results li' or 'a[href^=\"/item/\"]'",
        )
    })
}

fn regex(pattern: &str) -> Result<Regex, Fault> {
    Regex::new(pattern).map_err(|error| {
        // It prints the pattern with a caret below, then `error: …`.
        let text = error.to_string();
        let mut lines = text.lines();
        let caret = lines.find_map(|line| {
            let spaces = line.find(|c: char| c != ' ')?;
            (line.as_bytes()[spaces] == b'^').then_some(spaces)
        });
        let columns = caret.unwrap_or(4).saturating_sub(4);
        let at = pattern.char_indices().nth(columns).map_or(pattern.len(), |(at, _)| at);
        let why = text.lines().last().unwrap_or_default();
        let why = why.strip_prefix("error: ").unwrap_or(why);
        Fault::new(at, why, "write re: and a pattern, with a group around what is wanted: re:Price: (?<price>[0-9.]+)")
    })
}

const PATHS: &str = "write a path such as json:$.items[*].price or json:$..title (RFC 9535)";

fn json_path(path: &str) -> Result<JsonPath, Fault> {
    JsonPath::parse(path).map_err(|error| {
        Fault::new(
            error.position().min(path.len()),
            "this is no JSONPath",
            PATHS,
        )
    })
}

/// `offers.price` stands for `$..offers.price`: the blocks of sites nest differently.
fn json_ld(path: &str) -> Result<JsonPath, Fault> {
    if path.is_empty() {
        let hint = "write the keys, as in jsonld:offers.price, or a path that begins with $";
        return Err(Fault::new(0, "a path is missing", hint));
    }
    if path.starts_with('$') {
        return json_path(path);
    }
    let keys: Vec<String> = path
        .split('.')
        .map(|key| format!("['{}']", key.replace('\\', "\\\\").replace('\'', "\\'")))
        .collect();
    let full = format!("$..{}", keys.concat());
    JsonPath::parse(&full).map_err(|_| Fault::new(0, "this is no path", PATHS))
}

/// The first findings, as far as the page gives them.
fn given(page: &Page<'_>, found: impl Iterator<Item = Value>, most: usize) -> Vec<Value> {
    found
        .take(most)
        .take_while(|value| page.gives(size(value)))
        .collect()
}

/// The same of what a regex finds in a row: of rows within each other the letters are read again and again, whatever is found in them.
fn in_row(page: &Page<'_>, regex: &Regex, row: &str, most: usize) -> Vec<Value> {
    match page.gives(row.len()) {
        true => given(page, captured(regex, row), most),
        false => Vec::new(),
    }
}

/// Bytes of a value, about.
fn size(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(size).sum(),
            Value::Object(all) => all.iter().map(|(key, value)| key.len() + size(value)).sum(),
            _ => 0,
        }
}

fn captured(regex: &Regex, text: &str) -> impl Iterator<Item = Value> {
    let found = regex.captures_iter(text);
    found.map(|found| group(regex, &found))
}

/// Several named groups make an object; one, named or not, is the value; without any it is the whole match.
fn group(regex: &Regex, found: &Captures<'_>) -> Value {
    let text =
        |part: Option<regex::Match<'_>>| part.map_or(Value::Null, |part| part.as_str().into());
    let names: Vec<&str> = regex.capture_names().flatten().collect();
    match *names {
        [] => text(
            found
                .get(1)
                .or_else(|| found.get(0).filter(|_| regex.captures_len() == 1)),
        ),
        [name] => text(found.name(name)),
        _ => Value::Object(
            names
                .into_iter()
                .map(|name| (name.to_owned(), text(found.name(name))))
                .collect(),
        ),
    }
}
