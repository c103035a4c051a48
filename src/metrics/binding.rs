//! The limit that binds, as people are told it.

use std::sync::Arc;
use std::time::Duration;

/// Whom a limit is about, and how long it lasts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wait {
    /// Hosts whose jobs wait for it; 0 for a limit that is not about hosts.
    pub hosts: u32,
    /// One of them.
    pub host: Option<Arc<str>>,
    /// How long it, or the first of the jobs, has to wait, if that is known.
    pub ends_in: Option<Duration>,
}

/// The limit that binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Binding {
    /// `-j`.
    Concurrency,
    /// `--rate`.
    Rate,
    /// `--host-rate`.
    HostRate,
    /// `--delay`, or the `Crawl-delay` of a site.
    Delay,
    /// `--host-concurrency`.
    HostConcurrency,
    /// `--proxy-rate`.
    ProxyRate,
    /// `--pair-rate`.
    PairRate,
    /// `--proxy-concurrency`, or what a proxy can bear.
    Proxies,
    /// A target asked to wait.
    RetryAfter,
    /// A target limits everybody together, and its rate was found out.
    HostPace,
    /// A target answers nobody, or has just begun to again.
    HostOut,
    /// The proxies that are ready have to rest from a target: it has banned them, or would.
    Rests,
    /// The jobs have tried every proxy that is ready.
    Tried,
    /// Jobs wait until they may be tried again.
    Retry,
    /// Jobs wait for the robots.txt of their site.
    Robots,
    /// Jobs wait for one of their session that goes alone, or for those before it.
    Session,
    /// No proxy is ready.
    NoProxy,
    /// This machine has no network.
    Uplink,
    /// The input is slower than the fetching.
    Input,
    /// The output is slower than the fetching.
    Output,
    /// What is under way may use up what a cap leaves.
    Caps,
}

impl Binding {
    /// In the order of their numbers.
    pub(crate) const ALL: [Binding; Binding::COUNT] = [
        Binding::Concurrency,
        Binding::Rate,
        Binding::HostRate,
        Binding::Delay,
        Binding::HostConcurrency,
        Binding::ProxyRate,
        Binding::PairRate,
        Binding::Proxies,
        Binding::RetryAfter,
        Binding::HostPace,
        Binding::HostOut,
        Binding::Rests,
        Binding::Tried,
        Binding::Retry,
        Binding::Robots,
        Binding::Session,
        Binding::NoProxy,
        Binding::Uplink,
        Binding::Input,
        Binding::Output,
        Binding::Caps,
    ];
    pub(crate) const COUNT: usize = Binding::Caps as usize + 1;

    /// For the progress line, which has to fit into 80 columns: a flag where there is one.
    pub fn as_str(self) -> &'static str {
        match self {
            Binding::Concurrency => "-j",
            Binding::Rate => "--rate",
            Binding::HostRate => "--host-rate",
            Binding::Delay => "--delay",
            Binding::HostConcurrency => "--host-concurrency",
            Binding::ProxyRate => "--proxy-rate",
            Binding::PairRate => "--pair-rate",
            Binding::Proxies => "proxies busy",
            Binding::RetryAfter => "asked to wait",
            Binding::HostPace => "the site's own rate",
            Binding::HostOut => "site down",
            Binding::Rests => "proxies rest",
            Binding::Tried => "proxies tried",
            Binding::Retry => "retries wait",
            Binding::Robots => "robots.txt",
            Binding::Session => "session order",
            Binding::NoProxy => "no proxy ready",
            Binding::Uplink => "no network",
            Binding::Input => "input",
            Binding::Output => "output",
            Binding::Caps => "caps (--max-...)",
        }
    }
}
