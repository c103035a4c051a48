//! One body, taken apart once: its text, its elements, its JSON, each only when somebody asks for it.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use scraper::{ElementRef, Html, Node, Selector};
use serde_json::Value;
use url::Url;

use crate::text;

/// Bytes that may be taken out of a page, in times of its own, and of a short one. Elements within each other have the same text each: a
/// megabyte in three thousand of them would be three gigabytes.
const MOST_TIMES: usize = 4;
const MOST_BYTES: usize = 32 << 20;

/// A body that is looked at.
pub(super) struct Page<'a> {
    /// Decoded; empty when the body is no text.
    text: Cow<'a, str>,
    url: Option<&'a Url>,
    /// With why it is empty, if it was not parsed.
    html: OnceCell<(Html, Option<&'static str>)>,
    json: OnceCell<Result<Value, String>>,
    blocks: OnceCell<Vec<Value>>,
    /// Bytes that may still be taken out of it; `None` when more was wanted.
    left: Cell<Option<usize>>,
}

impl<'a> Page<'a> {
    pub(super) fn new(content_type: Option<&str>, body: &'a [u8], url: Option<&'a Url>) -> Self {
        let text = match text::is_text(content_type, body) {
            true => text::decode(content_type, body),
            false => Cow::default(),
        };
        Page {
            left: Cell::new(Some(MOST_BYTES.max(MOST_TIMES * text.len()))),
            text,
            url,
            html: OnceCell::new(),
            json: OnceCell::new(),
            blocks: OnceCell::new(),
        }
    }

    /// The same page for somebody who wants to know all of it.
    pub(super) fn without_limit(self) -> Self {
        self.left.set(Some(usize::MAX));
        self
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// True when so many bytes more may be taken out of it.
    pub(super) fn gives(&self, bytes: usize) -> bool {
        let left = self.left.get();
        self.left.set(left.and_then(|left| left.checked_sub(bytes)));
        self.left.get().is_some()
    }

    /// True when more was wanted than it gives.
    pub(super) fn is_spent(&self) -> bool {
        self.left.get().is_none()
    }

    /// The parsed page, empty for one that is made to be slow; this is most of the work, and it is done once however many selectors there are.
    pub(super) fn html(&self) -> &Html {
        let (html, _) = self.html.get_or_init(|| match text::parse(&self.text) {
            Ok(html) => (html, None),
            Err(why) => (Html::parse_document(""), Some(why)),
        });
        html
    }

    /// Why the page was not parsed, though somebody has asked for its elements.
    pub(super) fn unparsed(&self) -> Option<&'static str> {
        self.html.get().and_then(|(_, why)| *why)
    }

    /// The body as JSON, if it is.
    pub(super) fn json(&self) -> Option<&Value> {
        let json = self
            .json
            .get_or_init(|| text::json(&self.text).map_err(|error| error.to_string()));
        json.as_ref().ok()
    }

    /// Why the body is no JSON, though somebody has asked for a value of it.
    pub(super) fn no_json(&self) -> Option<&str> {
        let error = self.json.get()?.as_ref().err();
        error.map(String::as_str)
    }

    /// The JSON-LD blocks of the page that are JSON.
    pub(super) fn blocks(&self) -> &[Value] {
        self.blocks.get_or_init(|| {
            let kind = |script: &ElementRef<'_>| {
                let kind = script.attr("type").unwrap_or_default();
                let essence = kind.split(';').next().unwrap_or_default();
                essence.trim().eq_ignore_ascii_case("application/ld+json")
            };
            let scripts = elements(self.html(), "script").filter(kind);
            let texts = scripts.map(|script| script.text().collect::<String>());
            texts
                .filter_map(|text| serde_json::from_str(&text).ok())
                .collect()
        })
    }

    /// `content` of the meta elements of this name or property.
    pub(super) fn meta<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s str> {
        elements(self.html(), "meta")
            .filter(move |meta| {
                ["name", "property", "itemprop", "http-equiv"]
                    .iter()
                    .any(|key| {
                        meta.attr(key)
                            .is_some_and(|value| value.trim().eq_ignore_ascii_case(name))
                    })
            })
            .filter_map(|meta| meta.attr("content"))
    }

    /// What relative links are relative to: the page's `<base>`, else its address.
    pub(super) fn base(&self) -> Option<Url> {
        let own = self.html.get().and_then(|(html, _)| {
            let href = elements(html, "base").find_map(|base| base.attr("href"))?;
            match self.url {
                Some(url) => url.join(href.trim()).ok(),
                None => Url::parse(href.trim()).ok(),
            }
        });
        own.or_else(|| self.url.cloned())
    }
}

