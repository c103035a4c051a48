//! The engine's side of the probe lane: whom the pool wants to know about, asked beside the attempts.
//!
//! Probes go to the queued hosts in turn. A handshake proves the way to one host only, and were they all to go to the first,
//! one dead host at the head of the input would make every proxy look dead.
//!
//! Where a handshake makes the proxy connect to the host, the host's limits hold for it. Dead proxies, of which lists are
//! full, never get that far, so they are sorted out at full speed before anybody waits for the host.

use std::time::{Duration, Instant, SystemTime};

use tokio::time::Instant as TokioInstant;

use super::attempt::Context;
use super::dispatch::{BLOCKED_HOSTS_PER_CHANGE, Dispatcher, now};
use crate::egress::{Egress, ProbeReport};
use crate::job::HostKey;
use crate::metrics::{Spend, Use};
use crate::outcome::{Blame, Phase};
use crate::pool::{Demand, HostIdx, ProbeLease, ProbeResult};

/// Probing rests this long after this machine itself failed (no descriptors, no route).
const LOCAL_REST: Duration = Duration::from_secs(1);
/// A list of so many that all speak another protocol is given up. Each of a few may as well have its own bad minute.
const FOREIGN_LEAST: u32 = 8;
/// A proxy that cannot be tried towards a limited host within this time is taken for what its connect showed.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

impl<E: Egress> Dispatcher<E> {
    /// Starts the probes that the pool wants now, with so much work left.
    pub(super) fn probe(&mut self, work_left: Option<Duration>, now: Instant) {
        if self.probe_rest_until.is_some_and(|until| now < until) {
            return;
        }
        self.probe_rest_until = None;
        let slots = self.limits.concurrency.get();
        let limit = u32::try_from(self.context.settings.probe_concurrency).unwrap_or(u32::MAX);
        loop {
            let out = self.explores_all && !self.attempts.is_empty();
            let last = self.last_target.as_ref().filter(|_| out);
            let waiting = self.frontier.next_target();
            let waiting = waiting.or(last.map(|(number, target)| (*number, target)));
            let Some((number, target)) = waiting else {
                return;
            };
            let target = target.clone();
            let demand = Demand {
                slots,
                idle: slots.saturating_sub(u32::try_from(self.attempts.len()).unwrap_or(slots)),
                probing: u32::try_from(self.probes.len()).unwrap_or(u32::MAX),
                probe_limit: limit,
                waiting: true,
                work_left,
                last_pick_failed: self.last_pick_failed,
            };
            if !self
                .purse
                .admits_probe(&self.context.allowance, self.probes.len())
            {
                return;
            }
            let Some(mut lease) = self.pool.next_probe(demand, now, &mut self.rng) else {
                return;
            };
            lease.host = Some(HostIdx(number));
            self.context.allowance.take();
            self.tally.counters().probes += 1;
            let context = self.context.clone();
            self.probes.spawn(async move {
                let report = look(&context, &lease, number, target).await;
                (lease, report)
            });
        }
    }

    /// True when every proxy of a list has taken a connection and then answered nothing that its protocol knows, and none ever
    /// served or opened a tunnel: waiting will not teach them another one.
    pub(super) fn speaks_to_nobody(&mut self, now: Instant) -> bool {
        let counts = self.pool.counts(now);
        let seems = counts.proven == 0
            && counts.total >= FOREIGN_LEAST
            && self.tally.foreign().all() >= u64::from(counts.total)
            && !self.pool.has_shown_to_work();
        // Some hang up because of the host.
        seems && !self.pool.look_twice(now)
    }

    /// A probe came back.
    pub(super) fn probed(&mut self, lease: ProbeLease, report: ProbeReport, now: Instant) {
        let price = lease.proxy.labels().cost;
        let used = Spend::at(price, u64::from(report.bytes > 0), report.bytes);
        self.context.allowance.give_back(1 - used.requests);
        self.purse.probed(used);
        self.tally.used(Use::Probe, price, used);
        let result = match &report.result {
            Ok(()) => {
                let connect = report.phases.connect.unwrap_or_default();
                self.tell_probe(&lease.proxy, Ok(connect), now);
                if report.phases.proxy_handshake.is_some() {
                    self.frontier.reached_target(true);
                }
                ProbeResult::Alive {
                    connect,
                    handshake: report.phases.proxy_handshake,
                }
            }
            Err(fault) => {
                self.tell_probe(&lease.proxy, Err(fault), now);
                let reply = report.connect_reply.as_deref();
                let mut verdict = self
                    .context
                    .judge
                    .classify_probe((fault, reply), Some(SystemTime::now()));
                if self.pool.may_mean_host(lease.idx, lease.host, fault) {
                    verdict.blame = Blame::Unknown;
                }
                if verdict.blame == Blame::Local {
                    self.probe_rest_until = Some(now + LOCAL_REST);
                }
                if fault.phase >= Phase::Handshake {
                    self.frontier.reached_target(false);
                }
                self.tally.counters().probes_failed += 1;
                let (number, kind) = (lease.idx.number(), (fault.phase, fault.kind));
                self.tally.proxy_fault(number, kind, verdict.blame);
                if !self.pool.is_proven(lease.idx) {
                    let scheme = lease.proxy.scheme();
                    self.tally.stranger_failed(number, scheme, kind);
                }
                ProbeResult::Failed {
                    blame: verdict.blame,
                    kind: (fault.phase, fault.kind),
                }
            }
        };
        // A failure is news too: a job that has tried all others need not wait for this one any longer.
        self.frontier.unblock(BLOCKED_HOSTS_PER_CHANGE);
        self.pool.settle_probe(lease, result, now, &mut self.rng);
    }
}

/// One probe: the connect, and the handshake as soon as the host's limits admit it.
async fn look<E: Egress>(
    context: &Context<E>,
    lease: &ProbeLease,
    number: u32,
    target: HostKey,
) -> ProbeReport {
    let probe = |target| {
        context
            .egress
            .probe(lease.proxy.clone(), target, lease.connect_timeout)
    };
    let reaches = target.https || !lease.proxy.scheme().is_http();
    if !reaches || !context.limiter().limits_handshakes(number, now()) {
        return probe(Some(target)).await;
    }
    let connected = probe(None).await;
    if connected.result.is_err() || !is_admitted(context, number).await {
        return connected;
    }
    let mut report = probe(Some(target)).await;
    report.bytes += connected.bytes;
    context.limiter().end_handshake(number);
    report
}

/// Waits until the host's limits admit one more handshake; false when that takes too long.
async fn is_admitted<E>(context: &Context<E>, number: u32) -> bool {
    let until = now() + HANDSHAKE_PATIENCE;
    loop {
        let taken = context.limiter().take_handshake(number, now());
        match taken {
            Ok(()) => return true,
            Err(wait) if wait.until > until => return false,
            Err(wait) => tokio::time::sleep_until(TokioInstant::from_std(wait.until)).await,
        }
    }
}
