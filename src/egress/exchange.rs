//! One request and its answer over one connection, HTTP/1 or HTTP/2.
//!
//! An HTTP/1 connection is driven by the task that waits for its answer: hyper's connection future sits beside its sender and
//! both are polled together. That saves a task per connection, the hand-over between two tasks at every step, and lets an idle
//! connection be a plain value. HTTP/2 has to be read also when nobody waits (pings, settings), so its driver is a task, which
//! ends when the last sender is dropped.
//!
//! Everything that becomes known is written into a [`Trace`] at once, so that a deadline which cuts the exchange short loses
//! nothing of it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Version, response};
use http_body_util::Full;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::unconstrained;
use tokio::time::Instant;

use super::collect::Collector;
use super::decode::Broken;
use super::dial::Report;
use super::fault;
use super::stream::Stream;
use crate::exchange::{Exchange, Response, Truncation};
use crate::outcome::{Fault, FaultKind, Phase};

/// Longest response head, and most that is read at once.
const HEAD_MAX: usize = 64 * 1024;

/// The story of an exchange so far.
#[derive(Default)]
pub(super) struct Trace {
    pub(super) report: Report,
    pub(super) verified: bool,
    pub(super) forwarded: bool,
    pub(super) reused: bool,
    pub(super) sent: bool,
    head: Option<Head>,
}

/// The answer so far.
struct Head {
    status: StatusCode,
    version: Version,
    headers: HeaderMap,
    body: Collector,
    truncated: Option<Truncation>,
    /// When the head was complete; `None` once the body is done or when there is none.
    since: Option<Instant>,
}

impl Trace {
    /// Headers of the answer, as soon as there is one.
    pub(super) fn headers(&self) -> Option<&HeaderMap> {
        self.head.as_ref().map(|head| &head.headers)
    }

    /// Forgets a stale connection; what may have been sent stays sent.
    pub(super) fn restart(&mut self) {
        *self = Trace {
            sent: self.sent,
            ..Trace::default()
        };
    }

    /// The deadline has passed: an answer that has begun is an answer cut short.
    pub(super) fn time_out(&mut self) -> Result<(), Fault> {
        match &mut self.head {
            Some(head) => {
                head.truncated = Some(Truncation::Time);
                Ok(())
            }
            None => Err(fault::timeout(self.report.phase, None)),
        }
    }

    /// The whole story.
    pub(super) fn into_exchange(self, result: Result<(), Fault>) -> Exchange {
        let mut phases = self.report.phases;
        if let Some(since) = self.head.as_ref().and_then(|head| head.since) {
            phases.body = Some(since.elapsed());
        }
        let answer = self.head.map(|head| Response {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body: head.body.into_body(head.truncated),
        });
        Exchange {
            result: result.and_then(|()| {
                answer.ok_or_else(|| {
                    Fault::new(Phase::Headers, FaultKind::Closed, "there was no answer")
                })
            }),
            phases,
            connect_status: self.report.connect_status,
            connect_reply: self.report.connect_reply,
            verified: self.verified,
            forwarded: self.forwarded,
            reused: self.reused,
            sent: self.sent,
        }
    }
}

/// A failed exchange, and what that says about the connection.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) fault: Fault,
    pub(super) reach: Reach,
}

/// How far a failed request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing of it was written: it may be sent again whatever it is.
    Unsent,
    /// It may have been read, but the other side hung up without a byte: a kept-alive connection that was stale.
    Unanswered,
    /// It was answered in part, or failed in a way that a fresh connection does not cure.
    Answered,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure {
            fault,
            reach: Reach::Answered,
        }
    }
}

/// What of the settings concerns the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_filesize: u64,
    pub(super) decode: bool,
}

type Payload = Full<Bytes>;

/// An HTTP/1 connection with its driver.
pub(super) struct H1 {
    sender: http1::SendRequest<Payload>,
    driver: http1::Connection<TokioIo<Stream>, Payload>,
    received: Arc<AtomicU64>,
}

