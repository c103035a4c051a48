//! The charset of a body: what it says of itself, and what it looks like.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::tags::{self, Tags};
use super::{essence, is_html, utf8};

/// Bytes searched for `<meta charset>`, as far as the head of a page goes. The HTML standard asks for 1024 and browsers look
/// further: generated pages have scripts and comments in front of it.
const META_WINDOW: usize = 16 * 1024;
/// Letters of more than one byte for each broken one that still are UTF-8. In no other charset do more than a few in a hundred
/// look like it by chance.
const LETTERS_PER_FLAW: usize = 4;

/// The charset a text body is in: byte order mark, then `charset=` of the header, then what the body declares (`<?xml
/// encoding>`, `<meta charset>`), then UTF-8 if it is mostly valid UTF-8, else windows-1252 (what browsers assume). JSON is
/// UTF-8 whatever anybody says, unless the bytes show that it is not.
pub fn charset(content_type: Option<&str>, bytes: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding;
    }
    let label = || content_type.and_then(|value| labelled(value.as_bytes()));
    if is_json(content_type) {
        let is_other = guessed(bytes) != UTF_8;
        return label().filter(|_| is_other).unwrap_or(UTF_8);
    }
    label()
        .or_else(|| declared(content_type, bytes))
        .unwrap_or_else(|| guessed(bytes))
}

fn is_json(content_type: Option<&str>) -> bool {
    essence(content_type).is_some_and(|essence| {
        let (_, suffix) = essence.rsplit_once('+').unwrap_or_default();
        suffix.eq_ignore_ascii_case("json")
            || essence.eq_ignore_ascii_case("application/json")
            || essence.eq_ignore_ascii_case("text/json")
    })
}

/// The `charset=` of a content type, found as browsers find it: blanks around the sign, any separator in front.
fn labelled(content_type: &[u8]) -> Option<&'static Encoding> {
    const NAME: &[u8] = b"charset";
    let mut rest = content_type;
    loop {
        let at = rest
            .windows(NAME.len())
            .position(|window| window.eq_ignore_ascii_case(NAME))?;
        rest = &rest[at + NAME.len()..];
        let Some(value) = rest.trim_ascii_start().strip_prefix(b"=") else {
            continue;
        };
        let value = value.trim_ascii_start();
        let end = match value {
            [quote @ (b'"' | b'\''), value @ ..] => {
                let end = memchr::memchr(*quote, value).unwrap_or(value.len());
                return Encoding::for_label(&value[..end]);
            }
            value => value
                .iter()
                .position(|byte| matches!(byte, b';' | b',') || byte.is_ascii_whitespace()),
        };
        return Encoding::for_label(&value[..end.unwrap_or(value.len())]);
    }
}

/// What the body says. A text that was readable as ASCII so far is not UTF-16, whatever it says (HTML standard).
fn declared(content_type: Option<&str>, bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(META_WINDOW)];
    let encoding = in_declaration(head).or_else(|| {
        is_html(content_type, bytes)
            .then(|| in_meta(head))
            .flatten()
    })?;
    let is_wide = encoding == UTF_16LE || encoding == UTF_16BE;
    Some(if is_wide { UTF_8 } else { encoding })
}

/// `<?xml version="1.0" encoding="…"?>`
fn in_declaration(head: &[u8]) -> Option<&'static Encoding> {
    let rest = head.trim_ascii_start().strip_prefix(b"<?xml")?;
    let end = memchr::memchr(b'>', rest)?;
    let declaration = rest[..end].strip_suffix(b"?").unwrap_or(&rest[..end]);
    Encoding::for_label(tags::attribute(declaration, "encoding")?)
}

/// `<meta charset="…">`, or `<meta http-equiv="content-type" content="text/html; charset=…">`.
fn in_meta(head: &[u8]) -> Option<&'static Encoding> {
    Tags::of(head)
        .take_while(|tag| !tag.is("/head"))
        .filter(|tag| tag.is("meta"))
        .find_map(|meta| match meta.attribute("charset") {
            Some(label) => Encoding::for_label(label),
            None => meta
                .attribute("http-equiv")
                .filter(|name| name.eq_ignore_ascii_case(b"content-type"))
                .and_then(|_| labelled(meta.attribute("content")?)),
        })
}

