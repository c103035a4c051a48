//! Names of crawlers.

/// What a crawler that says nothing of itself is called here.
const OURS: &str = "proxywheel";

/// The product token of a `User-Agent` header: the name that groups of a robots.txt are looked up by. Of a header that begins as
/// browsers do and names a crawler in brackets (`compatible; Name/1.0`) it is that name; without any letter it is `proxywheel`.
pub fn product_token(user_agent: Option<&str>) -> String {
    let text = user_agent.unwrap_or(OURS);
    let named = text
        .split_once("compatible;")
        .map(|(_, rest)| rest.trim_start());
    let token = |text: &str| token_of(text.as_bytes()).len();
    let text = named.filter(|name| token(name) > 0).unwrap_or(text);
    match &text[..token(text)] {
        "" => OURS.to_owned(),
        token => token.to_owned(),
    }
}

/// True when a `User-agent` line with this value is for the crawler called `token`.
pub(super) fn names(value: &[u8], token: &str) -> bool {
    let named = token_of(value);
    !named.is_empty() && named.eq_ignore_ascii_case(token.as_bytes())
}

/// True when it is for everybody.
pub(super) fn names_all(value: &[u8]) -> bool {
    match value {
        [b'*'] => true,
        [b'*', next, ..] => next.is_ascii_whitespace(),
        _ => false,
    }
}

/// The letters, hyphens and underscores at its beginning: what RFC 9309 lets a name be.
fn token_of(text: &[u8]) -> &[u8] {
    let is_part = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_');
    let end = text.iter().position(|byte| !is_part(byte));
    &text[..end.unwrap_or(text.len())]
}
