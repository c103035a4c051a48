//! Small worlds drawn at random, as users have them: a few to some hundred proxies, one to three sites that ban, limit, are out or
//! have banned some exits from the start; or one to four proxies that work, as somebody has who has bought his first. Nobody has tuned
//! anything for one of them.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use proxywheel::lab::scenario::Scenario;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt, SeedableRng};

use super::measure::Measured;
use super::{LONGEST, spread};

/// Runs of each world.
const SEEDS: RangeInclusive<u64> = 1..=3;
/// Shown by themselves are runs that took longer, in times of the oracle.
const SHOWN: f64 = 5.0;

/// Sizes of the pools.
const SIZES: [u32; 10] = [5, 10, 15, 20, 30, 50, 80, 120, 200, 400];
/// The same of somebody who has a few.
const FEW: [u32; 4] = [1, 2, 3, 4];

/// Prints what took long, and how the rest did: makespan over the oracle's, for each page that was got.
pub(crate) fn run(numbers: RangeInclusive<u64>, few: bool) {
    let worlds: Vec<Scenario> = numbers.clone().map(|number| world(number, few)).collect();
    let runs = spread(&worlds, SEEDS, |scenario, seed| {
        let run = Measured::of(scenario, seed, LONGEST);
        let (ours, oracle) = (&run.ours, &run.oracle);
        let ratio = ours.makespan.as_secs_f64() / oracle.makespan.as_secs_f64();
        let got = f64::from(ours.successes.max(1)) / f64::from(ours.successes + ours.lost);
        (ratio / got, ours.lost)
    });
    let mut shown = None;
    for (at, (ratio, lost)) in &runs {
        if *ratio > SHOWN {
            let number = numbers.start() + *at as u64;
            if shown.replace(number) != Some(number) {
                println!("{}", text(number, few).replace('\n', "; "));
            }
            println!("{number}: {ratio:.1}, {lost} lost");
        }
    }
    let ratios: Vec<f64> = runs.iter().map(|(_, (ratio, _))| *ratio).collect();
    let logarithms: f64 = ratios.iter().map(|ratio| ratio.max(0.5).ln()).sum();
    let above = |most: f64| ratios.iter().filter(|ratio| **ratio > most).count();
    println!(
        "{} runs: geometric mean {:.2}; {} above 2, {} above 5, {} above 20",
        ratios.len(),
        (logarithms / ratios.len() as f64).exp(),
        above(2.0),
        above(5.0),
        above(20.0)
    );
}

/// The world with this number.
fn world(number: u64, few: bool) -> Scenario {
    let text = text(number, few);
    Scenario::parse("random", &text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn one<T: Copy>(rng: &mut StdRng, of: &[T]) -> T {
    *of.choose(rng).expect("there are some")
}

fn text(number: u64, few: bool) -> String {
    let rng = &mut StdRng::seed_from_u64(number);
    let mut text = format!(
        "title = \"random\"\nurls = {}\nproxies = {}\nconcurrency = {}\n",
        one(rng, &[500, 1000, 2000, 4000]),
        one(rng, if few { &FEW } else { &SIZES }),
        one(rng, &[8, 16, 32, 64, 128, 200]),
    );
    let mut add = |line: String| writeln!(text, "{line}").expect("a string has room");
    if rng.random_bool(0.3) {
        add(format!("proxy-concurrency = {}", one(rng, &[1, 2, 4])));
    }
    let bad = one(rng, &[0.0, 0.0, 0.3, 0.6, 0.8]) * f64::from(!few);
    add(format!(
        "[[group]]\nname = \"good\"\nshare = {:.1}",
        1.0 - bad
    ));
    add(format!(
        "answer = {{ median-s = {}, between = {}, within = {} }}",
        one(rng, &[0.3, 0.8, 2.0]),
        one(rng, &[0.2, 0.6, 1.0]),
        one(rng, &[0.2, 0.4, 0.8])
    ));
    if rng.random_bool(0.3) {
        add(format!("resets = {}", one(rng, &[0.02, 0.05, 0.15])));
    }
    if rng.random_bool(0.15) {
        add("tail = { share = 0.01, adds-s = 10 }".into());
    }
    if rng.random_bool(0.15) {
        add(format!(
            "capacity = {{ from = 1, to = {} }}",
            one(rng, &[2, 8])
        ));
    }
    if rng.random_bool(0.15) {
        let (up, down) = (one(rng, &[60, 240]), one(rng, &[30, 200]));
        add(format!("churn = {{ up-s = {up}, down-s = {down} }}"));
    }
    if bad > 0.0 {
        let kind = one(rng, &["refuses", "black-hole", "useless"]);
        add(format!(
            "[[group]]\nname = \"bad\"\nshare = {bad:.1}\nbehaves = \"{kind}\""
        ));
    }
    for _ in 0..one(rng, &[1, 1, 1, 2, 3]) {
        add("[[host]]".into());
        let manner: f64 = rng.random();
        if manner < 0.35 {
            let (most, window) = (
                one(rng, &[1, 2, 3, 5, 10, 30, 100]),
                one(rng, &[10, 60, 60, 600]),
            );
            let lasts = one(rng, &[30, 60, 300, 600]);
            add(format!(
                "ban = {{ requests = {most}, window-s = {window}, lasts-s = {lasts} }}"
            ));
        } else if manner < 0.7 {
            let (rate, wait) = (
                one(rng, &[1, 2, 5, 10, 20, 40, 80]),
                one(rng, &[1, 5, 10, 30]),
            );
            let closes = if rng.random_bool(0.5) {
                0.9 * f64::from(wait)
            } else {
                0.0
            };
            add(format!(
                "limit = {{ per-second = {rate}, retry-after-s = {wait}, closes-s = {closes:.1} }}"
            ));
        }
        if rng.random_bool(0.25) {
            add(format!("banned = {}", one(rng, &[0.05, 0.3, 0.6])));
        }
        if rng.random_bool(0.15) {
            let (from, takes) = (one(rng, &[5, 20]), one(rng, &[10, 60]));
            add(format!(
                "outage = [{{ from-s = {from}, to-s = {} }}]",
                from + takes
            ));
        }
    }
    text
}
