//! What the pool does with a failure that may be the host's or the proxy's: in doubt first ([`super::doubt`]), judged later.

use super::Pool;
use super::clock::{Micros, SECOND};
use super::doubt::{Doubt, Shown};
use super::host::share;
use super::lease::{HostIdx, Lease, ProxyIdx};
use super::settle::BASE_UNPROVEN;
use super::slot::State;
use crate::outcome::{Charge, Fault, FaultKind, Phase};

/// Of the only one left, while nobody has served yet: whether it or the target fails is not known, and other targets wait.
const LAST_RESORT: Micros = SECOND;

impl Pool {
    /// A failure of this proxy, which may have carried an answer since the request left (`serves`), or of the host. A proxy that
    /// has never served is set aside meanwhile, but for a certificate that did not verify: as long as nobody else is shown a better
    /// one it is the host's, and as soon as somebody is, that costs whoever replaced it more than a rest.
    pub(super) fn doubted(
        &mut self,
        at: u32,
        host: HostIdx,
        kind: Option<(Phase, FaultKind)>,
        serves: bool,
        now: Micros,
    ) {
        let slot = self.roster.slot_mut(at);
        let proven = slot.is_proven();
        // Of what comes in a tunnel only those can tell who have served through one.
        let testifies = match kind {
            Some((Phase::Tls, _)) => slot.serves_tunnels(),
            _ => proven,
        };
        let altered = kind.is_some_and(is_certificate);
        let mut doubt = Doubt::new(host.0, at, slot.generation, now)
            .with_altered(altered)
            .with_serves(serves || altered)
            .with_told(is_told(kind));
        if testifies {
            doubt = doubt.of_proven(slot.chance(self.scale.present()));
        }
        slot.doubts = slot.doubts.saturating_add(1);
        let own = self.doubts.add(doubt, now);
        let others_fail = self.doubts.is_out(host.0)
            || self.doubts.are_common()
            || self.hosts.is_flaky(host.0, now);
        if !proven && !others_fail && !altered {
            self.set_aside(at, now);
        }
        for doubt in own {
            self.convict(&doubt, now);
        }
    }

    /// Shuts a READY proxy without a charge.
    fn set_aside(&mut self, at: u32, now: Micros) {
        let was_ready = self.roster.slot(at).state == State::Ready;
        if was_ready && self.is_last_resort(at) {
            self.shut_for(at, LAST_RESORT, now);
        } else {
            self.quarantine_ready(at, BASE_UNPROVEN, now);
        }
        let slot = self.roster.slot_mut(at);
        if was_ready && slot.state == State::Quarantined {
            slot.on_doubt = true;
        }
    }

    /// True when what looks like the proxy's own fault may be its way to say that the host cannot be reached: it hangs up, and has
    /// served or opened a tunnel to another one. So may what is no TLS be the host's own, while it has served nobody with any.
    pub fn may_mean_host(&self, at: ProxyIdx, host: Option<HostIdx>, fault: &Fault) -> bool {
        let slot = self.roster.slot(at.0);
        match (fault.phase, fault.kind) {
            (Phase::Handshake, FaultKind::Closed) => slot.is_proven() || slot.tunnels(),
            (Phase::Tls, FaultKind::Malformed) => {
                let serves = host.and_then(|host| self.quotas.served_at(host.0));
                slot.serves_tunnels() || slot.is_rotating() || serves.is_none()
            }
            _ => false,
        }
    }

    /// The host has surely answered through this proxy: what failed towards it before is judged. Over plain `http://` only
    /// an accepted answer counts, because an error page may be any proxy's own.
    pub(super) fn host_was_up(&mut self, at: u32, lease: &Lease, now: Micros) {
        match self.doubts.answered(lease.host.0, at, lease.sent, now) {
            None => {}
            Some(Shown::Proxies(doubts)) => {
                for doubt in doubts {
                    self.convict(&doubt, now);
                }
            }
            Some(Shown::Host(doubts)) => {
                for doubt in doubts {
                    self.acquit(&doubt, now);
                }
            }
        }
    }

    /// The failures in doubt were this proxy's.
    fn convict(&mut self, doubt: &Doubt, now: Micros) {
        let at = doubt.slot;
        if !self.still_means(doubt) {
            return;
        }
        let slot = self.roster.slot_mut(at);
        slot.doubts = slot.doubts.saturating_sub(doubt.count);
        let on_doubt = std::mem::take(&mut slot.on_doubt);
        if doubt.altered {
            // Others are shown a certificate that verifies.
            self.charged(at, Charge::Tampered, None, None, now, now);
        } else {
            let mut charged = 0.0;
            for _ in 0..doubt.count {
                let weight = self.blame_share(at, Some(HostIdx(doubt.host)), now);
                self.failed(at, weight, now);
                charged += weight;
            }
            // It may have been the host for a moment after all: one that often fails is believed less and less.
            if self.roster.slot(at).is_proven() {
                self.host_failed(doubt.host, at, now);
            } else if on_doubt {
                self.stranger_shut(doubt, charged, now);
            }
        }
        self.roster.refile(at);
    }

    /// The failures in doubt were the host's.
    fn acquit(&mut self, doubt: &Doubt, now: Micros) {
        if !self.still_means(doubt) {
            return;
        }
        let slot = self.roster.slot_mut(doubt.slot);
        slot.doubts = slot.doubts.saturating_sub(doubt.count);
        let proven = slot.is_proven();
        if slot.on_doubt && slot.state == State::Quarantined && !slot.probing {
            self.reopen(doubt.slot);
        }
        self.roster.refile(doubt.slot);
        if proven {
            self.host_failed(doubt.host, doubt.slot, now);
        }
    }

    /// The slot still holds the member that was in doubt.
    fn still_means(&self, doubt: &Doubt) -> bool {
        let slot = self.roster.slot(doubt.slot);
        slot.generation == doubt.generation
            && matches!(
                slot.state,
                State::Ready | State::Quarantined | State::Unknown
            )
    }

    /// The proxy's share of an ambiguous failure.
    pub(super) fn blame_share(&self, at: u32, host: Option<HostIdx>, now: Micros) -> f32 {
        let proxy_fails = 1.0 - self.roster.slot(at).chance(self.scale.present());
        let host_fails = self.hosts.doubt(host.map_or(u32::MAX, |host| host.0), now);
        share(proxy_fails, host_fails)
    }

    /// True while nobody of the pool has served and nobody but this member is READY or unknown. An ambiguous failure then
    /// may well be the target's: shutting the member for long would give up all other targets on the word of one.
    pub(super) fn is_last_resort(&self, at: u32) -> bool {
        let tally = &self.roster.tally;
        let own = |state| u32::from(self.roster.slot(at).filed.state == state);
        tally.proven == 0
            && tally.ready == own(State::Ready)
            && tally.unknown == own(State::Unknown)
            && !self.roster.slot(at).is_direct()
    }
}

/// True when the proxy itself said that it could not reach the host: by its handshake, or with a page.
pub(super) fn is_told(kind: Option<(Phase, FaultKind)>) -> bool {
    matches!(
        kind,
        None | Some((Phase::Handshake, FaultKind::Rejected(_)))
    )
}

/// True when the target's certificate did not verify.
pub(super) fn is_certificate((phase, kind): (Phase, FaultKind)) -> bool {
    use FaultKind::{Certificate, OtherCertificate};
    phase == Phase::Tls && matches!(kind, Certificate | OtherCertificate)
}

/// True when the answer was none that the proxy's protocol knows.
pub(super) fn is_foreign(kind: (Phase, FaultKind)) -> bool {
    kind.1 == FaultKind::Malformed
}
