//! What a client is made of.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use super::{Client, Settings};
use crate::ban::Judge;
use crate::egress::SocketEgress;
use crate::error::{Error, Problem};
use crate::job::RequestSpec;
use crate::limit;
use crate::proxy::parse::parse_proxy_url;
use crate::proxy::{Proxy, Scheme};
use crate::units::LONGEST;

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

    /// Changes any of the settings, which are as every call before has left them:
    /// `builder.configure(|settings| settings.engine.follow = false)`.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
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
    /// - [`Error::NoProxy`]: no proxy was given.
    /// - [`Error::Usage`]: an address that no proxy can have, a setting out of its range, a rule that does not compile.
    /// - [`Error::Io`]: a certificate file cannot be used.
    ///
    /// A setting is named by its path, `limits.jitter`, or by the flag of the program that sets it: `--ban-regex` is
    /// `ban.ban_regex`, `--cacert` is `egress.cacert`.
    pub fn build(self) -> Result<Client, Error> {
        check(&self.proxies)?;
        in_range(&self.settings)?;
        let judge = Arc::new(Judge::new(&self.settings.ban)?);
        // Constructed here for its errors; each run has its own, so that runs share no connections.
        SocketEgress::new(self.settings.egress.clone())?;
        Ok(Client {
            proxies: Arc::new(Mutex::new(self.proxies.into())),
            judge,
            settings: Arc::new(self.settings),
            request: Arc::new(self.request),
            keeping: None,
            events: None,
            single: Arc::default(),
        })
    }
}

/// There is a proxy, and each has an address.
pub(super) fn check(proxies: &[Arc<Proxy>]) -> Result<(), Error> {
    if proxies.is_empty() {
        return Err(Error::NoProxy(
            Problem::new("the client has no proxy")
                .hint("add one with Builder::proxy; \"direct\" stands for no proxy"),
        ));
    }
    for proxy in proxies.iter().filter(|proxy| !proxy.is_direct()) {
        reachable(proxy)?;
    }
    Ok(())
}

/// Proxies made by hand may have any address; those of lists were read as addresses.
fn reachable(proxy: &Proxy) -> Result<(), Problem> {
    let host = proxy.host();
    let is_odd = |c: char| c.is_control() || c.is_whitespace() || "/\\?#@[]".contains(c);
    let why = if host.is_empty() {
        "it has no host"
    } else if host.contains(is_odd) {
        "its host is no name and no address"
    } else if proxy.port() == 0 {
        "its port is 0"
    } else {
        return Ok(());
    };
    // Not by its URL: what stands in the host is unknown.
    Err(Problem::new(format!("a proxy cannot be reached: {why}")).at(format!("{host:?}")))
}

/// Beyond these ranges a run would never send anything, or reckon beyond what an instant can hold.
fn in_range(settings: &Settings) -> Result<(), Problem> {
    let Settings {
        limits,
        retry,
        pool,
        engine,
        ..
    } = settings;
    let caps = &engine.caps;
    let times = [
        ("engine.max_time", Some(engine.max_time)),
        ("engine.drain_grace", Some(engine.drain_grace)),
        ("engine.caps.deadline", caps.deadline),
        ("limits.delay", Some(limits.delay)),
        ("retry.max_time", retry.max_time),
        ("pool.connect_timeout", Some(pool.connect_timeout)),
    ];
    for (name, time) in times {
        if time.is_some_and(|time| time > LONGEST) {
            return Err(Problem::new("longer than ten years").at(name));
        }
    }
    let numbers = [
        (
            "limits.jitter",
            (0.0..=1.0).contains(&limits.jitter),
            "not between 0 and 1",
        ),
        (
            "engine.probe_concurrency",
            engine.probe_concurrency > 0,
            "no proxy could be tried with 0",
        ),
        (
            "engine.caps.requests",
            caps.requests != Some(0),
            "nothing could be sent with 0",
        ),
        (
            "engine.caps.bytes",
            caps.bytes != Some(0),
            "nothing could be sent with 0",
        ),
        (
            "engine.caps.cost",
            caps.cost.is_none_or(|most| most > 0.0),
            "not above 0",
        ),
    ];
    for (name, is_good, why) in numbers {
        if !is_good {
            return Err(Problem::new(why).at(name));
        }
    }
    Ok(())
}
