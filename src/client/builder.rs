//! What a client is made of.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::{Client, Settings};
use crate::ban::Judge;
use crate::egress::SocketEgress;
use crate::error::{Error, Problem};
use crate::job::RequestSpec;
use crate::limit;
use crate::proxy::parse::parse_proxy_url;
use crate::proxy::{Proxy, Scheme};

/// Collects proxies and settings; see [`Client::builder`].
#[derive(Debug, Default)]
pub struct Builder {
    proxies: Vec<Arc<Proxy>>,
    settings: Settings,
    request: RequestSpec,
}

impl Builder {
    /// Adds one proxy by URL, as curl's `-x`: without a scheme it is `http`. Templates expand to several.
    ///
    /// # Errors
    /// The text is not a proxy.
    pub fn proxy(mut self, url: &str) -> Result<Self, Error> {
        let env = |name: &str| std::env::var(name).ok();
        let parsed = parse_proxy_url(url, Scheme::Http, &env)?;
        self.proxies.extend(parsed.into_iter().map(Arc::new));
        Ok(self)
    }

    /// Adds a parsed list.
    #[must_use]
    pub fn proxies(mut self, list: impl IntoIterator<Item = Arc<Proxy>>) -> Self {
        self.proxies.extend(list);
        self
    }

    /// Replaces all settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Requests in flight in all.
    #[must_use]
    pub fn concurrency(mut self, most: NonZeroU32) -> Self {
        self.settings.limits.concurrency = most;
        self
    }

    /// Requests to one host, such as `"10/s".parse()?`.
    #[must_use]
    pub fn host_rate(mut self, rate: limit::Quota) -> Self {
        self.settings.limits.host_rate = Some(rate);
        self
    }

    /// Method, headers and body of jobs made from a bare URL.
    #[must_use]
    pub fn request(mut self, request: RequestSpec) -> Self {
        self.request = request;
        self
    }

    /// Checks everything that can be checked without a network.
    ///
    /// # Errors
    /// No proxy was given, a rule does not compile, or a certificate file cannot be used.
    pub fn build(self) -> Result<Client, Error> {
        if self.proxies.is_empty() {
            return Err(Error::NoProxy(
                Problem::new("the client has no proxy")
                    .hint("add one with Builder::proxy; \"direct\" stands for no proxy"),
            ));
        }
        let judge = Arc::new(Judge::new(&self.settings.ban)?);
        // Constructed here for its errors; each run has its own, so that runs share no connections.
        SocketEgress::new(self.settings.egress.clone())?;
        Ok(Client {
            proxies: self.proxies.into(),
            judge,
            settings: Arc::new(self.settings),
            request: Arc::new(self.request),
            keeping: None,
            events: None,
            single: Arc::default(),
        })
    }
}
