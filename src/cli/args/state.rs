//! Flags of `state` and the commands below it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::words::some_time;
use crate::config::Span;

/// Arguments of `state`.
#[derive(Args)]
pub struct StateArgs {
    /// What to do with the state.
    #[command(subcommand)]
    pub command: StateCommand,
}

/// The commands below `state`.
#[derive(Subcommand)]
pub enum StateCommand {
    /// Tell how much is remembered, how old it is, and of the last runs
    ///
    /// Example: proxywheel state show
    Show(StateShowArgs),
    /// List the best proxies with their scores
    ///
    /// A score is a cautious percentage chance of a valid answer, less for slow ones; what is known fades, so it falls with time.
    ///
    /// Example: proxywheel state top 50
    Top(StateTopArgs),
    /// Write everything to standard output, one JSON object a line
    ///
    /// Example: proxywheel state export > state.jsonl
    Export(StateFileArgs),
    /// Take over what another state has exported
    ///
    /// The later observation wins. Proxies with credentials are taken only into a state with nothing in it, because elsewhere they
    /// have other ids.
    ///
    /// Example: proxywheel state import state.jsonl
    Import(StateImportArgs),
    /// Forget a host, a proxy, a tracking job, or what is old
    ///
    /// Example: proxywheel state forget https://shop.example
    Forget(StateForgetArgs),
    /// Give back the room of what was forgotten
    ///
    /// Example: proxywheel state vacuum
    Vacuum(StateFileArgs),
}

/// Which state.
#[derive(Args)]
pub struct StateFileArgs {
    /// The file
    ///
    /// The default is what fetch would use: its setting `state`, else ~/.local/state/proxywheel/state.db.
    ///
    /// Example: --state crawl.db
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

/// Arguments of `state show`.
#[derive(Args)]
pub struct StateShowArgs {
    /// Which state.
    #[command(flatten)]
    pub file: StateFileArgs,

    /// Runs shown
    ///
    /// A whole number.
    ///
    /// Example: --runs 20
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub runs: usize,
}

/// Arguments of `state top`.
#[derive(Args)]
pub struct StateTopArgs {
    /// Which state.
    #[command(flatten)]
    pub file: StateFileArgs,

    /// Proxies shown
    #[arg(value_name = "N", default_value_t = 20)]
    pub most: usize,
}

/// Arguments of `state import`.
#[derive(Args)]
pub struct StateImportArgs {
    /// Which state.
    #[command(flatten)]
    pub file: StateFileArgs,

    /// The export, - for standard input
    #[arg(value_name = "FILE|-")]
    pub from: PathBuf,
}

/// Arguments of `state forget`.
#[derive(Args)]
pub struct StateForgetArgs {
    /// Which state.
    #[command(flatten)]
    pub file: StateFileArgs,

    /// A host, or a proxy as rows and `state top` name it
    ///
    /// A host with or without its scheme; a proxy by its label (scheme://host:port#k, also without #k, and host:port alone) or its
    /// id.
    #[arg(value_name = "WHAT", required_unless_present_any = ["older_than", "job"])]
    pub what: Vec<String>,

    /// Forget the history of this tracking job
    ///
    /// Alerts that have not arrived go with it. With --older-than only what was observed longer ago, and of each series not the last
    /// good observation, which later ones are compared with. None by default.
    ///
    /// Example: --job serp --older-than 365d
    #[arg(long, value_name = "NAME", conflicts_with = "what")]
    pub job: Option<String>,

    /// Forget everything observed of proxies and hosts longer ago
    ///
    /// With --job what the job has observed, and nothing else. Seconds, or a number with a unit. No default.
    ///
    /// Example: --older-than 168h
    #[arg(long, value_name = "AGE", value_parser = some_time)]
    pub older_than: Option<Span>,
}
