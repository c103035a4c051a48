//! The scenarios of `tests/scenarios` with ten seeds each: what the scheduler needs beside an oracle and beside others' rules.
//!
//! `cargo bench --bench scenarios` runs the engine on a paused clock and fails where a scenario's expectation is missed;
//! `-- --table` prints the comparison with simple rules, `-- --ablate` what each mechanism is worth, `-- --scale` a run of a million
//! URLs, `-- --random 0-199` small worlds drawn at random, `-- --few 0-199` such of one to four proxies, `-- --sockets` the same scenarios over real sockets, by the wall clock; `-- w8 wd` takes these scenarios only, `-- --seeds 1-3` these seeds.
//! Times are the worlds' own, so the machine and its load do not matter. Method and bias: `benches/README.md`.
//!
//! Under `cargo test` a small version checks that everybody gets to the end and measures nothing.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "it says how long it took")]

mod ablation;
mod choosers;
#[path = "../../tests/sim/scenarios/measure/mod.rs"]
mod measure;
mod random;
mod scale;
mod sockets;

use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use proxywheel::lab::scenario::{Figures, Metric, Scenario, oracle};

use self::choosers::Rule;
use self::measure::{HEADING, Measured, line, median, misses, read};

const WORLDS: [&str; 13] = [
    "w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "w9", "wa", "wb", "wc", "wd",
];
const SEEDS: RangeInclusive<u64> = 1..=10;
/// The rules to compare with are slow where they hammer a host, and differ by much more than seeds do.
const TABLE_SEEDS: RangeInclusive<u64> = 1..=3;
/// Ours is cut after so many times the oracle's time.
const LONGEST: u32 = 20;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| words.iter().any(|word| word == flag);
    let at = words.iter().position(|word| word == "--seeds");
    let seeds = at
        .and_then(|at| words.get(at + 1))
        .map(|text| measure::seeds(text));
    let named: Vec<&str> = WORLDS
        .into_iter()
        .filter(|world| words.iter().any(|word| word == world))
        .collect();
    let worlds = if named.is_empty() {
        WORLDS.to_vec()
    } else {
        named
    };
    if !has("--bench") {
        small();
        return ExitCode::SUCCESS;
    }
    if has("--table") {
        table(&worlds, seeds.unwrap_or(TABLE_SEEDS));
        return ExitCode::SUCCESS;
    }
    if has("--ablate") {
        ablation::table(&worlds, seeds.unwrap_or(1..=1));
        return ExitCode::SUCCESS;
    }
    if let Some(at) = words
        .iter()
        .position(|word| ["--random", "--few"].contains(&&**word))
    {
        let numbers = words.get(at + 1).map(|text| measure::seeds(text));
        random::run(numbers.unwrap_or(0..=199), words[at] == "--few");
        return ExitCode::SUCCESS;
    }
    if has("--scale") {
        scale::run();
        return ExitCode::SUCCESS;
    }
    if has("--sockets") {
        return sockets::run(&worlds, seeds.unwrap_or(1..=1));
    }
    ours(&worlds, seeds.unwrap_or(SEEDS))
}

/// Everybody gets to the end of something small.
fn small() {
    let urls = NonZeroU32::new(300).expect("not zero");
    let scenario = read("wd").with_urls(urls);
    let best = oracle(&scenario, 1);
    let ours = Measured::of(&scenario, 1, LONGEST).ours;
    assert_eq!((ours.successes, ours.lost), (urls.get(), 0));
    for rule in Rule::ALL {
        let figures = rule.play(&scenario, 1);
        assert_eq!(figures.successes, urls.get(), "{}", rule.as_str());
        assert!(figures.makespan > best.makespan, "{}", rule.as_str());
    }
    println!("scenarios: everybody gets to the end");
}

fn read_all(worlds: &[&str]) -> Vec<Scenario> {
    worlds.iter().map(|name| read(name)).collect()
}

