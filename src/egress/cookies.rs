//! Cookie jars, one for each (proxy identity, session, site).
//!
//! A cookie is how a target recognises a client, so a jar belongs to one proxy and one session like a connection does. Within
//! them jars are split by site (the last two labels of the host, three under what is known as a registry): a cookie cannot cross
//! that border, and a lookup never walks the cookies of other sites. What may be sent where is the library's business, but for a
//! cookie for a whole top-level domain, and one whose name promises more than it keeps: those are refused here. There is no public
//! suffix list, only its commonest entries.
//!
//! Cookies are bytes, and many are no ASCII. The library takes text, so other bytes are letters of the private area there.
//!
//! Without cookies there is no cost: no jar, no lookup.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use cookie_store::{Cookie, CookieDomain, CookieStore, RawCookie, StoreAction};
use http::{HeaderMap, HeaderValue, header};
use url::{Host, Url};

use super::cookie_date;
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
/// Second-level names of countries under which everybody registers. `web.de` and `go.com` are sites.
const REGISTRIES: [&str; 34] = [
    "ac", "ad", "asn", "co", "com", "ed", "edu", "gen", "go", "gob", "gouv", "gov", "gr", "gub",
    "gv", "id", "ind", "info", "lg", "ltd", "me", "mil", "ne", "net", "nhs", "nic", "nom", "or",
    "org", "plc", "police", "re", "sch", "school",
];
/// Names under which strangers have their pages.
const PLATFORMS: [&str; 20] = [
    "appspot.com",
    "azurewebsites.net",
    "blogspot.com",
    "cloudfront.net",
    "firebaseapp.com",
    "fly.dev",
    "github.io",
    "gitlab.io",
    "herokuapp.com",
    "myshopify.com",
    "netlify.app",
    "ngrok.io",
    "onrender.com",
    "pages.dev",
    "readthedocs.io",
    "repl.co",
    "vercel.app",
    "web.app",
    "wordpress.com",
    "workers.dev",
];
/// Where the bytes are that are no ASCII: private letters, which nothing trims or folds.
const BYTES_AT: u32 = 0xe000;

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
    /// The literal cookies, `name=value` each.
    literal: Vec<Box<str>>,
    /// Cookies of files, by site. Every jar of the site starts as a copy.
    seeds: HashMap<Box<str>, Jar>,
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

#[derive(Clone, Default)]
struct Jar {
    store: CookieStore,
    /// Each cookie taken in, oldest first; not those of files, which are older.
    order: VecDeque<Taken>,
    bytes: usize,
}

/// Where a cookie is in its store, and what it counts for.
#[derive(Clone)]
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
        let mut literal = Vec::new();
        let mut seeds = HashMap::new();
        for source in sources {
            match source {
                CookieSource::Literal(cookies) => {
                    let cookies = cookies.expose().trim();
                    if HeaderValue::from_str(cookies).is_err() {
                        return Err(Problem::new("cookies hold a control character")
                            .at("--cookie")
                            .into());
                    }
                    let pairs = cookies.split(';').map(str::trim);
                    literal.extend(pairs.filter(|pair| !pair.is_empty()).map(Box::from));
                }
                CookieSource::File(path) => read_file(path, &mut seeds)?,
            }
        }
        Ok(Cookies {
            literal,
            seeds,
            count: AtomicUsize::new(0),
            jars: Mutex::default(),
        })
    }

    /// The `Cookie` header for a request to `url`; `own` is the one the caller set, which comes first. The literal cookies
    /// stay at home when the request goes `elsewhere`; one of the jar stands for the literal of its name, because the site has
    /// set it since.
    pub(super) fn header(
        &self,
        proxy: ProxyId,
        session: Option<&Arc<str>>,
        url: &Url,
        own: Option<&HeaderValue>,
        elsewhere: bool,
    ) -> Option<HeaderValue> {
        let has_jars = self.count.load(Ordering::Relaxed) > 0;
        let literal = if elsewhere { &[] } else { &self.literal[..] };
        if !has_jars && self.seeds.is_empty() && literal.is_empty() {
            return None;
        }
        let key = JarKey {
            proxy,
            session: session.cloned(),
            site: site(url)?,
        };
        let jars = has_jars.then(|| self.lock());
        let jar = jars.as_ref().and_then(|jars| jars.by_key.get(&key));
        let jar = jar.or_else(|| self.seeds.get(&key.site));
        let kept = jar.map(|jar| jar.matches(url)).unwrap_or_default();
        let mut line = Vec::new();
        if let Some(own) = own {
            join(&mut line, own.as_bytes());
        }
        for pair in literal {
            let name = pair.split_once('=').map_or("", |(name, _)| name.trim());
            if !kept
                .iter()
                .any(|cookie| bytes(cookie.name()) == name.as_bytes())
            {
                join(&mut line, pair.as_bytes());
            }
        }
        for cookie in kept {
            join(&mut line, &bytes(cookie.name()));
            line.push(b'=');
            line.extend_from_slice(&bytes(cookie.value()));
        }
        if line.is_empty() {
            return None;
        }
        HeaderValue::from_maybe_shared(bytes::Bytes::from(line)).ok()
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
            .map(|value| text(value.as_bytes()))
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
            self.seeds.get(&key.site).cloned().unwrap_or_default()
        });
        let before = jar.bytes;
        for line in lines {
            jar.take_in(&line, url);
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
        let Some(cookie) = parse(line, url).filter(|cookie| keeps_promise(cookie, url)) else {
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

    /// The cookies for `url`: the longest path first, of one length the oldest (RFC 6265 section 5.4).
    fn matches(&self, url: &Url) -> Vec<&Cookie<'static>> {
        let mut cookies = self.store.matches(url);
        cookies.sort_by_cached_key(|cookie| {
            let (domain, path) = (String::from(&cookie.domain), String::from(&cookie.path));
            let age = self.order.iter().position(|taken| {
                taken.name == cookie.name() && taken.domain == domain && taken.path == path
            });
            (Reverse(path.len()), age, cookie.name().to_owned())
        });
        cookies
    }

    fn remove(&mut self, taken: &Taken) {
        self.bytes -= taken.bytes;
        self.store.remove(&taken.domain, &taken.path, &taken.name);
    }
}

