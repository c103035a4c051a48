//! The scenarios of `tests/scenarios`, through the engine and its pool.
//!
//! By itself each runs with one seed, because without optimisation one takes five to ten seconds of a core. The whole of it is ten:
//! `SCENARIO_SEEDS=1-10 cargo nextest run --test sim scenarios`, with `--config 'profile.dev.package.proxywheel.opt-level=1'` in
//! a tenth of the time after a longer build, or `cargo bench --bench scenarios`. One world, with a line for each seed:
//! `SCENARIO=w8,wd SCENARIO_SEEDS=1-3 cargo nextest run --test sim asked_for --no-capture`.

mod measure;

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use proxywheel::lab::scenario::Scenario;

use self::measure::{HEADING, Measured, line, memories, misses, read};

/// Runs are cut after so many times the oracle's time: they have failed by then.
const LONGEST: u32 = 2;
/// The same for tables.
const LONGEST_SHOWN: u32 = 4;

/// `SCENARIO_SEEDS`: one number, or the first and the last of several.
fn seeds() -> RangeInclusive<u64> {
    let text = std::env::var("SCENARIO_SEEDS").unwrap_or("1".into());
    measure::seeds(&text)
}

/// Runs a scenario and compares the medians with its expectations, or with what has been reached of them so far.
fn check(name: &str) {
    let scenario = read(name);
    let seeds = seeds();
    let runs: Vec<_> = seeds
        .clone()
        .map(|seed| Measured::of(&scenario, seed, LONGEST))
        .collect();
    let wrong = misses(name, &scenario, &runs.iter().collect::<Vec<_>>());
    assert!(wrong.is_empty(), "{name}, seeds {seeds:?}: {wrong:#?}");
}

#[test]
fn w1_four_fifths_are_dead() {
    check("w1");
}

#[test]
fn w2_hosts_ban_proxies_that_ask_too_often() {
    check("w2");
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

/// Nothing ever goes wrong but one host, for 40 seconds.
const OUTAGE: &str = "
title = \"an outage and nothing else\"
urls = 9000
proxies = 100
concurrency = 60
[[group]]
name = \"good\"
share = 1
resets = 0
connect = { lost-syn = 0 }
[[host]]
[[host]]
outage = [{ from-s = 15, to-s = 55 }]
[[host]]
";

/// What any proxy may be charged for it, in requests. It ought to be nothing; so far it is a part of what was under way when the
/// host came back.
const MOST_CHARGED: f32 = 0.25;

#[test]
fn an_outage_of_a_host_leaves_no_mark_on_any_proxy() {
    let scenario = Scenario::parse("outage", OUTAGE).expect("a scenario");
    for seed in [1, 2, 3] {
        let memories = memories(&scenario, seed);
        assert!(memories.iter().any(|(at, _)| *at < Duration::from_secs(15)));
        let (last, _) = memories.last().expect("a memory");
        assert!(*last > Duration::from_secs(60), "ended after {last:?}");
        let known = memories
            .iter()
            .flat_map(|(at, memory)| memory.proxies.iter().map(move |known| (at, known)));
        let most =
            known.max_by(|(_, a), (_, b)| f32::total_cmp(&a.health.failures, &b.health.failures));
        let (at, known) = most.expect("proxies");
        let lost = known.health.failures;
        assert!(
            lost <= MOST_CHARGED,
            "seed {seed}: {} is charged with {lost} after {at:?}",
            known.proxy.host()
        );
    }
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
