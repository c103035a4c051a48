//! One page in a file, with or without its head.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::http::{head, unwrapped};
use super::{Label, Parts, Saved};

pub(super) fn read(name: &str, bytes: Vec<u8>, label: Option<&Label>) -> Saved {
    let mut parts = Parts {
        url: label.and_then(|label| label.url.clone()),
        status: label.and_then(|label| label.status),
        headers: label.map(|label| label.headers.clone()).unwrap_or_default(),
        ..Parts::default()
    };
    match head(&bytes) {
        Some((status, headers, body)) => {
            parts.status = Some(status);
            parts.body = unwrapped(&headers, body);
            parts.headers = headers;
        }
        None => parts.body = bytes.into(),
    }
    if label.is_none_or(|label| !label.has_headers) && !parts.headers.contains_key(CONTENT_TYPE) {
        typed(&mut parts.headers, name, &parts.body);
    }
    parts.saved(name.to_owned())
}

/// The type of a file that nobody has recorded.
fn typed(headers: &mut HeaderMap, name: &str, body: &[u8]) {
    let suffix = name.rsplit('.').next().unwrap_or_default();
    let start = &body[..body.len().min(4096)];
    let page = |tag: &[u8]| {
        start
            .windows(tag.len())
            .any(|each| each.eq_ignore_ascii_case(tag))
    };
    let kind = match suffix {
        "json" => "application/json",
        "xml" => "application/xml",
        "html" | "htm" | "xhtml" => "text/html",
        _ if page(b"<html") || page(b"<!doctype html") => "text/html",
        _ => "text/plain",
    };
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
}
