//! What an attempt teaches: blame in, evidence out.
//!
//! Certain faults are charged in full. An ambiguous failure (reset, read timeout, a gateway's 502) is noted and charged only
//! when it has shown that the host was up ([`super::doubt`]); the proxy's share is then what noisy-OR leaves it, which on a
//! healthy host is nearly all. Refusals by the target touch the pair only, the target's own answers nothing at all.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::clock::{Micros, SECOND};
use super::judgement::is_certificate;
use super::lease::{HostWide, Lease, Settlement};
use super::pair::Term;
use super::pause::is_connect;
use super::rotating;
use super::slot::{NONE, SERVES_TUNNELS, State};
use super::{HostIdx, Mechanism, Pool};
use crate::outcome::{Blame, Charge, FaultKind, Phase};
use crate::proxy::CredentialGroup;

/// Quarantine of a proxy that has served before, seconds; the first of a series that triples.
pub(super) const BASE_PROVEN: f64 = 5.0;
/// Of one that was reached but never served.
pub(super) const BASE_UNPROVEN: f64 = 30.0;
/// Of one that altered an answer.
pub(super) const BASE_TAMPERED: f64 = 60.0;
/// Of one that was never reached: most of a public list, and 60 s instead would double the probes of a long run.
pub(super) const BASE_NEVER_ALIVE: f64 = 900.0;
/// Of a session whose gateway has no exit for it. The endpoint is fine and exits come and go.
pub(super) const BASE_NO_EXIT: f64 = 10.0;
/// No quarantine is longer, seconds.
const LONGEST: f64 = 1800.0;
/// Levels that count; 3^8 is beyond [`LONGEST`] for every base.
const HIGHEST_LEVEL: u8 = 8;
/// Connect timeouts in a row that quarantine a proven proxy; a refusal does at once. One lost SYN is not a dead proxy.
const TIMEOUTS: u8 = 2;
/// Failures in a row that quarantine a proven proxy when they are more its own than not.
const STREAK: u8 = 3;
/// Share of its own in a failure that shuts one that has never served: less while the host fails one request in six by itself.
const STRANGER: f32 = 0.8;
/// Chance of success below which a proxy is not worth a URL's attempt.
const HOPELESS: f32 = 0.25;
/// Quarantines in a row after which one that answers CONNECT as a web server would is taken for one, though none of the hosts is
/// known to be up.
const ODD: u8 = 4;
/// Weight of an altered answer, in failures.
const TAMPERING: f32 = 3.0;

