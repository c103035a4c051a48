//! What one host bears from one exit, learned from those that were refused and those that were not.
//!
//! How many requests, in which window, and how long a ban lasts are properties of the host: they are learned once, from all
//! proxies together. Every window is a hypothesis: if the host counts within it, bans happen at one count and nobody survives
//! more. The window that separates the two best is believed, and only that one: limiting by all of them would hold back three
//! times too much. A hypothesis that is too short disproves itself, because bans then happen at counts that many others survive; and
//! where everybody who bursts is banned, so that nobody survives, because they happen at counts that are not alike.

use std::collections::VecDeque;

use super::super::clock::{Micros, SECOND};
use super::ban_length::BanLength;
use super::window::{MINUTE, Vector, WINDOWS};

/// Bans that are remembered.
const SAMPLES: usize = 16;
/// The share of the learned quota that is used. All of it would be faster by a tenth and meet twice the bans.
const USED: f32 = 0.93;
/// Smaller quotas are used whole: the least that can be spared is much of them.
const WHOLE: u16 = 8;
/// The last requests that were served are remembered.
const LATEST: usize = 64;
/// When more of them than this had more uses than the quota, the bans do not come from the count.
const EXCEEDED: usize = LATEST / 8;
/// Bans that are compared with each other: in the window of the host they are at one count.
const COMPARED: usize = 4;
/// Another window has to explain the bans better by this much than a shorter one.
const BETTER: f32 = 1.05;
/// Unrelated exits (another subnet, another account) that have to be banned before all others are held to what they show.
const CONFIRMED: usize = 3;
/// Bans among relatives before they are held to it; one may be chance.
const REPEATED: usize = 2;
/// The canary may use this many times the quota.
const CANARY: f32 = 1.3;
/// And at least so many more: of fewer the inexact count would take all away again.
const CANARY_LEAST: f32 = 2.0;
/// The first canary of a host goes so long after the first ban, as long as the shortest window. Few proxies that a host limits together reach
/// alike counts, as they do where each has a quota: until one of them has tried more, all are held to a fifth of what they might ask.
const CANARY_FIRST: Micros = 10 * SECOND;
/// First time between canaries; doubles with each that is banned.
const CANARY_EVERY: Micros = 60 * SECOND;
const CANARY_RAREST: Micros = 3600 * SECOND;

/// Who uses an exit: where it is, and who pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pool) struct Kin {
    /// [`crate::proxy::Proxy::subnet`].
    pub(in crate::pool) subnet: u64,
    /// Number of the account; `None` without credentials.
    pub(in crate::pool) account: Option<u32>,
}

impl Kin {
    fn is_related(self, other: Kin) -> bool {
        self.subnet == other.subnet || (self.account.is_some() && self.account == other.account)
    }
}

#[derive(Debug, Clone, Copy)]
struct Ban {
    slot: u32,
    at: Micros,
    /// Uses at the ban, this one included.
    counts: Vector,
    /// The same, or one more than a canary has borne since.
    explained: Vector,
    kin: Kin,
}

/// A use beyond the learned quota.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beyond {
    pub(super) window: usize,
    /// Uses that were surely within the window, this one included. A pair that begins with a burst has all of them in one part.
    pub(super) surely: u16,
}

/// The three largest counts of distinct pairs that were served, for each window: slot and count, largest first. The third
/// counts, so that two gateways whose exits change with every request do not hide a limit.
#[derive(Debug, Clone)]
pub(super) struct Survivors([[(u32, u16); 3]; WINDOWS]);

impl Default for Survivors {
    fn default() -> Self {
        Survivors([[(u32::MAX, 0); 3]; WINDOWS])
    }
}

impl Survivors {
    /// A pair was served with these counts at dispatch.
    pub(super) fn note(&mut self, slot: u32, counts: Vector) {
        for (best, count) in self.0.iter_mut().zip(counts) {
            if count > best[2].1 {
                keep_largest(best, slot, count);
            }
        }
    }

    /// True when so many uses are too few to explain a refusal in any window: others have borne twice of it, or as much where
    /// that is two.
    pub(super) fn is_low(&self, counts: Vector) -> bool {
        (0..WINDOWS).all(|window| {
            let most = self.most(window);
            counts[window] <= (most / 2).max(most.min(2))
        })
    }

    /// True when three distinct pairs have borne twice of this, in whatever window from a minute on.
    fn is_borne(&self, counts: Vector) -> bool {
        (MINUTE..WINDOWS).all(|window| counts[window] <= self.most(window) / 2)
    }

    /// The most that three distinct pairs have survived within `window`.
    fn most(&self, window: usize) -> u16 {
        // With fewer pairs than three the least of them.
        let known = self.0[window].iter().rev().find(|(_, count)| *count > 0);
        known.map_or(0, |(_, count)| *count)
    }
}

