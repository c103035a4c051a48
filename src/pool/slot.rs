//! One proxy of the pool: its state, what is known of it, and the numbers that follow.

use std::hash::Hasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::candidate::{Candidate, Place};
use super::clock::Micros;
use super::evidence::{Evidence, Present, Prior};
use super::hash::Mixer;
use super::memory::Health;
use super::quota::Kin;
use super::roster::Shelf;
use super::rotating::{self, Caps};
use crate::proxy::Proxy;

/// No slot, or no place in a list.
pub(super) const NONE: u32 = u32::MAX;
/// In [`Slot::odd_towards`]: it does tunnel by its own word; a good answer has come through a tunnel of its.
pub(super) const TUNNELS: u32 = NONE - 1;
pub(super) const SERVES_TUNNELS: u32 = NONE - 2;

/// Requests at once that a new proxy is tried with, once it has answered one.
const FIRST_CAPACITY: f32 = 2.0;
/// Latency differences below this are jitter, not queueing, seconds.
const CAPACITY_SLACK: f32 = 0.05;
/// Latency at which the shown score starts to fall, seconds.
const SCORE_LATENCY: f32 = 2.0;

/// Where a proxy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// No proxy here.
    Vacant,
    /// Never probed.
    Unknown,
    /// May be leased.
    Ready,
    /// Out until a probe succeeds.
    Quarantined,
    /// Out for the rest of the run.
    Retired,
    /// No longer listed; waits for its last lease or probe.
    Leaving,
}

/// What a proxy cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Lacks {
    pub(super) tunnel: bool,
    pub(super) forward: bool,
}

/// What is behind a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exits {
    One,
    /// Another one with every connection: a rotating endpoint.
    Many,
    /// This machine: [`Proxy::is_direct`].
    Own,
}

impl Exits {
    fn of(proxy: &Proxy) -> Self {
        if proxy.is_direct() {
            Exits::Own
        } else if proxy.is_rotating() {
            Exits::Many
        } else {
            Exits::One
        }
    }
}

/// How the roster has this slot in its lists and tallies; see [`super::roster`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Filed {
    pub(super) state: State,
    pub(super) shelf: Option<Shelf>,
    pub(super) capacity: u32,
    pub(super) proven: bool,
    pub(super) underprobed: bool,
}

impl Filed {
    pub(super) const NOWHERE: Filed = Filed {
        state: State::Vacant,
        shelf: None,
        capacity: 0,
        proven: false,
        underprobed: false,
    };
}

/// One place of the roster.
///
/// What every lease and its report change comes first and is one cache line: in a large list most of the two is made of cache
/// misses. Choosing reads [`Candidate`]s instead.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Slot {
    /// What the last lease has brought back, for the next. To count one more handle and one less is to wait for the memory of
    /// the [`Proxy`] twice.
    spare: Option<Arc<Proxy>>,
    /// Turn of the last lease, counted over the whole pool; 0 is never.
    pub(super) used: u64,
    evidence: Evidence,
    /// Valid answers, all told.
    pub(super) ok: u32,
    /// Requests at once it was seen to bear, 1 or more.
    pub(super) capacity: f32,
    /// Seconds of a success without company; 0 before the first.
    base: f32,
    pub(super) in_flight: u32,
    /// Number of its account, [`NONE`] without credentials.
    pub(super) account: u32,
    /// Told apart from earlier tenants of the slot.
    pub(super) generation: u32,
    /// Index in its shelf.
    pub(super) pos: u32,
    pub(super) state: State,
    /// It has carried an answer since it last became READY; until then one request at a time.
    pub(super) trusted: bool,
    /// Failures since its last answer that may be the host's, saturating; see [`super::doubt`].
    pub(super) doubts: u8,
    /// Failures in a row.
    pub(super) streak: u8,

    pub(super) proxy: Arc<Proxy>,
    pub(super) filed: Filed,
    pub(super) lacks: Lacks,
    exits: Exits,
    /// Quarantines in a row.
    pub(super) level: u8,
    /// A probe or a request has got through to it at least once.
    pub(super) alive: bool,
    pub(super) probing: bool,
    /// In quarantine for its conduct, not for being away: late answers do not free it.
    pub(super) suspect: bool,
    /// In quarantine only for a failure that may be the host's, which is not charged yet.
    pub(super) on_doubt: bool,
    /// Number of the host towards which it last answered CONNECT like something that does not tunnel; [`TUNNELS`] once it has
    /// opened one, [`SERVES_TUNNELS`] once one has worked, [`NONE`] before either.
    pub(super) odd_towards: u32,
    /// Changes with every quarantine, so that old timers are recognised.
    pub(super) ticket: u32,
    pub(super) tampered: u16,
    /// Probes that said something, saturating.
    pub(super) probes: u8,
    /// 0 for one that no earlier run tells of; else one more than the runs in a row that did not reach it, saturating.
    past: u8,
    /// Valid answers in earlier runs.
    pub(super) earlier: u32,
    /// [`Proxy::subnet`], computed at the first retry that asks; 0 before. Atomic only so that a shared borrow can fill it.
    subnet: AtomicU64,
    /// End of the quarantine.
    pub(super) until: Micros,
    /// Last probe or entry into quarantine.
    pub(super) checked: Micros,
}

