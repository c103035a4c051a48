//! Flags of `explain`.

use std::path::PathBuf;

use clap::Args;

use super::StateFileArgs;

/// Arguments of `explain`.
#[derive(Args)]
pub struct ExplainArgs {
    /// A URL or id of a row, a proxy, or a host
    ///
    /// A proxy by its address, its label (scheme://host:port#k, also without #k, or #k alone), or whole with its credentials; a host
    /// with or without its scheme.
    #[arg(value_name = "URL|PROXY|HOST")]
    pub what: String,

    /// Results of a fetch, or its record, as JSONL: what happened in it
    ///
    /// The file of its -o. Needed for a URL; of a proxy or host it tells the last attempts beside what is remembered. Or the file of
    /// its --record, which knows no URLs and tells what attempts have changed. No default.
    ///
    /// Example: --from out.jsonl
    #[arg(long, short = 'i', value_name = "FILE")]
    pub from: Option<PathBuf>,

    /// Which state.
    #[command(flatten)]
    pub file: StateFileArgs,
}
