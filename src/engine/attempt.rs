//! One attempt: a job through its leased proxy, redirects followed on the same proxy, each hop judged.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{StatusCode, header};
use tokio::time::Instant as TokioInstant;
use url::Url;

use super::Settings;
use super::pending::{Answer, End, Place};
use super::redirect;
use super::robots::{Files, MOST_HOPS};
use super::slots::Stop;
use crate::ban::{Hosts, Judge, Page, Seen};
use crate::egress::{Allowance, Clearance, Egress, Outgoing, Traffic};
use crate::exchange::{Exchange, Phases, Response, Truncation};
use crate::job::{HostKey, Job, RequestSpec, Role};
use crate::limit::{Limiter, Wait};
use crate::outcome::{Blame, Fault, FaultKind, Outcome, Phase, RedirectHop, Verdict};
use crate::pool::Lease;
use crate::proxy::Proxy;
use crate::text::{self, Sha256};

/// What all attempts of a run share.
pub(super) struct Context<E> {
    pub(super) egress: E,
    pub(super) judge: Arc<Judge>,
    /// The dispatcher's limiter; attempts take it for redirect hops. Never held over an await.
    pub(super) limiter: Mutex<Limiter>,
    /// It counts the requests at each host (`--host-concurrency`).
    pub(super) counts_places: bool,
    /// What the answers of each host say together. Never held over an await.
    pub(super) hosts: Mutex<Hosts>,
    /// What the robots.txt of each host says. Never held over an await.
    pub(super) robots: Mutex<Files>,
    pub(super) settings: Settings,
    /// Requests that may still be sent.
    pub(super) allowance: Arc<Allowance>,
}

