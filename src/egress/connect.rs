//! CONNECT to an HTTP proxy, read by hand.
//!
//! General HTTP clients report every failed CONNECT alike, and some match its status by prefix or wait for a body that a 2xx
//! cannot have. Here any 2xx opens the tunnel, whatever lengths it claims; HTTP/1.0 is fine; bytes behind the blank line
//! belong to the target; and a refusal is kept whole, since who refuses and why is evidence. Nothing is sent but the request
//! line, `Host` and the credentials.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::fault;
use crate::exchange::ProxyReply;
use crate::outcome::{Fault, FaultKind, Phase};
use crate::proxy::Credentials;

/// Longest reply head: what browsers and squid allow for a whole header.
const HEAD_MAX: usize = 64 * 1024;
/// Kept of a refusal's body. Every known block page says what it has to in less.
const BODY_MAX: usize = 16 * 1024;
/// How long a refusal may take to send its body. The verdict is known by then; only evidence is at stake.
const BODY_WAIT: Duration = Duration::from_secs(1);
/// Read at once: replies are a few hundred bytes.
const READ_SIZE: usize = 1024;

/// The tunnel is open.
#[derive(Debug)]
pub(super) struct Opened {
    /// Status, 200..=299.
    pub(super) status: u16,
    /// What the target had already sent when the reply was read.
    pub(super) early: Bytes,
}

/// The tunnel is not open.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) fault: Fault,
    /// The proxy's answer, if it was one.
    pub(super) reply: Option<Box<ProxyReply>>,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Refusal { fault, reply: None }
    }
}

/// `Basic` credentials as the proxy wants them.
pub(super) fn basic(credentials: &Credentials) -> String {
    let pair = format!(
        "{}:{}",
        credentials.user.expose(),
        credentials.password.expose()
    );
    format!("Basic {}", BASE64.encode(pair))
}

/// Asks `io` for a tunnel to `authority` (`host:port`, IPv6 in brackets).
pub(super) async fn connect<T>(
    io: &mut T,
    authority: &str,
    credentials: Option<&Credentials>,
) -> Result<Opened, Refusal>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(credentials) = credentials {
        request.push_str("Proxy-Authorization: ");
        request.push_str(&basic(credentials));
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    let lost = |error: std::io::Error| fault::from_io(Phase::Handshake, &error);
    io.write_all(request.as_bytes()).await.map_err(lost)?;
    io.flush().await.map_err(lost)?;

    let mut buf = BytesMut::new();
    let end = read_head(io, &mut buf).await?;
    let head = buf.split_to(end).freeze();
    let reply = parse_head(&head)?;
    if (200..300).contains(&reply.status) {
        return Ok(Opened {
            status: reply.status,
            early: buf.freeze(),
        });
    }
    Err(refused(io, buf, reply).await)
}

/// Reads until the blank line; returns where the body starts.
async fn read_head<T: AsyncRead + Unpin>(io: &mut T, buf: &mut BytesMut) -> Result<usize, Fault> {
    let malformed = |message: &'static str| {
        Fault::new(
            Phase::Handshake,
            FaultKind::Malformed,
            format!("the answer to CONNECT {message}"),
        )
    };
    let mut searched = 0;
    loop {
        if !looks_like_http(buf) {
            return Err(malformed(looks_like(buf)));
        }
        if let Some(end) = head_end(buf, searched) {
            return if end <= HEAD_MAX {
                Ok(end)
            } else {
                Err(malformed("has a header of more than 64 kB"))
            };
        }
        if buf.len() >= HEAD_MAX {
            return Err(malformed("has a header of more than 64 kB"));
        }
        // The blank line may straddle two reads.
        searched = buf.len().saturating_sub(3);
        buf.reserve(READ_SIZE);
        let read = io
            .read_buf(buf)
            .await
            .map_err(|error| fault::from_io(Phase::Handshake, &error))?;
        if read == 0 {
            return Err(Fault::new(
                Phase::Handshake,
                FaultKind::Closed,
                if buf.is_empty() {
                    "the proxy closed the connection instead of answering CONNECT"
                } else {
                    "the proxy closed the connection within its answer to CONNECT"
                },
            ));
        }
    }
}

