//! The probe lane: connects and handshakes beside the requests, so that requests only meet proxies that are there.
//!
//! A probe costs a socket and no URL. A run that starves (what the READY proxies bear is less than the slots, or a choice
//! has just failed and a slot is idle) may use the whole lane; a run that is served keeps a fifth of its slots' worth
//! exploring, because more costs attention and less never finds the better half of the list; near the end of the work nothing
//! is explored any more. Strategies other than
//! [`Strategy::Best`] explore the whole list at full speed: their user asked for all of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

use super::candidate::Candidate;
use super::clock::{Micros, SECOND};
use super::lease::{Ask, HostIdx, ProxyIdx};
use super::recent::Stage;
use super::roster::Shelf;
use super::settle::{BASE_NEVER_ALIVE, BASE_NO_EXIT, BASE_PROVEN, BASE_TAMPERED, BASE_UNPROVEN};
use super::slot::{State, TUNNELS};
use super::{Mechanism, Pool, Strategy};
use crate::outcome::{Blame, Charge, FaultKind, Phase};
use crate::proxy::{Proxy, Scheme};

/// A failed choice makes the lane hurry for this long.
const HURRY: Micros = 3 * SECOND / 10;
/// A starving run looks at a quarantined proxy this long after the last look, before its time is up. Timers alone left a
/// pool of 40 waiting for twice the oracle's time; 5 s gain little over 10 s.
const RECHECK: Micros = 10 * SECOND;
/// One slot in so many explores while the run is served. Twenty thousand proxies of which most are dead are done in 1.34 times
/// the oracle's time with a fifth, in 1.40 with a tenth and no sooner with a third.
const EXPLORE_SHARE: u32 = 5;
/// With less work left than this, exploring does not pay: what a better proxy saves comes too late.
const WORTH_EXPLORING: Duration = Duration::from_secs(5);
/// Explorers at least.
const EXPLORE_LEAST: u32 = 2;
/// Pause after a fault of this machine; doubles to [`LOCAL_PAUSE_MOST`] while they go on.
const LOCAL_PAUSE: Micros = SECOND / 4;
/// Longest such pause.
const LOCAL_PAUSE_MOST: Micros = 5 * SECOND;
/// A proxy whose probe met a fault of this machine is looked at again after this.
const LOCAL_RETRY: Micros = SECOND;
/// Unknown members looked at for one that may be probed now.
pub(super) const UNKNOWN_LOOKS: usize = 32;
/// Members of a wanted filter looked at in one go.
const WANTED_LOOKS: usize = 64;

/// The engine's situation, for the choice of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// `-j`: requests in flight at most.
    pub slots: u32,
    /// Slots without a request now.
    pub idle: u32,
    /// Probes in flight.
    pub probing: u32,
    /// Probes in flight at most.
    pub probe_limit: u32,
    /// A job waits to be sent. Without one nothing is probed.
    pub waiting: bool,
    /// The work that is left, as long as it would take at the run's pace; `None` when nobody can know.
    pub work_left: Option<Duration>,
    /// The last choice of a proxy failed. The pool remembers its own refusals; set it for what the pool cannot know.
    pub last_pick_failed: bool,
}

/// A proxy borrowed for one probe. Give it back with [`Pool::settle_probe`]; for a probe that was interrupted report
/// `Failed` with [`Blame::Local`].
#[derive(Debug)]
#[must_use = "a probe has to be settled"]
pub struct ProbeLease {
    /// The slot.
    pub idx: ProxyIdx,
    /// The proxy itself.
    pub proxy: Arc<Proxy>,
    /// Limit for TCP connect; the handshake may take the same again.
    pub connect_timeout: Duration,
    /// Host the handshake goes to. Set it before settling: a handshake that fails against a dead host is then not charged
    /// to the proxy. `None` charges the proxy.
    pub host: Option<HostIdx>,
    generation: u32,
    begun: Micros,
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ProbeResult {
    /// Connected, and the handshake, if the scheme has one, went through.
    Alive {
        /// TCP connect.
        connect: Duration,
        /// TLS to the proxy, CONNECT or SOCKS.
        handshake: Option<Duration>,
    },
    /// It did not.
    Failed {
        /// Who is to blame.
        blame: Blame,
        /// Where and how.
        kind: (Phase, FaultKind),
    },
}

/// What the lane is after.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    View(usize),
    Slot(u32),
}

