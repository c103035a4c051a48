//! The path out: one request through one proxy, and the probe that precedes it.
//!
//! - [`SocketEgress`]: the whole path over sockets. It uses, from the outside in:
//! - `dial` (with `resolve`, `lookups`, `connect`, `socks`, `tls`, `stream`): the way to the far side of a proxy;
//! - `meter`: bytes on the connection, which providers bill;
//! - `conns`: idle connections, apart by proxy identity and session;
//! - `http1` (with `request`, `head`, `framing`, `buffers`) and `http2`: one request and its answer;
//! - `trace` (with `collect`, `decode`): what is known of it so far, whatever cuts it short;
//! - `cookies`: jars, apart by proxy identity and session;
//! - `fault` (with `certificate`): foreign errors as [`Fault`]s.
//! - [`fetch_list`], [`post`]: direct traffic that is not to a target.
//!
//! Redirects, retries and verdicts are not decided here.

mod buffers;
mod certificate;
mod collect;
mod connect;
mod conns;
mod cookie_date;
mod cookies;
mod decode;
mod dial;
mod direct;
mod fault;
mod framing;
mod head;
mod http1;
mod http2;
mod inflate;
mod lookups;
mod meter;
mod request;
mod resolve;
mod socket_egress;
mod socks;
mod stream;
mod tls;
mod trace;

pub use cookies::CookieSource;
pub use direct::{Fetched, Validators, fetch_list, post};
pub use lookups::Lookups;
pub use meter::{Allowance, Traffic};
pub(crate) use request::URL_MAX;
pub use socket_egress::SocketEgress;

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::time::Instant;
use url::Url;

use crate::exchange::{Exchange, Phases, ProxyReply};
use crate::job::HostKey;
use crate::outcome::Fault;
use crate::proxy::Proxy;

/// Sends requests through proxies. Two implementations: over sockets, and the script of the simulator tests.
pub trait Egress: Send + Sync + 'static {
    /// Connects to `proxy` and makes its handshake towards `host` (for plain `http://` through an HTTP proxy: connects only).
    /// The connection is kept for the first [`Egress::send`] that can use it. Without a `host` the proxy is connected to, with
    /// TLS if it wants that, and nothing is asked of it or kept.
    fn probe(
        &self,
        proxy: Arc<Proxy>,
        host: Option<HostKey>,
        connect_timeout: Duration,
    ) -> impl Future<Output = ProbeReport> + Send;

    /// Sends one request through one proxy and reads the answer; redirects are not followed.
    fn send(&self, outgoing: Outgoing<'_>) -> impl Future<Output = Exchange> + Send;
}

/// One request, bound to its proxy.
#[derive(Debug, Clone)]
pub struct Outgoing<'a> {
    /// Through whom.
    pub proxy: &'a Proxy,
    /// Request method.
    pub method: &'a Method,
    /// Where to.
    pub url: &'a Url,
    /// Headers to send, besides what HTTP needs.
    pub headers: &'a HeaderMap,
    /// Request body, empty for none.
    pub body: &'a Bytes,
    /// A redirect has led away from the first host: the user's literal cookies were not meant for this one.
    pub elsewhere: bool,
    /// Through a tunnel, though it be plain `http://` that an HTTP proxy would forward.
    pub tunnel: bool,
    /// Cookies and connections are kept apart by (proxy identity, session).
    pub session: Option<&'a Arc<str>>,
    /// Limit for TCP connect to the proxy; the handshake has the same again.
    pub connect_timeout: Duration,
    /// When the exchange has to be over, body included.
    pub deadline: Instant,
    /// Bytes of body that are read whatever [`Settings::max_filesize`] says; 0 for no more than that.
    pub least_filesize: u64,
    /// Asked, when there is one, right before the request is written: on a connection that is open.
    pub clearance: Option<Clearance>,
    /// Where the use of the proxy is counted, if anybody wants to know, however the exchange ends.
    pub traffic: Option<&'a Traffic>,
}

/// Says when a request may be written. Limits are charged at dispatch; a connection may have taken its time since.
#[derive(Clone)]
pub struct Clearance(Arc<Ask>);

/// Takes note of a request written at this time, or gives the time to ask again.
type Ask = dyn Fn(std::time::Instant) -> Result<(), std::time::Instant> + Send + Sync;

impl Clearance {
    /// Asks `ask` with the time of asking: it takes note of the request, or gives the time to ask again.
    pub fn new(
        ask: impl Fn(std::time::Instant) -> Result<(), std::time::Instant> + Send + Sync + 'static,
    ) -> Self {
        Clearance(Arc::new(ask))
    }

    /// Waits until a request may be written.
    pub async fn wait(&self) {
        while let Err(until) = (self.0)(Instant::now().into_std()) {
            tokio::time::sleep_until(Instant::from_std(until)).await;
        }
    }
}

impl fmt::Debug for Clearance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clearance")
    }
}

/// What a probe found.
#[derive(Debug)]
pub struct ProbeReport {
    /// The whole path to the proxy's far side works, or where it broke.
    pub result: Result<(), Fault>,
    /// How long connect and handshake took.
    pub phases: Phases,
    /// The proxy's answer to CONNECT when it refused.
    pub connect_reply: Option<Box<ProxyReply>>,
    /// Bytes to and from the proxy; 0 when it was only connected to.
    pub bytes: u64,
}

/// HTTP versions offered to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpVersions {
    /// HTTP/2 by ALPN inside TLS, else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 or nothing, inside TLS; plain `http://` stays HTTP/1.1.
    Http2,
}

/// Wire settings, the same for all proxies.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Cap on decoded body bytes.
    pub max_filesize: u64,
    /// Undo gzip, br, zstd, deflate. Requests ask for them, with `Accept-Encoding`; where they do and this is off, bodies stay
    /// as they come.
    pub compressed: bool,
    /// Do not verify targets (`-k`).
    pub insecure: bool,
    /// PEM file of the authorities that replace the built-in ones for targets.
    pub cacert: Option<PathBuf>,
    /// Do not verify `https` proxies.
    pub proxy_insecure: bool,
    /// PEM file of the authorities for `https` proxies.
    pub proxy_cacert: Option<PathBuf>,
    /// HTTP versions offered to targets.
    pub http: HttpVersions,
    /// Idle connections kept in all; the oldest goes first. Each is an open descriptor: the program keeps as many as fit, a
    /// library does not know what else is open.
    pub max_idle: usize,
    /// Open connections per proxy, idle ones included; `None` for as many as there are uses for.
    pub max_per_proxy: Option<NonZeroU32>,
    /// Cookies to start with (`-b`), in the order given.
    pub cookies: Vec<CookieSource>,
    /// Notes every name that is looked up here, those of proxies as well.
    pub lookups: Option<Lookups>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_filesize: 10_000_000,
            compressed: true,
            insecure: false,
            cacert: None,
            proxy_insecure: false,
            proxy_cacert: None,
            http: HttpVersions::Auto,
            max_idle: 1024,
            max_per_proxy: None,
            cookies: Vec::new(),
            lookups: None,
        }
    }
}
