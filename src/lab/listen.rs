//! Listeners: who is reached at which port, and what happens to a connection before its first byte.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::address::number_of;
use super::fault::{DRIP_BYTES, Fault};
use super::origin::Via;
use super::rehearsal::Absent;
use super::serve::{self, Route};
use super::stream::{self, Spoiled};
use super::tls::Show;
use super::world::World;
use super::{proxy_http, proxy_socks};
use crate::proxy::Scheme;

/// Connections that wait to be accepted; the kernel cuts it to its own limit (4096 by default).
const BACKLOG: u32 = 4096;
/// How long a connect to a full backlog is watched before it counts as never completing. Loopback takes microseconds.
const BLACK_HOLE_PROOF: Duration = Duration::from_millis(150);

/// Who answers at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Proxies of HTTP in the clear.
    Http,
    /// Proxies of HTTP inside TLS.
    Https,
    /// All SOCKS proxies.
    Socks,
    /// The sites themselves; with TLS or without, as the client begins.
    Origin,
}

impl Role {
    /// The role that serves a scheme.
    pub(super) fn of(scheme: Scheme) -> Role {
        match scheme {
            Scheme::Https => Role::Https,
            Scheme::Socks4 | Scheme::Socks4a | Scheme::Socks5 | Scheme::Socks5h => Role::Socks,
            Scheme::Http | Scheme::Direct => Role::Http,
        }
    }
}

/// A listener on a free port of `address`.
pub(super) fn bind(address: Ipv4Addr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((address, 0)))?;
    socket.listen(BACKLOG)
}

/// A port that refuses: bound, so that nobody else gets it, and never listening.
pub(super) fn refusing() -> io::Result<(TcpSocket, u16)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
    let port = socket.local_addr()?.port();
    Ok((socket, port))
}

/// A port where connect never completes: its accept queue is full, so the kernel drops further SYNs.
#[derive(Debug)]
pub(super) struct BlackHole {
    pub(super) port: u16,
    _listener: TcpListener,
    _plugs: Vec<TcpStream>,
}

impl BlackHole {
    /// Opens the port and fills its queue.
    pub(super) async fn open() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
        let listener = socket.listen(1)?;
        let port = listener.local_addr()?.port();
        let mut plugs = Vec::new();
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while let Ok(plug) = tokio::time::timeout(BLACK_HOLE_PROOF, TcpStream::connect(to)).await {
            plugs.push(plug?);
        }
        Ok(BlackHole {
            port,
            _listener: listener,
            _plugs: plugs,
        })
    }
}

/// Accepts until aborted. Its connections end with it.
pub(super) async fn run(world: Arc<World>, listener: TcpListener, role: Role) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let world = world.clone();
                    connections.spawn(async move {
                        // Clients that hang up and faults that cut are daily business here; nobody is to be told.
                        let _ = connection(&world, stream, peer, role).await;
                    });
                }
                // Out of descriptors: those in use will come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(done) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = done && let Ok(payload) = error.try_into_panic() {
                    world.note_panic(&*payload);
                }
            }
        }
    }
}

async fn connection(
    world: &Arc<World>,
    tcp: TcpStream,
    peer: SocketAddr,
    role: Role,
) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let IpAddr::V4(local) = tcp.local_addr()?.ip() else {
        return Ok(());
    };
    // A wildcard listener is reached from outside too. The lab is for this machine only.
    if !local.is_loopback() || !peer.ip().is_loopback() {
        return Ok(());
    }
    if role == Role::Origin {
        return origin(world, tcp, local, peer).await;
    }
    let Some(address) = number_of(local) else {
        return Ok(());
    };
    let Some(front) = world.front(address) else {
        return Ok(());
    };
    let proxy = world.proxy(front);
    proxy.counters.connections.bump();
    let mut stream = stream::counted(world.clone(), front, tcp);
    if Role::of(proxy.spec.scheme) != role {
        return Ok(());
    }
    let now = tokio::time::Instant::now().into_std();
    if proxy.has(&Fault::Refuse) || proxy.is_dead(false, now) {
        stream::reset(stream);
        return Ok(());
    }
    if let Some(rehearsal) = &world.rehearsal {
        match rehearsal.absent(front, now) {
            Some(Absent::Resets) => {
                stream::reset(stream);
                return Ok(());
            }
            Some(Absent::IsSilent) => {
                stream::hang(stream).await;
                return Ok(());
            }
            None => {}
        }
    }
    for fault in &*proxy.faults() {
        match fault {
            Fault::HangAfterAccept | Fault::BlackHole => {
                stream::hang(stream).await;
                return Ok(());
            }
            Fault::SlowDrip(ms) => {
                stream = Spoiled::drip(DRIP_BYTES, Duration::from_millis(*ms), stream);
            }
            _ => {}
        }
    }
    match role {
        Role::Socks => proxy_socks::serve(world, stream, address).await,
        Role::Https => {
            let config = world.authority.proxy(&local.to_string())?;
            let stream = TlsAcceptor::from(config).accept(stream).await?;
            proxy_http::serve(world, Box::new(stream), address, peer).await
        }
        Role::Http | Role::Origin => proxy_http::serve(world, stream, address, peer).await,
    }
}

async fn origin(
    world: &Arc<World>,
    tcp: TcpStream,
    local: Ipv4Addr,
    peer: SocketAddr,
) -> io::Result<()> {
    let proxy = match peer.ip() {
        IpAddr::V4(ip) => number_of(ip).filter(|number| (*number as usize) < world.proxies.len()),
        IpAddr::V6(_) => None,
    };
    let name = local.to_string();
    let now = tokio::time::Instant::now().into_std();
    if world
        .origin
        .connect(&world.origin.host(&name), now)
        .is_err()
    {
        stream::reset(Box::new(tcp));
        return Ok(());
    }
    let via = match proxy {
        Some(number) => world.via(number),
        None => Via {
            proxy: None,
            exit: peer.ip(),
            ban_after: None,
        },
    };
    let route = Route {
        via,
        host: name.as_str().into(),
        https: false,
        resumed: None,
        lags: false,
    };
    let config = world.authority.origin(&name, Show::Trusted)?;
    serve::any(world, Box::new(tcp), route, config).await
}
