//! One observable fact about an answer, as rules write it.
//!
//! - `{ header = "name" }`, `{ header = "name: text" }`; a name that ends in `*` is a prefix
//! - `{ cookie = "name" }`: a Set-Cookie name; `*` at either end
//! - `{ title = "text" }`, `{ reason = "text" }`
//! - `{ body = "marker" }`: in the first 30 kB or the last 2 kB; spelled as its vendor sends it
//! - `{ url = "host path" }`: this URL, or where it redirects to; `{ location = "host path" }`: only the latter
//!
//! Texts are compared without case, and are contained in the value unless they begin with `^` (the value starts so) or
//! `=` (is equal). A host is itself with its subdomains; `name.*` takes any public suffix; `*` any host. A path is a
//! prefix of whole segments; after `~` it is any part of path and query.

use serde::Deserialize;
use url::Url;

/// A condition as written in a rule file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Spec {
    Header(String),
    Cookie(String),
    Title(String),
    Reason(String),
    Body(String),
    Url(String),
    Location(String),
}

impl Spec {
    /// True when the body has to be read to know.
    pub(super) fn reads_body(&self) -> bool {
        matches!(self, Spec::Title(_) | Spec::Body(_))
    }

    /// The literal text of a title or body condition.
    pub(super) fn literal(&self) -> Option<&str> {
        match self {
            Spec::Title(text) => Some(text.trim_start_matches(['^', '='])),
            Spec::Body(text) => Some(text),
            _ => None,
        }
    }
}

/// How a short text is compared: header values, titles, reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TextMatch {
    /// Anything.
    Any,
    /// Contains it.
    Part(Box<[u8]>),
    /// Starts with it.
    Start(Box<[u8]>),
    /// Is it.
    Whole(Box<[u8]>),
}

impl TextMatch {
    pub(super) fn parse(text: &str) -> Self {
        let bytes = |text: &str| text.as_bytes().into();
        match text.as_bytes() {
            [] => TextMatch::Any,
            [b'^', ..] => TextMatch::Start(bytes(&text[1..])),
            [b'=', ..] => TextMatch::Whole(bytes(&text[1..])),
            _ => TextMatch::Part(bytes(text)),
        }
    }

    pub(super) fn matches(&self, value: &[u8]) -> bool {
        match self {
            TextMatch::Any => true,
            TextMatch::Part(part) => value
                .windows(part.len())
                .any(|window| window.eq_ignore_ascii_case(part)),
            TextMatch::Start(start) => value
                .get(..start.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(start)),
            TextMatch::Whole(whole) => value.trim_ascii().eq_ignore_ascii_case(whole),
        }
    }
}

/// A name with `*` at one end or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NameMatch {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
}

impl NameMatch {
    pub(super) fn parse(text: &str) -> Self {
        if let Some(prefix) = text.strip_suffix('*') {
            NameMatch::Prefix(prefix.into())
        } else if let Some(suffix) = text.strip_prefix('*') {
            NameMatch::Suffix(suffix.into())
        } else {
            NameMatch::Exact(text.into())
        }
    }

    pub(super) fn matches(&self, name: &[u8]) -> bool {
        match self {
            NameMatch::Exact(exact) => name == exact.as_bytes(),
            NameMatch::Prefix(prefix) => name.starts_with(prefix.as_bytes()),
            NameMatch::Suffix(suffix) => name.ends_with(suffix.as_bytes()),
        }
    }
}

/// A host and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UrlMatch {
    host: HostMatch,
    path: PathMatch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostMatch {
    Any,
    /// This name and those below it.
    Domain(Box<str>),
    /// This label before any public suffix.
    Label(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PathMatch {
    Any,
    Segments(Box<str>),
    Part(Box<str>),
}

impl UrlMatch {
    pub(super) fn parse(text: &str) -> Self {
        let (host, path) = text.split_once(' ').unwrap_or((text, ""));
        let host = match host.strip_suffix(".*") {
            _ if host == "*" => HostMatch::Any,
            Some(label) => HostMatch::Label(label.into()),
            None => HostMatch::Domain(host.into()),
        };
        let path = match path.strip_prefix('~') {
            _ if path.is_empty() => PathMatch::Any,
            Some(part) => PathMatch::Part(part.into()),
            None => PathMatch::Segments(path.into()),
        };
        UrlMatch { host, path }
    }

    pub(super) fn matches(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or("");
        let at_host = match &self.host {
            HostMatch::Any => true,
            HostMatch::Domain(domain) => host
                .strip_suffix(&**domain)
                .is_some_and(|below| below.is_empty() || below.ends_with('.')),
            HostMatch::Label(label) => is_label_of(host, label),
        };
        at_host
            && match &self.path {
                PathMatch::Any => true,
                PathMatch::Segments(path) => url
                    .path()
                    .strip_prefix(&**path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
                PathMatch::Part(part) => {
                    url.path().contains(&**part)
                        || url.query().is_some_and(|query| query.contains(&**part))
                }
            }
    }
}

/// True when `host` is `label` before a public suffix of one part (`google.de`) or of two (`google.co.uk`), or below that.
///
/// A second-level registry is recognised by its usual names, so that `google.example.com` is not Google.
fn is_label_of(host: &str, label: &str) -> bool {
    let Some((base, top)) = host.rsplit_once('.') else {
        return false;
    };
    let ends_so = |base: &str| {
        base.strip_suffix(label)
            .is_some_and(|below| below.is_empty() || below.ends_with('.'))
    };
    let of_registry = || match base.rsplit_once('.') {
        Some((base, "co" | "com" | "org" | "net" | "ne" | "or")) => ends_so(base),
        _ => false,
    };
    match top.len() {
        2 => ends_so(base) || of_registry(),
        3 => ends_so(base),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_a_label_are_the_sites_not_their_imitators() {
        let google = UrlMatch::parse("google.* /sorry");
        for (url, expected) in [
            ("https://www.google.com/sorry/index?continue=x", true),
            ("https://ipv4.google.co.uk/sorry", true),
            ("http://google.com.br/sorry/", true),
            ("https://www.google.com/sorryless", false),
            ("https://google.example.com/sorry/", false),
            ("https://www.google.com/search?q=/sorry/", false),
            ("https://notgoogle.com/sorry/", false),
            ("https://8.8.8.8/sorry/", false),
            ("https://localhost/sorry/", false),
        ] {
            assert_eq!(google.matches(&Url::parse(url).unwrap()), expected, "{url}");
        }
        let consent = UrlMatch::parse("consent.google.*");
        assert!(consent.matches(&Url::parse("https://consent.google.co.uk/ml").unwrap()));
        assert!(!consent.matches(&Url::parse("https://www.google.de/").unwrap()));
        let queue = UrlMatch::parse("queue-it.net");
        assert!(queue.matches(&Url::parse("https://a.queue-it.net/?c=1").unwrap()));
        assert!(!queue.matches(&Url::parse("https://my-queue-it.net/").unwrap()));
    }

    #[test]
    fn texts_are_compared_without_case_as_part_start_or_whole() {
        assert!(TextMatch::parse("^err_").matches(b"ERR_DNS_FAIL 0"));
        assert!(!TextMatch::parse("^dns").matches(b"ERR_DNS_FAIL 0"));
        assert!(TextMatch::parse("dns_").matches(b"ERR_DNS_FAIL 0"));
        assert!(TextMatch::parse("=deny").matches(b" Deny "));
        assert!(!TextMatch::parse("=deny").matches(b"denying"));
        assert!(TextMatch::parse("").matches(b""));
    }
}