/// See the module text.
#[derive(Debug)]
pub(super) struct Learner {
    survivors: Survivors,
    /// The last requests that were served, in a ring.
    latest: [Vector; LATEST],
    next: u8,
    bans: VecDeque<Ban>,
    /// Requests before a ban, for each window: a low quartile.
    quota: Vector,
    /// The window that is believed.
    active: Option<usize>,
    /// So many unrelated exits were banned that it holds for all.
    is_confirmed: bool,
    /// The pair that tries more, once it has begun, and when it did last.
    canary: Option<(u32, Micros)>,
    canary_at: Micros,
    canary_every: Micros,
    pub(super) ban_length: BanLength,
}

impl Learner {
    /// `survivors` are those of the time before anybody was refused.
    pub(super) fn new(survivors: Survivors) -> Self {
        Learner {
            survivors,
            latest: [[0; WINDOWS]; LATEST],
            next: 0,
            bans: VecDeque::new(),
            quota: [u16::MAX; WINDOWS],
            active: None,
            is_confirmed: false,
            canary: None,
            canary_at: CANARY_EVERY,
            canary_every: CANARY_EVERY,
            ban_length: BanLength::default(),
        }
    }

    /// A pair was served with these counts at dispatch.
    pub(super) fn served(&mut self, slot: u32, counts: Vector, beyond: Option<Beyond>) {
        self.survivors.note(slot, counts);
        self.latest[usize::from(self.next) % LATEST] = counts;
        self.next = self.next.wrapping_add(1);
        if self.is_canary(slot)
            && let Some(Beyond { window, surely }) = beyond
            && self.active == Some(window)
            && surely > self.quota[window]
        {
            // It has survived more than the others were thought to bear.
            self.quota[window] = surely;
            for ban in &mut self.bans {
                ban.explained[window] = ban.explained[window].max(surely + 1);
            }
            self.canary_every = CANARY_EVERY;
        }
    }

    /// A pair in good standing was banned with these counts at dispatch. Of a count that others have borne twice it teaches
    /// nothing: whatever the reason was, it was another one.
    pub(super) fn banned(&mut self, slot: u32, counts: Vector, kin: Kin, at: Micros) {
        if self.survivors.is_borne(counts) {
            return;
        }
        if self.bans.is_empty() {
            self.canary_at = at + CANARY_FIRST;
        }
        if self.bans.len() >= SAMPLES {
            self.bans.pop_front();
        }
        let ban = Ban {
            slot,
            at,
            counts,
            explained: counts,
            kin,
        };
        self.bans.push_back(ban);
        self.learn();
    }

    /// Another request of a pair that has just been banned was refused. If it left before, the ban may have been for it, whichever
    /// answer came first.
    pub(super) fn banned_beside(&mut self, slot: u32, counts: Vector, sent: Micros) {
        let mut bans = self.bans.iter_mut().rev();
        if let Some(ban) = bans.find(|ban| ban.slot == slot && sent <= ban.at) {
            for known in [&mut ban.counts, &mut ban.explained] {
                for (known, count) in known.iter_mut().zip(counts) {
                    *known = count.min(*known);
                }
            }
            self.learn();
        }
    }

    /// The pair in `slot` was refused: if it was the one that tried more, another one will, later.
    pub(super) fn refused(&mut self, slot: u32, now: Micros) {
        if self.is_canary(slot) {
            self.canary = None;
            self.canary_every = (2 * self.canary_every).min(CANARY_RAREST);
            self.canary_at = now + self.canary_every;
        }
    }

    fn learn(&mut self) {
        let mut alike = [1.0; WINDOWS];
        for (window, alike) in alike.iter_mut().enumerate() {
            let (low, _) = quartiles(self.bans.iter().map(|ban| ban.explained[window]));
            self.quota[window] = low.saturating_sub(1);
            if self.bans.len() >= COMPARED {
                let (low, high) = quartiles(self.bans.iter().map(|ban| ban.counts[window]));
                *alike = f32::from(low) / f32::from(high.max(1));
            }
        }
        let (mut active, mut best) = (None, 0.0);
        for window in 0..WINDOWS {
            let quota = self.quota[window];
            if quota == 0 {
                // Whoever is refused the first of a window is not refused for what is counted in it.
                continue;
            }
            let exceeds = |served: &&Vector| served[window] > quota;
            if self.latest.iter().filter(exceeds).count() > EXCEEDED {
                continue;
            }
            let survived = self.survivors.most(window).max(1);
            let explained = f32::from(quota) / f32::from(survived);
            let explained = explained.min(1.0) * alike[window];
            if explained > best * BETTER {
                (active, best) = (Some(window), explained);
            }
        }
        self.active = active;
        self.is_confirmed = self.are_unrelated();
    }

