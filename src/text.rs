//! Text out of bytes: charset detection, decoding to UTF-8, the title of a page, and the digest of a body.

mod depth;
mod position;

use std::borrow::Cow;
use std::fmt;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

pub(crate) use depth::is_too_deep;
pub(crate) use position::position;

/// Bytes searched for `<meta charset>` (the HTML standard's prescan) and for `<title>`.
const META_WINDOW: usize = 1024;
const TITLE_WINDOW: usize = 8 * 1024;
/// Longest title kept, in characters.
const TITLE_CHARS: usize = 300;

/// Types that are text beside `text/*`, `*+json` and `*+xml`.
const TEXT_TYPES: [&str; 6] = [
    "application/json",
    "application/xml",
    "application/javascript",
    "application/x-javascript",
    "application/x-www-form-urlencoded",
    "application/x-ndjson",
];

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

/// The charset a text body is in: byte order mark, then `charset=`, then `<meta charset>`, then UTF-8 if it is valid
/// UTF-8, else windows-1252 (what browsers assume).
pub fn charset(content_type: Option<&str>, bytes: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding;
    }
    let labelled = content_type.and_then(|value| parameter(value.as_bytes(), b"charset="));
    if let Some(encoding) = labelled.and_then(Encoding::for_label) {
        return encoding;
    }
    if is_html(content_type, bytes) {
        let head = &bytes[..bytes.len().min(META_WINDOW)];
        if let Some(encoding) = parameter(head, b"charset=").and_then(Encoding::for_label) {
            // A page that was readable as ASCII so far is not UTF-16, whatever it says (HTML standard).
            return if encoding == encoding_rs::UTF_16LE || encoding == encoding_rs::UTF_16BE {
                UTF_8
            } else {
                encoding
            };
        }
    }
    if utf8(bytes).is_some() {
        UTF_8
    } else {
        WINDOWS_1252
    }
}

fn parameter<'a>(haystack: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let start = haystack
        .windows(name.len())
        .position(|window| window.eq_ignore_ascii_case(name))?;
    let rest = haystack[start + name.len()..].trim_ascii_start();
    let rest = rest
        .strip_prefix(b"\"")
        .or(rest.strip_prefix(b"'"))
        .unwrap_or(rest);
    let end = rest.iter().position(|b| {
        matches!(
            b,
            b'"' | b'\'' | b';' | b'>' | b'/' | b' ' | b'\t' | b'\r' | b'\n'
        )
    });
    Some(&rest[..end.unwrap_or(rest.len())])
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

/// The folded text of the first `<title>` of an HTML body, its basic entities decoded.
pub fn title(content_type: Option<&str>, bytes: &[u8]) -> Option<String> {
    if !is_html(content_type, bytes) {
        return None;
    }
    let window = &bytes[..bytes.len().min(TITLE_WINDOW)];
    let open = find_tag(window, b"<title")?;
    let start = open + memchr::memchr(b'>', &window[open..])? + 1;
    let length = find_tag(&window[start..], b"</title")?;
    let title = &window[start..start + length];
    // The same in every charset a page is read in: those that shift to other letters do it with an escape.
    if title.is_ascii() && !title.contains(&0x1b) {
        return folded_ascii(title);
    }
    let encoding = charset(content_type, bytes);
    folded(&encoding.decode_without_bom_handling(title).0)
}

/// As [`folded`], for the letters most titles are of.
fn folded_ascii(title: &[u8]) -> Option<String> {
    let mut text = Vec::with_capacity(title.len());
    for word in title.split(|byte| matches!(byte, b' ' | b'\t'..=b'\r')) {
        if !word.is_empty() && !text.is_empty() {
            text.push(b' ');
        }
        text.extend_from_slice(word);
    }
    bounded(String::from_utf8(text).ok()?)
}

/// The words of a title, entities decoded, up to [`TITLE_CHARS`]; `None` when there are none.
fn folded(title: &str) -> Option<String> {
    let mut text = String::with_capacity(title.len());
    let mut after_space = false;
    for c in title.chars() {
        if c.is_whitespace() {
            after_space = !text.is_empty();
            continue;
        }
        if std::mem::take(&mut after_space) {
            text.push(' ');
        }
        text.push(c);
    }
    bounded(text)
}

/// The last steps: entities, length.
fn bounded(text: String) -> Option<String> {
    let mut text = match unescape(&text) {
        Cow::Owned(text) => text,
        Cow::Borrowed(_) => text,
    };
    if text.len() > TITLE_CHARS
        && let Some((end, _)) = text.char_indices().nth(TITLE_CHARS)
    {
        text.truncate(end);
    }
    (!text.is_empty()).then_some(text)
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

fn find_tag(haystack: &[u8], tag: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'<', haystack).find(|&at| {
        haystack.len() - at >= tag.len() && haystack[at..at + tag.len()].eq_ignore_ascii_case(tag)
    })
}

/// Decodes the entities that occur in titles and sentences; others stay as written.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'&', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        // No name is longer; looking further each time would take a page of ampersands for ever.
        let end = rest.bytes().skip(1).take(11).position(|byte| byte == b';');
        let entity = end.map(|end| &rest[1..=end]);
        match entity.and_then(entity_char) {
            Some(c) => {
                out.push(c);
                rest = &rest[entity.map_or(1, |e| e.len() + 2)..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn entity_char(entity: &str) -> Option<char> {
    Some(match entity {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charset_comes_from_bom_then_header_then_meta_then_the_bytes() {
        assert_eq!(
            charset(Some("text/html; charset=utf-8"), b"\xff\xfeh\0").name(),
            "UTF-16LE"
        );
        assert_eq!(
            charset(
                Some("text/html; Charset=\"KOI8-R\""),
                b"<meta charset=utf-8>"
            )
            .name(),
            "KOI8-R"
        );
        assert_eq!(
            charset(Some("text/html"), b"<meta charset='shift_jis'>").name(),
            "Shift_JIS"
        );
        assert_eq!(charset(Some("text/plain"), "é".as_bytes()).name(), "UTF-8");
        assert_eq!(
            charset(Some("text/plain"), b"caf\xe9").name(),
            "windows-1252"
        );
        assert_eq!(decode(Some("text/plain"), b"caf\xe9"), "café");
    }

    #[test]
    fn titles_are_folded_and_unescaped() {
        let page =
            b"<!doctype html><html><head><TITLE lang=en>\n A &amp; B&#39;s\n  page &copy; </title>";
        assert_eq!(
            title(Some("text/html"), page).as_deref(),
            Some("A & B's page &copy;")
        );
        assert_eq!(title(Some("application/json"), page), None);
        assert_eq!(title(Some("text/html"), b"<title></title>"), None);
    }

    proptest::proptest! {
        #[test]
        fn titles_of_plain_letters_are_folded_as_any_others(title in "[ -~\\t\\r\\n\\x0b\\x0c\\x1c&;#0-9a-z]{0,330}") {
            proptest::prop_assert_eq!(folded_ascii(title.as_bytes()), folded(&title));
        }

        #[test]
        fn never_panics_on_any_bytes(bytes: Vec<u8>, kind in "[ -~]{0,20}") {
            let _ = title(Some("text/html"), &bytes);
            let _ = title(None, &bytes);
            let _ = decode(Some(&kind), &bytes);
        }
    }
}
