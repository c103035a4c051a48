//! HTTP/2 inside TLS with the target.
//!
//! A connection has to be read also when nobody waits (pings, settings), so its driver is a task, which ends when the last
//! sender is dropped.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{TrySendError, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::Instant;

use super::fault;
use super::head::HEAD_MAX;
use super::meter::Meter;
use super::stream::Stream;
use super::trace::{Answer, Failure, Limits, Reach, Trace, undecodable};
use crate::outcome::{Fault, Phase};

pub(super) type Payload = Full<Bytes>;

/// An HTTP/2 connection.
pub(super) struct H2 {
    sender: http2::SendRequest<Payload>,
    pub(super) meter: Meter,
}

impl H2 {
    /// HTTP/2 over `stream`; the preface is sent.
    pub(super) async fn open(stream: Stream) -> Result<Self, Fault> {
        let meter = stream.meter().clone();
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(HEAD_MAX as u32)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| fault::from_hyper(Phase::Request, &error))?;
        // Its errors also reach the request, and between requests they only mean that the connection is gone.
        tokio::spawn(async move {
            let _ = driver.await;
        });
        Ok(H2 { sender, meter })
    }

    /// True when the connection can take a request.
    pub(super) fn is_alive(&self) -> bool {
        self.sender.is_ready()
    }

    /// Sends `request` and reads the answer into `trace`. Gives the connection back when it can be used again.
    pub(super) async fn exchange(
        mut self,
        request: Request<Payload>,
        limits: Limits,
        trace: &mut Trace<'_>,
    ) -> Result<Option<Self>, Failure> {
        let sent_before = trace.sent;
        let started = Instant::now();
        let to_head = request.method() == Method::HEAD;
        trace.report.phase = Phase::Headers;
        trace.sent = true;
        let answer = match self.sender.try_send_request(request).await {
            Ok(answer) => answer,
            Err(error) => return Err(failed(error, sent_before, trace)),
        };
        let (head, body) = answer.into_parts();
        // The library reads a body by its length also where there is none.
        let has_body = !to_head && !matches!(head.status.as_u16(), 204 | 304);
        let length = if !has_body || body.is_end_stream() {
            Some(0)
        } else {
            body.size_hint().exact()
        };
        let head = (head.status, head.version, head.headers);
        let answer = trace.answered(head, length, started, limits)?;
        let whole = if has_body {
            read_body(body, answer).await?
        } else {
            true
        };
        if whole {
            trace.body_is_over(Instant::now());
        }
        Ok((whole && self.is_alive()).then_some(self))
    }
}

/// Judges an error that came instead of an answer.
fn failed(
    mut error: TrySendError<Request<Payload>>,
    sent_before: bool,
    trace: &mut Trace<'_>,
) -> Failure {
    let unsent = error.take_message().is_some();
    let error = error.into_error();
    let fault = fault::from_hyper(Phase::Headers, &error);
    let unsent = unsent || fault::is_unprocessed(&error);
    if unsent {
        trace.sent = sent_before;
    }
    let reach = if unsent {
        Reach::Unsent
    } else if fault::is_hang_up(fault.kind) {
        Reach::Unanswered
    } else {
        Reach::Answered
    };
    Failure { fault, reach }
}

/// True when the body came whole.
async fn read_body(mut body: Incoming, answer: &mut Answer) -> Result<bool, Fault> {
    while !body.is_end_stream() {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            Some(Ok(frame)) => {
                // Trailers are not kept.
                if let Ok(data) = frame.into_data()
                    && !answer.body.push(data).map_err(undecodable)?
                {
                    return Ok(false);
                }
            }
            Some(Err(error)) => return answer.cut(fault::from_hyper(Phase::Body, &error)),
            // The library says no more than this of a stream that was reset without an error. That is fine behind the end, or
            // behind as much as was announced.
            None if body.is_end_stream() || body.size_hint().exact() == Some(0) => break,
            None => return Ok(answer.cut_short()),
        }
    }
    answer.body.finish().map_err(undecodable)
}
