//! HAR, as browsers save what they have loaded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use url::Url;

use super::http::add;
use super::{Parts, Saved};
use crate::error::Problem;

#[derive(Deserialize)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    request: Request,
    response: Response,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    url: String,
}

#[derive(Deserialize)]
struct Response {
    /// 0 for a request that failed.
    status: i64,
    #[serde(default)]
    headers: Vec<Header>,
    #[serde(default)]
    content: Content,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Content {
    text: Option<String>,
    encoding: Option<String>,
    mime_type: Option<String>,
}

pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Vec<Saved>, Problem> {
    let har: Har = serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(format!("this is no HAR: {error}")))?;
    let entries = (1..).zip(har.log.entries);
    Ok(entries
        .filter_map(|(number, entry)| Some(parts(entry)?.saved(format!("{name}:{number}"))))
        .collect())
}

fn parts(entry: Entry) -> Option<Parts> {
    let Response {
        status,
        headers,
        content,
    } = entry.response;
    let mut parts = Parts {
        url: Url::parse(&entry.request.url).ok(),
        method: entry.request.method.parse().ok(),
        status: u16::try_from(status).ok().filter(|status| *status >= 100),
        trusted: true,
        ..Parts::default()
    };
    parts.status?;
    for Header { name, value } in headers {
        // Browsers show the headers of HTTP/2 that are none.
        if !name.starts_with(':') {
            for value in value.split('\n') {
                add(&mut parts.headers, name.as_bytes(), value.as_bytes());
            }
        }
    }
    if let Some(kind) = content.mime_type
        && !parts.headers.contains_key("content-type")
    {
        add(&mut parts.headers, b"content-type", kind.as_bytes());
    }
    let text = content.text.unwrap_or_default();
    parts.body = match content.encoding.as_deref() {
        Some("base64") => STANDARD.decode(text.trim()).ok()?.into(),
        _ => text.into_bytes().into(),
    };
    Some(parts)
}