    /// See [`Survivors::is_low`].
    pub(super) fn is_low(&self, counts: Vector) -> bool {
        self.survivors.is_low(counts)
    }

    fn are_unrelated(&self) -> bool {
        let mut distinct: Vec<Kin> = Vec::new();
        for ban in &self.bans {
            if !distinct.iter().any(|kin| kin.is_related(ban.kin)) {
                distinct.push(ban.kin);
            }
        }
        distinct.len() >= CONFIRMED
    }

    /// What holds for all exits of the host, if that is known: a window, and the uses within it that are served.
    pub(super) fn learned(&self) -> Option<(usize, u16)> {
        let window = self.active.filter(|_| self.is_confirmed)?;
        Some((window, self.quota[window]))
    }

    /// Begins with what an earlier run has learned, as if as many unrelated exits had just been banned as it takes to believe it:
    /// what the host shows now soon weighs more.
    pub(super) fn recall(&mut self, window: usize, uses: u16) {
        // With one use the windows cannot be told apart.
        if uses < 2 || self.active.is_some() {
            return;
        }
        let mut counts = [1; WINDOWS];
        counts[window] = uses.saturating_add(1);
        for stranger in 0..CONFIRMED as u64 {
            let kin = Kin {
                subnet: u64::MAX - stranger,
                account: None,
            };
            self.bans.push_back(Ban {
                slot: u32::MAX,
                at: 0,
                counts,
                explained: counts,
                kin,
            });
        }
        // Nobody has been seen to bear more, and not less either.
        self.survivors = Survivors([[(u32::MAX, uses); 3]; WINDOWS]);
        self.learn();
    }

    /// True when a window is believed.
    pub(super) fn has_learned(&self) -> bool {
        self.active.is_some()
    }

    /// The window and the most uses within it for an exit like this one, if that is known. While few have been banned, only
    /// their relatives are held to it: it may be their reputation and not the host's rule.
    pub(super) fn limit(&self, kin: impl FnOnce() -> Kin) -> Option<(usize, u16)> {
        let window = self.active.filter(|_| !self.ban_length.is_brief())?;
        if !self.is_confirmed {
            let kin = kin();
            let related = self.bans.iter().filter(|ban| ban.kin.is_related(kin));
            if related.count() < REPEATED {
                return None;
            }
        }
        let quota = self.quota[window];
        let limit = match quota {
            ..WHOLE => quota,
            _ => (USED * f32::from(quota)) as u16,
        };
        Some((window, limit))
    }

    /// When the pair in `slot`, used last at `last`, may be the one that tries more than the quota, `uses` with this one. Beyond a
    /// little more than the quota it has to have rested: else a quota that is far too low would shut everybody out for as long as
    /// its window is.
    pub(super) fn may_try_at(&self, slot: u32, window: usize, uses: u16, last: Micros) -> Micros {
        let from = match self.canary {
            None => self.canary_at,
            Some((canary, _)) if canary == slot => 0,
            // One that has not tried for so long may be dead.
            Some((_, tried)) => self.canary_at.max(tried + self.canary_every),
        };
        let quota = f32::from(self.quota[window]);
        let within = f32::from(uses) <= (CANARY * quota).max(quota + CANARY_LEAST);
        match within {
            true => from,
            false => from.max(last + self.canary_every),
        }
    }

    /// The pair in `slot` goes beyond the quota.
    pub(super) fn tries(&mut self, slot: u32, now: Micros) {
        let other = self.canary.filter(|(canary, _)| *canary != slot);
        if other.is_none_or(|(_, tried)| now >= tried + self.canary_every) {
            self.canary = Some((slot, now));
        }
    }

    /// What the pair in `slot` tried came to nothing.
    pub(super) fn gives_up(&mut self, slot: u32) {
        self.canary.take_if(|(canary, _)| *canary == slot);
    }

    fn is_canary(&self, slot: u32) -> bool {
        self.canary.is_some_and(|(canary, _)| canary == slot)
    }
}

/// The lower and the upper one of at least one count.
fn quartiles(counts: impl Iterator<Item = u16>) -> (u16, u16) {
    let mut counts: Vec<u16> = counts.collect();
    counts.sort_unstable();
    let quarter = counts.len() / 4;
    (counts[quarter], counts[counts.len() - 1 - quarter])
}

fn keep_largest(best: &mut [(u32, u16); 3], slot: u32, count: u16) {
    let own = best.iter().position(|(known, _)| *known == slot);
    let at = own.unwrap_or(2);
    if count <= best[at].1 {
        return;
    }
    best[at] = (slot, count);
    best.sort_unstable_by_key(|(_, count)| std::cmp::Reverse(*count));
}
