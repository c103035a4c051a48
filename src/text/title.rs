//! The title of a page.

use std::borrow::Cow;

use encoding_rs::{UTF_16BE, UTF_16LE};

use super::tags::Tags;
use super::{charset, is_html, unescape};

/// Bytes searched for `<title>`: some pages have tens of kilobytes of styles in front of it.
const TITLE_WINDOW: usize = 64 * 1024;
/// Longest title kept, in characters.
const TITLE_CHARS: usize = 300;

/// The folded text of the first `<title>` of an HTML body, its entities decoded.
pub fn title(content_type: Option<&str>, bytes: &[u8]) -> Option<String> {
    if !is_html(content_type, bytes) {
        return None;
    }
    let window = &bytes[..bytes.len().min(TITLE_WINDOW)];
    // In no other charset does a page begin with a zero; in these no tag is found in the bytes.
    if window.iter().take(4).any(|byte| *byte == 0) {
        let encoding = charset(content_type, bytes);
        if encoding == UTF_16LE || encoding == UTF_16BE {
            let text = encoding.decode(window).0;
            return folded(std::str::from_utf8(element(text.as_bytes())?).ok()?);
        }
    }
    let title = element(window)?;
    // The same in every charset a page is read in: those that shift to other letters do it with an escape.
    if title.is_ascii() && !title.contains(&0x1b) {
        return folded_ascii(title);
    }
    let encoding = charset(content_type, bytes);
    folded(&encoding.decode_without_bom_handling(title).0)
}

/// What is in the first `<title>`.
fn element(page: &[u8]) -> Option<&[u8]> {
    Tags::of(page).find(|tag| tag.is("title"))?.content
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

#[cfg(test)]
mod tests {
    use super::*;

    const HTML: Option<&str> = Some("text/html");

    #[test]
    fn titles_are_folded_and_unescaped() {
        let page =
            b"<!doctype html><html><head><TITLE lang=en>\n A &amp; B&#39;s\n  page &copy; </title>";
        assert_eq!(title(HTML, page).as_deref(), Some("A & B's page ©"));
        assert_eq!(title(Some("application/json"), page), None);
        assert_eq!(title(HTML, b"<title></title>"), None);
    }

    #[test]
    fn only_the_title_of_the_page_is_taken() {
        for other in [
            "<!-- <title>old</title> -->",
            "<script>'<title>x</title>'</script>",
            "<svg role=img><title>Logo</title></svg><svg/>",
            "<titles>x</titles><p title='<title>x</title>'>",
            &format!("<style>{}</style>", "p > b {}\n".repeat(5_000)),
        ] {
            let page = format!("<html>{other}<title>It</title>");
            assert_eq!(title(HTML, page.as_bytes()).as_deref(), Some("It"));
        }
    }

    #[test]
    fn a_page_in_utf_16_has_a_title() {
        let page: Vec<u8> = "<html><title>Привет</title>"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let marked = [b"\xff\xfe", &page[..]].concat();
        let labelled = Some("text/html; charset=utf-16le");
        assert_eq!(title(labelled, &page).as_deref(), Some("Привет"));
        assert_eq!(title(HTML, &marked).as_deref(), Some("Привет"));
    }

    proptest::proptest! {
        #[test]
        fn titles_of_plain_letters_are_folded_as_any_others(title in "[ -~\\t\\r\\n\\x0b\\x0c\\x1c&;#0-9a-z]{0,330}") {
            proptest::prop_assert_eq!(folded_ascii(title.as_bytes()), folded(&title));
        }

        #[test]
        fn any_tags_are_walked_over(page in "[<>!/?= \"'a-]{0,60}(<(title|svg|meta|!--)[<>!/= \"'a-]{0,9}){0,4}") {
            let _ = element(page.as_bytes());
            let _ = charset(HTML, page.as_bytes());
        }
    }
}