/// Runs `work` for all pairs on as many threads as there are processors, in the order given.
fn spread<T: Send>(
    scenarios: &[Scenario],
    seeds: RangeInclusive<u64>,
    work: impl Fn(&Scenario, u64) -> T + Sync,
) -> Vec<(usize, T)> {
    let pairs: Vec<(usize, u64)> = (0..scenarios.len())
        .flat_map(|world| seeds.clone().map(move |seed| (world, seed)))
        .collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((world, seed)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = work(&scenarios[*world], *seed);
                    let mut done = done.lock().expect("nobody panics with it");
                    done.push(((*world, *seed), result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("nobody panics with it");
    done.sort_by_key(|(pair, _)| *pair);
    done.into_iter()
        .map(|((world, _), result)| (world, result))
        .collect()
}

/// Ours beside the oracle, seed by seed; fails where an expectation is missed.
fn ours(worlds: &[&str], seeds: RangeInclusive<u64>) -> ExitCode {
    let runs = spread(&read_all(worlds), seeds, |scenario, seed| {
        let began = Instant::now();
        let run = Measured::of(scenario, seed, LONGEST);
        (run, began.elapsed())
    });
    let mut wrong = false;
    println!("{HEADING}");
    for (world, name) in worlds.iter().enumerate() {
        let of = runs.iter().filter(|(at, _)| *at == world);
        let (runs, walls): (Vec<&Measured>, Vec<_>) =
            of.map(|(_, (run, wall))| (run, *wall)).unzip();
        for (run, wall) in runs.iter().zip(walls) {
            println!("{}", line(name, run, wall));
        }
        print!("{name:<8}");
        for metric in Metric::ALL {
            match median(&runs, metric) {
                Some(value) => print!(" {value:>8.3}"),
                None => print!("        -"),
            }
        }
        println!("  (medians)");
        for miss in misses(&read(name), &runs) {
            wrong = true;
            println!("{name}: {miss}");
        }
    }
    if wrong {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// A figure of the comparison: its title and its value, given the oracle's run and the number of URLs.
type Column = (&'static str, fn(&Figures, &Figures) -> f64);

const COLUMNS: [Column; 6] = [
    ("makespan / oracle", |run, oracle| {
        run.makespan.as_secs_f64() / oracle.makespan.as_secs_f64()
    }),
    ("requests per success", |run, _| {
        per_success(run, run.tally.requests)
    }),
    ("requests to dead proxies per success", |run, _| {
        per_success(run, run.tally.to_dead)
    }),
    ("refused by hosts per 1,000 successes", |run, _| {
        1000.0 * per_success(run, run.tally.blocked)
    }),
    ("fakes taken for pages per 1,000 successes", |run, _| {
        1000.0 * per_success(run, u64::from(run.fakes_accepted))
    }),
    ("URLs lost, %", |run, _| {
        100.0 * f64::from(run.lost) / f64::from(run.lost + run.successes)
    }),
];

fn per_success(run: &Figures, count: u64) -> f64 {
    count as f64 / f64::from(run.successes.max(1))
}

/// All rules and ours, as tables in Markdown; means over the seeds.
fn table(worlds: &[&str], seeds: RangeInclusive<u64>) {
    let count = seeds.clone().count() as f64;
    let runs = spread(&read_all(worlds), seeds, |scenario, seed| {
        let ours = Measured::of(scenario, seed, LONGEST);
        let mut all: Vec<Figures> = Rule::ALL
            .iter()
            .map(|rule| rule.play(scenario, seed))
            .collect();
        all.push(ours.ours);
        all.push(ours.oracle);
        all
    });
    let mut names: Vec<&str> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
    names.extend(["proxywheel", "oracle"]);
    for (title, value) in COLUMNS {
        println!("\n| {title} | {} |", worlds.join(" | "));
        println!("|---|{}", "---|".repeat(worlds.len()));
        for (row, name) in names.iter().enumerate() {
            print!("| {name} |");
            for world in 0..worlds.len() {
                let of = runs.iter().filter(|(at, _)| *at == world);
                let sum: f64 = of
                    .map(|(_, all)| value(&all[row], all.last().expect("the oracle")))
                    .sum();
                print!(" {} |", short(sum / count));
            }
            println!();
        }
    }
}

/// Three digits or so.
fn short(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
