//! A page as its reader sees it: the words, and what there is of content and forms around them.
//!
//! Weak evidence is a matter of words, and words in scripts, styles and attributes are not said to anybody: ordinary pages
//! carry "captcha" in a dozen places that nobody reads. So the text is taken out of the markup first, its entities decoded,
//! its letters made small. This costs some microseconds for a small page, and is done only for answers that are suspect
//! already. It is no HTML parser: it never looks back, and a broken page gives a broken text.

use std::borrow::Cow;

use super::attributes::{self, ASKS, CAPTCHA, CHALLENGE, SHARED, SILENT, UNSEEN};
use super::phrases::Heard;
use super::view::Kind;
use super::words::{KEPT, Words};
use crate::text;

/// Bytes of a body that are read. Some pages carry 100 kB of styles before their first word.
const READ: usize = 256 * 1024;
/// Visible characters from which a page with some elements has content.
pub(super) const CONTENT: usize = 300;

/// Bytes of the longest name of a tag that matters, and one more.
const LONGEST_NAME: usize = 9;

/// What a page says.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Words in lower case with one space between them, the title first.
    pub(super) text: String,
    /// Visible characters, without the title, up to 4 kB.
    pub(super) visible: usize,
    /// Paragraphs, list items, cells, headings, links.
    pub(super) elements: usize,
    /// Asks for a password, an e-mail address or a message: a page that has something to do.
    pub(super) login: bool,
    /// Forms.
    pub(super) forms: usize,
    /// Fields for words other than those of a captcha: something is asked for that a wall does not want to know.
    pub(super) fields: usize,
    /// Menus, articles, listings, a card for those who share it: the furniture of a site, which walls do without.
    pub(super) furnished: bool,
    /// Bytes of `text` that are the title.
    pub(super) title: usize,
    /// A picture or field that names itself a captcha.
    pub(super) captcha: bool,
    /// What it says that rules ask for.
    pub(super) heard: Heard,
}

/// Takes a page apart.
#[derive(Debug, Default)]
struct Reader {
    page: Page,
    /// What becomes [`Page::text`].
    words: Words,
}

impl Page {
    /// It has some elements, and words.
    pub(super) fn has_content(&self) -> bool {
        self.elements >= 3 && self.visible >= CONTENT
    }

    /// It has furniture as well: a page of a site, whatever it speaks of.
    pub(super) fn is_content(&self) -> bool {
        self.furnished && self.has_content()
    }

    /// Reads the beginning of a body.
    pub(super) fn read(content_type: Option<&str>, kind: Kind, body: &[u8]) -> Self {
        let bytes = whole_letters(&body[..body.len().min(READ)]);
        // Whoever saved or relayed a page as UTF-8 may have left its old label; nothing else looks like UTF-8 by chance.
        let decoded = match text::utf8(bytes) {
            Some(text) => Cow::Borrowed(text),
            None => text::decode(content_type, bytes),
        };
        let mut reader = Reader::default();
        if kind == Kind::Html {
            reader.markup(&decoded);
        } else {
            reader.words.say(&decoded);
            reader.page.visible = reader.words.length();
        }
        Page {
            text: reader.words.into_text(),
            ..reader.page
        }
    }
}

impl Reader {
    fn markup(&mut self, html: &str) {
        let mut rest = html;
        while self.words.length() < KEPT {
            let Some(open) = memchr::memchr(b'<', rest.as_bytes()) else {
                self.page.visible += self.words.say(rest);
                return;
            };
            self.page.visible += self.words.say(&rest[..open]);
            rest = &rest[open..];
            rest = match rest.as_bytes().get(1) {
                Some(b'!') if rest.starts_with("<!--") => after(rest, "-->"),
                Some(b'a'..=b'z' | b'A'..=b'Z' | b'/' | b'!' | b'?') => self.tag(rest),
                _ => {
                    self.page.visible += self.words.say("<");
                    &rest[1..]
                }
            };
        }
    }

