//! A job on its way: what has been tried, what it has used up.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::frontier::Ticket;
use crate::exchange::{Phases, Response};
use crate::extract::Extracted;
use crate::job::Job;
use crate::metrics::Spend;
use crate::outcome::{Attempt, Blame, Fault, FaultKind, Outcome, Phase, RedirectHop, Verdict};
use crate::pool::Avoid;
use crate::proxy::{Price, Proxy};
use crate::retry::Spent;
use crate::text::Sha256;

/// A job between its input line and its record.
pub(super) struct Pending {
    pub(super) job: Arc<Job>,
    /// Number of its host.
    pub(super) host: u32,
    /// Sticky session: the job's own, or the one `--sticky` gives it.
    pub(super) session: Option<Arc<str>>,
    /// That it is its turn in the session.
    pub(super) ticket: Option<Ticket>,
    /// Bytes it holds for itself alone: its URL, and its request body if its row brought one.
    pub(super) bytes: usize,
    /// When it was read.
    pub(super) read_at: Instant,
    /// First dispatch.
    pub(super) first_at: Option<Instant>,
    /// First dispatch, wall clock.
    pub(super) started_at: Option<SystemTime>,
    /// Since when it could go as far as the job itself is concerned.
    pub(super) waiting_since: Instant,
    /// Total time it was held back.
    pub(super) waited: Duration,
    /// Attempts so far, as the record shows them.
    pub(super) log: Vec<Attempt>,
    /// Proxies, subnets and credential groups already tried.
    pub(super) avoid: Avoid,
    /// Distinct proxies tried.
    pub(super) proxies_tried: u32,
    /// Second attempts so far.
    pub(super) seconds: u8,
    /// What its attempts have cost so far; `None` while no proxy among them had a price.
    pub(super) cost: Option<f64>,
    /// Budgets used.
    pub(super) spent: Spent,
    /// It is tried again, and does not wait behind all the others of its host.
    pub(super) soon: bool,
    /// Number of the proxy it has waited for; the next of that line follows when it is sent or given up.
    pub(super) line: Option<u32>,
    /// How the last attempt ended; the record is made of it when no further attempt is possible.
    pub(super) last: Option<Box<End>>,
}

impl Pending {
    pub(super) fn new(job: Job, host: u32, session: Option<Arc<str>>, now: Instant) -> Self {
        // A body that all jobs have, from `--data`, is there once.
        let is_own = Arc::strong_count(&job.request) == 1;
        let body = if is_own { job.request.body.len() } else { 0 };
        Pending {
            bytes: job.input.len() + body,
            job: Arc::new(job),
            host,
            session,
            ticket: None,
            read_at: now,
            first_at: None,
            started_at: None,
            waiting_since: now,
            waited: Duration::ZERO,
            log: Vec::new(),
            avoid: Avoid::default(),
            proxies_tried: 0,
            seconds: 0,
            cost: None,
            spent: Spent::default(),
            soon: false,
            line: None,
            last: None,
        }
    }

    /// True when the page that came last was not the expected one.
    pub(super) fn is_altered(&self) -> bool {
        let last = self.last.as_ref();
        last.is_some_and(|end| end.verdict.outcome == Outcome::Corrupt)
    }

    /// True when the last attempt has taken too long.
    pub(super) fn is_late(&self) -> bool {
        let last = self.last.as_ref();
        last.is_some_and(|end| end.verdict.outcome == Outcome::Timeout)
    }

    /// An `https` target: the proxy has to tunnel.
    pub(super) fn needs_tunnel(&self) -> bool {
        self.job
            .target
            .as_ref()
            .is_ok_and(|url| url.scheme() == "https")
    }

    /// When its time is over, if attempts may start for `longest` after the first.
    pub(super) fn deadline(&self, longest: Option<Duration>) -> Option<Instant> {
        Some(self.first_at? + longest?)
    }

    /// Adds the cost of an attempt.
    pub(super) fn pay(&mut self, price: Option<Price>, used: Spend) {
        if price.is_some() {
            self.cost = Some(self.cost.unwrap_or(0.0) + used.money);
        }
    }

