//! The server side of a site over an open connection: TLS or not, HTTP/1.1 or HTTP/2.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::answer::{self, After, Asked};
use super::origin::{Made, Request, Via};
use super::pages;
use super::stream::{self, Stream};
use super::wire::{Head, Wire, split_authority};
use super::world::World;

/// How a connection reached the site.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) via: Via,
    /// The name the client connected to, for requests without one.
    pub(super) host: Arc<str>,
    pub(super) https: bool,
    pub(super) resumed: Option<Made>,
    /// Inside a tunnel to a site, where only the site can imitate the lag of the proxy.
    pub(super) lags: bool,
}

/// Serves a site on a connection whose client may or may not begin with TLS.
///
/// # Errors
/// What sockets and TLS say; for the caller there is nothing to do about it.
pub(super) async fn any(
    world: &Arc<World>,
    stream: Stream,
    route: Route,
    config: Arc<ServerConfig>,
) -> io::Result<()> {
    /// First byte of a TLS handshake record.
    const TLS_HANDSHAKE: u8 = 0x16;
    let mut wire = Wire::new(stream);
    match wire.peek().await? {
        None => Ok(()),
        Some(TLS_HANDSHAKE) => tls(world, wire.into_stream(), route, config).await,
        Some(_) => http1(world, wire, route).await,
    }
}

/// Serves a site inside TLS.
///
/// # Errors
/// As [`any`].
pub(super) async fn tls(
    world: &Arc<World>,
    stream: Stream,
    mut route: Route,
    config: Arc<ServerConfig>,
) -> io::Result<()> {
    let mark = Made::by(&route.via).to_mark();
    let accept = TlsAcceptor::from(config);
    let stream = accept
        .accept_with(stream, |connection| connection.set_resumption_data(&mark))
        .await?;
    let connection = stream.get_ref().1;
    route.https = true;
    route.resumed = connection
        .received_resumption_data()
        .and_then(Made::of_mark);
    let http2 = connection.alpn_protocol() == Some(b"h2");
    let stream: Stream = Box::new(stream);
    if http2 {
        super::http2::serve(world, stream, route).await
    } else {
        http1(world, Wire::new(stream), route).await
    }
}

async fn http1(world: &Arc<World>, mut wire: Wire, route: Route) -> io::Result<()> {
    let mut head = Head::default();
    loop {
        match wire.read_head(&mut head).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                wire.send(
                    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                )
                .await?;
                break;
            }
            Err(error) => return Err(error),
        }
        let body = wire.read_body(&head).await?;
        let host = head
            .header("host")
            .and_then(|host| split_authority(host, 80));
        let host = host.map_or_else(|| route.host.to_string(), |(host, _)| host);
        let headers: Vec<_> = head
            .headers()
            .map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)))
            .collect();
        let request = Request {
            at: tokio::time::Instant::now().into_std(),
            method: head.method(),
            host: &host,
            path: head.target(),
            https: route.https,
            http2: false,
            headers: &headers,
            body: &body,
            via: route.via,
            resumed: route.resumed,
        };
        let answer = respond(world, &request, route.lags).await?;
        let asked = Asked {
            host: &host,
            path: head.target(),
            head_only: head.method() == "HEAD",
            keep_alive: head.keeps_alive(),
        };
        let after = answer::send(&mut wire, &answer, &asked).await?;
        if after != After::Keep {
            finish(wire, after).await;
            return Ok(());
        }
    }
    wire.close().await;
    Ok(())
}

/// The answer of a site, after the lag of the proxy in between where that is asked for.
pub(super) async fn respond(
    world: &World,
    request: &Request<'_>,
    lags: bool,
) -> io::Result<answer::Answer> {
    if lags && let Some(number) = request.via.proxy {
        let proxy = world.proxy(number);
        // A tunnel hides its requests from the counters of the proxy; the path is what tells one lag from another.
        let count = request
            .path
            .bytes()
            .fold(proxy.counters.requests.read(), |sum, byte| {
                sum.wrapping_mul(31).wrapping_add(u64::from(byte))
            });
        world.lag(number, count).await;
    }
    if !request.path.starts_with('/') {
        return Ok(pages::status_page(400));
    }
    let host = world.origin.host(request.host);
    world.origin.answer(&host, request).await
}

/// Ends a connection in the way the last answer asks for.
pub(super) async fn finish(wire: Wire, after: After) {
    match after {
        After::Keep | After::Close => wire.close().await,
        After::Drop => drop(wire),
        After::Reset => stream::reset(wire.into_stream()),
        After::Hang => stream::hang(wire.into_stream()).await,
    }
}
