//! What follows an attempt: the three ledgers learn from it, then the job is tried again or has its record.

use std::time::{Duration, Instant};

use super::attempt::Landed;
use super::dispatch::{BLOCKED_HOSTS_PER_CHANGE, Dispatcher};
use super::event::{self, Effect, Kind};
use super::finish;
use super::flights::Flight;
use super::pending::{End, Pending};
use crate::ban::{
    agreed, agreed_on_certificate, differing, in_place_of, is_compared, is_page_of_nothing,
};
use crate::egress::Egress;
use crate::limit::Failure;
use crate::metrics::{Host, Spend, Use};
use crate::outcome::{Blame, Fault, Outcome, Phase};
use crate::pool::{HostIdx, HostWide, Lease, Mechanism, Settlement};
use crate::proxy::Price;
use crate::retry::{self, Decision, Ended, Spent};

/// Requests to a host that is out whose slots are worth having back.
const MANY: usize = 8;

/// So long a host that refuses everybody so far is waited for to serve somebody.
const PAGE_PATIENCE: Duration = Duration::from_secs(10);
/// One that has served somebody since so long serves.
const SERVES: Duration = Duration::from_secs(300);
/// Refusals by hosts that limit everybody which cost a URL no attempt. One that never gets through may be limited for itself.
const EXCUSED: u32 = 10;

/// What an attempt has used, after the price it was used at.
type Used = (Option<Price>, Spend);

/// How an attempt came out.
struct Arrival {
    end: Box<End>,
    /// Its proxy had never served before in this way, through a tunnel or without one.
    stranger: bool,
    took: Duration,
    /// Without what our own limits took of it.
    served: Duration,
    sent: Instant,
    /// Number of its job.
    seq: u64,
    /// Its job has failed before.
    again: bool,
    /// Beside another one.
    is_second: bool,
    /// Refused by a host that limits everybody together.
    is_wide: bool,
    used: Used,
    /// What it has changed, for who listens.
    effects: Vec<Effect>,
}

impl<E: Egress> Dispatcher<E> {
    /// Attempt `number` came back.
    pub(super) fn landed(&mut self, number: usize, landed: Landed, now: Instant) {
        let used = self.account(&landed);
        let Some(flight) = self.flights.take(number) else {
            self.tally.used(Use::Retry, used.0, used.1);
            return self.pool.cancel(landed.lease, now);
        };
        let before = self.stands(&landed, flight.host, now);
        let Landed {
            mut lease,
            seq,
            end,
            took,
            paced,
            started,
            ..
        } = landed;
        // Waiting for our own limits is not the proxy's slowness.
        let served = took.saturating_sub(paced);
        self.frontier.landed(flight.host);
        self.frontier.unblock(BLOCKED_HOSTS_PER_CHANGE);
        self.frontier.news_of(lease.idx.number());
        let trials = &mut self.flights.trials;
        trials.landed(flight.is_trial, end.as_deref(), served);
        let Some(mut end) = end else {
            self.tally.used(Use::Retry, used.0, used.1);
            return self.stopped(flight, lease, served, used, now);
        };
        let host = end.host(flight.host);
        if let Some(place) = end.elsewhere {
            self.pool
                .moved_on(&mut lease, HostIdx(place.host), place.tunnel, now);
            self.host_answered(flight.host, lease.idx.number(), now);
        }
        if let Some(job) = &flight.job {
            let serves = end.verdict.blame == Blame::Pair && self.pool.is_served(&lease);
            end.verdict = agreed(end.verdict, &job.log, serves);
        }
        let log = flight.job.as_ref().map_or(&[][..], |job| &job.log);
        let stranger = !self.pool.has_served_so(&lease);
        let reached = self.pool.has_reached(&lease);
        end.verdict = in_place_of(end.verdict, log, !stranger, reached);
        if let Some(fault) = &end.fault {
            let believed = !stranger || self.pool.counts(now).proven == 0;
            let shown = (fault, end.proxy.id());
            end.verdict = agreed_on_certificate(end.verdict, shown, log, believed);
        }
        if let (Some(fault), Blame::Proxy(_)) = (&end.fault, end.verdict.blame)
            && self
                .pool
                .may_mean_host(lease.idx, Some(HostIdx(host)), fault)
        {
            end.verdict.blame = Blame::Unknown;
        }
        if end.verdict.outcome == Outcome::Banned {
            self.consider_giving_up(flight.host, now);
        }
        if self.pool.excuses(&lease, end.verdict.blame) {
            end.verdict.blame = Blame::Local;
        }
        let unmet = self.pool.unserved_for(HostIdx(host), now).is_none();
        self.frontier.met(end.is_unreached() && unmet);
        let mut arrival = Arrival {
            end,
            stranger,
            took,
            served,
            sent: started,
            seq,
            again: flight.is_second || !log.is_empty(),
            is_second: flight.is_second,
            is_wide: false,
            used,
            effects: Vec::new(),
        };
        let proxy = lease.idx;
        if let Some(key) = self.frontier.key(flight.host) {
            let number = flight.host;
            let outcome = arrival.end.verdict.outcome;
            self.tally.landed(Host { number, key }, outcome, served);
        }
        arrival.is_wide = self.learn(host, lease, &arrival, now);
        arrival.effects = self.effects(before, proxy, flight.host, now);
        if let Some((job, twin)) = self.job_of(flight) {
            self.conclude(job, twin, arrival, now);
        } else {
            self.tally.used(Use::Retry, used.0, used.1);
        }
    }