    /// Number of the next line of the log.
    pub(super) fn next_n(&self) -> u32 {
        u32::try_from(self.log.len() + 1).unwrap_or(u32::MAX)
    }
}

/// How one attempt ended.
pub(super) struct End {
    pub(super) proxy: Arc<Proxy>,
    pub(super) verdict: Verdict,
    /// The answer that was judged.
    pub(super) answer: Option<Answer>,
    /// Why there is no answer, or why the rest of its body is missing.
    pub(super) fault: Option<Fault>,
    pub(super) redirects: Vec<RedirectHop>,
    /// Phases of the last hop.
    pub(super) phases: Phases,
    pub(super) connect_status: Option<u16>,
    /// The request may have reached the target.
    pub(super) sent: bool,
    /// Of the last hop; `None` when it is the job's own.
    pub(super) final_url: Option<Arc<str>>,
    /// Where the last hop went, when that is another host than the job's: how it ended is that one's.
    pub(super) elsewhere: Option<Place>,
    /// CDN or WAF in front of the target.
    pub(super) edge: Option<&'static str>,
}

/// Where a redirect has led.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Number of the host.
    pub(super) host: u32,
    /// It is asked through a tunnel.
    pub(super) tunnel: bool,
}

impl End {
    /// Status of the target, if it answered.
    pub(super) fn status(&self) -> Option<u16> {
        let answer = self.answer.as_ref()?;
        Some(answer.response.status.as_u16())
    }

    /// True when the target's answer is that it cannot serve now, without a word of how long: it is overloaded, or what stands before it
    /// has lost it. A 500 is not of that kind: some sites answer it for each page that is not there.
    pub(super) fn is_turned_away(&self) -> bool {
        let asked = self.verdict.retry_after.filter(|asked| !asked.is_zero());
        self.verdict.blame == Blame::Target
            && asked.is_none()
            && matches!(self.status(), Some(502..=504 | 520..=524))
    }

    /// True when nothing of the host's came by way of a proxy that was there: it may be down.
    pub(super) fn is_unreached(&self) -> bool {
        let fault = self.fault.as_ref();
        let silent = self.answer.is_none();
        silent && fault.is_some_and(|fault| fault.phase >= Phase::Handshake)
            || self.verdict.blame == Blame::Unknown
    }

    /// Number of the host whose doing it is, in an attempt for a job of `own`.
    pub(super) fn host(&self, own: u32) -> u32 {
        self.elsewhere.map_or(own, |place| place.host)
    }

    /// The redirect that led nowhere, in an attempt that ended with it: the target's last answer, and all there is of one.
    pub(super) fn dead_end(&self) -> Option<&RedirectHop> {
        let fault = self.fault.as_ref()?;
        let nowhere = fault.kind == FaultKind::Redirects;
        self.redirects.last().filter(|_| nowhere)
    }

    /// Status of the target's last answer, a redirect that led nowhere included.
    pub(super) fn last_status(&self) -> Option<u16> {
        let hop = self.dead_end().map(|hop| hop.status);
        self.status().or(hop)
    }

    /// True when the target has ended the HTTP/2 stream or connection with an error code.
    pub(super) fn is_http2_ended(&self) -> bool {
        let kind = self.fault.as_ref().map(|fault| fault.kind);
        matches!(kind, Some(FaultKind::Http2(_)))
    }

    /// What the proxy did wrong, if it was charged. Its own answer to a forwarded request is as good as its refusal of a
    /// tunnel, though no fault of the transport.
    pub(super) fn proxy_fault(&self) -> Option<(Phase, FaultKind)> {
        if !matches!(self.verdict.blame, Blame::Proxy(_)) {
            return None;
        }
        if let Some(fault) = &self.fault {
            return Some((fault.phase, fault.kind));
        }
        Some((Phase::Headers, FaultKind::Rejected(self.status()?)))
    }
}

/// The last answer of an attempt, with what is derived from its body.
pub(super) struct Answer {
    /// Its body is empty when bodies are not handed out.
    pub(super) response: Response,
    /// Bytes of the body.
    pub(super) size_body: u64,
    pub(super) sha256: Sha256,
    pub(super) title: Option<Box<str>>,
    /// Of an accepted answer, when something is to be extracted.
    pub(super) extracted: Option<Extracted>,
}
