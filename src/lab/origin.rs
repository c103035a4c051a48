//! The lab's sites. Every host name ends up here, whether the proxy tasks answer for it themselves (`.test`) or a real
//! listener does.
//!
//! A host first applies its plan (bans, rate limit, errors), then answers by path. It does not know how its answer travels,
//! nor what the proxy on the way does to it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::answer::{Answer, Body};
use super::judge::{Judge, below_judge};
use super::pages;
use super::plan::{BanStyle, HostPlan};
use super::script::{Asked, Script};
use super::stats::{Hit, HitLog, HostCounters, HostStats, Window, dice};
use crate::echo::Key;

/// Hosts told apart; further names share one set of counters, so that a client cannot make the lab grow without end.
const MAX_HOSTS: usize = 100_000;
/// Pairs remembered for bans; beyond it the lab forgets all of them.
const MAX_PAIRS: usize = 1_000_000;

/// All sites of a lab.
#[derive(Debug)]
pub struct Origin {
    seed: u64,
    default_plan: HostPlan,
    hosts: RwLock<HashMap<Box<str>, Arc<Host>>>,
    pairs: Mutex<HashMap<(u32, Arc<str>), Pair>>,
    hits: HitLog,
    started: Instant,
    judge: Judge,
}

/// One site.
#[derive(Debug)]
pub(super) struct Host {
    name: Arc<str>,
    plan: RwLock<Arc<HostPlan>>,
    script: RwLock<Option<Script>>,
    counters: HostCounters,
    window: Mutex<Window>,
}

/// One (proxy, host).
#[derive(Debug, Default)]
struct Pair {
    window: Window,
    banned_until: Option<Instant>,
}

/// A request as a site sees it.
pub(super) struct Request<'a> {
    pub(super) at: Instant,
    pub(super) method: &'a str,
    /// Lower case, without port.
    pub(super) host: &'a str,
    /// Path with query.
    pub(super) path: &'a str,
    pub(super) https: bool,
    pub(super) http2: bool,
    pub(super) headers: &'a [(Cow<'a, str>, Cow<'a, str>)],
    pub(super) body: &'a [u8],
    pub(super) via: Via,
    pub(super) resumed: Option<Made>,
}

impl Request<'_> {
    /// The first header of this name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(each, _)| each.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }
}

/// Which way a request came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Via {
    /// `None` is a direct connection.
    pub(super) proxy: Option<u32>,
    /// The address the site sees.
    pub(super) exit: IpAddr,
    /// The proxy's own `ban-after`.
    pub(super) ban_after: Option<(u32, u64)>,
}

/// Where a TLS session that is resumed was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Made {
    /// Through which proxy; `None` is a direct connection.
    pub(super) proxy: Option<u32>,
    /// From which address, as the site saw it.
    pub(super) exit: IpAddr,
}

impl Made {
    pub(super) fn by(via: &Via) -> Self {
        Made {
            proxy: via.proxy,
            exit: via.exit,
        }
    }

    /// As it is carried in session tickets.
    pub(super) fn to_mark(self) -> Vec<u8> {
        let proxy = self.proxy.map(|number| number.to_string());
        format!("{} {}", proxy.unwrap_or_default(), self.exit).into_bytes()
    }

    /// Reads what [`Made::to_mark`] wrote.
    pub(super) fn of_mark(mark: &[u8]) -> Option<Self> {
        let (proxy, exit) = std::str::from_utf8(mark).ok()?.split_once(' ')?;
        Some(Made {
            proxy: proxy.parse().ok(),
            exit: exit.parse().ok()?,
        })
    }
}

/// Why a proxy cannot connect to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreachable {
    /// Connection refused.
    Down,
    /// No such name.
    Unknown,
}

impl Origin {
    /// The body of a page: what `http://host/path` (path with query, host without port) has to bring through any honest
    /// proxy. The paths that are pages are listed in the table of the lab's documentation.
    pub fn expected_body(host: &str, path: &str) -> Bytes {
        pages::page(host, path)
    }

    pub(super) fn new(
        seed: u64,
        default_plan: HostPlan,
        plans: impl IntoIterator<Item = (String, HostPlan)>,
        hit_capacity: usize,
        started: Instant,
    ) -> io::Result<Self> {
        let origin = Origin {
            seed,
            default_plan,
            hosts: RwLock::default(),
            pairs: Mutex::default(),
            hits: HitLog::new(hit_capacity),
            started,
            judge: Judge::new(Key::generate().map_err(|_| io::Error::other("no random numbers"))?),
        };
        for (name, plan) in plans {
            origin.set_plan(&name, plan);
        }
        Ok(origin)
    }

    pub(super) fn hits(&self) -> &HitLog {
        &self.hits
    }

    pub(super) fn set_plan(&self, name: &str, plan: HostPlan) {
        let host = self.host(&name.to_ascii_lowercase());
        *host.plan.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(plan);
    }

    pub(super) fn set_script(&self, name: &str, script: Script) {
        let host = self.host(&name.to_ascii_lowercase());
        *host.script.write().unwrap_or_else(PoisonError::into_inner) = Some(script);
    }

