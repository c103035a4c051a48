//! What a proxy does to headers on the way, in plain http: which it adds, takes out and rewrites.
//!
//! Both directions are compared with the direct path: the request by what the judge saw of the same request, the answer by the
//! canary page, which comes with the headers a site protects its pages with. Headers of one hop are every proxy's to replace
//! (RFC 9110 section 7.6.1) and are left out.
//!
//! Most of it is only told: a proxy that hides the User-Agent or drops cookies does what somebody asked of it. Two things are done
//! for nobody but its owner, and are tampering: to take away what forbids a page things, and to add what makes a client act.

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;

use super::anonymity::printable;
use super::tamper::{Tampering, evidence};

/// Names and values.
type Headers = [(String, String)];

/// Of one hop, or written anew by it.
const HOP: [&str; 12] = [
    "connection",
    "content-length",
    "date",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

/// By these a site says what may not be done with its page, and what it is. Whoever takes them away means to do it.
const GUARDS: [&str; 5] = [
    "content-security-policy",
    "content-type",
    "referrer-policy",
    "x-content-type-options",
    "x-frame-options",
];

/// These make a client do or keep something.
const ORDERS: [&str; 6] = [
    "alt-svc",
    "clear-site-data",
    "link",
    "location",
    "refresh",
    "set-cookie",
];

/// Most that is told of one direction and kind: a proxy may add what it likes.
const MOST: usize = 32;

/// Sent to judges beside the headers of every request, so that there is something to take away: what browsers send, and one header
/// that nobody knows.
const BAIT: [(HeaderName, &str); 3] = [
    (header::ACCEPT_LANGUAGE, "en"),
    (header::COOKIE, "probe=1"),
    (HeaderName::from_static("x-probe"), "1"),
];

/// What was done to headers. Only of plain http through a proxy that reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rewrites {
    /// Those of the request.
    pub request: Changed,
    /// Those of the answer; `None` when no page came.
    pub answer: Option<Changed>,
}

impl Rewrites {
    /// Something did not arrive as it was sent, in either direction. What a proxy merely adds of its own does not count.
    pub fn is_lossy(&self) -> bool {
        let lossy = |all: &Changed| !all.removed.is_empty() || !all.changed.is_empty();
        lossy(&self.request) || self.answer.as_ref().is_some_and(lossy)
    }
}

/// `request: removes Accept-Encoding, changes User-Agent; answer: adds Via`; nothing when there is nothing to say.
impl fmt::Display for Rewrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (way, all) in [
            ("request", Some(&self.request)),
            ("answer", self.answer.as_ref()),
        ] {
            let Some(all) = all.filter(|all| !all.is_nothing()) else {
                continue;
            };
            let first = |pairs: &[(String, String)]| -> Vec<String> {
                pairs.iter().map(|(name, _)| name.clone()).collect()
            };
            let kinds = [
                ("removes", all.removed.clone()),
                ("changes", first(&all.changed)),
                ("adds", first(&all.added)),
            ];
            let kinds = kinds.iter().filter(|(_, names)| !names.is_empty());
            let words: Vec<_> = kinds
                .map(|(kind, names)| format!("{kind} {}", names.join(" ")))
                .collect();
            parts.push(format!("{way}: {}", words.join(", ")));
        }
        f.write_str(&parts.join("; "))
    }
}

/// How the headers of one direction differ from those of the direct path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Names and values that were not sent.
    pub added: Vec<(String, String)>,
    /// Names of those that did not arrive.
    pub removed: Vec<String>,
    /// Names, and the values that arrived in place of those that were sent.
    pub changed: Vec<(String, String)>,
}

