//! The keys of a row, and where each finds its value.
//!
//! Every writer (JSONL, CSV, `-w`) asks a [`Field`] for its [`Value`] and lets that write itself, so the three cannot disagree.
//! Rows are written by hand rather than by the derived `Serialize` of the record: selecting fields, short attempts and bodies
//! that need not be copied into the record come for free, and nothing is allocated per row. That both give the same bytes is a
//! test.

use std::borrow::Cow;

use super::value::Value;
use crate::outcome::{BodyField, Record};

/// A record about to be written, with its body in the form asked for.
pub(super) struct Row<'a> {
    pub(super) record: &'a Record,
    pub(super) body: BodyView<'a>,
}

/// The body of a row, borrowed where it can be.
pub(super) enum BodyView<'a> {
    /// Not kept, or whatever the record itself holds.
    None,
    Text(Cow<'a, str>),
    /// A text that lacks some of the bytes, which are all there beside it.
    Flawed(Cow<'a, str>, &'a [u8]),
    /// To be written as base64.
    Bytes(&'a [u8]),
    Path(String),
}

/// A top-level key of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    V,
    Id,
    Seq,
    Input,
    Url,
    FinalUrl,
    Method,
    Tag,
    Outcome,
    Ok,
    Status,
    HttpVersion,
    ContentType,
    Charset,
    Etag,
    LastModified,
    Proxy,
    ProxyConnectStatus,
    ExitIp,
    Attempts,
    ProxiesTried,
    AttemptLog,
    Ban,
    Edge,
    Error,
    Redirects,
    Timing,
    StartedAt,
    FinishedAt,
    SizeWire,
    SizeBody,
    Truncated,
    Cost,
    BodySha256,
    Title,
    Fields,
    Row,
    Rows,
    Headers,
    Body,
    BodyB64,
    BodyPath,
    Resumed,
}

impl Field {
    /// All of them, in the order of the row.
    pub(super) const ALL: [Field; 43] = [
        Field::V,
        Field::Id,
        Field::Seq,
        Field::Input,
        Field::Url,
        Field::FinalUrl,
        Field::Method,
        Field::Tag,
        Field::Outcome,
        Field::Ok,
        Field::Status,
        Field::HttpVersion,
        Field::ContentType,
        Field::Charset,
        Field::Etag,
        Field::LastModified,
        Field::Proxy,
        Field::ProxyConnectStatus,
        Field::ExitIp,
        Field::Attempts,
        Field::ProxiesTried,
        Field::AttemptLog,
        Field::Ban,
        Field::Edge,
        Field::Error,
        Field::Redirects,
        Field::Timing,
        Field::StartedAt,
        Field::FinishedAt,
        Field::SizeWire,
        Field::SizeBody,
        Field::Truncated,
        Field::Cost,
        Field::BodySha256,
        Field::Title,
        Field::Fields,
        Field::Row,
        Field::Rows,
        Field::Headers,
        Field::Body,
        Field::BodyB64,
        Field::BodyPath,
        Field::Resumed,
    ];

