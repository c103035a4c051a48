//! Lines of a robots.txt.

use super::MOST_BYTES;

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    UserAgent,
    Allow,
    Disallow,
    CrawlDelay,
    Sitemap,
}

impl Key {
    /// The misspellings are those that the parser of Google takes as well.
    fn of(name: &[u8]) -> Option<Self> {
        const NAMES: [(&str, Key); 13] = [
            ("user-agent", Key::UserAgent),
            ("useragent", Key::UserAgent),
            ("user agent", Key::UserAgent),
            ("allow", Key::Allow),
            ("disallow", Key::Disallow),
            ("dissallow", Key::Disallow),
            ("dissalow", Key::Disallow),
            ("disalow", Key::Disallow),
            ("diasllow", Key::Disallow),
            ("disallaw", Key::Disallow),
            ("crawl-delay", Key::CrawlDelay),
            ("sitemap", Key::Sitemap),
            ("site-map", Key::Sitemap),
        ];
        let found = NAMES
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        found.map(|(_, key)| *key)
    }
}

/// The lines of a file that mean something: number from 1, key, value without blanks around it. Lines end with CR, LF or both.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    number: u32,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let rest = match text.get(..MOST_BYTES) {
            // A line that is cut would forbid more than it says: `Disallow: /` of `Disallow: /private`.
            Some(kept) if kept.len() < text.len() => {
                let end = memchr::memrchr2(b'\r', b'\n', kept);
                &kept[..end.unwrap_or(0)]
            }
            _ => text,
        };
        Lines { rest, number: 0 }
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let Some(end) = memchr::memchr2(b'\r', b'\n', self.rest) else {
            return Some(std::mem::take(&mut self.rest));
        };
        let (line, rest) = self.rest.split_at(end);
        let both = rest.starts_with(b"\r\n");
        self.rest = &rest[if both { 2 } else { 1 }..];
        Some(line)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (u32, Key, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.line()?;
            if let Some((key, value)) = parse(line) {
                return Some((self.number, key, value));
            }
        }
    }
}

fn parse(line: &[u8]) -> Option<(Key, &[u8])> {
    let line = match memchr::memchr(b'#', line) {
        Some(comment) => &line[..comment],
        None => line,
    };
    let line = line.trim_ascii();
    let (name, value) = match memchr::memchr(b':', line) {
        Some(colon) => (&line[..colon], &line[colon + 1..]),
        // Two words with a blank between them are taken for a line that lacks its colon.
        None => {
            let blank = line.iter().position(u8::is_ascii_whitespace)?;
            let value = line[blank..].trim_ascii();
            if value.iter().any(u8::is_ascii_whitespace) {
                return None;
            }
            (&line[..blank], value)
        }
    };
    Some((Key::of(name.trim_ascii())?, value.trim_ascii()))
}
