//! Listeners, and a connection's way to its place.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Shared, connection, raise};
use crate::error::Error;

/// Connections that wait to be accepted; the kernel cuts it to its own limit (4096 by default).
const BACKLOG: u32 = 1024;

/// Listens on `address`, one of `all`.
///
/// # Errors
/// The system refuses it.
pub(super) fn bind(address: SocketAddr, all: &[(bool, SocketAddr)]) -> Result<TcpListener, Error> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => {
                let socket = TcpSocket::new_v6()?;
                // Set either way, so that it does not depend on the system's settings.
                let is_listed =
                    |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
                let only = address.port() != 0 && all.iter().any(|(_, other)| is_listed(other));
                socket2::SockRef::from(&socket).set_only_v6(only)?;
                socket
            }
        };
        // A restarted judge must not wait for the last connections of the one before.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|error| Error::io("listen on", address.to_string(), error))
}

/// Accepts until the judge drains, then waits for its connections.
pub(super) async fn run(shared: Arc<Shared>, listener: TcpListener, https: bool) {
    let mut draining = shared.draining.subscribe();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = connection::drain(&mut draining) => break,
            accepted = listener.accept() => match accepted {
                Ok((tcp, peer)) => {
                    let now = Instant::now().into_std();
                    let Some(seat) = shared.clients.seat(peer.ip(), now) else {
                        shared.limited.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    let shared = shared.clone();
                    connections.spawn(async move {
                        // Clients that hang up, or never speak, are daily business here; nobody is to be told.
                        let _ = connection::serve(&shared, tcp, peer.ip(), seat, https).await;
                    });
                }
                // Out of descriptors: those in use will come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(ended) = connections.join_next(), if !connections.is_empty() => raise(ended),
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        raise(ended);
    }
}
