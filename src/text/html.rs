//! A page as a tree, unless it is made to be slow.
//!
//! A parser of HTML looks at the open elements for nearly every tag, and a selector at the ancestors of an element: both cost what a page
//! has elements, times how deep they are. Ten megabytes of `<div>` are an hour, and so is one tag with a million attributes, each of which
//! is compared with all before it. Whoever answers can send them, and one thread serves the whole run. How deep a page is only the parser
//! knows (what is in a script is no tag, `<rect/>` is empty and `<div/>` is not), so it is given the page in pieces and stopped
//! when that has cost too much. Browsers flatten what is deeper than 512.

use std::cell::Cell;

use html5ever::interface::TokenizerResult;
use html5ever::local_name;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, StartTag, Tag, Token, TokenSink, TokenSinkResult, Tokenizer,
};
use html5ever::tree_builder::{TreeBuilder, TreeSink};
use scraper::{Html, HtmlTreeSink};

use super::tags::Attributes;

/// Depths of all elements and of all tokens together that are still parsed: less than a second. A page of 10 MB with 200,000 elements
/// at depth 40 has 50 million.
const MOST_WORK: usize = 100_000_000;
/// Attributes of one tag, and of all tags that add theirs to `<html>` and `<body>`. Pages have tens.
const MOST_ATTRIBUTES: usize = 5_000;
/// Bytes of a tag from which its attributes are counted.
const LONG_TAG: usize = 2 * MOST_ATTRIBUTES;
/// Longest piece, bytes. Shorter than a long tag: in none of so many bytes of a text or a script nothing is found.
const PIECE: usize = 4096;

/// The tree of a page, or why it is not parsed.
pub(crate) fn parse(page: &str) -> Result<Html, &'static str> {
    let tree = HtmlTreeSink::new(Html::new_document());
    let tokenizer = Tokenizer::new(
        Watched::over(TreeBuilder::new(tree, Default::default())),
        Default::default(),
    );
    let queue = BufferQueue::default();
    let mut meter = Meter::default();
    let mut unfinished = Unfinished::from(0);
    let mut rest = page;
    while !rest.is_empty() {
        // Behind the `<`, so that what the next piece yields is its own: an entity may be open until there.
        let piece = super::beginning(rest, PIECE);
        let piece = match memchr::memchr(b'<', piece.as_bytes()) {
            Some(open) => &piece[..=open],
            None => piece,
        };
        let watched = &tokenizer.sink;
        let at = page.len() - rest.len();
        if unfinished.is_too_long(page, at + piece.len()) {
            return Err("a tag of the page has too many attributes to be parsed");
        }
        rest = &rest[piece.len()..];
        queue.push_back(StrTendril::from_slice(piece));
        while !matches!(tokenizer.feed(&queue), TokenizerResult::Done) {}
        let tokens = watched.tokens.take();
        if tokens > 0 {
            unfinished = Unfinished::from(at + piece.len());
        }
        if watched.merged.get() > MOST_ATTRIBUTES {
            return Err("the page has too many attributes to be parsed");
        }
        if meter.add(tokens, &watched.builder.sink.0.borrow()) > MOST_WORK {
            return Err("the page nests too deep to be parsed");
        }
    }
    tokenizer.end();
    Ok(tokenizer.sink.builder.sink.finish())
}

/// Hands on what the tokenizer finds, and counts it.
struct Watched<B> {
    builder: B,
    /// Since they were last looked at.
    tokens: Cell<usize>,
    /// Attributes of tags that add them to an element that is there already.
    merged: Cell<usize>,
}

impl<B> Watched<B> {
    fn over(builder: B) -> Self {
        Watched {
            builder,
            tokens: Cell::new(0),
            merged: Cell::new(0),
        }
    }
}

impl<B: TokenSink> TokenSink for Watched<B> {
    type Handle = B::Handle;

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<B::Handle> {
        // Those are told of in the middle of a tag, and make nothing.
        if matches!(token, Token::ParseError(_)) {
            return self.builder.process_token(token, line);
        }
        self.tokens.update(|tokens| tokens + 1);
        if let Token::TagToken(tag @ Tag { kind: StartTag, .. }) = &token
            && matches!(tag.name, local_name!("html") | local_name!("body"))
        {
            self.merged.update(|merged| merged + tag.attrs.len());
        }
        self.builder.process_token(token, line)
    }

    fn end(&self) {
        self.builder.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.builder
            .adjusted_current_node_present_but_not_in_html_namespace()
    }
}