    pub(super) fn stats(&self) -> BTreeMap<String, HostStats> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        let named = hosts
            .values()
            .map(|host| (host.name.to_string(), host.counters.snapshot()));
        named.collect()
    }

    /// The host of this lower-case name.
    pub(super) fn host(&self, name: &str) -> Arc<Host> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(name) {
            return host.clone();
        }
        let full = hosts.len() >= MAX_HOSTS;
        drop(hosts);
        let name = if full { "*" } else { name };
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            Arc::new(Host {
                name: name.into(),
                plan: RwLock::new(Arc::new(self.default_plan.clone())),
                script: RwLock::default(),
                counters: HostCounters::default(),
                window: Mutex::default(),
            })
        };
        hosts.entry(name.into()).or_insert_with(make).clone()
    }

    /// Whether a proxy can connect to `host` now.
    pub(super) fn connect(&self, host: &Host, now: Instant) -> Result<(), Unreachable> {
        let plan = host.plan();
        let flapped = |flapping: super::plan::Flapping| flapping.is_down(now - self.started);
        if plan.unknown {
            Err(Unreachable::Unknown)
        } else if plan.down || plan.flapping.is_some_and(flapped) {
            host.counters.connections_refused.bump();
            Err(Unreachable::Down)
        } else {
            Ok(())
        }
    }

    /// What `host` answers.
    ///
    /// # Errors
    /// As [`pages::answer`].
    pub(super) async fn answer(&self, host: &Host, request: &Request<'_>) -> io::Result<Answer> {
        let count = host.counters.requests.bump();
        self.hits.record(|| hit(request));
        if let Some(refusal) = self.policy(host, request, count) {
            return Ok(refusal);
        }
        if let Some(shown) = host.scripted(request) {
            return Ok(shown);
        }
        match below_judge(request.path) {
            Some(path) => Ok(self.judge.answer(request, path)),
            None => pages::answer(request).await,
        }
    }

    /// Applies the plan of the host: an answer in place of the page, if it has one.
    fn policy(&self, host: &Host, request: &Request<'_>, count: u64) -> Option<Answer> {
        let plan = host.plan();
        // The page a banned client is sent to is there for everybody.
        if request.path == "/sorry" {
            return None;
        }
        if let Some((style, left)) = self.banned(host, &plan, request) {
            host.counters.banned.bump();
            return Some(refusal(style, left));
        }
        if let Some(quota) = plan.rate_limit {
            let window = Duration::from_millis(quota.window_ms);
            let excess = host
                .window
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .excess(request.at, quota.requests, window);
            if let Some(left) = excess {
                host.counters.rate_limited.bump();
                return Some(refusal(BanStyle::TooMany, left));
            }
        }
        if let Some(errors) = plan.errors {
            let roll = dice(self.seed, text_number(&host.name), count, 1) % 100;
            if roll < u64::from(errors.percent) {
                host.counters.errors.bump();
                return Some(pages::status_page(errors.status));
            }
        }
        None
    }

    /// How the proxy of this request is banned, and for how much longer.
    fn banned(
        &self,
        host: &Host,
        plan: &HostPlan,
        request: &Request<'_>,
    ) -> Option<(BanStyle, Duration)> {
        let proxy = request.via.proxy?;
        let concerned = plan.banned_below.is_none_or(|end| proxy < end);
        if plan.banned_percent > 0 && concerned {
            let roll = dice(self.seed, text_number(&host.name), u64::from(proxy), 2) % 100;
            if roll < u64::from(plan.banned_percent) {
                return Some((plan.banned_style, Duration::from_secs(3600)));
            }
        }
        let (requests, window_ms, lasts_ms, style) = match (request.via.ban_after, plan.ban) {
            (Some((requests, window_ms)), _) => {
                (requests, window_ms, window_ms, BanStyle::Forbidden)
            }
            (None, Some(rule)) => (rule.requests, rule.window_ms, rule.lasts_ms, rule.style),
            (None, None) => return None,
        };
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        if pairs.len() >= MAX_PAIRS {
            pairs.clear();
        }
        let pair = pairs.entry((proxy, host.name.clone())).or_default();
        if let Some(until) = pair.banned_until {
            if request.at < until {
                return Some((style, until - request.at));
            }
            *pair = Pair::default();
        }
        let window = Duration::from_millis(window_ms);
        pair.window.excess(request.at, requests, window)?;
        let lasts = Duration::from_millis(lasts_ms);
        pair.banned_until = Some(request.at + lasts);
        Some((style, lasts))
    }
}

impl Host {
    /// What the script of this host shows.
    fn scripted(&self, request: &Request<'_>) -> Option<Answer> {
        let script = self
            .script
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        Some(script.ask(&Asked::of(request))?.answer())
    }

    fn plan(&self) -> Arc<HostPlan> {
        self.plan
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The answer to a banned or rate-limited client; `left` is when it may come again.
fn refusal(style: BanStyle, left: Duration) -> Answer {
    match style {
        BanStyle::Forbidden => Answer::html(
            403,
            "<!doctype html>\n<html><head><title>Access denied</title></head><body>\n\
             <p>Your IP address has been blocked.</p></body></html>\n",
        ),
        BanStyle::TooMany => {
            let seconds = left.as_millis().div_ceil(1000);
            pages::status_page(429).header("Retry-After", seconds.to_string())
        }
        BanStyle::Captcha => pages::captcha(200),
        BanStyle::Sorry => pages::redirect(302, "/sorry".into()),
        BanStyle::Empty => Answer::html(200, Bytes::new()),
        BanStyle::Reset => Answer::silent(Body::Reset),
    }
}

fn hit(request: &Request<'_>) -> Hit {
    let header = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| {
        (
            name.to_string(),
            value.chars().take(Hit::MAX_VALUE_CHARS).collect(),
        )
    };
    Hit {
        at: request.at,
        proxy: request.via.proxy,
        peer: request.via.exit,
        host: request.host.to_owned(),
        https: request.https,
        http2: request.http2,
        method: request.method.to_owned(),
        path: request.path.to_owned(),
        headers: request
            .headers
            .iter()
            .take(Hit::MAX_HEADERS)
            .map(header)
            .collect(),
        body_bytes: request.body.len() as u64,
        resumed_from: request.resumed.map(|made| made.proxy),
    }
}

/// A number that depends on the text only (FNV-1a), the same in every build.
fn text_number(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