impl Slot {
    pub(super) fn new(proxy: Arc<Proxy>) -> Self {
        let exits = Exits::of(&proxy);
        Slot {
            exits,
            proxy,
            spare: None,
            subnet: AtomicU64::new(0),
            used: 0,
            evidence: Evidence::default(),
            until: 0,
            checked: 0,
            base: 0.0,
            capacity: first_capacity(exits),
            ok: 0,
            generation: 0,
            ticket: 0,
            pos: NONE,
            in_flight: 0,
            account: NONE,
            odd_towards: NONE,
            tampered: 0,
            streak: 0,
            level: 0,
            probes: 0,
            past: 0,
            earlier: 0,
            state: State::Vacant,
            filed: Filed::NOWHERE,
            lacks: Lacks::default(),
            probing: false,
            alive: false,
            trusted: false,
            suspect: false,
            doubts: 0,
            on_doubt: false,
        }
    }

    /// The proxy, for a lease.
    pub(super) fn lend(&mut self) -> Arc<Proxy> {
        self.spare.take().unwrap_or_else(|| self.proxy.clone())
    }

    /// What a lease brings back. It may be another one's by now, or one of an older list.
    pub(super) fn take_back(&mut self, proxy: Arc<Proxy>) {
        if Arc::ptr_eq(&proxy, &self.proxy) {
            self.spare = Some(proxy);
        }
    }

    /// Another list has it with other labels.
    pub(super) fn relabel(&mut self, proxy: Arc<Proxy>) {
        let exits = Exits::of(&proxy);
        self.proxy = proxy;
        self.spare = None;
        if std::mem::replace(&mut self.exits, exits) != exits {
            self.capacity = first_capacity(exits);
        }
    }

    pub(super) fn is_member(&self) -> bool {
        !matches!(self.state, State::Vacant | State::Leaving)
    }

    /// True for the client's own connection.
    pub(super) fn is_direct(&self) -> bool {
        self.exits == Exits::Own
    }

    /// True for a rotating endpoint.
    pub(super) fn is_rotating(&self) -> bool {
        self.exits == Exits::Many
    }

    pub(super) fn is_proven(&self) -> bool {
        self.ok > 0
    }

    /// Requests at once it may have, 1 or more.
    pub(super) fn cap(&self, caps: Caps) -> u32 {
        if self.is_direct() {
            // The client's own connection has no hidden capacity to find out.
            caps.fixed
        } else if self.trusted {
            (self.capacity as u32).min(self.most(caps))
        } else {
            1
        }
    }

    fn most(&self, caps: Caps) -> u32 {
        if self.is_rotating() {
            caps.rotating
        } else {
            caps.fixed
        }
    }

