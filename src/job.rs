//! Jobs: one unit of user work each, a URL and how to ask for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::proxy::Labels;

/// One input line: what to fetch and how. Becomes exactly one record.
#[derive(Debug, Clone)]
pub struct Job {
    /// Position in the input, from 0.
    pub seq: u64,
    /// Stable name of the work: the key of `--resume`.
    pub id: JobId,
    /// Name of the page it asks for, whoever asks: rows that differ in their tags alone ask for one page.
    pub page: JobId,
    /// The URL as the user wrote it.
    pub input: Box<str>,
    /// Where to, or why not. An invalid URL is a record, not an error.
    pub target: Result<Url, InvalidUrl>,
    /// How to ask; shared by all jobs that do not override it.
    pub request: Arc<RequestSpec>,
    /// The user's own fields, passed through to the record.
    pub tag: Option<Box<serde_json::Map<String, serde_json::Value>>>,
    /// Sticky session this job belongs to: same proxy, same cookies.
    pub session: Option<Arc<str>>,
    /// Which proxies may serve it.
    pub filter: Option<Arc<LabelFilter>>,
    /// What it is for.
    pub role: Role,
}

/// What a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// The user named its URL.
    #[default]
    Named,
    /// A sitemap lists its URL.
    Listed,
    /// It brings a sitemap: its answer goes back to the input, and only a failure has a row.
    Sitemap,
    /// It brings the robots.txt of its host, and has no row.
    Robots,
}

impl Role {
    /// True for what the program asks on its own account, to find out what it may fetch.
    pub fn is_errand(self) -> bool {
        matches!(self, Role::Sitemap | Role::Robots)
    }
}

impl Job {
    /// A job for `input` under `request`, with nothing else set.
    pub fn new(seq: u64, input: &str, request: Arc<RequestSpec>) -> Self {
        let target = parse_target(input);
        let named = target.as_ref().map_or(input.trim(), Url::as_str);
        let id = JobId::of(&request.method, named, &request.body);
        Job {
            seq,
            id,
            page: id,
            input: input.into(),
            target,
            request,
            tag: None,
            session: None,
            filter: None,
            role: Role::Named,
        }
    }

    /// Takes what its row says beside method, URL and body into the id, each part only where it is there: one page for many
    /// accounts is as many jobs. `headers` are those of the row, not those of all.
    pub fn name_by_row(&mut self, headers: Option<&serde_json::Map<String, serde_json::Value>>) {
        let text = |map: &serde_json::Map<_, _>| serde_json::to_string(map).unwrap_or_default();
        let filter = self.filter.as_ref().map(|filter| {
            let country = filter.country.as_deref().unwrap_or_default();
            format!("{country} {}", filter.tags.join(" "))
        });
        let parts = [
            ("headers", headers.map(text)),
            ("tag", self.tag.as_deref().map(text)),
            ("session", self.session.as_deref().map(str::to_owned)),
            ("proxy", filter),
        ];
        for (name, part) in parts {
            if let Some(part) = part {
                self.id = self.id.with(name, &part);
            }
        }
    }

    /// Makes of credentials within the URL what curl makes of them: an `Authorization` header, unless the job has its own.
    /// They leave the target and the input, so that no record holds them. The id stays.
    pub fn take_credentials(&mut self) {
        let Ok(url) = &mut self.target else {
            self.input = masked(&self.input, true);
            return;
        };
        if url.username().is_empty() && url.password().is_none() {
            return;
        }
        let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
        pair.push(b':');
        pair.extend(percent_decode_str(url.password().unwrap_or_default()));
        // Neither fails on a URL with a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        self.page = JobId::of(&self.request.method, url.as_str(), &self.request.body);
        self.input = masked(&self.input, false);
        let request = Arc::make_mut(&mut self.request);
        if !request.headers.contains_key(AUTHORIZATION)
            && let Ok(mut value) = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
        {
            value.set_sensitive(true);
            request.headers.insert(AUTHORIZATION, value);
        }
    }
}

