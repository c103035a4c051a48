//! Whether a result is a target's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::{Host, Url};

use super::job::{Subdomains, Target};

impl Target {
    /// True when an address is this target's. `www.` makes no difference, nor does the scheme.
    pub fn matches(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        let host = host.strip_prefix("www.").unwrap_or(host);
        let is_host = host == &*self.host
            || host
                .strip_suffix(&*self.host)
                .and_then(|below| below.strip_suffix('.'))
                .is_some_and(|below| match &self.subdomains {
                    Subdomains::None => false,
                    // 1.2.3.4 is not below 2.3.4.
                    Subdomains::All => matches!(url.host(), Some(Host::Domain(_))),
                    Subdomains::These(names) => names.iter().any(|name| **name == *below),
                });
        is_host
            && self
                .path
                .as_ref()
                .is_none_or(|path| url.path().starts_with(&**path))
    }
}

/// Parameters in which search engines put the address that a link of theirs leads to.
const LEADS_TO: [&str; 5] = ["uddg", "url", "q", "u", "RU"];

/// Where a link of a page leads: engines send clicks through an address of their own (`/url?q=`, `/l/?uddg=`, Bing's `ck/a?u=a1`
/// with base64), which holds the real one.
pub(super) fn destination(link: &str, page: Option<&Url>) -> String {
    let own = Url::parse(link).ok().filter(|url| {
        let hosts = url.host_str().zip(page.and_then(Url::host_str));
        hosts.is_some_and(|(link, page)| is_one_site(link, page))
    });
    let parameters = own.iter().flat_map(Url::query_pairs);
    parameters
        .filter(|(name, _)| LEADS_TO.contains(&&**name))
        .find_map(|(_, value)| {
            let coded = value
                .strip_prefix("a1")
                .and_then(|coded| URL_SAFE_NO_PAD.decode(coded.trim_end_matches('=')).ok())
                .and_then(|bytes| String::from_utf8(bytes).ok());
            let leads_to = coded.unwrap_or_else(|| value.into_owned());
            let is_address = Url::parse(&leads_to)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            is_address.then_some(leads_to)
        })
        .unwrap_or_else(|| link.to_owned())
}

/// True when one host is the other or below it: near enough to tell an engine's own links, also under `co.uk`.
fn is_one_site(a: &str, b: &str) -> bool {
    let bare = |host| str::strip_prefix(host, "www.").unwrap_or(host);
    let (a, b) = (bare(a), bare(b));
    let is_below = |a: &str, b: &str| a.strip_suffix(b).is_some_and(|name| name.ends_with('.'));
    a == b || is_below(a, b) || is_below(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, subdomains: Subdomains, path: Option<&str>) -> Target {
        Target {
            name: "me".into(),
            host: host.into(),
            subdomains,
            path: path.map(Into::into),
            all: false,
        }
    }

    #[test]
    fn a_target_is_its_host_with_what_was_asked_for_below_it() {
        let these = Subdomains::These(vec!["shop".into(), "a.b".into()]);
        let cases = [
            (Subdomains::None, None, "https://example.com/x", true),
            (Subdomains::None, None, "http://www.example.com:8080/", true),
            (Subdomains::None, None, "https://shop.example.com/", false),
            (Subdomains::All, None, "https://a.shop.example.com/", true),
            (Subdomains::All, None, "https://notexample.com/", false),
            (
                Subdomains::All,
                None,
                "https://example.com.evil.test/",
                false,
            ),
            (these.clone(), None, "https://shop.example.com/", true),
            (these.clone(), None, "https://a.b.example.com/", true),
            (these, None, "https://b.example.com/", false),
            (
                Subdomains::None,
                Some("/shop/"),
                "https://example.com/shop/1",
                true,
            ),
            (
                Subdomains::None,
                Some("/shop/"),
                "https://example.com/shopping",
                false,
            ),
        ];
        for (subdomains, path, url, expected) in cases {
            let target = target("example.com", subdomains, path);
            assert_eq!(
                target.matches(&Url::parse(url).expect(url)),
                expected,
                "{url}"
            );
        }
    }

    #[test]
    fn links_through_the_engine_are_taken_for_where_they_lead() {
        let cases = [
            (
                "https://html.duckduckgo.com/html/",
                "https://duckduckgo.com/l/?uddg=https%3A%2F%2Fme.test%2Fa&rut=1",
                "https://me.test/a",
            ),
            (
                "https://www.bing.com/search?q=x",
                "https://www.bing.com/ck/a?!&&p=1&u=a1aHR0cHM6Ly9tZS50ZXN0L2I&ntb=1",
                "https://me.test/b",
            ),
            (
                "https://www.google.com/search?q=x",
                "https://www.google.com/url?q=https://me.test/c&sa=U",
                "https://me.test/c",
            ),
            (
                "https://www.google.co.uk/search?q=x",
                "https://shop.co.uk/?url=https://me.test/",
                "https://shop.co.uk/?url=https://me.test/",
            ),
            // A search within the engine, and a site with such a parameter of its own.
            (
                "https://www.google.com/search?q=x",
                "https://www.google.com/search?q=more",
                "https://www.google.com/search?q=more",
            ),
            (
                "https://www.google.com/search?q=x",
                "https://other.test/?url=https://me.test/",
                "https://other.test/?url=https://me.test/",
            ),
        ];
        for (page, link, expected) in cases {
            let page = Url::parse(page).expect("a URL");
            assert_eq!(destination(link, Some(&page)), expected);
        }
    }
}