    pub(super) fn subnet(&self) -> u64 {
        match self.subnet.load(Ordering::Relaxed) {
            0 => {
                let subnet = self.proxy.subnet();
                self.subnet.store(subnet, Ordering::Relaxed);
                subnet
            }
            known => known,
        }
    }

    /// Where it is, and who pays for it.
    pub(super) fn kin(&self) -> Kin {
        Kin {
            subnet: self.subnet(),
            account: (self.account != NONE).then_some(self.account),
        }
    }

    /// Chance that the next request succeeds, above 0 and below 1.
    pub(super) fn chance(&self, present: Present) -> f32 {
        self.evidence.chance(Prior::new(self.has_served(), present))
    }

    /// As what the roster has to file it.
    pub(super) fn filing(&self, caps: Caps) -> Filed {
        let cap = self.cap(caps);
        let member = self.is_member();
        let ready = self.state == State::Ready;
        Filed {
            state: self.state,
            shelf: match self.state {
                State::Unknown if !self.probing => Some(Shelf::Unknown),
                State::Ready if self.in_flight >= cap => None,
                // The first use of one that an earlier run has used explores nothing.
                State::Ready if self.used == 0 && !self.is_recalled() => Some(Shelf::Fresh),
                State::Ready => Some(Shelf::Free),
                _ => None,
            },
            capacity: if ready { cap } else { 0 },
            proven: member && self.is_proven(),
            underprobed: member
                && self.state != State::Retired
                && self.probes < 2
                && !self.is_direct(),
        }
    }

    /// What a choice reads of it. It has been filed since it changed.
    pub(super) fn candidate(&self, at: u32, caps: Caps) -> Candidate {
        Candidate {
            at,
            account: self.account,
            evidence: self.evidence,
            load: 1.0 + self.in_flight as f32 / self.most(caps) as f32,
            place: match self.filed.shelf {
                Some(Shelf::Free) if self.doubts > 0 => Place::Doubted,
                Some(Shelf::Free) if self.has_served() => Place::Proven,
                Some(Shelf::Free) => Place::Unproven,
                Some(Shelf::Fresh) => Place::Fresh,
                Some(Shelf::Unknown) | None => Place::Full,
            },
            lacks: self.lacks,
        }
    }

    /// 0 to 100: a cautious percentage chance of a valid body from the next request, less if it takes longer than 2 s.
    /// `None` before anything is known.
    pub(super) fn score(&self, median: f32, present: Present) -> Option<u8> {
        let weight = match self.state {
            State::Vacant | State::Leaving => return None,
            State::Retired => return Some(0),
            _ if self.probes == 0 && self.used == 0 => return None,
            State::Quarantined if !self.on_doubt => 0.25,
            State::Unknown | State::Ready | State::Quarantined => 1.0,
        };
        let cautious = self.evidence.caution(self.chance(present), present);
        let latency = self
            .evidence
            .expected_latency(median, 1.0 / present.latency);
        Some((weight * cautious * speed(latency)).round() as u8)
    }

    /// Takes over what an earlier run has learned.
    pub(super) fn recall(&mut self, health: &Health, present: Present) {
        self.evidence = Evidence::recalled(health, present);
        self.earlier = health.ok;
        self.past = health.unreached.saturating_add(1);
        self.tampered = health.tampered;
        self.lacks = Lacks {
            tunnel: health.no_tunnel,
            forward: health.no_forward,
        };
        if health.capacity >= 1.0 {
            self.capacity = health.capacity;
            self.base = health.base;
        }
    }

    /// What a later run can use. `None` when this one has learned nothing of it.
    pub(super) fn health(&self, present: Present) -> Option<Health> {
        if !self.is_member() || self.is_direct() || (self.probes == 0 && self.used == 0) {
            return None;
        }
        let ok = self.earlier.saturating_add(self.ok);
        let unreached = self.past.saturating_sub(1);
        let mut health = Health {
            base: self.base,
            capacity: self.capacity,
            ok,
            tampered: self.tampered,
            level: self.level,
            unreached: if self.alive {
                0
            } else {
                unreached.saturating_add(1)
            },
            condemned: self.is_condemned(),
            no_tunnel: self.lacks.tunnel,
            no_forward: self.lacks.forward,
            ..Health::default()
        };
        self.evidence.note(present, &mut health);
        Some(health)
    }

