//! What a run may use, and what the use of proxies costs.

use clap::Args;

use super::words::{some_size, some_time};
use crate::engine::Caps;
use crate::proxy::PriceRule;
use crate::units::{Money, Size, Span};

/// `--deadline --max-requests --max-bytes --max-cost --price`.
///
/// A cap that is reached ends the run cleanly with exit code 7.
#[derive(Args)]
pub struct BudgetArgs {
    /// Start nothing more after this time
    ///
    /// From the beginning of the run: seconds, or a number with a unit. What is under way then has ten seconds to finish. The exit
    /// code is 7; URLs that were not tried have no row, and --resume goes on with them. No limit by default.
    ///
    /// Example: --deadline 30m
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub deadline: Option<Span>,

    /// Requests sent in all
    ///
    /// Attempts, redirects that are followed, and probes of which something is sent; a connection alone is none. Ends the run like
    /// --deadline. No limit by default.
    ///
    /// Example: --max-requests 5000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_requests: Option<u64>,

    /// Bytes to and from proxies in all
    ///
    /// What a provider counts: both ways, handshakes and TLS included. What is under way is reckoned with beforehand. Ends the run
    /// like --deadline. No limit by default.
    ///
    /// Example: --max-bytes 200M
    #[arg(long, value_name = "SIZE", value_parser = some_size)]
    pub max_bytes: Option<Size>,

    /// Money spent on proxies in all
    ///
    /// In the currency of the prices, which come from cost= labels of the list and from --price. Ends the run like --deadline. No
    /// limit by default.
    ///
    /// Example: --max-cost 1.00
    #[arg(long, value_name = "MONEY")]
    pub max_cost: Option<Money>,

    /// What proxies cost that have no cost= label
    ///
    /// A price is 3.5/GB, 0.002/request or both with + between. tag:NAME= and tier:N= before it are for some proxies only; a tag
    /// goes before a tier, a tier before all. May be repeated. None by default.
    ///
    /// Example: --price 4/GB --price tag:resi=3.5/GB
    #[arg(long, value_name = "[tag:NAME=|tier:N=]PRICE")]
    pub price: Vec<PriceRule>,
}

impl BudgetArgs {
    /// The caps among them.
    pub fn caps(&self) -> Caps {
        Caps {
            deadline: self.deadline.map(|span| span.0),
            requests: self.max_requests,
            bytes: self.max_bytes.map(|size| size.0),
            cost: self.max_cost.map(|money| money.0),
        }
    }
}
