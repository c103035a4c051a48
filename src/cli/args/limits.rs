//! Choice of proxies, rates, concurrency, spacing.

use std::num::NonZeroU32;

use clap::Args;

use super::words::{ON_NO_PROXY, STRATEGIES, fraction, some, sticky, words};
use crate::config::Span;
use crate::engine::Sticky;
use crate::limit::{Quota, Settings};
use crate::pool::{OnNoProxy, Strategy};

/// `--rotate --on-no-proxy --sticky`.
#[derive(Args)]
pub struct RotationArgs {
    /// How a proxy is chosen for each attempt
    ///
    /// Among the proxies that are ready and allowed by the limits. A retry avoids proxies, subnets and credentials already
    /// tried for its URL.
    #[arg(long, value_name = "HOW", default_value = "best", value_parser = words(&STRATEGIES))]
    pub rotate: Strategy,

    /// What to do when no proxy is usable
    ///
    /// Targets are never fetched without a proxy.
    #[arg(long, value_name = "WHAT", default_value = "stop", value_parser = words(&ON_NO_PROXY))]
    pub on_no_proxy: OnNoProxy,

    /// What keeps URLs on one proxy and cookie jar
    ///
    /// none, host (one proxy per site) or tag:NAME (one per value of the input field NAME: a column of a CSV, spelt as in its
    /// header, or a key of "tag" in JSONL).
    ///
    /// Example: --sticky tag:account
    #[arg(long, value_name = "none|host|tag:NAME", default_value = "none", value_parser = sticky)]
    pub sticky: Sticky,
}

/// `-j --rate --host-rate --host-concurrency --proxy-rate --proxy-concurrency --pair-rate --delay --jitter`.
///
/// All of them hold together, for retries too.
#[derive(Args)]
pub struct LimitArgs {
    /// Requests in flight in all
    ///
    /// A whole number, 1 or more. curl's name --parallel-max works too.
    ///
    /// Example: -j 200
    #[arg(short = 'j', long, alias = "parallel-max", value_name = "N", default_value_t = Settings::default().concurrency, value_parser = some)]
    pub concurrency: NonZeroU32,

    /// Requests in all, per time
    ///
    /// A count and a unit: s, m, h, d or so many seconds. No limit by default.
    ///
    /// Example: --rate 600/m
    #[arg(long, value_name = "N/TIME")]
    pub rate: Option<Quota>,

    /// Requests to one host, per time
    ///
    /// A host is scheme, name and port. No limit by default.
    ///
    /// Example: --host-rate 2/s
    #[arg(long, value_name = "N/TIME")]
    pub host_rate: Option<Quota>,

    /// Requests in flight to one host
    ///
    /// A whole number, 1 or more. By default only --concurrency limits it. curl's name
    /// --parallel-max-host works too.
    ///
    /// Example: --host-concurrency 4
    #[arg(long, alias = "parallel-max-host", value_name = "N", value_parser = some)]
    pub host_concurrency: Option<NonZeroU32>,

    /// Requests through one proxy, per time
    ///
    /// No limit by default.
    ///
    /// Example: --proxy-rate 30/m
    #[arg(long, value_name = "N/TIME")]
    pub proxy_rate: Option<Quota>,

    /// Requests in flight through one proxy; 8, or -j where exits rotate
    ///
    /// A whole number, 1 or more; 8 by default. A rotating endpoint (rotation=per_connection) has an exit for each request: as
    /// many as --concurrency go through it, unless this is given. A number that is given holds for connections as well: an idle
    /// one is closed before there are too many.
    ///
    /// Example: --proxy-concurrency 1
    #[arg(long, value_name = "N", value_parser = some)]
    pub proxy_concurrency: Option<NonZeroU32>,

    /// Sockets for probing proxies, beside --concurrency
    ///
    /// A whole number, 1 or more.
    ///
    /// Example: --probe-concurrency 500
    #[arg(long, value_name = "N", default_value = "128", value_parser = some)]
    pub probe_concurrency: NonZeroU32,

    /// Requests to one host through one proxy, per time
    ///
    /// What one visitor of a site would be seen to do. No limit by default.
    ///
    /// Example: --pair-rate 10/m
    #[arg(long, value_name = "N/TIME")]
    pub pair_rate: Option<Quota>,

    /// Least time between two requests to one host
    ///
    /// Seconds, or a number with a unit.
    ///
    /// Example: --delay 1.5s
    #[arg(long, value_name = "TIME", default_value_t = Span(Settings::default().delay))]
    pub delay: Span,

    /// Random part added to --delay
    ///
    /// A fraction of it, 0 to 1.
    ///
    /// Example: --jitter 0.2
    #[arg(long, value_name = "FRACTION", default_value_t = Settings::default().jitter, value_parser = fraction)]
    pub jitter: f64,
}