/// One past the blank line, searched from `from`. Bare line feeds count: old proxies send them.
fn head_end(buf: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', &buf[from..]).find_map(|at| {
        let next = from + at + 1;
        match buf.get(next..) {
            Some([b'\n', ..]) => Some(next + 1),
            Some([b'\r', b'\n', ..]) => Some(next + 2),
            _ => None,
        }
    })
}

/// False as soon as the first bytes cannot become `HTTP/1.`.
fn looks_like_http(buf: &[u8]) -> bool {
    let start = b"HTTP/1.";
    let seen = buf.len().min(start.len());
    buf[..seen] == start[..seen]
}

/// What a server that is no HTTP proxy seems to be.
pub(super) fn looks_like(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x15 | 0x16, 0x03, ..] => "looks like TLS; is this an https proxy?",
        [b'S', b'S', b'H', ..] => "looks like SSH",
        [0x05, ..] | [0x00, 0x5a..=0x5d, ..] => "looks like SOCKS; is this a socks proxy?",
        [b'H', b'T', b'T', b'P', ..] => "is not HTTP/1.x; is this an http proxy?",
        [b'2', b'2', b'0', b' ' | b'-', ..] => "looks like a mail or FTP server",
        [b'<', ..] => "is a bare web page",
        [0, ..] => "is binary",
        _ => "is not HTTP",
    }
}

struct Head {
    status: u16,
    reason: Box<str>,
    headers: HeaderMap,
}

/// Reads the status line strictly and the headers leniently: a bad line is dropped, the rest is evidence.
fn parse_head(head: &Bytes) -> Result<Head, Fault> {
    let mut lines = head
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status_line = lines.next().unwrap_or_default();
    let (status, reason) = parse_status_line(status_line).ok_or_else(|| {
        Fault::new(
            Phase::Handshake,
            FaultKind::Malformed,
            "the answer to CONNECT has a broken status line",
        )
    })?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let (name, value) = (
            line[..colon].trim_ascii_end(),
            line[colon + 1..].trim_ascii(),
        );
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name),
            HeaderValue::from_maybe_shared(head.slice_ref(value)),
        ) {
            // Only fails past 32,768 distinct names, which do not fit into 64 kB.
            let _ = headers.try_append(name, value);
        }
    }
    Ok(Head {
        status,
        reason,
        headers,
    })
}

/// `HTTP/1.x SP 3DIGIT [SP reason]`.
fn parse_status_line(line: &[u8]) -> Option<(u16, Box<str>)> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (minor, rest) = rest.split_first()?;
    if !minor.is_ascii_digit() {
        return None;
    }
    let rest = rest.strip_prefix(b" ")?.trim_ascii_start();
    let (digits, reason) = rest.split_at_checked(3)?;
    if !digits.iter().all(u8::is_ascii_digit) || !(reason.is_empty() || reason[0] == b' ') {
        return None;
    }
    let status = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let reason = String::from_utf8_lossy(reason.trim_ascii()).into_owned();
    (status >= 100).then(|| (status, reason.into_boxed_str()))
}

/// The refusal with as much of its body as comes soon.
async fn refused<T: AsyncRead + Unpin>(io: &mut T, mut body: BytesMut, head: Head) -> Refusal {
    let wanted = head
        .headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(usize::MAX)
        .min(BODY_MAX);
    let more = async {
        while body.len() < wanted {
            body.reserve(READ_SIZE);
            match io.read_buf(&mut body).await {
                Ok(read) if read > 0 => {}
                _ => break,
            }
        }
    };
    // However it ends, what came is what is kept.
    let _ = tokio::time::timeout(BODY_WAIT, more).await;
    body.truncate(wanted);

    let kind = match head.status {
        407 => FaultKind::Auth,
        status => FaultKind::Rejected(status),
    };
    let mut message = format!("the proxy answered CONNECT with {}", head.status);
    if !head.reason.is_empty() {
        message.push(' ');
        message.extend(head.reason.chars().filter(|c| !c.is_control()).take(100));
    }
    Refusal {
        fault: Fault::new(Phase::Handshake, kind, message),
        reply: Some(Box::new(ProxyReply {
            status: head.status,
            reason: head.reason,
            headers: head.headers,
            body: body.freeze(),
        })),
    }
}

#[cfg(test)]
#[path = "connect_tests.rs"]
mod tests;