    /// The host has refused one more. When it refuses everybody, those that are under way are waited for, and then nothing more is
    /// asked of it.
    fn consider_giving_up(&mut self, host: u32, now: Instant) {
        let mut hosts = self.context.hosts();
        hosts.know_exits(self.pool.exits());
        // A few exits prove nothing by their number, but by being refused each time that they are let go again.
        if let Some(few) = hosts.few_refused(host) {
            let worn_out = self.pool.worn_out(few, HostIdx(host), now);
            hosts.wear_out(host, worn_out);
        }
        if hosts.suspects(host).is_none() {
            return;
        }
        let since = *self.suspects.entry(host).or_insert(now);
        let is_late = now.saturating_duration_since(since) >= PAGE_PATIENCE;
        if is_late || !self.flights.has_left_before(host, since) {
            hosts.give_up(host);
            self.some_given_up = true;
        }
    }

    /// What an attempt has used, and at which price; its place in the caps is free again.
    fn account(&mut self, landed: &Landed) -> Used {
        let price = landed.lease.proxy.labels().cost;
        let (requests, bytes) = (landed.traffic.requests(), landed.traffic.bytes());
        let used = Spend::at(price, requests, bytes);
        self.context.allowance.give_back(landed.traffic.unused());
        self.purse.landed(price, used);
        (price, used)
    }

    /// An attempt has ended because it was told to.
    fn stopped(
        &mut self,
        flight: Flight,
        lease: Lease,
        served: Duration,
        used: Used,
        now: Instant,
    ) {
        let began = flight.began;
        let Some((mut job, twin)) = self.job_of(flight) else {
            return self.pool.settle_stopped(lease, served, now);
        };
        // Its job goes on: it was called back from a host that is out, or two attempts were too slow and a third is to be made.
        let took = now.saturating_duration_since(began);
        let line = finish::log_stopped(job.next_n(), lease.proxy.clone(), took);
        if self.context.limiter().out_since(job.host).is_some() {
            self.pool.cancel(lease, now);
        } else {
            self.pool.settle_stopped(lease, served, now);
        }
        job.proxies_tried += 1;
        job.pay(used.0, used.1);
        job.log.push(line);
        (job.waiting_since, job.soon) = (now, true);
        match twin {
            Some(twin) => self.leave_to(twin, job),
            None => self.frontier.push(job),
        }
    }

    /// Stops whatever is under way.
    pub(super) fn stop_all(&mut self) {
        for number in 0..self.attempts.seats() {
            self.attempts.stop(number);
        }
    }

    /// Stops what is under way to a host that is out: gateways would keep their slots for a long time before they say so. A few
    /// may as well go on.
    pub(super) fn call_back(&mut self, host: u32) {
        let under_way = self.flights.to(host);
        if under_way.len() >= MANY {
            under_way
                .iter()
                .for_each(|number| self.attempts.stop(*number));
        }
    }

