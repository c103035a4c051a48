//! WARC, as crawlers and archives save what they have fetched.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use url::Url;

use super::http::{head, headers, unwrapped};
use super::{Parts, Saved};
use crate::error::Problem;

/// Bytes of one archive, unpacked, that are read.
const LONGEST: u64 = 1024 * 1024 * 1024;

pub(super) fn read(name: &str, bytes: Vec<u8>) -> Result<Vec<Saved>, Problem> {
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut out = Vec::new();
        let unpacked = MultiGzDecoder::new(&*bytes)
            .take(LONGEST)
            .read_to_end(&mut out);
        unpacked.map_err(|error| Problem::new(format!("its gzip is damaged: {error}")))?;
        out
    } else {
        bytes
    };
    let mut all = Vec::new();
    let mut rest = &bytes[..];
    let mut number = 0;
    while let Some(start) = rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
        rest = &rest[start..];
        number += 1;
        let damaged = |what: &str| Problem::new(format!("record {number}: {what}"));
        if !rest.starts_with(b"WARC/") {
            return Err(damaged("it does not begin with WARC/"));
        }
        let line = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        rest = &rest[line..];
        let fields = headers(&mut rest);
        let field = |name: &str| fields.get(name).and_then(|value| value.to_str().ok());
        let length: usize = field("content-length")
            .and_then(|length| length.parse().ok())
            .ok_or_else(|| damaged("it has no Content-Length"))?;
        let block = &rest[..length.min(rest.len())];
        rest = &rest[block.len()..];
        if field("warc-type") != Some("response") {
            continue;
        }
        let Some((status, headers, body)) = head(block) else {
            continue;
        };
        let url = field("warc-target-uri").map(|url| url.trim_matches(['<', '>']));
        let parts = Parts {
            url: url.and_then(|url| Url::parse(url).ok()),
            status: Some(status),
            body: unwrapped(&headers, body),
            headers,
            trusted: true,
            ..Parts::default()
        };
        all.push(parts.saved(format!("{name}:{number}")));
    }
    Ok(all)
}
