//! The three wrappings of deflate, read as leniently as browsers read them.
//!
//! A stream of deflate says itself where it ends. Whatever is missing or added behind that end takes nothing from the body: a
//! trailer that did not come, line breaks, zeros, a comment that a server adds to every answer. A trailer that came and does not
//! fit is damage.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use flate2::{Crc, Decompress, FlushDecompress, Status};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// Longest head of gzip. It has room for the name of a file; real ones have ten bytes.
const HEAD_MAX: usize = 64 * 1024;
/// Bytes of a head looked at in one go.
const HEAD_PIECE: usize = 64;

/// What is around the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrapping {
    Gzip,
    Zlib,
    None,
}

/// Decodes what `inner` reads.
pub(super) struct Inflate<R> {
    inner: R,
    state: State,
}

struct State {
    wrapping: Wrapping,
    at: At,
    /// Of the head or the trailer that is being read.
    seen: Vec<u8>,
    stream: Decompress,
    sum: Sum,
    /// A whole member of gzip has come.
    is_whole: bool,
    /// The stream may have more to give before it needs more to read.
    is_full: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Head,
    Stream,
    Trailer,
    End,
}

impl<R> Inflate<R> {
    pub(super) fn new(inner: R, wrapping: Wrapping) -> Self {
        let state = State {
            wrapping,
            at: At::Head,
            seen: Vec::new(),
            stream: Decompress::new(false),
            sum: Sum::of(wrapping),
            is_whole: false,
            is_full: false,
        };
        Inflate { inner, state }
    }
}

impl State {
    /// Goes on in the head, of which `more` has come; gives how many of these bytes belong to it.
    fn head(&mut self, more: &[u8]) -> io::Result<usize> {
        let before = self.seen.len();
        self.seen
            .extend_from_slice(&more[..more.len().min(HEAD_PIECE)]);
        let end = match self.wrapping {
            Wrapping::Gzip => gzip_head(&self.seen),
            Wrapping::Zlib => zlib_head(&self.seen),
            Wrapping::None => Ok(Some(0)),
        };
        match end {
            Ok(Some(end)) => {
                self.seen.clear();
                self.at = At::Stream;
                Ok(end - before)
            }
            // No other member follows, whatever does.
            Err(NoHead) if self.is_whole => {
                self.at = At::End;
                Ok(0)
            }
            Ok(None) if more.is_empty() && self.is_whole && self.seen.len() < 2 => {
                self.at = At::End;
                Ok(0)
            }
            Ok(None) if more.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(None) if self.seen.len() < HEAD_MAX => Ok(self.seen.len() - before),
            Ok(None) | Err(NoHead) => Err(broken("it does not begin as one")),
        }
    }

    /// Goes on in the stream; gives how many of the bytes of `more` it took.
    fn stream(&mut self, more: &[u8], buf: &mut ReadBuf<'_>) -> io::Result<usize> {
        let (read_before, written_before) = (self.stream.total_in(), self.stream.total_out());
        let room = buf.initialize_unfilled();
        let status = self.stream.decompress(more, room, FlushDecompress::None)?;
        // Neither is more than the slice it was given.
        let read = (self.stream.total_in() - read_before) as usize;
        let written = (self.stream.total_out() - written_before) as usize;
        self.sum.add(&room[..written]);
        let was_full = std::mem::replace(&mut self.is_full, written == room.len());
        buf.advance(written);
        if status == Status::StreamEnd {
            self.is_full = false;
            self.at = At::Trailer;
        } else if read + written == 0 && !was_full {
            return Err(if more.is_empty() {
                io::ErrorKind::UnexpectedEof.into()
            } else {
                broken("it does not go on")
            });
        }
        Ok(read)
    }