/// A URL as it may be printed: the credentials within it blanked.
pub fn shown(url: &Url) -> Box<str> {
    masked(url.as_str(), false)
}

/// `text` with what stands before the `@` of its authority blanked; before the last `@` when it is no URL, whose authority
/// nobody can tell.
fn masked(text: &str, no_url: bool) -> Box<str> {
    let start = text
        .find("//")
        .map_or_else(|| text.find(':').map_or(0, |at| at + 1), |at| at + 2);
    let rest = &text[start..];
    let end = if no_url {
        rest.len()
    } else {
        rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())
    };
    match rest[..end].rfind('@') {
        Some(sign) => format!("{}***{}", &text[..start], &rest[sign..]).into(),
        None => text.into(),
    }
}

/// Reads a target URL as people write them: surrounding blanks are dropped, the fragment is not sent.
///
/// # Errors
/// Not a URL, not `http` or `https`, without a host, or with a tab or line break within it.
pub fn parse_target(input: &str) -> Result<Url, InvalidUrl> {
    let text = input.trim();
    if text.is_empty() {
        return Err(InvalidUrl("the URL is empty".into()));
    }
    // The URL standard leaves them out: two columns, or two lines of an old Mac, would be fetched as one URL.
    if memchr::memchr3(b'\t', b'\r', b'\n', text.as_bytes()).is_some() {
        return Err(InvalidUrl(
            "there is a tab or a line break within the URL".into(),
        ));
    }
    // The URL standard skips further slashes and takes the first name of a path for the host.
    let named = text.split_once("://").map(|(_, rest)| rest);
    let hostless =
        named.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '\\', '?', '#']));
    let mut url = match Url::parse(text) {
        Ok(url) if hostless && url.is_special() && url.scheme() != "file" => {
            return Err(InvalidUrl("the URL has no host".into()));
        }
        Ok(url) => url,
        Err(url::ParseError::EmptyHost) => {
            return Err(InvalidUrl("the URL has no host".into()));
        }
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            let meant = format!("https://{}", text.trim_start_matches('/'));
            let why = match Url::parse(&meant) {
                // The text may hold a password, and this ends in the record.
                Ok(_) => format!(
                    "not an absolute URL; did you mean {} ?",
                    masked(&meant, true)
                ),
                Err(_) => "not an absolute URL".to_owned(),
            };
            return Err(InvalidUrl(why.into()));
        }
        Err(error) => return Err(InvalidUrl(error.to_string().into())),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(InvalidUrl(
            format!(
                "unsupported scheme {}: only http and https are fetched",
                url.scheme()
            )
            .into(),
        ));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(InvalidUrl("the URL has no host".into()));
    }
    url.set_fragment(None);
    Ok(url)
}

/// Why a line of the input is not a URL that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidUrl(pub Box<str>);

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Stable hash of method, URL and body, and of what else a row of the input says; 16 hexadecimal digits in the record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(u64);

impl JobId {
    /// The id of this work. The same three parts give the same id in every run.
    pub fn of(method: &Method, url: &str, body: &[u8]) -> Self {
        let method = method.as_str().as_bytes();
        JobId::hash([method, b"\n", url.as_bytes(), b"\n", body])
    }

    /// The id of work that has this one and differs in the named part from what else has it.
    fn with(self, name: &str, part: &str) -> Self {
        let before = self.0.to_be_bytes();
        JobId::hash([&before, name.as_bytes(), b"\n", part.as_bytes(), b""])
    }

    fn hash(parts: [&[u8]; 5]) -> Self {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for part in parts {
            context.update(part);
        }
        let mut first = [0; 8];
        first.copy_from_slice(&context.finish().as_ref()[..8]);
        JobId(u64::from_be_bytes(first))
    }

    /// The raw hash.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// Reads the 16 hexadecimal digits of a record.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 16 {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(JobId)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({self})")
    }
}

/// What is asked for in `Accept-Encoding`, in the order of browsers: the encodings that can be undone.
pub const ENCODINGS: &str = "gzip, deflate, br, zstd";

