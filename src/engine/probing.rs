//! The engine's side of the probe lane: whom the pool wants to know about, asked beside the attempts.
//!
//! Probes go to the queued hosts in turn. A handshake proves the way to one host only, and were they all to go to the first,
//! one dead host at the head of the input would make every proxy look dead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dispatch::{BLOCKED_HOSTS_PER_CHANGE, Dispatcher};
use crate::egress::{Egress, ProbeReport};
use crate::outcome::Blame;
use crate::pool::{Demand, HostIdx, ProbeLease, ProbeResult};
use crate::proxy::Proxy;

/// Probing rests this long after this machine itself failed (no descriptors, no route).
const LOCAL_REST: Duration = Duration::from_secs(1);

impl<E: Egress> Dispatcher<E> {
    /// Starts the probes that the pool wants now.
    pub(super) fn probe(&mut self, now: Instant) {
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
                last_pick_failed: self.last_pick_failed,
            };
            let Some(mut lease) = self.pool.next_probe(demand, now, &mut self.rng) else {
                return;
            };
            lease.host = Some(HostIdx(number));
            self.tally.counters().probes += 1;
            let context = self.context.clone();
            self.probes.spawn(async move {
                let proxy: Arc<Proxy> = lease.proxy.clone();
                let report = context
                    .egress
                    .probe(proxy, target, lease.connect_timeout)
                    .await;
                (lease, report)
            });
        }
    }

    /// A probe came back.
    pub(super) fn probed(&mut self, lease: ProbeLease, report: ProbeReport, now: Instant) {
        let result = match &report.result {
            Ok(()) => ProbeResult::Alive {
                connect: report.phases.connect.unwrap_or_default(),
                handshake: report.phases.proxy_handshake,
            },
            Err(fault) => {
                let reply = report.connect_reply.as_deref();
                let verdict = self.context.judge.classify_probe((fault, reply));
                if verdict.blame == Blame::Local {
                    self.probe_rest_until = Some(now + LOCAL_REST);
                }
                self.tally.counters().probes_failed += 1;
                self.tally
                    .proxy_fault(fault.phase, fault.kind, verdict.blame);
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
