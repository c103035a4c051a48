//! The head of a saved HTTP answer, and its body without the wrappings of the wire.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::header::{CONTENT_ENCODING, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Bytes of a decompressed body that are kept: more than the rules read, less than a bomb has.
const LONGEST: u64 = 16 * 1024 * 1024;

/// A status line with headers, and what follows them; `None` when it does not begin like an answer.
pub(super) fn head(bytes: &[u8]) -> Option<(u16, HeaderMap, &[u8])> {
    let mut rest = bytes;
    let line = line(&mut rest)?;
    let line = line.strip_prefix(b"HTTP/")?;
    let status = line.split(|byte| *byte == b' ').nth(1)?;
    let status = std::str::from_utf8(status).ok()?.parse().ok()?;
    Some((status, headers(&mut rest), rest))
}

/// Header lines up to the empty one, which is taken too. What is no header is skipped.
pub(super) fn headers(rest: &mut &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    while let Some(line) = line(rest).filter(|line| !line.is_empty()) {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        add(&mut headers, &line[..colon], &line[colon + 1..]);
    }
    headers
}

/// Adds a header if it is one.
pub(super) fn add(headers: &mut HeaderMap, name: &[u8], value: &[u8]) {
    let name = HeaderName::from_bytes(name.trim_ascii());
    let value = HeaderValue::from_bytes(value.trim_ascii());
    if let (Ok(name), Ok(value)) = (name, value) {
        // A map of headers has room for 32,768; no saved answer needs more.
        let _ = headers.try_append(name, value);
    }
}

fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    let line = &rest[..end];
    *rest = rest.get(end + 1..).unwrap_or_default();
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// The body as it was before it went over the wire. Tools differ in what they save, so each wrapping is taken off only where
/// it is really there; brotli and zstd, which cannot be told, stay.
pub(super) fn unwrapped(headers: &HeaderMap, body: &[u8]) -> Bytes {
    let says = |name, word: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.to_ascii_lowercase().contains(word))
    };
    let whole = if says(TRANSFER_ENCODING, "chunked") {
        unchunked(body)
    } else {
        None
    };
    let packed = whole.as_deref().unwrap_or(body);
    let read = |mut from: &mut dyn Read| {
        let mut out = Vec::new();
        // A damaged end is no reason to lose the beginning.
        let _ = (&mut from).take(LONGEST).read_to_end(&mut out);
        (!out.is_empty()).then_some(out)
    };
    let plain = if packed.starts_with(&[0x1f, 0x8b]) {
        read(&mut MultiGzDecoder::new(packed))
    } else if says(CONTENT_ENCODING, "deflate") {
        read(&mut ZlibDecoder::new(packed)).or_else(|| read(&mut DeflateDecoder::new(packed)))
    } else {
        None
    };
    match (plain, whole) {
        (Some(plain), _) => plain.into(),
        (None, Some(whole)) => whole.into(),
        (None, None) => Bytes::copy_from_slice(body),
    }
}

/// Chunks joined; `None` when the body is not chunked after all.
fn unchunked(body: &[u8]) -> Option<Vec<u8>> {
    let mut rest = body;
    let mut out = Vec::new();
    loop {
        let size = line(&mut rest)?;
        let digits = size.split(|byte| *byte == b';').next()?.trim_ascii();
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            return Some(out);
        }
        let Some(chunk) = rest.get(..size) else {
            out.extend_from_slice(rest);
            return Some(out);
        };
        out.extend_from_slice(chunk);
        rest = &rest[size..];
        rest = rest
            .strip_prefix(b"\r\n")
            .or(rest.strip_prefix(b"\n"))
            .unwrap_or(rest);
    }
}
