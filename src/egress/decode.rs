//! Content- and transfer-encodings undone while the body arrives.
//!
//! The decoders, those of async-compression and [`Inflate`], pull from a reader; here a body is pushed frame by frame, so that caps, deadlines and lost
//! connections stay with the transport. A [`Feed`] between the two holds one frame and says "not yet" when it is used up. Output
//! is taken in small pieces, so a bomb costs no more than its cap and one piece.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use async_compression::tokio::bufread::{BrotliDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::{Buf, Bytes};
use http::header::{CONTENT_ENCODING, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName};
use tokio::io::{AsyncBufRead, AsyncRead, BufReader, ReadBuf};

use super::inflate::{Inflate, Wrapping};

/// Encodings stacked at most. Two happen by misconfiguration; more is an attack.
const STACK_MAX: usize = 3;
/// Decoded at once.
const PIECE: usize = 8 * 1024;
/// Largest window of zstd in bits: 8 MB, the limit for HTTP (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Brotli,
    Zstd,
    Deflate,
}

/// Why a body cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) String);

/// Undoes the content-encoding of one body.
pub(super) struct Decoder {
    codings: Vec<Coding>,
    feed: Feed,
    /// Built on the first bytes, because `deflate` means two formats that only they tell apart.
    reader: Option<Box<dyn AsyncRead + Send + Unpin>>,
    done: bool,
}

impl Decoder {
    /// The decoder for a response with `headers`; `None` when the body is to be taken as it comes. Without `content` that is so
    /// whatever the content-encoding, and in any case for one that nobody knows (browsers do the same with the likes of
    /// `content-encoding: utf-8`).
    ///
    /// # Errors
    /// More encodings than [`STACK_MAX`], or a transfer-encoding that nobody knows: it belongs to the connection and not to the
    /// page, so what comes is not what the target has.
    pub(super) fn for_headers(headers: &HeaderMap, content: bool) -> Result<Option<Self>, Broken> {
        let mut codings = Vec::new();
        if content {
            codings = content_codings(headers).unwrap_or_default();
        }
        // Applied last, undone first.
        codings.extend(transfer_codings(headers)?);
        if codings.is_empty() {
            return Ok(None);
        }
        if codings.len() > STACK_MAX {
            return Err(Broken(format!(
                "{} encodings on top of each other",
                codings.len()
            )));
        }
        Ok(Some(Decoder {
            codings,
            feed: Feed::default(),
            reader: None,
            done: false,
        }))
    }

    /// Decodes `frame` and hands the output to `take` piece by piece until it answers `false`.
    pub(super) fn push(
        &mut self,
        frame: Bytes,
        take: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Broken> {
        if self.done || frame.is_empty() {
            return Ok(());
        }
        if self.reader.is_none() {
            self.reader = Some(self.build(frame[0]));
        }
        self.feed.lock().chunk = frame;
        self.drain(take)
    }

    /// The body is over; hands out what is left.
    ///
    /// # Errors
    /// The encoding is not finished.
    pub(super) fn finish(&mut self, take: impl FnMut(&[u8]) -> bool) -> Result<(), Broken> {
        self.feed.lock().ended = true;
        self.drain(take)
    }

    fn drain(&mut self, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), Broken> {
        // No reader: no byte came. An empty body is empty in any encoding (HEAD, 304, sloppy servers).
        let Some(reader) = &mut self.reader else {
            return Ok(());
        };
        let mut cx = Context::from_waker(Waker::noop());
        let mut piece = [0; PIECE];
        while !self.done {
            let mut buf = ReadBuf::new(&mut piece);
            match Pin::new(&mut *reader).poll_read(&mut cx, &mut buf) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) if buf.filled().is_empty() => self.done = true,
                Poll::Ready(Ok(())) => {
                    if !take(buf.filled()) {
                        self.done = true;
                    }
                }
                Poll::Ready(Err(error)) => {
                    self.done = true;
                    return Err(Broken(self.complaint(&error)));
                }
            }
        }
        Ok(())
    }

    fn complaint(&self, error: &io::Error) -> String {
        let names: Vec<_> = self.codings.iter().map(|coding| coding.name()).collect();
        let names = names.join(", ");
        match error.kind() {
            io::ErrorKind::UnexpectedEof => format!("encoding {names} ends early"),
            _ => format!("encoding {names} is broken: {error}"),
        }
    }

    /// The last encoding applied is the first to be undone.
    fn build(&self, first: u8) -> Box<dyn AsyncRead + Send + Unpin> {
        let mut codings = self.codings.iter().rev();
        let mut reader = match codings.next() {
            Some(coding) => coding.over(self.feed.clone(), first),
            None => Box::new(self.feed.clone()),
        };
        for coding in codings {
            // What an inner `deflate` starts with is unknown here; zlib is what the word means.
            reader = coding.over(BufReader::with_capacity(PIECE, reader), ZLIB_FIRST);
        }
        reader
    }
}

