//! Text of strangers in a page.

use url::Url;

/// The text with nothing in it that HTML takes for markup, in a text or in an attribute in quotes. Marks that turn the direction of
/// what follows are left out, and so are control characters.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => safe.push(c),
        }
    }
    safe
}

/// The first `most` characters, with a mark when there were more.
pub(super) fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A link where the address is one of the web, else its text: `javascript:` is never a link.
pub(super) fn link(address: &str) -> String {
    let shown = escape(&clipped(short(address), 80));
    let is_web = Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if is_web {
        let address = escape(address);
        format!("<a href=\"{address}\" rel=\"noopener noreferrer nofollow\">{shown}</a>")
    } else {
        format!("<span>{shown}</span>")
    }
}

/// Without what every address begins with.
fn short(address: &str) -> &str {
    let rest = address
        .strip_prefix("https://")
        .or_else(|| address.strip_prefix("http://"))
        .unwrap_or(address);
    rest.strip_prefix("www.").unwrap_or(rest)
}

/// JSON that may stand in a `script` element.
pub(super) fn json(value: &serde_json::Value) -> String {
    value
        .to_string()
        .replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_web_are_links() {
        for address in [
            "javascript:alert(1)",
            " javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "data:text/html,<script>alert(1)</script>",
            "//evil.test/",
            "",
        ] {
            assert!(!link(address).contains("href"), "{address}");
        }
        let quoted = link("https://www.a.test/?q=\"onmouseover=alert(1)");
        assert!(quoted.contains("href=\"https://www.a.test/?q=&quot;onmouse"));
        assert!(quoted.contains(">a.test/?q="));
    }

    #[test]
    fn nothing_in_data_ends_the_script_element() {
        let data = serde_json::json!(["</script><script>alert(1)</script>", "<!--"]);
        assert!(!json(&data).contains('<'));
        let back: serde_json::Value = serde_json::from_str(&json(&data)).expect("JSON");
        assert_eq!(back, data);
    }

    #[test]
    fn text_that_would_turn_round_its_neighbours_is_tamed() {
        assert_eq!(escape("a\u{202e}b\u{0}\n<i>"), "ab &lt;i&gt;");
    }
}
