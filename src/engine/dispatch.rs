//! The dispatcher: one task that owns the frontier and the pool and decides what is sent next.
//!
//! A job is sent only when a slot, a READY proxy and all four limits are free *now*; otherwise nothing is held and the
//! dispatcher sleeps until the earliest of them. Attempts and probes run in their own tasks and come back as values.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use foldhash::fast::RandomState;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant as TokioInstant;

use super::Sticky;
use super::attempt::{Context, Errand, Landed, attempt};
use super::event::Listener;
use super::finish::{self, Style};
use super::flights::Flights;
use super::frontier::Frontier;
use super::hedging::Budget;
use super::held::{Held, Turn};
use super::leasing::Refused;
use super::pending::Pending;
use super::purse::{Purse, Room};
use super::sessions::Sessions;
use super::slots::Slots;
use crate::egress::{Egress, ProbeReport};
use crate::job::{HostKey, Job};
use crate::limit::{self, Limit};
use crate::metrics::{Binding, Tally};
use crate::outcome::{Blame, ErrorInfo, Finished, Outcome, Record, Verdict};
use crate::pool::{HostIdx, Lease, Pool, ProbeLease, Refusal, RefusalReason};
use crate::proxy::ProxyId;
use crate::retry;

/// Jobs of one host that are tried for a proxy before the host waits for the pool to change.
const JOBS_PER_TURN: usize = 8;
/// Blocked hosts that get another turn when a proxy has become free.
pub(super) const BLOCKED_HOSTS_PER_CHANGE: usize = 2;
/// Blocked hosts that get another turn at every look for exhaustion.
const BLOCKED_HOSTS_PER_CHECK: usize = 64;
/// A job that the pool or the host would hold back longer than this is reported instead.
const LONGEST_HOLD: Duration = Duration::from_secs(600);
/// The same for a host that has served before its bans began, from its last page on: bans of ten minutes are usual, and the longest
/// wait that is found out to be enough may be twice as long.
const LONGEST_BAN: Duration = Duration::from_secs(1_200);
/// A host that waits for a proxy asks again after this at the latest.
const LONGEST_PARK: Duration = Duration::from_secs(2);
/// A time so near that waiting for it beats waiting for news.
const SOON: Duration = Duration::from_millis(100);
/// The shortest wait for a time.
const SHORTEST: Duration = Duration::from_millis(1);
/// The shortest one for pairs that have to rest.
const QUOTA_GRAIN: Duration = Duration::from_millis(100);
/// How long a job waits for a proxy in quarantine when those that are READY cannot carry it.
const INCAPABLE_PATIENCE: Duration = Duration::from_secs(60);

/// What is said of a job beyond `--retry-max-time`.
const OUT_OF_TIME: &str = "the time for retries is over";

/// See the module text.
pub(super) struct Dispatcher<E> {
    pub(super) context: Arc<Context<E>>,
    pub(super) pool: Pool,
    pub(super) frontier: Frontier,
    pub(super) attempts: Slots<Errand, Landed>,
    /// What is under way there.
    pub(super) flights: Flights,
    pub(super) budget: Budget,
    pub(super) purse: Purse,
    pub(super) probes: JoinSet<(ProbeLease, ProbeReport)>,
    pub(super) tally: Tally,
    pub(super) out: mpsc::Sender<Finished>,
    /// Records that did not fit into the channel; while there are any, nothing is dispatched.
    pub(super) outbox: VecDeque<Finished>,
    /// What the input has sent for, on its way back to it.
    pub(super) brought: Vec<Finished>,
    pub(super) limits: limit::Settings,
    pub(super) retry: retry::Settings,
    pub(super) rng: StdRng,
    pub(super) style: Style,
    pub(super) sessions: Sessions,
    /// Hosts that refuse everybody so far, since when.
    pub(super) suspects: HashMap<u32, Instant, RandomState>,
    /// Who has answered of some URL what another one has answered as well: whether that one has served.
    pub(super) confirmed: HashMap<ProxyId, bool, RandomState>,
    /// Of some host nothing more is asked.
    pub(super) some_given_up: bool,
    /// The input has ended: what is in the frontier is all there is.
    pub(super) input_ended: bool,
    /// The last choice of a proxy failed for want of READY ones.
    pub(super) last_pick_failed: bool,
    /// Set when the writer has gone away.
    pub(super) output_failed: bool,
    pub(super) probe_rest_until: Option<Instant>,
    /// The strategy wants the whole list known: probes go on while requests are out although no job waits.
    pub(super) explores_all: bool,
    /// Where the last request went: what such probes aim at.
    pub(super) last_target: Option<(u32, HostKey)>,
    /// Who is told what is decided.
    pub(super) listener: Option<Listener>,
}