    /// The key.
    pub(super) fn name(self) -> &'static str {
        let key = self.key();
        &key[2..key.len() - 2]
    }

    /// What stands before the value in a row of JSON, comma included.
    pub(super) fn key(self) -> &'static str {
        match self {
            Field::V => ",\"v\":",
            Field::Id => ",\"id\":",
            Field::Seq => ",\"seq\":",
            Field::Input => ",\"input\":",
            Field::Url => ",\"url\":",
            Field::FinalUrl => ",\"final_url\":",
            Field::Method => ",\"method\":",
            Field::Tag => ",\"tag\":",
            Field::Outcome => ",\"outcome\":",
            Field::Ok => ",\"ok\":",
            Field::Status => ",\"status\":",
            Field::HttpVersion => ",\"http_version\":",
            Field::ContentType => ",\"content_type\":",
            Field::Charset => ",\"charset\":",
            Field::Etag => ",\"etag\":",
            Field::LastModified => ",\"last_modified\":",
            Field::Proxy => ",\"proxy\":",
            Field::ProxyConnectStatus => ",\"proxy_connect_status\":",
            Field::ExitIp => ",\"exit_ip\":",
            Field::Attempts => ",\"attempts\":",
            Field::ProxiesTried => ",\"proxies_tried\":",
            Field::AttemptLog => ",\"attempt_log\":",
            Field::Ban => ",\"ban\":",
            Field::Edge => ",\"edge\":",
            Field::Error => ",\"error\":",
            Field::Redirects => ",\"redirects\":",
            Field::Timing => ",\"timing\":",
            Field::StartedAt => ",\"started_at\":",
            Field::FinishedAt => ",\"finished_at\":",
            Field::SizeWire => ",\"size_wire\":",
            Field::SizeBody => ",\"size_body\":",
            Field::Truncated => ",\"truncated\":",
            Field::Cost => ",\"cost\":",
            Field::BodySha256 => ",\"body_sha256\":",
            Field::Title => ",\"title\":",
            Field::Fields => ",\"fields\":",
            Field::Row => ",\"row\":",
            Field::Rows => ",\"rows\":",
            Field::Headers => ",\"headers\":",
            Field::Body => ",\"body\":",
            Field::BodyB64 => ",\"body_b64\":",
            Field::BodyPath => ",\"body_path\":",
            Field::Resumed => ",\"resumed\":",
        }
    }

    /// The field with this key.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Field::ALL.into_iter().find(|field| field.name() == name)
    }

    /// Its value in this row; `None` for a key that the row does not have (only the body fields).
    #[inline(always)] // For `object::Line::field`.
    pub(super) fn value<'a>(self, row: &'a Row<'_>) -> Option<Value<'a>> {
        let record = row.record;
        Some(match self {
            Field::V => Value::Uint(record.v.into()),
            Field::Id => Value::Id(record.id),
            Field::Seq => Value::Uint(record.seq),
            Field::Input => Value::Str(&record.input),
            Field::Url => Value::text(record.url.as_deref()),
            Field::FinalUrl => Value::text(record.final_url.as_deref()),
            Field::Method => Value::Str(record.method.as_str()),
            Field::Tag => Value::some(record.tag.as_deref(), Value::Map),
            Field::Outcome => Value::Outcome(record.outcome),
            Field::Ok => Value::Bool(record.ok),
            Field::Status => Value::uint(record.status),
            Field::HttpVersion => Value::text(record.http_version),
            Field::ContentType => Value::text(record.content_type.as_deref()),
            Field::Charset => Value::text(record.charset),
            Field::Etag => Value::text(record.etag.as_deref()),
            Field::LastModified => Value::text(record.last_modified.as_deref()),
            Field::Proxy => Value::some(record.proxy.as_deref(), Value::Proxy),
            Field::ProxyConnectStatus => Value::uint(record.proxy_connect_status),
            Field::ExitIp => Value::text(record.exit_ip.as_deref()),
            Field::Attempts => Value::Uint(record.attempts.into()),
            Field::ProxiesTried => Value::Uint(record.proxies_tried.into()),
            Field::AttemptLog => Value::Attempts(&record.attempt_log),
            Field::Ban => Value::some(record.ban.as_deref(), Value::Ban),
            Field::Edge => Value::text(record.edge),
            Field::Error => Value::some(record.error.as_ref(), Value::Error),
            Field::Redirects => Value::Redirects(&record.redirects),
            Field::Timing => Value::Timing(&record.timing),
            Field::StartedAt => Value::some(record.started_at, Value::Time),
            Field::FinishedAt => Value::Time(record.finished_at),
            Field::SizeWire => Value::uint(record.size_wire),
            Field::SizeBody => Value::uint(record.size_body),
            Field::Truncated => Value::some(record.truncated, Value::Truncation),
            Field::Cost => Value::some(record.cost, Value::Float),
            Field::BodySha256 => Value::some(record.body_sha256, Value::Digest),
            Field::Title => Value::text(record.title.as_deref()),
            Field::Fields => Value::some(record.fields.as_ref(), Value::Map),
            Field::Row => Value::uint(record.row),
            Field::Rows => Value::uint(record.rows),
            Field::Headers => Value::some(record.headers.as_ref(), Value::Headers),
            Field::Body => match (&row.body, &record.body) {
                (BodyView::Text(text) | BodyView::Flawed(text, _), _) => Value::Str(text),
                (BodyView::None, BodyField::Text(text)) => Value::Str(text),
                _ => return None,
            },
            Field::BodyB64 => match (&row.body, &record.body) {
                (BodyView::Bytes(bytes) | BodyView::Flawed(_, bytes), _) => Value::Bytes(bytes),
                (BodyView::None, BodyField::Base64(text)) => Value::Str(text),
                _ => return None,
            },
            Field::BodyPath => match (&row.body, &record.body) {
                (BodyView::Path(path), _) => Value::Str(path),
                (BodyView::None, BodyField::Path(path)) => Value::Str(path),
                _ => return None,
            },
            Field::Resumed => Value::Bool(record.resumed),
        })
    }
}
