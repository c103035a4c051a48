//! What a judge answers: the request as it came, signed, with a cookie for who wants one; a canary page; a redirect to itself; the
//! bare address.

use std::time::{SystemTime, UNIX_EPOCH};

use url::Url;

use super::answer::Answer;
use super::origin::Request;
use super::pages;
use super::wire::split_authority;
use crate::echo::{self, Echo, Key, PublicKey};

/// A judge, apart from its sockets.
#[derive(Debug)]
pub(super) struct Judge {
    key: Key,
}

impl Judge {
    pub(super) fn new(key: Key) -> Self {
        Judge { key }
    }

    /// The half of its key that everybody may know.
    pub(super) fn public_key(&self) -> PublicKey {
        self.key.public()
    }

    /// The answer to `request`, whose target below the judge's own path is `path` (with query).
    pub(super) fn answer(&self, request: &Request<'_>, path: &str) -> Answer {
        // Whatever else a client may want to do here, it is nothing that a judge does.
        if !matches!(request.method, "GET" | "HEAD") {
            return pages::status_page(405).header("Allow", "GET, HEAD");
        }
        let nonce = pages::query(path, "nonce").filter(|nonce| echo::is_nonce(nonce));
        match path.split('?').next().unwrap_or_default() {
            "" | "/" | "/echo" => {
                let echo = self.echo(request, nonce);
                fresh(Answer::new(200, "application/json", echo.signed(&self.key)))
            }
            "/ip" => fresh(Answer::new(
                200,
                "text/plain",
                format!("{}\n", request.via.exit),
            )),
            "/cookie" => {
                let echo = self.echo(request, nonce.clone());
                let answer = Answer::new(200, "application/json", echo.signed(&self.key));
                fresh(match nonce {
                    Some(nonce) => answer.header("Set-Cookie", cookie(&nonce)),
                    None => answer,
                })
            }
            "/redirect" => match pages::query(path, "to").and_then(|to| own_page(request, &to)) {
                Some(to) => fresh(pages::redirect(302, to)),
                None => pages::status_page(400),
            },
            "/canary" => match nonce {
                Some(nonce) => fresh(guarded(Answer::html(200, echo::canary(&nonce)))),
                None => pages::status_page(400),
            },
            "/key" => {
                let key = self.key.public().to_base64();
                fresh(Answer::new(200, "text/plain", format!("{key}\n")))
            }
            _ => pages::status_page(404),
        }
    }

    fn echo(&self, request: &Request<'_>, nonce: Option<String>) -> Echo {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Echo {
            v: echo::VERSION,
            client: request.via.exit,
            https: request.https,
            http: if request.http2 { "2" } else { "1" }.to_owned(),
            method: request.method.to_owned(),
            target: request.path.to_owned(),
            headers: request
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            nonce,
            resumed_from: request.resumed.map(|made| made.exit),
            at_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            key: self.key.public().to_base64(),
        }
    }
}

/// For all paths, since a judge answers at more than one, and for a while only.
fn cookie(nonce: &str) -> String {
    format!("{}=1; Path=/; Max-Age=600", echo::cookie_name(nonce))
}

/// The URL, if it is a page of a judge on the host that was asked, by http or https and at any port. A judge that redirected to
/// other hosts would lend its good name to everybody.
fn own_page(request: &Request<'_>, to: &str) -> Option<String> {
    let to = Url::parse(to).ok()?;
    // HTTP/2 has the name elsewhere, and the judge by itself has it in the header alone.
    let host = request.header("host").map(|host| split_authority(host, 0));
    let host = match host {
        Some(host) => host?.0,
        None => request.host.to_owned(),
    };
    let name = to.host_str()?.trim_start_matches('[').trim_end_matches(']');
    let is_page = ["/echo", "/cookie"]
        .iter()
        .any(|page| to.path().ends_with(page));
    let plain = to.username().is_empty() && to.password().is_none() && to.fragment().is_none();
    let web = matches!(to.scheme(), "http" | "https");
    (web && plain && is_page && name.eq_ignore_ascii_case(&host)).then(|| to.into())
}

/// Caches that keep it all the same are found out by the nonce.
fn fresh(answer: Answer) -> Answer {
    answer.header("Cache-Control", "no-store")
}

/// As sites guard their pages: a proxy that wants to put something into them has to take this away. The cookie is there to be
/// dropped or rewritten, and for nobody to keep.
fn guarded(page: Answer) -> Answer {
    page.header("Content-Security-Policy", "frame-ancestors 'none'")
        .header("X-Frame-Options", "DENY")
        .header("X-Content-Type-Options", "nosniff")
        .header("Referrer-Policy", "no-referrer")
        .header("Content-Language", "en")
        .header("Set-Cookie", "canary=1; Path=/; Max-Age=0; HttpOnly")
}

/// What follows `/judge`.
pub(super) fn below_judge(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/judge")?;
    rest.starts_with(['/', '?'])
        .then_some(rest)
        .or(rest.is_empty().then_some(rest))
}
