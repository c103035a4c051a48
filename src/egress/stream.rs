//! The byte streams of the path out: to the proxy, through it, and inside TLS with the target.
//!
//! Closed enums rather than boxed trait objects: reads and writes of the hot path are direct calls, and an idle connection is
//! one small allocation. [`Prefixed`] gives back bytes that came behind a handshake.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::meter::{Meter, Metered};

/// The connection to the proxy (or, for `direct`, to the target).
#[derive(Debug)]
pub(super) enum ProxyIo {
    /// TCP.
    Plain(Metered),
    /// TLS to an `https` proxy. Boxed: the session is a hundred times the size of a socket.
    Tls(Box<TlsStream<Metered>>),
}

impl ProxyIo {
    fn meter(&self) -> &Meter {
        match self {
            ProxyIo::Plain(io) => &io.meter,
            ProxyIo::Tls(io) => &io.get_ref().0.meter,
        }
    }
}

/// A stream with bytes to be read before it.
#[derive(Debug)]
pub(super) struct Prefixed<T> {
    prefix: Bytes,
    io: T,
}

impl<T> Prefixed<T> {
    /// `io`, whose first bytes were already read.
    pub(super) fn new(prefix: Bytes, io: T) -> Self {
        Prefixed { prefix, io }
    }
}

impl<T> From<T> for Prefixed<T> {
    fn from(io: T) -> Self {
        Prefixed::new(Bytes::new(), io)
    }
}

/// A path on which nothing but the exchange with the target travels.
pub(super) type Tunnel = Prefixed<ProxyIo>;

/// What HTTP is spoken over.
#[derive(Debug)]
pub(super) enum Stream {
    /// HTTP in the clear.
    Clear(Tunnel),
    /// HTTP inside TLS with the target.
    Tls(Box<TlsStream<Tunnel>>),
}

impl Stream {
    /// Counts what travels on the connection.
    pub(super) fn meter(&self) -> &Meter {
        match self {
            Stream::Clear(tunnel) => tunnel.meter(),
            Stream::Tls(tls) => tls.get_ref().0.meter(),
        }
    }

    /// True when TLS with the target agreed on HTTP/2.
    pub(super) fn is_h2(&self) -> bool {
        match self {
            Stream::Clear(_) => false,
            Stream::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// False when the peer has closed it or sent something nobody asked for.
    pub(super) fn is_quiet(&mut self) -> bool {
        is_quiet(self)
    }

    /// Ready when a read is worth the room it needs: when there is something to be read, as far as that can be seen from outside.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Clear(Prefixed {
                prefix,
                io: ProxyIo::Plain(io),
            }) if prefix.is_empty() => io.tcp.poll_read_ready(cx),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl Tunnel {
    /// As [`Stream::meter`].
    pub(super) fn meter(&self) -> &Meter {
        self.io.meter()
    }

    /// As [`Stream::is_quiet`]; bytes kept from the handshake are not a reason to drop it.
    pub(super) fn is_quiet(&mut self) -> bool {
        !self.prefix.is_empty() || is_quiet(self)
    }
}

/// Looks at the stream without waiting. The waker registered here is replaced by the next real read.
fn is_quiet(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut byte = [0; 1];
    let mut buf = ReadBuf::new(&mut byte);
    let mut cx = Context::from_waker(Waker::noop());
    Pin::new(stream).poll_read(&mut cx, &mut buf).is_pending()
}

impl AsyncRead for ProxyIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ProxyIo::Plain(io) => Pin::new(io).poll_read(cx, buf),
            ProxyIo::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ProxyIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            ProxyIo::Plain(io) => Pin::new(io).poll_write(cx, buf),
            ProxyIo::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            ProxyIo::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            ProxyIo::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            ProxyIo::Plain(io) => io.is_write_vectored(),
            ProxyIo::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ProxyIo::Plain(io) => Pin::new(io).poll_flush(cx),
            ProxyIo::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ProxyIo::Plain(io) => Pin::new(io).poll_shutdown(cx),
            ProxyIo::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Prefixed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let taken = self.prefix.len().min(buf.remaining());
        buf.put_slice(&self.prefix[..taken]);
        self.prefix.advance(taken);
        if self.prefix.is_empty() {
            // Lets go of the handshake's buffer.
            self.prefix = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Prefixed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Clear(io) => Pin::new(io).poll_read(cx, buf),
            Stream::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Clear(io) => Pin::new(io).poll_write(cx, buf),
            Stream::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Clear(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Stream::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Clear(io) => io.is_write_vectored(),
            Stream::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Clear(io) => Pin::new(io).poll_flush(cx),
            Stream::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Clear(io) => Pin::new(io).poll_shutdown(cx),
            Stream::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn bytes_kept_from_a_handshake_come_first() {
        let (near, mut far) = tokio::io::duplex(64);
        far.write_all(b"world").await.unwrap();
        drop(far);
        let mut stream = Prefixed::new(Bytes::from_static(b"hello "), near);
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "hello world");
    }
}
