//! What has changed since an earlier check.
//!
//! Only what is known on both sides is compared. `unknown` is neither a change nor a state to compare with: such a row carries on
//! what was known before it, so that a night without judges hides nothing that happened meanwhile.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Anonymity, Report, Verdict};

/// A median that differs by less than this factor, or by less than [`STEP_MS`], is the weather of the net.
const FACTOR: f64 = 2.0;
/// Milliseconds.
const STEP_MS: f64 = 100.0;

/// One way in which a proxy is not what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was not in the list.
    New,
    /// It is no longer in the list; only told, it has no row.
    Gone,
    /// It works and did not.
    Revived,
    /// It worked and does not.
    Died,
    /// Any other change of the verdict.
    Verdict,
    /// The median request takes twice as long, and 0.1 s more.
    Slower,
    /// It takes half as long, and 0.1 s less.
    Quicker,
    /// It had one exit and has another.
    Exit,
    /// All its exits were in one country and one is in another now.
    Country,
    /// It shows more, or less, of its client.
    Anonymity,
}

impl Change {
    /// Every one, in the order in which they are told.
    pub const ALL: [Change; 10] = [
        Change::New,
        Change::Gone,
        Change::Revived,
        Change::Died,
        Change::Verdict,
        Change::Slower,
        Change::Quicker,
        Change::Exit,
        Change::Country,
        Change::Anonymity,
    ];

    /// The word in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::New => "new",
            Change::Gone => "gone",
            Change::Revived => "revived",
            Change::Died => "died",
            Change::Verdict => "verdict",
            Change::Slower => "slower",
            Change::Quicker => "quicker",
            Change::Exit => "exit",
            Change::Country => "country",
            Change::Anonymity => "anonymity",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was known of a proxy, as far as it is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Never `unknown`.
    pub verdict: Verdict,
    /// Median of whole requests, milliseconds.
    pub p50_ms: Option<f64>,
    /// Addresses it came out at.
    pub exits: Vec<IpAddr>,
    /// Countries of those, each once; empty when no file was asked.
    pub countries: Vec<Box<str>>,
    /// `None` where it does not apply.
    pub anonymity: Option<Anonymity>,
}

impl Known {
    /// What is known after `report`: what it says, or when it says `unknown` what was known before.
    pub fn after(report: &Report) -> Option<Self> {
        if report.verdict == Verdict::Unknown {
            return report.before.as_deref().cloned();
        }
        Some(Known {
            verdict: report.verdict,
            p50_ms: report
                .latency()
                .map(|latency| latency.p50.as_secs_f64() * 1000.0),
            exits: report.exits.clone(),
            countries: report.countries().into_iter().map(Into::into).collect(),
            anonymity: report.anonymity,
        })
    }

    /// The ways in which `now` differs.
    pub fn changes(&self, now: &Known) -> Vec<Change> {
        let mut changes = Vec::new();
        match (self.verdict.works(), now.verdict.works()) {
            (false, true) => changes.push(Change::Revived),
            (true, false) => changes.push(Change::Died),
            _ if self.verdict != now.verdict => changes.push(Change::Verdict),
            _ => {}
        }
        if !(self.verdict.works() && now.verdict.works()) {
            return changes;
        }
        if let (Some(before), Some(now)) = (self.p50_ms, now.p50_ms) {
            let grown = |from: f64, to: f64| to >= from * FACTOR && to - from >= STEP_MS;
            if grown(before, now) {
                changes.push(Change::Slower);
            } else if grown(now, before) {
                changes.push(Change::Quicker);
            }
        }
        let family = |exits: &[IpAddr], v6: bool| -> Vec<IpAddr> {
            let same = exits.iter().filter(|ip| ip.is_ipv6() == v6);
            same.copied().collect()
        };
        let has_moved = |v6| moved(&family(&self.exits, v6), &family(&now.exits, v6));
        if has_moved(false) || has_moved(true) {
            changes.push(Change::Exit);
        }
        if moved(&self.countries, &now.countries) {
            changes.push(Change::Country);
        }
        if self.anonymity.is_some() && now.anonymity.is_some() && self.anonymity != now.anonymity {
            changes.push(Change::Anonymity);
        }
        changes
    }
}