impl Changed {
    /// Everything arrived as it was sent.
    pub fn is_nothing(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// Compares what arrived with what was sent. The order of names, their spelling and white space say nothing; the order of
    /// values under one name does.
    pub(super) fn between(sent: &Headers, arrived: &Headers) -> Self {
        let (sent, arrived) = (fields(sent), fields(arrived));
        let is_new = |(key, field): &(&String, &Field<'_>)| match sent.get(*key) {
            None => Some(true),
            Some(before) => (before.bare() != field.bare()).then_some(false),
        };
        let which = |new: bool| {
            let found = arrived.iter().filter(|each| is_new(each) == Some(new));
            found
                .map(|(_, field)| field.printable())
                .take(MOST)
                .collect()
        };
        let lost = sent.iter().filter(|(key, _)| !arrived.contains_key(*key));
        Changed {
            added: which(true),
            removed: lost.map(|(_, field)| field.name.to_owned()).collect(),
            changed: which(false),
        }
    }

    /// What is done to an answer for nobody but the proxy's owner.
    pub(super) fn tampering(&self) -> Option<Tampering> {
        let is =
            |list: &[&str], name: &str| list.iter().any(|each| name.eq_ignore_ascii_case(each));
        let removed = self.removed.iter().find(|name| is(&GUARDS, name));
        let changed = self.changed.iter().find(|(name, _)| is(&GUARDS, name));
        let added = self.added.iter().find(|(name, _)| is(&ORDERS, name));
        let told = removed.map(|name| format!("{name} is missing"));
        let told = told.or_else(|| changed.map(|(name, value)| format!("{name} is now {value}")));
        let told = told.or_else(|| added.map(|(name, value)| format!("{name}: {value} was added")));
        told.map(|text| Tampering {
            kind: "header",
            evidence: evidence(&text),
        })
    }
}

/// The headers that judges are sent: those of the user's own requests, and bait.
pub(super) fn with_bait(mut headers: HeaderMap) -> HeaderMap {
    for (name, value) in BAIT {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    headers
}

/// The headers of an answer, as text.
pub(super) fn of_answer(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

/// All values of one name.
struct Field<'a> {
    name: &'a str,
    value: String,
}

impl Field<'_> {
    fn printable(&self) -> (String, String) {
        printable(&(evidence(self.name), evidence(&self.value)))
    }

    /// The value without white space, which proxies may set as they like around commas.
    fn bare(&self) -> impl PartialEq {
        self.value.split_ascii_whitespace().collect::<String>()
    }
}

/// Values by name; repeated ones are one list (RFC 9110 section 5.3), but for cookies, of which each is by itself.
fn fields(headers: &Headers) -> BTreeMap<String, Field<'_>> {
    let mut fields = BTreeMap::<_, Field<'_>>::new();
    for (name, value) in headers {
        let mut key = name.to_ascii_lowercase();
        if HOP.contains(&&*key) {
            continue;
        }
        if key == "set-cookie" {
            key = format!("{key} {}", value.split('=').next().unwrap_or_default());
        }
        fields
            .entry(key)
            .and_modify(|field| {
                field.value.push_str(", ");
                field.value.push_str(value);
            })
            .or_insert_with(|| Field {
                name,
                value: value.clone(),
            });
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str) -> Vec<(String, String)> {
        text.split(" | ")
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// `+Name: value`, `-Name` and `~Name: value` of what was done.
    fn told(sent: &str, arrived: &str) -> String {
        let all = Changed::between(&headers(sent), &headers(arrived));
        let added = all
            .added
            .iter()
            .map(|(name, value)| format!("+{name}: {value}"));
        let removed = all.removed.iter().map(|name| format!("-{name}"));
        let changed = all
            .changed
            .iter()
            .map(|(name, value)| format!("~{name}: {value}"));
        added
            .chain(removed)
            .chain(changed)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn what_is_added_removed_and_changed_is_told_and_what_belongs_to_a_hop_is_not() {
        let sent =
            "Host: a | User-Agent: me | Accept-Encoding: gzip, br | X-A: 1 | X-A: 2 | TE: trailers";
        for (arrived, expected) in [
            (sent, ""),
            (
                "host: a:80 | ACCEPT-ENCODING: gzip,br | user-agent: me | X-A: 1,2 | Connection: close",
                "",
            ),
            (
                "User-Agent: you | Via: 1.1 a | X-A: 2, 1",
                "+Via: 1.1 a -Accept-Encoding ~User-Agent: you ~X-A: 2, 1",
            ),
            (
                "User-Agent: me | Accept-Encoding: gzip, br | X-A: 1, 2, 3",
                "~X-A: 1, 2, 3",
            ),
        ] {
            assert_eq!(told(sent, arrived), expected, "{arrived}");
        }
        let cookies = "Set-Cookie: a=1; Path=/ | Set-Cookie: b=2";
        let arrived = "Set-Cookie: b=2 | Set-Cookie: a=1 | Set-Cookie: id=7";
        assert_eq!(told(cookies, arrived), "+Set-Cookie: id=7 ~Set-Cookie: a=1");
    }

    #[test]
    fn only_a_guard_that_is_gone_and_an_order_that_is_new_are_tampering() {
        let page = "Content-Type: text/html | X-Frame-Options: DENY | Set-Cookie: a=1 | X-B: 1";
        let evidence = |arrived: &str| {
            let all = Changed::between(&headers(page), &headers(arrived));
            all.tampering().map(|found| found.evidence)
        };
        for harmless in [
            page,
            "Content-Type: text/html | X-Frame-Options: DENY | Via: 1.1 a | Age: 3 | X-Cache: MISS from a",
            "Content-Type: text/html | X-Frame-Options: DENY | Set-Cookie: a=1; Secure | X-B: 2",
        ] {
            assert_eq!(evidence(harmless), None, "{harmless}");
        }
        for (arrived, expected) in [
            ("Content-Type: text/html", "X-Frame-Options is missing"),
            (
                "Content-Type: text/plain | X-Frame-Options: DENY",
                "Content-Type is now text/plain",
            ),
            (
                "Content-Type: text/html | X-Frame-Options: DENY | Set-Cookie: id=7",
                "Set-Cookie: id=7 was added",
            ),
            (
                "Content-Type: text/html | X-Frame-Options: DENY | refresh: 0;url=http://ads/",
                "refresh: 0;url=http://ads/ was added",
            ),
        ] {
            assert_eq!(evidence(arrived).as_deref(), Some(expected), "{arrived}");
        }
    }
}