/// Reads one `Set-Cookie` value; `None` for what must not be stored.
fn parse(line: &str, url: &Url) -> Option<Cookie<'static>> {
    let mut cookie = RawCookie::parse(line).ok()?;
    // The library knows four ways to write a date; a deletion in a fifth one would not delete.
    if let Some(at) = cookie_date::expires(line) {
        cookie.set_expires(at);
    }
    let cookie = Cookie::try_from_raw_cookie(&cookie, url).ok()?.into_owned();
    match &cookie.domain {
        CookieDomain::Suffix(domain)
            if !domain.contains('.') && url.host_str() != Some(domain.as_str()) =>
        {
            None
        }
        _ => Some(cookie),
    }
}

/// False for a cookie that is less than its name says (RFC 6265bis, section 4.1.3).
fn keeps_promise(cookie: &Cookie<'_>, url: &Url) -> bool {
    let begins = |with: &str| {
        let start = cookie.name().get(..with.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    let is_secure = cookie.secure() == Some(true) && url.scheme() == "https";
    if begins("__Host-") {
        let is_host_only = matches!(cookie.domain, CookieDomain::HostOnly(_));
        return is_secure && is_host_only && cookie.path() == Some("/");
    }
    is_secure || !begins("__Secure-")
}

fn join(line: &mut Vec<u8>, more: &[u8]) {
    if !line.is_empty() && !more.is_empty() {
        line.extend_from_slice(b"; ");
    }
    line.extend_from_slice(more);
}

/// The bytes of a cookie as text that [`bytes`] turns back.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.is_ascii() => Cow::Borrowed(text),
        _ => bytes
            .iter()
            .filter_map(|byte| match byte.is_ascii() {
                true => Some(char::from(*byte)),
                false => char::from_u32(BYTES_AT + u32::from(*byte)),
            })
            .collect(),
    }
}

/// What [`text`] was made of.
fn bytes(text: &str) -> Cow<'_, [u8]> {
    if text.is_ascii() {
        return Cow::Borrowed(text.as_bytes());
    }
    let byte = |letter: char| match letter.is_ascii() {
        true => u8::try_from(letter).ok(),
        false => u8::try_from(u32::from(letter).checked_sub(BYTES_AT)?).ok(),
    };
    text.chars().filter_map(byte).collect()
}

/// What somebody has registered of a name, as far as that is known, or the whole address.
fn site(url: &Url) -> Option<Box<str>> {
    match url.host()? {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            let mut dots = name.rmatch_indices('.').map(|(at, _)| at);
            let label = |dot: Option<usize>| dot.map_or(0, |at| at + 1);
            let mut start = label(dots.nth(1));
            if is_registry(&name[start..]) {
                start = label(dots.next());
            }
            Some(name[start..].into())
        }
        address => Some(address.to_string().into()),
    }
}

/// True for two labels under which strangers have their sites.
fn is_registry(name: &str) -> bool {
    let of_country = || match name.split_once('.') {
        Some((registry, top)) => top.len() == 2 && REGISTRIES.contains(&registry),
        None => false,
    };
    of_country() || PLATFORMS.contains(&name)
}

/// Netscape's format: domain, subdomains, path, secure, expires, name, value, separated by tabs.
fn read_file(path: &Path, seeds: &mut HashMap<Box<str>, Jar>) -> Result<(), Error> {
    let content = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
    for (number, line) in text(&content).lines().enumerate() {
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
        let _ = seeds.entry(site).or_default().store.insert(cookie, &url);
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
