//! The record: one output row, and its parts. The field names and their order are `schema/record.v1.json`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderMap;
use serde::de::{Deserializer, Error as _};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::{Ban, Blame, Fault, Outcome};
use crate::exchange::Truncation;
use crate::job::JobId;
use crate::proxy::Proxy;
use crate::text::{self, Sha256};

/// One output row. Absent is `null`, never 0 and never a missing key, but for the three body fields: at most one of them.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Schema version: 1.
    pub v: u8,
    /// Stable id of the job.
    #[serde(serialize_with = "display")]
    pub id: JobId,
    /// Position in the input, from 0.
    pub seq: u64,
    /// The URL as the user wrote it.
    pub input: Box<str>,
    /// Normalised; `null` for `invalid_url`.
    pub url: Option<Arc<str>>,
    /// After redirects; `null` when no answer came.
    pub final_url: Option<Arc<str>>,
    /// Method of the first request.
    #[serde(serialize_with = "display")]
    pub method: http::Method,
    /// The user's own fields.
    pub tag: Option<Box<serde_json::Map<String, serde_json::Value>>>,
    /// The one word.
    pub outcome: Outcome,
    /// `outcome` is `ok`.
    pub ok: bool,
    /// Status of the last answer of the target.
    pub status: Option<u16>,
    /// `1.0`, `1.1` or `2`.
    pub http_version: Option<&'static str>,
    /// `content-type` of the answer.
    pub content_type: Option<Box<str>>,
    /// Charset that the writer has decoded the body from, lower case; `None` where it was not decoded, and in a record that no
    /// writer has had: see [`Finished::text`].
    pub charset: Option<&'static str>,
    /// `etag` of the answer, as the target sent it: for `if-none-match`.
    pub etag: Option<Box<str>>,
    /// `last-modified` of the answer, as the target sent it: for `if-modified-since`.
    pub last_modified: Option<Box<str>>,
    /// The proxy of the last attempt, as a redacted label.
    #[serde(serialize_with = "label")]
    pub proxy: Option<Arc<Proxy>>,
    /// The proxy's status to CONNECT in the last attempt.
    pub proxy_connect_status: Option<u16>,
    /// Address the target saw, where the proxy told it.
    pub exit_ip: Option<Box<str>>,
    /// Sends of this job.
    pub attempts: u32,
    /// Distinct proxies among them.
    pub proxies_tried: u32,
    /// The attempts in order.
    pub attempt_log: Vec<Attempt>,
    /// The rule that decided, if one did.
    pub ban: Option<Box<Ban>>,
    /// CDN or WAF in front of the target; presence, not a verdict.
    pub edge: Option<&'static str>,
    /// What failed, when something did.
    pub error: Option<ErrorInfo>,
    /// Hops of the last attempt.
    pub redirects: Vec<RedirectHop>,
    /// Milliseconds of each phase of the last attempt.
    pub timing: Timing,
    /// First dispatch.
    pub started_at: Option<UnixMillis>,
    /// Verdict.
    pub finished_at: UnixMillis,
    /// Body bytes on the wire.
    pub size_wire: Option<u64>,
    /// Body bytes after content-decoding.
    pub size_body: Option<u64>,
    /// Why the body is not whole.
    pub truncated: Option<Truncation>,
    /// What the attempts of this job have cost, in the currency of the prices; `null` when no proxy among them has a price.
    pub cost: Option<f64>,
    /// SHA-256 of the decoded body.
    pub body_sha256: Option<Sha256>,
    /// `<title>` of an HTML page, folded, at most 300 characters.
    pub title: Option<Box<str>>,
    /// Extracted fields; `null` when nothing was asked for, and for everything that is not `ok`.
    pub fields: Option<serde_json::Map<String, serde_json::Value>>,
    /// Which of the matches of `--rows` this row is, from 1; `null` without `--rows` and for an answer without a match.
    pub row: Option<u32>,
    /// How many matches the answer has, and so how many rows; `null` without `--rows`. An answer without a match has one row.
    pub rows: Option<u32>,
    /// Response headers, name to list of values; only with `--headers`.
    #[serde(serialize_with = "headers")]
    pub headers: Option<HeaderMap>,
    /// The body in the form `--body` asked for.
    #[serde(flatten)]
    pub body: BodyField,
    /// The row was written by a run that resumed another.
    pub resumed: bool,
}

/// A record with the bytes behind it; the writer stores the bytes as `--body` says.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The row; large, and handed on from the attempt to the writer.
    pub record: Box<Record>,
    /// The decoded response body; empty when there was no answer.
    pub body: Bytes,
    /// The fields of the rows after the first; the rest of these rows is that of the record.
    pub more: Vec<serde_json::Map<String, serde_json::Value>>,
}

impl Finished {
    /// The body as text: decoded from the charset that it says it is in, or looks like.
    pub fn text(&self) -> Cow<'_, str> {
        text::decode(self.record.content_type.as_deref(), &self.body)
    }
}

/// The body in the record: one of `body`, `body_b64`, `body_path`, or none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyField {
    /// No body was kept.
    #[default]
    None,
    /// Text, decoded to UTF-8.
    Text(Box<str>),
    /// Base64 of the decoded bytes.
    Base64(Box<str>),
    /// A file below `--save-dir`.
    Path(Box<str>),
}