/// The words of all headers called `name`, but those for no encoding at all.
fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(name).into_iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty() && !token.eq_ignore_ascii_case(b"identity"))
}

/// `None` when one of them is unknown.
fn content_codings(headers: &HeaderMap) -> Option<Vec<Coding>> {
    tokens(headers, CONTENT_ENCODING)
        .map(Coding::named)
        .collect()
}

/// All but a `chunked` at the end, which is the framing.
fn transfer_codings(headers: &HeaderMap) -> Result<Vec<Coding>, Broken> {
    let mut tokens: Vec<_> = tokens(headers, TRANSFER_ENCODING).collect();
    tokens.pop_if(|last| last.eq_ignore_ascii_case(b"chunked"));
    let known = |token: &[u8]| {
        Coding::named(token).ok_or_else(|| {
            let name = String::from_utf8_lossy(token);
            Broken(format!("transfer-encoding {name} cannot be undone"))
        })
    };
    tokens.into_iter().map(known).collect()
}

/// First byte of a zlib stream with a 32 kB window.
const ZLIB_FIRST: u8 = 0x78;

impl Coding {
    fn named(token: &[u8]) -> Option<Self> {
        let is = |name: &str| token.eq_ignore_ascii_case(name.as_bytes());
        Some(if is("gzip") || is("x-gzip") {
            Coding::Gzip
        } else if is("br") {
            Coding::Brotli
        } else if is("zstd") {
            Coding::Zstd
        } else if is("deflate") {
            Coding::Deflate
        } else {
            return None;
        })
    }

    fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Deflate => "deflate",
        }
    }

    fn over<R>(self, inner: R, first: u8) -> Box<dyn AsyncRead + Send + Unpin>
    where
        R: AsyncBufRead + Send + Unpin + 'static,
    {
        match self {
            Coding::Gzip => Box::new(Inflate::new(inner, Wrapping::Gzip)),
            Coding::Brotli => Box::new(BrotliDecoder::new(inner)),
            Coding::Zstd => {
                let window = DParameter::window_log_max(ZSTD_WINDOW_LOG);
                let mut decoder = ZstdDecoder::with_params(inner, &[window]);
                decoder.multiple_members(true);
                Box::new(decoder)
            }
            // RFC 9110 means zlib; many servers send it raw. Method 8 in the low bits is zlib's mark: as a raw block header it
            // would be a stored block with non-zero padding, which no encoder writes.
            Coding::Deflate if first & 0x0f == 8 => Box::new(Inflate::new(inner, Wrapping::Zlib)),
            Coding::Deflate => Box::new(Inflate::new(inner, Wrapping::None)),
        }
    }
}

/// The frame being decoded. Shared between [`Decoder`] and the bottom of its reader; the lock is never contended.
#[derive(Clone, Default)]
struct Feed {
    shared: Arc<Mutex<Fed>>,
    /// Taken from `shared` and not yet consumed.
    current: Bytes,
}

#[derive(Default)]
struct Fed {
    chunk: Bytes,
    ended: bool,
}

impl Feed {
    fn lock(&self) -> std::sync::MutexGuard<'_, Fed> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncBufRead for Feed {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.current.is_empty() {
            let mut fed = this.lock();
            if fed.chunk.is_empty() && !fed.ended {
                return Poll::Pending;
            }
            let chunk = std::mem::take(&mut fed.chunk);
            drop(fed);
            this.current = chunk;
        }
        Poll::Ready(Ok(&this.current))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().current.advance(amount);
    }
}

impl AsyncRead for Feed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let amount = match self.as_mut().poll_fill_buf(cx)? {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(chunk) => {
                let amount = chunk.len().min(buf.remaining());
                buf.put_slice(&chunk[..amount]);
                amount
            }
        };
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
