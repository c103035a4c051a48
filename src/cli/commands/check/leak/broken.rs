//! A listener of our own on loopback: as a proxy it hangs up on every request, which makes for retries, or refuses everybody, which
//! makes for a pool without a usable proxy; as a target it counts who comes by without a proxy.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::error::Error;
use crate::proxy::{Credentials, Proxy, Scheme};
use crate::secret::Secret;

/// The version that a SOCKS5 client begins with (RFC 1928).
const SOCKS5: u8 = 5;
/// "No acceptable methods".
const NO_METHOD: u8 = 0xff;
/// Longest head that is read; ours are far shorter.
const MOST_BYTES: usize = 8 * 1024;
/// Rest after an accept that failed: descriptors come back.
const REST: Duration = Duration::from_millis(10);

/// What it does to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Takes it and hangs up. A tunnel is opened first, so that the proxy seems to work.
    HangsUp,
    /// Wants other credentials, as HTTP proxy and as SOCKS5: the pool never uses such a proxy again.
    Refuses,
}

/// The listener. It ends when it is dropped.
pub(super) struct Broken {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Broken {
    /// Listens on a free port.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn start(manner: Manner) -> Result<Self, Error> {
        let failed = |error| Error::io("listen on", "127.0.0.1", error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let connections = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(serve(listener, manner, connections.clone()));
        Ok(Broken {
            address,
            connections,
            task,
        })
    }

    /// So many proxies that all lead here: as many as there are users.
    pub(super) fn proxies(&self, scheme: Scheme, count: usize) -> impl Iterator<Item = Arc<Proxy>> {
        let address = self.address;
        (0..count).map(move |number| {
            let credentials = Credentials {
                user: Secret::new(format!("broken{number}")),
                password: Secret::new(""),
            };
            Arc::new(Proxy::new(
                scheme,
                &address.ip().to_string(),
                address.port(),
                Some(credentials),
            ))
        })
    }

    /// Connections so far.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, manner: Manner, connections: Arc<AtomicUsize>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.fetch_add(1, Ordering::Relaxed);
                    open.spawn(async move {
                        // That it fails is what it is for.
                        let _ = fail(stream, manner).await;
                    });
                }
                Err(_) => tokio::time::sleep(REST).await,
            },
            Some(_) = open.join_next(), if !open.is_empty() => {}
        }
    }
}

async fn fail(mut stream: TcpStream, manner: Manner) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MOST_BYTES {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
        if manner == Manner::Refuses && head.first() == Some(&SOCKS5) {
            return stream.write_all(&[SOCKS5, NO_METHOD]).await;
        }
    }
    if manner == Manner::Refuses {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\
            Proxy-Authenticate: Basic realm=\"none\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return stream.write_all(refusal).await;
    }
    if head.starts_with(b"CONNECT ") {
        stream
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await?;
        stream.read_buf(&mut head).await?;
    }
    Ok(())
}
