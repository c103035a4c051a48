//! Cookie jars, one for each (proxy identity, session, site).
//!
//! A cookie is how a target recognises a client, so a jar belongs to one proxy and one session like a connection does. Within
//! them jars are split by site (the last two labels of the host): a cookie cannot cross that border, and a lookup never walks the
//! cookies of other sites. What may be sent where is the library's business; a cookie for a whole top-level domain is refused
//! here, but there is no public suffix list, so `co.uk` counts as a site.
//!
//! Without cookies there is no cost: no jar, no lookup.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use cookie_store::{Cookie, CookieDomain, CookieStore, StoreAction};
use http::{HeaderMap, HeaderValue, header};
use url::{Host, Url};

use crate::error::{Error, Problem};
use crate::proxy::ProxyId;
use crate::secret::Secret;

/// Jars kept; the oldest goes first. 10,000 proxies with five sites each.
const JARS_MAX: usize = 50_000;
/// Cookies of all jars together, in bytes.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Cookies of one jar (RFC 6265 asks for 50 a domain); the oldest goes first.
const COOKIES_MAX: usize = 64;
/// Longest cookie taken (RFC 6265 asks for 4096 bytes).
const COOKIE_BYTES_MAX: usize = 4096;

/// One `-b` of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CookieSource {
    /// `name=value; name=value`, sent with every request to the host that was asked for, not to where it redirects.
    Literal(Secret),
    /// A file in Netscape's format (curl's cookie jar). Every jar starts with its cookies.
    File(PathBuf),
}

impl CookieSource {
    /// Reads the flag as curl does: with `=` it is cookies, without it is a file.
    pub fn from_flag(text: &str) -> Self {
        if text.contains('=') {
            CookieSource::Literal(Secret::new(text))
        } else {
            CookieSource::File(text.into())
        }
    }
}

/// All jars of a run.
pub(super) struct Cookies {
    /// The literal cookies, joined.
    literal: Option<String>,
    /// Cookies of files, by site. Every jar of the site starts as a copy.
    seeds: HashMap<Box<str>, CookieStore>,
    /// Mirrors the number of jars, so that runs without cookies never take the lock.
    count: AtomicUsize,
    jars: Mutex<Jars>,
}

#[derive(Default)]
struct Jars {
    by_key: HashMap<JarKey, Jar>,
    /// Oldest first.
    order: VecDeque<JarKey>,
    bytes: usize,
}

/// Who a jar belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct JarKey {
    proxy: ProxyId,
    session: Option<Arc<str>>,
    site: Box<str>,
}

#[derive(Default)]
struct Jar {
    store: CookieStore,
    /// Each cookie taken in, oldest first.
    order: VecDeque<Taken>,
    bytes: usize,
}

/// Where a cookie is in its store, and what it counts for.
struct Taken {
    domain: String,
    path: String,
    name: String,
    bytes: usize,
}

impl Cookies {
    /// # Errors
    /// A file that cannot be read, or a line of it that is no cookie.
    pub(super) fn new(sources: &[CookieSource]) -> Result<Self, Error> {
        let mut literal = String::new();
        let mut seeds = HashMap::new();
        for source in sources {
            match source {
                CookieSource::Literal(cookies) => {
                    let cookies = cookies.expose().trim().trim_end_matches(';');
                    if HeaderValue::from_str(cookies).is_err() {
                        return Err(Problem::new("cookies hold a control character")
                            .at("--cookie")
                            .into());
                    }
                    join(&mut literal, cookies);
                }
                CookieSource::File(path) => read_file(path, &mut seeds)?,
            }
        }
        Ok(Cookies {
            literal: (!literal.is_empty()).then_some(literal),
            seeds,
            count: AtomicUsize::new(0),
            jars: Mutex::default(),
        })
    }

    /// The `Cookie` header for a request to `url`; `own` is the one the caller set, which comes first. The literal cookies
    /// stay at home when the request goes `elsewhere`.
    pub(super) fn header(
        &self,
        proxy: ProxyId,
        session: Option<&Arc<str>>,
        url: &Url,
        own: Option<&HeaderValue>,
        elsewhere: bool,
    ) -> Option<HeaderValue> {
        let has_jars = self.count.load(Ordering::Relaxed) > 0;
        let literal = self.literal.as_ref().filter(|_| !elsewhere);
        if !has_jars && self.seeds.is_empty() && literal.is_none() {
            return None;
        }
        let mut line = String::new();
        if let Some(own) = own.and_then(|own| own.to_str().ok()) {
            join(&mut line, own);
        }
        if let Some(literal) = literal {
            join(&mut line, literal);
        }
        let key = JarKey {
            proxy,
            session: session.cloned(),
            site: site(url)?,
        };
        if has_jars && let Some(jar) = self.lock().by_key.get(&key) {
            write_cookies(&mut line, &jar.store, url);
        } else if let Some(seed) = self.seeds.get(&key.site) {
            write_cookies(&mut line, seed, url);
        }
        if line.is_empty() {
            return None;
        }
        HeaderValue::from_str(&line).ok()
    }