/// The elements of this name, in the order of the page.
fn elements<'a>(html: &'a Html, name: &'static str) -> impl Iterator<Item = ElementRef<'a>> {
    let nodes = html.tree.nodes();
    nodes
        .filter(move |node| {
            node.value()
                .as_element()
                .is_some_and(|element| element.name() == name)
        })
        .filter_map(ElementRef::wrap)
}

/// The elements below `within` (of the whole page for `None`) that a selector matches.
pub(super) fn select<'a>(
    page: &'a Page<'_>,
    within: Option<ElementRef<'a>>,
    selector: &'a Selector,
) -> Box<dyn Iterator<Item = ElementRef<'a>> + 'a> {
    match within {
        Some(element) => Box::new(element.select(selector)),
        None => Box::new(page.html().select(selector)),
    }
}

/// Elements within a line of text; around all others there is a gap.
const INLINE: [&str; 26] = [
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "em", "font", "i", "kbd", "label",
    "mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "u", "var", "wbr",
];
/// Elements whose text nobody sees.
const UNSEEN: [&str; 4] = ["script", "style", "template", "noscript"];

/// The text of an element as a reader would have it: white space folded, a blank between blocks, no scripts.
pub(super) fn text_of(element: ElementRef<'_>) -> String {
    text_with(element, ' ')
}

/// The same with this between blocks.
pub(super) fn text_with(element: ElementRef<'_>, between: char) -> String {
    let root = *element;
    let mut text = Folded {
        between,
        ..Folded::default()
    };
    let mut node = root;
    loop {
        let mut goes_in = true;
        match node.value() {
            Node::Text(piece) => text.push(piece),
            Node::Element(element) => {
                text.passes(element.name());
                goes_in = node.id() == root.id() || !UNSEEN.contains(&element.name());
            }
            _ => {}
        }
        if goes_in && let Some(child) = node.first_child() {
            node = child;
            continue;
        }
        loop {
            if let Node::Element(element) = node.value() {
                text.passes(element.name());
            }
            if node.id() == root.id() {
                return text.out;
            }
            if let Some(next) = node.next_sibling() {
                node = next;
                break;
            }
            match node.parent() {
                Some(parent) => node = parent,
                None => return text.out,
            }
        }
    }
}

#[derive(Default)]
struct Folded {
    out: String,
    /// What comes between blocks.
    between: char,
    /// A blank is due before the next word.
    gap: bool,
    /// A block has begun or ended since the last word.
    ends: bool,
}

impl Folded {
    /// The border of an element. One that nobody sees parts words and no blocks.
    fn passes(&mut self, name: &str) {
        self.gap |= !INLINE.contains(&name);
        self.ends |= !INLINE.contains(&name) && !UNSEEN.contains(&name);
    }

    fn push(&mut self, piece: &str) {
        self.gap |= piece.starts_with(char::is_whitespace);
        for word in piece.split_whitespace() {
            if !self.out.is_empty() {
                match (self.ends, self.gap) {
                    (true, _) => self.out.push(self.between),
                    (false, true) => self.out.push(' '),
                    (false, false) => {}
                }
            }
            self.out.push_str(word);
            (self.gap, self.ends) = (true, false);
        }
        if !piece.is_empty() {
            self.gap = piece.ends_with(char::is_whitespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_a_reader_sees() {
        let html = Html::parse_document(
            "<div id=x> <p>one<b>two</b> three</p><p>four</p>five<br>six<script>no()</script>  <span> seven </span></div>",
        );
        let selector = Selector::parse("#x").expect("a selector");
        let element = html.select(&selector).next().expect("an element");
        assert_eq!(text_of(element), "onetwo three four five six seven");
        assert_eq!(
            text_with(element, '\n'),
            "onetwo three\nfour\nfive\nsix seven"
        );
        let script = Selector::parse("script").expect("a selector");
        let script = html.select(&script).next().expect("an element");
        assert_eq!(text_of(script), "no()", "asked for by name");
    }
}
