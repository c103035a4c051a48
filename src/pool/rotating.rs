//! Rotating endpoints: one entry of the list, and behind it as many exits as its provider has.
//!
//! Every attempt through one has a connection, and so an exit, of its own (`rotation=per_connection`). What happens to the attempt is
//! the exit's, which is gone with it:
//! - a host's refusal shuts no pair, because the next connection has another exit. It counts as the refusal of one exit more;
//! - a failure beyond the endpoint counts against it, so that one with better exits is preferred, but only a long row of them
//!   shuts it; what fails at the endpoint itself (connect, TLS with it, credentials) is judged as of any other proxy;
//! - it bears as many requests at once as the user allows, until it refuses one for their number. It rests as long as it says then;
//!   without a word a moment, longer and longer, when what was asked after a refusal is refused too and nothing is answered;
//! - a job may go through it again.

use std::time::Duration;

use super::Pool;
use super::clock::{Micros, SECOND, micros};
use super::lease::Lease;
use super::slot::{Slot, State};
use crate::outcome::{FaultKind, Phase};

/// Requests at once that one is tried with, more than anybody asks for.
pub(super) const FIRST_CAPACITY: f32 = 4096.0;
/// What it bears of as many requests as were too many.
const CROWDED: f32 = 0.7;
/// Rest of one that refuses for the rate in spite of that and does not say how long; it doubles. The longest is longer than a run waits
/// for its only proxy.
const FIRST_REST: Micros = SECOND / 10;
const DOUBLINGS: u32 = 10;
/// No longer rest is believed.
const LONGEST_REST: Micros = 3600 * SECOND;
/// Failures in a row that shut one which has served: when half of its exits are bad, one row in 65,000 is so long.
pub(super) const STREAK: u8 = 16;
/// Altered answers, one in five at least, that show the endpoint to be hostile and not some of its exits.
pub(super) const TAMPERED: u32 = 16;
/// Where the numbers of exits begin that are no slots.
const FIRST_EXIT: u32 = 1 << 31;
/// As many members as one counts for where exits are counted.
pub(super) const EXITS: u32 = 1000;

/// Requests at once that the user allows each member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caps {
    pub(super) fixed: u32,
    pub(super) rotating: u32,
}

/// Numbers the exits of rotating endpoints.
#[derive(Debug, Default)]
pub(super) struct ExitNumbers(u32);

impl ExitNumbers {
    pub(super) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1);
        FIRST_EXIT | self.0
    }
}

/// True for what an exit does, and not the endpoint before it.
pub(super) fn is_beyond(kind: Option<(Phase, FaultKind)>) -> bool {
    kind.is_some_and(|(phase, _)| phase >= Phase::Handshake)
}

/// True when the endpoint has refused an attempt because there are too many.
pub(super) fn is_crowded(kind: Option<(Phase, FaultKind)>) -> bool {
    kind == Some((Phase::Handshake, FaultKind::Rejected(429)))
}

impl Slot {
    /// One of `in_flight` requests was refused because they are too many.
    pub(super) fn crowd(&mut self, in_flight: u32) {
        self.capacity = (CROWDED * in_flight as f32).clamp(1.0, self.capacity);
    }

    /// One of `in_flight` requests was answered. How long that took is its exit's doing, and no two have the same.
    pub(super) fn uncrowd(&mut self, in_flight: u32) {
        if in_flight as f32 >= self.capacity - 1.0 {
            self.capacity += 1.0 / self.capacity;
        }
    }
}

impl Lease {
    /// Number of the exit: of the slot, or one of its own, which is no slot's, of a connection through a rotating endpoint.
    pub fn exit(&self) -> u32 {
        self.exit.unwrap_or(self.idx.0)
    }

    /// True for a lease of a rotating endpoint.
    pub fn is_rotating(&self) -> bool {
        self.exit.is_some()
    }
}

/// An endpoint that has refused for the number or the rate of requests.
#[derive(Debug, Default)]
pub(super) struct Pressed {
    /// Refusals since the last answer, each asked for after the one before.
    rounds: u32,
    /// The last of them.
    last: Micros,
    /// It rests so long.
    until: Micros,
}

impl Pool {
    /// The endpoint of this lease has refused for the number or the rate of requests: others have to wait for those that are under way.
    pub(super) fn press(&mut self, lease: &Lease, asked: Option<Duration>, now: Micros) {
        let at = lease.idx.0;
        let slot = self.roster.slot_mut(at);
        slot.crowd(lease.in_flight_at_dispatch.max(slot.in_flight + 1));
        let pressed = self.pressed.entry(at).or_default();
        if lease.sent >= pressed.last {
            pressed.rounds += 1;
            pressed.last = now;
        }
        let rest = match (asked, pressed.rounds) {
            (Some(asked), _) => micros(asked).min(LONGEST_REST),
            (None, rounds @ 2..) => FIRST_REST << (rounds - 2).min(DOUBLINGS),
            (None, _) => 0,
        };
        let is_longer = now + rest > pressed.until && rest > 0;
        if is_longer && matches!(slot.state, State::Ready | State::Quarantined) {
            pressed.until = now + rest;
            self.shut_for(at, rest, now);
        }
    }

    /// An answer came through this member. True while it rests all the same.
    pub(super) fn relieve(&mut self, at: u32, now: Micros) -> bool {
        if let Some(pressed) = self.pressed.get_mut(&at) {
            pressed.rounds = 0;
        }
        self.is_pressed(at, now)
    }

    /// True while the endpoint rests because it has refused for the number or the rate of requests.
    pub(super) fn is_pressed(&self, at: u32, now: Micros) -> bool {
        let pressed = self.pressed.get(&at);
        pressed.is_some_and(|pressed| pressed.until > now)
    }

    /// Finds the rotating endpoints. To be called when the list has changed.
    pub(super) fn find_rotating(&mut self) {
        let slots = (0..).zip(&self.roster.slots);
        let rotating = slots.filter(|(_, slot)| slot.is_member() && slot.is_rotating());
        self.rotating = rotating.map(|(at, _)| at).collect();
    }

    /// Exits that may serve, or are not known yet: a rotating endpoint has more than anybody counts.
    pub fn exits(&self) -> usize {
        let members = self.roster.tally.ready + self.roster.tally.unknown;
        let mut rotating = self.rotating.iter().map(|at| self.roster.slot(*at));
        let may_serve = rotating.any(|slot| matches!(slot.state, State::Unknown | State::Ready));
        (members + if may_serve { EXITS } else { 0 }) as usize
    }
}