impl<E: Egress> Dispatcher<E> {
    /// Files a job, or answers it at once when its URL is invalid.
    pub(super) fn intake(&mut self, mut job: Job, now: Instant) {
        if !job.role.is_errand() {
            self.tally.counters().read += 1;
        }
        job.take_credentials();
        let key = match &job.target {
            Ok(url) => HostKey::of(url),
            Err(why) => {
                let message = why.0.clone();
                let error = ErrorInfo {
                    kind: "invalid_url",
                    phase: None,
                    message,
                    curl_code: Some(3),
                };
                let done = finish::unattempted(job, Outcome::InvalidUrl, error, self.style);
                self.emit(done, None, Duration::ZERO);
                return;
            }
        };
        let Some(key) = key else {
            // Jobs built by hand may hold any URL; no job goes without its row.
            let why = "only http and https URLs with a host are fetched";
            let error = ErrorInfo {
                kind: "invalid_url",
                phase: None,
                message: why.into(),
                curl_code: Some(1),
            };
            let done = finish::unattempted(job, Outcome::InvalidUrl, error, self.style);
            self.emit(done, None, Duration::ZERO);
            return;
        };
        let number = self.context.limiter().number(&key);
        self.frontier.meet(number, &key);
        let session = self.session_of(&job, &key);
        let job = Box::new(Pending::new(job, number, session, now));
        if let Some(job) = self.frontier.admit(job) {
            self.file(job, now);
        }
    }

    fn session_of(&self, job: &Job, key: &HostKey) -> Option<Arc<str>> {
        if job.session.is_some() {
            return job.session.clone();
        }
        match &self.context.settings.sticky {
            Sticky::None => None,
            Sticky::Host => Some(key.to_string().into()),
            Sticky::Tag(name) => match job.tag.as_ref()?.get(name)? {
                serde_json::Value::String(text) => Some(text.as_str().into()),
                other => Some(other.to_string().into()),
            },
        }
    }

    /// Answers a job without attempting it.
    pub(super) fn skip(&mut self, mut job: Job, error: ErrorInfo) {
        let is_errand = job.role.is_errand();
        job.take_credentials();
        let done = finish::unattempted(job, Outcome::Skipped, error, self.style);
        if is_errand {
            return self.brought.push(done);
        }
        self.tally.counters().read += 1;
        self.emit(done, None, Duration::ZERO);
    }

    /// Starts whatever can start now; returns what holds the rest back and until when.
    pub(super) fn pump(&mut self, now: Instant) -> Held {
        while let Some(job) = self.frontier.next_in_session(now) {
            self.file(job, now);
        }
        self.frontier.promote(now);
        for job in self.frontier.take_over(now) {
            self.give_up(job, Outcome::Timeout, OUT_OF_TIME, now);
        }
        self.hedge(now);
        let mut held = Held::default();
        loop {
            if !self.outbox.is_empty() {
                return held.because(Binding::Output);
            }
            if self.slots_left() == 0 {
                return held.because(Binding::Concurrency);
            }
            let Some(host) = self.frontier.first_ready() else {
                break;
            };
            match self.purse.room(&self.context.allowance, None) {
                Room::Free => {}
                Room::Wait => return held.because(Binding::Caps),
                Room::None(cap) => {
                    self.purse.reached = Some(cap);
                    return held.because(Binding::Caps);
                }
            }
            let admitted = self.context.limiter().check_host(host, now);
            if let Err(wait) = admitted {
                let why = match wait.limit {
                    Limit::Global => return held.until(wait.until).because(Binding::Rate),
                    Limit::HostClock => {
                        if self.context.limiter().is_lost(host, now) {
                            self.give_up_first(
                                Outcome::NetworkError,
                                "the host serves nobody",
                                now,
                            );
                            continue;
                        }
                        let wait = wait.until.saturating_duration_since(now);
                        if !self.is_worth(host, wait, now) {
                            self.give_up_first(
                                Outcome::RateLimited,
                                "the target asks to wait",
                                now,
                            );
                            continue;
                        }
                        self.clock_of(host, now)
                    }
                    Limit::Host => Binding::HostRate,
                    Limit::Full => Binding::HostConcurrency,
                    Limit::Delay => Binding::Delay,
                    Limit::Proxy => self.rate_of_proxies(),
                };
                self.frontier.park_first(wait.until, why);
                continue;
            }
            let window = self.context.limiter().window(host);
            if window.is_some_and(|window| self.frontier.in_flight(host) >= window) {
                self.frontier.fill_first(Binding::HostOut);
                continue;
            }
            match self.start_first(host, now) {
                Turn::Started | Turn::Again => {}
                Turn::Stop(binding, until) => {
                    if let Some(until) = until {
                        held.until(until);
                    }
                    return held.because(binding);
                }
            }
        }
        if let Some(again) = self.endgame(now) {
            held.until(again);
        }
        held
    }

