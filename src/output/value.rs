//! Values of a row, and how each writes itself as JSON and as plain text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::{Map, Value as Json};

use super::timestamp::timestamp;
use super::{Attempts, digits, json, parts};
use crate::exchange::Truncation;
use crate::job::JobId;
use crate::outcome::{Attempt, Ban, ErrorInfo, Outcome, RedirectHop, Timing, UnixMillis};
use crate::proxy::Proxy;
use crate::text::Sha256;

/// What a field holds, not yet written.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Uint(u64),
    Float(f64),
    Str(&'a str),
    Outcome(Outcome),
    Id(JobId),
    Digest(Sha256),
    /// Written as base64.
    Bytes(&'a [u8]),
    Proxy(&'a Proxy),
    Time(UnixMillis),
    Map(&'a Map<String, Json>),
    Attempts(&'a [Attempt]),
    Ban(&'a Ban),
    Error(&'a ErrorInfo),
    Redirects(&'a [RedirectHop]),
    Timing(&'a Timing),
    Truncation(Truncation),
    Headers(&'a HeaderMap),
    Json(&'a Json),
}

impl<'a> Value<'a> {
    /// The value in `option`, or null.
    pub(super) fn some<T>(option: Option<T>, value: impl FnOnce(T) -> Self) -> Self {
        option.map_or(Value::Null, value)
    }

    pub(super) fn text(text: Option<&'a str>) -> Self {
        Value::some(text, Value::Str)
    }

    pub(super) fn uint<N: Into<u64>>(number: Option<N>) -> Self {
        Value::some(number, |number| Value::Uint(number.into()))
    }

    /// A value of the user's own or of a page; texts are texts.
    pub(super) fn of_json(map: Option<&'a Map<String, serde_json::Value>>, key: &str) -> Self {
        match map.and_then(|map| map.get(key)) {
            None | Some(serde_json::Value::Null) => Value::Null,
            Some(serde_json::Value::String(text)) => Value::Str(text),
            Some(other) => Value::Json(other),
        }
    }

    /// Appends the value as JSON.
    #[inline(always)] // For `object::Line::field`.
    pub(super) fn write_json(self, attempts: Attempts, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Uint(number) => digits::uint(number, out),
            Value::Float(number) => digits::float(number, out),
            Value::Str(text) => json::string(text, out),
            Value::Outcome(outcome) => quoted(out, |out| word(outcome, out)),
            Value::Id(id) => quoted(out, |out| hex(id.as_u64(), out)),
            Value::Digest(digest) => quoted(out, |out| digest_hex(digest, out)),
            Value::Bytes(bytes) => quoted(out, |out| base64(bytes, out)),
            Value::Time(at) => quoted(out, |out| timestamp(at, out)),
            Value::Proxy(proxy) => parts::quoted_label(proxy, out),
            Value::Map(map) => json::derived(map, out),
            Value::Attempts(log) => match attempts {
                Attempts::Full => json::derived(log, out),
                Attempts::Short => parts::short_log(log, out),
            },
            Value::Ban(ban) => json::derived(ban, out),
            Value::Error(error) => parts::error(error, out),
            Value::Redirects(hops) => parts::redirects(hops, out),
            Value::Timing(timing) => parts::timing(timing, out),
            Value::Truncation(why) => json::derived(&why, out),
            Value::Headers(headers) => parts::headers(headers, out),
            Value::Json(value) => json::derived(value, out),
        }
    }

    /// Appends the value as plain text: nothing for null, no quotes around strings, JSON for what has structure.
    pub(super) fn write_text(self, attempts: Attempts, out: &mut Vec<u8>) {
        match self {
            Value::Null => {}
            Value::Str(text) => out.extend_from_slice(text.as_bytes()),
            Value::Outcome(outcome) => word(outcome, out),
            Value::Id(id) => hex(id.as_u64(), out),
            Value::Digest(digest) => digest_hex(digest, out),
            Value::Bytes(bytes) => base64(bytes, out),
            Value::Proxy(proxy) => parts::label(proxy, out),
            Value::Time(at) => timestamp(at, out),
            _ => self.write_json(attempts, out),
        }
    }

    /// True when the text may come from outside and start like a formula.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Value::Str(_) | Value::Bytes(_))
    }
}

fn quoted(out: &mut Vec<u8>, write: impl Fn(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn word(outcome: Outcome, out: &mut Vec<u8>) {
    out.extend_from_slice(outcome.as_str().as_bytes());
}

fn hex(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&digits::hex(number));
}

fn digest_hex(digest: Sha256, out: &mut Vec<u8>) {
    for word in digest.0.as_chunks().0 {
        hex(u64::from_be_bytes(*word), out);
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
