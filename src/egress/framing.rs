//! Where the body of an HTTP/1 answer ends (RFC 9112 section 6.3), and its bytes without the framing.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};

/// Longest line of the chunked coding, extensions included. Real ones have a dozen bytes.
const LINE_MAX: usize = 4 * 1024;
/// All trailer lines together, in bytes: as a head.
const TRAILERS_MAX: usize = super::head::HEAD_MAX;

/// How the end of a body is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is no body.
    None,
    /// So many bytes are still to come.
    Length(u64),
    Chunked(Chunks),
    UntilClose,
}

/// What the bytes at hand give.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Bytes of the body.
    Data(Bytes),
    /// Nothing before more has been read.
    More,
    End,
}

/// Why a framing is none. The words go on behind "the answer".
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) &'static str);

impl Framing {
    /// The framing of the answer with this status and these headers, `to_head` when the request was a HEAD.
    ///
    /// # Errors
    /// Lengths that are no numbers or contradict each other.
    pub(super) fn of(status: u16, to_head: bool, headers: &HeaderMap) -> Result<Framing, Broken> {
        if to_head || matches!(status, 100..=199 | 204 | 304) {
            return Ok(Framing::None);
        }
        let codings = headers.get_all(TRANSFER_ENCODING).iter().next_back();
        // The word for none, which older servers send.
        let codings = codings.filter(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
        if let Some(codings) = codings {
            // Lengths beside it do not count.
            return Ok(match last_token(codings.as_bytes()) {
                chunked if chunked.eq_ignore_ascii_case(b"chunked") => {
                    Framing::Chunked(Chunks::default())
                }
                _ => Framing::UntilClose,
            });
        }
        let mut length = None;
        for value in headers.get_all(CONTENT_LENGTH) {
            for number in value.as_bytes().split(|byte| *byte == b',') {
                let number = decimal(number.trim_ascii())
                    .ok_or(Broken("has a content-length that is no number"))?;
                if length.is_some_and(|other| other != number) {
                    return Err(Broken("has two content-lengths"));
                }
                length = Some(number);
            }
        }
        Ok(match length {
            None => Framing::UntilClose,
            Some(0) => Framing::None,
            Some(length) => Framing::Length(length),
        })
    }

    /// Takes the next piece out of what has been read.
    ///
    /// # Errors
    /// The chunks are broken.
    pub(super) fn next(&mut self, buf: &mut BytesMut) -> Result<Piece, Broken> {
        match self {
            Framing::None | Framing::Length(0) => Ok(Piece::End),
            Framing::Chunked(chunks) => chunks.next(buf),
            _ if buf.is_empty() => Ok(Piece::More),
            Framing::Length(left) => Ok(Piece::Data(take(buf, left))),
            Framing::UntilClose => Ok(Piece::Data(buf.split().freeze())),
        }
    }

    /// The length of the whole body, where it is known before it has come.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Framing::None => Some(0),
            Framing::Length(left) => Some(*left),
            Framing::Chunked(_) | Framing::UntilClose => None,
        }
    }
}

/// True when the connection may carry another request after an answer of HTTP/1.`minor` with these headers.
pub(super) fn keeps_alive(minor: u8, headers: &HeaderMap) -> bool {
    let says = |word: &[u8]| {
        headers.get_all(CONNECTION).iter().any(|value| {
            value
                .as_bytes()
                .split(|byte| *byte == b',')
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(word))
        })
    };
    if minor == 0 {
        says(b"keep-alive")
    } else {
        !says(b"close")
    }
}

/// At most `left` bytes from the front.
fn take(buf: &mut BytesMut, left: &mut u64) -> Bytes {
    let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.len());
    *left -= wanted as u64;
    buf.split_to(wanted).freeze()
}

fn last_token(value: &[u8]) -> &[u8] {
    let start = memchr::memrchr(b',', value).map_or(0, |at| at + 1);
    value[start..].trim_ascii()
}

fn decimal(digits: &[u8]) -> Option<u64> {
    // The number parser also takes a sign.
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The chunked coding. Bare line feeds end lines, as everywhere here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chunks {
    at: At,
    /// Bytes of trailer lines so far.
    trailers: usize,
}

/// What comes next.
#[derive(Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailer,
    End,
}

impl Chunks {
    fn next(&mut self, buf: &mut BytesMut) -> Result<Piece, Broken> {
        loop {
            match &mut self.at {
                At::Size => {
                    let Some(line) = line(buf)? else {
                        return Ok(Piece::More);
                    };
                    self.at = match size(&line)? {
                        0 => At::Trailer,
                        size => At::Data(size),
                    };
                }
                At::Data(0) => self.at = At::DataEnd,
                At::Data(left) => {
                    return Ok(if buf.is_empty() {
                        Piece::More
                    } else {
                        Piece::Data(take(buf, left))
                    });
                }
                At::DataEnd => {
                    let end = match &buf[..] {
                        [] | [b'\r'] => return Ok(Piece::More),
                        [b'\n', ..] => 1,
                        [b'\r', b'\n', ..] => 2,
                        _ => return Err(Broken("has a chunk that is longer than it says")),
                    };
                    buf.advance(end);
                    self.at = At::Size;
                }
                At::Trailer => {
                    let Some(line) = line(buf)? else {
                        return Ok(Piece::More);
                    };
                    self.trailers += line.len();
                    if line.trim_ascii_end().is_empty() {
                        self.at = At::End;
                    } else if self.trailers > TRAILERS_MAX {
                        return Err(Broken("has trailers of more than 64 kB"));
                    }
                }
                At::End => return Ok(Piece::End),
            }
        }
    }
}

