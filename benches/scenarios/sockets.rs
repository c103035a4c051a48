//! The scenarios over real sockets: `proxywheel lab run`, by the wall clock, beside the simulated run of the same world.

use std::ops::RangeInclusive;
use std::process::{Command, ExitCode};

use super::LONGEST;
use super::measure::{Measured, read};

/// What sockets may take, in times of the simulated run.
const MOST: f64 = 1.25;

/// One after the other, because they share the processors with the lab.
pub(crate) fn run(worlds: &[&str], seeds: RangeInclusive<u64>) -> ExitCode {
    let mut slow = false;
    println!("| world | seed | oracle | simulated | sockets | ratio |");
    println!("|---|---|---|---|---|---|");
    for name in worlds {
        for seed in seeds.clone() {
            let simulated = Measured::of(&read(name), seed, LONGEST);
            let seconds = simulated.ours.makespan.as_secs_f64();
            let Some(took) = rehearsed(name, seed) else {
                println!("{name}, seed {seed}: no figures");
                return ExitCode::FAILURE;
            };
            let ratio = took / seconds;
            slow |= ratio > MOST;
            let oracle = simulated.oracle.makespan.as_secs_f64();
            println!(
                "| {name} | {seed} | {oracle:.1} s | {seconds:.1} s | {took:.1} s | {ratio:.2} |"
            );
        }
    }
    if slow {
        println!("more than {MOST} times the simulated run");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Seconds of a rehearsal, from the comparison that it ends with.
fn rehearsed(name: &str, seed: u64) -> Option<f64> {
    let output = Command::new(env!("CARGO_BIN_EXE_proxywheel"))
        .args(["lab", "run", "--seed", &seed.to_string()])
        .arg(format!(
            "{}/tests/scenarios/{name}.toml",
            env!("CARGO_MANIFEST_DIR")
        ))
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.starts_with("time "))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
