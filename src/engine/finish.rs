//! Makes the record of a job that is done.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Version, header};

use super::pending::{End, Pending};
use crate::exchange::{Phases, Truncation};
use crate::extract::Extracted;
use crate::job::Job;
use crate::metrics::rounded;
use crate::outcome::{
    Attempt, Blame, BodyField, ErrorInfo, Fault, FaultKind, Finished, Outcome, Phase, Record,
    Timing, UnixMillis,
};
use crate::proxy::Proxy;

/// What the records of a run have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// Keep response headers.
    pub(super) headers: bool,
    /// This run resumed another.
    pub(super) resumed: bool,
}

/// The record of a job whose last attempt ended in `pending.last`.
pub(super) fn record(mut pending: Box<Pending>, style: Style, now: Instant) -> Finished {
    let last = pending.last.take();
    // Its own, but for the moment until a lost hedge has stopped.
    let mut job = Arc::unwrap_or_clone(pending.job);
    let mut record = empty(&mut job, style);
    record.attempts = u32::try_from(pending.log.len()).unwrap_or(u32::MAX);
    record.proxies_tried = pending.proxies_tried;
    record.started_at = pending.started_at.map(UnixMillis::from);
    let queue = pending
        .first_at
        .unwrap_or(now)
        .saturating_duration_since(pending.read_at);
    record.timing.queue = Some(Timing::ms(queue));
    record.timing.wait = Some(Timing::ms(pending.waited));
    record.timing.total = Some(Timing::ms(now.saturating_duration_since(pending.read_at)));
    record.cost = pending.cost.map(rounded);
    record.attempt_log = std::mem::take(&mut pending.log);
    match last {
        Some(end) => {
            let (body, more) = fill(&mut record, *end, style);
            Finished { record, body, more }
        }
        None => Finished {
            record,
            body: Bytes::new(),
            more: Vec::new(),
        },
    }
}

/// Why the jobs that are left are skipped.
pub(super) const NO_USABLE_PROXY: &str = "no usable proxy is left in the pool";

/// The same as the error of a record.
pub(super) fn no_usable_proxy() -> ErrorInfo {
    ErrorInfo {
        kind: "no_usable_proxy",
        phase: None,
        message: NO_USABLE_PROXY.into(),
        curl_code: None,
    }
}

/// The record of a job that was never attempted.
pub(super) fn unattempted(
    mut job: Job,
    outcome: Outcome,
    error: ErrorInfo,
    style: Style,
) -> Finished {
    let mut record = empty(&mut job, style);
    record.outcome = outcome;
    record.error = Some(error);
    Finished {
        record,
        body: Bytes::new(),
        more: Vec::new(),
    }
}

fn empty(job: &mut Job, style: Style) -> Box<Record> {
    Box::new(Record {
        v: 1,
        id: job.id,
        seq: job.seq,
        input: std::mem::take(&mut job.input),
        url: job.target.as_ref().ok().map(|url| url.as_str().into()),
        final_url: None,
        method: job.request.method.clone(),
        tag: job.tag.take(),
        outcome: Outcome::Skipped,
        ok: false,
        status: None,
        http_version: None,
        content_type: None,
        charset: None,
        etag: None,
        last_modified: None,
        proxy: None,
        proxy_connect_status: None,
        exit_ip: None,
        attempts: 0,
        proxies_tried: 0,
        attempt_log: Vec::new(),
        ban: None,
        edge: None,
        error: None,
        redirects: Vec::new(),
        timing: Timing::default(),
        started_at: None,
        finished_at: UnixMillis::from(SystemTime::now()),
        size_wire: None,
        size_body: None,
        truncated: None,
        body_sha256: None,
        title: None,
        fields: None,
        row: None,
        rows: None,
        cost: None,
        headers: None,
        body: BodyField::None,
        resumed: style.resumed,
    })
}

/// The fields of one row.
type Fields = serde_json::Map<String, serde_json::Value>;

