//! One observable fact about an answer, as rules write it.
//!
//! - `{ header = "name" }`, `{ header = "name: text" }`; a name that ends in `*` is a prefix
//! - `{ cookie = "name" }`: a Set-Cookie name; `*` at either end
//! - `{ title = "text" }`, `{ reason = "text" }`
//! - `{ body = "marker" }`: in the first 30 kB or the last 2 kB; spelled as its vendor sends it
//! - `{ text = "words" }`: in what a reader sees, in lower case: no markup, entities decoded, one space between words
//! - `{ url = "host path" }`: this URL, or where it redirects to; `{ location = "host path" }`: only the latter
//!
//! Texts are compared without case, and are contained in the value unless they begin with `^` (the value starts so) or
//! `=` (is equal). A host is itself with its subdomains; `name.*` takes any public suffix; `*` any host. A path is a
//! prefix of whole segments; after `~` it is any part of path and query.

use serde::Deserialize;

/// A condition as written in a rule file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Spec {
    Header(String),
    Cookie(String),
    Title(String),
    Reason(String),
    Body(String),
    Text(String),
    Url(String),
    Location(String),
}

impl Spec {
    /// True when the body has to be read to know.
    pub(super) fn reads_body(&self) -> bool {
        matches!(self, Spec::Title(_) | Spec::Body(_) | Spec::Text(_))
    }

    /// The literal text of a title, body or text condition.
    pub(super) fn literal(&self) -> Option<&str> {
        match self {
            Spec::Title(text) => Some(text.trim_start_matches(['^', '='])),
            Spec::Body(text) | Spec::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// How a short text is compared: header values, titles, reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TextMatch {
    /// Anything.
    Any,
    /// Contains it.
    Part(Box<[u8]>),
    /// Starts with it.
    Start(Box<[u8]>),
    /// Is it.
    Whole(Box<[u8]>),
}

impl TextMatch {
    pub(super) fn parse(text: &str) -> Self {
        let bytes = |text: &str| text.as_bytes().into();
        match text.as_bytes() {
            [] => TextMatch::Any,
            [b'^', ..] => TextMatch::Start(bytes(&text[1..])),
            [b'=', ..] => TextMatch::Whole(bytes(&text[1..])),
            _ => TextMatch::Part(bytes(text)),
        }
    }

    pub(super) fn matches(&self, value: &[u8]) -> bool {
        match self {
            TextMatch::Any => true,
            TextMatch::Part(part) => value
                .windows(part.len())
                .any(|window| window.eq_ignore_ascii_case(part)),
            TextMatch::Start(start) => value
                .get(..start.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(start)),
            TextMatch::Whole(whole) => value.trim_ascii().eq_ignore_ascii_case(whole),
        }
    }
}

/// A name with `*` at one end or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NameMatch {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
}

impl NameMatch {
    pub(super) fn parse(text: &str) -> Self {
        if let Some(prefix) = text.strip_suffix('*') {
            NameMatch::Prefix(prefix.into())
        } else if let Some(suffix) = text.strip_prefix('*') {
            NameMatch::Suffix(suffix.into())
        } else {
            NameMatch::Exact(text.into())
        }
    }

    pub(super) fn matches(&self, name: &[u8]) -> bool {
        match self {
            NameMatch::Exact(exact) => name == exact.as_bytes(),
            NameMatch::Prefix(prefix) => name.starts_with(prefix.as_bytes()),
            NameMatch::Suffix(suffix) => name.ends_with(suffix.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_without_case_as_part_start_or_whole() {
        assert!(TextMatch::parse("^err_").matches(b"ERR_DNS_FAIL 0"));
        assert!(!TextMatch::parse("^dns").matches(b"ERR_DNS_FAIL 0"));
        assert!(TextMatch::parse("dns_").matches(b"ERR_DNS_FAIL 0"));
        assert!(TextMatch::parse("=deny").matches(b" Deny "));
        assert!(!TextMatch::parse("=deny").matches(b"denying"));
        assert!(TextMatch::parse("").matches(b""));
    }
}
