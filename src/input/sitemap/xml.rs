//! The tags and the text of an XML file, as far as a sitemap needs them, pulled from a stream.
//!
//! Not an XML parser: it does not mind whether tags match, knows no entities but those of HTML, and declares none, so a file
//! cannot make it grow. Works on octets, because names of tags are ASCII in every encoding that gets here.

use std::borrow::Cow;
use std::io::{self, BufRead};

use crate::text;

/// Octets of one tag or one text that are kept.
pub(super) const MOST_KEPT: usize = 16 * 1024;

/// A piece of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    Open(Tag),
    /// The name, with its prefix.
    Close(Vec<u8>),
    /// Decoded; `true` when it was too long and is cut. Text that is not wanted is no token.
    Text(String, bool),
    End,
}

/// An opening tag.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tag {
    bytes: Vec<u8>,
    name: usize,
    /// It closes itself.
    pub(super) is_closed: bool,
}

impl Tag {
    fn new(mut bytes: Vec<u8>) -> Self {
        let is_closed = bytes.last() == Some(&b'/');
        bytes.truncate(bytes.len() - usize::from(is_closed));
        Tag {
            name: name_of(&bytes),
            bytes,
            is_closed,
        }
    }

    /// With its prefix.
    pub(super) fn name(&self) -> &[u8] {
        &self.bytes[..self.name]
    }

    /// The raw value of an attribute.
    pub(super) fn attribute(&self, wanted: &[u8]) -> Option<&[u8]> {
        let mut rest = &self.bytes[self.name..];
        loop {
            rest = rest.trim_ascii_start();
            let equals = memchr::memchr(b'=', rest)?;
            let name = rest[..equals].trim_ascii();
            rest = rest[equals + 1..].trim_ascii_start();
            let quote = *rest.first()?;
            let (value, after) = match quote {
                b'"' | b'\'' => {
                    let value = &rest[1..];
                    let end = memchr::memchr(quote, value)?;
                    (&value[..end], &value[end + 1..])
                }
                _ => {
                    let end = rest.iter().position(u8::is_ascii_whitespace);
                    rest.split_at(end.unwrap_or(rest.len()))
                }
            };
            if name.eq_ignore_ascii_case(wanted) {
                return Some(value);
            }
            rest = after;
        }
    }
}

/// Pulls tokens.
pub(super) struct Xml<R> {
    input: R,
    /// What the file says of itself.
    charset: Option<String>,
}

impl<R: BufRead> Xml<R> {
    pub(super) fn new(input: R) -> Self {
        Xml {
            input,
            charset: None,
        }
    }

    /// The next token; text only if it is `wanted`.
    pub(super) fn next(&mut self, wanted: bool) -> io::Result<Token> {
        let most = if wanted { MOST_KEPT } else { 0 };
        loop {
            let Some(first) = self.peek()? else {
                return Ok(Token::End);
            };
            if first != b'<' {
                let mut kept = Vec::new();
                let cut = self.text(&mut kept, most)?;
                if wanted {
                    let text = self.decode(&kept);
                    return Ok(Token::Text(text::unescape(&text).into_owned(), cut));
                }
                continue;
            }
            self.input.consume(1);
            if let Some(token) = self.markup(most)? {
                return Ok(token);
            }
        }
    }