/// The next line with its end; `None` while it is not whole.
fn line(buf: &mut BytesMut) -> Result<Option<BytesMut>, Broken> {
    match memchr::memchr(b'\n', buf) {
        Some(end) if end < LINE_MAX => Ok(Some(buf.split_to(end + 1))),
        None if buf.len() < LINE_MAX => Ok(None),
        _ => Err(Broken("has a chunk line of more than 4 kB")),
    }
}

/// The hexadecimal number before any extension.
fn size(line: &[u8]) -> Result<u64, Broken> {
    let number = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let number = number.trim_ascii();
    // 60 bits: nothing that long ever ends, and sums stay within 64.
    if number.is_empty() || number.len() > 15 {
        return Err(Broken("has a chunk without a size"));
    }
    number.iter().try_fold(0, |sum, byte| {
        let digit = char::from(*byte)
            .to_digit(16)
            .ok_or(Broken("has a chunk without a size"))?;
        Ok(sum * 16 + u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
    }

    #[test]
    fn the_headers_say_where_a_body_ends() {
        let chunked = || Ok(Framing::Chunked(Chunks::default()));
        let te = "transfer-encoding";
        let cl = "content-length";
        for (status, pairs, framing) in [
            (200, &[][..], Ok(Framing::UntilClose)),
            (200, &[(cl, "7")], Ok(Framing::Length(7))),
            (200, &[(cl, "0")], Ok(Framing::None)),
            (204, &[(cl, "7")], Ok(Framing::None)),
            (304, &[(te, "chunked")], Ok(Framing::None)),
            (101, &[(cl, "7")], Ok(Framing::None)),
            (200, &[(cl, "7"), (cl, "7")], Ok(Framing::Length(7))),
            (200, &[(cl, "7, 7")], Ok(Framing::Length(7))),
            (
                200,
                &[(cl, "7"), (cl, "8")],
                Err(Broken("has two content-lengths")),
            ),
            (
                200,
                &[(cl, "+7")],
                Err(Broken("has a content-length that is no number")),
            ),
            (
                200,
                &[(cl, "")],
                Err(Broken("has a content-length that is no number")),
            ),
            (
                200,
                &[(cl, "99999999999999999999")],
                Err(Broken("has a content-length that is no number")),
            ),
            (200, &[(cl, "7"), (te, "Chunked")], chunked()),
            (200, &[(te, "gzip, chunked")], chunked()),
            (200, &[(te, "gzip"), (te, "chunked")], chunked()),
            (200, &[(te, "chunked, gzip")], Ok(Framing::UntilClose)),
            (200, &[(te, "Identity"), (cl, "7")], Ok(Framing::Length(7))),
        ] {
            assert_eq!(
                Framing::of(status, false, &headers(pairs)),
                framing,
                "{pairs:?}"
            );
        }
        let to_head = Framing::of(200, true, &headers(&[(cl, "7")]));
        assert_eq!(to_head, Ok(Framing::None));
    }

    #[test]
    fn http_1_1_keeps_connections_and_1_0_does_not_unless_told() {
        let connection = |value| headers(&[("connection", value)]);
        assert!(keeps_alive(1, &HeaderMap::new()));
        assert!(!keeps_alive(1, &connection("foo, Close")));
        assert!(!keeps_alive(0, &HeaderMap::new()));
        assert!(keeps_alive(0, &connection("Keep-Alive")));
    }

    /// All there is in `pieces`, given one by one, and what is left behind the end.
    fn unchunk(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool, Vec<u8>), Broken> {
        let mut framing = Framing::Chunked(Chunks::default());
        let (mut buf, mut body) = (BytesMut::new(), Vec::new());
        for piece in pieces {
            buf.extend_from_slice(piece);
            loop {
                match framing.next(&mut buf)? {
                    Piece::Data(data) => body.extend_from_slice(&data),
                    Piece::More => break,
                    Piece::End => return Ok((body, true, buf.to_vec())),
                }
            }
        }
        Ok((body, false, buf.to_vec()))
    }

    #[test]
    fn chunks_are_read_leniently_where_nothing_is_lost_by_it() {
        for (text, body) in [
            ("5\r\nhello\r\n0\r\n\r\n", "hello"),
            ("5\nhello\n0\n\n", "hello"),
            (
                "5 ;name=value\r\nhello\r\n00\r\nTrailer: x\r\n\r\n",
                "hello",
            ),
            (
                "0005\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
                "hello0123456789",
            ),
        ] {
            let read = unchunk(&[text.as_bytes(), b"rest"]).unwrap();
            assert_eq!(read.0, body.as_bytes(), "{text:?}");
            assert!(read.1, "{text:?}");
        }
        let long = format!("5;{}\r\n", "x".repeat(LINE_MAX));
        let trailers = format!("0\r\n{}", "a: b\r\n".repeat(TRAILERS_MAX));
        for broken in [
            "zz\r\n",
            "\r\n",
            "-5\r\n",
            "1234567890123456\r\n",
            "5\r\nhello!\r\n",
            &long,
            &trailers,
        ] {
            assert!(unchunk(&[broken.as_bytes()]).is_err(), "{broken:.20}");
        }
    }

    proptest! {
        #[test]
        fn chunks_give_the_body_back_however_they_arrive(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            cuts in prop::collection::vec(0usize..400, 0..10),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                wire.extend(chunk);
                wire.extend(b"\r\n");
            }
            wire.extend(b"0\r\n\r\nnext");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % wire.len()).collect();
            cuts.extend([0, wire.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &wire[cut[0]..cut[1]]).collect();
            let (body, ended, _) = unchunk(&pieces).unwrap();
            prop_assert!(ended);
            prop_assert_eq!(body, chunks.concat());
        }

        #[test]
        fn no_bytes_make_the_reader_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unchunk(&[&bytes]);
        }
    }
}