/// One broken letter, or a last one that was cut, does not make a page of another charset.
fn guessed(bytes: &[u8]) -> &'static Encoding {
    if utf8(bytes).is_some() {
        return UTF_8;
    }
    let (mut letters, mut flaws) = (0, 0);
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        // Every longer letter begins with such a byte.
        letters += chunk.valid().bytes().filter(|byte| *byte >= 0xc0).count();
        let is_cut = chunks.peek().is_none() && is_beginning(chunk.invalid());
        flaws += usize::from(!chunk.invalid().is_empty() && !is_cut);
    }
    if letters > 0 && letters >= LETTERS_PER_FLAW * flaws {
        UTF_8
    } else {
        WINDOWS_1252
    }
}

/// True for bytes that more could make a letter of.
fn is_beginning(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::decode;

    const HTML: Option<&str> = Some("text/html");

    #[test]
    fn charset_comes_from_bom_then_header_then_meta_then_the_bytes() {
        assert_eq!(
            charset(Some("text/html; charset=utf-8"), b"\xff\xfeh\0").name(),
            "UTF-16LE"
        );
        let koi8 = Some("text/html; Charset=\"KOI8-R\"");
        assert_eq!(charset(koi8, b"<meta charset=utf-8>").name(), "KOI8-R");
        assert_eq!(
            charset(HTML, b"<meta charset='shift_jis'>").name(),
            "Shift_JIS"
        );
        let text = Some("text/plain");
        assert_eq!(charset(text, "é".as_bytes()).name(), "UTF-8");
        assert_eq!(charset(text, b"caf\xe9").name(), "windows-1252");
        assert_eq!(decode(text, b"caf\xe9"), "café");
    }

    #[test]
    fn only_meta_tags_declare_a_charset() {
        for other in [
            "<script src=a.js charset=utf-8></script>",
            "<script>document.write('<meta charset=utf-8>')</script>",
            "<link href='/a.css?charset=utf-8'>",
            "<!-- <meta charset=utf-8> -->",
            "<!--><title><meta charset=utf-8></title>",
            "<meta name=description content='text/html; charset=utf-8'>",
            "<meta charset=nonsense>",
            "<p title='><meta charset=utf-8>'>",
            &format!("<style>{}</style>", "p > b {}\n".repeat(1_000)),
        ] {
            for meta in [
                "<META Charset = windows-1251 />",
                "<meta content=\"text/html; charset = windows-1251\" http-equiv=Content-Type>",
            ] {
                let page = format!("<html><head>{other}{meta}</head>");
                let found = charset(HTML, page.as_bytes());
                assert_eq!(found.name(), "windows-1251", "{page:.100}");
            }
        }
        let late = b"<head></head><meta charset=windows-1251>";
        assert_eq!(charset(HTML, late), UTF_8);
    }

    #[test]
    fn a_declaration_of_xml_counts_and_so_do_blanks_in_the_header() {
        let xml = b"<?xml version=\"1.0\" encoding='windows-1251'?>\n<a>\xcf</a>";
        for kind in ["text/xml", "application/rss+xml", "text/html"] {
            assert_eq!(charset(Some(kind), xml).name(), "windows-1251", "{kind}");
        }
        let spaced = Some("text/html; charset = windows-1251");
        assert_eq!(charset(spaced, b"").name(), "windows-1251");
    }

    #[test]
    fn a_flaw_does_not_change_the_charset_of_a_whole_text() {
        let text = "Привет, мир".as_bytes();
        let cut = &text[..text.len() - 1];
        let flawed = [text, b" \xe9 ", text].concat();
        for bytes in [cut, &flawed] {
            assert_eq!(charset(Some("text/plain"), bytes), UTF_8);
        }
        let other = encoding_rs::WINDOWS_1251.encode("Привет, мир").0;
        assert_eq!(charset(Some("text/plain"), &other), WINDOWS_1252);
        let json = Some("application/problem+json; charset=iso-8859-1");
        assert_eq!(charset(json, "\"é\"".as_bytes()), UTF_8, "a wrong label");
        assert_eq!(charset(json, b"\"\xe9\""), WINDOWS_1252, "a right one");
        assert_eq!(charset(Some("application/json"), b"\"\xe9\""), UTF_8);
    }
}