/// What a page has cost so far.
#[derive(Default)]
struct Meter {
    work: usize,
    /// Nodes seen.
    nodes: usize,
    /// Of the newest element.
    depth: usize,
}

impl Meter {
    /// Adds the new elements of a tree, and the tokens they came of.
    fn add(&mut self, tokens: usize, html: &Html) -> usize {
        let all = html.tree.nodes();
        let new = all.len() - self.nodes;
        self.nodes = all.len();
        let before = self.depth;
        for node in all.rev().take(new).filter(|node| node.value().is_element()) {
            let depth = node.ancestors().count();
            self.depth = depth;
            self.work += depth;
        }
        self.work += tokens * self.depth.max(before);
        self.work
    }
}

/// What the tokenizer has read and made nothing of yet.
struct Unfinished {
    /// Where it begins; a tag behind its `<`.
    start: usize,
    /// Length at which its attributes are counted the next time.
    next: usize,
}

impl Unfinished {
    fn from(start: usize) -> Self {
        Unfinished {
            start,
            next: LONG_TAG,
        }
    }

    /// True when it is a tag, and has too many attributes up to `end`.
    fn is_too_long(&mut self, page: &str, end: usize) -> bool {
        let text = &page.as_bytes()[self.start..end];
        if text.len() < self.next {
            return false;
        }
        // Not at every piece again: a value may be full of `<`.
        self.next = 2 * text.len();
        // The first tag of the page has it still.
        let tag = text.strip_prefix(b"<").unwrap_or(text);
        let name = tag.strip_prefix(b"/").unwrap_or(tag);
        name.first().is_some_and(u8::is_ascii_alphabetic)
            && Attributes::of(tag).count() > MOST_ATTRIBUTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_parsed(page: &str) -> bool {
        parse(page).is_ok()
    }

    #[test]
    fn only_pages_that_nest_without_end_are_too_deep() {
        // In HTML a slash ends nothing, and neither does the end of what is not open.
        for deep in ["<div/>", "<DIV ></x></x></div2>", "<li><ul>"] {
            assert!(!is_parsed(&deep.repeat(15_000)), "{deep}");
        }
        assert!(is_parsed(&"<div><p>text<br><li>".repeat(1_000)));
        let rows = "<tr><td><b>x</b><td><a href=/>y</a><img src=z>".repeat(20_000);
        assert!(is_parsed(&format!("<table>{rows}")));
        // One name of a megabyte.
        assert!(is_parsed(&"<title".repeat(200_000)));
    }

    #[test]
    fn what_is_no_open_element_makes_no_page_deep() {
        for many in [
            format!("<svg>{}</svg>", "<rect />".repeat(30_000)),
            format!("<script>a = [{}]</script>", "'<b>',".repeat(30_000)),
            format!("<textarea>{}</textarea>", "<b>".repeat(30_000)),
            format!("<!-- {} -->", "<b>".repeat(30_000)),
        ] {
            assert!(is_parsed(&many), "{}", &many[..40]);
        }
        let hidden = format!("<svg><style>{}", "<g>".repeat(30_000));
        assert!(!is_parsed(&hidden), "in a drawing a style has elements");
    }

    #[test]
    fn a_tag_with_attributes_without_end_is_not_parsed() {
        let many = |begin: &str| {
            let names = (0..20_000).map(|n| format!(" a{n}='<>'"));
            format!("{begin}{}>", names.collect::<String>())
        };
        for tag in ["<p", "</p", "<svg><g", "<script>1</script", "x &am<p"] {
            assert!(!is_parsed(&many(tag)), "{tag}");
        }
        let merged = (0..20_000).map(|n| format!("<html a{n}>"));
        assert!(!is_parsed(&merged.collect::<String>()));
        for other in ["<!-- <p", "<script>i<p", "<p><p x='", "<title><p", "i < p"] {
            let words = "word <".repeat(20_000).replace('<', " ");
            assert!(is_parsed(&format!("{other} {words}")), "{other}");
        }
    }

    #[test]
    fn a_page_in_pieces_is_the_same_page() {
        let text = "é&amp;&lt;x \u{1f600}\r\n".repeat(1_000);
        let page = format!(
            "\u{feff}<!DOCTYPE html><title>a &lt b</title><p class='<x>'>{text}<b>{text}<svg><![CDATA[<a>]]></svg>&notin; a<b &am"
        );
        assert_eq!(parse(&page).expect("a page"), Html::parse_document(&page));
    }
}
