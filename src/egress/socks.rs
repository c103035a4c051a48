//! SOCKS4, SOCKS4a and SOCKS5 (RFC 1928, RFC 1929), by name.
//!
//! A target name always travels to the proxy as a name: plain SOCKS4 therefore uses the 4a form, and SOCKS5 the domain form.
//! Every reply has a known length, so exactly that many bytes are read and nothing of the target's is swallowed.

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::fault;
use super::head::looks_like;
use crate::outcome::{Fault, FaultKind, Phase};
use crate::proxy::Credentials;

/// Length of the longest greeting of SOCKS5, bytes; the answer makes more of even the shortest.
pub(super) const GREETING: u64 = 4;

const NO_AUTH: u8 = 0x00;
const USER_PASS: u8 = 0x02;
const NONE_ACCEPTABLE: u8 = 0xff;

/// Opens a way to `host:port` through a SOCKS4 or SOCKS4a proxy. Only the user name is sent: the protocol has no password.
pub(super) async fn connect4<T>(
    io: &mut T,
    host: &str,
    port: u16,
    credentials: Option<&Credentials>,
) -> Result<(), Fault>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let user = credentials.map_or("", |c| c.user.expose());
    if user.contains('\0') || host.contains('\0') {
        return Err(unsupported("socks4 cannot carry a NUL byte"));
    }
    let mut request = vec![4, 1];
    request.extend(port.to_be_bytes());
    match host.parse() {
        Ok(IpAddr::V4(ip)) => {
            request.extend(ip.octets());
            request.extend(user.as_bytes());
            request.push(0);
        }
        Ok(IpAddr::V6(_)) => return Err(unsupported("socks4 cannot carry an IPv6 address")),
        // 0.0.0.x announces a name behind the user.
        Err(_) => {
            request.extend([0, 0, 0, 1]);
            request.extend(user.as_bytes());
            request.push(0);
            request.extend(host.as_bytes());
            request.push(0);
        }
    }
    write(io, &request).await?;

    let mut reply = [0; 8];
    read(io, &mut reply[..1]).await?;
    // 0 by the specification; some servers repeat their version.
    if !matches!(reply[0], 0 | 4) {
        return Err(stranger(io, reply[0]).await);
    }
    read(io, &mut reply[1..2]).await?;
    match reply[1] {
        0x5a => read(io, &mut reply[2..]).await,
        code @ 0x5b..=0x5d => Err(Fault::new(
            Phase::Handshake,
            FaultKind::Rejected(code.into()),
            match code {
                0x5b => "socks4: rejected or failed",
                0x5c => "socks4: rejected, no identd",
                _ => "socks4: rejected, identd disagrees",
            },
        )),
        _ => Err(malformed("is not a SOCKS4 reply")),
    }
}

/// Opens a way to `host:port` through a SOCKS5 proxy.
pub(super) async fn connect5<T>(
    io: &mut T,
    host: &str,
    port: u16,
    credentials: Option<&Credentials>,
) -> Result<(), Fault>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let request = request5(host, port)?;
    // The password comes first: servers that take the first method they know then see which identity is meant.
    let greeting: &[u8] = match credentials {
        Some(_) => &[5, 2, USER_PASS, NO_AUTH],
        None => &[5, 1, NO_AUTH],
    };
    write(io, greeting).await?;
    let mut choice = [0; 2];
    read(io, &mut choice[..1]).await?;
    if choice[0] != 5 {
        return Err(stranger(io, choice[0]).await);
    }
    read(io, &mut choice[1..]).await?;
    match (choice[1], credentials) {
        (NO_AUTH, _) => {}
        (USER_PASS, Some(credentials)) => authenticate(io, credentials).await?,
        (NONE_ACCEPTABLE, Some(_)) => {
            return Err(auth(
                "socks5: the proxy does not accept a user and password",
            ));
        }
        (NONE_ACCEPTABLE | USER_PASS, None) => {
            return Err(auth("socks5: the proxy wants a user and password"));
        }
        _ => return Err(malformed("chooses a method that was not offered")),
    }

    write(io, &request).await?;
    let mut reply = [0; 4];
    read(io, &mut reply[..1]).await?;
    if reply[0] != 5 {
        return Err(stranger(io, reply[0]).await);
    }
    // A refusing server may hang up behind the code, so it is judged before the rest is asked for.
    read(io, &mut reply[1..2]).await?;
    if reply[1] != 0 {
        return Err(Fault::new(
            Phase::Handshake,
            FaultKind::Rejected(reply[1].into()),
            format!("socks5: {}", reply5(reply[1])),
        ));
    }
    read(io, &mut reply[2..]).await?;
    let length = match reply[3] {
        1 => 4,
        4 => 16,
        3 => {
            let mut length = [0; 1];
            read(io, &mut length).await?;
            usize::from(length[0])
        }
        _ => return Err(malformed("has an unknown address type")),
    };
    let mut bound = [0; 255 + 2];
    read(io, &mut bound[..length + 2]).await
}