impl Serialize for BodyField {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            BodyField::None => {}
            BodyField::Text(text) => map.serialize_entry("body", text)?,
            BodyField::Base64(text) => map.serialize_entry("body_b64", text)?,
            BodyField::Path(path) => map.serialize_entry("body_path", path)?,
        }
        map.end()
    }
}

/// One send of the job through one proxy.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// From 1.
    pub n: u32,
    /// Redacted label.
    #[serde(serialize_with = "some_label")]
    pub proxy: Arc<Proxy>,
    /// What this attempt came to.
    pub outcome: Outcome,
    /// Who was charged.
    pub blame: Blame,
    /// Status of the target, if it answered.
    pub status: Option<u16>,
    /// Status of the proxy to CONNECT.
    pub connect_status: Option<u16>,
    /// Id of the rule that fired.
    pub rule: Option<Box<str>>,
    /// The fault, if there was one.
    pub error: Option<ErrorInfo>,
    /// Milliseconds from dispatch to verdict.
    pub t_ms: f64,
    /// Milliseconds the job waited for this dispatch (limits, backoff, proxies).
    pub wait_ms: f64,
}

/// `error` of a record or an attempt.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorInfo {
    /// Word of the [`super::FaultKind`], or `invalid_url`, `must_match`, `must_not_match`, `expect_…`, `min_bytes`,
    /// `unparsed`, `incomplete`, `not_json`.
    pub kind: &'static str,
    /// Phase, when it was a transport failure.
    pub phase: Option<&'static str>,
    /// For people.
    pub message: Box<str>,
    /// curl's exit code for it.
    pub curl_code: Option<u8>,
}

impl ErrorInfo {
    /// What is wrong with the content of an answer.
    pub(crate) fn of_content(kind: &'static str, message: impl Into<Box<str>>) -> Self {
        ErrorInfo {
            kind,
            phase: None,
            message: message.into(),
            curl_code: None,
        }
    }
}

impl From<&Fault> for ErrorInfo {
    fn from(fault: &Fault) -> Self {
        ErrorInfo {
            kind: fault.kind.as_str(),
            phase: Some(fault.phase.as_str()),
            message: fault.message.clone().into(),
            curl_code: Some(fault.curl_code()),
        }
    }
}

/// One followed redirect.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedirectHop {
    /// Status that redirected.
    pub status: u16,
    /// The URL that answered with it.
    pub url: Box<str>,
}

/// Milliseconds, to the microsecond; `null` for a phase that did not happen.
#[derive(Debug, Clone, Copy, Default, Serialize, PartialEq)]
#[non_exhaustive]
pub struct Timing {
    /// Read from the input until first dispatch.
    pub queue: Option<f64>,
    /// Of that and between attempts: held back by limits, backoff and cooldowns.
    pub wait: Option<f64>,
    /// TCP connect to the proxy.
    pub connect: Option<f64>,
    /// TLS to the proxy, CONNECT or SOCKS.
    pub proxy_handshake: Option<f64>,
    /// TLS with the target.
    pub tls: Option<f64>,
    /// Request to first byte.
    pub ttfb: Option<f64>,
    /// Body.
    pub body: Option<f64>,
    /// Read from the input until the verdict.
    pub total: Option<f64>,
}

impl Timing {
    /// Milliseconds with three decimals.
    pub fn ms(duration: Duration) -> f64 {
        // 64 bits last for half a million years; of 128 a float is made by a routine.
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        micros as f64 / 1000.0
    }
}

/// An instant in UTC; RFC 3339 with milliseconds in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub i64);

impl From<SystemTime> for UnixMillis {
    fn from(at: SystemTime) -> Self {
        UnixMillis(
            at.duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_millis() as i64),
        )
    }
}

/// RFC 3339 in UTC, to the millisecond.
const FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

impl std::fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .map_err(|_| std::fmt::Error)?;
        f.write_str(&at.format(FORMAT).map_err(|_| std::fmt::Error)?)
    }
}

impl Serialize for UnixMillis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixMillis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let at = PrimitiveDateTime::parse(&text, FORMAT).map_err(D::Error::custom)?;
        let ms = at.assume_utc().unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(ms).map(UnixMillis).map_err(D::Error::custom)
    }
}

fn display<T: std::fmt::Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn label<S: Serializer>(proxy: &Option<Arc<Proxy>>, serializer: S) -> Result<S::Ok, S::Error> {
    match proxy {
        Some(proxy) => serializer.collect_str(&proxy.label()),
        None => serializer.serialize_none(),
    }
}

fn some_label<S: Serializer>(proxy: &Arc<Proxy>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&proxy.label())
}

fn headers<S: Serializer>(headers: &Option<HeaderMap>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(headers) = headers else {
        return serializer.serialize_none();
    };
    let mut map = serializer.serialize_map(Some(headers.keys_len()))?;
    for name in headers.keys() {
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        map.serialize_entry(name.as_str(), &values)?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_rfc3339_utc_with_milliseconds() {
        assert_eq!(
            UnixMillis(1_700_000_000_123).to_string(),
            "2023-11-14T22:13:20.123Z"
        );
        assert_eq!(UnixMillis(0).to_string(), "1970-01-01T00:00:00.000Z");
        for ms in [-1, 0, 1_700_000_000_123] {
            let text = serde_json::to_string(&UnixMillis(ms)).unwrap();
            assert_eq!(serde_json::from_str::<UnixMillis>(&text).unwrap().0, ms);
        }
    }
}
