//! Values of a row, and how each writes itself as JSON and as plain text.

use std::fmt;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::Attempts;
use crate::outcome::{Attempt, UnixMillis};
use crate::proxy::Proxy;

/// What a field holds, not yet written.
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Uint(u64),
    Float(f64),
    Str(&'a str),
    /// Displays as ASCII that needs no escaping.
    Plain(&'a dyn fmt::Display),
    /// Written as base64.
    Bytes(&'a [u8]),
    Proxy(&'a Proxy),
    Time(UnixMillis),
    Map(&'a Map<String, Json>),
    Attempts(&'a [Attempt]),
    Headers(&'a HeaderMap),
    Json(&'a dyn ToJson),
}

impl<'a> Value<'a> {
    pub(super) fn text(text: Option<&'a str>) -> Self {
        text.map_or(Value::Null, Value::Str)
    }

    pub(super) fn uint<N: Into<u64>>(number: Option<N>) -> Self {
        number.map_or(Value::Null, |number| Value::Uint(number.into()))
    }

    pub(super) fn float(number: Option<f64>) -> Self {
        number.map_or(Value::Null, Value::Float)
    }

    pub(super) fn json<T: ToJson>(value: Option<&'a T>) -> Self {
        match value {
            Some(value) => Value::Json(value),
            None => Value::Null,
        }
    }

    /// Appends the value as JSON.
    pub(super) fn write_json(&self, attempts: Attempts, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Uint(number) => json(number, out),
            Value::Float(number) => json(number, out),
            Value::Str(text) => json(text, out),
            Value::Plain(_) | Value::Bytes(_) | Value::Time(_) => {
                out.push(b'"');
                self.write_text(attempts, out);
                out.push(b'"');
            }
            Value::Proxy(proxy) => label(proxy, out),
            Value::Map(map) => json(map, out),
            Value::Attempts(log) => match attempts {
                Attempts::Full => json(log, out),
                Attempts::Short => short_log(log, out),
            },
            Value::Headers(headers) => write_headers(headers, out),
            Value::Json(value) => value.to_json(out),
        }
    }

    /// Appends the value as plain text: nothing for null, no quotes around strings, JSON for what has structure.
    pub(super) fn write_text(&self, attempts: Attempts, out: &mut Vec<u8>) {
        match self {
            Value::Null => {}
            Value::Str(text) => out.extend_from_slice(text.as_bytes()),
            Value::Plain(value) => display(value, out),
            Value::Bytes(bytes) => base64(bytes, out),
            Value::Proxy(proxy) => display(&proxy.label(), out),
            Value::Time(at) => timestamp(*at, out),
            _ => self.write_json(attempts, out),
        }
    }

    /// True when the text may come from outside and start like a formula.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Value::Str(_) | Value::Bytes(_))
    }
}

/// `Serialize` that can be a trait object, for the parts of a row that have structure.
pub(super) trait ToJson {
    fn to_json(&self, out: &mut Vec<u8>);
}

impl<T: Serialize> ToJson for T {
    fn to_json(&self, out: &mut Vec<u8>) {
        json(self, out);
    }
}

pub(super) fn json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    let start = out.len();
    // Rows hold strings, numbers and maps with string keys, and a vector takes any number of bytes: neither can fail. Should
    // that ever change, a null keeps the row whole.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

fn display(value: &dyn fmt::Display, out: &mut Vec<u8>) {
    // Writing to a vector does not fail; a `Display` that does leaves its text short.
    let _ = write!(out, "{value}");
}

/// A label is ASCII from the list's own grammar, but a hostname is only as clean as that grammar is strict.
fn label(proxy: &Proxy, out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    display(&proxy.label(), out);
    if out[start..]
        .iter()
        .any(|&byte| byte < b' ' || matches!(byte, b'"' | b'\\'))
    {
        out.truncate(start - 1);
        json(&proxy.label().to_string(), out);
    } else {
        out.push(b'"');
    }
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The space is what the standard alphabet with padding takes, so this cannot fall short.
    let used = STANDARD
        .encode_slice(bytes, &mut out[start..])
        .unwrap_or_default();
    out.truncate(start + used);
}

fn short_log(log: &[Attempt], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, attempt) in log.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"{\"n\":" } else { b",{\"n\":" });
        json(&attempt.n, out);
        out.extend_from_slice(b",\"proxy\":");
        label(&attempt.proxy, out);
        out.extend_from_slice(b",\"outcome\":\"");
        out.extend_from_slice(attempt.outcome.as_str().as_bytes());
        out.extend_from_slice(b"\",\"status\":");
        json(&attempt.status, out);
        out.extend_from_slice(b",\"t_ms\":");
        json(&attempt.t_ms, out);
        out.extend_from_slice(b",\"wait_ms\":");
        json(&attempt.wait_ms, out);
        out.push(b'}');
    }
    out.push(b']');
}

fn write_headers(headers: &HeaderMap, out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, name) in headers.keys().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json(name.as_str(), out);
        out.extend_from_slice(b":[");
        for (at, value) in headers.get_all(name).iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            json(&*String::from_utf8_lossy(value.as_bytes()), out);
        }
        out.push(b']');
    }
    out.push(b'}');
}

/// RFC 3339 in UTC with milliseconds. Every row has two of them, so they are worth the ten lines that save the allocations of
/// the formatting crate. Days to a date: the era algorithm over 400-year cycles that begin in March.
fn timestamp(at: UnixMillis, out: &mut Vec<u8>) {
    const DAY: i64 = 86_400_000;
    let (days, ms) = (at.0.div_euclid(DAY), at.0.rem_euclid(DAY));
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if !(0..=9999).contains(&year) {
        return display(&at, out);
    }
    let mut digits = |value: i64, count: u32, after: u8| {
        for place in (0..count).rev() {
            out.push(b'0' + (value / 10_i64.pow(place) % 10) as u8);
        }
        out.push(after);
    };
    digits(year, 4, b'-');
    digits(month, 2, b'-');
    digits(day, 2, b'T');
    digits(ms / 3_600_000, 2, b':');
    digits(ms / 60_000 % 60, 2, b':');
    digits(ms / 1000 % 60, 2, b'.');
    digits(ms % 1000, 3, b'Z');
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn timestamps_are_those_of_the_record(ms in 0_i64..253_402_300_800_000) {
            let mut out = Vec::new();
            timestamp(UnixMillis(ms), &mut out);
            proptest::prop_assert_eq!(String::from_utf8(out).unwrap(), UnixMillis(ms).to_string());
        }
    }
}
