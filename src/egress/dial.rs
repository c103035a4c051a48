//! The way to the far side of a proxy: name, TCP, TLS to the proxy, CONNECT or SOCKS.
//!
//! The proxy's own name may be looked up here; a target's name never is, except for `direct`, where there is no proxy to do it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::connect::{self, Refusal};
use super::conns::Route;
use super::lookups::Lookups;
use super::meter::{Meter, Metered};
use super::resolve::Resolver;
use super::stream::{ProxyIo, Tunnel};
use super::tls::Tls;
use super::{fault, socks};
use crate::exchange::{Phases, ProxyReply};
use crate::job::HostKey;
use crate::outcome::{Fault, FaultKind, Phase};
use crate::proxy::{Proxy, Scheme};

/// What dialling has to report, whether it succeeds or not.
#[derive(Debug)]
pub(super) struct Report {
    /// Where it is, or where it broke.
    pub(super) phase: Phase,
    pub(super) phases: Phases,
    pub(super) connect_status: Option<u16>,
    pub(super) connect_reply: Option<Box<ProxyReply>>,
    /// Of the connection in use, as soon as there is one.
    pub(super) meter: Option<Meter>,
}

impl Report {
    /// Bytes since this was last asked.
    pub(super) fn take_bytes(&mut self) -> u64 {
        self.meter.as_ref().map_or(0, Meter::take)
    }
}

impl Default for Report {
    fn default() -> Self {
        Report {
            phase: Phase::Dns,
            phases: Phases::default(),
            connect_status: None,
            connect_reply: None,
            meter: None,
        }
    }
}

/// Opens connections.
#[derive(Default)]
pub(super) struct Dialer {
    resolver: Resolver,
    lookups: Option<Lookups>,
}

impl Dialer {
    pub(super) fn new(lookups: Option<Lookups>) -> Self {
        Dialer {
            lookups,
            ..Dialer::default()
        }
    }

    /// Connects to `proxy` and makes its handshake towards `route`. `limit` bounds name and TCP together, and then the handshake
    /// again.
    pub(super) async fn dial(
        &self,
        tls: &Tls,
        proxy: &Proxy,
        route: &Route,
        limit: Duration,
        report: &mut Report,
    ) -> Result<Tunnel, Fault> {
        let (host, port) = match (proxy.scheme(), route) {
            (Scheme::Direct, Route::Target(target)) => (&*target.host, target.port),
            (Scheme::Direct, Route::Forward) => {
                return Err(Fault::new(
                    Phase::Connect,
                    FaultKind::Unsupported,
                    "direct has no proxy to forward through",
                ));
            }
            _ => (proxy.host(), proxy.port()),
        };
        let started = Instant::now();
        report.phase = Phase::Dns;
        let connected = timeout(
            limit,
            self.tcp(proxy, (host, port), started + limit, report),
        )
        .await;
        let connected_at = Instant::now();
        report.phases.connect = Some(connected_at - started);
        let tcp = connected.unwrap_or_else(|_| Err(fault::timeout(report.phase, Some(limit))))?;
        let tcp = Metered::new(tcp);
        report.meter = Some(tcp.meter.clone());

        let makes_handshake = match proxy.scheme() {
            Scheme::Direct => false,
            Scheme::Http => *route != Route::Forward,
            _ => true,
        };
        if !makes_handshake {
            return Ok(ProxyIo::Plain(tcp).into());
        }
        let shaken = timeout(limit, handshake(tls, proxy, route, tcp, report)).await;
        report.phases.proxy_handshake = Some(connected_at.elapsed());
        shaken.unwrap_or_else(|_| {
            let exchanged = report.meter.as_ref().map_or(0, Meter::peek);
            let greets = matches!(proxy.scheme(), Scheme::Socks5 | Scheme::Socks5h);
            // A SOCKS5 server answers the greeting before it has to ask anybody else.
            if greets && exchanged <= socks::GREETING {
                return Err(Fault::new(
                    Phase::Handshake,
                    FaultKind::Malformed,
                    "the proxy does not answer the SOCKS greeting; is this an http proxy?",
                ));
            }
            Err(fault::timeout(report.phase, Some(limit)))
        })
    }

