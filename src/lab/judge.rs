//! What a judge answers: the request as it came, signed; a canary page; the bare address.

use std::time::{SystemTime, UNIX_EPOCH};

use super::answer::Answer;
use super::origin::Request;
use super::pages;
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
            "/canary" => match nonce {
                Some(nonce) => fresh(Answer::html(200, echo::canary(&nonce))),
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
            at_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            key: self.key.public().to_base64(),
        }
    }
}

/// Caches that keep it all the same are found out by the nonce.
fn fresh(answer: Answer) -> Answer {
    answer.header("Cache-Control", "no-store")
}

/// What follows `/judge`.
pub(super) fn below_judge(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/judge")?;
    rest.starts_with(['/', '?'])
        .then_some(rest)
        .or(rest.is_empty().then_some(rest))
}
