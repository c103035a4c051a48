//! Checking a list: which proxies work, how well, and what they do to a request.
//!
//! Every proxy goes through a funnel ([`run`]): a request to a judge (TCP connect and handshake are its first steps, so a dead one
//! costs one connect), by plain http and through a tunnel; whoever passes is looked at again, on new connections, and asked for a
//! page that both sides can make. What comes back is a [`Report`] with a [`Verdict`].
//!
//! A judge is an endpoint that says what it saw of a request and signs it (`crate::echo`). It is asked on the direct path as well:
//! that tells its key, our own address, and whether a failure is its own. While the judges are down nobody is blamed.
//!
//! # What it does not do
//! The order in which proxies were listed says nothing about the order of reports. No score is kept here between runs.

mod anonymity;
mod change;
mod crowd;
mod dns;
mod examine;
mod findings;
mod geo;
mod headers;
mod judges;
mod look;
mod measure;
mod nonce;
mod report;
mod run;
mod tamper;
mod verdict;

pub use anonymity::{Anonymity, level, shows};
pub use change::{Change, Known};
pub use dns::Dns;
pub use geo::{Asn, Geo, Place};
pub use headers::{Changed, Rewrites};
pub use judges::judge_page;
pub use measure::{Spread, score, wilson};
pub use nonce::Nonces;
pub use report::{Report, Target, Times};
pub use run::{Plan, Progress, Summary, run};
pub use tamper::Tampering;
pub use verdict::{Trouble, Verdict};

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use url::Url;

use crate::job::ENCODINGS;

/// Settings of a check.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// URLs of judges, http and https.
    pub judges: Vec<Url>,
    /// The user's own URLs, fetched through every proxy that works; without judges through every proxy.
    pub urls: Vec<Url>,
    /// Judges are also asked directly.
    pub control: bool,
    /// Requests through a proxy that has passed once.
    pub samples: u32,
    /// A domain of which every name leads to one of the plain judges: names made up below it are asked for through every proxy
    /// that works.
    pub dns_domain: Option<String>,
    /// Proxies at a time.
    pub concurrency: usize,
    /// Limit for TCP connect; the handshake has the same again.
    pub connect_timeout: Duration,
    /// Limit of one request as a whole.
    pub max_time: Duration,
    /// Try other protocols than the listed one.
    pub detect: bool,
    /// Headers of every request.
    pub headers: HeaderMap,
    /// Seed of the order and of the nonces; `None` takes one from the system.
    pub seed: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        // What a plain client sends, so that a proxy has something to take away.
        let headers = [
            (
                header::USER_AGENT,
                concat!("proxywheel/", env!("CARGO_PKG_VERSION")),
            ),
            (header::ACCEPT, "*/*"),
            (header::ACCEPT_ENCODING, ENCODINGS),
        ];
        Settings {
            judges: Vec::new(),
            urls: Vec::new(),
            control: true,
            samples: 3,
            dns_domain: None,
            concurrency: 512,
            connect_timeout: Duration::from_secs(3),
            max_time: Duration::from_secs(10),
            detect: false,
            headers: headers
                .into_iter()
                .map(|(name, value)| (name, HeaderValue::from_static(value)))
                .collect(),
            seed: None,
        }
    }
}