    /// The job that an attempt was for, and its other attempt if that is in flight. `None` when the job has its record.
    fn job_of(&mut self, flight: Flight) -> Option<(Box<Pending>, Option<usize>)> {
        let Some(twin) = flight.twin else {
            return Some((flight.job?, None));
        };
        let of_other = self.flights.get_mut(twin).and_then(|other| {
            other.twin = None;
            other.job.take()
        });
        Some((flight.job.or(of_other)?, Some(twin)))
    }

    /// Three ledgers. True when the host, which is where the last redirect led, has refused all of us together.
    fn learn(&mut self, host: u32, lease: Lease, arrival: &Arrival, now: Instant) -> bool {
        let Arrival {
            end,
            stranger,
            served,
            sent,
            seq,
            again,
            ..
        } = arrival;
        let (served, sent) = (*served, *sent);
        let verdict = &end.verdict;
        let (exit, proxy) = (lease.exit(), lease.idx.number());
        // Over plain http an error page may be any proxy's own, of whom nothing is known.
        let is_surely_theirs = lease.is_tunnel() || !*stranger;
        if end.is_http2_ended() {
            self.tally.http2_ended();
        }
        if let Some(fault) = end.proxy_fault() {
            self.tally.proxy_fault(proxy, fault, verdict.blame);
        }
        // What comes after a tunnel is not the protocol that opened it.
        let in_tunnel = |fault: &Fault| lease.is_tunnel() && fault.phase > Phase::Handshake;
        if let Some(fault) = end
            .fault
            .as_ref()
            .filter(|fault| *stranger && !in_tunnel(fault))
        {
            let kind = (fault.phase, fault.kind);
            self.tally
                .stranger_failed(proxy, lease.proxy.scheme(), kind);
        }
        if verdict.outcome == Outcome::Ok {
            self.budget.earn();
        }
        let wide = self.pool.settle(
            lease,
            &Settlement {
                blame: verdict.blame,
                latency: served,
                retry_after: verdict.retry_after,
                for_rate: verdict.outcome == Outcome::RateLimited,
                compared: is_compared(verdict),
                connect: end.phases.connect,
                kind: end.fault.as_ref().map(|fault| (fault.phase, fault.kind)),
            },
            now,
        );
        let is_answer = end.is_turned_away();
        let failed = match verdict.blame {
            // A page that is not the expected one has come from somewhere.
            Blame::Unknown => !*stranger && verdict.outcome != Outcome::Corrupt,
            _ => is_answer && is_surely_theirs,
        };
        // What a forward proxy says of itself is no answer of the host.
        let answered = end.answer.is_some()
            && matches!(verdict.blame, Blame::Nobody | Blame::Target | Blame::Pair);
        if failed && !self.pool.without(Mechanism::HostBreaker) {
            let served = self.pool.unserved_for(HostIdx(host), now).is_some();
            let failure = Failure {
                proxy,
                url: *seq,
                sent,
                is_answer,
                again: *again,
                served,
            };
            self.host_failed(host, failure, now);
        } else if answered && !is_answer {
            self.host_answered(host, proxy, now);
        }
        if self.pool.has_tiers() && wide.is_none() {
            self.weigh_tier(host, exit, end, now);
        }
        match wide {
            None => self.pace_host(host, proxy, end, sent, now),
            Some(HostWide::Endpoint) => {}
            Some(HostWide::Refuted) => self.context.limiter().clock(host).lift_rate(),
            Some(HostWide::Known | HostWide::Shown { .. }) => {
                let goodput = match wide {
                    Some(HostWide::Shown { goodput }) => Some(f64::from(goodput)),
                    _ => None,
                };
                let (asked, mut limiter) = (verdict.retry_after, self.context.limiter());
                limiter.clock(host).throttled(goodput, asked, sent, now);
            }
        }
        wide.is_some_and(|wide| wide != HostWide::Refuted)
            || is_answer && self.is_too_fast(host, sent, now)
    }

