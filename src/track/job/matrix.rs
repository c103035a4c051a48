//! `[matrix]` and `[vary]`: the axes of a job, and what single values of them change.

use std::collections::HashSet;
use std::fs;

use http::{HeaderName, HeaderValue};

use super::keys;
use super::reader::{Item, Source, Table};
use crate::nearest::nearest;
use crate::text;

/// Names that placeholders have already.
const TAKEN: [&str; 2] = ["page", "offset"];
/// Most values of an axis; a longer file is one of another kind.
const MOST_VALUES: usize = 1_000_000;

/// One axis of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// Its name.
    pub name: Box<str>,
    /// Its values in their order, each once; at least one.
    pub values: Vec<Box<str>>,
}

/// What one value of an axis changes: a table `[vary.AXIS.VALUE]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Vary {
    /// The axis.
    pub axis: Box<str>,
    /// The value.
    pub value: Box<str>,
    /// Placeholders of the URL and what they become.
    pub vars: Vec<(Box<str>, Box<str>)>,
    /// Headers of its requests; they replace those of `[fetch]` that have the same name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Cookies of its requests.
    pub cookies: Vec<(Box<str>, Box<str>)>,
    /// Country its exits have to be labelled with, two lower-case letters.
    pub exit_country: Option<Box<str>>,
    /// Tags its exits have to carry.
    pub exit_tags: Vec<Box<str>>,
}

/// The axes; `None` when one of them has no values.
pub(super) fn read_axes(table: &Table<'_, '_>, source: &Source<'_>) -> Option<Vec<Axis>> {
    let Some(item) = table.item("matrix") else {
        return Some(Vec::new());
    };
    let items = item.table("matrix")?.items();
    let all = items.len();
    let axes: Vec<Axis> = items.iter().filter_map(|item| axis(item, source)).collect();
    (axes.len() == all).then_some(axes)
}

fn axis(item: &Item<'_, '_>, source: &Source<'_>) -> Option<Axis> {
    if !is_name(item.key) || TAKEN.contains(&item.key) {
        item.source.complain(
            item.key_at,
            format!("{:?} cannot be the name of an axis", item.key),
            Some("use letters, digits, _ and -; {page} and {offset} are the page's own".into()),
        );
        return None;
    }
    let mut values: Vec<Box<str>> = Vec::new();
    if item.is_table() {
        file(item, source, &mut values)?;
    } else {
        for element in item.elements() {
            let Some(value) = element.scalar() else {
                element.mistyped("strings, or { file = \"keywords.txt\" }");
                return None;
            };
            let value = value.trim();
            if value.is_empty() || value.chars().any(char::is_control) {
                element.complain(
                    format!("a value of {} is empty or has a line break", item.key),
                    "leave it out",
                );
                return None;
            }
            values.push(value.into());
        }
    }
    if values.is_empty() {
        item.complain(
            format!(
                "the axis {} has no values, so there is nothing to ask",
                item.key
            ),
            "write some, or leave the axis out",
        );
        return None;
    }
    let mut seen = HashSet::new();
    values.retain(|value| seen.insert(value.clone()));
    Some(Axis {
        name: item.key.into(),
        values,
    })
}

/// `{ file = "keywords.txt" }`: one value a line.
fn file(item: &Item<'_, '_>, source: &Source<'_>, values: &mut Vec<Box<str>>) -> Option<()> {
    let keys = item.table("matrix")?.items();
    let (mut named, mut good) = (None, true);
    for key in &keys {
        if key.key == "file" {
            named = key.text().map(|name| (name, key.clone()));
            good &= named.is_some();
        } else {
            let hint = "an axis is a list of values, or { file = \"keywords.txt\" }";
            let what = format!("unknown key {:?} in the axis {}", key.key, item.key);
            source.complain(key.key_at, what, Some(hint.into()));
            good = false;
        }
    }
    if !good {
        return None;
    }
    let Some((name, key)) = named else {
        item.complain(
            format!(
                "the axis {} has no values, so there is nothing to ask",
                item.key
            ),
            "write a list, or { file = \"keywords.txt\" }",
        );
        return None;
    };
    let path = source.beside(name);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            key.complain(
                format!("cannot read {}: {error}", path.display()),
                "the path is relative to the folder of the job file",
            );
            return None;
        }
    };
    // Windows editors save UTF-16; what is neither is refused rather than asked for in broken letters.
    let decoded = match bytes.as_slice() {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => text::decode(None, &bytes).into_owned(),
        _ => match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
                let (line, _) = text::position(&before, valid);
                key.complain(
                    format!("{}:{line}: not UTF-8", path.display()),
                    "save the file as UTF-8",
                );
                return None;
            }
        },
    };
    let lines = decoded
        .trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    values.extend(lines.take(MOST_VALUES + 1).map(Into::into));
    if let Some(line) = values
        .iter()
        .find(|line| line.chars().any(char::is_control))
    {
        key.complain(
            format!("{} has a control character in {line:?}", path.display()),
            "it has to be a text file with one value a line",
        );
        return None;
    }
    if values.len() > MOST_VALUES {
        key.complain(
            format!("{} has more than {MOST_VALUES} values", path.display()),
            "split the job",
        );
        return None;
    }
    if values.is_empty() {
        key.complain(
            format!(
                "{} has no values, so there is nothing to ask",
                path.display()
            ),
            "write one a line; lines that begin with # are comments",
        );
        return None;
    }
    Some(())
}

