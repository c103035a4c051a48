//! Evidence for people: bounded, printable, without credentials.

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
use url::Url;

/// Longest evidence kept, in characters (the record's promise).
const LONGEST: usize = 200;

/// `text` on one line, at most 200 characters, control characters blanked, `user:password@` of URLs masked.
pub(super) fn clip(text: &str) -> Box<str> {
    let mut out = String::with_capacity(text.len().min(LONGEST));
    let mut kept = 0;
    for c in mask_userinfo(text).chars() {
        if kept == LONGEST {
            break;
        }
        if c.is_control() || c.is_whitespace() {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
                kept += 1;
            }
        } else if !is_invisible(c) {
            out.push(c);
            kept += 1;
        }
    }
    out.truncate(out.trim_end().len());
    out.into()
}

/// A header as evidence. Session values are left out: a record is often shared, a cookie must not be.
pub(super) fn header(name: &HeaderName, value: &[u8]) -> String {
    if [&SET_COOKIE, &COOKIE, &AUTHORIZATION, &PROXY_AUTHORIZATION].contains(&name) {
        let key = value.split(|b| *b == b'=' || *b == b' ').next();
        return format!("{name}: {}", String::from_utf8_lossy(key.unwrap_or(b"")));
    }
    format!("{name}: {}", String::from_utf8_lossy(value))
}

/// A URL as evidence: no user, no password, no query (where tokens live).
pub(super) fn url(url: &Url) -> String {
    format!(
        "{}://{}{}",
        url.scheme(),
        url.host_str().unwrap_or(""),
        url.path()
    )
}

/// Direction marks and zero-width characters, which can make a terminal show something else than what is there.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn mask_userinfo(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = tail
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '<'))
            .unwrap_or(tail.len());
        match tail[..end].rfind('@') {
            Some(sign) => {
                out.push_str("***");
                rest = &tail[sign..];
            }
            None => rest = tail,
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_one_short_line_without_credentials() {
        assert_eq!(
            &*clip("see http://bob:pw@p.example:8080/x\r\n\t\u{1b}[31mred\u{202e}"),
            "see http://***@p.example:8080/x [31mred"
        );
        assert_eq!(clip(&"é".repeat(500)).chars().count(), 200);
        let value = b"session=topsecret; Path=/";
        assert_eq!(header(&SET_COOKIE, value), "set-cookie: session");
        let target = Url::parse("https://u:p@a.example/x?token=t").unwrap();
        assert_eq!(url(&target), "https://a.example/x");
    }

    proptest::proptest! {
        #[test]
        fn clip_keeps_its_promises(text: String) {
            let clipped = clip(&text);
            proptest::prop_assert!(clipped.chars().count() <= LONGEST);
            proptest::prop_assert!(!clipped.chars().any(char::is_control));
        }
    }
}
