//! One request and its answer over one HTTP/1 connection.
//!
//! Written for this one use rather than taken from an HTTP library: there one request costs a channel, two futures that wake each
//! other and buffers that stay with the connection, about three times the instructions of what is here (benches/README.md). Here
//! the task that waits for the answer reads it, an idle connection is the bare stream, and a buffer exists only while there is
//! something in it.
//!
//! Request and answer travel at the same time: a server may answer, and hang up, before it has read the whole request. No
//! pipelining, no upgrade.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{StatusCode, Version};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::Instant;

use super::buffers::Buffers;
use super::fault;
use super::framing::{Framing, Piece, keeps_alive};
use super::head::{self, HEAD_MAX, Head, NoHead, Scan};
use super::request::Message;
use super::stream::Stream;
use super::trace::{Answer, Failure, Limits, Reach, Trace, undecodable};
use crate::outcome::{Fault, FaultKind, Phase};

/// Room for what does not fit the first buffer.
const READ_MORE: usize = 64 * 1024;
/// A smaller piece of a body is copied: it would keep the whole buffer it was read into.
const SHARED_MIN: usize = 4 * 1024;

/// Sends the message of `wire` and reads the answer into `trace`. True when the connection can be used again.
pub(super) async fn exchange(
    wire: &mut Wire<'_>,
    limits: Limits,
    trace: &mut Trace<'_>,
) -> Result<bool, Failure> {
    let started = Instant::now();
    let sent_before = std::mem::replace(&mut trace.sent, true);
    trace.report.phase = Phase::Headers;
    let head = match read_head(wire).await {
        Ok(head) => head,
        Err(failure) => {
            if failure.reach == Reach::Unsent {
                trace.sent = sent_before;
            }
            return Err(failure);
        }
    };
    let mut framing = Framing::of(head.status, wire.message.to_head, &head.headers)
        .map_err(|broken| malformed(Phase::Headers, broken.0))?;
    let reusable = keeps_alive(head.minor, &head.headers) && head.status != 101;
    let status = StatusCode::from_u16(head.status)
        .map_err(|_| malformed(Phase::Headers, "has a broken status line"))?;
    let version = match head.minor {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let head = (status, version, head.headers);
    let answer = trace.answered(head, framing.length(), started, limits)?;
    let whole = read_body(wire, &mut framing, answer).await?;
    if whole {
        trace.body_is_over(Instant::now());
    }
    Ok(reusable && whole && wire.flushed && wire.buf.is_empty())
}

/// Line breaks and interim answers in front of the answer together are as long as a head may be.
async fn read_head(wire: &mut Wire<'_>) -> Result<Head, Failure> {
    let no_head = |why: NoHead| {
        let fault = malformed(Phase::Headers, why.0);
        let reach = match why {
            head::TOO_LONG | head::BROKEN => Reach::Answered,
            // What comes late of the answer before, such as the body that some servers send to HEAD.
            _ => Reach::Unanswered,
        };
        Failure { fault, reach }
    };
    let mut scan = Scan::default();
    let mut skipped = 0;
    loop {
        match wire.fill().await {
            Ok(0) => return Err(wire.unanswered(None)),
            Ok(_) => {}
            Err(error) => return Err(wire.unanswered(Some(&error))),
        }
        loop {
            skipped += head::skip_line_breaks(&mut wire.buf);
            let end = scan.end(&wire.buf).map_err(no_head)?;
            if skipped + end.unwrap_or(0) > HEAD_MAX {
                return Err(no_head(head::TOO_LONG));
            }
            let Some(end) = end else {
                break;
            };
            // Copied: headers may be kept, and the buffer belongs to the body.
            let bytes = Bytes::copy_from_slice(&wire.buf[..end]);
            wire.buf.advance(end);
            let head = head::parse(&bytes).map_err(no_head)?;
            // Whatever is said before the answer is not kept.
            if !head.is_interim() {
                return Ok(head);
            }
            skipped += end;
            scan = Scan::default();
        }
    }
}

/// True when the body came whole.
async fn read_body(
    wire: &mut Wire<'_>,
    framing: &mut Framing,
    answer: &mut Answer,
) -> Result<bool, Fault> {
    loop {
        match framing
            .next(&mut wire.buf)
            .map_err(|broken| malformed(Phase::Body, broken.0))?
        {
            Piece::Data(data) => {
                let data = if data.len() < SHARED_MIN {
                    Bytes::copy_from_slice(&data)
                } else {
                    data
                };
                if !answer.body.push(data).map_err(undecodable)? {
                    return Ok(false);
                }
            }
            Piece::End => break,
            Piece::More => match wire.fill().await {
                Ok(0) if *framing == Framing::UntilClose => break,
                Ok(0) => return Ok(answer.cut_short()),
                Ok(_) => {}
                Err(error)
                    if *framing == Framing::UntilClose
                        && error.kind() == io::ErrorKind::UnexpectedEof =>
                {
                    return answer.end_unsaid();
                }
                Err(error) => return answer.cut(fault::from_stream(Phase::Body, &error)),
            },
        }
    }
    answer.body.finish().map_err(undecodable)
}

fn malformed(phase: Phase, why: &str) -> Fault {
    Fault::new(phase, FaultKind::Malformed, format!("the answer {why}"))
}

/// Both directions of a connection during one exchange.
pub(super) struct Wire<'a> {
    stream: Stream,
    message: Message,
    /// Bytes of the message that were written.
    written: usize,
    /// All of it was, and nothing is held back.
    flushed: bool,
    /// Why no more can be written. What the other side said before it hung up is read all the same.
    lost: Option<io::Error>,
    /// Not a byte has come.
    silent: bool,
    /// Read, and not yet taken.
    buf: BytesMut,
    buffers: &'a Buffers,
}