    /// Retry or record. While the other attempt of the job is in flight, it is the retry.
    fn conclude(
        &mut self,
        mut job: Box<Pending>,
        twin: Option<usize>,
        arrival: Arrival,
        now: Instant,
    ) {
        let Arrival {
            end,
            stranger,
            took,
            sent: started,
            is_second,
            is_wide,
            used,
            effects,
            ..
        } = arrival;
        let number = job.host;
        let host = end.host(number);
        let hearsay = self.is_hearsay(&job, &end, stranger, now);
        let verdict = &end.verdict;
        let known = job
            .log
            .iter()
            .any(|attempt| attempt.proxy.id() == end.proxy.id());
        job.proxies_tried += u32::from(!known);
        let waited = started.saturating_duration_since(job.waiting_since);
        job.log
            .push(finish::log_line(job.next_n(), &end, took, waited));
        job.waiting_since = now;
        let ended = Ended {
            outcome: verdict.outcome,
            blame: verdict.blame,
            status: end.status(),
            empty: is_page_of_nothing(verdict),
            sent: end.sent,
            idempotent: job.job.request.is_idempotent(),
            // An exit that was never seen before is behind every connection of a rotating endpoint.
            stranger: stranger || end.proxy.is_rotating(),
            hearsay,
            elapsed: now.saturating_duration_since(job.first_at.unwrap_or(now)),
            asked: verdict.retry_after,
        };
        // A stream that the target ends is its doing, and no answer.
        let charged = end.is_http2_ended()
            || !matches!(verdict.blame, Blame::Nobody | Blame::Target | Blame::Local);
        let fails_session = match verdict.blame {
            Blame::Proxy(_) => true,
            // Who is too fast waits.
            Blame::Pair => verdict.outcome != Outcome::RateLimited,
            // It may have been the host.
            Blame::Unknown => known,
            Blame::Nobody | Blame::Target | Blame::Local => end.is_http2_ended(),
        };
        if fails_session && let Some(session) = &job.session {
            self.sessions.release(session, end.proxy.id());
        }
        let (spent, mut free) = (job.spent, false);
        let mut decision = retry::decide(&self.retry, &ended, &mut job.spent, &mut self.rng);
        if let Some(spent) = self.forgiven(spent, &end, host, is_wide, now)
            && retry::may_repeat(&self.retry, &ended, Duration::ZERO)
        {
            (job.spent, free) = (spent, true);
            decision = Decision::Retry {
                after: Duration::ZERO,
            };
        }
        if verdict.outcome == Outcome::Ok && !job.log.is_empty() {
            let is_plain = !job.needs_tunnel();
            let may_invent = |proxy| {
                let at = self.pool.find(proxy);
                is_plain && at.is_some_and(|at| !self.pool.is_proven(at))
            };
            let differing = differing(&mut job.log, end.proxy.id(), may_invent);
            for refused in differing.collect::<Vec<_>>() {
                self.pool.refused_after_all(refused, HostIdx(host), now);
            }
        }
        let is_refused = free || verdict.blame == Blame::Pair;
        job.soon = !is_refused && verdict.outcome != Outcome::RateLimited;
        let is_useful = decision == Decision::Finish && verdict.outcome == Outcome::Ok;
        let what = if is_useful { Use::Useful } else { Use::Retry };
        self.tally.used(what, used.0, used.1);
        job.pay(used.0, used.1);
        let goes_on = decision != Decision::Finish || twin.is_some();
        if goes_on && !matches!(verdict.blame, Blame::Local) {
            job.avoid.note(&end.proxy);
        }
        let next = event::next(decision, free, twin.is_some(), charged);
        let kind = kind(is_second, &job, 1);
        self.tell_attempt(&job, &end, (kind, took, effects), next, now);
        job.last = Some(end);
        match (decision, twin) {
            (Decision::Retry { .. }, Some(twin)) => self.leave_to(twin, job),
            // The budgets are used up, but not by an answer that counts.
            (Decision::Finish, Some(twin)) if charged => self.leave_to(twin, job),
            (Decision::Finish, twin) => {
                if let Some(twin) = twin {
                    self.stop(twin, &mut job, now);
                }
                let (waited, role) = (job.waited, job.job.role);
                let done = finish::record(job, self.style, now);
                self.deliver(role, done, number, waited, now);
            }
            (Decision::Retry { after }, None) if after.is_zero() => self.frontier.push(job),
            (Decision::Retry { after }, None) => self.frontier.push_later(job, now + after),
        }
    }

