//! Every error page that squid can print, in every language that is installed: its own answer where it can have written it, and
//! the target's where it cannot.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use proxywheel::ban::{self, Judge, Seen};
use proxywheel::exchange::{Body, Exchange, Phases, ProxyReply, Response};
use proxywheel::outcome::{Fault, FaultKind, Outcome, Phase, Verdict};
use url::Url;

/// Where Debian has squid's pages, a folder for each language (package squid-langpack, on which squid depends).
const TEMPLATES: &str = "/usr/share/squid/errors";

/// Pages that tell of a success, or that are shown to administrators.
const NO_ERRORS: [&str; 6] = [
    "ERR_AGENT_CONFIGURE",
    "ERR_AGENT_WPAD",
    "ERR_CACHE_MGR_ACCESS_DENIED",
    "ERR_DIR_LISTING",
    "ERR_FTP_PUT_CREATED",
    "ERR_FTP_PUT_MODIFIED",
];

/// The status squid sends this page with, and the class that its answer has to have.
fn nature(error: &str) -> (u16, &'static str) {
    match error {
        "ERR_CACHE_ACCESS_DENIED" => (407, "proxy_auth"),
        "ERR_ACCESS_DENIED" | "ERR_FORWARDING_DENIED" | "ERR_ACL_TIME_QUOTA_EXCEEDED" => {
            (403, "proxy_policy")
        }
        "ERR_FTP_FORBIDDEN" => (403, "proxy_policy"),
        "ERR_TOO_BIG" => (413, "proxy_policy"),
        "ERR_UNSUP_REQ" => (501, "proxy_policy"),
        "ERR_INVALID_URL" | "ERR_INVALID_REQ" | "ERR_PROTOCOL_UNKNOWN" => (400, "proxy_error"),
        "ERR_CONFLICT_HOST" => (409, "proxy_error"),
        "ERR_FTP_NOT_FOUND" | "ERR_URN_RESOLVE" => (404, "proxy_error"),
        "ERR_PRECONDITION_FAILED" => (412, "proxy_error"),
        "ERR_ICAP_FAILURE" | "ERR_CANNOT_FORWARD" | "ERR_SOCKET_FAILURE" => (500, "proxy_error"),
        "ERR_UNSUP_HTTPVERSION" => (505, "proxy_error"),
        "ERR_READ_TIMEOUT"
        | "ERR_LIFETIME_EXP"
        | "ERR_ONLY_IF_CACHED_MISS"
        | "ERR_GATEWAY_FAILURE" => (504, "proxy_error"),
        "ERR_READ_ERROR" | "ERR_ZERO_SIZE_OBJECT" | "ERR_INVALID_RESP" | "ERR_WRITE_ERROR" => {
            (502, "proxy_error")
        }
        _ => (503, "proxy_error"),
    }
}

