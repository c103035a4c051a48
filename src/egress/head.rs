//! Heads of HTTP/1 answers, read by hand: of the proxy's answer to CONNECT, and of the target's to the request.
//!
//! The status line is read strictly, the headers as leniently as browsers do: a bad line is dropped, the rest is evidence; a
//! folded line is joined to the one before; bare line feeds end lines, because old proxies send them. What cannot become
//! `HTTP/1.` is refused at its first bytes, not when its time is over.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Longest head: what browsers and squid allow for a whole header.
pub(super) const HEAD_MAX: usize = 64 * 1024;
/// Most headers that room is made for before they are read: a head of bare line feeds has more lines than a map can have places.
const RESERVE_MAX: usize = 256;

/// A parsed head.
#[derive(Debug)]
pub(super) struct Head {
    /// 100..=999.
    pub(super) status: u16,
    /// Minor version; only 0 differs from the rest.
    pub(super) minor: u8,
    /// Reason phrase as sent, trimmed.
    pub(super) reason: Bytes,
    pub(super) headers: HeaderMap,
}

/// Why bytes are no head. The words go on behind "the answer", as in "the answer is binary".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoHead(pub(super) &'static str);

/// It begins as a head.
pub(super) const BROKEN: NoHead = NoHead("has a broken status line");
/// Longer than [`HEAD_MAX`].
pub(super) const TOO_LONG: NoHead = NoHead("has a header of more than 64 kB");

impl Head {
    /// True for what is said before the answer (100 Continue, 103 Early Hints). A 101 is an answer.
    pub(super) fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }
}

/// Finds the end of a head in bytes that arrive piece by piece; looks at none of them twice.
#[derive(Debug, Default)]
pub(super) struct Scan {
    searched: usize,
}

impl Scan {
    /// One past the blank line, or `None` while it is missing.
    ///
    /// # Errors
    /// The bytes cannot become a head.
    pub(super) fn end(&mut self, buf: &[u8]) -> Result<Option<usize>, NoHead> {
        if !looks_like_http(buf) {
            return Err(NoHead(looks_like(buf)));
        }
        let end = head_end(buf, self.searched);
        if end.unwrap_or(buf.len()) > HEAD_MAX {
            return Err(TOO_LONG);
        }
        // The blank line may straddle two reads.
        self.searched = buf.len().saturating_sub(3);
        Ok(end)
    }
}

/// Drops the line breaks in front of an answer, and says how many: some servers end a body with one more than they announced.
pub(super) fn skip_line_breaks(buf: &mut BytesMut) -> usize {
    let breaks = buf
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    if breaks > 0 {
        let _ = buf.split_to(breaks);
    }
    breaks
}

/// One past the blank line, searched from `from`.
fn head_end(buf: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', &buf[from..]).find_map(|at| {
        let next = from + at + 1;
        match buf.get(next..) {
            Some([b'\n', ..]) => Some(next + 1),
            Some([b'\r', b'\n', ..]) => Some(next + 2),
            _ => None,
        }
    })
}

/// False as soon as the first bytes cannot become `HTTP/1.`.
fn looks_like_http(buf: &[u8]) -> bool {
    let start = b"HTTP/1.";
    let seen = buf.len().min(start.len());
    buf[..seen].eq_ignore_ascii_case(&start[..seen])
}

/// What a server that does not speak HTTP/1 seems to be.
pub(super) fn looks_like(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x15 | 0x16, 0x03, ..] => "looks like TLS; is this an https proxy?",
        [b'S', b'S', b'H', ..] => "looks like SSH",
        [0x05, ..] | [0x00, 0x5a..=0x5d, ..] => "looks like SOCKS; is this a socks proxy?",
        [b'H', b'T', b'T', b'P', ..] => "is not HTTP/1.x; is this an http proxy?",
        [b'2', b'2', b'0', b' ' | b'-', ..] => "looks like a mail or FTP server",
        [b'<', ..] => "is a bare web page",
        [0, ..] => "is binary",
        _ => "is not HTTP",
    }
}

/// Reads a whole head, blank line included.
///
/// # Errors
/// The status line is broken.
pub(super) fn parse(head: &Bytes) -> Result<Head, NoHead> {
    let mut lines = Lines(head);
    let status_line = lines.next().unwrap_or_default();
    let (status, minor, reason) = parse_status_line(status_line).ok_or(BROKEN)?;
    let lines_at_most = memchr::memchr_iter(b'\n', head).count();
    let mut headers = HeaderMap::with_capacity(lines_at_most.min(RESERVE_MAX));
    let mut line = lines.next();
    while let Some(field) = line {
        line = lines.next();
        if line.is_none_or(|next| !is_folded(next)) {
            let value = |value: &[u8]| HeaderValue::from_maybe_shared(head.slice_ref(value));
            add(&mut headers, field, value);
            continue;
        }
        let mut whole = field.to_vec();
        while let Some(more) = line.filter(|next| is_folded(next)) {
            whole.push(b' ');
            whole.extend_from_slice(more.trim_ascii());
            line = lines.next();
        }
        add(&mut headers, &whole, HeaderValue::from_bytes);
    }
    Ok(Head {
        status,
        minor,
        reason: head.slice_ref(reason),
        headers,
    })
}

