//! What is fetched, through which proxies, and what every body has to be.

use std::net::SocketAddr;

use bytes::Bytes;
use proxywheel::lab::Origin;

/// Fetches in flight, as `-j 64`.
pub(crate) const WORKERS: usize = 64;

/// Site behind the proxies; the lab answers in its place.
pub(crate) const SITE: &str = "bench.test";

/// One measured job of the bare loop.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) proxies: Vec<SocketAddr>,
    pub(crate) urls: u64,
    pub(crate) size: usize,
    /// Consecutive fetches through one proxy before the next one has its turn.
    pub(crate) fetches_per_turn: u32,
    /// Fetches of one connection before it is closed.
    pub(crate) fetches_per_connection: u32,
    /// The lab's authority: https through CONNECT.
    pub(crate) ca: Option<String>,
}

/// `Host` of the site.
pub(crate) fn host(https: bool) -> &'static str {
    if https { "bench.test:443" } else { SITE }
}

/// Path with query of page `n`.
pub(crate) fn path(n: u64, size: usize) -> String {
    format!("/page/{n}?size={size}")
}

/// The body that page has to have.
pub(crate) fn expected_body(path: &str) -> Bytes {
    Origin::expected_body(SITE, path)
}
