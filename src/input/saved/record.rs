//! Our own records, saved with `--body inline` or `--body base64`, and `--headers`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use url::Url;

use super::http::add;
use super::{Parts, Saved};
use crate::error::Problem;

pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Vec<Saved>, Problem> {
    let mut all = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let record: Value = serde_json::from_slice(line)
            .map_err(|error| Problem::new(format!("line {number}: {error}")))?;
        if let Some(parts) = parts(&record) {
            all.push(parts.saved(format!("{name}:{number}")));
        }
    }
    Ok(all)
}

/// `None` for a record without an answer.
fn parts(record: &Value) -> Option<Parts> {
    let text = |key: &str| record.get(key).and_then(Value::as_str);
    let status = record.get("status")?.as_u64()?;
    let mut parts = Parts {
        url: text("final_url")
            .or(text("url"))
            .and_then(|url| Url::parse(url).ok()),
        method: text("method").and_then(|method| method.parse().ok()),
        status: u16::try_from(status).ok(),
        trusted: true,
        ..Parts::default()
    };
    for (name, values) in record
        .get("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        for value in values
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            add(&mut parts.headers, name.as_bytes(), value.as_bytes());
        }
    }
    if let Some(kind) = text("content_type")
        && !parts.headers.contains_key(CONTENT_TYPE)
    {
        add(&mut parts.headers, b"content-type", kind.as_bytes());
    }
    if let Some(body) = text("body") {
        // The record's text is UTF-8, whatever the page was in.
        if let Some(kind) = parts
            .headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
        {
            let essence = kind.split(';').next().unwrap_or_default().to_owned();
            parts.headers.remove(CONTENT_TYPE);
            add(
                &mut parts.headers,
                b"content-type",
                format!("{essence}; charset=utf-8").as_bytes(),
            );
        }
        parts.body = Bytes::copy_from_slice(body.as_bytes());
    } else {
        let body = match (text("body_b64"), text("body_path")) {
            (Some(body), _) => STANDARD.decode(body).ok(),
            (None, Some(path)) => std::fs::read(path).ok(),
            (None, None) => None,
        };
        let size = record.get("size_body").and_then(Value::as_u64);
        parts.lacks_body = body.is_none() && size != Some(0);
        parts.body = body.unwrap_or_default().into();
    }
    Some(parts)
}