    /// Tries to send a job of the host whose turn it is.
    fn start_first(&mut self, host: u32, now: Instant) -> Turn {
        let mut keep = true;
        let turn = self.try_first(host, &mut keep, now);
        self.frontier.end_turn(host, keep);
        turn
    }

    /// Sets `keep` to false when the jobs that were passed over are to stand behind the others of their host.
    fn try_first(&mut self, host: u32, keep: &mut bool, now: Instant) -> Turn {
        let mut earliest: Option<Instant> = None;
        let (mut only_time_helps, mut rests) = (true, true);
        let mut why = Binding::NoProxy;
        let mut takes_any = false;
        for _ in 0..JOBS_PER_TURN {
            if self.some_given_up {
                let given_up = self.context.hosts().gives_up(host);
                if let Some(verdict) = given_up {
                    self.leave_first(verdict, now);
                    return Turn::Again;
                }
            }
            let Refused { refusal, pinned } = match self.lease_for_first(host, now) {
                Ok(lease) => {
                    self.last_pick_failed = false;
                    if let Some(turn) = self.beyond_caps(&lease) {
                        self.pool.cancel(lease, now);
                        return turn;
                    }
                    self.context.limiter().charge(host, lease.idx.number(), now);
                    if let Some(job) = self.frontier.take_first() {
                        self.send(job, lease, now);
                    }
                    return Turn::Started;
                }
                Err(refused) => refused,
            };
            if let Some((outcome, why)) = self.hopeless(host, &refusal, now) {
                self.give_up_first(outcome, why, now);
                return Turn::Again;
            }
            if let Some(binding) = self.holds_everybody(host, &refusal) {
                return Turn::Stop(binding, refusal.retry_at);
            }
            why = self.reason(&refusal);
            if let Some(proxy) = pinned {
                // The other jobs of its host do not wait for that proxy.
                let at = refusal.retry_at.unwrap_or(now + LONGEST_PARK);
                let at = at.clamp(now + SHORTEST, now + LONGEST_PARK);
                self.frontier.line_up_first(proxy.number(), at, why);
                return Turn::Again;
            }
            if refusal.reason != RefusalReason::Limited {
                self.last_pick_failed = true;
            }
            use RefusalReason::{AllBusy, AllCooling, Limited};
            only_time_helps &= matches!(refusal.reason, AllCooling | Limited);
            rests &= refusal.reason == AllCooling;
            // The end of some quarantine is news only through its probe, which unblocks.
            let timed = matches!(refusal.reason, AllCooling | Limited | AllBusy);
            let at = refusal.retry_at.filter(|at| timed || *at <= now + SOON);
            earliest = earliest.into_iter().chain(at).min();
            // A job that takes any proxy has the widest choice: no other job of its host is luckier.
            takes_any = self.takes_any(host);
            if takes_any {
                break;
            }
            // The refusal is about this job or this host; another job of the host may have better luck.
            if !self.frontier.pass_over_first() {
                break;
            }
        }
        *keep = takes_any;
        // Never in the past, which would be a busy loop, and never long: probes may find a new proxy at any time. Pairs at their
        // quota come free one by one, each after a minute or so: looking for every one of them would cost more than it brings.
        let soonest = now + if rests { QUOTA_GRAIN } else { SHORTEST };
        let at = earliest.map(|at| at.clamp(soonest, now + LONGEST_PARK));
        match at {
            Some(at) if only_time_helps => self.frontier.park_first(at, why),
            _ => self.frontier.block_first(at, why),
        }
        Turn::Again
    }