impl<E> Context<E> {
    pub(super) fn hosts(&self) -> std::sync::MutexGuard<'_, Hosts> {
        // As with the limiter: nothing is left half done by a panic.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn robots(&self) -> std::sync::MutexGuard<'_, Files> {
        // As with the limiter: nothing is left half done by a panic.
        self.robots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn limiter(&self) -> std::sync::MutexGuard<'_, Limiter> {
        // The limiter's methods do not panic half-way through a change, so a poisoned lock holds whole data.
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an attempt needs of its job. The rest stays with the dispatcher.
pub(super) struct Errand {
    pub(super) job: Arc<Job>,
    /// Number of its host.
    pub(super) host: u32,
    /// Sticky session.
    pub(super) session: Option<Arc<str>>,
    pub(super) lease: Lease,
}

/// An attempt that has come back.
pub(super) struct Landed {
    pub(super) lease: Lease,
    /// [`Job::seq`] of its job.
    pub(super) seq: u64,
    /// `None` for one that was told to stop.
    pub(super) end: Option<Box<End>>,
    /// Dispatch until verdict.
    pub(super) took: Duration,
    /// The part of it in which redirect hops waited for the limits.
    pub(super) paced: Duration,
    pub(super) started: Instant,
    /// What it has used of its proxy.
    pub(super) traffic: Traffic,
}

/// Sends a job through the proxy of its lease and judges what comes back.
pub(super) async fn attempt<E: Egress>(
    context: Arc<Context<E>>,
    errand: Errand,
    stop: Stop,
) -> Landed {
    let started = TokioInstant::now();
    let stranger = errand.lease.patience_with_stranger;
    let longest = context.settings.max_time;
    let deadline = started + stranger.map_or(longest, |patience| patience.min(longest));
    let traffic = Traffic::within(context.allowance.clone());
    let mut paced = Duration::ZERO;
    let mut visit = Visit::begun(&context, errand.host);
    let given_up = context.hosts().gives_up(errand.host);
    let mut end = match (&errand.job.target, given_up) {
        // Nothing is sent, and the record says why.
        (Ok(_), Some(verdict)) => {
            let rest = LastHop::default();
            Some(unanswered(&errand.lease, verdict, None, rest, Vec::new()))
        }
        (Ok(url), None) => tokio::select! {
            biased;
            end = follow(&context, &errand, url, (deadline, &traffic), &mut visit, &mut paced) => end,
            () = stop.told() => None,
        },
        (Err(why), _) => {
            // Invalid targets are answered before dispatch; a fault here keeps the record honest all the same.
            let fault = Fault::new(Phase::Request, FaultKind::Unsupported, why.0.to_string());
            let verdict = Verdict::new(Outcome::InvalidUrl, Blame::Target);
            let rest = LastHop::default();
            Some(unanswered(
                &errand.lease,
                verdict,
                Some(fault),
                rest,
                Vec::new(),
            ))
        }
    };
    if let Some(end) = &mut end {
        weigh(&context, &errand, end);
    }
    let took = started.elapsed();
    Landed {
        lease: errand.lease,
        seq: errand.job.seq,
        end,
        took,
        paced,
        started: started.into_std(),
        traffic,
    }
}

/// What the last hop tells, answered or not.
#[derive(Default)]
struct LastHop {
    phases: Phases,
    connect_status: Option<u16>,
    /// This hop's request, or that of one before it, may have reached its target.
    sent: bool,
    /// `None` when it is the job's own.
    url: Option<Arc<str>>,
    /// Where it went.
    at: Option<Place>,
}

/// What the answers of its host say together may change the verdict.
fn weigh<E>(context: &Context<E>, errand: &Errand, end: &mut End) {
    // Errands are no pages of the host, and nothing changed is no page at all.
    let is_page = !errand.job.role.is_errand() && end.status() != Some(304);
    let alone = is_page && end.redirects.is_empty();
    if let Some(answer) = end.answer.as_ref().filter(|_| alone) {
        let mut body = [0; 8];
        body.copy_from_slice(&answer.sha256.0[..8]);
        let page = Page {
            host: errand.host,
            proxy: errand.lease.exit(),
            body: u64::from_be_bytes(body),
            title: answer.title.as_deref(),
            size: answer.size_body,
            url: errand.job.page,
            in_session: errand.session.is_some(),
        };
        if let Some(verdict) = context.hosts().weigh(page, &end.verdict) {
            end.verdict = verdict;
        }
    }
}

fn unanswered(
    lease: &Lease,
    verdict: Verdict,
    fault: Option<Fault>,
    rest: LastHop,
    redirects: Vec<RedirectHop>,
) -> Box<End> {
    Box::new(End {
        proxy: lease.proxy.clone(),
        verdict,
        answer: None,
        fault,
        redirects,
        phases: rest.phases,
        connect_status: rest.connect_status,
        sent: rest.sent,
        final_url: rest.url,
        elsewhere: rest.at,
        edge: None,
    })
}

/// What asks the limits once more when the request is about to be written; `None` where there are none.
fn clearance<E: Egress>(context: &Arc<Context<E>>, host: u32, proxy: u32) -> Option<Clearance> {
    if !context.limiter().paces_writing() {
        return None;
    }
    let context = context.clone();
    Some(Clearance::new(move |now| {
        context.limiter().write(host, proxy, now)
    }))
}

/// `None` when the next hop, or the same request once more, is more than the run may send.
async fn follow<E: Egress>(
    context: &Arc<Context<E>>,
    errand: &Errand,
    first: &Url,
    (deadline, traffic): (TokioInstant, &Traffic),
    visit: &mut Visit<'_, E>,
    paced: &mut Duration,
) -> Option<Box<End>> {
    let lease = &errand.lease;
    let mut request = Cow::Borrowed(&*errand.job.request);
    let mut url = Cow::Borrowed(first);
    let mut redirects = Vec::new();
    let mut host = errand.host;
    let mut sent_before = false;
    let role = errand.job.role;
    let follows = context.settings.follow || role.is_errand();
    let most_hops = match role {
        Role::Robots => MOST_HOPS,
        _ => context.settings.max_redirs,
    };
    loop {
        let exchange = context
            .egress
            .send(Outgoing {
                proxy: &lease.proxy,
                method: &request.method,
                url: &url,
                headers: &request.headers,
                body: &request.body,
                elsewhere: redirect::leads_away(first, &url),
                tunnel: false,
                session: errand.session.as_ref(),
                connect_timeout: lease.connect_timeout,
                deadline,
                least_filesize: least_filesize(role),
                clearance: clearance(context, host, lease.idx.number()),
                traffic: Some(traffic),
            })
            .await;
        if traffic.is_short() {
            return None;
        }
        let target = match &exchange.result {
            // One whose body has taken all the time leaves none for the next hop.
            Ok(response) if follows && response.body.truncated != Some(Truncation::Time) => {
                redirect::target(&url, response)
            }
            _ => None,
        };
        let seen = Seen {
            url: &url,
            method: &request.method,
            https: url.scheme() == "https",
            follows: target.is_some(),
            now: Some(SystemTime::now()),
        };
        let verdict = if role.is_errand() {
            context.judge.classify_errand(&seen, &exchange)
        } else {
            context.judge.classify(&seen, &exchange)
        };
        let verdict = with_condition(verdict, &request, &exchange);
        let verdict = without_proxy(verdict, &lease.proxy);
        let is_first = redirects.is_empty();
        let verdict = match is_first {
            true => verdict,
            false => without_haste(verdict, &exchange, deadline),
        };
        let target = target.filter(|target| match verdict.outcome {
            Outcome::Ok => true,
            // What there is to say of a redirect to nowhere is why.
            Outcome::HttpError => target.is_err(),
            _ => false,
        });
        let Exchange {
            result,
            phases,
            connect_status,
            sent,
            ..
        } = exchange;
        sent_before |= sent;
        let rest = LastHop {
            phases,
            connect_status,
            sent: sent_before,
            url: (!is_first).then(|| url.as_str().into()),
            at: (host != errand.host).then(|| Place {
                host,
                tunnel: url.scheme() == "https",
            }),
        };
        let response = match result {
            Ok(response) => response,
            Err(fault) => {
                return Some(unanswered(lease, verdict, Some(fault), rest, redirects));
            }
        };
        let Some(target) = target else {
            return Some(answered(
                context, errand, verdict, &url, response, rest, redirects,
            ));
        };
        redirects.push(RedirectHop {
            status: response.status.as_u16(),
            url: url.as_str().into(),
        });
        let next = if redirects.len() > most_hops as usize {
            Err(Fault::new(
                Phase::Headers,
                FaultKind::Redirects,
                format!("more than {most_hops} redirects"),
            ))
        } else {
            target
        };
        let next = match next {
            Ok(next) => next,
            Err(fault) => {
                let verdict = Verdict::new(Outcome::HttpError, Blame::Target);
                return Some(unanswered(lease, verdict, Some(fault), rest, redirects));
            }
        };
        if let Some(why) = forbidden(context, role, &next) {
            let verdict = Verdict::new(Outcome::Robots, Blame::Nobody);
            return Some(unanswered(lease, verdict, Some(why), rest, redirects));
        }
        redirect::turn(&mut request, response.status, &url, &next);
        url = Cow::Owned(next);
        if !traffic.take() {
            return None;
        }
        let waits = TokioInstant::now();
        let admitted = pace(visit, lease, &url, deadline).await;
        *paced += waits.elapsed();
        match admitted {
            Ok(number) => host = number.unwrap_or(host),
            Err(fault) => {
                let verdict = Verdict::new(Outcome::Timeout, Blame::Target);
                // What was not asked is what the user wants to know.
                let url = Some(url.as_str().into());
                let rest = LastHop { url, ..rest };
                return Some(unanswered(lease, verdict, Some(fault), rest, redirects));
            }
        }
    }
}

fn answered<E>(
    context: &Context<E>,
    errand: &Errand,
    verdict: Verdict,
    url: &Url,
    response: Response,
    rest: LastHop,
    redirects: Vec<RedirectHop>,
) -> Box<End> {
    let content_type = response
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let title = text::title(content_type, &response.body.bytes).map(String::into_boxed_str);
    let Errand { job, lease, .. } = errand;
    let is_errand = job.role.is_errand();
    let extractor = context.settings.extract.as_ref();
    let extracted = extractor
        .filter(|_| verdict.outcome == Outcome::Ok && !is_errand)
        .map(|extractor| extractor.extract(content_type, &response.body.bytes, Some(url)));
    let mut answer = Answer {
        sha256: Sha256::of(&response.body.bytes),
        size_body: response.body.bytes.len() as u64,
        title,
        extracted,
        response,
    };
    let edge = context.judge.edge(&answer.response.headers);
    if !context.settings.bodies && !is_errand {
        // Here and not with the record: the next answer finds room that is still in the caches.
        answer.response.body.bytes = Bytes::new();
    }
    Box::new(End {
        proxy: lease.proxy.clone(),
        verdict,
        fault: answer.response.body.broken.take().map(|fault| *fault),
        answer: Some(answer),
        redirects,
        phases: rest.phases,
        connect_status: rest.connect_status,
        sent: rest.sent,
        final_url: rest.url,
        elsewhere: rest.at,
        edge,
    })
}

/// A 304 is the answer that a conditional request hopes for. To any other request it is nonsense, and stays what it was.
fn with_condition(verdict: Verdict, request: &RequestSpec, exchange: &Exchange) -> Verdict {
    let unchanged = exchange.result.as_ref().is_ok_and(|response| {
        let headers = &request.headers;
        response.status == StatusCode::NOT_MODIFIED
            && (headers.contains_key(header::IF_NONE_MATCH)
                || headers.contains_key(header::IF_MODIFIED_SINCE))
    });
    if !unchanged || (verdict.outcome, verdict.blame) != (Outcome::HttpError, Blame::Target) {
        return verdict;
    }
    Verdict {
        outcome: Outcome::Ok,
        blame: Blame::Nobody,
        ..verdict
    }
}

/// The hops before have left this one no time to connect in, which is not the proxy's fault.
fn without_haste(mut verdict: Verdict, exchange: &Exchange, deadline: TokioInstant) -> Verdict {
    let timeout = |fault: &Fault| fault.kind == FaultKind::Timeout;
    let is_late = TokioInstant::now() >= deadline && exchange.result.as_ref().is_err_and(timeout);
    if is_late && matches!(verdict.blame, Blame::Proxy(_)) {
        verdict.outcome = Outcome::Timeout;
        verdict.blame = Blame::Unknown;
    }
    verdict
}

/// Bytes of an answer that are read at least: a sitemap may have 50 MB by its protocol, and a robots.txt is cut soon enough.
fn least_filesize(role: Role) -> u64 {
    match role {
        Role::Named | Role::Listed => 0,
        Role::Robots => crate::robots::MOST_BYTES as u64,
        // And one octet more, so that what is too long is seen to be.
        Role::Sitemap => crate::input::MOST_SITEMAP_BYTES + 1,
    }
}

/// Why a redirect to `url` is not followed: the robots.txt of its host, as far as it has been read.
fn forbidden<E>(context: &Context<E>, role: Role, url: &Url) -> Option<Fault> {
    let obedience = context.settings.robots.as_ref();
    if !obedience.is_some_and(|obedience| obedience.covers(role)) {
        return None;
    }
    let number = context.limiter().number(&HostKey::of(url)?);
    let line = context.robots().forbid(number, url)?;
    let message = format!("redirect to {url}: {line}");
    Some(Fault::new(Phase::Headers, FaultKind::Redirects, message))
}

/// With the member `direct` nobody stands between: what would be a proxy's fault is the target's.
fn without_proxy(mut verdict: Verdict, proxy: &Proxy) -> Verdict {
    if proxy.is_direct() && matches!(verdict.blame, Blame::Proxy(_) | Blame::Unknown) {
        verdict.blame = Blame::Target;
        if verdict.outcome == Outcome::ProxyError {
            verdict.outcome = Outcome::NetworkError;
        }
    }
    verdict
}

/// At which host an attempt has a place, or waits for one. It is given back whatever ends the attempt.
struct Visit<'a, E> {
    context: &'a Context<E>,
    /// Places are counted: the user has set how many there are at a host.
    counted: bool,
    host: u32,
    is_in: bool,
}