/// True for a line that continues the one before (RFC 9112 section 5.2).
fn is_folded(line: &[u8]) -> bool {
    matches!(line, [b' ' | b'\t', ..])
}

fn add<E>(
    headers: &mut HeaderMap,
    line: &[u8],
    value: impl FnOnce(&[u8]) -> Result<HeaderValue, E>,
) {
    let Some(colon) = memchr::memchr(b':', line) else {
        return;
    };
    let name = line[..colon].trim_ascii_end();
    if let (Ok(name), Ok(value)) = (
        HeaderName::from_bytes(name),
        value(line[colon + 1..].trim_ascii()),
    ) {
        // Only fails past 32,768 distinct names, which do not fit into 64 kB.
        let _ = headers.try_append(name, value);
    }
}

/// Lines without their ends; the blank one, which is the last, is none.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(b'\n', self.0)?;
        let line = &self.0[..end];
        self.0 = &self.0[end + 1..];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (!line.is_empty()).then_some(line)
    }
}

/// `HTTP/1.x SP 3DIGIT [SP reason]`, in small letters too, and with a tab before the reason.
fn parse_status_line(line: &[u8]) -> Option<(u16, u8, &[u8])> {
    let (name, rest) = line.split_at_checked(b"HTTP/1.".len())?;
    if !name.eq_ignore_ascii_case(b"HTTP/1.") {
        return None;
    }
    let (minor, rest) = rest.split_first()?;
    if !minor.is_ascii_digit() {
        return None;
    }
    let rest = rest.strip_prefix(b" ")?.trim_ascii_start();
    let (digits, reason) = rest.split_at_checked(3)?;
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(reason, [] | [b' ' | b'\t', ..]) {
        return None;
    }
    let status = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    (status >= 100).then_some((status, minor - b'0', reason.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Head, NoHead> {
        parse(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn bad_lines_are_dropped_and_folded_ones_joined() {
        let head = read(
            "HTTP/1.0 200  Fine \r\nA: 1\r\nno colon\r\nb :2\n(: 3\r\nA:4\r\nc: x\r\n  y\r\n\tz: \r\nd: \x01\r\n\r\n",
        )
        .unwrap();
        assert_eq!((head.status, head.minor), (200, 0));
        assert_eq!(head.reason, "Fine");
        let all: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let expected: [(&str, &[u8]); 4] =
            [("a", b"1"), ("a", b"4"), ("b", b"2"), ("c", b"x y z:")];
        assert_eq!(all, expected);
    }

    #[test]
    fn status_lines_are_read_strictly() {
        for (line, status) in [
            ("HTTP/1.1 200", Some(200)),
            ("HTTP/1.1  404 Not Found", Some(404)),
            ("HTTP/1.1 200\tOK", Some(200)),
            ("http/1.0 200 OK", Some(200)),
            ("HTTP/1.1 200OK", None),
            ("HTTP/1.1 2000 OK", None),
            ("HTTP/1.1 20 OK", None),
            ("HTTP/1.1 099 Low", None),
            ("HTTP/1.x 200 OK", None),
            ("HTTP/1.1200 OK", None),
        ] {
            let head = read(&format!("{line}\r\n\r\n")).ok();
            assert_eq!(head.map(|head| head.status), status, "{line}");
        }
    }

    #[test]
    fn a_head_of_very_many_lines_is_read() {
        let lines = "a\n".repeat(30_000);
        let head = read(&format!("HTTP/1.1 200 OK\nb: 1\n{lines}\n")).unwrap();
        assert_eq!((head.status, head.headers.len()), (200, 1));
        let named: String = (0..8_000).map(|n| format!("{n:x}:\n")).collect();
        let head = read(&format!("HTTP/1.1 200 OK\n{named}\n")).unwrap();
        assert_eq!(head.headers.len(), 8_000);
    }

    #[test]
    fn line_breaks_before_an_answer_are_no_part_of_it() {
        let mut buf = BytesMut::from("\r\n\nHTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(skip_line_breaks(&mut buf), 3);
        assert_eq!(Scan::default().end(&buf), Ok(Some(buf.len())));
    }

    proptest! {
        #[test]
        fn the_end_is_found_however_the_bytes_arrive(
            lines in prop::collection::vec("[a-z]{1,8}: [ -~]{0,20}", 0..6),
            ends in prop::collection::vec(prop::bool::ANY, 8),
            body in "[a-z\r\n]{0,20}",
            cuts in prop::collection::vec(0usize..200, 0..8),
        ) {
            let end = |at: usize| if ends[at] { "\r\n" } else { "\n" };
            let mut text = format!("HTTP/1.1 200 OK{}", end(7));
            for (at, line) in lines.iter().enumerate() {
                text += line;
                text += end(at);
            }
            text += end(6);
            let expected = text.len();
            text += &body;
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % text.len()).collect();
            cuts.sort_unstable();
            cuts.push(text.len());
            let mut scan = Scan::default();
            let mut found = None;
            for cut in cuts {
                found = scan.end(&text.as_bytes()[..cut]).unwrap();
                if found.is_some() {
                    break;
                }
            }
            prop_assert_eq!(found, Some(expected));
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
            text.extend(bytes);
            if let Ok(Some(end)) = Scan::default().end(&text) {
                let head = parse(&Bytes::copy_from_slice(&text[..end])).unwrap();
                prop_assert_eq!(head.status, 200);
            }
        }
    }
}