/// It was in one place and is seen in another. Who was in several roams, and is no news.
fn moved<T: PartialEq>(before: &[T], now: &[T]) -> bool {
    match before {
        [one] => now.iter().any(|each| each != one),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(verdict: Verdict, p50_ms: f64, exits: &[u8], countries: &[&str]) -> Known {
        Known {
            verdict,
            p50_ms: Some(p50_ms),
            exits: exits.iter().map(|n| [192, 0, 2, *n].into()).collect(),
            countries: countries.iter().map(|code| (*code).into()).collect(),
            anonymity: None,
        }
    }

    #[test]
    fn a_change_is_what_is_known_on_both_sides_and_differs_by_enough() {
        use Change::{Country, Died, Exit, Quicker, Revived, Slower};
        use Verdict::{Alive, Auth, Dead, Unstable};
        let alive = |p50, exits: &[u8], countries: &[&str]| known(Alive, p50, exits, countries);
        for (before, now, expected) in [
            (
                alive(90.0, &[1], &["de"]),
                alive(90.0, &[1], &["de"]),
                vec![],
            ),
            (
                alive(90.0, &[1], &[]),
                known(Dead, 0.0, &[], &[]),
                vec![Died],
            ),
            (
                known(Auth, 0.0, &[], &[]),
                alive(90.0, &[1], &[]),
                vec![Revived],
            ),
            (
                known(Auth, 0.0, &[], &[]),
                known(Dead, 9e9, &[], &[]),
                vec![Change::Verdict],
            ),
            (
                alive(90.0, &[1], &[]),
                known(Unstable, 90.0, &[1], &[]),
                vec![Change::Verdict],
            ),
            // Twice as long is not enough by itself, nor is a tenth of a second.
            (alive(90.0, &[], &[]), alive(185.0, &[], &[]), vec![]),
            (alive(500.0, &[], &[]), alive(700.0, &[], &[]), vec![]),
            (alive(100.0, &[], &[]), alive(200.0, &[], &[]), vec![Slower]),
            (
                alive(200.0, &[], &[]),
                alive(100.0, &[], &[]),
                vec![Quicker],
            ),
            (
                alive(90.0, &[1], &["de"]),
                alive(90.0, &[2], &["fr"]),
                vec![Exit, Country],
            ),
            // No file was asked then.
            (alive(90.0, &[1], &[]), alive(90.0, &[1], &["de"]), vec![]),
            // It rotates.
            (
                alive(90.0, &[1, 2], &["de", "fr"]),
                alive(90.0, &[3], &["us"]),
                vec![],
            ),
        ] {
            assert_eq!(before.changes(&now), expected, "{before:?} {now:?}");
        }
        // A second family that is tested this time is no other exit; another address of the same is.
        let both = |exits: &[&str]| Known {
            exits: exits.iter().map(|ip| ip.parse().unwrap()).collect(),
            ..alive(90.0, &[], &[])
        };
        let before = both(&["192.0.2.1", "2001:db8::1"]);
        assert_eq!(both(&["192.0.2.1"]).changes(&before), []);
        assert_eq!(before.changes(&both(&["192.0.2.1", "2001:db8::2"])), [Exit]);
        let elite = Known {
            anonymity: Some(crate::check::Anonymity::Elite),
            ..alive(90.0, &[1], &[])
        };
        let transparent = Known {
            anonymity: Some(crate::check::Anonymity::Transparent),
            ..elite.clone()
        };
        assert_eq!(elite.changes(&transparent), [Change::Anonymity]);
        assert_eq!(elite.changes(&alive(90.0, &[1], &[])), []);
    }
}