    /// Takes one tag and, where nobody reads what is in it, its contents; gives what follows.
    fn tag<'a>(&mut self, rest: &'a str) -> &'a str {
        let bytes = rest.as_bytes();
        let end = memchr::memchr(b'>', bytes).unwrap_or(bytes.len() - 1);
        let tag = rest.get(1..end).unwrap_or_default();
        let following = rest.get(end + 1..).unwrap_or_default();
        let opened = tag.strip_prefix('/').unwrap_or(tag);
        let mut name = [0; LONGEST_NAME];
        let letters = opened.bytes().take_while(u8::is_ascii_alphanumeric);
        for (room, letter) in name.iter_mut().zip(letters) {
            *room = letter.to_ascii_lowercase();
        }
        let length = name.iter().position(|letter| *letter == 0);
        // One that is longer is none of those below.
        let name = &name[..length.unwrap_or(0)];
        match name {
            // Tags inside a word do not cut it.
            b"b" | b"i" | b"u" | b"em" | b"strong" | b"span" | b"font" | b"tt" | b"wbr" => {
                return following;
            }
            _ if opened.len() < tag.len() => {}
            b"script" => {
                self.card(tag);
                return after_closing(following, "</script");
            }
            b"style" => return after_closing(following, "</style"),
            b"title" if self.words.length() == 0 => {
                let close = closing(following, "</title");
                self.words.say(&following[..close]);
                self.words.gap();
                self.page.title = self.words.length();
                return &following[close..];
            }
            b"nav" | b"aside" | b"pre" | b"code" => self.page.furnished = true,
            b"meta" => self.card(tag),
            b"article" => {
                self.page.furnished = true;
                self.page.elements += 1;
            }
            b"p" | b"li" | b"td" | b"a" | b"h1" | b"h2" | b"h3" | b"h4" => self.page.elements += 1,
            b"form" => self.page.forms += 1,
            b"img" => self.page.captcha |= attributes::says(tag, CAPTCHA | CHALLENGE),
            b"input" => self.field(attributes::of(tag)),
            b"textarea" => self.page.login |= !attributes::says(tag, CAPTCHA | UNSEEN),
            _ => {}
        }
        self.words.gap();
        following
    }

    /// Takes what a tag tells that may be the card of a page.
    fn card(&mut self, tag: &str) {
        // One will do.
        if !self.page.furnished {
            self.page.furnished = attributes::says(tag, SHARED);
        }
    }

    /// Takes what a field says of itself.
    fn field(&mut self, said: u8) {
        self.page.captcha |= said & CAPTCHA != 0;
        self.page.login |= said & ASKS != 0;
        self.page.fields += usize::from(said & (SILENT | CAPTCHA) == 0);
    }
}

/// Without the part of a letter at the end, which would make all of it look like another charset.
fn whole_letters(bytes: &[u8]) -> &[u8] {
    let cut = bytes
        .iter()
        .rev()
        .take(4)
        .position(|byte| *byte < 0x80 || *byte >= 0xc0);
    match cut {
        Some(at) if bytes[bytes.len() - 1 - at] >= 0xc0 => {
            let start = bytes.len() - 1 - at;
            if std::str::from_utf8(&bytes[start..]).is_ok() {
                bytes
            } else {
                &bytes[..start]
            }
        }
        _ => bytes,
    }
}

fn after<'a>(rest: &'a str, end: &str) -> &'a str {
    memchr::memmem::find(rest.as_bytes(), end.as_bytes()).map_or("", |at| &rest[at + end.len()..])
}

/// Where `tag` begins, else the end.
fn closing(rest: &str, tag: &str) -> usize {
    memchr::memchr_iter(b'<', rest.as_bytes())
        .find(|&at| {
            rest.as_bytes()
                .get(at..at + tag.len())
                .is_some_and(|found| found.eq_ignore_ascii_case(tag.as_bytes()))
        })
        .unwrap_or(rest.len())
}

fn after_closing<'a>(rest: &'a str, tag: &str) -> &'a str {
    &rest[closing(rest, tag)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(html: &str) -> Page {
        Page::read(Some("text/html"), Kind::Html, html.as_bytes())
    }

    #[test]
    fn the_text_is_what_a_reader_sees() {
        let page = page(
            "<html><head><title>Access &amp; more</title><style>p{captcha}</style></head><!-- captcha -->\
             <body onload='captcha()'><h1>You&#39;ve been <b>blo</b>cked</h1>\n\n<p>Reference&#32;&#35;18\
             <script>if (a<b) captcha()</script></p>1 < 2</body>",
        );
        assert_eq!(
            page.text.trim_end(),
            "access & more you've been blocked reference #18 1 < 2"
        );
        assert_eq!((page.elements, page.forms, page.login), (2, 0, false));
    }

    #[test]
    fn forms_that_ask_for_something_are_known_from_those_that_only_check() {
        assert!(page("<form><input TYPE=password></form>").login);
        assert!(!page("<form><textarea name=g-recaptcha-response></textarea></form>").login);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_within_bounds(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600),
                                            junk in "[<>a-z/!\\-&#; \"']{0,200}") {
            for body in [&bytes[..], junk.as_bytes()] {
                let page = Page::read(None, Kind::Html, body);
                proptest::prop_assert!(page.text.len() <= KEPT + 16);
            }
        }
    }
}