    /// A number that is another one whenever something has happened to it.
    pub(super) fn mark(&self) -> u64 {
        let [successes, failures, latency] = self.evidence.mark();
        let mut mark = Mixer::default();
        for word in [self.used, self.checked, self.until] {
            mark.write_u64(word);
        }
        for word in [successes, failures, latency, self.ok, self.generation] {
            mark.write_u32(word);
        }
        let rest = [self.state as u8, self.level, u8::from(self.alive)];
        let lacks = [u8::from(self.lacks.tunnel), u8::from(self.lacks.forward)];
        mark.write(&rest);
        mark.write(&lacks);
        mark.finish()
    }

    /// True when it has opened a way to some host.
    pub(super) fn tunnels(&self) -> bool {
        matches!(self.odd_towards, TUNNELS | SERVES_TUNNELS)
    }

    /// True when a good answer has come through a tunnel of its, in this run.
    pub(super) fn serves_tunnels(&self) -> bool {
        self.odd_towards == SERVES_TUNNELS
    }

    /// True when an earlier run has told something of it.
    pub(super) fn is_recalled(&self) -> bool {
        self.past > 0
    }

    /// True when it has served, now or in an earlier run. Says less than [`Slot::is_proven`]: it may be gone since.
    pub(super) fn has_served(&self) -> bool {
        self.ok > 0 || self.earlier > 0
    }

    /// A valid answer after `took` seconds.
    pub(super) fn credit(&mut self, took: f32, present: Present) {
        self.evidence.credit(took, present);
        self.streak = 0;
        self.level = 0;
        self.ok = self.ok.saturating_add(1);
    }

    /// A valid answer would have taken longer than `elapsed` seconds.
    pub(super) fn took_longer(&mut self, elapsed: f32, present: Present) {
        self.evidence.took_longer(elapsed, present);
    }

    /// Average seconds of a success; 0 before the first.
    pub(super) fn latency(&self) -> f32 {
        self.evidence.latency()
    }

    /// A failure that is this proxy's with weight `weight`, in requests.
    pub(super) fn charge(&mut self, weight: f32, present: Present) {
        self.evidence.charge(weight, present);
    }

    /// Follows the pool's scale to a new epoch.
    pub(super) fn rebase(&mut self, divisor: Present) {
        self.evidence.rebase(divisor);
    }

    /// Learns how many requests at once it bears from an answer that took `took` seconds among `in_flight` requests.
    ///
    /// The limit only grows while it is nearly used: an unused limit would grow without ever having been tested.
    pub(super) fn adapt_capacity(&mut self, took: f32, in_flight: u32, caps: Caps) {
        if self.is_rotating() {
            return self.uncrowd(in_flight);
        }
        let alone = in_flight <= 1;
        if self.base == 0.0 {
            self.base = took;
        } else if alone {
            self.base = 0.8 * self.base + 0.2 * took;
        }
        if in_flight as f32 >= self.capacity - 1.0 && took < 1.6 * self.base + CAPACITY_SLACK {
            self.capacity = (self.capacity + 1.0 / self.capacity).min(self.most(caps) as f32 + 1.0);
        } else if !alone && took > 2.2 * self.base + CAPACITY_SLACK {
            self.capacity = (0.8 * self.capacity).max(1.0);
        }
    }

    /// It bears so many requests at once.
    pub(super) fn bears(&mut self, requests: u32) {
        self.capacity = requests as f32;
    }

    /// True when it has altered so many answers that it is not to be used again.
    pub(super) fn is_condemned(&self) -> bool {
        let tampered = u32::from(self.tampered);
        let ok = self.ok.saturating_add(self.earlier);
        let least = if self.is_rotating() {
            rotating::TAMPERED
        } else {
            2
        };
        tampered >= least && tampered.saturating_mul(5) >= tampered.saturating_add(ok)
    }
}

