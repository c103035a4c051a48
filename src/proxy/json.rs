//! Lists as JSON: one document, or one value a line.
//!
//! A document is an array of entries, or an object that holds one under `results`, `proxies` or `data`, however deep these
//! are nested. Entries are strings of the line grammar or objects read as table rows. The document is cut into its elements by a
//! scan that only knows strings and brackets, and each element is parsed by itself: one broken entry costs one entry, memory
//! does not depend on the document, and complaints have a line.

use serde_json::Value;

use super::column::Column;
use super::list::{MAX_LINE, Sink};
use super::reject::Reason;
use super::table::Row;

/// Longest entry read, in bytes; objects carry geography, so more than a line.
const MAX_ELEMENT: usize = 64 * 1024;
/// How deep the entries may be wrapped in objects: `{"data": {"results": […]}}` is two.
const MAX_WRAPPERS: usize = 4;

/// True when the text is one JSON document rather than lines: an array, or an object that does not end on its line or is the
/// only one.
pub(super) fn is_document(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii();
    if text.starts_with(b"[") {
        // `[::1]:8080` and `[section]` begin with a bracket too.
        let inside = text[1..].trim_ascii_start();
        return matches!(inside.first(), Some(b'{' | b'"' | b'[' | b']'))
            && !text.starts_with(b"[]:");
    }
    is_object(text) && {
        let line_end = memchr::memchr(b'\n', text).unwrap_or(text.len());
        // An object that never ends is a broken first line, or a document that was cut off within its entries.
        let goes_on = || value_end(text, 0).is_some() || entries(text, 0, MAX_WRAPPERS).is_some();
        line_end == text.len() || (value_end(&text[..line_end], 0).is_none() && goes_on())
    }
}

/// True when a line is to be read as JSON.
pub(super) fn is_line(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    line.starts_with(b"\"") || is_object(line)
}

/// A user name may begin with `{session}`, so the brace alone does not tell.
fn is_object(text: &[u8]) -> bool {
    text.strip_prefix(b"{")
        .is_some_and(|inside| matches!(inside.trim_ascii_start().first(), None | Some(b'"' | b'}')))
}

/// Reads a whole document.
pub(super) fn read(bytes: &[u8], sink: &mut Sink<'_>) {
    let mut place = Place::default();
    let start = bytes.len() - bytes.trim_ascii_start().len();
    let start = entries(bytes, start, MAX_WRAPPERS).unwrap_or(start);
    if bytes.get(start) != Some(&b'[') {
        let end = value_end(bytes, start).unwrap_or(bytes.len());
        let (line, column) = place.of(bytes, start);
        let result = element(&bytes[start..end], sink);
        return sink.settle(line, column, result);
    }
    let mut at = skip_blank(bytes, start + 1);
    while bytes.get(at) != Some(&b']') {
        let (line, column) = place.of(bytes, at);
        let Some(end) = value_end(bytes, at).filter(|end| *end > at) else {
            return sink.settle(line, column, Err(Reason::BadJson));
        };
        let result = element(&bytes[at..end], sink);
        sink.settle(line, column, result);
        at = skip_blank(bytes, end);
        if bytes.get(at) == Some(&b',') {
            at = skip_blank(bytes, at + 1);
        } else if bytes.get(at) != Some(&b']') {
            let (line, column) = place.of(bytes, at);
            return sink.settle(line, column, Err(Reason::BadJson));
        }
    }
}

/// Reads one entry.
pub(super) fn element(bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Reason> {
    if bytes.len() > MAX_ELEMENT {
        return Err(Reason::TooLong);
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|_| {
        if std::str::from_utf8(bytes).is_err() {
            Reason::NotUtf8
        } else {
            Reason::BadJson
        }
    })?;
    match value {
        Value::String(text) if text.len() > MAX_LINE => Err(Reason::TooLong),
        Value::String(text) => match sink.text(&text) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Reason::NoAddress),
            Err(flaw) => Err(flaw.reason),
        },
        Value::Object(object) => {
            let mut row = Row::default();
            fill(&mut row, &object);
            if let Some(code) = located_country(&object) {
                row.put(Column::Country, code, 0);
            }
            row.take(sink).map_err(|flaw| flaw.reason)
        }
        _ => Err(Reason::NoAddress),
    }
}