    /// TCP to the first address of `host` that answers.
    async fn tcp(
        &self,
        proxy: &Proxy,
        (host, port): (&str, u16),
        deadline: Instant,
        report: &mut Report,
    ) -> Result<TcpStream, Fault> {
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => [address].into(),
            Err(_) => {
                if let Some(lookups) = &self.lookups {
                    lookups.note(proxy.id(), host);
                }
                self.resolver.look_up(host).await?
            }
        };
        report.phase = Phase::Connect;
        let mut last = None;
        for (tried, address) in addresses.iter().enumerate() {
            // Addresses share the time that is left, so that one that swallows packets does not hide the others.
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / (addresses.len() - tried) as u32;
            match timeout_at(
                now + share,
                TcpStream::connect(SocketAddr::new(*address, port)),
            )
            .await
            {
                Ok(Ok(tcp)) => {
                    // Requests are written whole; waiting for more to send only costs time. Failure only costs speed.
                    let _ = tcp.set_nodelay(true);
                    return Ok(tcp);
                }
                Ok(Err(error)) => last = Some(unconnected(*address, &error)),
                Err(_) => last = Some(fault::timeout(Phase::Connect, Some(share))),
            }
        }
        Err(last.unwrap_or_else(|| {
            Fault::new(
                Phase::Dns,
                FaultKind::Dns,
                "the proxy's name has no address",
            )
        }))
    }
}

/// Why there is no connection to `address`.
///
/// A machine without IPv6 fails towards every such address, and only there: that is a member this machine cannot use, not
/// trouble of the machine itself, for which the probe lane would pause again and again.
fn unconnected(address: IpAddr, error: &io::Error) -> Fault {
    match error.kind() {
        ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable if address.is_ipv6() => {
            let why = "this machine has no way to IPv6 addresses";
            Fault::new(Phase::Connect, FaultKind::NoIpv6, why)
        }
        _ => fault::from_io(Phase::Connect, error),
    }
}

async fn handshake(
    tls: &Tls,
    proxy: &Proxy,
    route: &Route,
    tcp: Metered,
    report: &mut Report,
) -> Result<Tunnel, Fault> {
    let mut io = if proxy.scheme() == Scheme::Https {
        report.phase = Phase::ProxyTls;
        ProxyIo::Tls(Box::new(tls.with_proxy(proxy.host(), tcp).await?))
    } else {
        ProxyIo::Plain(tcp)
    };
    let Route::Target(target) = route else {
        return Ok(io.into());
    };
    report.phase = Phase::Handshake;
    let early = open(&mut io, proxy, target, report).await?;
    Ok(Tunnel::new(early, io))
}

/// Asks the proxy for a way to `target`; returns what the target has already said.
async fn open(
    io: &mut ProxyIo,
    proxy: &Proxy,
    target: &HostKey,
    report: &mut Report,
) -> Result<Bytes, Fault> {
    let (host, port, credentials) = (&*target.host, target.port, proxy.credentials());
    match proxy.scheme() {
        Scheme::Http | Scheme::Https => {
            match connect::connect(io, &target.authority(), credentials).await {
                Ok(opened) => {
                    report.connect_status = Some(opened.status);
                    Ok(opened.early)
                }
                Err(Refusal { fault, reply }) => {
                    report.connect_status = reply.as_ref().map(|reply| reply.status);
                    report.connect_reply = reply;
                    Err(fault)
                }
            }
        }
        Scheme::Socks4 | Scheme::Socks4a => socks::connect4(io, host, port, credentials)
            .await
            .map(|()| Bytes::new()),
        Scheme::Socks5 | Scheme::Socks5h => socks::connect5(io, host, port, credentials)
            .await
            .map(|()| Bytes::new()),
        Scheme::Direct => Ok(Bytes::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_ipv6_is_not_a_machine_in_trouble() {
        let error = || io::Error::from(ErrorKind::NetworkUnreachable);
        let kind = |text: &str| unconnected(text.parse().unwrap(), &error()).kind;
        assert_eq!(kind("2001:db8::1"), FaultKind::NoIpv6);
        assert_eq!(kind("192.0.2.1"), FaultKind::Local);
    }
}
