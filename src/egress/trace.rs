//! What becomes known of an exchange while it goes on, so that a deadline which cuts it short loses nothing of it.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode, Version};
use tokio::time::Instant;

use super::collect::Collector;
use super::decode::{Broken, Decoder};
use super::dial::Report;
use super::fault;
use super::meter::{Meter, Traffic};
use crate::exchange::{Exchange, Response, Truncation};
use crate::outcome::{Fault, FaultKind, Phase};
use crate::text;

/// The story of an exchange so far.
pub(super) struct Trace<'a> {
    /// Where the bytes are counted when the story is over.
    traffic: Option<&'a Traffic>,
    pub(super) report: Report,
    pub(super) verified: bool,
    pub(super) forwarded: bool,
    pub(super) reused: bool,
    pub(super) sent: bool,
    /// So was the same request before it.
    sent_before: bool,
    answer: Option<Answer>,
}

/// The answer so far.
pub(super) struct Answer {
    status: StatusCode,
    version: Version,
    headers: HeaderMap,
    pub(super) body: Collector,
    truncated: Option<Truncation>,
    /// When the head was complete; `None` once the body is done or when there is none.
    since: Option<Instant>,
}

/// What of the settings concerns the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_filesize: u64,
    pub(super) decode: bool,
}

impl Answer {
    /// The connection broke within the body: what came is kept as an answer cut short, or as a broken one where that says more.
    /// Always `Ok(false)`, "not whole", or the fault.
    pub(super) fn cut(&mut self, fault: Fault) -> Result<bool, Fault> {
        match fault.kind {
            FaultKind::Malformed
            | FaultKind::Tls
            | FaultKind::Certificate
            | FaultKind::OtherCertificate => Err(fault),
            _ => Ok(self.cut_short()),
        }
    }

    /// The connection was closed where only that tells the end of the body, and TLS was not told of it. Many servers never tell,
    /// so it is the end, as it is in browsers; but of a page of HTML that does not end, the rest was kept from us.
    pub(super) fn end_unsaid(&mut self) -> Result<bool, Fault> {
        let whole = self.body.finish().map_err(undecodable)?;
        let content_type = self.headers.get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let bytes = self.body.bytes();
        if text::is_html(content_type, bytes) && !ends_html(bytes) {
            return Ok(self.cut_short());
        }
        Ok(whole)
    }

    /// The connection ended within the body. `false`: not whole.
    pub(super) fn cut_short(&mut self) -> bool {
        self.truncated = Some(Truncation::Disconnect);
        false
    }
}

impl Drop for Trace<'_> {
    /// Here and not where the exchange ends: an exchange that is dropped has used its proxy as well.
    fn drop(&mut self) {
        if let Some(traffic) = self.traffic {
            traffic.add(self.report.take_bytes(), self.sent);
        }
    }
}

impl<'a> Trace<'a> {
    pub(super) fn new(traffic: Option<&'a Traffic>) -> Self {
        Trace {
            traffic,
            report: Report::default(),
            verified: false,
            forwarded: false,
            reused: false,
            sent: false,
            sent_before: false,
            answer: None,
        }
    }

    /// Counts what travels on this connection from now on.
    pub(super) fn watch(&mut self, meter: &Meter) {
        self.report.meter = Some(meter.clone());
    }

    /// Headers of the answer, as soon as there is one.
    pub(super) fn headers(&self) -> Option<&HeaderMap> {
        self.answer.as_ref().map(|answer| &answer.headers)
    }

    /// Forgets a stale connection; what may have been sent stays sent, and is counted. False when the run may not send the request
    /// once more.
    pub(super) fn restart(&mut self) -> bool {
        let used = self.sent
            || self
                .report
                .meter
                .as_ref()
                .is_some_and(|meter| meter.peek() > 0);
        let traffic = self.traffic;
        if used && traffic.is_some_and(|traffic| !traffic.take()) {
            return false;
        }
        let sent_before = self.sent_before || self.sent;
        // The old one is counted as it is dropped.
        *self = Trace::new(traffic);
        self.sent_before = sent_before;
        true
    }

    /// The head of the answer has come; its body, if it has one, is `length` bytes long if that is known. The request was
    /// written at `started`.
    ///
    /// # Errors
    /// A content-encoding that cannot be undone.
    pub(super) fn answered(
        &mut self,
        (status, version, headers): (StatusCode, Version, HeaderMap),
        length: Option<u64>,
        started: Instant,
        limits: Limits,
    ) -> Result<&mut Answer, Fault> {
        let now = Instant::now();
        let has_body = length != Some(0);
        self.report.phases.ttfb = Some(now - started);
        self.report.phase = Phase::Body;
        let decoder = if has_body {
            Decoder::for_headers(&headers, limits.decode)
        } else {
            Ok(None)
        };
        let (decoder, broken) = match decoder {
            Ok(decoder) => (decoder, None),
            Err(broken) => (None, Some(broken)),
        };
        let body = Collector::new(limits.max_filesize, length, decoder);
        let answer = self.answer.insert(Answer {
            status,
            version,
            headers,
            body,
            truncated: None,
            since: has_body.then_some(now),
        });
        match broken {
            None => Ok(answer),
            Some(broken) => Err(undecodable(broken)),
        }
    }

    /// Nothing more comes of the answer, at `now`.
    pub(super) fn body_is_over(&mut self, now: Instant) {
        if let Some(since) = self.answer.as_mut().and_then(|answer| answer.since.take()) {
            self.report.phases.body = Some(now - since);
        }
    }

    /// The deadline has passed: an answer that has begun is an answer cut short.
    pub(super) fn time_out(&mut self) -> Result<(), Fault> {
        match &mut self.answer {
            Some(answer) => {
                answer.truncated = Some(Truncation::Time);
                Ok(())
            }
            None => Err(fault::timeout(self.report.phase, None)),
        }
    }

    /// The whole story.
    pub(super) fn into_exchange(mut self, result: Result<(), Fault>) -> Exchange {
        if self
            .answer
            .as_ref()
            .is_some_and(|answer| answer.since.is_some())
        {
            self.body_is_over(Instant::now());
        }
        let result = match (self.answer.take(), result) {
            (Some(answer), result) => Ok(Response {
                status: answer.status,
                version: answer.version,
                headers: answer.headers,
                body: answer.body.into_body(answer.truncated, result.err()),
            }),
            (None, Err(fault)) => Err(fault),
            (None, Ok(())) => Err(Fault::new(
                Phase::Headers,
                FaultKind::Closed,
                "there was no answer",
            )),
        };
        Exchange {
            result,
            phases: self.report.phases,
            connect_status: self.report.connect_status,
            connect_reply: self.report.connect_reply.take(),
            verified: self.verified,
            forwarded: self.forwarded,
            reused: self.reused,
            sent: self.sent || self.sent_before,
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
    /// It may have been read, but the other side hung up without a byte, or said what is no answer: a kept-alive connection that
    /// was stale.
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

/// True when the end tag of the page is among its last bytes.
fn ends_html(page: &[u8]) -> bool {
    const END: &[u8] = b"</html";
    // What servers and scripts add behind it.
    const REST: usize = 4 * 1024;
    page[page.len().saturating_sub(REST)..]
        .windows(END.len())
        .any(|window| window.eq_ignore_ascii_case(END))
}

pub(super) fn undecodable(Broken(why): Broken) -> Fault {
    Fault::new(Phase::Body, FaultKind::Decode, why)
}