/// Puts the members that name columns into the row.
fn fill<'a>(row: &mut Row<'a>, object: &'a serde_json::Map<String, Value>) {
    for (name, value) in object {
        let Some(column) = Column::named(name) else {
            continue;
        };
        match value {
            Value::String(text) => row.put(column, &**text, 0),
            Value::Number(number) => row.put(column, number.to_string(), 0),
            Value::Array(values) if matches!(column, Column::Label("tag")) => {
                let tags: Vec<_> = values.iter().filter_map(Value::as_str).collect();
                row.put(column, tags.join(","), 0);
            }
            // `"auth": {"username": "u", "password": "p"}`
            Value::Object(inner) if column == Column::Credentials => fill(row, inner),
            Value::Array(values) => {
                if let Some(Value::String(first)) = values.first() {
                    row.put(column, &**first, 0);
                }
            }
            _ => {}
        }
    }
}

/// The country code that checkers nest under `geolocation`.
fn located_country(object: &serde_json::Map<String, Value>) -> Option<&str> {
    let geolocation = object.get("geolocation")?;
    geolocation
        .get("countryCode")
        .or_else(|| geolocation.get("country_code"))
        .or_else(|| geolocation.pointer("/country/iso_code"))?
        .as_str()
}

/// Where the array of entries starts: the value at `at` if it is one, else within its members.
fn entries(bytes: &[u8], at: usize, wrappers: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'[' => return Some(at),
        b'{' if wrappers > 0 => {}
        _ => return None,
    }
    let mut at = skip_blank(bytes, at + 1);
    while bytes.get(at) == Some(&b'"') {
        let key_end = value_end(bytes, at)?;
        let key = &bytes[at + 1..key_end - 1];
        let colon = skip_blank(bytes, key_end);
        if bytes.get(colon) != Some(&b':') {
            return None;
        }
        let value = skip_blank(bytes, colon + 1);
        if [&b"results"[..], b"proxies", b"data"].contains(&key)
            && let Some(found) = entries(bytes, value, wrappers - 1)
        {
            return Some(found);
        }
        at = skip_blank(bytes, value_end(bytes, value)?);
        if bytes.get(at) == Some(&b',') {
            at = skip_blank(bytes, at + 1);
        }
    }
    None
}

/// The end of the JSON value at `at`, told by strings and brackets alone; `None` when the text ends first.
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = at;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                // At depth 0 the bracket closes what the value stands in.
                depth = match depth.checked_sub(1) {
                    None => return Some(at),
                    Some(0) => return Some(at + 1),
                    Some(depth) => depth,
                };
            }
            b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

/// The end of the string at `at`, behind its closing quote.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

fn skip_blank(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    bytes.len() - rest.trim_ascii_start().len()
}

/// Turns offsets, asked for in rising order, into lines and columns.
struct Place {
    offset: usize,
    line: u64,
    line_start: usize,
}

impl Default for Place {
    fn default() -> Self {
        Place {
            offset: 0,
            line: 1,
            line_start: 0,
        }
    }
}

impl Place {
    fn of(&mut self, bytes: &[u8], offset: usize) -> (u64, u64) {
        let passed = bytes.get(self.offset..offset).unwrap_or_default();
        for newline in memchr::memchr_iter(b'\n', passed) {
            self.line += 1;
            self.line_start = self.offset + newline + 1;
        }
        self.offset = offset.max(self.offset);
        let before = bytes.get(self.line_start..offset).unwrap_or_default();
        // A document on one line would be counted again for every element, so far columns are in bytes.
        let column = if before.len() <= MAX_LINE {
            String::from_utf8_lossy(before).chars().count()
        } else {
            before.len()
        };
        (self.line, column as u64 + 1)
    }
}
