//! Transport failures, each with the phase it happened in.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// A transport-level failure.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// Where on the way it happened.
    pub phase: Phase,
    /// What happened.
    pub kind: FaultKind,
    /// For people; never holds a credential.
    pub message: Cow<'static, str>,
}

impl Fault {
    /// A fault with a text for people.
    pub fn new(phase: Phase, kind: FaultKind, message: impl Into<Cow<'static, str>>) -> Self {
        Fault {
            phase,
            kind,
            message: message.into(),
        }
    }

    /// The exit code curl gives for this kind of failure; scripts know them.
    pub fn curl_code(&self) -> u8 {
        match (self.phase, self.kind) {
            (_, FaultKind::Dns) => 5,
            (_, FaultKind::Timeout) => 28,
            (
                Phase::Handshake,
                FaultKind::Rejected(_)
                | FaultKind::Auth
                | FaultKind::Malformed
                | FaultKind::Unsupported,
            ) => 97,
            (_, FaultKind::Certificate | FaultKind::OtherCertificate) => 60,
            (_, FaultKind::Tls) | (Phase::ProxyTls | Phase::Tls, FaultKind::Malformed) => 35,
            (Phase::Connect, _) => 7,
            (_, FaultKind::TooLarge) => 63,
            (_, FaultKind::Decode) => 61,
            (_, FaultKind::Http2(_)) => 92,
            (_, FaultKind::Redirects) => 47,
            (Phase::Headers, FaultKind::Closed) => 52,
            (Phase::Body, FaultKind::Closed) => 18,
            (Phase::Headers, FaultKind::Malformed) => 8,
            _ => 56,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} in {})", self.message, self.kind, self.phase)
    }
}

/// The phases of an exchange, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Looking up the *proxy's* name; target names are never looked up.
    Dns,
    /// TCP connect to the proxy.
    Connect,
    /// TLS to the proxy.
    ProxyTls,
    /// CONNECT or SOCKS.
    Handshake,
    /// TLS with the target.
    Tls,
    /// Writing the request.
    Request,
    /// Waiting for and reading the response head.
    Headers,
    /// Reading the body.
    Body,
}

impl Phase {
    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Dns => "dns",
            Phase::Connect => "connect",
            Phase::ProxyTls => "proxy_tls",
            Phase::Handshake => "handshake",
            Phase::Tls => "tls",
            Phase::Request => "request",
            Phase::Headers => "headers",
            Phase::Body => "body",
        }
    }

    /// True while nothing can have reached the target yet.
    pub fn is_before_target(self) -> bool {
        self < Phase::Tls
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The proxy's name does not resolve.
    Dns,
    /// TCP connect refused.
    Refused,
    /// A time limit passed.
    Timeout,
    /// Connection reset.
    Reset,
    /// Connection closed before the answer was whole.
    Closed,
    /// The proxy's address cannot be reached (EHOSTUNREACH).
    Unreachable,
    /// The proxy's address is one of IPv6, to which this machine has no way at all.
    NoIpv6,
    /// Bytes that are not the protocol: garbage, a header flood, a wrong version.
    Malformed,
    /// 407, or SOCKS5 method or password refused.
    Auth,
    /// The proxy refused the tunnel: CONNECT status (400..=599) or SOCKS reply code (1..=255).
    Rejected(u16),
    /// The target ended the HTTP/2 stream or connection with this error code (RFC 9113, section 7).
    Http2(u32),
    /// A certificate did not verify.
    Certificate,
    /// Nor did one that a known authority vouches for: it is for another name or another time.
    OtherCertificate,
    /// TLS failed otherwise.
    Tls,
    /// The content-encoding or transfer-encoding is broken, or the latter unknown.
    Decode,
    /// The body passed the size cap.
    TooLarge,
    /// This proxy's protocol cannot carry the request.
    Unsupported,
    /// Redirect limit reached, or a redirect to nowhere.
    Redirects,
    /// This machine: EMFILE, ENETUNREACH, no ephemeral port.
    Local,
    /// No proxy of the pool may or can serve the job.
    NoProxy,
    /// The run was interrupted.
    Cancelled,
}

impl FaultKind {
    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultKind::Dns => "dns",
            FaultKind::Refused => "refused",
            FaultKind::Timeout => "timeout",
            FaultKind::Reset => "reset",
            FaultKind::Closed => "closed",
            FaultKind::Unreachable => "unreachable",
            FaultKind::NoIpv6 => "no_ipv6",
            FaultKind::Malformed => "malformed",
            FaultKind::Auth => "auth",
            FaultKind::Rejected(_) => "rejected",
            FaultKind::Http2(_) => "http2",
            FaultKind::Certificate | FaultKind::OtherCertificate => "certificate",
            FaultKind::Tls => "tls",
            FaultKind::Decode => "decode",
            FaultKind::TooLarge => "too_large",
            FaultKind::Unsupported => "unsupported",
            FaultKind::Redirects => "redirects",
            FaultKind::Local => "local",
            FaultKind::NoProxy => "no_usable_proxy",
            FaultKind::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultKind::Rejected(code) => write!(f, "rejected {code}"),
            FaultKind::Http2(code) => write!(f, "http2 {code}"),
            _ => f.write_str(self.as_str()),
        }
    }
}