    /// What follows a `<`; `None` for what means nothing.
    fn markup(&mut self, most: usize) -> io::Result<Option<Token>> {
        let mut kept = Vec::new();
        match self.peek()? {
            Some(b'!') => {
                self.input.consume(1);
                match self.peek()? {
                    Some(b'-') => {
                        self.pass(b"-->", &mut kept, 0)?;
                    }
                    Some(b'[') => {
                        self.input.consume(1);
                        self.pass(b"[", &mut kept, 0)?;
                        let cut = self.pass(b"]]>", &mut kept, most)?;
                        if most > 0 {
                            return Ok(Some(Token::Text(self.decode(&kept).into_owned(), cut)));
                        }
                    }
                    // What a DOCTYPE declares in brackets counts for nothing.
                    _ => {
                        self.pass(b">", &mut kept, MOST_KEPT)?;
                        if kept.contains(&b'[') && !kept.contains(&b']') {
                            self.pass(b"]", &mut kept, 0)?;
                            self.pass(b">", &mut kept, 0)?;
                        }
                    }
                }
            }
            Some(b'?') => {
                self.pass(b"?>", &mut kept, MOST_KEPT)?;
                let charset = Tag::new(kept).attribute(b"encoding").map(<[u8]>::to_vec);
                // UTF-16 does not get here: somebody has changed the encoding and left the label.
                self.charset = charset
                    .filter(|name| !name.to_ascii_lowercase().starts_with(b"utf-16"))
                    .map(|name| String::from_utf8_lossy(&name).into_owned());
            }
            Some(b'/') => {
                self.input.consume(1);
                self.pass(b">", &mut kept, MOST_KEPT)?;
                kept.truncate(name_of(&kept));
                return Ok(Some(Token::Close(kept)));
            }
            Some(first) if is_name(&first) && self.tag(&mut kept)? => {
                return Ok(Some(Token::Open(Tag::new(kept))));
            }
            // A bracket in a text, or the end.
            _ => {}
        }
        Ok(None)
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.input.fill_buf()?.first().copied())
    }

    /// Keeps what comes before the next `<`, at most `most` octets; true when there was more.
    fn text(&mut self, kept: &mut Vec<u8>, most: usize) -> io::Result<bool> {
        let mut cut = false;
        loop {
            let buffer = self.input.fill_buf()?;
            let end = memchr::memchr(b'<', buffer);
            let text = &buffer[..end.unwrap_or(buffer.len())];
            let room = most - kept.len();
            cut |= text.len() > room;
            kept.extend_from_slice(&text[..text.len().min(room)]);
            let (length, over) = (text.len(), end.is_some() || buffer.is_empty());
            self.input.consume(length);
            if over {
                return Ok(cut);
            }
        }
    }

    /// Passes everything up to `end` and keeps what comes before it, at most `most` octets; true when there was more.
    fn pass(&mut self, end: &[u8], kept: &mut Vec<u8>, most: usize) -> io::Result<bool> {
        // The last octets, as many as `end` has.
        let mut last: Vec<u8> = Vec::with_capacity(end.len());
        let mut length = 0;
        while let Some(byte) = self.peek()? {
            self.input.consume(1);
            if last.len() == end.len() {
                last.remove(0);
            }
            last.push(byte);
            length += 1;
            if kept.len() < most {
                kept.push(byte);
            }
            if last == end {
                length -= end.len();
                break;
            }
        }
        kept.truncate(length);
        Ok(length > kept.len())
    }

    /// Keeps a tag without its brackets; false when it does not end or is too long. A `>` within quotes is a part of a value.
    fn tag(&mut self, kept: &mut Vec<u8>) -> io::Result<bool> {
        let mut quote = None;
        while let Some(byte) = self.peek()? {
            if kept.len() == MOST_KEPT {
                return Ok(false);
            }
            self.input.consume(1);
            match (quote, byte) {
                (None, b'>') => return Ok(true),
                (None, b'"' | b'\'') => quote = Some(byte),
                (Some(open), byte) if open == byte => quote = None,
                _ => {}
            }
            kept.push(byte);
        }
        Ok(false)
    }

    /// What is not UTF-8 is in the encoding that the file names, or in what most such files are in.
    fn decode<'a>(&self, bytes: &'a [u8]) -> Cow<'a, str> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Cow::Borrowed(text);
        }
        let is_label = |name: &&str| !name.eq_ignore_ascii_case("utf-8");
        let charset = self.charset.as_deref().filter(is_label);
        let charset = charset.unwrap_or("windows-1252");
        text::decode(Some(&format!("text/plain; charset={charset}")), bytes)
    }
}

/// How long the name is that this begins with.
fn name_of(bytes: &[u8]) -> usize {
    let end = bytes.iter().position(|byte| !is_name(byte));
    end.unwrap_or(bytes.len())
}

fn is_name(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-' | b'.') || *byte >= 0x80
}