    /// True for an error page that may be the proxy's own: over plain http, of one that has never served. Who was confirmed once by
    /// one that has served is believed; while nobody has, any other will do.
    fn is_hearsay(&mut self, job: &Pending, end: &End, stranger: bool, now: Instant) -> bool {
        let tunnel = end
            .elsewhere
            .map_or(job.needs_tunnel(), |place| place.tunnel);
        let writes = !tunnel && end.proxy.scheme().is_http() && !end.proxy.is_direct();
        if !writes || end.verdict.outcome != Outcome::HttpError {
            return false;
        }
        let own = end.proxy.id();
        for same in job.log.iter().filter(|one| one.status == end.status()) {
            let other = same.proxy.id();
            let served = self
                .pool
                .find(other)
                .is_some_and(|at| self.pool.is_proven(at));
            *self.confirmed.entry(own).or_default() |= served;
            *self.confirmed.entry(other).or_default() |= !stranger;
        }
        let nobody_serves = self.pool.counts(now).proven == 0;
        let confirmed = self.confirmed.get(&own);
        stranger
            && !confirmed.is_some_and(|by_one_that_serves| *by_one_that_serves || nobody_serves)
    }

    /// What a job has spent if this end is nothing of its own; `None` for one that counts.
    fn forgiven(
        &self,
        spent: Spent,
        end: &End,
        host: u32,
        is_wide: bool,
        now: Instant,
    ) -> Option<Spent> {
        let verdict = &end.verdict;
        let repeats = |status| retry::repeats(&self.retry, status);
        if end.is_turned_away() && !end.status().is_some_and(repeats) {
            return None;
        }
        if verdict.blame == Blame::Unknown || end.is_turned_away() && !is_wide {
            // The host is out for everybody: no URL of it pays for that.
            let limiter = self.context.limiter();
            limiter.out_since(host)?;
            return (!limiter.is_lost(host, now)).then_some(spent);
        }
        if (verdict.outcome, verdict.blame) == (Outcome::Banned, Blame::Pair)
            && self.pool.has_tiers()
            && end.proxy.labels().tier < self.pool.tier(HostIdx(host))
        {
            // Its host has risen above this tier meanwhile: what was banned there says nothing about the next.
            return Some(Spent {
                proxies: 0,
                ..spent
            });
        }
        // We were too fast for the host, which is no fault of the URL that it refused.
        let serves = || {
            let quiet = self.pool.unserved_for(HostIdx(host), now);
            quiet.is_some_and(|quiet| quiet <= SERVES)
        };
        // Nor of one that a rotating endpoint refused for their number.
        let fault = end.fault.as_ref();
        let by_endpoint =
            end.proxy.is_rotating() && fault.is_some_and(|fault| fault.phase == Phase::Handshake);
        (is_wide && spent.excused < EXCUSED && (by_endpoint || serves())).then(|| Spent {
            excused: spent.excused + 1,
            ..spent
        })
    }

    /// The job goes on with the attempt that is still in flight.
    fn leave_to(&mut self, twin: usize, job: Box<Pending>) {
        let flight = self.flights.get_mut(twin);
        debug_assert!(flight.is_some(), "attempt {twin} has landed before");
        match flight {
            Some(flight) => flight.job = Some(job),
            None => self.frontier.push(job),
        }
    }

    /// The attempt is not needed any more.
    fn stop(&mut self, twin: usize, job: &mut Pending, now: Instant) {
        let Some(flight) = self.flights.get_mut(twin) else {
            return;
        };
        let proxy = self.pool.proxy(flight.proxy).clone();
        let took = now.saturating_duration_since(flight.began);
        let is_second = flight.is_second;
        job.proxies_tried += 1;
        let line = finish::log_stopped(job.next_n(), proxy.clone(), took);
        job.log.push(line);
        // The one that was answered is in the log as well.
        self.tell_stopped(job, kind(is_second, job, 2), proxy, took, now);
        self.attempts.stop(twin);
    }
}

/// Why the attempt that has just been logged was made; `ended` attempts of its job have ended together.
fn kind(is_second: bool, job: &Pending, ended: usize) -> Kind {
    if is_second {
        Kind::Hedge
    } else if job.log.len() <= ended {
        Kind::First
    } else {
        Kind::Retry
    }
}
