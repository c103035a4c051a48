//! What people say that saved pages are.

use std::collections::HashMap;

use http::HeaderMap;
use serde::Deserialize;
use url::Url;

use super::http::add;
use crate::error::Problem;

/// One line of a file of labels.
#[derive(Debug, Clone)]
pub struct Label {
    /// `ok`, `ban`, `challenge`, `rate-limit`, `consent`, `proxy-error`, `captive/tamper`, `origin-error`.
    pub kind: String,
    /// Who made the page; `none`, `custom` and `generic` are nobody in particular.
    pub vendor: String,
    /// Other kinds that are a fair answer too.
    pub accept: Vec<String>,
    /// Nobody can tell from the answer alone.
    pub ambiguous: bool,
    /// Recorded with the page, else what it usually comes with.
    pub status: Option<u16>,
    /// What it was asked for with.
    pub url: Option<Url>,
    pub(super) headers: HeaderMap,
    pub(super) has_headers: bool,
}

#[derive(Deserialize)]
struct Line {
    file: String,
    kind: String,
    #[serde(default)]
    vendor: Option<String>,
    #[serde(default)]
    accept: Option<Vec<String>>,
    #[serde(default)]
    ambiguous: bool,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    headers: Option<Vec<(String, String)>>,
}

/// Labels by file name, from JSON lines.
///
/// # Errors
/// A line that is no label; the problem names it.
pub fn labels(text: &str) -> Result<HashMap<String, Label>, Problem> {
    let mut all = HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(line).map_err(|error| {
            Problem::new(format!("line {number}: no label: {error}")).hint(
                "write {\"file\": \"page.html\", \"kind\": \"ban\", \"vendor\": \"cloudflare\"}",
            )
        })?;
        let mut headers = HeaderMap::new();
        for (name, value) in line.headers.iter().flatten() {
            add(&mut headers, name.as_bytes(), value.as_bytes());
        }
        let url = line.url.as_deref().and_then(|url| Url::parse(url).ok());
        let label = Label {
            kind: line.kind,
            vendor: line.vendor.unwrap_or_else(|| "none".into()),
            accept: line.accept.unwrap_or_default(),
            ambiguous: line.ambiguous,
            status: line.status,
            url: url.filter(Url::has_host),
            headers,
            has_headers: line.headers.is_some(),
        };
        all.insert(line.file, label);
    }
    Ok(all)
}
