//! CONNECT to an HTTP proxy, read by hand.
//!
//! General HTTP clients report every failed CONNECT alike, and some match its status by prefix or wait for a body that a 2xx
//! cannot have. Here any 2xx opens the tunnel, whatever lengths it claims and whatever 1xx came before it; HTTP/1.0 is fine; bytes behind the blank line
//! belong to the target; and a refusal is kept whole, since who refuses and why is evidence. Nothing is sent but the request
//! line, `Host` and the credentials.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::fault;
use super::head::{self, HEAD_MAX, Head, NoHead, Scan};
use crate::exchange::ProxyReply;
use crate::outcome::{Fault, FaultKind, Phase};
use crate::proxy::Credentials;
use crate::text::harmless;

/// Kept of a refusal's body. Every known block page says what it has to in less.
const BODY_MAX: usize = 16 * 1024;
/// How long a refusal may take to send its body. The verdict is known by then; only evidence is at stake.
const BODY_WAIT: Duration = Duration::from_secs(1);
/// Interim answers before the real one. One is odd; more than a few are a proxy that plays for time.
const INTERIM_MAX: usize = 4;
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
    let reply = read_answer(io, &mut buf).await?;
    if (200..300).contains(&reply.status) {
        return Ok(Opened {
            status: reply.status,
            early: buf.freeze(),
        });
    }
    Err(refused(io, buf, reply).await)
}

/// Reads the head of the answer. Whatever is said before it is skipped (RFC 9110 section 15.2): some proxies say
/// `100 Continue` to every request. All heads together are as long as one may be.
async fn read_answer<T: AsyncRead + Unpin>(io: &mut T, buf: &mut BytesMut) -> Result<Head, Fault> {
    let mut skipped = 0;
    for _ in 0..=INTERIM_MAX {
        let end = read_head(io, buf).await?;
        if skipped + end > HEAD_MAX {
            return Err(no_reply(head::TOO_LONG));
        }
        skipped += end;
        let head = head::parse(&buf.split_to(end).freeze()).map_err(no_reply)?;
        if !head.is_interim() {
            return Ok(head);
        }
    }
    Err(no_reply(NoHead(
        "never comes, only more 1xx in front of it",
    )))
}

/// Reads until the blank line; returns where the body starts.
async fn read_head<T: AsyncRead + Unpin>(io: &mut T, buf: &mut BytesMut) -> Result<usize, Fault> {
    let mut scan = Scan::default();
    loop {
        if let Some(end) = scan.end(buf).map_err(no_reply)? {
            return Ok(end);
        }
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

fn no_reply(NoHead(why): NoHead) -> Fault {
    Fault::new(
        Phase::Handshake,
        FaultKind::Malformed,
        format!("the answer to CONNECT {why}"),
    )
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
    let reason = String::from_utf8_lossy(&head.reason);
    if !reason.is_empty() {
        message.push(' ');
        message.extend(harmless(&reason).take(100));
    }
    Refusal {
        fault: Fault::new(Phase::Handshake, kind, message),
        reply: Some(Box::new(ProxyReply {
            status: head.status,
            reason: reason.into(),
            headers: head.headers,
            body: body.freeze(),
        })),
    }
}

#[cfg(test)]
#[path = "connect_tests.rs"]
mod tests;
