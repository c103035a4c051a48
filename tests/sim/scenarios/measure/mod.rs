//! A scenario measured: the engine's run of it, the oracle's, and the expectations it misses. Tests and benches share it.

pub(crate) mod run;

use std::ops::RangeInclusive;

use proxywheel::lab::scenario::{Metric, Scenario};

pub(crate) use self::run::{HEADING, Measured, line, median};

/// The scenario of this name in `tests/scenarios`.
pub(crate) fn read(name: &str) -> Scenario {
    let path = format!("tests/scenarios/{name}.toml");
    let whole = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&whole).expect("the scenario is there");
    Scenario::parse(&path, &text).unwrap_or_else(|problem| panic!("{problem}"))
}

/// One number, or the first and the last of several.
pub(crate) fn seeds(text: &str) -> RangeInclusive<u64> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse().expect("a seed, or two with - between");
    number(first)..=number(last)
}

/// Compares the medians with what the scenario expects.
pub(crate) fn misses(scenario: &Scenario, runs: &[&Measured]) -> Vec<String> {
    let mut wrong = Vec::new();
    for metric in Metric::ALL {
        let Some(value) = median(runs, metric) else {
            continue;
        };
        let range = scenario.expect.of(metric);
        if !range.holds(value) {
            wrong.push(format!("{metric} is {value:.3}, not {range}"));
        }
    }
    wrong
}
