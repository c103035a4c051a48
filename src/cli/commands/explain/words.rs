//! Words for what rows hold.

use std::time::Duration;

use crate::cli::figures;
use crate::outcome::{Blame, Charge, UnixMillis};
use crate::state::gap;

/// Who was charged, and what that did.
pub(super) fn blame(blame: Blame) -> &'static str {
    match blame {
        Blame::Nobody => "nobody: the proxy is credited with an answer",
        Blame::Target => {
            "nobody: it is the target's own answer, so the proxy is neither credited nor charged"
        }
        Blame::Pair => {
            "the pair: this proxy rests from this host, its score stays and other hosts may use it"
        }
        Blame::Local => "nobody: this machine failed",
        Blame::Unknown => {
            "undecided between proxy and target: the proxy pays only if the target answers others"
        }
        Blame::Proxy(charge) => match charge {
            Charge::Unreachable => "the proxy, in full: it was not reached",
            Charge::Broken => "the proxy, in full: it failed after the connect",
            Charge::Auth => {
                "the proxy's account: its credentials were refused, all of it is out for the run unless others of it were accepted"
            }
            Charge::Tampered => "the proxy, three times over: it altered the answer",
            Charge::NoTunnel => "the proxy is not asked for https any more; its score stays",
            Charge::NoForward => "the proxy is not asked for plain http any more; its score stays",
            Charge::Policy => {
                "the provider's own rules refuse this host: its account is not asked for it again, unless it was let through before"
            }
            Charge::NoExit => "the session: its gateway had no exit, it rests for seconds",
        },
    }
}

/// A time and how far it is from now.
pub(super) fn until(at: i64, now: i64) -> String {
    format!("until {} (in {})", UnixMillis(at), about(gap(now, at)))
}

/// `now`, `5 min ago`.
pub(super) fn ago(at: i64, now: i64) -> String {
    let passed = gap(at, now);
    if passed < Duration::from_secs(60) {
        return "just now".to_owned();
    }
    format!("{} ago", about(passed))
}

/// A length of time in one unit, rounded.
pub(super) fn about(length: Duration) -> String {
    let seconds = length.as_secs_f64();
    match seconds {
        ..90.0 => format!("{seconds:.0} s"),
        ..5400.0 => format!("{:.0} min", seconds / 60.0),
        ..172_800.0 => format!("{:.0} h", seconds / 3600.0),
        _ => format!("{:.0} d", seconds / 86_400.0),
    }
}

/// `1st`, `2nd`, `11th`.
pub(super) fn ordinal(number: u32) -> String {
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// Milliseconds of a row.
pub(super) fn ms(ms: f64) -> String {
    let length = Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default();
    if length < Duration::from_secs(1) {
        return format!("{ms:.0} ms");
    }
    figures::time(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_unit_and_numbers_their_ending() {
        for (seconds, shown) in [(0, "0 s"), (89, "89 s"), (90, "2 min"), (7200, "2 h")] {
            assert_eq!(about(Duration::from_secs(seconds)), shown);
        }
        let ordinals = [1, 2, 3, 4, 11, 12, 21, 112].map(ordinal);
        assert_eq!(
            ordinals,
            ["1st", "2nd", "3rd", "4th", "11th", "12th", "21st", "112th"]
        );
    }
}
