//! What a verdict costs: an ordinary page, the pages of the corpus, and a naive loop over all rules beside them.
//!
//! One operation is [`Judge::classify`] of an answer after decompression. Method and bias: `benches/README.md`.
//!
//! Under `cargo test` a small version checks the answers and measures nothing.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../../tests/common/corpus.rs"]
mod corpus;
mod naive;
mod pages;

use std::alloc::System;
use std::hint::black_box;
use std::time::Instant;

use naive::Naive;
use pages::Page;
use proxywheel::ban::{Judge, Settings};
use proxywheel::outcome::Outcome;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

/// Counts; otherwise the system's.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Largest median of an ordinary page of 20 kB, microseconds.
const MOST_ORDINARY_US: f64 = 10.0;
/// Largest cost of all but one in a hundred pages of the corpus, microseconds.
const MOST_CORPUS_US: f64 = 60.0;
/// Largest median of the 8 kB page that `benches/engine` fetches, microseconds: a tenth of what the fetch costs there.
const MOST_FETCHED_US: f64 = 2.4;
/// Measured turns of each page; the median counts.
const TURNS: usize = 101;

fn main() {
    let full = std::env::args().any(|argument| argument == "--bench");
    let turns = if full { TURNS } else { 1 };
    let judge = Judge::new(&Settings::default()).expect("the built-in rules");
    let naive = Naive::new();
    let mut above = Vec::new();
    for (name, page, bound) in [
        (
            "ordinary, 20 kB, https",
            pages::ordinary(20_000, true),
            MOST_ORDINARY_US,
        ),
        (
            "ordinary, 20 kB, http",
            pages::ordinary(20_000, false),
            MOST_ORDINARY_US,
        ),
        (
            "ordinary, 4 kB, https",
            pages::ordinary(4_000, true),
            MOST_ORDINARY_US,
        ),
        (
            "ordinary, 4 kB, http",
            pages::ordinary(4_000, false),
            MOST_ORDINARY_US,
        ),
        (
            "as fetched in benches/engine, http",
            pages::fetched(false),
            MOST_FETCHED_US,
        ),
        (
            "as fetched in benches/engine, https",
            pages::fetched(true),
            MOST_FETCHED_US,
        ),
    ] {
        assert_eq!(
            judge.classify(&page.seen(), &page.exchange).outcome,
            Outcome::Ok,
            "{name}"
        );
        let region = Region::new(ALLOCATOR);
        let us = cost(turns, || {
            drop(black_box(judge.classify(&page.seen(), &page.exchange)))
        });
        assert_eq!(
            region.change().allocations,
            0,
            "{name}: an ordinary page allocates nothing"
        );
        let beside = cost(turns.min(5), || {
            black_box(naive.first(&page));
        });
        if full {
            println!("{name:<38} {us:8.2} µs; one regex after the other {beside:8.0} µs");
        }
        if full && us > bound {
            above.push(format!("{name}: {us:.2} µs, {bound} allowed"));
        }
    }
    match pages::corpus() {
        Some(corpus) => corpus_cost(&judge, &naive, &corpus, turns.min(21), full, &mut above),
        None => println!("classify: NO CORPUS: its pages were not measured"),
    }
    assert!(above.is_empty(), "above the bound: {}", above.join("; "));
    println!("classify: ordinary pages are content, and nothing was allocated for them");
}

fn corpus_cost(
    judge: &Judge,
    naive: &Naive,
    corpus: &[Page],
    turns: usize,
    full: bool,
    above: &mut Vec<String>,
) {
    let mut times = Vec::new();
    let mut beside = Vec::new();
    for page in corpus {
        let us = cost(turns, || {
            drop(black_box(judge.classify(&page.seen(), &page.exchange)))
        });
        times.push((us, &page.name));
        beside.push(cost(1, || {
            black_box(naive.first(page));
        }));
    }
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    beside.sort_by(f64::total_cmp);
    let at = |share: f64| ((times.len() - 1) as f64 * share) as usize;
    let (median, last) = (times[at(0.5)], times[at(0.99)]);
    if !full {
        return;
    }
    println!(
        "corpus, {} pages: median {:.2} µs, 99th percentile {:.1} µs ({}), worst {:.0} µs ({}); one regex after the other: median {:.0} µs, 99th percentile {:.0} µs",
        times.len(),
        median.0,
        last.0,
        last.1,
        times[at(1.0)].0,
        times[at(1.0)].1,
        beside[at(0.5)],
        beside[at(0.99)],
    );
    if last.0 > MOST_CORPUS_US {
        above.push(format!(
            "corpus: {:.1} µs at the 99th percentile, {MOST_CORPUS_US} allowed",
            last.0
        ));
    }
}

/// Microseconds of one call, the median of some turns.
fn cost(turns: usize, mut call: impl FnMut()) -> f64 {
    /// Long enough for the clock.
    const LEAST_NS: u128 = 20_000;
    call();
    #[expect(clippy::disallowed_methods, reason = "the benchmark's own clock")]
    let now = Instant::now;
    let begun = now();
    call();
    let calls = (LEAST_NS / begun.elapsed().as_nanos().max(50)).clamp(1, 500) as u32;
    let mut times: [f64; TURNS] = [0.0; TURNS];
    for time in &mut times[..turns] {
        let begun = now();
        for _ in 0..calls {
            call();
        }
        *time = begun.elapsed().as_nanos() as f64 / f64::from(calls) / 1000.0;
    }
    times[..turns].sort_by(f64::total_cmp);
    times[turns / 2]
}
