//! What one run leaves to the next: numbers about proxies, standings of pairs, waits of hosts. Plain data; whoever keeps it
//! between the runs is not this module's business.
//!
//! Evidence of a run is worth minutes, because the present corrects it at once. Between runs nothing corrects it, so it fades
//! over hours: yesterday's proxies are still the best guess, and no more than a guess. That is why a memory makes nobody READY
//! ([`super::recall`]); it only says whom to look at first.

use std::sync::Arc;
use std::time::Duration;

use super::clock::remains;
use super::evidence::{Evidence, Prior, Scale};
use crate::job::HostKey;
use crate::proxy::Proxy;

/// Evidence from an earlier run loses half its weight in this time.
const HALF_LIFE: Duration = Duration::from_secs(6 * 3600);
/// One that served before and is now less likely than this to serve is tried after those that nothing is known about.
const WORTH_ASKING: f32 = 0.25;
/// The same for one that has never served: half is what a single failure of a few hours ago leaves.
const UNPROVEN_WORTH_ASKING: f32 = 0.5;
/// What is left of the score of a proxy that has not been reached lately.
const UNREACHED_SCORE: f32 = 0.25;

/// After so long without a look, one that has never served, or was lost, is a stranger again. Else short runs, which never look at
/// those in quarantine, would never find out that it has come back.
const STRANGER_AGAIN: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is known of one proxy, as far as another run can use it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Health {
    /// Successes, in requests, faded to the time of the observation.
    pub successes: f32,
    /// Failures that were its own, likewise.
    pub failures: f32,
    /// Average seconds of a success; 0 before the first.
    pub latency: f32,
    /// Seconds of a success without company; 0 before the first.
    pub base: f32,
    /// Requests at once it was seen to bear, 1 or more; 0 when that was never tried.
    pub capacity: f32,
    /// Valid answers in all runs, saturating.
    pub ok: u32,
    /// Altered answers, saturating.
    pub tampered: u16,
    /// Quarantines in a row at the end.
    pub level: u8,
    /// Runs in a row in which it was tried and never reached, saturating.
    pub unreached: u8,
    /// Altered so many answers that it was not used any more.
    pub condemned: bool,
    /// Cannot tunnel.
    pub no_tunnel: bool,
    /// Cannot carry plain `http://`.
    pub no_forward: bool,
    /// From its last valid answer to the time of the observation, where that is known.
    pub served_ago: Option<Duration>,
    /// What was left of a quarantine; `None` when it was in none.
    pub rests: Option<Duration>,
}

/// One proxy with what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Remembered {
    /// Who.
    pub proxy: Arc<Proxy>,
    /// What, at the time of the observation.
    pub health: Health,
    /// How long ago that was.
    pub age: Duration,
}

/// What a host thinks of one proxy.
#[derive(Debug, Clone, PartialEq)]
pub struct RememberedPair {
    /// The proxy.
    pub proxy: Arc<Proxy>,
    /// The host that refused it.
    pub host: HostKey,
    /// The refusal as it stands; `None` when it has been lifted.
    pub rest: Option<Rest>,
}

/// The cooldown of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// Refusals in a row, less one.
    pub level: u8,
    /// Time left; zero when only the probation is.
    pub ends_in: Duration,
    /// Time until the pair is in good standing again without a word.
    pub forgotten_in: Duration,
}

/// A host that asked everybody to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedHost {
    /// The host.
    pub host: HostKey,
    /// Time left.
    pub wait: Duration,
    /// Times it asked in a row.
    pub level: u32,
}

/// What a host was found to bear. Neither the one nor the other: what was remembered of it has turned out to be wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct RememberedLimit {
    /// The host.
    pub host: HostKey,
    /// Of one exit.
    pub quota: Option<Quota>,
    /// Of everybody together, requests a second.
    pub rate: Option<f32>,
    /// How long ago that was found out.
    pub age: Duration,
}

impl RememberedLimit {
    /// True when it is so old that the host has to show it again.
    pub fn is_stale(&self) -> bool {
        self.age > Health::GRUDGE
    }
}

/// The tier that a host was served from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedTier {
    /// The host.
    pub host: HostKey,
    /// The tier; 0 is where a host begins.
    pub tier: u8,
    /// Exits of the tier below that were banned in a row before.
    pub exits: u8,
    /// How long ago that was.
    pub age: Duration,
}

/// A host's limit for one exit: requests within any window of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Length of the window.
    pub window: Duration,
    /// Requests that are served.
    pub uses: u16,
}

/// All that a run leaves, or is left. Identities are those of [`crate::proxy::ProxyId`]; whoever writes it down must not write
/// credentials.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Memory {
    /// Proxies that were tried.
    pub proxies: Vec<Remembered>,
    /// Pairs that were refused.
    pub pairs: Vec<RememberedPair>,
    /// Hosts that have to be left alone.
    pub hosts: Vec<RememberedHost>,
    /// Hosts of which it was found out what they bear.
    pub limits: Vec<RememberedLimit>,
    /// Hosts that had to be served from another tier than the lowest, or have come back to it.
    pub tiers: Vec<RememberedTier>,
}

impl Memory {
    /// True when there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.proxies.is_empty()
            && self.pairs.is_empty()
            && self.hosts.is_empty()
            && self.limits.is_empty()
            && self.tiers.is_empty()
    }
}

