//! Paths of rules: literal but for `*` and a `$` at the end, compared octet by octet once both sides are written the same way.

use std::fmt;

use url::Url;

/// One path of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Box<[u8]>);

impl Pattern {
    /// `None` for an empty value, which says nothing.
    pub(super) fn new(value: &[u8]) -> Option<Self> {
        if value.is_empty() {
            return None;
        }
        Some(Pattern(normal(value).into()))
    }

    /// Octets; of two rules that match, the longer one counts.
    pub(super) fn weight(&self) -> usize {
        self.0.len()
    }

    /// True when a path in [`normal`] form matches. Takes no more time than the path and the pattern are long, because the
    /// earliest place at which a piece between two `*` is found is the best one for all that follow.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let (pattern, to_end) = match &*self.0 {
            [pattern @ .., b'$'] => (pattern, true),
            pattern => (pattern, false),
        };
        let mut pieces = pattern.split(|byte| *byte == b'*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = path.strip_prefix(first) else {
            return false;
        };
        let Some(mut piece) = pieces.next() else {
            return !to_end || rest.is_empty();
        };
        for next in pieces {
            let Some(at) = memchr::memmem::find(rest, piece) else {
                return false;
            };
            rest = &rest[at + piece.len()..];
            piece = next;
        }
        if to_end {
            rest.ends_with(piece)
        } else {
            memchr::memmem::find(rest, piece).is_some()
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// Path and query of `url` in the form that patterns are in.
pub(super) fn normal_path(url: &Url) -> Vec<u8> {
    let mut path = url.path().as_bytes().to_vec();
    if let Some(query) = url.query() {
        path.push(b'?');
        path.extend_from_slice(query.as_bytes());
    }
    normal(&path)
}

/// Escapes as RFC 9309, section 2.2.2, has them compared: none for what need not be escaped, upper case, and one for every octet
/// beyond ASCII.
fn normal(text: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(text.len());
    let escape = |out: &mut Vec<u8>, byte: u8| {
        out.extend_from_slice(&[
            b'%',
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ]);
    };
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        let digit = |place: usize| {
            let digit = char::from(*text.get(place)?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        match (byte, digit(at), digit(at + 1)) {
            (b'%', Some(high), Some(low)) => {
                at += 2;
                let meant = high << 4 | low;
                if meant.is_ascii_alphanumeric() || matches!(meant, b'-' | b'.' | b'_' | b'~') {
                    out.push(meant);
                } else {
                    escape(&mut out, meant);
                }
            }
            (b'!'..=b'~', _, _) => out.push(byte),
            _ => escape(&mut out, byte),
        }
    }
    out
}