    /// Takes in the `Set-Cookie` headers of an answer from `url`.
    pub(super) fn absorb(
        &self,
        proxy: ProxyId,
        session: Option<&Arc<str>>,
        url: &Url,
        headers: &HeaderMap,
    ) {
        let mut lines = headers
            .get_all(header::SET_COOKIE)
            .iter()
            .filter(|value| value.len() <= COOKIE_BYTES_MAX)
            .filter_map(|value| value.to_str().ok())
            .peekable();
        if lines.peek().is_none() {
            return;
        }
        let Some(site) = site(url) else {
            return;
        };
        let key = JarKey {
            proxy,
            session: session.cloned(),
            site,
        };
        let mut guard = self.lock();
        let jars = &mut *guard;
        let jar = jars.by_key.entry(key).or_insert_with_key(|key| {
            jars.order.push_back(key.clone());
            Jar {
                store: self.seeds.get(&key.site).cloned().unwrap_or_default(),
                ..Jar::default()
            }
        });
        let before = jar.bytes;
        for line in lines {
            jar.take_in(line, url);
        }
        jars.bytes = jars.bytes + jar.bytes - before;
        while jars.by_key.len() > JARS_MAX || jars.bytes > BYTES_MAX {
            let Some(oldest) = jars.order.pop_front() else {
                break;
            };
            if let Some(jar) = jars.by_key.remove(&oldest) {
                jars.bytes -= jar.bytes;
            }
        }
        self.count.store(jars.by_key.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Jars> {
        self.jars.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Jar {
    fn take_in(&mut self, line: &str, url: &Url) {
        let Some(cookie) = parse(line, url) else {
            return;
        };
        let taken = Taken {
            domain: String::from(&cookie.domain),
            path: String::from(&cookie.path),
            name: cookie.name().to_owned(),
            bytes: line.len(),
        };
        match self.store.insert(cookie, url) {
            Ok(StoreAction::Inserted) => {
                self.bytes += taken.bytes;
                self.order.push_back(taken);
            }
            Ok(StoreAction::ExpiredExisting) => {
                let place = self.order.iter().position(|each| {
                    (&each.domain, &each.path, &each.name)
                        == (&taken.domain, &taken.path, &taken.name)
                });
                if let Some(expired) = place.and_then(|at| self.order.remove(at)) {
                    self.remove(&expired);
                }
            }
            // A new value in an old place; the difference in size does not matter.
            Ok(StoreAction::UpdatedExisting) | Err(_) => {}
        }
        if self.order.len() > COOKIES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, taken: &Taken) {
        self.bytes -= taken.bytes;
        self.store.remove(&taken.domain, &taken.path, &taken.name);
    }
}

/// Reads one `Set-Cookie` value; `None` for what must not be stored.
fn parse(line: &str, url: &Url) -> Option<Cookie<'static>> {
    let cookie = Cookie::parse(line, url).ok()?.into_owned();
    match &cookie.domain {
        CookieDomain::Suffix(domain)
            if !domain.contains('.') && url.host_str() != Some(domain.as_str()) =>
        {
            None
        }
        _ => Some(cookie),
    }
}

fn write_cookies(line: &mut String, store: &CookieStore, url: &Url) {
    for (name, value) in store.get_request_values(url) {
        if !line.is_empty() {
            line.push_str("; ");
        }
        // Writing to a string cannot fail.
        let _ = write!(line, "{name}={value}");
    }
}

fn join(line: &mut String, more: &str) {
    if !line.is_empty() && !more.is_empty() {
        line.push_str("; ");
    }
    line.push_str(more);
}

/// The last two labels of a name, or the whole address.
fn site(url: &Url) -> Option<Box<str>> {
    match url.host()? {
        Host::Domain(name) => {
            let mut dots = name.trim_end_matches('.').rmatch_indices('.');
            let start = dots.nth(1).map_or(0, |(at, _)| at + 1);
            Some(name[start..].into())
        }
        address => Some(address.to_string().into()),
    }
}

/// Netscape's format: domain, subdomains, path, secure, expires, name, value, separated by tabs.
fn read_file(path: &Path, seeds: &mut HashMap<Box<str>, CookieStore>) -> Result<(), Error> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end_matches('\r');
        let http_only = line.strip_prefix("#HttpOnly_");
        if http_only.is_none() && (line.starts_with('#') || line.trim().is_empty()) {
            continue;
        }
        let (cookie, url) =
            parse_netscape(http_only.unwrap_or(line)).ok_or_else(|| no_cookie(path, number + 1))?;
        let Some(site) = site(&url) else {
            return Err(no_cookie(path, number + 1));
        };
        // An expired cookie is refused by the store, rightly.
        let _ = seeds.entry(site).or_default().insert(cookie, &url);
    }
    Ok(())
}

fn no_cookie(path: &Path, line: usize) -> Error {
    Problem::new("not a cookie in Netscape's format")
        .at(format!("{}:{line}", path.display()))
        .hint("the format is curl's --cookie-jar; write literal cookies as name=value")
        .into()
}

fn parse_netscape(line: &str) -> Option<(Cookie<'static>, Url)> {
    let fields: Vec<_> = line.split('\t').collect();
    let [domain, subdomains, path, secure, expires, name, value] = fields[..] else {
        return None;
    };
    let is_true = |field: &str| field.eq_ignore_ascii_case("true");
    let host = domain.trim_start_matches('.');
    let url = Url::parse(&format!("https://{host}{path}")).ok()?;
    let mut line = format!("{name}={value}; Path={path}");
    if is_true(subdomains) {
        let _ = write!(line, "; Domain={host}");
    }
    if is_true(secure) {
        line.push_str("; Secure");
    }
    // 0 is a session cookie. Later than the year 9999 cannot be written as a date, and is as good as never.
    let expires: u64 = expires.parse().ok()?;
    if (1..253_402_300_800).contains(&expires) {
        let at = UNIX_EPOCH + Duration::from_secs(expires);
        let _ = write!(line, "; Expires={}", httpdate::fmt_http_date(at));
    }
    Some((parse(&line, &url)?, url))
}

#[cfg(test)]
#[path = "cookies_tests.rs"]
mod tests;
