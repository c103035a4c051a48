//! The tags of a page in order, without parsing it: what is in comments, scripts and styles is no tag.

use memchr::memmem;

/// Elements whose content is letters, not tags, and `svg`, whose tags mean other things (its `title` names a drawing).
const OPAQUE: [&[u8]; 9] = [
    b"title",
    b"script",
    b"style",
    b"svg",
    b"textarea",
    b"iframe",
    b"xmp",
    b"noembed",
    b"noframes",
];

/// Walks over a page, or the beginning of one.
pub(super) struct Tags<'a> {
    rest: &'a [u8],
}

/// One tag.
#[derive(Debug)]
pub(super) struct Tag<'a> {
    /// As written; that of an end tag begins with the slash.
    pub(super) name: &'a [u8],
    /// What is between the name and `>`.
    attributes: &'a [u8],
    /// Of an [`OPAQUE`] element, where its end tag was found.
    pub(super) content: Option<&'a [u8]>,
}

impl<'a> Tags<'a> {
    pub(super) fn of(page: &'a [u8]) -> Self {
        Tags { rest: page }
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        loop {
            let open = memchr::memchr(b'<', self.rest)?;
            self.rest = &self.rest[open + 1..];
            let letter = match self.rest {
                // `<!-->` is a whole comment.
                [b'!', b'-', b'-', ..] => {
                    self.rest = &self.rest[1..];
                    self.rest = &self.rest[memmem::find(self.rest, b"-->")? + 3..];
                    continue;
                }
                [b'!' | b'?', ..] => {
                    self.rest = &self.rest[memchr::memchr(b'>', self.rest)? + 1..];
                    continue;
                }
                [b'/', letter, ..] | [letter, ..] => letter,
                [] => return None,
            };
            if letter.is_ascii_alphabetic() {
                return self.tag();
            }
        }
    }
}

impl<'a> Tags<'a> {
    fn tag(&mut self) -> Option<Tag<'a>> {
        let length = self.rest[1..]
            .iter()
            .position(|byte| matches!(byte, b'/' | b'>') || byte.is_ascii_whitespace())?;
        let (name, rest) = self.rest.split_at(1 + length);
        let end = tag_end(rest)?;
        let attributes = &rest[..end];
        self.rest = &rest[end + 1..];
        let is_opaque = OPAQUE.iter().any(|opaque| name.eq_ignore_ascii_case(opaque))
            // Only foreign elements can be empty by a slash.
            && !(name.eq_ignore_ascii_case(b"svg") && attributes.ends_with(b"/"));
        let content = is_opaque.then(|| {
            let end = end_tag(self.rest, name)?;
            let (content, rest) = self.rest.split_at(end);
            self.rest = rest;
            Some(content)
        });
        if content == Some(None) {
            self.rest = &[];
        }
        Some(Tag {
            name,
            attributes,
            content: content.flatten(),
        })
    }
}

impl<'a> Tag<'a> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&'a [u8]> {
        attribute(self.attributes, name)
    }
}

/// The value of the attribute `name`, quoted or not.
pub(super) fn attribute<'a>(attributes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut all = Attributes::of(attributes);
    let found = all.find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|(_, value)| value)
}

/// Names and values in the letters of a tag.
pub(super) struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub(super) fn of(attributes: &'a [u8]) -> Self {
        Attributes { rest: attributes }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self
            .rest
            .iter()
            .position(|byte| *byte != b'/' && !byte.is_ascii_whitespace())?;
        let rest = &self.rest[start..];
        let length = rest
            .iter()
            // An equals sign in front belongs to the name.
            .skip(1)
            .position(|byte| matches!(byte, b'=' | b'/') || byte.is_ascii_whitespace());
        let (key, rest) = rest.split_at(length.map_or(rest.len(), |length| length + 1));
        self.rest = rest;
        let mut value: &[u8] = b"";
        if let Some(more) = rest.trim_ascii_start().strip_prefix(b"=") {
            (value, self.rest) = match more.trim_ascii_start() {
                [quote @ (b'"' | b'\''), more @ ..] => {
                    let end = memchr::memchr(*quote, more).unwrap_or(more.len());
                    (&more[..end], more.get(end + 1..).unwrap_or_default())
                }
                more => {
                    let end = more.iter().position(u8::is_ascii_whitespace);
                    more.split_at(end.unwrap_or(more.len()))
                }
            };
        }
        Some((key, value))
    }
}

/// Where the `>` of a tag is. One in a quoted value ends nothing, and a quote is one only where a value begins.
fn tag_end(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr3(b'>', b'"', b'\'', &rest[at..])?;
        let quote = rest[at];
        if quote == b'>' {
            return Some(at);
        }
        let begins = rest[..at].trim_ascii_end().ends_with(b"=");
        at += 1;
        if begins {
            at += memchr::memchr(quote, &rest[at..])? + 1;
        }
    }
}

/// Where `</name` is.
fn end_tag(rest: &[u8], name: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'<', rest).find(|&at| {
        rest[at + 1..]
            .strip_prefix(b"/")
            .and_then(|rest| rest.get(..name.len()))
            .is_some_and(|found| found.eq_ignore_ascii_case(name))
    })
}