impl<'a, E> Visit<'a, E> {
    /// With the place that was taken when the request was dispatched.
    fn begun(context: &'a Context<E>, host: u32) -> Self {
        Visit {
            context,
            counted: context.counts_places,
            host,
            is_in: true,
        }
    }

    /// Leaves for the host of the next hop, before it waits there: two hosts that lead to each other would wait for ever.
    fn move_on(&mut self, to: &HostKey) -> u32 {
        let mut limiter = self.context.limiter();
        limiter.left(self.host);
        self.host = limiter.number(to);
        limiter.expect(self.host);
        self.is_in = false;
        self.host
    }

    fn enter(&mut self, proxy: u32, now: Instant) -> Result<(), Wait> {
        self.context.limiter().take_awaited(self.host, proxy, now)?;
        self.is_in = true;
        Ok(())
    }
}

impl<E> Drop for Visit<'_, E> {
    fn drop(&mut self) {
        if !self.counted {
            return;
        }
        let mut limiter = self.context.limiter();
        match self.is_in {
            true => limiter.left(self.host),
            false => limiter.turn_away(self.host),
        }
    }
}

/// Waits until the four limits admit one more request for a redirect hop. The hop keeps its slot meanwhile: it has its proxy
/// and its connection, and giving them back would break "the same proxy for the whole chain". Gives the number of its host.
async fn pace<E>(
    visit: &mut Visit<'_, E>,
    lease: &Lease,
    url: &Url,
    deadline: TokioInstant,
) -> Result<Option<u32>, Fault> {
    let Some(key) = HostKey::of(url) else {
        return Ok(None);
    };
    let host = visit.move_on(&key);
    loop {
        let now = TokioInstant::now();
        match visit.enter(lease.idx.number(), now.into_std()) {
            Ok(()) => return Ok(Some(host)),
            Err(wait) if TokioInstant::from_std(wait.until) >= deadline => {
                return Err(Fault::new(
                    Phase::Request,
                    FaultKind::Timeout,
                    "the limits do not admit the next redirect hop in time",
                ));
            }
            Err(wait) => tokio::time::sleep_until(TokioInstant::from_std(wait.until)).await,
        }
    }
}
