//! A page that both sides can make: who gets another one has been given it by the proxy.

use std::fmt::Write as _;

use crate::text::Sha256;

/// Paragraphs of the page. Enough for it to be taken for one.
const PARAGRAPHS: usize = 12;
/// Words of a paragraph.
const WORDS: usize = 24;

/// Words without a meaning that a filter could object to.
const LEXICON: [&str; 16] = [
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet", "jetty",
    "knoll", "larch", "maple", "north", "oasis", "pines",
];

/// The page for this nonce (letters and digits, see [`super::is_nonce`]): an ordinary HTML page with a head, a script, a form and links, another one for every nonce, so
/// that no proxy can know it beforehand.
pub fn canary(nonce: &str) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Canary {nonce}</title>\n\
         <script>var canary = \"{nonce}\";</script>\n</head>\n<body>\n<h1>Canary</h1>\n",
    );
    for paragraph in 0..PARAGRAPHS {
        page.push_str("<p>");
        let seed = Sha256::of(format!("{nonce}/{paragraph}").as_bytes());
        for (at, byte) in seed.0.iter().cycle().take(WORDS).enumerate() {
            if at > 0 {
                page.push(' ');
            }
            page.push_str(LEXICON[usize::from(byte % 16)]);
        }
        // Writing to a string does not fail.
        let _ = writeln!(page, " <a href=\"/canary/{paragraph}\">{seed:.8}</a>.</p>");
    }
    page.push_str(
        "<form action=\"/canary\" method=\"get\"><input name=\"q\"></form>\n</body>\n</html>\n",
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_depends_on_the_nonce_alone() {
        assert_eq!(canary("5f"), canary("5f"));
        assert_ne!(canary("5f"), canary("60"));
        let page = canary("5f");
        assert!(
            page.ends_with("</html>\n") && page.len() > 1500,
            "{}",
            page.len()
        );
    }
}