impl H1 {
    /// HTTP/1 over `stream`; nothing is sent yet.
    pub(super) async fn open(stream: Stream) -> Result<Box<Self>, Fault> {
        let received = stream.received();
        let mut builder = http1::Builder::new();
        // As lenient as browsers: a broken header line is the site's habit, not a reason to lose the page.
        builder
            .max_buf_size(HEAD_MAX)
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .ignore_invalid_headers_in_responses(true);
        let (sender, driver) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| fault::from_hyper(Phase::Request, &error))?;
        Ok(Box::new(H1 {
            sender,
            driver,
            received,
        }))
    }

    /// True when the connection can take a request, as far as can be seen without sending one.
    pub(super) fn is_alive(&mut self) -> bool {
        Pin::new(&mut self.driver).poll(&mut deaf()).is_pending() && self.sender.is_ready()
    }

    /// The bare stream; `None` when bytes nobody asked for have come.
    pub(super) fn into_stream(self) -> Option<Stream> {
        let parts = self.driver.into_parts();
        parts.read_buf.is_empty().then(|| parts.io.into_inner())
    }

    /// Sends `request` and reads the answer into `trace`. Gives the connection back when it can be used again.
    pub(super) async fn exchange(
        mut self: Box<Self>,
        request: Request<Payload>,
        limits: Limits,
        trace: &mut Trace,
    ) -> Result<Option<Box<Self>>, Failure> {
        let received_before = self.received.load(Ordering::Relaxed);
        let sent_before = trace.sent;
        let started = Instant::now();
        trace.report.phase = Phase::Headers;
        trace.sent = true;

        let driver = &mut self.driver;
        let mut running = true;
        let answered = {
            let mut answer = pin!(unconstrained(self.sender.try_send_request(request)));
            poll_fn(|cx| {
                // The driver first: it takes the request off its queue, writes it and reads the answer in one go. Only it is
                // waited for: whatever it does is looked at right behind it, so the answer need not wake this task as well.
                // (Unconstrained, because a spent budget would be reported to the waker that does nothing.)
                running = running && Pin::new(&mut *driver).poll(cx).is_pending();
                match answer.as_mut().poll(&mut deaf()) {
                    Poll::Ready(answered) => Poll::Ready(Some(answered)),
                    Poll::Pending if running => Poll::Pending,
                    Poll::Pending => Poll::Ready(None),
                }
            })
            .await
        };
        let answer = match answered {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => {
                let silent = self.received.load(Ordering::Relaxed) == received_before;
                return Err(failed(error, silent, sent_before, trace));
            }
            None => return Err(ended_early().into()),
        };

        let (head, body) = answer.into_parts();
        let next = |body: &mut Incoming, cx: &mut Context<'_>| {
            let mut body = Pin::new(body);
            if let Poll::Ready(frame) = body.as_mut().poll_frame(&mut deaf()) {
                return Poll::Ready(frame.into());
            }
            running = running && Pin::new(&mut *driver).poll(cx).is_pending();
            match body.poll_frame(&mut deaf()) {
                Poll::Ready(frame) => Poll::Ready(frame.into()),
                Poll::Pending if running => Poll::Pending,
                Poll::Pending => Poll::Ready(Next::Lost),
            }
        };
        let body_is_whole = receive(head, body, started, limits, trace, next).await?;
        let reusable = body_is_whole && running && (self.sender.is_ready() || self.is_alive());
        Ok(reusable.then_some(self))
    }
}

/// An HTTP/2 connection; its driver is a task of its own.
pub(super) struct H2 {
    sender: http2::SendRequest<Payload>,
}

impl H2 {
    /// HTTP/2 over `stream`; the preface is sent.
    pub(super) async fn open(stream: Stream) -> Result<Self, Fault> {
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(HEAD_MAX as u32)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| fault::from_hyper(Phase::Request, &error))?;
        // Its errors also reach the request, and between requests they only mean that the connection is gone.
        tokio::spawn(async move {
            let _ = driver.await;
        });
        Ok(H2 { sender })
    }

    /// True when the connection can take a request.
    pub(super) fn is_alive(&self) -> bool {
        self.sender.is_ready()
    }

    /// As [`H1::exchange`].
    pub(super) async fn exchange(
        mut self,
        request: Request<Payload>,
        limits: Limits,
        trace: &mut Trace,
    ) -> Result<Option<Self>, Failure> {
        let sent_before = trace.sent;
        let started = Instant::now();
        trace.report.phase = Phase::Headers;
        trace.sent = true;
        let answer = match self.sender.try_send_request(request).await {
            Ok(answer) => answer,
            Err(error) => return Err(failed(error, true, sent_before, trace)),
        };
        let (head, body) = answer.into_parts();
        let next = |body: &mut Incoming, cx: &mut Context<'_>| {
            Pin::new(body).poll_frame(cx).map(Next::from)
        };
        let body_is_whole = receive(head, body, started, limits, trace, next).await?;
        Ok((body_is_whole && self.is_alive()).then_some(self))
    }
}

