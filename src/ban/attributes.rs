//! What tags say of themselves, as far as it matters.
//!
//! Pages are full of pictures and of what is told to search engines, and of those only a few words are asked: each is searched for
//! by itself. All that is asked of a field is found in one pass.

use std::sync::LazyLock;

use super::finder::Finder;
use super::short::Text;

/// Bytes of a tag that are looked at; pictures may stand in their tags whole.
const LOOKED_AT: usize = 400;

/// Names itself a captcha.
pub(super) const CAPTCHA: u8 = 1;
/// Names itself a challenge.
pub(super) const CHALLENGE: u8 = 1 << 1;
/// A field for a password or an e-mail address.
pub(super) const ASKS: u8 = 1 << 2;
/// A field that nobody writes words in.
pub(super) const SILENT: u8 = 1 << 3;
/// Out of sight.
pub(super) const UNSEEN: u8 = 1 << 4;
/// A card for search engines and for those who share the page.
pub(super) const SHARED: u8 = 1 << 5;

const WORDS: [(&str, u8); 16] = [
    ("captcha", CAPTCHA),
    ("challenge", CHALLENGE),
    ("type=\"password", ASKS),
    ("type='password", ASKS),
    ("type=password", ASKS),
    ("type=\"email", ASKS),
    ("hidden", SILENT),
    ("submit", SILENT),
    ("button", SILENT),
    ("checkbox", SILENT),
    ("radio", SILENT),
    ("image", SILENT),
    ("display:none", UNSEEN),
    ("display: none", UNSEEN),
    ("\"og:", SHARED),
    ("application/ld+json", SHARED),
];

/// The constants above that a tag says, together.
pub(super) fn of(tag: &str) -> u8 {
    static FINDER: LazyLock<Finder> =
        LazyLock::new(|| Finder::new(WORDS.map(|(word, _)| word.to_owned()).to_vec()));
    let mut said = 0;
    FINDER.which(looked_at(tag), |word, _| said |= WORDS[word].1);
    said
}

/// True when a tag says one of these constants; for a few of them quicker than [`of`].
pub(super) fn says(tag: &str, asked: u8) -> bool {
    static TEXTS: LazyLock<[Text; WORDS.len()]> =
        LazyLock::new(|| WORDS.map(|(word, _)| Text::new(word.as_bytes())));
    let tag = looked_at(tag);
    let mut texts = TEXTS.iter().zip(WORDS);
    texts.any(|(text, (_, what))| asked & what != 0 && text.is_in(tag))
}

fn looked_at(tag: &str) -> &[u8] {
    &tag.as_bytes()[..tag.len().min(LOOKED_AT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_says_all_it_says_at_once_and_in_any_case() {
        let tag = "input TYPE=\"PassWord\" name=captcha style='display:none'";
        assert_eq!(of(tag), ASKS | CAPTCHA | UNSEEN);
        assert!(says(tag, UNSEEN) && says(tag, CHALLENGE | ASKS) && !says(tag, CHALLENGE | SHARED));
        assert_eq!(of("input type=text name=q"), 0);
        let picture = format!("img src=\"data:{}\" alt=captcha", "A".repeat(LOOKED_AT));
        assert!(of(&picture) == 0 && !says(&picture, CAPTCHA));
    }
}
