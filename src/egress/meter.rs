//! Bytes through a proxy, both ways, as its provider counts them: everything on the connection, handshakes and TLS included.
//!
//! A connection counts for itself and outlives the exchange it was made for, so an exchange takes what has come together since
//! the last one took it. It does so when its story ends, whatever ended it: a request that was called back has cost its bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Requests that may still be sent in a run. Its attempts share it, for their redirect hops and for what they send once more.
#[derive(Debug)]
pub struct Allowance(AtomicU64);

impl Allowance {
    /// For so many requests; `None` is without end.
    pub fn new(most: Option<u64>) -> Self {
        Allowance(AtomicU64::new(most.unwrap_or(u64::MAX)))
    }

    /// Requests that are left.
    pub fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes one; false when none is left.
    pub fn take(&self) -> bool {
        self.left() == u64::MAX
            || self
                .0
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_ok()
    }

    /// Takes back what was not used.
    pub fn give_back(&self, unused: u64) {
        if self.left() != u64::MAX {
            self.0.fetch_add(unused, Ordering::Relaxed);
        }
    }
}

/// What an attempt has used of its proxy so far. Shared with the exchange under way, so that one that is dropped is counted.
#[derive(Debug, Default)]
pub struct Traffic {
    bytes: AtomicU64,
    requests: AtomicU64,
    /// `None` is without end.
    allowance: Option<Arc<Allowance>>,
    /// Places in the allowance.
    taken: AtomicU64,
    /// There was none left when one was wanted.
    short: AtomicBool,
}

impl Traffic {
    /// For an attempt that has taken its first place in `allowance`.
    pub fn within(allowance: Arc<Allowance>) -> Self {
        Traffic {
            allowance: Some(allowance),
            taken: AtomicU64::new(1),
            ..Traffic::default()
        }
    }

    /// Takes a place for one request more; false when none is left.
    pub fn take(&self) -> bool {
        let Some(allowance) = &self.allowance else {
            return true;
        };
        let taken = allowance.take();
        self.taken.fetch_add(u64::from(taken), Ordering::Relaxed);
        self.short.fetch_or(!taken, Ordering::Relaxed);
        taken
    }

    /// True when a request was not sent because no place was left for it.
    pub fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Places taken for requests of which nothing was sent.
    pub fn unused(&self) -> u64 {
        let taken = self.taken.load(Ordering::Relaxed);
        taken.saturating_sub(self.requests())
    }

    /// Bytes, both ways.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Requests of which something was sent, redirect hops and repetitions included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Counts the end of one exchange: so many bytes, and a request if anything of it was sent.
    pub fn add(&self, bytes: u64, sent: bool) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let one = u64::from(sent || bytes > 0);
        self.requests.fetch_add(one, Ordering::Relaxed);
    }
}

/// Counts the bytes of one connection. Relaxed: it orders nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter(Arc<AtomicU64>);

impl Meter {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes so far, to look at.
    pub(super) fn peek(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Bytes since this was last asked.
    pub(super) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// A TCP connection with its meter.
#[derive(Debug)]
pub(super) struct Metered {
    pub(super) tcp: TcpStream,
    pub(super) meter: Meter,
}

impl Metered {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Metered {
            tcp,
            meter: Meter::default(),
        }
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.meter.add(bytes);
        }
        written
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.tcp).poll_read(cx, buf);
        let bytes = buf.filled().len() - before;
        if bytes > 0 {
            this.meter.add(bytes);
        }
        read
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.tcp).poll_write(cx, buf);
        this.wrote(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.tcp).poll_write_vectored(cx, bufs);
        this.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