    /// Why the first job of `host` is not worth waiting any longer, if it is not.
    fn hopeless(
        &mut self,
        host: u32,
        refusal: &Refusal,
        now: Instant,
    ) -> Option<(Outcome, &'static str)> {
        let wait = refusal.retry_at.map(|at| at.saturating_duration_since(now));
        let job = self.frontier.peek(host)?;
        let waited = now.saturating_duration_since(job.waiting_since);
        match refusal.reason {
            RefusalReason::NoMatch => Some((
                Outcome::ProxyError,
                "no proxy of the pool carries the labels this job asks for",
            )),
            // One in quarantine may be able to: it gets a while to come back.
            RefusalReason::Incapable if wait.is_none() || waited > INCAPABLE_PATIENCE => Some((
                Outcome::ProxyError,
                if self.pool.is_barred(HostIdx(host)) {
                    "the proxies' own rules refuse this host"
                } else {
                    "no proxy of the pool can carry this kind of request"
                },
            )),
            RefusalReason::AllCooling => {
                // Somebody who has not been tried yet may be let in.
                let is_over = self.pool.counts(now).unknown == 0
                    && wait.is_some_and(|wait| !self.is_worth(host, wait, now));
                is_over.then_some((Outcome::Banned, "every proxy has to rest from this host"))
            }
            RefusalReason::NoneReady
                if waited > INCAPABLE_PATIENCE
                    && job
                        .job
                        .filter
                        .as_deref()
                        .is_some_and(|filter| !self.pool.has_hope(filter)) =>
            {
                Some((
                    Outcome::Skipped,
                    "no proxy with the labels this job asks for is usable",
                ))
            }
            _ => None,
        }
    }

    /// True when a host is worth waiting for so long: longer if it has served a moment before.
    fn is_worth(&self, host: u32, wait: Duration, now: Instant) -> bool {
        let quiet = self.pool.unserved_for(HostIdx(host), now);
        wait <= LONGEST_HOLD || quiet.is_some_and(|quiet| quiet + wait <= LONGEST_BAN)
    }

    fn send(&mut self, mut job: Box<Pending>, lease: Lease, now: Instant) {
        let waited = now.saturating_duration_since(job.waiting_since);
        job.waited += waited;
        if job.first_at.is_none() {
            job.first_at = Some(now);
            job.started_at = Some(SystemTime::now());
        }
        if let Some(session) = &job.session {
            self.sessions.bind(session, lease.proxy.id());
        }
        if self.explores_all {
            self.last_target = self
                .frontier
                .key(job.host)
                .map(|key| (job.host, key.clone()));
        }
        // What this machine has failed at is no word on proxies.
        let retry_of = job.last.as_ref().map(|end| match end.verdict.blame {
            Blame::Local => "local",
            _ => end.verdict.outcome.as_str(),
        });
        self.tally.attempt(retry_of);
        let patience = self.patience(&job, &lease);
        let (host, proxy) = (job.host, (lease.idx, !self.pool.is_proven(lease.idx)));
        let number = self.start(job.job.clone(), host, job.session.clone(), lease);
        self.flights
            .add(number, Some(job), host, proxy, patience, now);
    }

    /// Takes the place of a request through this lease from what the caps leave; what to do instead when there is none.
    pub(super) fn beyond_caps(&mut self, lease: &Lease) -> Option<Turn> {
        let price = lease.proxy.labels().cost;
        match self.purse.room(&self.context.allowance, price) {
            Room::Free => {
                self.context.allowance.take();
                self.purse.left(price);
                return None;
            }
            Room::Wait => {}
            Room::None(cap) => self.purse.reached = Some(cap),
        }
        Some(Turn::Stop(Binding::Caps, None))
    }

    /// Begins an attempt; gives its number.
    pub(super) fn start(
        &mut self,
        job: Arc<Job>,
        host: u32,
        session: Option<Arc<str>>,
        lease: Lease,
    ) -> usize {
        let errand = Errand {
            job,
            host,
            session,
            lease,
        };
        let context = &self.context;
        self.attempts.start(errand, || {
            let context = context.clone();
            move |errand, stop| attempt(context.clone(), errand, stop)
        })
    }

