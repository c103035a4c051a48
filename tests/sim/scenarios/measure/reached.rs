//! How far the scheduler is where it misses what a scenario expects.
//!
//! A run that is cut before its end has lost the rest of its URLs, so `Lost` stands where runs take long. A line says what is held until the target, which stands in the scenario's file, is met. Lines may only get tighter, and go
//! when they are met.

use proxywheel::lab::scenario::Metric::{self, MakespanRatio, OtherHostsRatio};
use proxywheel::lab::scenario::Range;

/// Scenario, figure, and the most that is allowed meanwhile.
const REACHED: &[(&str, Metric, f64)] =
    &[("w6", OtherHostsRatio, 1.1), ("w8", MakespanRatio, 1.65)];

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