impl Pool {
    /// Reports what became of an attempt. `Some` when it was refused by a host that refuses all of us together.
    pub fn settle(&mut self, lease: Lease, report: &Settlement, now: Instant) -> Option<HostWide> {
        let t = self.moment(now);
        self.pairs.expire(t);
        self.note_ready(t);
        if let Some(connect) = report.connect {
            self.connect_timeout.learn(connect);
        }
        let at = self.end(&lease)?;
        let mut wide = None;
        let key = lease.pair();
        match report.blame {
            Blame::Nobody => {
                self.answered(at, &lease, t);
                self.host_was_up(at, &lease, t);
                self.succeeded(at, &lease, report.latency);
                if lease.tunnel {
                    self.roster.slot_mut(at).odd_towards = SERVES_TUNNELS;
                }
                let in_flight = self.roster.slot(at).in_flight;
                self.quotas.served(key, lease.used, in_flight, t);
                self.clear(&lease, key, t);
                // A good answer that says it was the last one of its quota.
                if let Some(asked) = report.retry_after.filter(|asked| !asked.is_zero()) {
                    let (term, jitter) = (Term::asked(asked), &mut self.jitter);
                    self.pairs.refuse(key, false, term, jitter, t);
                }
            }
            // Nobody has answered for certain: another may yet be shown a better one.
            Blame::Target if report.kind.is_some_and(is_certificate) => {
                self.doubted(at, lease.host, report.kind, false, t);
            }
            Blame::Target => {
                self.answered(at, &lease, t);
                if lease.tunnel {
                    self.host_was_up(at, &lease, t);
                }
                self.measure_answer(at, &lease, report.latency);
                self.clear(&lease, key, t);
            }
            Blame::Pair if lease.is_rotating() && rotating::is_crowded(report.kind) => {
                self.quotas.cancelled(key, lease.used);
                self.press(&lease, report.retry_after, t);
                wide = Some(HostWide::Endpoint);
            }
            Blame::Pair => {
                self.answered(at, &lease, t);
                if lease.tunnel {
                    self.host_was_up(at, &lease, t);
                }
                wide = self.refused(&lease, key, report, t);
            }
            Blame::Local if is_connect(report.kind) => self.uplink_failed(at, None, lease.sent, t),
            Blame::Local => {}
            Blame::Unknown => {
                self.was_fruitless(at, report);
                if self.without(Mechanism::Attribution) {
                    self.failed(at, 1.0, t);
                } else {
                    let serves = self.roster.slot(at).ok > lease.ok_before;
                    self.doubted(at, lease.host, report.kind, serves, t);
                }
            }
            Blame::Proxy(charge) => {
                self.was_fruitless(at, report);
                let before = self.before_charge(at);
                self.charged(at, charge, Some(lease.host), report.kind, lease.sent, t);
                if charge == Charge::Unreachable && is_connect(report.kind) {
                    self.uplink_failed(at, Some(before), lease.sent, t);
                }
            }
        }
        if !matches!(report.blame, Blame::Nobody | Blame::Pair) {
            self.quotas.cancelled(key, lease.used);
        }
        let is_through = matches!(report.blame, Blame::Nobody | Blame::Target)
            || report.blame == Blame::Pair && !is_handshake(report.kind);
        if is_through {
            self.barred.let_through(lease.proxy.group(), lease.host.0);
        }
        // Through a tunnel that was open before nobody was asked for them again.
        let is_shown =
            report.connect.is_some() || (!lease.tunnel && lease.proxy.scheme().is_http());
        if is_shown && matches!(report.blame, Blame::Nobody | Blame::Target | Blame::Pair) {
            self.trust_again(&lease);
        }
        self.roster.slot_mut(at).take_back(lease.proxy);
        self.roster.refile(at);
        wide
    }

    /// Takes back a lease whose attempt was stopped after `elapsed`, because another was answered first. All that shows is that
    /// it would have taken longer.
    pub fn settle_stopped(&mut self, lease: Lease, elapsed: Duration, now: Instant) {
        let t = self.moment(now);
        self.note_ready(t);
        let present = self.scale.present();
        if let Some(at) = self.end(&lease) {
            self.quotas.cancelled(lease.pair(), lease.used);
            let slot = self.roster.slot_mut(at);
            slot.took_longer(elapsed.as_secs_f32(), present);
            slot.take_back(lease.proxy);
            self.roster.refile(at);
        }
    }

    /// Takes back a lease whose attempt was lost or interrupted. Nothing is learned from it.
    pub fn cancel(&mut self, lease: Lease, now: Instant) {
        let t = self.clock.micros(now);
        self.note_ready(t);
        if let Some(at) = self.end(&lease) {
            self.quotas.cancelled(lease.pair(), lease.used);
            self.roster.slot_mut(at).take_back(lease.proxy);
            self.roster.refile(at);
        }
    }

    /// Counts the lease back in. `None` when its proxy is no member any more.
    fn end(&mut self, lease: &Lease) -> Option<u32> {
        let at = lease.idx.0;
        let slot = self.roster.slots.get_mut(at as usize)?;
        if slot.generation != lease.generation {
            return None;
        }
        slot.in_flight -= 1;
        self.accounts.end(slot.account);
        self.roster.tally.in_flight -= 1;
        if lease.on_trial {
            self.pairs.end_trial(lease.pair());
        }
        if self.roster.slot(at).state == State::Leaving {
            self.roster.vacate_if_idle(at);
            return None;
        }
        Some(at)
    }

