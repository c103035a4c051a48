//! SOCKS proxies: 4, 4a and 5, the last with and without user and password.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::fault::Fault;
use super::origin::Unreachable;
use super::pages;
use super::stream::{self, Stream};
use super::tunnel;
use super::wire::Wire;
use super::world::{Admission, World};
use crate::proxy::Scheme;

/// SOCKS5 reply codes (RFC 1928 section 6); SOCKS4 knows only yes and no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    Ok = 0,
    Failure = 1,
    NotAllowed = 2,
    HostUnreachable = 4,
    Refused = 5,
    CommandUnsupported = 7,
}

/// What a client wants to be connected to.
struct Wish {
    number: u32,
    host: String,
    port: u16,
    is_connect: bool,
}

/// Serves one client connection at the address numbered `address`.
///
/// # Errors
/// What sockets and TLS say, and `InvalidData` for what is not SOCKS.
pub(super) async fn serve(world: &Arc<World>, stream: Stream, address: u32) -> io::Result<()> {
    let mut wire = Wire::new(stream);
    let front = world.front(address).unwrap_or(address);
    let five = matches!(
        world.proxy(front).spec.scheme,
        Scheme::Socks5 | Scheme::Socks5h
    );
    let version = byte(&mut wire).await?;
    if version != if five { 5 } else { 4 } {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if world.proxy(front).has(&Fault::Garbage) {
        wire.send(&pages::garbage()).await?;
        wire.close().await;
        return Ok(());
    }
    if world.proxy(front).has(&Fault::Reset) {
        stream::reset(wire.into_stream());
        return Ok(());
    }
    let wish = match five {
        true => wish5(world, &mut wire, address).await?,
        false => wish4(world, &mut wire, address).await?,
    };
    let Some(wish) = wish else {
        wire.close().await;
        return Ok(());
    };
    let proxy = world.proxy(wish.number);
    let count = proxy.counters.requests.bump();
    let now = tokio::time::Instant::now().into_std();
    if proxy.is_dead(true, now) {
        stream::reset(wire.into_stream());
        return Ok(());
    }
    world.lag(wish.number, count).await;
    let refused = own_refusal(world, &wish);
    let opened = match refused {
        Some(reply) => Err(reply),
        None => tunnel::open(world, wish.number, &wish.host, wish.port)
            .await
            .map_err(|why| match why {
                Unreachable::Down => Reply::Refused,
                Unreachable::Unknown => Reply::HostUnreachable,
            }),
    };
    let reply = *opened.as_ref().err().unwrap_or(&Reply::Ok);
    if five {
        wire.out
            .extend_from_slice(&[5, reply as u8, 0, 1, 0, 0, 0, 0, 0, 0]);
    } else {
        let code = if reply == Reply::Ok { 0x5a } else { 0x5b };
        wire.out.extend_from_slice(&[0, code, 0, 0, 0, 0, 0, 0]);
    }
    let far = match opened {
        Ok(far) => far,
        Err(_) => {
            wire.flush().await?;
            wire.close().await;
            return Ok(());
        }
    };
    wire.out
        .extend_from_slice(tunnel::glued(world, wish.number));
    wire.flush().await?;
    proxy.counters.tunnels.bump();
    proxy.counters.bytes_sent.add(wire.take_sent());
    tunnel::carry(world, wish.number, wire.into_stream(), &wish.host, far).await
}

/// The proxy's own reason not to connect.
fn own_refusal(world: &World, wish: &Wish) -> Option<Reply> {
    if !wish.is_connect {
        return Some(Reply::CommandUnsupported);
    }
    let now = tokio::time::Instant::now().into_std();
    if world.proxy(wish.number).over_quota(now).is_some() {
        return Some(Reply::NotAllowed);
    }
    world.proxy(wish.number).find(|fault| match fault {
        Fault::NoTunnel => Some(Reply::CommandUnsupported),
        Fault::ConnectStatus(403) => Some(Reply::NotAllowed),
        Fault::ConnectStatus(_) => Some(Reply::Failure),
        _ => None,
    })
}

async fn wish5(world: &World, wire: &mut Wire, address: u32) -> io::Result<Option<Wish>> {
    /// "No acceptable methods", RFC 1928 section 3.
    const NO_METHOD: u8 = 0xff;
    let count = byte(wire).await?;
    let methods = wire.take(usize::from(count)).await?;
    let front = world.front(address).unwrap_or(address);
    let wanted = if world.wants_credentials(address) {
        2
    } else {
        0
    };
    if !methods.contains(&wanted) || world.proxy(front).has(&Fault::Auth407) {
        world.proxy(front).counters.auth_failures.bump();
        wire.send(&[5, NO_METHOD]).await?;
        return Ok(None);
    }
    wire.send(&[5, wanted]).await?;
    let turn = world.turn(address);
    let admission = if wanted == 2 {
        // RFC 1929.
        if byte(wire).await? != 1 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let user = counted(wire).await?;
        let password = counted(wire).await?;
        let admission = world.admit(address, Some((&user, &password)), turn);
        let refused = u8::from(matches!(admission, Admission::Refused(_)));
        wire.send(&[1, refused]).await?;
        admission
    } else {
        world.admit(address, None, turn)
    };
    let number = match admission {
        Admission::Proxy(number) => number,
        Admission::Refused(number) => {
            world.proxy(number).counters.auth_failures.bump();
            return Ok(None);
        }
    };
    let request = wire.take(4).await?;
    let host = match request[3] {
        1 => ipv4(&wire.take(4).await?).to_string(),
        3 => counted(wire).await?.to_ascii_lowercase(),
        4 => {
            let bytes = wire.take(16).await?;
            let octets = <[u8; 16]>::try_from(&bytes[..]).unwrap_or_default();
            Ipv6Addr::from(octets).to_string()
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    Ok(Some(Wish {
        number,
        host,
        port: port(wire).await?,
        is_connect: request[0] == 5 && request[1] == 1,
    }))
}

async fn wish4(world: &World, wire: &mut Wire, address: u32) -> io::Result<Option<Wish>> {
    let command = byte(wire).await?;
    let port = port(wire).await?;
    let ip = ipv4(&wire.take(4).await?);
    let user = String::from_utf8_lossy(&wire.take_until(0).await?).into_owned();
    let front = world.front(address).unwrap_or(address);
    // 0.0.0.x announces a name (SOCKS4a). A proxy that only speaks SOCKS4 takes it for an address and fails.
    let octets = ip.octets();
    let named = octets[..3] == [0, 0, 0] && octets[3] != 0;
    let host = match named {
        true => String::from_utf8_lossy(&wire.take_until(0).await?).to_ascii_lowercase(),
        false => ip.to_string(),
    };
    let host = match world.proxy(front).spec.scheme {
        Scheme::Socks4 if named => ip.to_string(),
        _ => host,
    };
    // SOCKS4 has a user name and no password.
    let given = (!user.is_empty()).then_some((user.as_str(), ""));
    match world.admit(address, given, world.turn(address)) {
        Admission::Proxy(number) => Ok(Some(Wish {
            number,
            host,
            port,
            is_connect: command == 1,
        })),
        Admission::Refused(number) => {
            world.proxy(number).counters.auth_failures.bump();
            wire.send(&[0, 0x5d, 0, 0, 0, 0, 0, 0]).await?;
            Ok(None)
        }
    }
}

async fn byte(wire: &mut Wire) -> io::Result<u8> {
    Ok(wire.take(1).await?[0])
}

async fn port(wire: &mut Wire) -> io::Result<u16> {
    let bytes = wire.take(2).await?;
    Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// A text with its length in front.
async fn counted(wire: &mut Wire) -> io::Result<String> {
    let length = byte(wire).await?;
    let bytes = wire.take(usize::from(length)).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn ipv4(bytes: &[u8]) -> Ipv4Addr {
    Ipv4Addr::from(<[u8; 4]>::try_from(bytes).unwrap_or_default())
}
