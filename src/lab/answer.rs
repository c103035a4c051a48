//! An answer as a value, and how it goes out over HTTP/1.1.
//!
//! Pages and faults say *what* is sent, unfinished and hostile bodies included; this is the one place that says how.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;

use super::pages;
use super::wire::Wire;

/// One response, or the refusal to make one.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    pub(super) body: Body,
    /// How long to think first.
    pub(super) wait: Duration,
}

/// What follows the head.
pub(super) enum Body {
    /// [`pages::page`] of this size for the host and path asked for; rendered straight into the output.
    Page { size: usize },
    /// These bytes with their length.
    Full(Bytes),
    /// Bytes in pieces, unusual framing or a bad end.
    Pieces(Pieces),
    /// No end of headers.
    HeaderFlood,
    /// Not HTTP at all; the head is not sent.
    Garbage,
    /// No answer, connection open.
    Hang,
    /// No answer, RST.
    Reset,
    /// No answer, FIN.
    Close,
}

/// A body that is not simply there.
pub(super) struct Pieces {
    pub(super) pieces: Vec<Bytes>,
    /// Between two pieces.
    pub(super) pause: Duration,
    pub(super) framing: Framing,
    pub(super) end: End,
}

/// How the client is to find the end of the body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Content-Length, true or not.
    Length(u64),
    Chunked,
    /// The end of the connection.
    UntilClose,
}

/// What comes after the last piece.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The body is whole.
    Whole,
    /// The connection closes although more was promised.
    Cut,
    /// The last piece again, for ever.
    Endless,
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Answer {
            status,
            headers: vec![("Content-Type".into(), content_type.into())],
            body: Body::Full(body.into()),
            wait: Duration::ZERO,
        }
    }

    pub(super) fn html(status: u16, body: impl Into<Bytes>) -> Self {
        Answer::new(status, "text/html; charset=utf-8", body)
    }

    pub(super) fn page(size: usize) -> Self {
        Answer::html(200, Bytes::new()).with_body(Body::Page { size })
    }

    /// Nothing but a way of ending the connection, or not ending it.
    pub(super) fn silent(body: Body) -> Self {
        Answer {
            status: 0,
            headers: Vec::new(),
            body,
            wait: Duration::ZERO,
        }
    }

    pub(super) fn with_body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    pub(super) fn header(
        mut self,
        name: &'static str,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// True when the client may send another request after this answer.
    pub(super) fn keeps_alive(&self) -> bool {
        match &self.body {
            Body::Page { .. } | Body::Full(_) => true,
            Body::Pieces(pieces) => {
                pieces.end == End::Whole && pieces.framing != Framing::UntilClose
            }
            _ => false,
        }
    }
}

/// What of the request decides about the form of the answer.
pub(super) struct Asked<'a> {
    pub(super) host: &'a str,
    /// Path with query.
    pub(super) path: &'a str,
    pub(super) head_only: bool,
    pub(super) keep_alive: bool,
}

/// What to do with the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Read the next request.
    Keep,
    /// Close in order.
    Close,
    /// Leave without the farewell TLS would say, for bodies that break off.
    Drop,
    /// RST.
    Reset,
    /// Say nothing more.
    Hang,
}

/// Sends `answer`.
///
/// # Errors
/// What the socket says; a client that leaves in the middle is one.
pub(super) async fn send(wire: &mut Wire, answer: &Answer, asked: &Asked<'_>) -> io::Result<After> {
    if !answer.wait.is_zero() {
        tokio::time::sleep(answer.wait).await;
    }
    match answer.body {
        Body::Hang => return Ok(After::Hang),
        Body::Reset => return Ok(After::Reset),
        Body::Close => return Ok(After::Close),
        Body::Garbage => {
            wire.send(&pages::garbage()).await?;
            return Ok(After::Close);
        }
        _ => {}
    }
    let keep = asked.keep_alive && answer.keeps_alive();
    write_head(&mut wire.out, answer, keep)?;
    if let Body::HeaderFlood = answer.body {
        return flood(wire).await;
    }
    wire.out.extend_from_slice(b"\r\n");
    if !asked.head_only && !matches!(answer.status, 204 | 304) {
        match &answer.body {
            Body::Page { size } => {
                pages::write_page(&mut wire.out, asked.host, asked.path, *size);
            }
            Body::Full(bytes) => wire.out.extend_from_slice(bytes),
            Body::Pieces(pieces) => send_pieces(wire, pieces).await?,
            _ => {}
        }
    }
    wire.flush().await?;
    Ok(match &answer.body {
        Body::Pieces(pieces) if pieces.end == End::Cut => After::Drop,
        _ if keep => After::Keep,
        _ => After::Close,
    })
}

fn write_head(out: &mut Vec<u8>, answer: &Answer, keep: bool) -> io::Result<()> {
    match answer.status {
        200 => out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
        status => write!(out, "HTTP/1.1 {status} {}\r\n", reason(status))?,
    }
    for (name, value) in &answer.headers {
        for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    match &answer.body {
        _ if matches!(answer.status, 204 | 304) => {}
        Body::Page { size } => write!(out, "Content-Length: {size}\r\n")?,
        Body::Full(bytes) => write!(out, "Content-Length: {}\r\n", bytes.len())?,
        Body::Pieces(pieces) => match pieces.framing {
            Framing::Length(length) => write!(out, "Content-Length: {length}\r\n")?,
            Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Framing::UntilClose => {}
        },
        _ => {}
    }
    if !keep {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    Ok(())
}

/// The reason phrase, which no client should read.
pub(super) fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown")
}

async fn flood(wire: &mut Wire) -> io::Result<After> {
    // Ends when the client has had enough and closes.
    for line in 0u64.. {
        write!(wire.out, "X-Flood-{line}: {:0>480}\r\n", line)?;
        if wire.out.len() > 16 * 1024 {
            wire.flush().await?;
        }
    }
    Ok(After::Drop)
}

async fn send_pieces(wire: &mut Wire, body: &Pieces) -> io::Result<()> {
    let chunked = body.framing == Framing::Chunked;
    for (at, piece) in body.pieces.iter().enumerate() {
        if at > 0 && !body.pause.is_zero() {
            wire.flush().await?;
            tokio::time::sleep(body.pause).await;
        }
        push_piece(&mut wire.out, piece, chunked)?;
    }
    match body.end {
        End::Whole if chunked => wire.out.extend_from_slice(b"0\r\n\r\n"),
        End::Whole | End::Cut => {}
        End::Endless => {
            let Some(piece) = body.pieces.last().filter(|piece| !piece.is_empty()) else {
                return Ok(());
            };
            // Ends with the error of a client that has closed.
            loop {
                wire.flush().await?;
                if !body.pause.is_zero() {
                    tokio::time::sleep(body.pause).await;
                }
                push_piece(&mut wire.out, piece, chunked)?;
            }
        }
    }
    Ok(())
}

fn push_piece(out: &mut Vec<u8>, piece: &[u8], chunked: bool) -> io::Result<()> {
    if chunked && !piece.is_empty() {
        write!(out, "{:x}\r\n", piece.len())?;
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    } else {
        out.extend_from_slice(piece);
    }
    Ok(())
}
