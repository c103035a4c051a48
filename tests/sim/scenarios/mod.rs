//! The scenarios of `tests/scenarios`, through the engine and its pool.
//!
//! By itself each runs with one seed, because without optimisation one takes five to ten seconds of a core. The whole of it is ten:
//! `SCENARIO_SEEDS=1-10 cargo nextest run --test sim scenarios`, with `--config 'profile.dev.package.proxywheel.opt-level=1'` in
//! a tenth of the time after a longer build, or `cargo bench --bench scenarios`. One world, with a line for each seed:
//! `SCENARIO=w8,wd SCENARIO_SEEDS=1-3 cargo nextest run --test sim asked_for --no-capture`.

mod measure;
mod outage;
mod small;
mod warm;

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Instant;

use proxywheel::lab::scenario::Metric::{AttemptsPerSuccess, BlockedPer1000, Lost, MakespanRatio};

use self::measure::{HEADING, Measured, line, misses, read};

/// Runs are cut after so many times the oracle's time: they have failed by then.
const LONGEST: u32 = 2;
/// The same for tables.
const LONGEST_SHOWN: u32 = 4;

/// `SCENARIO_SEEDS`: one number, or the first and the last of several.
fn seeds() -> RangeInclusive<u64> {
    let text = std::env::var("SCENARIO_SEEDS").unwrap_or("1".into());
    measure::seeds(&text)
}

/// Runs a scenario and compares the medians with its expectations.
fn check(name: &str) {
    let scenario = read(name);
    let seeds = seeds();
    let runs: Vec<_> = seeds
        .clone()
        .map(|seed| Measured::of(&scenario, seed, LONGEST))
        .collect();
    let wrong = misses(&scenario, &runs.iter().collect::<Vec<_>>());
    assert!(wrong.is_empty(), "{name}, seeds {seeds:?}: {wrong:#?}");
}

#[test]
fn w1_four_fifths_are_dead() {
    check("w1");
}

/// Makespan over the oracle's of a fifth of w2, at most: learning takes as long as in the whole, where it is 1.23.
const MOST_IN_PART: f64 = 1.4;

/// A fifth of its URLs, because without optimisation all of them take minutes; the bench takes all. What is learned costs as
/// many refusals as with all of them.
#[test]
fn w2_hosts_ban_proxies_that_ask_too_often_in_a_fifth_of_the_job() {
    let whole = read("w2");
    let urls = NonZeroU32::new(whole.urls.get() / 5).expect("not zero");
    let part = whole.clone().with_urls(urls);
    for seed in seeds() {
        let run = Measured::of(&part, seed, LONGEST);
        let ratio = run.get(MakespanRatio).expect("it applies");
        assert!(ratio <= MOST_IN_PART, "{ratio} times the oracle's time");
        for metric in [AttemptsPerSuccess, Lost] {
            let value = run.get(metric).expect("it applies");
            let range = whole.expect.of(metric);
            assert!(range.holds(value), "{metric} is {value:.3}, not {range}");
        }
        let per_1000 = whole.expect.of(BlockedPer1000).most.expect("a bound");
        let most = per_1000 * f64::from(whole.urls.get()) / 1000.0;
        let blocked = run.ours.tally.blocked as f64;
        assert!(blocked <= most, "{blocked} refused, not at most {most}");
    }
}

#[test]
fn w3_proxies_die_and_revive() {
    check("w3");
}

#[test]
fn w4_one_answer_in_a_hundred_hangs() {
    check("w4");
}

#[test]
fn w5_a_host_limits_everybody_together() {
    check("w5");
}

#[test]
fn w6_a_host_is_down_for_a_while() {
    check("w6");
}

#[test]
fn w7_some_proxies_tamper() {
    check("w7");
}

#[test]
fn w8_one_in_twenty_of_many_thousands_works() {
    check("w8");
}

#[test]
fn w9_the_uplink_is_gone_for_a_while() {
    check("w9");
}

#[test]
fn wa_proxies_bear_few_requests_at_once() {
    check("wa");
}

#[test]
fn wb_a_host_closes_when_it_is_asked_too_much() {
    check("wb");
}

#[test]
fn wc_answers_change_their_pace() {
    check("wc");
}

#[test]
fn wd_a_small_pool_dies_and_revives() {
    check("wd");
}

#[test]
#[expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a table for whoever asked for it"
)]
fn the_asked_for_scenario_prints_its_table() {
    let Ok(names) = std::env::var("SCENARIO") else {
        return;
    };
    println!("{HEADING}");
    for name in names.split(',') {
        let scenario = read(name);
        for seed in seeds() {
            let began = Instant::now();
            let run = Measured::of(&scenario, seed, LONGEST_SHOWN);
            println!("{}", line(name, &run, began.elapsed()));
        }
    }
}
