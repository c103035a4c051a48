//! The far side of CONNECT and SOCKS: a site answered for in place, or a real connection on loopback.
//!
//! Names under `.test` have no socket behind them: the task that accepted the tunnel is the site. Addresses of loopback are
//! dialled from the proxy's own address, so that a listener's peer address proves who connected. Nothing else is ever
//! dialled: the lab is no way out of this machine.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::address::{JUDGE_ADDRESS, address_of};
use super::fault::{BadTls, Fault, GREETING, TUNNEL_CUT_BYTES};
use super::origin::Unreachable;
use super::pages;
use super::serve::{self, Route};
use super::stream::{self, Spoiled, Stream};
use super::tls::Show;
use super::world::World;

/// What a proxy has connected to.
pub(super) enum Far {
    /// A site of the lab.
    Site,
    /// A socket.
    Socket(TcpStream),
}

/// Connects proxy `number` to a target.
///
/// # Errors
/// Down, unknown, or not on loopback.
pub(super) async fn open(
    world: &World,
    number: u32,
    host: &str,
    port: u16,
) -> Result<Far, Unreachable> {
    if is_site(host) {
        let now = tokio::time::Instant::now().into_std();
        world.origin.connect(&world.origin.host(host), now)?;
        return Ok(Far::Site);
    }
    let address = match (host, host.parse::<IpAddr>()) {
        (_, Ok(address)) => address,
        ("localhost", _) => IpAddr::from([127, 0, 0, 1]),
        _ => return Err(Unreachable::Unknown),
    };
    if !address.is_loopback() {
        return Err(Unreachable::Down);
    }
    dial(number, SocketAddr::new(address, port))
        .await
        .map(Far::Socket)
        .map_err(|_| Unreachable::Down)
}

/// True for hosts that the lab answers for itself. The judge is among them, so that faults show in what it says.
pub(super) fn is_site(host: &str) -> bool {
    host.ends_with(".test") || host.parse() == Ok(JUDGE_ADDRESS)
}

async fn dial(number: u32, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((address_of(number), 0)))?;
        socket
    } else {
        TcpSocket::new_v6()?
    };
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Carries an open tunnel to its end. The client has been told that it is open.
///
/// # Errors
/// What sockets and TLS say.
pub(super) async fn carry(
    world: &Arc<World>,
    number: u32,
    mut stream: Stream,
    host: &str,
    far: Far,
) -> io::Result<()> {
    let proxy = world.proxy(number);
    let mut show = Show::Trusted;
    for fault in &*proxy.faults() {
        match fault {
            Fault::HangAfterConnect => {
                stream::hang(stream).await;
                return Ok(());
            }
            Fault::BadTls(BadTls::Garbage) => {
                // Waits for the ClientHello, which is when a real one would answer.
                stream.read_u8().await?;
                stream.write_all(&pages::garbage()).await?;
                return stream.shutdown().await;
            }
            Fault::BadTls(BadTls::Expired) => show = Show::Expired,
            Fault::BadTls(BadTls::WrongName) => show = Show::WrongName,
            Fault::TlsIntercept => show = Show::Untrusted,
            Fault::ConnectBytesGlued => return echo(stream).await,
            Fault::Truncate => stream = Spoiled::cut_after(TUNNEL_CUT_BYTES, stream),
            _ => {}
        }
    }
    match far {
        Far::Socket(mut socket) if show == Show::Trusted => {
            tokio::io::copy_bidirectional(&mut stream, &mut socket).await?;
            Ok(())
        }
        _ => {
            let route = Route {
                via: world.via(number),
                host: host.into(),
                https: false,
                resumed: None,
                lags: true,
            };
            let config = world.authority.origin(host, show)?;
            serve::any(world, stream, route, config).await
        }
    }
}

/// The bytes of a target that speaks first, for proxies that glue them to their own answer.
pub(super) fn glued(world: &World, number: u32) -> &'static [u8] {
    match world.proxy(number).has(&Fault::ConnectBytesGlued) {
        true => GREETING,
        false => b"",
    }
}

async fn echo(stream: Stream) -> io::Result<()> {
    let (mut read, mut write) = tokio::io::split(stream);
    tokio::io::copy(&mut read, &mut write).await?;
    write.shutdown().await
}
