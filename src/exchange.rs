//! What one send through one proxy brought back: the evidence that `ban` judges and the record reports.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version, header};
use percent_encoding::{AsciiSet, percent_encode};

use crate::outcome::Fault;

/// One request through one proxy, redirects not followed.
#[derive(Debug)]
pub struct Exchange {
    /// The answer, or the transport failure. One whose head came is an answer, whatever became of its body. A refused CONNECT is a failure here; its reply is in `connect_reply`.
    pub result: Result<Response, Fault>,
    /// How long each phase took; phases skipped on a reused connection are `None`.
    pub phases: Phases,
    /// Status of the proxy's answer to CONNECT, if one was read on this connection for this exchange.
    pub connect_status: Option<u16>,
    /// The proxy's whole answer to CONNECT when it refused.
    pub connect_reply: Option<Box<ProxyReply>>,
    /// True when the answer came through TLS that was verified as the target's, so the proxy cannot have written it.
    pub verified: bool,
    /// True when the request went to an HTTP proxy in absolute form: then the proxy reads it, and may answer it itself.
    pub forwarded: bool,
    /// True when the connection had been used before.
    pub reused: bool,
    /// True once the request may have reached the target: from then on a non-idempotent request is not repeated.
    pub sent: bool,
}

impl Exchange {
    /// An answer of which no more is known than whether it came through verified TLS; otherwise a forward proxy has passed it on.
    pub fn answered(response: Response, verified: bool) -> Self {
        Exchange {
            result: Ok(response),
            phases: Phases::default(),
            connect_status: None,
            connect_reply: None,
            verified,
            forwarded: !verified,
            reused: false,
            sent: true,
        }
    }

    /// A failure before anything was sent to the target.
    pub fn unsent(fault: Fault, phases: Phases) -> Self {
        Exchange {
            result: Err(fault),
            phases,
            connect_status: None,
            connect_reply: None,
            verified: false,
            forwarded: false,
            reused: false,
            sent: false,
        }
    }
}

/// Wall-clock length of each phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Phases {
    /// TCP connect to the proxy.
    pub connect: Option<Duration>,
    /// TLS to the proxy, CONNECT or SOCKS.
    pub proxy_handshake: Option<Duration>,
    /// TLS with the target inside the tunnel.
    pub tls: Option<Duration>,
    /// Request written to first response byte.
    pub ttfb: Option<Duration>,
    /// First to last body byte.
    pub body: Option<Duration>,
}

/// An answer with its body, decoded and bounded.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: StatusCode,
    /// HTTP version of the answer.
    pub version: Version,
    /// Headers as received; `content-encoding` still names what the wire carried.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
}

impl Response {
    /// Where a redirect leads, as the target wrote it; a blank place is none.
    ///
    /// Bytes that are no text go into the URL as they came, as browsers send them: old sites redirect to names in Latin-1.
    pub fn location(&self) -> Option<Cow<'_, str>> {
        if !matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let location = self.headers.get(header::LOCATION)?.as_bytes().trim_ascii();
        if location.is_empty() {
            return None;
        }
        Some(std::str::from_utf8(location).map_or_else(
            |_| percent_encode(location, &AsciiSet::EMPTY).into(),
            Cow::Borrowed,
        ))
    }
}

/// A response body, content-encoding removed, no longer than the cap.
#[derive(Debug, Default)]
pub struct Body {
    /// Decoded bytes.
    pub bytes: Bytes,
    /// Bytes as they came over the wire.
    pub size_wire: u64,
    /// Why the body is not whole, if it is not.
    pub truncated: Option<Truncation>,
    /// Why the rest cannot be read: broken encoding or framing. What is above is what came before.
    pub broken: Option<Box<Fault>>,
}

/// Why a body is not whole (the words of WARC 1.1 `WARC-Truncated`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Truncation {
    /// `--max-filesize` was reached; decoded bytes count.
    Length,
    /// `--max-time` passed in the body.
    Time,
    /// The connection ended before the announced length or the last chunk.
    Disconnect,
}

/// The proxy's own answer to CONNECT.
#[derive(Debug)]
pub struct ProxyReply {
    /// Status code.
    pub status: u16,
    /// Reason phrase; some proxies say everything there.
    pub reason: Box<str>,
    /// Headers of the reply.
    pub headers: HeaderMap,
    /// At most the first 16 kB of the body.
    pub body: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_the_bytes_it_names_and_a_blank_one_nowhere() {
        let from = url::Url::parse("http://a.test/x").unwrap();
        let path = |status, location: &[u8]| {
            let location = http::HeaderValue::from_bytes(location).unwrap();
            let response = Response {
                status: StatusCode::from_u16(status).unwrap(),
                version: Version::HTTP_11,
                headers: HeaderMap::from_iter([(header::LOCATION, location)]),
                body: Body::default(),
            };
            let next = response.location().map(|to| from.join(&to).unwrap());
            next.map(|next| next.path().to_owned())
        };
        assert_eq!(path(301, b"/caf\xe9 1").as_deref(), Some("/caf%E9%201"));
        assert_eq!(path(302, "/café".as_bytes()).as_deref(), Some("/caf%C3%A9"));
        assert_eq!(path(302, b" "), None);
        assert_eq!(path(200, b"/next"), None);
    }
}
