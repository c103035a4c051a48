//! How long a host's bans take, where it does not say.
//!
//! The first is waited for a minute, and twice as long as was too short, until a wait was enough. One pair at a time tries less, at first
//! next to nothing and then half: a rotating endpoint that is not called one has another exit in a second, and a host that bans by chance
//! may have forgotten it as soon. Where bans do take their time the attempt is one refusal more, and is made ever more rarely.

use super::super::clock::{Micros, SECOND};

/// The first wait.
const FIRST: Micros = 60 * SECOND;
/// What is tried first instead.
const SHORTEST: Micros = 2 * SECOND;
/// So short a wait costs less than any attempt to do without bans.
const BRIEF: Micros = 8 * SECOND;
const LONGEST: Micros = 3600 * SECOND;
/// An attempt that has taught nothing in so many waits is given up: its pair is gone or has nothing to do.
const PATIENCE: Micros = 4;
/// Waits that were enough between two attempts are no more than this.
const RAREST: u16 = 64;

/// What is known of one host's bans.
#[derive(Debug)]
pub(super) struct BanLength {
    /// How long the next is waited for.
    wait: Micros,
    /// So much is enough; not known before one was.
    is_known: bool,
    /// Who tries less, and since when.
    trial: Option<(u32, Micros)>,
    /// The last that tried next to nothing was refused: the next tries half.
    was_brief: bool,
    /// How often that was enough, less what speaks against it.
    enough: u16,
    /// The same since the last attempt to do with less.
    since: u16,
    /// So many lie between two attempts.
    every: u16,
}

impl Default for BanLength {
    fn default() -> Self {
        BanLength {
            wait: FIRST,
            is_known: false,
            trial: None,
            was_brief: false,
            enough: 0,
            since: 0,
            every: 0,
        }
    }
}

impl BanLength {
    /// How long to leave this pair alone, which has just been banned.
    pub(super) fn wait(&mut self, slot: u32, now: Micros) -> Micros {
        let is_tried = self
            .trial
            .is_some_and(|(_, since)| now < since + PATIENCE * self.wait);
        if is_tried || self.since < self.every {
            return self.wait;
        }
        let less = match self.was_brief {
            true => (self.wait / 2).max(SHORTEST),
            false => SHORTEST,
        };
        if less < self.wait {
            self.trial = Some((slot, now));
        }
        less.min(self.wait)
    }

    /// A request this long after the beginning of its pair's ban was refused.
    pub(super) fn still_banned(&mut self, slot: u32, after: Micros) {
        if self.ends_trial(slot) && after < self.wait {
            self.was_brief = !self.was_brief;
            self.every = (2 * self.every).clamp(1, RAREST);
        } else if after >= self.wait {
            self.enough /= 2;
            self.wait = match (self.is_known, self.enough) {
                (false, _) => 2 * after,
                (true, 0) => 2 * self.wait,
                // What has been enough more than once is not called too short for one refusal.
                (true, _) => self.wait,
            }
            .min(LONGEST);
        }
    }

    /// A request this long after the beginning of its pair's ban was served.
    pub(super) fn free_again(&mut self, slot: u32, after: Micros) {
        if self.ends_trial(slot) {
            self.every = 1;
        }
        self.enough = self.enough.saturating_add(1);
        self.since = self.since.saturating_add(1);
        self.wait = match self.is_known {
            true => self.wait.min(after),
            false => after,
        };
        self.is_known = true;
    }

    /// Bans have been found to be over before anything that could be waited for instead.
    pub(super) fn is_brief(&self) -> bool {
        self.is_known && self.wait <= BRIEF
    }

    fn ends_trial(&mut self, slot: u32) -> bool {
        let ends = self.trial.is_some_and(|(who, _)| who == slot);
        if ends {
            self.trial = None;
            self.since = 0;
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bans of one pair after the other: how long each was waited for at first, at a host where a ban is over after so long.
    fn waits(length: &mut BanLength, bans: usize, over: Micros) -> Vec<Micros> {
        let (mut waits, mut now) = (Vec::new(), 0);
        for _ in 0..bans {
            let mut after = length.wait(1, now);
            waits.push(after / SECOND);
            while after < over {
                length.still_banned(1, after);
                after += length.wait(1, now + after).max(after);
            }
            length.free_again(1, after);
            now += after;
        }
        waits
    }

    #[test]
    fn a_wait_is_doubled_until_one_works_and_then_it_is_known() {
        let mut length = BanLength {
            every: RAREST,
            ..BanLength::default()
        };
        assert_eq!(length.wait(1, 0), 60 * SECOND);
        length.still_banned(1, 60 * SECOND);
        assert_eq!(length.wait(1, 0), 120 * SECOND);
        length.still_banned(1, 120 * SECOND);
        length.free_again(1, 240 * SECOND);
        length.free_again(1, 240 * SECOND);
        length.still_banned(1, 250 * SECOND);
        let wait = length.wait(1, 0);
        assert_eq!(wait, 240 * SECOND, "one refusal may be chance");
        length.still_banned(1, 250 * SECOND);
        let wait = length.wait(1, 0);
        assert_eq!(wait, 480 * SECOND, "it has become longer");
    }

    #[test]
    fn bans_that_are_over_at_once_are_found_to_be() {
        let mut length = BanLength::default();
        assert_eq!(waits(&mut length, 5, 0), [2; 5]);
        assert!(length.is_brief());
    }

    #[test]
    fn bans_that_take_long_are_seldom_met_too_early() {
        for over in [60, 600] {
            let mut length = BanLength::default();
            let waits = waits(&mut length, 200, over * SECOND);
            let early = waits.iter().filter(|wait| **wait < over).count();
            assert!((2..=10).contains(&early), "{early}: {waits:?}");
            assert!(!length.is_brief());
        }
    }

    #[test]
    fn bans_of_medium_length_are_found_by_halving() {
        let mut length = BanLength::default();
        let waits = waits(&mut length, 40, 10 * SECOND);
        let last = *waits.last().expect("40");
        assert!((10..20).contains(&last), "{waits:?}");
    }

    #[test]
    fn one_pair_at_a_time_tries_less() {
        let mut length = BanLength::default();
        assert_eq!(length.wait(1, 0), SHORTEST);
        assert_eq!(length.wait(2, 0), FIRST);
        // It has gone away.
        assert_eq!(length.wait(3, 300 * SECOND), SHORTEST);
    }
}
