//! Direct traffic that is not to a target: proxy lists from a URL, and what somebody wants to be told of a run.
//!
//! The one place where reqwest is used, and the one place beside the pool member `direct` where the client's own address is
//! seen. Proxies of the environment are ignored. URLs of lists hold tokens, so errors name only the host.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    CONTENT_TYPE, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Client, Response, StatusCode};
use url::Url;

use super::{fault, tls};
use crate::error::Error;

/// Largest list: a million lines of 64 bytes.
const LIST_MAX: usize = 64 * 1024 * 1024;
/// Whole transfer. Vendors assemble long lists while they send.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// Whole delivery of something that somebody is told.
const POST_TIMEOUT: Duration = Duration::from_secs(15);
/// Reaching the list's server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a server said about the version it sent, to be shown to it next time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

/// A list, or that it is still the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The version with these validators is current.
    NotModified,
    /// The list.
    Body {
        /// Decoded bytes.
        bytes: Bytes,
        /// For the next time.
        validators: Validators,
    },
}

/// Fetches the proxy list at `url`, unless it is still the version of `cached`.
///
/// # Errors
/// The server cannot be reached, takes longer than 60 s, answers with anything but success, or sends more than 64 MB.
pub async fn fetch_list(url: &Url, cached: &Validators) -> Result<Fetched, Error> {
    fetch(url, cached).await.map_err(|why| {
        let port = url.port().map(|port| format!(":{port}"));
        let named = format!(
            "{}://{}{}/…",
            url.scheme(),
            url.host_str().unwrap_or(""),
            port.unwrap_or_default()
        );
        Error::io("fetch", named, io::Error::other(why))
    })
}

/// Sends JSON to `url` with these headers more. Redirects are not followed: who was named is told, and nobody else.
///
/// # Errors
/// Why it did not arrive, without the address, which often holds a token: no connection, no answer within 15 s, or one that is not
/// success.
pub async fn post(url: &Url, body: Bytes, headers: &[(HeaderName, String)]) -> Result<(), String> {
    let client = builder(POST_TIMEOUT)?
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(described)?;
    let mut request = client.post(url.clone()).body(body);
    request = request.header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    match request.send().await.map_err(described)?.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("the server answered {status}")),
    }
}

/// A client that takes no proxy of the environment.
fn builder(timeout: Duration) -> Result<reqwest::ClientBuilder, String> {
    let config = tls::builtin().map_err(|error| error.to_string())?;
    Ok(Client::builder()
        .tls_backend_preconfigured(config)
        .no_proxy()
        .timeout(timeout)
        .connect_timeout(CONNECT_TIMEOUT))
}

async fn fetch(url: &Url, cached: &Validators) -> Result<Fetched, String> {
    let client = builder(LIST_TIMEOUT)?.build().map_err(described)?;
    let mut request = client.get(url.clone());
    if let Some(etag) = &cached.etag {
        request = request.header(IF_NONE_MATCH, etag);
    }
    if let Some(date) = &cached.last_modified {
        request = request.header(IF_MODIFIED_SINCE, date);
    }
    let response = request.send().await.map_err(described)?;
    match response.status() {
        StatusCode::NOT_MODIFIED => Ok(Fetched::NotModified),
        status if status.is_success() => read(response).await,
        status => Err(format!("the server answered {status}")),
    }
}

async fn read(mut response: Response) -> Result<Fetched, String> {
    let validator = |name: HeaderName| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let validators = Validators {
        etag: validator(ETAG),
        last_modified: validator(LAST_MODIFIED),
    };
    let mut bytes = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(described)? {
        if bytes.len() + chunk.len() > LIST_MAX {
            return Err("the list is larger than 64 MB".into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Fetched::Body {
        bytes: bytes.freeze(),
        validators,
    })
}

/// The error with its causes, without the URL.
fn described(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        text.push_str(": ");
        if let Some(why) = fault::certificate_in(inner) {
            text.push_str(&why);
            break;
        }
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
