//! Many conditions on URLs, of which an ordinary URL fulfils none.
//!
//! Every answer is asked about some twenty sites that send their visitors to a page of their own. Nearly always the URL is of
//! none of them, which the length and first letter of its host's labels show.

use url::Url;

/// URL conditions, each with what it stands for.
#[derive(Debug)]
pub(super) struct UrlIndex<T> {
    /// Bit `length % 32` of entry `first letter % 32`: some pattern asks for a label that looks like this.
    mask: [u32; 32],
    /// Each with a label that its hosts have.
    of_hosts: Vec<(Box<str>, UrlMatch, T)>,
    /// About any host.
    others: Vec<(UrlMatch, T)>,
}

impl<T: Copy> UrlIndex<T> {
    pub(super) fn new() -> Self {
        UrlIndex {
            mask: [0; 32],
            of_hosts: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Adds a condition: `host path`, see [`super::condition`].
    pub(super) fn add(&mut self, spec: &str, meaning: T) {
        let pattern = UrlMatch::parse(spec);
        match pattern.label().map(Box::from) {
            Some(label) => {
                let (first, length) = looks(&label);
                self.mask[first] |= length;
                self.of_hosts.push((label, pattern, meaning));
            }
            None => self.others.push((pattern, meaning)),
        }
    }

    /// Calls `found` for every condition that holds; a condition may be reported more than once.
    pub(super) fn each(&self, url: &Url, mut found: impl FnMut(T)) {
        for label in url.host_str().unwrap_or_default().split('.') {
            let (first, length) = looks(label);
            if self.mask[first] & length == 0 {
                continue;
            }
            for (wanted, pattern, meaning) in &self.of_hosts {
                if **wanted == *label && pattern.matches(url) {
                    found(*meaning);
                }
            }
        }
        for (pattern, meaning) in &self.others {
            if pattern.matches(url) {
                found(*meaning);
            }
        }
    }
}

/// Entry and bit of a label in the mask.
fn looks(label: &str) -> (usize, u32) {
    let first = label.as_bytes().first().copied().unwrap_or(0) & 31;
    (usize::from(first), 1 << (label.len() & 31))
}

/// A host and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct UrlMatch {
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
    fn parse(text: &str) -> Self {
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

    /// A label that every host this matches has; `None` when there is none.
    fn label(&self) -> Option<&str> {
        match &self.host {
            HostMatch::Any => None,
            HostMatch::Domain(name) | HostMatch::Label(name) => name.split('.').next(),
        }
    }

    fn matches(&self, url: &Url) -> bool {
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
    fn an_index_finds_what_its_patterns_match() {
        let specs = [
            "google.* /sorry",
            "queue-it.net",
            "* /blocked",
            "consent.google.*",
        ];
        for most in [2, specs.len()] {
            let mut index = UrlIndex::new();
            for (at, spec) in specs.iter().take(most).enumerate() {
                index.add(spec, at);
            }
            for url in [
                "https://www.google.co.uk/sorry",
                "https://consent.google.de/",
                "https://a.queue-it.net/blocked",
                "https://example.com/blocked",
                "https://example.com/",
                "https://[::1]/sorry",
            ] {
                let url = Url::parse(url).unwrap();
                let mut seen = Vec::new();
                index.each(&url, |at| seen.push(at));
                seen.sort_unstable();
                seen.dedup();
                let expected: Vec<_> = (0..most)
                    .filter(|at| UrlMatch::parse(specs[*at]).matches(&url))
                    .collect();
                assert_eq!(seen, expected, "{url}");
            }
        }
    }
}