/// A context for polling what is polled again anyway when this task wakes for another reason.
fn deaf() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// What the connection has of a body.
enum Next {
    Frame(hyper::Result<Frame<Bytes>>),
    End,
    /// The connection is gone without a word about the body.
    Lost,
}

impl From<Option<hyper::Result<Frame<Bytes>>>> for Next {
    fn from(frame: Option<hyper::Result<Frame<Bytes>>>) -> Self {
        frame.map_or(Next::End, Next::Frame)
    }
}

/// Judges an error that came instead of an answer.
fn failed(
    mut error: TrySendError<Request<Payload>>,
    silent: bool,
    sent_before: bool,
    trace: &mut Trace,
) -> Failure {
    let unsent = error.take_message().is_some();
    if unsent {
        trace.sent = sent_before;
    }
    let fault = fault::from_hyper(Phase::Headers, &error.into_error());
    let reach = if unsent {
        Reach::Unsent
    } else if silent && fault::is_hang_up(fault.kind) {
        Reach::Unanswered
    } else {
        Reach::Answered
    };
    Failure { fault, reach }
}

fn ended_early() -> Fault {
    Fault::new(
        Phase::Headers,
        FaultKind::Closed,
        "connection closed before the answer",
    )
}

/// Reads the answer into `trace`; `next` polls the connection for more of the body. True when it came whole.
async fn receive(
    head: response::Parts,
    body: Incoming,
    started: Instant,
    limits: Limits,
    trace: &mut Trace,
    next: impl FnMut(&mut Incoming, &mut Context<'_>) -> Poll<Next>,
) -> Result<bool, Fault> {
    let now = Instant::now();
    let has_body = !body.is_end_stream();
    trace.report.phases.ttfb = Some(now - started);
    trace.report.phase = Phase::Body;
    let collector = Collector::new(
        limits.max_filesize,
        body.size_hint().exact(),
        &head.headers,
        limits.decode && has_body,
    )
    .map_err(undecodable)?;
    let head = trace.head.insert(Head {
        status: head.status,
        version: head.version,
        headers: head.headers,
        body: collector,
        truncated: None,
        since: has_body.then_some(now),
    });
    if !has_body {
        return Ok(true);
    }
    let whole = read_body(body, head, next).await?;
    head.since = None;
    trace.report.phases.body = Some(now.elapsed());
    Ok(whole)
}

async fn read_body(
    mut body: Incoming,
    head: &mut Head,
    mut next: impl FnMut(&mut Incoming, &mut Context<'_>) -> Poll<Next>,
) -> Result<bool, Fault> {
    while !body.is_end_stream() {
        match poll_fn(|cx| next(&mut body, cx)).await {
            Next::Frame(Ok(frame)) => {
                // Trailers are not kept.
                if let Ok(data) = frame.into_data()
                    && !head.body.push(data).map_err(undecodable)?
                {
                    return Ok(false);
                }
            }
            Next::Frame(Err(error)) => {
                let fault = fault::from_hyper(Phase::Body, &error);
                return match fault.kind {
                    FaultKind::Malformed | FaultKind::Tls | FaultKind::Certificate => Err(fault),
                    _ => {
                        head.truncated = Some(Truncation::Disconnect);
                        Ok(false)
                    }
                };
            }
            Next::End if body.size_hint().lower() == 0 => break,
            Next::End | Next::Lost => {
                head.truncated = Some(Truncation::Disconnect);
                return Ok(false);
            }
        }
    }
    head.body.finish().map_err(undecodable)
}

fn undecodable(Broken(why): Broken) -> Fault {
    Fault::new(Phase::Body, FaultKind::Decode, why)
}