/// How to ask: everything of a request but its URL. By default a GET that asks for compressed bodies.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestSpec {
    /// Request method.
    pub method: Method,
    /// Headers in the order given; nothing is added on the wire but what HTTP needs.
    pub headers: HeaderMap,
    /// Request body, empty for none.
    pub body: Bytes,
}

impl Default for RequestSpec {
    fn default() -> Self {
        RequestSpec {
            method: Method::GET,
            headers: HeaderMap::from_iter([(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static(ENCODINGS),
            )]),
            body: Bytes::new(),
        }
    }
}

impl RequestSpec {
    /// The headers that say who asks and how; without those that are for one page alone: credentials, cookies, conditions, what
    /// describes a body. For what the program asks on its own account.
    pub fn asking_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        for name in [
            header::AUTHORIZATION,
            header::COOKIE,
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
            header::CONTENT_LENGTH,
            header::RANGE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            header::IF_MODIFIED_SINCE,
            header::IF_UNMODIFIED_SINCE,
            header::IF_RANGE,
        ] {
            headers.remove(name);
        }
        headers
    }

    /// True when sending it twice does no harm (RFC 9110 section 9.2.2).
    pub fn is_idempotent(&self) -> bool {
        matches!(
            self.method,
            Method::GET
                | Method::HEAD
                | Method::OPTIONS
                | Method::PUT
                | Method::DELETE
                | Method::TRACE
        )
    }
}

/// The site as pacing and bans know it: scheme, host and port.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostKey {
    /// True for `https`.
    pub https: bool,
    /// Host name or address, lower case, IPv6 without brackets.
    pub host: Arc<str>,
    /// TCP port, never 0.
    pub port: u16,
}

impl HostKey {
    /// The site of `url`; `None` without a host or for a scheme other than http and https.
    pub fn of(url: &Url) -> Option<Self> {
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host: Arc<str> = match url.host()? {
            Host::Domain(name) => name.into(),
            Host::Ipv4(ip) => ip.to_string().into(),
            Host::Ipv6(ip) => ip.to_string().into(),
        };
        Some(HostKey {
            https,
            host,
            port: url.port_or_known_default()?,
        })
    }

    /// `host:port` with IPv6 in brackets: the authority form of CONNECT.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = if self.https {
            ("https", 443)
        } else {
            ("http", 80)
        };
        let (open, close) = if self.host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        write!(f, "{scheme}://{open}{}{close}", self.host)?;
        if self.port == default {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({self})")
    }
}

/// Which proxies may serve a job: every part that is set has to hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelFilter {
    /// Two-letter country, lower case.
    pub country: Option<Box<str>>,
    /// Tags the proxy has to carry, all of them.
    pub tags: Vec<Box<str>>,
}

impl LabelFilter {
    /// True when a proxy with these labels may serve the job.
    pub fn admits(&self, labels: &Labels) -> bool {
        self.country
            .as_ref()
            .is_none_or(|wanted| labels.country.as_ref() == Some(wanted))
            && self.tags.iter().all(|wanted| labels.tags.contains(wanted))
    }
}

/// Jobs that an earlier run has seen through, with how often each occurs, so that an input that names a URL twice gets two rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DoneSet(HashMap<JobId, u32>);

impl DoneSet {
    /// Remembers one finished job.
    pub fn insert(&mut self, id: JobId) {
        *self.0.entry(id).or_default() += 1;
    }