/// When a remembered proxy is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// Before any stranger.
    First,
    /// After the strangers: it was there, and that is all that can be said for it.
    Late,
    /// After everybody: nobody ever got through to it, or nobody has for long.
    Last,
    /// Not at all in this run.
    Never,
}

impl Health {
    /// Altered answers, and what a proxy cannot carry, are held against it for so long.
    pub const GRUDGE: Duration = Duration::from_secs(24 * 3600);
    /// Runs in a row that did not reach a proxy, after which it no longer counts that it served before that.
    pub const LOST_AFTER: u8 = 3;

    /// The same after a gap without observations.
    #[must_use]
    pub fn faded(mut self, gap: Duration) -> Self {
        let left = remains(gap.as_secs_f32(), HALF_LIFE.as_secs_f32());
        self.successes *= left;
        self.failures *= left;
        self.served_ago = self.served_ago.map(|ago| ago.saturating_add(gap));
        self.rests = self.rests.filter(|left| *left > gap).map(|left| left - gap);
        if gap > Self::GRUDGE {
            self.condemned = false;
            self.tampered = 0;
            self.no_tunnel = false;
            self.no_forward = false;
        }
        self
    }

    /// True when `age` has made this worthless.
    pub(super) fn is_stale(&self, age: Duration) -> bool {
        age > STRANGER_AGAIN && (!self.is_proven() || self.unreached >= Self::LOST_AFTER)
    }

    /// True when it has served in some run.
    pub fn is_proven(&self) -> bool {
        self.ok > 0
    }

    /// Chance that the next request through it brings a valid answer, above 0 and below 1.
    pub fn chance(&self) -> f32 {
        let present = Scale::new().present();
        Evidence::recalled(self, present).chance(Prior::new(self.is_proven(), present))
    }

    /// 0 to 100, as [`super::Pool::score`] reckons it, with the latency it had. 0 for one that alters answers.
    pub fn score(&self) -> u8 {
        if self.condemned {
            return 0;
        }
        let present = Scale::new().present();
        let evidence = Evidence::recalled(self, present);
        let latency = Some(self.latency).filter(|latency| *latency > 0.0);
        let cautious = evidence.caution(self.chance(), present);
        let weight = if self.unreached > 0 {
            UNREACHED_SCORE
        } else {
            1.0
        };
        (weight * cautious * super::slot::speed(latency.unwrap_or(0.0))).round() as u8
    }

    /// True when a run looks at it before any stranger.
    pub fn is_worth_asking(&self) -> bool {
        self.turn() == Turn::First
    }

    pub(super) fn turn(&self) -> Turn {
        if self.condemned {
            Turn::Never
        } else if self.unreached >= Self::LOST_AFTER || (self.unreached > 0 && !self.is_proven()) {
            Turn::Last
        } else {
            let enough = if self.is_proven() {
                WORTH_ASKING
            } else {
                UNPROVEN_WORTH_ASKING
            };
            if self.chance() >= enough {
                Turn::First
            } else {
                Turn::Late
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn good() -> Health {
        Health {
            successes: 16.0,
            failures: 4.0,
            ok: 40,
            latency: 0.5,
            ..Health::default()
        }
    }

    #[test]
    fn six_hours_halve_the_evidence_and_days_leave_the_prior() {
        let later = good().faded(6 * HOUR);
        assert!((later.successes - 8.0).abs() < 1e-3 && (later.failures - 2.0).abs() < 1e-3);
        assert_eq!(good().faded(Duration::ZERO), good());
        let forgotten = good().faded(2000 * HOUR);
        assert!((forgotten.chance() - 0.9).abs() < 1e-3);
        assert_eq!(forgotten.turn(), Turn::First, "it has served");
    }

    #[test]
    fn those_that_served_come_first_and_those_never_reached_last() {
        let bad = Health {
            failures: 9.0,
            ..Health::default()
        };
        let dead = Health {
            unreached: 1,
            failures: 1.0,
            ..Health::default()
        };
        let stale = |unreached| Health {
            unreached,
            ..good()
        };
        let turns = [good(), stale(2), bad, dead, stale(3)].map(|health| health.turn());
        use Turn::{First, Last, Late};
        assert_eq!(turns, [First, First, Late, Last, Last]);
        assert_eq!(bad.faded(48 * HOUR).turn(), First, "a second chance");
    }

    #[test]
    fn a_liar_is_out_for_a_day_and_then_a_stranger_again() {
        let liar = Health {
            tampered: 3,
            condemned: true,
            failures: 9.0,
            no_tunnel: true,
            ..Health::default()
        };
        assert_eq!(liar.faded(23 * HOUR).turn(), Turn::Never);
        assert_eq!(liar.score(), 0);
        let later = liar.faded(25 * HOUR);
        assert_eq!((later.tampered, later.no_tunnel), (0, false));
        assert_ne!(later.turn(), Turn::Never);
    }

    #[test]
    fn the_score_is_cautious_and_falls_with_age_latency_and_absence() {
        let score = good().score();
        assert!((60..85).contains(&score), "{score}");
        let slow = Health {
            latency: 8.0,
            ..good()
        };
        assert!(slow.score().abs_diff(score / 2) <= 1);
        let away = Health {
            unreached: 1,
            ..good()
        };
        assert!(away.score().abs_diff(score / 4) <= 1);
        let sure = Health {
            failures: 0.0,
            ..good()
        };
        assert!(sure.faded(24 * HOUR).score() < sure.score());
    }
}