/// Gives the body, and the fields of the rows after the first.
fn fill(record: &mut Record, end: End, style: Style) -> (Bytes, Vec<Fields>) {
    record.error = error_info(&end);
    record.outcome = end.verdict.outcome;
    record.ok = record.outcome == Outcome::Ok;
    if let Some(hop) = end.dead_end() {
        record.status = Some(hop.status);
        record.final_url = Some((*hop.url).into());
    }
    if !end.redirects.is_empty() {
        record.final_url = end.final_url.or(record.final_url.take());
    }
    record.proxy = Some(end.proxy);
    record.proxy_connect_status = end.connect_status;
    record.redirects = end.redirects;
    fill_phases(&mut record.timing, &end.phases);
    record.ban = end.verdict.ban;
    let Some(answer) = end.answer else {
        return (Bytes::new(), Vec::new());
    };
    let response = answer.response;
    record.status = Some(response.status.as_u16());
    record.final_url = record.final_url.take().or_else(|| record.url.clone());
    record.http_version = match response.version {
        Version::HTTP_09 => Some("0.9"),
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    };
    record.content_type = value_of(&response.headers, header::CONTENT_TYPE);
    record.etag = value_of(&response.headers, header::ETAG);
    record.last_modified = value_of(&response.headers, header::LAST_MODIFIED);
    record.edge = end.edge;
    record.size_wire = Some(response.body.size_wire);
    record.size_body = Some(answer.size_body);
    record.truncated = response.body.truncated;
    record.body_sha256 = Some(answer.sha256);
    record.title = answer.title;
    if style.headers {
        record.headers = Some(response.headers);
    }
    // What all answers of the host say together may have changed the verdict since.
    let extracted = answer.extracted.filter(|_| record.ok);
    (response.body.bytes, fill_fields(record, extracted))
}

/// The first row is the record's own; gives the others.
fn fill_fields(record: &mut Record, extracted: Option<Extracted>) -> Vec<Fields> {
    let Some(Extracted { rows, count, error }) = extracted else {
        return Vec::new();
    };
    record.error = record.error.take().or(error);
    let mut rows = rows.into_iter();
    record.fields = rows.next();
    record.rows = count;
    record.row = count.filter(|count| *count > 0).map(|_| 1);
    rows.collect()
}

fn value_of(headers: &HeaderMap, name: HeaderName) -> Option<Box<str>> {
    let value = headers.get(name)?;
    Some(match value.to_str() {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(value.as_bytes()).into(),
    })
}

fn fill_phases(timing: &mut Timing, phases: &Phases) {
    timing.connect = phases.connect.map(Timing::ms);
    timing.proxy_handshake = phases.proxy_handshake.map(Timing::ms);
    timing.tls = phases.tls.map(Timing::ms);
    timing.ttfb = phases.ttfb.map(Timing::ms);
    timing.body = phases.body.map(Timing::ms);
}

/// `error` of a record or attempt: the transport fault, why the body is not whole, or which of the user's expectations failed.
fn error_info(end: &End) -> Option<ErrorInfo> {
    if let Some(fault) = &end.fault {
        return Some(ErrorInfo::from(fault));
    }
    let Some(ban) = &end.verdict.ban else {
        let answer = end.answer.as_ref()?;
        let cut = cut_short(answer.response.body.truncated?);
        return Some(ErrorInfo::from(&cut));
    };
    let kind = match &*ban.rule {
        "must_match" => "must_match",
        "must_not_match" => "must_not_match",
        "expect_text" => "expect_text",
        "expect_selector" => "expect_selector",
        "expect_type" => "expect_type",
        "expect_json" => "expect_json",
        "min_bytes" => "min_bytes",
        _ => return None,
    };
    Some(ErrorInfo::of_content(kind, ban.evidence.clone()))
}

/// A body that is not whole, as the fault that it is.
fn cut_short(why: Truncation) -> Fault {
    let (kind, message) = match why {
        Truncation::Length => (
            FaultKind::TooLarge,
            "the body is larger than --max-filesize",
        ),
        Truncation::Time => (FaultKind::Timeout, "--max-time passed in the body"),
        Truncation::Disconnect => (
            FaultKind::Closed,
            "the connection was closed before the body was whole",
        ),
    };
    Fault::new(Phase::Body, kind, message)
}

/// The line for one that was told to stop, because another attempt of its job was answered first.
pub(super) fn log_stopped(n: u32, proxy: Arc<Proxy>, took: Duration) -> Attempt {
    Attempt {
        n,
        proxy,
        outcome: Outcome::Cancelled,
        blame: Blame::Nobody,
        status: None,
        connect_status: None,
        rule: None,
        error: None,
        t_ms: Timing::ms(took),
        wait_ms: Timing::ms(Duration::ZERO),
    }
}

/// The line of the attempt log for an attempt that has just ended.
pub(super) fn log_line(n: u32, end: &End, took: Duration, waited: Duration) -> Attempt {
    Attempt {
        n,
        proxy: end.proxy.clone(),
        outcome: end.verdict.outcome,
        blame: end.verdict.blame,
        status: end.last_status(),
        connect_status: end.connect_status,
        rule: end.verdict.ban.as_ref().map(|ban| ban.rule.clone()),
        error: error_info(end),
        t_ms: Timing::ms(took),
        wait_ms: Timing::ms(waited),
    }
}
