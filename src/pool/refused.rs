//! What a refusal by the target teaches: of the pair, or of a host that refuses all of us.

use std::time::Instant;

use super::clock::Micros;
use super::lease::{HostWide, Lease, Settlement};
use super::pair::{PairKey, Term};
use super::quota::{Block, Kind, Scope};
use super::{HostIdx, Mechanism, Pool};
use crate::proxy::ProxyId;

impl Pool {
    /// The host has shown another exit what it refused this one for: that was the pair's after all.
    pub fn refused_after_all(&mut self, proxy: ProxyId, host: HostIdx, now: Instant) {
        let t = self.moment(now);
        if let Some(at) = self.roster.find(proxy)
            && !self.roster.slot(at.0).is_rotating()
        {
            let key = PairKey {
                slot: at.0,
                generation: self.roster.slot(at.0).generation,
                host: host.0,
            };
            self.pairs
                .refuse(key, false, Term::default(), &mut self.jitter, t);
        }
    }

    /// The host seems to limit all proxies together: what it refuses any of them for is nothing of theirs. False when that was
    /// refuted before.
    pub fn limits_everybody(&mut self, host: HostIdx, now: Instant) -> bool {
        let t = self.moment(now);
        let believed = self.quotas.limits_everybody(host.0, t);
        if believed {
            self.pairs.pardon(host.0);
        }
        believed
    }

    /// An earlier run has found that the host limits all proxies together.
    pub fn recall_limit(&mut self, host: HostIdx, now: Instant) {
        let t = self.moment(now);
        self.quotas.recall_limit(host.0, t);
    }

    /// The host has answered with a redirect to another one. What comes of the attempt is that one's doing; to be called before the
    /// lease is settled.
    pub fn moved_on(&mut self, lease: &mut Lease, to: HostIdx, tunnel: bool, now: Instant) {
        let t = self.moment(now);
        let at = lease.idx.0;
        let slots = &self.roster.slots;
        let is_member = slots
            .get(at as usize)
            .is_some_and(|slot| slot.generation == lease.generation);
        let key = lease.pair();
        if is_member {
            if lease.tunnel {
                self.hosts.answered(lease.host.0, t);
                self.host_was_up(at, lease, t);
            }
            let in_flight = self.roster.slot(at).in_flight;
            self.quotas.served(key, lease.used, in_flight, t);
            self.clear(lease, key, t);
            self.barred.let_through(lease.proxy.group(), lease.host.0);
        }
        if lease.on_trial {
            self.pairs.end_trial(key);
        }
        (lease.host, lease.tunnel, lease.on_trial) = (to, tunnel, false);
        let (slot, key) = (self.roster.slot(at), lease.pair());
        let beside = slot.in_flight.saturating_sub(1);
        lease.used = self.quotas.begin(key, || slot.kin(), beside, t);
    }

    /// The pair is in good standing again if this was the one request of its probation.
    pub(super) fn clear(&mut self, lease: &Lease, key: PairKey, now: Micros) {
        if lease.on_trial
            && let Some(lasted) = self.pairs.clear(key, now)
        {
            self.quotas.tried(key, lasted, true, now);
        }
    }

    /// The target refused this exit, or all of us.
    pub(super) fn refused(
        &mut self,
        lease: &Lease,
        key: PairKey,
        report: &Settlement,
        now: Micros,
    ) -> Option<HostWide> {
        let block = Block {
            kind: match report.for_rate {
                true => Kind::Rate,
                false => Kind::Other,
            },
            compared: report.compared,
            kin: self.roster.slot(key.slot).kin(),
            in_ban: self.pairs.is_banned(key),
            live: self.roster.tally.ready as usize,
        };
        let scope = self.quotas.refused(key, lease.used, block, now);
        let lasted = self.pairs.lasted(key, lease.on_trial, now);
        if let Some(lasted) = lasted {
            self.quotas.tried(key, lasted, false, now);
        }
        let learned = match scope {
            Scope::Everybody | Scope::Shown { .. } if self.without(Mechanism::HostWideLimit) => {
                None
            }
            Scope::Pair { learned } if self.pairs.will_teach(key, learned, now) => {
                // After a wait that was too short the next one is longer.
                let wait = self.quotas.wait(key, now);
                wait.map(|wait| wait.max(lasted.unwrap_or(0)))
            }
            Scope::Pair { .. } => None,
            Scope::Everybody if lease.is_rotating() => return Some(HostWide::Known),
            Scope::Everybody => {
                let term = Term {
                    is_wide: true,
                    ..Term::default()
                };
                let jitter = &mut self.jitter;
                self.pairs.refuse(key, lease.on_trial, term, jitter, now);
                return Some(HostWide::Known);
            }
            Scope::Shown { goodput } => {
                self.pairs.pardon(key.host);
                return Some(HostWide::Shown { goodput });
            }
            Scope::Refuted => None,
        };
        let refuted = (scope == Scope::Refuted).then_some(HostWide::Refuted);
        if lease.is_rotating() {
            // Its exit is gone with it.
            return refuted;
        }
        let term = Term {
            asked: report.retry_after,
            learned,
            ..Term::default()
        };
        let jitter = &mut self.jitter;
        self.pairs.refuse(key, lease.on_trial, term, jitter, now);
        refuted
    }
}
