//! Whether this machine has a network at all.
//!
//! When the uplink is gone everything fails together, and charging anybody for it would empty the pool within a second. So the
//! last connects through proxies that have served are watched: when nearly all of them fail, through many that have nothing in
//! common, nobody is asked for a while but one at a time, to find out when it is over. What the outage has cost before it was
//! noticed is given back, and what was under way during it says nothing of its proxy.
//!
//! Answers count as connects that worked: a kept-alive connection needs the network as well. What it cannot tell is an outage
//! from all providers failing in the same second; then there is nothing better to do than to wait, either.

use std::collections::VecDeque;

use super::clock::{Micros, SECOND};

/// Results that are looked at.
const KEPT: usize = 24;
/// Share of them that has to have failed.
const FAILED: f32 = 0.9;
/// Unrelated proxies among the failures.
const DISTINCT: usize = 10;
/// A result so old says nothing of now.
const STALE: Micros = 5 * SECOND;
/// Between two looks whether it is over.
const CANARY: Micros = SECOND / 3;
/// What was charged so long before it was noticed is given back, if the outage had begun by then.
const REFUND: Micros = 10 * SECOND;
/// Charges that are kept for it.
const CHARGES: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Seen {
    /// What failed: a connect of a proxy of this subnet, begun then.
    failed: Option<(u64, Micros)>,
    at: Micros,
}

#[derive(Debug, Clone, Copy)]
struct Outage {
    noticed: Micros,
    /// When to look again.
    look_at: Micros,
}

/// See the module text. `C` is what a failure has cost its proxy.
#[derive(Debug)]
pub(super) struct Uplink<C> {
    results: VecDeque<Seen>,
    charges: VecDeque<(Micros, C)>,
    outage: Option<Outage>,
    /// End of the last one that is over.
    ended: Micros,
}

impl<C> Default for Uplink<C> {
    fn default() -> Self {
        Uplink {
            results: VecDeque::new(),
            charges: VecDeque::new(),
            outage: None,
            ended: 0,
        }
    }
}

impl<C> Uplink<C> {
    /// A connect that was begun at `sent` by a proxy of `subnet` failed; `served` if that proxy has ever been good for anything,
    /// and `charge` what it costs it. Gives back all charges of the outage when this is what shows it, the newest first.
    pub(super) fn failed(
        &mut self,
        (subnet, served): (u64, bool),
        charge: Option<C>,
        sent: Micros,
        now: Micros,
    ) -> Vec<C> {
        if self.outage.is_some() {
            return Vec::new();
        }
        let old = |at: Micros| at + REFUND < now;
        while self.charges.front().is_some_and(|(at, _)| old(*at)) || self.charges.len() >= CHARGES
        {
            self.charges.pop_front();
        }
        self.charges.extend(charge.map(|charge| (now, charge)));
        if !served {
            return Vec::new();
        }
        self.note(Some((subnet, sent)), now);
        let failures = || self.results.iter().filter_map(|seen| seen.failed);
        let mut subnets: Vec<u64> = failures().map(|(subnet, _)| subnet).collect();
        let share = subnets.len() as f32 / self.results.len() as f32;
        subnets.sort_unstable();
        subnets.dedup();
        if share < FAILED || subnets.len() < DISTINCT {
            return Vec::new();
        }
        let began = failures().map(|(_, sent)| sent).min().unwrap_or(now);
        self.results.clear();
        self.outage = Some(Outage {
            noticed: now,
            look_at: now + CANARY,
        });
        let charges = std::mem::take(&mut self.charges).into_iter().rev();
        charges
            .take_while(|(at, _)| *at >= began)
            .map(|(_, charge)| charge)
            .collect()
    }

    /// Something begun at `sent` got through.
    pub(super) fn worked(&mut self, sent: Micros, now: Micros) {
        match self.outage {
            // What was begun before tells nothing of now.
            Some(outage) if sent < outage.noticed => {}
            Some(_) => {
                self.outage = None;
                self.ended = now;
            }
            // Mostly nothing has failed lately.
            None if self.results.is_empty() => {}
            None => self.note(None, now),
        }
    }

