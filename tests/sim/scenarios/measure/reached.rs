//! How far the scheduler is where it misses what a scenario expects.
//!
//! A run that is cut before its end has lost the rest of its URLs, so `Lost` stands where runs take long. A line says what is held until the target, which stands in the scenario's file, is met. Lines may only get tighter, and go
//! when they are met.

use proxywheel::lab::scenario::Metric::{
    self, AttemptsPerSuccess, BlockedPer1000, Lost, MakespanRatio, OtherHostsRatio,
};
use proxywheel::lab::scenario::Range;

/// Scenario, figure, and the most that is allowed meanwhile.
const REACHED: &[(&str, Metric, f64)] = &[
    ("w2", MakespanRatio, 14.0),
    ("w2", AttemptsPerSuccess, 1.2),
    ("w2", BlockedPer1000, 170.0),
    ("w2", Lost, 48_000.0),
    ("w4", MakespanRatio, 1.9),
    ("w5", MakespanRatio, 3.5),
    ("w5", AttemptsPerSuccess, 2.7),
    ("w5", BlockedPer1000, 1700.0),
    ("w5", Lost, 8000.0),
    ("w6", MakespanRatio, 1.55),
    ("w6", AttemptsPerSuccess, 1.09),
    ("w6", OtherHostsRatio, 2.3),
    ("w6", Lost, 2.0),
    ("w8", MakespanRatio, 2.4),
    ("w8", Lost, 10_000.0),
    ("w9", MakespanRatio, 1.16),
    ("wb", MakespanRatio, 4.3),
    ("wb", AttemptsPerSuccess, 3.5),
    ("wb", BlockedPer1000, 2500.0),
    ("wb", Lost, 10_000.0),
];

/// What is asked for now: the target, or what has been reached of it.
pub(crate) fn bound(name: &str, metric: Metric, target: Range) -> Range {
    let reached = REACHED
        .iter()
        .find(|(scenario, which, _)| *scenario == name && *which == metric);
    match reached {
        None => target,
        Some((_, _, most)) => {
            let wanted = target.most.expect("only what has a target can miss it");
            assert!(*most > wanted, "{name}: {metric} is reached, drop its line");
            Range {
                most: Some(*most),
                ..target
            }
        }
    }
}
