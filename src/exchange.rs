//! What one send through one proxy brought back: the evidence that `ban` judges and the record reports.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};

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