    /// Finishes the first job of the host in front: nothing can be done for it in reasonable time.
    fn give_up_first(&mut self, outcome: Outcome, why: &'static str, now: Instant) {
        let Some(job) = self.frontier.take_first() else {
            return;
        };
        self.frontier.landed(job.host);
        self.give_up(job, outcome, why, now);
    }

    /// Finishes the first job of the host in front, of which nothing more is asked: with how its last attempt ended, or with
    /// the verdict on the host when there was none.
    fn leave_first(&mut self, verdict: Verdict, now: Instant) {
        let Some(job) = self.frontier.take_first() else {
            return;
        };
        self.frontier.landed(job.host);
        self.tell_given_up(&job, verdict.outcome, "the host refuses every exit", now);
        self.leave(job, now, |record| {
            record.outcome = verdict.outcome;
            record.ban = verdict.ban;
        });
    }

    /// Finishes a job: with how its last attempt ended, or with `outcome` when there was none.
    pub(super) fn give_up(
        &mut self,
        job: Box<Pending>,
        outcome: Outcome,
        why: &'static str,
        now: Instant,
    ) {
        self.tell_given_up(&job, outcome, why, now);
        self.leave(job, now, |record| {
            record.outcome = outcome;
            let kind = if outcome == Outcome::ProxyError || outcome == Outcome::Skipped {
                "no_usable_proxy"
            } else {
                "cooling"
            };
            record.error = Some(ErrorInfo {
                kind,
                phase: None,
                message: why.into(),
                curl_code: None,
            });
        });
    }

    /// Finishes a waiting job: with how its last attempt ended, or as `unattempted` says when there was none.
    pub(super) fn leave(
        &mut self,
        mut job: Box<Pending>,
        now: Instant,
        unattempted: impl FnOnce(&mut Record),
    ) {
        job.waited += now.saturating_duration_since(job.waiting_since);
        let (number, waited, attempted) = (job.host, job.waited, job.last.is_some());
        let role = job.job.role;
        let mut done = finish::record(job, self.style, now);
        if !attempted {
            unattempted(&mut done.record);
        }
        self.deliver(role, done, number, waited, now);
    }

    /// Earliest time after `now` at which something changes without anybody telling us. What was due by `now` has been
    /// seen to, or nobody waits for it: sleeping until a time that has passed would be a busy loop.
    pub(super) fn next_wake(&mut self, now: Instant) -> Option<Instant> {
        [
            self.frontier.next_due(),
            self.pool.next_wake(),
            self.probe_rest_until,
            self.flights.next_due(),
        ]
        .into_iter()
        .flatten()
        .filter(|due| *due > now)
        .min()
    }

    /// Bounds what is remembered of hosts that are done.
    pub(super) fn sweep_hosts(&mut self, now: Instant) {
        let mut limiter = self.context.limiter();
        let mut robots = self.context.robots();
        let in_mind = OnceCell::new();
        let mut left = HashSet::new();
        let is_in_mind = |number: u32| {
            let hosts = in_mind.get_or_init(|| self.pool.hosts_in_mind());
            hosts.contains(&number)
        };
        self.frontier.sweep(|number, key| {
            let gone = !is_in_mind(number) && limiter.forget_host(number, key, now);
            if gone {
                robots.forget(number);
                left.insert(number);
            }
            gone
        });
        // Hosts that only redirects led to are known to the limiter alone.
        let is_wanted = |number| self.frontier.key(number).is_some() || is_in_mind(number);
        limiter.forget_others(is_wanted, now);
        self.pool.forget_hosts(&left);
    }

    /// Gives some blocked hosts another turn although nothing is known to have changed. Events wake a few hosts each, and
    /// not necessarily those they concern; this makes sure that nobody waits for ever.
    pub(super) fn unblock_some(&mut self) {
        self.frontier.unblock(BLOCKED_HOSTS_PER_CHECK);
    }
}

/// Tokio's clock, which tests can pause, as the plain instant that layers 0 and 1 speak.
pub(super) fn now() -> Instant {
    TokioInstant::now().into_std()
}