/// One page of squid's as it would be sent.
struct Sent {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Sent {
    /// With the headers that squid adds, or `bare` with none of those that name it: some administrators hide it.
    fn new(error: &str, template: &str, bare: bool) -> Self {
        let body = template
            .replace("%c", error)
            .replace("%U", "http://a.example/")
            .replace("%h", "gate.example")
            .replace("%s", "squid/5.7");
        let mut headers = HeaderMap::new();
        let mut add = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value).expect("a value");
            headers.append(HeaderName::from_static(name), value);
        };
        add("content-type", "text/html;charset=utf-8");
        if !bare {
            add("server", "squid/5.7");
            add("x-squid-error", &format!("{error} 0"));
            add("via", "1.1 gate.example (squid/5.7)");
        }
        let (status, _) = nature(error);
        Sent {
            status: StatusCode::from_u16(status).expect("a status"),
            headers,
            body: body.into(),
        }
    }

    /// What it comes to as the answer to CONNECT.
    fn refusal(&self, judge: &Judge) -> Verdict {
        let kind = FaultKind::Rejected(self.status.as_u16());
        let fault = Fault::new(Phase::Handshake, kind, "refused");
        let mut exchange = Exchange::unsent(fault, Phases::default());
        exchange.connect_reply = Some(Box::new(ProxyReply {
            status: self.status.as_u16(),
            reason: "".into(),
            headers: self.headers.clone(),
            body: self.body.clone(),
        }));
        classify(judge, "https://a.example/", &exchange)
    }

    /// What it comes to as the answer to a request, forwarded or through verified TLS.
    fn answer(&self, judge: &Judge, forwarded: bool) -> Verdict {
        let fault = Fault::new(Phase::Headers, FaultKind::Closed, "");
        let mut exchange = Exchange::unsent(fault, Phases::default());
        exchange.result = Ok(Response {
            status: self.status,
            version: Version::HTTP_11,
            headers: self.headers.clone(),
            body: Body {
                bytes: self.body.clone(),
                size_wire: self.body.len() as u64,
                truncated: None,
                broken: None,
            },
        });
        (exchange.forwarded, exchange.verified) = (forwarded, !forwarded);
        let url = if forwarded {
            "http://a.example/"
        } else {
            "https://a.example/"
        };
        classify(judge, url, &exchange)
    }
}

fn classify(judge: &Judge, url: &str, exchange: &Exchange) -> Verdict {
    let url: Url = url.parse().expect("a URL");
    let seen = Seen {
        url: &url,
        method: &Method::GET,
        https: url.scheme() == "https",
        follows: false,
        now: None,
    };
    judge.classify(&seen, exchange)
}

#[test]
fn every_page_of_squid_in_every_language_is_squids_and_through_tls_the_targets() {
    let judge = Judge::new(&ban::Settings::default()).expect("the built-in rules");
    let (mut languages, mut errors, mut wrong) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let folders = fs::read_dir(TEMPLATES)
        .unwrap_or_else(|error| panic!("{TEMPLATES} (Debian package squid-langpack): {error}"));
    // Dialects are links to their languages.
    let folders = folders.flatten().map(|entry| entry.path());
    for folder in folders.filter(|path| path.is_dir() && !path.is_symlink()) {
        for (error, template) in templates(&folder) {
            let (_, class) = nature(&error);
            // The header alone decides where it is there, so that one language is enough for it.
            let named = folder.ends_with("en").then_some(false);
            for bare in named.into_iter().chain([true]) {
                let sent = Sent::new(&error, &template, bare);
                for verdict in [sent.refusal(&judge), sent.answer(&judge, true)] {
                    let ban = verdict.ban.as_deref();
                    let told = ban.map(|ban| (&*ban.class, ban.vendor.as_deref()));
                    let is_squids = verdict.outcome == Outcome::ProxyError
                        && told.is_some_and(|(_, vendor)| vendor == Some("squid"));
                    // Without its header only the page tells the reason, and its rules know the reasons by status.
                    if !is_squids || !bare && told != Some((class, Some("squid"))) {
                        wrong.push(format!("{folder:?} {error}, bare {bare}: {verdict:?}"));
                    }
                }
                let beyond = sent.answer(&judge, false);
                if beyond.outcome != Outcome::HttpError || beyond.ban.is_some() {
                    wrong.push(format!("{folder:?} {error} through TLS: {beyond:?}"));
                }
            }
            errors.insert(error);
        }
        languages.insert(folder);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(languages.len() > 10, "{languages:?}");
    assert!(errors.len() > 30, "{errors:?}");
}

/// The error pages of a folder, by name.
fn templates(folder: &Path) -> Vec<(String, String)> {
    let files = fs::read_dir(folder).expect("a folder of pages").flatten();
    files
        .filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            let is_error = name.starts_with("ERR_") && !NO_ERRORS.contains(&&*name);
            let bytes = is_error.then(|| fs::read(file.path()).expect("a page"))?;
            Some((name, String::from_utf8_lossy(&bytes).into_owned()))
        })
        .collect()
}