    /// The target answered through this proxy, so both work.
    fn answered(&mut self, at: u32, lease: &Lease, now: Micros) {
        self.hosts.answered(lease.host.0, now);
        self.uplink.worked(lease.sent, now);
        self.answered = true;
        let doubted = self.doubted_groups.contains_key(&slot_group(self, at));
        let rests = self.relieve(at, now);
        let slot = self.roster.slot_mut(at);
        slot.streak = 0;
        slot.doubts = 0;
        slot.alive = true;
        self.doubts.served(at);
        self.accounts.accept(slot.account);
        match slot.state {
            State::Ready => slot.trusted = true,
            // An answer that was under way when the proxy was shut says more than the failure that shut it.
            State::Quarantined if !slot.suspect && !slot.probing && !doubted && !rests => {
                slot.state = State::Ready;
                slot.trusted = true;
                slot.on_doubt = false;
            }
            _ => {}
        }
    }

    fn succeeded(&mut self, at: u32, lease: &Lease, took: Duration) {
        let took = took.as_secs_f32().max(f32::EPSILON);
        self.latencies.push(took);
        let caps = self.settings.caps();
        let slot = self.roster.slot_mut(at);
        slot.credit(took, self.scale.present());
        if self.settings.without != Some(Mechanism::Capacity) {
            slot.adapt_capacity(took, lease.in_flight_at_dispatch, caps);
        }
    }

    /// A 404 is no merit and no fault, but it takes as long as a page and shows as well how many requests the proxy bears.
    /// Only where the answer is surely the target's: a tunnel, or a proxy that has served before. Else a web server that
    /// is no proxy at all would earn more requests with its own 404s.
    fn measure_answer(&mut self, at: u32, lease: &Lease, took: Duration) {
        let caps = self.settings.caps();
        let slot = self.roster.slot_mut(at);
        if !took.is_zero() && (lease.tunnel || slot.is_proven()) {
            slot.adapt_capacity(took.as_secs_f32(), lease.in_flight_at_dispatch, caps);
        }
    }

    /// A failure of which `weight` is the proxy's.
    pub(super) fn failed(&mut self, at: u32, weight: f32, now: Micros) {
        let present = self.scale.present();
        let slot = self.roster.slot_mut(at);
        slot.charge(weight, present);
        if weight > 0.5 {
            slot.streak = slot.streak.saturating_add(1);
        }
        let proven = slot.is_proven();
        let out = if proven {
            let hopeless = slot.chance(present) < HOPELESS;
            match slot.is_rotating() {
                true => slot.streak >= rotating::STREAK,
                false => slot.streak >= STREAK || hopeless,
            }
        } else {
            weight > STRANGER || slot.chance(present) < HOPELESS
        };
        if out {
            let base = if proven { BASE_PROVEN } else { BASE_UNPROVEN };
            self.quarantine_ready(at, base, now);
        }
    }

    /// What is certainly the proxy's, found by an attempt or by a probe that left at `sent`.
    pub(super) fn charged(
        &mut self,
        at: u32,
        charge: Charge,
        host: Option<HostIdx>,
        kind: Option<(Phase, FaultKind)>,
        sent: Micros,
        now: Micros,
    ) {
        let slot = self.roster.slot_mut(at);
        let by_exit = slot.is_rotating() && slot.is_proven();
        match charge {
            Charge::NoExit if by_exit => self.failed(at, 1.0, now),
            Charge::Unreachable if by_exit && rotating::is_beyond(kind) => {
                self.failed(at, 1.0, now);
            }
            Charge::Unreachable => {
                slot.charge(1.0, self.scale.present());
                slot.streak = slot.streak.saturating_add(1);
                let timeout = matches!(kind, Some((_, FaultKind::Timeout)));
                let proven = slot.is_proven();
                if !proven || !timeout || slot.streak >= TIMEOUTS {
                    let base = if proven { BASE_PROVEN } else { BASE_UNPROVEN };
                    self.quarantine_ready(at, base, now);
                }
            }
            Charge::Broken => self.failed(at, 1.0, now),
            Charge::Auth => self.refuse_credentials(at, now),
            Charge::Tampered => {
                slot.charge(TAMPERING, self.scale.present());
                slot.tampered = slot.tampered.saturating_add(1);
                if slot.is_condemned() {
                    self.retire(at);
                } else if !by_exit {
                    slot.suspect = true;
                    self.quarantine_ready(at, BASE_TAMPERED, now);
                }
            }
            Charge::NoTunnel if is_ambiguous(kind) => {
                let towards = host.map_or(NONE, |host| host.0);
                let before = slot.odd_towards;
                if let (true, Some(host)) = (slot.tunnels(), host) {
                    // What it says of a host whose name it does not find.
                    return self.doubted(at, host, kind, false, now);
                }
                slot.odd_towards = towards;
                if before != NONE && before != towards {
                    let known = self.hosts.is_reached(towards, now);
                    slot.lacks.tunnel = known || slot.level >= ODD;
                }
                let weight = self.blame_share(at, host, now);
                self.failed(at, weight, now);
            }
            Charge::NoTunnel => slot.lacks.tunnel = true,
            Charge::NoForward => slot.lacks.forward = true,
            Charge::Policy => {
                if let Some(host) = host {
                    self.refused_by_policy(at, host, sent, now);
                }
            }
            Charge::NoExit => self.quarantine_ready(at, BASE_NO_EXIT, now),
        }
    }

