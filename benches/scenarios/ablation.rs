//! What each mechanism is worth: every scenario with each of them left out in turn.

use std::ops::RangeInclusive;

use proxywheel::pool::Mechanism;

use super::measure::Measured;
use super::measure::run::How;
use super::{per_success, short, spread};

/// Runs are cut after so many times the oracle's time; what they have not fetched by then is lost.
const LONGEST: u32 = 4;
/// Differences below these are not shown: of the makespan, of requests per success, of refusals per 1,000 successes.
const LEAST: [f64; 3] = [0.02, 0.01, 3.0];

const TITLES: [&str; 3] = [
    "makespan / oracle without it",
    "requests per success without it",
    "refused by hosts per 1,000 successes without it",
];

/// Tables in Markdown of what differs; means over the seeds.
pub(crate) fn table(worlds: &[&str], seeds: RangeInclusive<u64>) {
    let count = seeds.clone().count() as f64;
    let all: Vec<Option<Mechanism>> = [None].into_iter().chain(Mechanism::ALL.map(Some)).collect();
    let runs = spread(&super::read_all(worlds), seeds, |scenario, seed| {
        let figures = all.iter().map(|without| {
            let how = How {
                without: *without,
                ..How::default()
            };
            let run = Measured::with(scenario, seed, LONGEST, how);
            let (ours, oracle) = (&run.ours, &run.oracle);
            let ratio = ours.makespan.as_secs_f64() / oracle.makespan.as_secs_f64();
            let requests = per_success(ours, ours.tally.requests);
            [
                ratio,
                requests,
                1000.0 * per_success(ours, ours.tally.blocked),
            ]
        });
        figures.collect::<Vec<_>>()
    });
    let mean = |world: usize, row: usize, figure: usize| {
        let of = runs.iter().filter(|(at, _)| *at == world);
        of.map(|(_, figures)| figures[row][figure]).sum::<f64>() / count
    };
    for (figure, title) in TITLES.iter().enumerate() {
        println!("\n| {title} | {} |", worlds.join(" | "));
        println!("|---|{}", "---|".repeat(worlds.len()));
        for (row, without) in all.iter().enumerate() {
            print!(
                "| {} |",
                without.map_or("nothing left out", Mechanism::as_str)
            );
            for world in 0..worlds.len() {
                let (whole, value) = (mean(world, 0, figure), mean(world, row, figure));
                if row == 0 || (value - whole).abs() >= LEAST[figure] {
                    print!(" {} |", short(value));
                } else {
                    print!(" |");
                }
            }
            println!();
        }
    }
}
