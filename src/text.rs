//! Text out of bytes: charset detection, decoding to UTF-8, the title of a page, and the digest of a body.

mod charset;
mod entity;
mod html;
mod position;
mod tags;
mod title;

use std::borrow::Cow;
use std::fmt;

use encoding_rs::UTF_8;
use serde_json::Value;

pub use charset::charset;
pub(crate) use entity::unescape;
pub(crate) use html::parse;
pub(crate) use position::position;
pub use title::title;

/// Types that are text beside `text/*`, `*+json` and `*+xml`.
const TEXT_TYPES: [&str; 6] = [
    "application/json",
    "application/xml",
    "application/javascript",
    "application/x-javascript",
    "application/x-www-form-urlencoded",
    "application/x-ndjson",
];

/// What sites write in front of JSON so that no page of others can run it as a script.
const GUARDS: [&str; 6] = [
    ")]}',",
    ")]}'",
    "while(1);",
    "while (1);",
    "for(;;);",
    "for (;;);",
];

/// The value of a JSON text, whatever guards it from being run as a script.
pub(crate) fn json(text: &str) -> serde_json::Result<Value> {
    let start = text.trim_start();
    let guarded = GUARDS.iter().find_map(|guard| start.strip_prefix(guard));
    serde_json::from_str(guarded.unwrap_or(text))
}

/// The characters of what a stranger wrote that a terminal only shows: none that moves its cursor or changes a colour.
pub(crate) fn harmless(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|c| !c.is_control())
}

/// True for content types whose body is text; a missing type counts as text when the bytes look like it.
pub fn is_text(content_type: Option<&str>, bytes: &[u8]) -> bool {
    let Some(essence) = essence(content_type) else {
        return !bytes[..bytes.len().min(512)].contains(&0);
    };
    let (kind, _) = essence.split_once('/').unwrap_or_default();
    let (_, suffix) = essence.rsplit_once('+').unwrap_or_default();
    kind.eq_ignore_ascii_case("text")
        || suffix.eq_ignore_ascii_case("json")
        || suffix.eq_ignore_ascii_case("xml")
        || TEXT_TYPES
            .iter()
            .any(|name| essence.eq_ignore_ascii_case(name))
}

/// True for HTML and XHTML, and for an unlabelled body that starts like a page.
pub fn is_html(content_type: Option<&str>, bytes: &[u8]) -> bool {
    match essence(content_type) {
        Some(essence) => {
            essence.eq_ignore_ascii_case("text/html")
                || essence.eq_ignore_ascii_case("application/xhtml+xml")
        }
        None => {
            let start = bytes.trim_ascii_start();
            start.first() == Some(&b'<') && is_text(None, bytes)
        }
    }
}

/// The type without parameters, as written.
fn essence(content_type: Option<&str>) -> Option<&str> {
    let value = content_type?;
    let end = value.bytes().position(|byte| byte == b';');
    let essence = value[..end.unwrap_or(value.len())].trim_ascii();
    (!essence.is_empty()).then_some(essence)
}

/// As [`std::str::from_utf8`] of a long text, which takes five times as long where not all of it is ASCII.
pub(crate) fn utf8(bytes: &[u8]) -> Option<&str> {
    match UTF_8.decode_without_bom_handling_and_without_replacement(bytes) {
        Some(Cow::Borrowed(text)) => Some(text),
        // It never copies what is UTF-8 already.
        _ => None,
    }
}

/// At most so many bytes of a text, whole letters.
pub(crate) fn beginning(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The body as UTF-8; broken sequences become U+FFFD, a byte order mark is dropped.
pub fn decode<'a>(content_type: Option<&str>, bytes: &'a [u8]) -> Cow<'a, str> {
    charset(content_type, bytes).decode(bytes).0
}

/// SHA-256 of a body; shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let mut all = [0; 32];
        all.copy_from_slice(digest.as_ref());
        Sha256(all)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

impl serde::Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn never_panics_on_any_bytes(bytes: Vec<u8>, kind in "[ -~]{0,20}") {
            let _ = title(Some("text/html"), &bytes);
            let _ = title(None, &bytes);
            let _ = decode(Some(&kind), &bytes);
        }
    }
}
