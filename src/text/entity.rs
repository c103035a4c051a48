//! Character references.

use std::borrow::Cow;

use html5ever::data::{C1_REPLACEMENTS, NAMED_ENTITIES};

/// No name is longer (`CounterClockwiseContourIntegral;`). Looking further each time would take a page of ampersands for ever.
const LONGEST: usize = 32;

/// Decodes the entities of HTML; what is none, or has no semicolon, stays as written.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'&', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let length = rest
            .bytes()
            .take(LONGEST)
            .position(|byte| byte != b'#' && !byte.is_ascii_alphanumeric());
        let after = length.filter(|length| rest.as_bytes()[*length] == b';');
        let letters = after.and_then(|after| letters(&rest[..=after]));
        match (letters, after) {
            (Some((first, second)), Some(after)) => {
                out.push(first);
                out.extend(second);
                rest = &rest[after + 1..];
            }
            _ => out.push('&'),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// What `entity;` stands for.
fn letters(entity: &str) -> Option<(char, Option<char>)> {
    if let Some(number) = entity.strip_prefix('#') {
        let number = number.strip_suffix(';')?;
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        // Old pages mean windows-1252 by them.
        let meant = (code as usize).checked_sub(0x80);
        let meant = meant.and_then(|at| *C1_REPLACEMENTS.get(at)?);
        return Some((meant.or(char::from_u32(code))?, None));
    }
    match entity {
        "nbsp;" => Some((' ', None)),
        _ => match *NAMED_ENTITIES.get(entity)? {
            // The table holds the beginnings of names as well.
            (0, _) => None,
            (first, 0) => Some((char::from_u32(first)?, None)),
            (first, second) => Some((char::from_u32(first)?, char::from_u32(second))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entity_of_html_is_decoded() {
        for (text, expected) in [
            ("A &ndash; &eacute;t&eacute; &raquo;", "A – été »"),
            ("&lt;a&nbsp;b&gt; &#x41;&#66;&#150;", "<a b> AB–"),
            (
                "&CounterClockwiseContourIntegral;&NotEqualTilde;",
                "∳≂\u{338}",
            ),
            (
                "&amp;amp; & &; &nosuch; &copy 5; &ampx; &#;&#x110000;",
                "&amp; & &; &nosuch; &copy 5; &ampx; &#;&#x110000;",
            ),
            ("&é;&", "&é;&"),
        ] {
            assert_eq!(unescape(text), expected);
        }
    }
}