    /// Shuts a READY proxy. Failures of requests that were out when it was shut come here too and change nothing: eight
    /// requests that die together are one event.
    pub(super) fn quarantine_ready(&mut self, at: u32, base: f64, now: Micros) {
        let slot = self.roster.slot(at);
        if slot.state == State::Ready && !slot.is_direct() {
            self.quarantine(at, base, now);
        }
    }

    /// Shuts a proxy for `base` seconds, three times as long for every time in a row.
    pub(super) fn quarantine(&mut self, at: u32, base: f64, now: Micros) {
        let slot = self.roster.slot_mut(at);
        slot.on_doubt = false;
        let tripled = base * 3f64.powi(i32::from(slot.level.min(HIGHEST_LEVEL)));
        let seconds = tripled.min(LONGEST) * self.jitter.within(0.8, 1.2);
        slot.level = slot.level.saturating_add(1);
        self.shut_for(at, (seconds * SECOND as f64) as Micros, now);
    }

    /// Shuts a proxy without raising its level.
    pub(super) fn shut_for(&mut self, at: u32, length: Micros, now: Micros) {
        self.roster.shut(at, now + length, now);
        self.timers.watch(at, &self.roster);
    }

    pub(super) fn retire(&mut self, at: u32) {
        let slot = self.roster.slot_mut(at);
        if slot.is_member() && !slot.is_direct() {
            slot.state = State::Retired;
            self.roster.refile(at);
        }
    }

    /// The members that use these credentials.
    pub(super) fn group(&mut self, group: CredentialGroup) -> Vec<u32> {
        let roster = &self.roster;
        let groups = self.groups.get_or_insert_with(|| {
            let mut groups: HashMap<_, Vec<u32>, _> = HashMap::default();
            for (at, slot) in roster.slots.iter().enumerate() {
                if slot.is_member() {
                    groups
                        .entry(slot.proxy.group())
                        .or_default()
                        .push(at as u32);
                }
            }
            groups
        });
        groups.get(&group).cloned().unwrap_or_default()
    }

    /// True when this member is not to be used again, whatever a probe finds.
    pub(super) fn is_out_for_good(&self, at: u32) -> bool {
        let slot = self.roster.slot(at);
        slot.is_condemned()
            || self.refused_groups.contains(&slot.proxy.group())
            || self.accounts.is_refused(slot.account)
    }
}

/// 400, 401 and 404 come from web servers, which tunnel nothing, and from proxies that cannot find this one host.
fn is_ambiguous(kind: Option<(Phase, FaultKind)>) -> bool {
    matches!(
        kind,
        Some((Phase::Handshake, FaultKind::Rejected(400 | 401 | 404)))
    )
}

/// True for what the proxy itself has answered.
fn is_handshake(kind: Option<(Phase, FaultKind)>) -> bool {
    matches!(kind, Some((Phase::Handshake, _)))
}

pub(super) fn slot_group(pool: &Pool, at: u32) -> CredentialGroup {
    pool.roster.slot(at).proxy.group()
}
