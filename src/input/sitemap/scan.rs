//! What a sitemap lists, pulled from a stream: urlset and index, RSS, Atom, plain text, the `Sitemap` lines of a robots.txt.
//!
//! Which of them it is, is told by its content: servers say `text/html` of all of them. Only direct children of an entry with its
//! own prefix count, since extensions for pictures and films have a `loc` too.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::date::changed;
use super::utf16::Utf16;
use super::xml::{Tag, Token, Xml};
use crate::robots;

/// Bytes that a sitemap may have by its protocol, and those that are read.
pub(super) const ALLOWED_BYTES: u64 = 50 * 1024 * 1024;
pub(super) const MOST_BYTES: u64 = crate::input::MOST_SITEMAP_BYTES;
/// Longest URL, bytes; more than any server takes.
const LONGEST_URL: usize = 8 * 1024;

/// Something a sitemap lists.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// As it stands, without blanks around it.
    pub(super) url: String,
    /// A sitemap, not a page.
    pub(super) is_sitemap: bool,
    /// When it was last changed, seconds since 1970, if it says so.
    pub(super) changed: Option<i64>,
}

/// Why what was read is not all there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// It ends in the middle, or its compression is broken.
    Cut,
    /// There is more than [`MOST_BYTES`].
    TooLong,
    /// No sitemap of any kind.
    Foreign,
}

/// Hands the entries of `input` to `take`, one after the other. `is_robots` for a robots.txt.
///
/// # Errors
/// Those of `take`, and of reading what is not compressed.
pub(super) fn scan(
    input: impl Read,
    is_robots: bool,
    take: &mut impl FnMut(Entry) -> io::Result<()>,
) -> io::Result<(End, u64)> {
    let mut raw = BufReader::new(input);
    let is_gzip = starts(&mut raw, &[b"\x1f\x8b"])?;
    let unpacked: &mut dyn Read = if is_gzip {
        &mut MultiGzDecoder::new(raw)
    } else {
        &mut raw
    };
    let mut input = BufReader::new(Counted {
        inner: unpacked,
        left: MOST_BYTES,
        is_packed: is_gzip,
        is_broken: false,
    });
    let end = if starts(&mut input, &[b"\xff\xfe", b"<\0"])? {
        of_text(
            BufReader::new(Utf16::new(&mut input, false)),
            is_robots,
            take,
        )?
    } else if starts(&mut input, &[b"\xfe\xff", b"\0<"])? {
        of_text(
            BufReader::new(Utf16::new(&mut input, true)),
            is_robots,
            take,
        )?
    } else {
        of_text(&mut input, is_robots, take)?
    };
    let counted = input.get_ref();
    let end = match end {
        End::Whole | End::Cut if counted.left == 0 => End::TooLong,
        End::Whole if counted.is_broken => End::Cut,
        end => end,
    };
    Ok((end, MOST_BYTES - counted.left))
}

/// True when the next octets are one of these.
fn starts(input: &mut impl BufRead, any: &[&[u8]]) -> io::Result<bool> {
    let next = input.fill_buf()?;
    Ok(any.iter().any(|these| next.starts_with(these)))
}

/// Bounds what is unpacked. Broken compression is an end, not an error: what came before it is good.
struct Counted<'a> {
    inner: &'a mut dyn Read,
    left: u64,
    is_packed: bool,
    is_broken: bool,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(into.len());
        let count = match self.inner.read(&mut into[..most]) {
            Err(_) if self.is_packed => {
                self.is_broken = true;
                0
            }
            count => count?,
        };
        self.left -= count as u64;
        Ok(count)
    }
}

fn of_text(
    mut input: impl BufRead,
    is_robots: bool,
    take: &mut impl FnMut(Entry) -> io::Result<()>,
) -> io::Result<End> {
    if is_robots {
        let mut file = Vec::new();
        input
            .take(robots::MOST_BYTES as u64)
            .read_to_end(&mut file)?;
        for url in robots::sitemaps(&file) {
            take(Entry {
                url,
                is_sitemap: true,
                changed: None,
            })?;
        }
        return Ok(End::Whole);
    }
    if starts(&mut input, &[b"\xef\xbb\xbf"])? {
        input.consume(3);
    }
    loop {
        let next = input.fill_buf()?;
        let blanks = next.iter().take_while(|byte| byte.is_ascii_whitespace());
        let (blanks, first) = (blanks.count(), next.is_empty());
        if first || blanks < next.len() {
            input.consume(blanks);
            break;
        }
        input.consume(blanks);
    }
    if starts(&mut input, &[b"<"])? {
        of_xml(Xml::new(input), take)
    } else {
        of_lines(input, take)
    }
}