impl<'a> Wire<'a> {
    /// For sending `message` over `stream`, with room to read from `buffers`.
    pub(super) fn new(stream: Stream, message: Message, buffers: &'a Buffers) -> Self {
        Wire {
            stream,
            message,
            written: 0,
            flushed: false,
            lost: None,
            silent: true,
            buf: BytesMut::new(),
            buffers,
        }
    }

    /// The bare connection.
    pub(super) fn into_stream(self) -> Stream {
        self.buffers.give(self.buf);
        self.stream
    }

    /// Reads more, while what is left of the message is written. 0 is the end of the stream.
    async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| {
            if !self.flushed && self.lost.is_none() {
                match self.poll_send(cx) {
                    Poll::Ready(Ok(())) => self.flushed = true,
                    Poll::Ready(Err(error)) => self.lost = Some(error),
                    Poll::Pending => {}
                }
            }
            let read = self.poll_read(cx);
            // Nothing to wait for: the other side is gone and has said nothing.
            if read.is_pending()
                && let Some(error) = &self.lost
            {
                return Poll::Ready(Err(error.kind().into()));
            }
            read
        })
        .await
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = self.poll_read_into(cx);
        // Most of the time all requests wait, and nobody needs room while waiting.
        if read.is_pending() && self.buf.is_empty() {
            let buf = std::mem::take(&mut self.buf);
            if self.silent {
                self.buffers.give(buf);
            }
        }
        read
    }

    fn poll_read_into(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.stream.poll_readable(cx))?;
        if self.silent && self.buf.capacity() == 0 {
            self.buf = self.buffers.take();
        } else if self.buf.len() == self.buf.capacity() {
            self.buf.reserve(READ_MORE);
        }
        let read = ready!(pin!(self.stream.read_buf(&mut self.buf)).poll(cx))?;
        self.silent &= read == 0;
        Poll::Ready(Ok(read))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.message.from(self.written) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// The stream has ended, or failed with `error`, before the head of the answer was whole.
    fn unanswered(&self, error: Option<&io::Error>) -> Failure {
        let fault = match error.or(self.lost.as_ref()) {
            Some(error) => fault::from_stream(Phase::Headers, error),
            None => Fault::new(
                Phase::Headers,
                FaultKind::Closed,
                if self.silent {
                    "connection closed before the answer"
                } else {
                    "connection closed before the answer was whole"
                },
            ),
        };
        let reach = match (self.silent, fault::is_hang_up(fault.kind)) {
            (true, true) if self.written == 0 => Reach::Unsent,
            (true, true) => Reach::Unanswered,
            _ => Reach::Answered,
        };
        Failure { fault, reach }
    }
}
