//! Answers that were saved: pages, our own records, HAR and WARC, read back as exchanges to be judged again.
//!
//! Rules are tuned on what was seen, not on what proxies have to be spent for. A saved answer knows less than a fresh one: who
//! could have written it is known when its URL is, and else taken to be anybody. Everything is read into memory, one file at a
//! time; what a file says wrong is told with its place.

mod har;
mod http;
mod label;
mod page;
mod record;
mod warc;

pub use label::{Label, labels};

use ::http::{HeaderMap, Method, StatusCode, Version};
use bytes::Bytes;
use url::Url;

use crate::error::Problem;
use crate::exchange::{Body, Exchange, Response};

/// One saved answer.
#[derive(Debug)]
pub struct Saved {
    /// Its file, and its place in the file where there are several.
    pub name: String,
    /// What was asked for; a stand-in when nobody knows.
    pub url: Url,
    /// How.
    pub method: Method,
    /// What came back.
    pub exchange: Exchange,
    /// Its body was not saved, so that only the rest of it can be judged.
    pub lacks_body: bool,
}

/// An answer in parts, before it is an exchange.
#[derive(Debug, Default)]
struct Parts {
    url: Option<Url>,
    method: Option<Method>,
    status: Option<u16>,
    headers: HeaderMap,
    body: Bytes,
    /// A URL with https means that only the target can have written it: true where the client is known to have verified it.
    trusted: bool,
    /// See [`Saved::lacks_body`].
    lacks_body: bool,
}

impl Parts {
    fn saved(self, name: String) -> Saved {
        let verified = self.trusted && self.url.as_ref().is_some_and(|url| url.scheme() == "https");
        Saved {
            name,
            lacks_body: self.lacks_body,
            url: self.url.unwrap_or_else(unknown),
            method: self.method.unwrap_or(Method::GET),
            exchange: Exchange::answered(
                Response {
                    status: self
                        .status
                        .and_then(|status| StatusCode::from_u16(status).ok())
                        .unwrap_or(StatusCode::OK),
                    version: Version::HTTP_11,
                    headers: self.headers,
                    body: Body {
                        size_wire: self.body.len() as u64,
                        bytes: self.body,
                        truncated: None,
                        broken: None,
                    },
                },
                verified,
            ),
        }
    }
}

/// Host that stands in for one that was not saved.
pub const UNKNOWN: &str = "unknown.invalid";

/// With http, so that anybody may have answered.
fn unknown() -> Url {
    Url::parse(&format!("http://{UNKNOWN}/")).expect("a constant URL")
}

/// Reads the answers in a file; by the suffix of its name what they are, else a page.
///
/// A page may begin with a status line and headers, as `curl -i` prints them. `label` fills in what a page does not say of
/// itself.
///
/// # Errors
/// What the suffix promises is not there; the problem names line or record.
pub fn answers(name: &str, bytes: Vec<u8>, label: Option<&Label>) -> Result<Vec<Saved>, Problem> {
    let suffix = |end: &str| {
        let at = name.len().checked_sub(end.len());
        at.and_then(|at| name.get(at..))
            .is_some_and(|found| found.eq_ignore_ascii_case(end))
    };
    let read = if suffix(".har") {
        har::read(name, &bytes)
    } else if suffix(".warc") || suffix(".warc.gz") {
        warc::read(name, bytes)
    } else if suffix(".jsonl") || suffix(".ndjson") {
        record::read(name, &bytes)
    } else {
        Ok(vec![page::read(name, bytes, label)])
    };
    read.map_err(|problem| problem.at(name))
}

#[cfg(test)]
mod tests;
