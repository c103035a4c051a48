//! Flags of `lab` and the commands below it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Progress;
use super::words::{PROGRESS, STRATEGIES, words};
use crate::pool::Strategy;

/// Arguments of `lab`.
#[derive(Args)]
pub struct LabArgs {
    /// What to do with the scenario.
    #[command(subcommand)]
    pub command: LabCommand,
}

/// The commands below `lab`.
#[derive(Subcommand)]
pub enum LabCommand {
    /// Fetch the URLs of a scenario and compare with one who knows the truth
    ///
    /// The scenario's proxies and sites run inside this process, on loopback and in real time; they are fetched from as `fetch`
    /// would, with its flags after --. What it took stands beside what an oracle needs that knows every proxy. Concurrency
    /// and limits of the scenario hold unless a flag says otherwise; records are dropped unless there is an -o.
    ///
    /// Example: proxywheel lab run tests/scenarios/wd.toml -- --retry 5 -o rehearsal.jsonl
    Run(LabRunArgs),
    /// Leave a scenario's proxies and sites running, for any client
    ///
    /// Writes the proxy list to standard output and serves until Ctrl-C or SIGTERM, then tells what was asked. The sites are
    /// http://h0.test/ and so on, only through the proxies.
    ///
    /// Example: proxywheel lab serve tests/scenarios/w1.toml > proxies.txt
    Serve(ScenarioArgs),
    /// Play a recorded run with other strategies, in a model of what it has seen
    ///
    /// The record is what fetch --record has written. Of each proxy and each site that it tells of, a model is made, and the program
    /// plays the URLs of the run through it on a clock of its own, which takes seconds. Prints time, attempts and waste (attempts
    /// that brought no page) beside those of the run. What no proxy was asked for is not known, and the output says how much of
    /// the list that is.
    ///
    /// Example: proxywheel lab replay run.jsonl --rotate random --rotate round-robin
    Replay(LabReplayArgs),
}

/// Which scenario, and which of its worlds.
#[derive(Args)]
pub struct ScenarioArgs {
    /// File of the scenario
    ///
    /// TOML; the format stands in the documentation of the library's module `lab::scenario`.
    #[arg(value_name = "SCENARIO")]
    pub scenario: PathBuf,

    /// Seed of the world: which proxy is what, and when
    ///
    /// A whole number.
    ///
    /// Example: --seed 7
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// Arguments of `lab replay`.
#[derive(Args)]
pub struct LabReplayArgs {
    /// Record of a run
    #[arg(value_name = "RECORD")]
    pub record: PathBuf,

    /// Strategies to play it with, as --rotate of fetch; may be repeated
    ///
    /// The recorded one is always played as well: it shows how near the model is to the run.
    ///
    /// Example: --rotate random
    #[arg(long, value_name = "HOW", value_parser = words(&STRATEGIES))]
    pub rotate: Vec<Strategy>,

    /// Seed of the model and of every choice
    ///
    /// A whole number.
    ///
    /// Example: --seed 7
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// Arguments of `lab run`.
#[derive(Args)]
pub struct LabRunArgs {
    /// Which scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,

    /// Progress on standard error
    ///
    /// `auto` is a bar when standard error is a terminal, else none.
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = words(&PROGRESS))]
    pub progress: Progress,

    /// Flags of fetch, after --
    ///
    /// All but those about inputs and proxies, which are the scenario's. None by default.
    ///
    /// Example: -- -j 100 --retry 5
    #[arg(last = true, value_name = "FETCH FLAGS")]
    pub fetch: Vec<OsString>,
}
