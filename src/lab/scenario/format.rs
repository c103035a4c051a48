//! A scenario as it is written: plain data, one field per key. [`Scenario::parse`] is the way in.

use std::num::NonZeroU32;

use serde::Deserialize;

use super::expect::Expect;
use super::quantity::{Positive, Seconds, Share};

/// A job, the proxies it is to be done through, and the sites it asks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// One line for tables.
    pub title: String,
    /// URLs to fetch; they go round the hosts.
    pub urls: NonZeroU32,
    /// Members of the list.
    pub proxies: NonZeroU32,
    /// Requests in flight in all (`-j`).
    pub concurrency: NonZeroU32,
    /// Requests in flight through one proxy at most.
    #[serde(default = "four")]
    pub proxy_concurrency: NonZeroU32,
    /// Sockets of the probe lane; absent for what the program does by itself.
    pub probe_concurrency: Option<NonZeroU32>,
    /// What a page weighs, kB: the bill is made of it.
    #[serde(default)]
    pub page_kb: f64,
    /// Sorts of proxies; their shares add up to 1.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
    /// The sites; none is one site that answers everybody.
    #[serde(default, rename = "host")]
    pub hosts: Vec<Host>,
    /// Times at which this machine has no network.
    #[serde(default, rename = "network-outage")]
    pub network_outages: Vec<Span>,
    /// What the run has to come to.
    #[serde(default)]
    pub expect: Expect,
}

/// Proxies of one sort.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Group {
    /// For people.
    pub name: String,
    /// Part of the list.
    pub share: Share,
    /// What they do when they are asked.
    #[serde(default)]
    pub behaves: Behaviour,
    /// Time from the connect to the end of the answer.
    #[serde(default)]
    pub answer: Spread,
    /// Time of the connect.
    #[serde(default)]
    pub connect: Connect,
    /// Part of the requests that end with a reset.
    #[serde(default = "two_percent")]
    pub resets: Share,
    /// Answers that take much longer now and then.
    pub tail: Option<Tail>,
    /// Lives and dies; dead ones refuse (even numbers) or are black holes (odd ones).
    pub churn: Option<Churn>,
    /// Requests at once beyond which answers take longer in proportion; each proxy has its own within these.
    pub capacity: Option<Capacity>,
    /// Mean time after which a proxy's answers take another time altogether.
    pub redraw_s: Option<Positive>,
    /// For tampering ones: part of the fakes that a validator can tell.
    #[serde(default = "nine_tenths")]
    pub noticed: Share,
    /// What it costs.
    #[serde(default)]
    pub price: Price,
}

/// What a proxy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// Fetches what it is asked for.
    #[default]
    Serves,
    /// Refuses connections.
    Refuses,
    /// Connects never complete.
    BlackHole,
    /// Connects, then answers 502 after 0.3 s (even numbers) or never (odd ones).
    Useless,
    /// Answers with a page of its own.
    Tampers,
}

/// A lognormal time. Each proxy has its own median, drawn around `median_s`; each answer is drawn around that.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Spread {
    /// Median of the proxies' medians.
    pub median_s: Seconds,
    /// Sigma of the proxies' medians.
    pub between: f64,
    /// Sigma of one proxy's answers.
    pub within: f64,
    /// No proxy's median is below this.
    pub least_s: Seconds,
}

impl Default for Spread {
    fn default() -> Self {
        Spread {
            median_s: seconds(0.8),
            between: 0.6,
            within: 0.4,
            least_s: seconds(0.15),
        }
    }
}

/// Times of connects, as [`Spread`].
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Connect {
    /// Median of the proxies' medians.
    pub median_s: Seconds,
    /// Sigma of the proxies' medians.
    pub between: f64,
    /// Sigma of one proxy's connects.
    pub within: f64,
    /// Part of the connects that lose their SYN and take a second longer.
    pub lost_syn: Share,
}

impl Default for Connect {
    fn default() -> Self {
        Connect {
            median_s: seconds(0.12),
            between: 0.5,
            within: 0.2,
            lost_syn: share(0.01),
        }
    }
}

/// Now and then an answer takes longer.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tail {
    /// Part of the answers.
    pub share: Share,
    /// By so much.
    pub adds_s: Seconds,
}

/// Exponential times up and down; how many are up at first is what these make of it in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Churn {
    /// Mean time up.
    pub up_s: Positive,
    /// Mean time down.
    pub down_s: Positive,
}

/// Requests at once that a proxy bears, evenly spread.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Capacity {
    /// The least.
    pub from: Positive,
    /// The most.
    pub to: Positive,
}

/// What is paid for requests that were sent and bytes that came back.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Price {
    /// Per request that left, in any currency.
    pub per_request: f64,
    /// Per 1,000,000 kB.
    pub per_gb: f64,
}

/// One site.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Host {
    /// Bans a proxy that asks too often.
    pub ban: Option<BanRule>,
    /// Part of the proxies that are banned from the start and for good.
    pub banned: Share,
    /// Answers 429 with Retry-After beyond this, for all proxies together.
    pub limit: Option<Limit>,
    /// Times at which it is down: half of the requests get 502 at once, half 504 after ten seconds.
    #[serde(rename = "outage")]
    pub outages: Vec<Span>,
}

/// When a host bans a proxy, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BanRule {
    /// Requests of one proxy in any window of this length that are answered; the next one is the ban.
    pub requests: NonZeroU32,
    /// Length of the sliding window.
    pub window_s: Positive,
    /// Length of the ban; requests meanwhile neither prolong it nor count.
    pub lasts_s: Positive,
}

/// Requests of everybody together, in a bucket that holds those of one second.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limit {
    /// Requests a second.
    pub per_second: Positive,
    /// What the refusals ask to wait.
    pub retry_after_s: Seconds,
    /// The first refusal closes the host to everybody for so long.
    #[serde(default)]
    pub closes_s: Seconds,
}

/// From a time to another, both since the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "SpanText")]
pub struct Span {
    /// First moment of it.
    pub from_s: f64,
    /// First moment after it.
    pub to_s: f64,
}

impl Span {
    pub(super) fn holds(&self, now_s: f64) -> bool {
        (self.from_s..self.to_s).contains(&now_s)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SpanText {
    from_s: Seconds,
    to_s: Seconds,
}

impl TryFrom<SpanText> for Span {
    type Error = String;

    fn try_from(text: SpanText) -> Result<Self, String> {
        let (from_s, to_s) = (text.from_s.get(), text.to_s.get());
        if from_s < to_s {
            Ok(Span { from_s, to_s })
        } else {
            Err(format!("from-s = {from_s} is not before to-s = {to_s}"))
        }
    }
}

fn four() -> NonZeroU32 {
    const { NonZeroU32::new(4).expect("not zero") }
}

fn two_percent() -> Share {
    share(0.02)
}

fn nine_tenths() -> Share {
    share(0.9)
}

fn share(ratio: f64) -> Share {
    Share::try_from(ratio).expect("a constant between 0 and 1")
}

fn seconds(seconds: f64) -> Seconds {
    Seconds::try_from(seconds).expect("a constant above 0")
}