/// The lane's memory between calls.
#[derive(Debug, Default)]
pub(super) struct Lane {
    failed_at: Option<Micros>,
    wanted: Option<Wanted>,
    /// Where the last look at the wanted view ended.
    cursor: usize,
    /// When a starving run may probe again; set when only time holds it back.
    recheck_at: Option<Micros>,
    paused_until: Option<Micros>,
    local_faults: u32,
}

impl Lane {
    /// A choice failed. Members that would have fitted are probed first.
    pub(super) fn pick_failed(&mut self, now: Micros, ask: &Ask<'_>, view: Option<usize>) {
        self.failed_at = Some(now);
        if let Some(pinned) = ask.pinned {
            self.wanted = Some(Wanted::Slot(pinned.0));
        } else if let Some(view) = view {
            self.wanted = Some(Wanted::View(view));
        }
    }

    /// The list has changed.
    pub(super) fn forget(&mut self) {
        self.wanted = None;
        self.cursor = 0;
    }

    pub(super) fn wake(&self) -> Option<Micros> {
        self.paused_until.or(self.recheck_at)
    }

    fn is_hurried(&self, now: Micros) -> bool {
        self.failed_at.is_some_and(|at| now < at + HURRY)
    }
}

impl Pool {
    /// Whom to probe now; `None` when nothing is due or the lane is full. Call it until `None` whenever a probe has ended,
    /// a choice has failed, jobs have arrived, or [`Pool::next_wake`] has passed.
    pub fn next_probe(
        &mut self,
        demand: Demand,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<ProbeLease> {
        let t = self.clock.micros(now);
        self.pairs.expire(t);
        self.timers.collect(&self.roster, t);
        self.lane.recheck_at = None;
        if self.lane.paused_until.is_some_and(|until| t < until) {
            return None;
        }
        self.lane.paused_until = None;
        if !demand.waiting || demand.probing >= demand.probe_limit {
            return None;
        }
        if self.is_paused() {
            return self.next_canary(t, rng).map(|at| self.begin_probe(at, t));
        }
        let failed = demand.last_pick_failed || self.lane.is_hurried(t);
        // While every slot is busy nobody waits for what the lane may find, however the last choice ended.
        let starved =
            failed && demand.idle > 0 || self.roster.tally.capacity < u64::from(demand.slots);
        let share = if starved {
            demand.probe_limit
        } else if demand.work_left.is_some_and(|left| left < WORTH_EXPLORING)
            || self.without(Mechanism::Exploration)
        {
            0
        } else {
            (demand.slots / EXPLORE_SHARE).max(EXPLORE_LEAST)
        };
        if demand.probing < share {
            if let Some(at) = self.timers.next_due(&self.roster) {
                return Some(self.begin_probe(at, t));
            }
            if failed && let Some(at) = self.next_wanted(t) {
                return Some(self.begin_probe(at, t));
            }
        }
        let explores_all = self.settings.strategy != Strategy::Best;
        if demand.probing < share || explores_all {
            if let Some(at) = self.next_known() {
                return Some(self.begin_probe(at, t));
            }
            let unknown = self.roster.shelf(Shelf::Unknown);
            if !unknown.is_empty() {
                let any = || &unknown[rng.random_range(0..unknown.len())];
                let admitted = |one: &&Candidate| self.accounts.admits(one.account);
                // None among so many means that most of what is unknown waits for the word on its credentials.
                let found = std::iter::repeat_with(any)
                    .take(UNKNOWN_LOOKS)
                    .find(admitted);
                if let Some(at) = found.map(|one| one.at) {
                    return Some(self.begin_probe(at, t));
                }
            }
        }
        if starved && (failed || demand.idle > 0) && !self.without(Mechanism::Recheck) {
            let (checked, at) = self.timers.least_recently_checked(&self.roster)?;
            if self.is_pressed(at, t) {
                return None;
            }
            // Whom an earlier run has found bad is as good as a stranger when there is nobody else.
            let tally = &self.roster.tally;
            let nobody_else = tally.ready + tally.unknown == 0;
            if checked + RECHECK <= t || nobody_else && self.roster.slot(at).probes == 0 {
                return Some(self.begin_probe(at, t));
            }
            self.lane.recheck_at = Some(checked + RECHECK);
        }
        None
    }

    /// Has whoever was probed less than twice and is out looked at again now. False when there is nobody. Looks at all members.
    pub fn look_twice(&mut self, now: Instant) -> bool {
        let t = self.clock.micros(now);
        if self.roster.tally.underprobed == 0 {
            return false;
        }
        for at in 0..self.roster.slots.len() as u32 {
            let slot = self.roster.slot(at);
            if slot.filed.underprobed && slot.state == State::Quarantined && !slot.probing {
                self.shut_for(at, 0, t);
            }
        }
        true
    }

    /// Reports what a probe found.
    pub fn settle_probe(
        &mut self,
        lease: ProbeLease,
        result: ProbeResult,
        now: Instant,
        rng: &mut impl Rng,
    ) {
        let t = self.moment(now);
        self.note_ready(t);
        if let ProbeResult::Alive { connect, .. } = result {
            self.connect_timeout.learn(connect);
        }
        let at = lease.idx.0;
        let Some(slot) = self.roster.slots.get_mut(at as usize) else {
            return;
        };
        if slot.generation != lease.generation || !slot.probing {
            return;
        }
        slot.probing = false;
        self.accounts.end(slot.account);
        self.roster.tally.probing -= 1;
        if slot.state == State::Leaving {
            self.roster.vacate_if_idle(at);
            return;
        }
        if let ProbeResult::Failed {
            blame: Blame::Local,
            ..
        } = result
        {
            self.uplink_failed(at, None, lease.begun, t);
            self.local_fault(at, t, rng);
            return;
        }
        self.lane.local_faults = 0;
        match result {
            ProbeResult::Alive { .. } => self.uplink.worked(lease.begun, t),
            ProbeResult::Failed { .. } if self.uplink.excuses(lease.begun) => {
                self.look_again(at, t);
                return self.roster.refile(at);
            }
            ProbeResult::Failed { .. } => {}
        }
        let before = self.before_charge(at);
        let slot = self.roster.slot_mut(at);
        slot.probes = slot.probes.saturating_add(1);
        slot.checked = t;
        match slot.state {
            State::Unknown | State::Quarantined => self.judge_probe(at, &lease, result, t),
            // It was retired or came back by itself meanwhile.
            _ => {}
        }
        self.roster.refile(at);
        if let ProbeResult::Failed {
            blame: Blame::Proxy(Charge::Unreachable),
            kind: (Phase::Connect, _),
        } = result
        {
            self.uplink_failed(at, Some(before), lease.begun, t);
        }
    }

    fn judge_probe(&mut self, at: u32, lease: &ProbeLease, result: ProbeResult, now: Micros) {
        let host = lease.host;
        let proven = self.roster.slot(at).is_proven();
        let (blame, kind) = match result {
            ProbeResult::Alive { handshake, .. } => {
                let slot = self.roster.slot(at);
                // With an `https` proxy the handshake may have been TLS and no more.
                if handshake.is_some() && slot.proxy.scheme() != Scheme::Https {
                    self.accounts.accept(slot.account);
                }
                if let (Some(host), Some(_)) = (host, handshake) {
                    self.hosts.answered(host.0, now);
                    let slot = self.roster.slot_mut(at);
                    if slot.proxy.scheme() != Scheme::Https && !slot.tunnels() {
                        slot.odd_towards = TUNNELS;
                        self.barred.let_through(slot.proxy.group(), host.0);
                    }
                }
                return self.open(at);
            }
            ProbeResult::Failed { blame, kind } => (blame, kind),
        };
        if matches!(blame, Blame::Proxy(_)) && kind.0 >= Phase::Handshake {
            self.probed_in_vain();
        }
        match blame {
            // The proxy passed something on: it is there. What the target thinks of it, a request will tell.
            Blame::Nobody | Blame::Target | Blame::Pair | Blame::Local => self.open(at),
            // It speaks its protocol and says that it cannot reach a host that nobody has reached lately: its word against
            // nobody's. Were it shut for that, one host that is down would make a whole pool look dead.
            Blame::Unknown
                if matches!(kind, (Phase::Handshake, FaultKind::Rejected(_)))
                    && host.is_some_and(|host| !self.hosts.is_reached(host.0, now)) =>
            {
                self.open(at);
            }
            Blame::Unknown => {
                let weight = self.blame_share(at, host, now);
                self.roster.slot_mut(at).alive = true;
                match host {
                    Some(host) => self.doubted(at, host, Some(kind), false, now),
                    None => self
                        .roster
                        .slot_mut(at)
                        .charge(weight, self.scale.present()),
                }
                let out = host.is_some_and(|host| self.doubts.is_out(host.0));
                if weight > 0.5 && !out && self.is_last_resort(at) {
                    // A request tells more than a second handshake would, and its row says what the proxy answered.
                    self.open(at);
                } else if weight > 0.5 && !out {
                    self.quarantine(at, if proven { BASE_PROVEN } else { BASE_UNPROVEN }, now);
                    self.roster.slot_mut(at).on_doubt = host.is_some();
                } else {
                    // Against a host that fails for everybody the handshake says little; the proxy itself did speak.
                    self.open(at);
                }
            }
            Blame::Proxy(charge) => {
                self.charged(at, charge, host, Some(kind), lease.begun, now);
                if self.roster.slot(at).state == State::Retired {
                    return;
                }
                let slot = self.roster.slot(at);
                let never_there = !slot.alive && !slot.has_served();
                match charge {
                    Charge::Unreachable if never_there => {
                        self.quarantine(at, BASE_NEVER_ALIVE, now)
                    }
                    Charge::Unreachable | Charge::Broken | Charge::Auth if proven => {
                        self.quarantine(at, BASE_PROVEN, now);
                    }
                    Charge::Unreachable | Charge::Broken | Charge::Auth => {
                        self.quarantine(at, BASE_UNPROVEN, now);
                    }
                    Charge::Tampered => self.quarantine(at, BASE_TAMPERED, now),
                    Charge::NoExit => self.quarantine(at, BASE_NO_EXIT, now),
                    Charge::NoTunnel | Charge::NoForward | Charge::Policy => self.open(at),
                }
            }
        }
    }

    /// Makes a probed proxy READY, on probation with one request at a time.
    fn open(&mut self, at: u32) {
        if self.is_out_for_good(at) {
            self.roster.slot_mut(at).state = State::Retired;
            return;
        }
        let slot = self.roster.slot_mut(at);
        slot.state = State::Ready;
        slot.streak = 0;
        slot.alive = true;
        slot.trusted = false;
        slot.suspect = false;
        slot.on_doubt = false;
    }

    fn begin_probe(&mut self, at: u32, now: Micros) -> ProbeLease {
        self.roster.tally.probing += 1;
        let slot = self.roster.slot_mut(at);
        slot.probing = true;
        self.accounts.begin(slot.account);
        let stage = if slot.probes == 0 && !slot.has_served() {
            Stage::FirstTry
        } else {
            Stage::Later
        };
        let lease = ProbeLease {
            idx: ProxyIdx(at),
            proxy: slot.proxy.clone(),
            connect_timeout: self.connect_timeout.at(stage),
            host: None,
            generation: slot.generation,
            begun: now,
        };
        self.roster.refile(at);
        lease
    }

    /// This machine failed, the proxy is as unknown as before. The lane pauses, or it would try the whole list against a
    /// full descriptor table.
    fn local_fault(&mut self, at: u32, now: Micros, rng: &mut impl Rng) {
        let faults = self.lane.local_faults.min(8);
        self.lane.local_faults = faults + 1;
        let pause = (LOCAL_PAUSE << faults).min(LOCAL_PAUSE_MOST);
        self.lane.paused_until = Some(now + pause);
        if self.roster.slot(at).state == State::Quarantined {
            let length = LOCAL_RETRY + rng.random_range(0..LOCAL_RETRY);
            self.shut_for(at, length, now);
        }
        self.roster.refile(at);
    }

    /// A member that a refused job could have used, if one is not READY for want of a probe.
    fn next_wanted(&mut self, now: Micros) -> Option<u32> {
        let wanted = self.lane.wanted?;
        let worth_a_look = |pool: &Pool, at: u32| {
            let slot = pool.roster.slot(at);
            !slot.probing
                && match slot.state {
                    State::Unknown => true,
                    State::Quarantined => slot.checked + RECHECK <= now,
                    _ => false,
                }
        };
        match wanted {
            Wanted::Slot(at) => {
                self.lane.wanted = None;
                worth_a_look(self, at).then_some(at)
            }
            Wanted::View(view) => {
                let members = self.filters.members(view);
                let len = members.len();
                let looks = len.min(WANTED_LOOKS);
                let from = self.lane.cursor;
                let found = (0..looks)
                    .map(|step| (step, members[(from + step) % len]))
                    .find(|(_, at)| worth_a_look(self, *at));
                let passed = found.map_or(looks, |(step, _)| step + 1);
                self.lane.cursor = (from + passed) % len.max(1);
                found.map(|(_, at)| at)
            }
        }
    }
}