    /// True when the job is done; uses up one occurrence.
    pub fn take(&mut self, id: JobId) -> bool {
        match self.0.get_mut(&id) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    /// Distinct ids.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when nothing is done yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What the writer answers: this many records, counted from the start of the run, are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Records written and flushed.
    pub written: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_that_cannot_be_fetched_say_why() {
        for (input, why) in [
            ("", "empty"),
            ("example.com/a", "did you mean https://example.com/a ?"),
            ("//example.com/a", "did you mean https://example.com/a ?"),
            ("ftp://example.com/", "ftp"),
            ("file:///etc/passwd", "file"),
            ("http://", "the URL has no host"),
            ("http:///path", "the URL has no host"),
            ("https://?q=1", "the URL has no host"),
            ("http://a.test/1\thome", "a tab or a line break"),
            ("http://a.test/1\rhttp://a.test/2", "a tab or a line break"),
            ("http://[::1", ""),
        ] {
            let error = parse_target(input).expect_err(input);
            assert!(error.0.contains(why), "{input}: {error}");
        }
        let sentence = parse_target("not a url").unwrap_err();
        assert_eq!(&*sentence.0, "not an absolute URL");
        let secret = parse_target("1me:s3cret@a.test/x").unwrap_err();
        assert!(secret.0.ends_with("https://***@a.test/x ?"), "{secret}");
    }

    #[test]
    fn what_a_row_says_is_in_its_id_and_not_in_the_name_of_its_page() {
        let plain = Job::new(0, "http://example.com/", Arc::default());
        let map = |value: &str| serde_json::Map::from_iter([("k".to_owned(), value.into())]);
        let filter = |country: Option<&str>, tag: &str| {
            Some(Arc::new(LabelFilter {
                country: country.map(Box::from),
                tags: vec![tag.into()],
            }))
        };
        let tag = |value| Some(Box::new(map(value)));
        let parts = [
            (None, None, None, None),
            (Some(map("a")), None, None, None),
            (None, tag("a"), None, None),
            (None, tag("b"), None, None),
            (None, None, Some("a".into()), None),
            (None, None, None, filter(None, "de")),
            (None, None, None, filter(Some("de"), "a")),
        ];
        let mut ids = std::collections::BTreeSet::new();
        for (headers, tag, session, filter) in parts {
            let mut job = Job {
                tag,
                session,
                filter,
                ..plain.clone()
            };
            job.name_by_row(headers.as_ref());
            assert!(ids.insert(job.id), "{job:?}");
            assert_eq!(job.page, plain.id);
        }
        assert!(ids.contains(&plain.id), "the id of a plain URL stays");
    }

    #[test]
    fn the_id_of_a_url_depends_on_method_url_and_body_only() {
        let spec = Arc::new(RequestSpec::default());
        let a = Job::new(0, "http://example.com", spec.clone());
        let b = Job::new(9, " http://example.com/#frag ", spec);
        assert_eq!(a.id, b.id);
        assert_ne!(a.id, JobId::of(&Method::POST, "http://example.com/", b""));
        assert_eq!(JobId::from_hex(&a.id.to_string()), Some(a.id));
    }

    #[test]
    fn credentials_in_the_url_become_a_header_and_are_seen_nowhere_else() {
        let mut job = Job::new(0, "http://me:p%40ss@a.test/x@y", Arc::default());
        let id = job.id;
        job.take_credentials();
        assert_eq!(job.target.as_ref().unwrap().as_str(), "http://a.test/x@y");
        assert_eq!(&*job.input, "http://***@a.test/x@y");
        // me:p@ss
        assert_eq!(job.request.headers[AUTHORIZATION], "Basic bWU6cEBzcw==");
        assert_eq!(job.id, id);

        let mut request = RequestSpec::default();
        let own = HeaderValue::from_static("Bearer x");
        request.headers.insert(AUTHORIZATION, own.clone());
        let mut job = Job::new(0, "http://me@a.test/", Arc::new(request));
        job.take_credentials();
        assert_eq!(job.request.headers[AUTHORIZATION], own);

        let mut broken = Job::new(0, "ftp://me:pa/ss@a.test/", Arc::default());
        broken.take_credentials();
        assert_eq!(&*broken.input, "ftp://***@a.test/");
    }

    #[test]
    fn host_key_omits_the_default_port_and_brackets_ipv6() {
        let key = |text: &str| HostKey::of(&Url::parse(text).unwrap()).unwrap();
        assert_eq!(
            key("https://EXAMPLE.com:443/x").to_string(),
            "https://example.com"
        );
        assert_eq!(key("http://[::1]:81/").to_string(), "http://[::1]:81");
        assert_eq!(key("http://[::1]:81/").authority(), "[::1]:81");
    }
}