    fn note(&mut self, failed: Option<(u64, Micros)>, now: Micros) {
        if self.results.len() >= KEPT {
            self.results.pop_front();
        }
        self.results.push_back(Seen { failed, at: now });
        let idle = |seen: &Seen| seen.failed.is_none() || seen.at + STALE < now;
        while self.results.front().is_some_and(idle) {
            self.results.pop_front();
        }
    }

    /// Since when it is known to be out, if it is.
    pub(super) fn out_since(&self) -> Option<Micros> {
        self.outage.map(|outage| outage.noticed)
    }

    /// True for what was begun at `sent` and failed now, if the outage touched it.
    pub(super) fn excuses(&self, sent: Micros) -> bool {
        self.outage.is_some() || sent < self.ended
    }

    /// True when it is time to look whether it is over; not again for a while then.
    pub(super) fn looks(&mut self, now: Micros) -> bool {
        let due = self.outage.as_mut().filter(|outage| outage.look_at <= now);
        due.is_some_and(|outage| {
            outage.look_at = now + CANARY;
            true
        })
    }

    /// When to look next.
    pub(super) fn look_at(&self) -> Option<Micros> {
        self.outage.map(|outage| outage.look_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failures of `subnets` in a row, a millisecond apart from `from` on. What they gave back.
    fn fail(uplink: &mut Uplink<u64>, subnets: std::ops::Range<u64>, from: Micros) -> Vec<u64> {
        let mut back = Vec::new();
        for (n, subnet) in subnets.enumerate() {
            let at = from + n as Micros * 1000;
            back.extend(uplink.failed((subnet, true), Some(subnet), at, at + 500));
        }
        back
    }

    #[test]
    fn ten_unrelated_failures_without_an_answer_are_an_outage_and_are_given_back() {
        let mut uplink = Uplink::default();
        (0..100).for_each(|n| uplink.worked(n, n));
        let now = 60 * SECOND;
        assert!(fail(&mut uplink, 0..9, now).is_empty());
        assert_eq!(uplink.out_since(), None);
        let back = fail(&mut uplink, 9..10, now + SECOND);
        assert_eq!(back, (0..10).rev().collect::<Vec<_>>());
        assert_eq!(uplink.out_since(), Some(now + SECOND + 500));
        assert!(fail(&mut uplink, 0..10, now + 2 * SECOND).is_empty());

        let mut neighbours = Uplink::default();
        for n in 0..100 {
            fail(&mut neighbours, n % 9..n % 9 + 1, now + n);
        }
        assert_eq!(neighbours.out_since(), None, "nine providers may be down");
        let mut strangers = Uplink::<()>::default();
        (0..100).for_each(|n| drop(strangers.failed((n, false), None, now, now)));
        assert_eq!(strangers.out_since(), None, "most strangers are dead");
        let mut slow = Uplink::default();
        (0..100).for_each(|n| drop(fail(&mut slow, n..n + 1, n * SECOND)));
        assert_eq!(slow.out_since(), None, "never ten within five seconds");
        let mut mixed = Uplink::default();
        for n in 0..100 {
            fail(&mut mixed, n..n + 1, now + n);
            if n % 5 == 0 {
                mixed.worked(now + n, now + n);
            }
            assert_eq!(mixed.out_since(), None, "some get through");
        }
    }

    #[test]
    fn only_what_was_begun_after_it_was_noticed_ends_it_and_what_it_touched_is_excused() {
        let mut uplink = Uplink::default();
        let now = 60 * SECOND;
        assert!(!uplink.excuses(now));
        fail(&mut uplink, 0..10, now);
        let noticed = uplink.out_since().expect("it is out");
        assert!(!uplink.looks(noticed));
        uplink.worked(noticed - 1, noticed + SECOND);
        assert!(uplink.out_since().is_some() && uplink.excuses(now));
        assert!(uplink.looks(noticed + SECOND));
        assert!(!uplink.looks(noticed + SECOND), "one at a time");
        assert_eq!(uplink.look_at(), Some(noticed + SECOND + CANARY));
        let over = noticed + 2 * SECOND;
        uplink.worked(noticed + SECOND, over);
        assert_eq!((uplink.out_since(), uplink.look_at()), (None, None));
        assert!(uplink.excuses(over - 1) && !uplink.excuses(over));
    }
}