fn first_capacity(exits: Exits) -> f32 {
    match exits {
        Exits::Many => rotating::FIRST_CAPACITY,
        Exits::One | Exits::Own => FIRST_CAPACITY,
    }
}

/// What is left of a score when an answer takes `latency` seconds: all up to two, half at eight.
pub(super) fn speed(latency: f32) -> f32 {
    (SCORE_LATENCY / latency).sqrt().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::super::candidate::Terms;
    use super::super::clock::SECOND;
    use super::super::evidence::Scale;
    use super::*;
    use crate::proxy::Scheme;

    const CAPS: Caps = Caps {
        fixed: 16,
        rotating: 64,
    };

    fn slot() -> Slot {
        let mut slot = Slot::new(Arc::new(Proxy::new(Scheme::Http, "192.0.2.1", 80, None)));
        slot.state = State::Ready;
        slot
    }

    fn present(now: Micros) -> Present {
        Scale::new().at(now)
    }

    fn cost(slot: &mut Slot, median: f32, now: Micros) -> f32 {
        let terms = Terms::new(median, present(now));
        slot.used = 1;
        slot.filed = slot.filing(CAPS);
        slot.candidate(0, CAPS).cost(&terms)
    }

    #[test]
    fn an_untouched_proxy_fits_the_memory_budget() {
        // Beside them one id map entry: 16 bytes, at worst 16 more free.
        let bytes = size_of::<Slot>() + size_of::<Candidate>();
        assert!(bytes <= 160, "{bytes}");
        assert_eq!(std::mem::offset_of!(Slot, proxy), 64);
    }

    #[test]
    fn instant_failures_never_look_cheaper_than_slow_successes() {
        let (mut hole, mut slow) = (slot(), slot());
        let mut now = 0;
        for _ in 0..20 {
            now += SECOND / 100;
            let before = cost(&mut hole, 1.0, now);
            hole.charge(1.0, present(now));
            assert!(cost(&mut hole, 1.0, now) > before);
            slow.credit(6.0, present(now));
        }
        assert!(cost(&mut hole, 1.0, now) > cost(&mut slow, 1.0, now));
    }

    #[test]
    fn old_knowledge_drifts_back_to_the_pools_median() {
        let mut slot = slot();
        slot.credit(9.0, present(0));
        let fresh = cost(&mut slot, 1.0, 0);
        let later = cost(&mut slot, 1.0, 1200 * SECOND);
        assert!(fresh > 8.0 && later < 1.5, "{fresh} {later}");
    }

    #[test]
    fn capacity_grows_only_while_used_and_shrinks_when_latency_grows() {
        let mut slot = slot();
        slot.trusted = true;
        (0..50).for_each(|_| slot.adapt_capacity(1.0, 1, CAPS));
        assert!(
            slot.cap(CAPS) <= 3,
            "an unused limit grew to {}",
            slot.cap(CAPS)
        );
        for _ in 0..200 {
            let in_flight = slot.cap(CAPS);
            slot.adapt_capacity(1.0, in_flight, CAPS);
        }
        assert_eq!(slot.cap(CAPS), 16);
        (0..30).for_each(|_| slot.adapt_capacity(5.0, 16, CAPS));
        assert_eq!(slot.cap(CAPS), 1);
    }

    #[test]
    fn score_is_cautious_and_halves_at_eight_seconds() {
        let (mut fast, mut slow) = (slot(), slot());
        assert_eq!(fast.score(1.0, present(0)), None);
        for one in [&mut fast, &mut slow] {
            one.used = 1;
        }
        (0..50).for_each(|_| fast.credit(0.5, present(0)));
        (0..50).for_each(|_| slow.credit(8.0, present(0)));
        let score = |slot: &Slot| slot.score(1.0, present(0)).unwrap();
        let (fast, slow) = (score(&fast), score(&slow));
        assert!((95..100).contains(&fast), "{fast}");
        assert!(slow.abs_diff(fast / 2) <= 1, "{slow} {fast}");
    }
}
