//! An answer as the rules see it.

use std::time::SystemTime;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use url::Url;

use super::Seen;
use crate::exchange::{ProxyReply, Response};

/// Where in a body structure is looked for. Block pages say what they are at the top; some pages carry 100 kB of styles
/// first and say it in the last lines.
const HEAD: usize = 30 * 1024;
const TAIL: usize = 2 * 1024;

/// What kind of body it is; rules about pages must not be run over downloads that quote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Html,
    Json,
    Xml,
    Text,
    Other,
}

/// One answer: the proxy's to CONNECT, or one that came as the target's.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) connect: bool,
    pub(super) status: u16,
    pub(super) reason: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) content_type: Option<&'a str>,
    pub(super) kind: Kind,
    pub(super) body: &'a [u8],
    /// Absent for a probe.
    pub(super) url: Option<&'a Url>,
    /// Where a redirect leads, resolved.
    pub(super) location: Option<Url>,
    /// The proxy cannot have written it.
    pub(super) verified: bool,
    /// An HTTP proxy read the request and may have answered it itself.
    pub(super) forwarded: bool,
    /// As [`Seen::now`].
    pub(super) now: Option<SystemTime>,
}

impl<'a> View<'a> {
    pub(super) fn of_response(
        request: &Seen<'a>,
        response: &'a Response,
        verified: bool,
        forwarded: bool,
    ) -> Self {
        let status = response.status.as_u16();
        let location = response
            .location()
            .and_then(|location| request.url.join(&location).ok());
        let content_type = content_type(&response.headers);
        View {
            connect: false,
            status,
            reason: "",
            headers: &response.headers,
            content_type,
            kind: kind(content_type, &response.body.bytes),
            body: &response.body.bytes,
            url: Some(request.url),
            location,
            verified,
            forwarded,
            now: request.now,
        }
    }

    pub(super) fn of_reply(
        url: Option<&'a Url>,
        reply: &'a ProxyReply,
        now: Option<SystemTime>,
    ) -> Self {
        let content_type = content_type(&reply.headers);
        View {
            connect: true,
            status: reply.status,
            reason: &reply.reason,
            headers: &reply.headers,
            content_type,
            kind: kind(content_type, &reply.body),
            body: &reply.body,
            url,
            location: None,
            verified: false,
            forwarded: false,
            now,
        }
    }

    pub(super) fn is_success(&self) -> bool {
        (200..=299).contains(&self.status)
    }

    /// The bounded part of the body that is searched: its head, and its tail where that is not in the head.
    pub(super) fn windows(&self) -> (&'a [u8], &'a [u8]) {
        if self.body.len() <= HEAD + TAIL {
            (self.body, &[])
        } else {
            (&self.body[..HEAD], &self.body[self.body.len() - TAIL..])
        }
    }
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok()
}

/// Reads the type without allocating: this runs for every answer.
fn kind(content_type: Option<&str>, body: &[u8]) -> Kind {
    let essence = content_type
        .and_then(|value| value.split(';').next())
        .map_or("", str::trim);
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    let ends = |suffix: &str| {
        let start = essence.len().checked_sub(suffix.len());
        start
            .and_then(|start| essence.get(start..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    if essence.is_empty() {
        return match body.trim_ascii_start().first() {
            Some(b'<') => Kind::Html,
            Some(b'{' | b'[') => Kind::Json,
            _ => Kind::Text,
        };
    }
    if is("text/html") || is("application/xhtml+xml") {
        Kind::Html
    } else if is("application/json") || is("text/json") || ends("+json") {
        Kind::Json
    } else if is("text/xml") || is("application/xml") || ends("+xml") {
        Kind::Xml
    } else if is("text/plain") {
        Kind::Text
    } else {
        Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_label_and_only_without_one_the_bytes() {
        assert_eq!(kind(Some("Text/HTML; charset=utf-8"), b"{}"), Kind::Html);
        assert_eq!(kind(Some("application/problem+json"), b"<"), Kind::Json);
        assert_eq!(kind(Some("application/soap+xml"), b"<"), Kind::Xml);
        assert_eq!(kind(Some("text/csv"), b"<html>"), Kind::Other);
        assert_eq!(kind(None, b" \n<!doctype html>"), Kind::Html);
        assert_eq!(kind(None, b""), Kind::Text);
    }
}