/// The tables below `[vary]`, in the order of the axes, then of the file.
pub(super) fn read_vary(table: &Table<'_, '_>, axes: Option<&[Axis]>) -> Vec<Vary> {
    let Some(of_axes) = table.table("vary", "matrix") else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for of_axis in of_axes.items() {
        let found = axes.map(|axes| axes.iter().position(|axis| *axis.name == *of_axis.key));
        if found == Some(None) {
            unknown_axis(&of_axis, axes.unwrap_or_default());
            continue;
        }
        let place = found.flatten().unwrap_or_default();
        let axis = axes.and_then(|axes| axes.get(place));
        let Some(of_values) = of_axis.table("matrix") else {
            continue;
        };
        for of_value in of_values.items() {
            if let Some(axis) = axis
                && !axis.values.iter().any(|value| **value == *of_value.key)
            {
                unknown_value(&of_value, axis);
            }
            if let Some(changes) = of_value.table("vary") {
                let vary = vary(&changes, of_axis.key, of_value.key);
                all.push((place, vary));
            }
        }
    }
    all.sort_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, vary)| vary).collect()
}

/// Complains of a name that is no axis.
pub(super) fn unknown_axis(item: &Item<'_, '_>, axes: &[Axis]) {
    let names: Vec<&str> = axes.iter().map(|axis| &*axis.name).collect();
    let hint = match nearest(item.key, names.iter().copied()) {
        Some(near) => format!("did you mean {near} ?"),
        None if names.is_empty() => "the job has no [matrix]".to_owned(),
        None => format!("the axes are {}", names.join(", ")),
    };
    let what = format!("no axis of the matrix is called {:?}", item.key);
    item.source.complain(item.key_at, what, Some(hint));
}

/// Complains of a value that its axis does not have.
pub(super) fn unknown_value(item: &Item<'_, '_>, axis: &Axis) {
    let (what, hint) = not_a_value(item.key, axis);
    item.source.complain(item.key_at, what, Some(hint));
}

pub(super) fn not_a_value(value: &str, axis: &Axis) -> (String, String) {
    let what = format!("{value:?} is no value of the axis {}", axis.name);
    let hint = match nearest(value, axis.values.iter().map(|value| &**value)) {
        Some(near) => format!("did you mean {near:?} ?"),
        None if axis.values.len() <= 10 => {
            let quoted: Vec<String> = axis.values.iter().map(|v| format!("{v:?}")).collect();
            format!("its values are {}", quoted.join(", "))
        }
        None => format!("it has {} others", axis.values.len()),
    };
    (what, hint)
}

fn vary(table: &Table<'_, '_>, axis: &str, value: &str) -> Vary {
    let pairs = |key| {
        let table = table.table(key, "matrix");
        table.map(|table| table.items()).unwrap_or_default()
    };
    let vars = pairs("vars").into_iter().filter_map(|item| {
        if !is_name(item.key) || TAKEN.contains(&item.key) {
            let hint = "use letters, digits, _ and -; {page} and {offset} are the page's own";
            let what = format!("{:?} cannot be the name of a placeholder", item.key);
            item.source.complain(item.key_at, what, Some(hint.into()));
            return None;
        }
        let Some(text) = item.scalar() else {
            item.mistyped("a string");
            return None;
        };
        Some((item.key.into(), text.into()))
    });
    let vars = vars.collect();
    let headers = pairs("headers").iter().filter_map(header).collect();
    let cookies = pairs("cookies").iter().filter_map(cookie).collect();
    let exit_country = table.item("exit_country").and_then(|item| country(&item));
    let tags = table.item("exit_tags").and_then(|item| item.texts());
    table.finish();
    Vary {
        axis: axis.into(),
        value: value.into(),
        vars,
        headers,
        cookies,
        exit_country,
        exit_tags: tags
            .unwrap_or_default()
            .into_iter()
            .map(|(tag, _)| tag.into())
            .collect(),
    }
}

fn header(item: &Item<'_, '_>) -> Option<(HeaderName, HeaderValue)> {
    let Ok(name) = HeaderName::try_from(item.key) else {
        let what = format!("{:?} cannot be the name of a header", item.key);
        item.source.complain(item.key_at, what, None);
        return None;
    };
    if name == http::header::COOKIE {
        let table = keys::heading("vary");
        let hint = format!("write them into cookies = {{ NAME = \"VALUE\" }} of {table}");
        item.source
            .complain(item.key_at, "cookies are no header here", Some(hint));
        return None;
    }
    let text = item.filled()?;
    match HeaderValue::try_from(text.trim()) {
        Ok(value) => Some((name, value)),
        Err(_) => {
            let what = format!("{} has a value that no header can have", item.key);
            item.complain(what, "leave line breaks out");
            None
        }
    }
}

/// RFC 6265: neither blanks, quotes, commas, semicolons nor backslashes; the name is a token.
fn cookie(item: &Item<'_, '_>) -> Option<(Box<str>, Box<str>)> {
    let value = item.filled()?;
    let fits =
        |byte: u8| (0x21..0x7f).contains(&byte) && !matches!(byte, b'"' | b',' | b';' | b'\\');
    if HeaderName::try_from(item.key).is_err() || !value.bytes().all(fits) {
        item.complain(
            format!("{} cannot be a cookie", item.key),
            "a cookie has neither blanks, quotes, commas, semicolons nor backslashes; encode them as %20",
        );
        return None;
    }
    Some((item.key.into(), value.into()))
}

fn country(item: &Item<'_, '_>) -> Option<Box<str>> {
    let text = item.text()?;
    if text.len() != 2 || !text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        item.complain(
            format!("{text:?} is not a country"),
            "write two letters such as \"de\", as in the labels of the proxy list",
        );
        return None;
    }
    Some(text.to_ascii_lowercase().into())
}

/// What can stand between braces.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}