/// The CONNECT request, addresses as addresses and names as names.
fn request5(host: &str, port: u16) -> Result<Vec<u8>, Fault> {
    let mut request = vec![5, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(ip)) => {
            request.push(1);
            request.extend(ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            request.push(4);
            request.extend(ip.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len())
                .map_err(|_| unsupported("socks5 cannot carry a name of more than 255 bytes"))?;
            request.extend([3, length]);
            request.extend(host.as_bytes());
        }
    }
    request.extend(port.to_be_bytes());
    Ok(request)
}

/// The sub-negotiation of RFC 1929.
async fn authenticate<T>(io: &mut T, credentials: &Credentials) -> Result<(), Fault>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = vec![1];
    for part in [&credentials.user, &credentials.password] {
        let part = part.expose().as_bytes();
        let length = u8::try_from(part.len()).map_err(|_| {
            let what = "socks5 cannot carry credentials of more than 255 bytes";
            Fault::new(Phase::Handshake, FaultKind::Auth, what)
        })?;
        request.push(length);
        request.extend(part);
    }
    write(io, &request).await?;
    let mut reply = [0; 2];
    read(io, &mut reply).await?;
    // The version byte is 1, but servers write 5 and 0 there as well, and clients do not look at it.
    match reply {
        [_, 0] => Ok(()),
        [0 | 1 | 5, _] => Err(auth("socks5: the proxy refuses the user or password")),
        _ => Err(malformed("is not a SOCKS5 authentication reply")),
    }
}

/// RFC 1928 section 6.
fn reply5(code: u8) -> &'static str {
    match code {
        1 => "general failure",
        2 => "not allowed by the proxy's rules",
        3 => "network unreachable from the proxy",
        4 => "host unreachable from the proxy",
        5 => "connection refused by the target",
        6 => "ttl expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unknown reply code",
    }
}

/// Names what answered instead of a SOCKS server, from as much of it as is already here.
async fn stranger<T: AsyncRead + Unpin>(io: &mut T, first: u8) -> Fault {
    let mut start = [first, 0, 0, 0];
    let mut seen = 1;
    // A banner comes in one packet; a byte that has to be waited for is not worth it.
    let more = async {
        while seen < start.len() {
            match io.read(&mut start[seen..]).await {
                Ok(read) if read > 0 => seen += read,
                _ => break,
            }
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_millis(100), more).await;
    match &start[..seen] {
        [b'H', b'T', b'T', ..] => malformed("looks like HTTP; is this an http proxy?"),
        [5, ..] => malformed("looks like SOCKS5; is this a socks5 proxy?"),
        [0 | 4, ..] => malformed("looks like SOCKS4; is this a socks4 proxy?"),
        other => malformed(match looks_like(other) {
            "is not HTTP" | "is binary" => "is not SOCKS",
            named => named,
        }),
    }
}

async fn write<T: AsyncWrite + Unpin>(io: &mut T, bytes: &[u8]) -> Result<(), Fault> {
    let lost = |error: std::io::Error| fault::from_io(Phase::Handshake, &error);
    io.write_all(bytes).await.map_err(lost)?;
    io.flush().await.map_err(lost)
}

async fn read<T: AsyncRead + Unpin>(io: &mut T, into: &mut [u8]) -> Result<(), Fault> {
    match io.read_exact(into).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(Fault::new(
            Phase::Handshake,
            FaultKind::Closed,
            "the proxy closed the connection in the SOCKS handshake",
        )),
        Err(error) => Err(fault::from_io(Phase::Handshake, &error)),
    }
}

fn malformed(what: &'static str) -> Fault {
    Fault::new(
        Phase::Handshake,
        FaultKind::Malformed,
        format!("the answer to the SOCKS handshake {what}"),
    )
}

fn unsupported(what: &'static str) -> Fault {
    Fault::new(Phase::Handshake, FaultKind::Unsupported, what)
}

fn auth(what: &'static str) -> Fault {
    Fault::new(Phase::Handshake, FaultKind::Auth, what)
}

#[cfg(test)]
#[path = "socks_tests.rs"]
mod tests;