    /// Goes on in the trailer; gives how many of the bytes of `more` belong to it.
    fn trailer(&mut self, more: &[u8]) -> io::Result<usize> {
        let expected = self.sum.trailer();
        let missing = expected.len() - self.seen.len();
        let taken = missing.min(more.len());
        self.seen.extend_from_slice(&more[..taken]);
        if taken < missing {
            if more.is_empty() {
                self.at = At::End;
            }
            return Ok(taken);
        }
        if self.seen != expected {
            return Err(broken("the checksum does not fit"));
        }
        self.seen.clear();
        self.is_whole = true;
        self.at = match self.wrapping {
            Wrapping::Gzip => {
                self.stream.reset(false);
                self.sum = Sum::of(self.wrapping);
                At::Head
            }
            Wrapping::Zlib | Wrapping::None => At::End,
        };
        Ok(taken)
    }
}

impl<R: AsyncBufRead + Unpin> AsyncRead for Inflate<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Inflate { inner, state } = self.get_mut();
        let before = buf.filled().len();
        while state.at != At::End && buf.filled().len() == before {
            if state.is_full {
                state.stream(&[], buf)?;
                continue;
            }
            let more = ready!(Pin::new(&mut *inner).poll_fill_buf(cx))?;
            let taken = match state.at {
                At::Head => state.head(more),
                At::Stream => state.stream(more, buf),
                At::Trailer => state.trailer(more),
                At::End => break,
            }?;
            Pin::new(&mut *inner).consume(taken);
        }
        Poll::Ready(Ok(()))
    }
}

/// Not the beginning of this wrapping.
#[derive(Debug)]
struct NoHead;

/// One past the head of a member of gzip (RFC 1952), or `None` while it is not whole.
fn gzip_head(bytes: &[u8]) -> Result<Option<usize>, NoHead> {
    const FIXED: usize = 10;
    const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
    if !bytes.iter().zip(MAGIC).all(|(byte, magic)| *byte == magic) {
        return Err(NoHead);
    }
    let Some(flags) = bytes.get(3) else {
        return Ok(None);
    };
    let has = |bit: u8| flags & (1 << bit) != 0;
    let mut end = FIXED;
    if has(2) {
        let Some(&[low, high]) = bytes.get(end..end + 2) else {
            return Ok(None);
        };
        end += 2 + usize::from(u16::from_le_bytes([low, high]));
    }
    // The name and the comment.
    for _ in [3, 4].into_iter().filter(|bit| has(*bit)) {
        let text = bytes.get(end..).unwrap_or_default();
        let Some(length) = memchr::memchr(0, text) else {
            return Ok(None);
        };
        end += length + 1;
    }
    if has(1) {
        end += 2;
    }
    Ok((bytes.len() >= end).then_some(end))
}

/// One past the head of zlib (RFC 1950), or `None` while it is not whole.
fn zlib_head(bytes: &[u8]) -> Result<Option<usize>, NoHead> {
    const DICTIONARY: u8 = 0x20;
    let &[method, flags, ..] = bytes else {
        return Ok(None);
    };
    let fits = u16::from_be_bytes([method, flags]).is_multiple_of(31);
    if fits && method & 0x0f == 8 && flags & DICTIONARY == 0 {
        Ok(Some(2))
    } else {
        Err(NoHead)
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The checksum of what was decoded.
enum Sum {
    Crc(Box<Crc>),
    Adler(u32, u32),
    None,
}

impl Sum {
    fn of(wrapping: Wrapping) -> Self {
        match wrapping {
            Wrapping::Gzip => Sum::Crc(Box::new(Crc::new())),
            Wrapping::Zlib => Sum::Adler(1, 0),
            Wrapping::None => Sum::None,
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        match self {
            Sum::Crc(crc) => crc.update(bytes),
            Sum::Adler(a, b) => {
                // So many bytes can be added before the sums have to be reduced (RFC 1950).
                for part in bytes.chunks(5552) {
                    for byte in part {
                        *a += u32::from(*byte);
                        *b += *a;
                    }
                    *a %= 65_521;
                    *b %= 65_521;
                }
            }
            Sum::None => {}
        }
    }

    fn trailer(&self) -> Vec<u8> {
        match self {
            Sum::Crc(crc) => [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat(),
            Sum::Adler(a, b) => (b << 16 | a).to_be_bytes().to_vec(),
            Sum::None => Vec::new(),
        }
    }
}