/// A URL a line, and nothing else: the text form of the protocol.
fn of_lines(
    mut input: impl BufRead,
    take: &mut impl FnMut(Entry) -> io::Result<()>,
) -> io::Result<End> {
    let mut line = Vec::new();
    let mut some = false;
    loop {
        line.clear();
        let most = LONGEST_URL as u64;
        if input.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
            return Ok(End::Whole);
        }
        let url = String::from_utf8_lossy(line.trim_ascii()).into_owned();
        // The first line shows whether this is a list of URLs.
        if !some && !url.is_empty() && !url.contains("://") {
            return Ok(End::Foreign);
        }
        if !url.is_empty() {
            some = true;
            take(Entry {
                url,
                is_sitemap: false,
                changed: None,
            })?;
        }
    }
}

/// Which tag of an entry is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Url,
    Date,
}

/// An entry that is open.
struct Open {
    /// With its prefix.
    name: Vec<u8>,
    depth: usize,
    field: Option<Field>,
    url: String,
    date: String,
}

fn of_xml<R: BufRead>(
    mut xml: Xml<R>,
    take: &mut impl FnMut(Entry) -> io::Result<()>,
) -> io::Result<End> {
    let mut root: Option<Vec<u8>> = None;
    let mut entry: Option<Open> = None;
    loop {
        let wanted = entry.as_ref().is_some_and(|entry| entry.field.is_some());
        match xml.next(wanted)? {
            Token::End => {
                finish(entry.take().filter(|entry| entry.field.is_none()), take)?;
                return Ok(if root.is_some() {
                    End::Cut
                } else {
                    End::Foreign
                });
            }
            Token::Open(tag) => {
                if root.is_none() {
                    if !ROOTS.contains(&&*lower(tag.name())) {
                        return Ok(End::Foreign);
                    }
                    if tag.is_closed {
                        return Ok(End::Whole);
                    }
                    root = Some(tag.name().to_vec());
                } else if is_entry(tag.name())
                    && entry.as_ref().is_none_or(|open| open.name == tag.name())
                {
                    // One within another of its name: the first was never closed.
                    finish(entry.take(), take)?;
                    entry = (!tag.is_closed).then(|| Open::new(tag.name()));
                } else if let Some(open) = &mut entry {
                    open.child(&tag);
                }
            }
            Token::Close(name) => match &mut entry {
                Some(open) if open.name == name => finish(entry.take(), take)?,
                Some(open) => {
                    open.depth = open.depth.saturating_sub(1);
                    open.field = None;
                }
                None if root.as_ref() == Some(&name) => return Ok(End::Whole),
                None => {}
            },
            Token::Text(text, _) => {
                if let Some(open) = &mut entry {
                    match open.field {
                        Some(Field::Url) => open.url.push_str(&text),
                        Some(Field::Date) => open.date.push_str(&text),
                        None => {}
                    }
                }
            }
        }
    }
}

const ROOTS: [&[u8]; 5] = [b"urlset", b"sitemapindex", b"rss", b"rdf", b"feed"];

fn is_entry(name: &[u8]) -> bool {
    matches!(&*lower(name), b"url" | b"sitemap" | b"item" | b"entry")
}

/// A name without its prefix.
fn lower(name: &[u8]) -> Vec<u8> {
    let start = memchr::memrchr(b':', name).map_or(0, |colon| colon + 1);
    name[start..].to_ascii_lowercase()
}

fn prefix(name: &[u8]) -> &[u8] {
    &name[..memchr::memrchr(b':', name).unwrap_or(0)]
}

impl Open {
    fn new(name: &[u8]) -> Self {
        Open {
            name: name.to_vec(),
            depth: 0,
            field: None,
            url: String::new(),
            date: String::new(),
        }
    }

    fn child(&mut self, tag: &Tag) {
        let is_direct = self.depth == 0;
        self.depth += usize::from(!tag.is_closed);
        if !is_direct {
            return;
        }
        let is_own = prefix(tag.name()) == prefix(&self.name);
        self.field = match &*lower(tag.name()) {
            b"loc" | b"link" if is_own => {
                let is_other = tag
                    .attribute(b"rel")
                    .is_some_and(|rel| !rel.eq_ignore_ascii_case(b"alternate"));
                if let Some(target) = tag.attribute(b"href")
                    && !is_other
                    && self.url.is_empty()
                {
                    let target = String::from_utf8_lossy(target);
                    self.url = crate::text::unescape(&target).into_owned();
                }
                // Feeds repeat it; the first one counts.
                (!tag.is_closed && self.url.is_empty() && !is_other).then_some(Field::Url)
            }
            b"lastmod" | b"pubdate" | b"updated" | b"date" if !tag.is_closed => {
                self.date.is_empty().then_some(Field::Date)
            }
            _ => None,
        };
    }
}

/// Hands an entry on that is complete; one without a URL is none.
fn finish(entry: Option<Open>, take: &mut impl FnMut(Entry) -> io::Result<()>) -> io::Result<()> {
    let Some(open) = entry else { return Ok(()) };
    let url = open.url.trim();
    if url.is_empty() {
        return Ok(());
    }
    take(Entry {
        url: url.to_owned(),
        is_sitemap: &*lower(&open.name) == b"sitemap",
        changed: changed(&open.date),
    })
}
