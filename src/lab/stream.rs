//! Byte streams of the lab: plain TCP, TLS, and wrappers that replay read-ahead bytes or spoil what passes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::world::World;

/// Any connection of the lab. One type for all keeps the servers free of generics; the virtual call costs a nanosecond
/// beside a system call.
pub(super) type Stream = Box<dyn Conduit>;

/// A byte stream that knows the socket at its bottom.
pub(super) trait Conduit: AsyncRead + AsyncWrite + Send + Unpin {
    /// The socket under all layers.
    fn tcp(&self) -> &TcpStream;
}

impl Conduit for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Conduit for tokio_rustls::server::TlsStream<Stream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0.tcp()
    }
}

/// A client's connection, whose bytes the proxy counts as a provider would.
struct Counted {
    tcp: TcpStream,
    world: Arc<World>,
    proxy: u32,
}

impl Counted {
    fn add(&self, bytes: usize) {
        let counters = &self.world.proxy(self.proxy).counters;
        counters.bytes_wire.add(bytes as u64);
    }
}

/// The connection of a client with proxy number `proxy`.
pub(super) fn counted(world: Arc<World>, proxy: u32, tcp: TcpStream) -> Stream {
    Box::new(Counted { tcp, world, proxy })
}

impl Conduit for Counted {
    fn tcp(&self) -> &TcpStream {
        &self.tcp
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.tcp).poll_read(cx, buf);
        this.add(buf.filled().len() - before);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.tcp).poll_write(cx, buf))?;
        this.add(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// Closes with RST instead of FIN.
pub(super) fn reset(stream: Stream) {
    // A socket whose peer is gone may refuse the option; then there is nobody left to reset.
    let _ = socket2::SockRef::from(stream.tcp()).set_linger(Some(Duration::ZERO));
}

/// Says nothing until the client gives up. Reading is what notices that it did.
pub(super) async fn hang(mut stream: Stream) {
    let mut scratch = [0; 4096];
    while !matches!(stream.read(&mut scratch).await, Ok(0) | Err(_)) {}
}

/// A stream with bytes put back in front of it.
pub(super) struct Prefixed {
    prefix: Bytes,
    inner: Stream,
}

impl Prefixed {
    /// `prefix` is read before anything of `inner`.
    pub(super) fn wrap(prefix: Bytes, inner: Stream) -> Stream {
        if prefix.is_empty() {
            inner
        } else {
            Box::new(Prefixed { prefix, inner })
        }
    }
}

impl Conduit for Prefixed {
    fn tcp(&self) -> &TcpStream {
        self.inner.tcp()
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.has_remaining() {
            let length = self.prefix.len().min(buf.remaining());
            buf.put_slice(&self.prefix.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A stream whose writes are slow, or break off.
pub(super) struct Spoiled {
    inner: Stream,
    /// Bytes that may still be written; `None` is no limit.
    left: Option<u64>,
    drip: Option<Drip>,
}

struct Drip {
    bytes: usize,
    pause: Duration,
    next: Pin<Box<Sleep>>,
}

impl Spoiled {
    /// Lets `bytes` pass towards the client, then breaks the stream.
    pub(super) fn cut_after(bytes: u64, inner: Stream) -> Stream {
        Box::new(Spoiled {
            inner,
            left: Some(bytes),
            drip: None,
        })
    }

    /// Lets `bytes` pass towards the client every `pause`.
    pub(super) fn drip(bytes: usize, pause: Duration, inner: Stream) -> Stream {
        Box::new(Spoiled {
            inner,
            left: None,
            drip: Some(Drip {
                bytes,
                pause,
                next: Box::pin(tokio::time::sleep(Duration::ZERO)),
            }),
        })
    }
}

impl Conduit for Spoiled {
    fn tcp(&self) -> &TcpStream {
        self.inner.tcp()
    }
}

impl AsyncRead for Spoiled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Spoiled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut length = buf.len();
        if let Some(left) = this.left {
            if left == 0 {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        if let Some(drip) = &mut this.drip {
            ready!(drip.next.as_mut().poll(cx));
            length = length.min(drip.bytes);
        }
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, &buf[..length]))?;
        if let Some(left) = &mut this.left {
            *left -= written as u64;
        }
        if let Some(drip) = &mut this.drip {
            drip.next.as_mut().reset(Instant::now() + drip.pause);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
