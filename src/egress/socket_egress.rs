//! [`Egress`] over real sockets: finds or opens the connection, sends, and keeps what can be kept.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::buffers::Buffers;
use super::conns::{Conns, Key, Owner, Route, Seat};
use super::cookies::Cookies;
use super::dial::{Dialer, Report};
use super::http2::H2;
use super::meter::Meter;
use super::request::{self, Form};
use super::stream::{Stream, Tunnel};
use super::tls::Tls;
use super::trace::{Failure, Limits, Reach, Trace};
use super::{Egress, HttpVersions, Outgoing, ProbeReport, Settings, fault, http1};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::job::HostKey;
use crate::outcome::{Fault, FaultKind, Phase};
use crate::proxy::{Proxy, Rotation};

/// A proxy needs so long to notice that one of its connections is closed and its place free.
const NOTICE: Duration = Duration::from_millis(50);

/// Sends over real sockets. One serves a whole run; it holds the idle connections, the cookies and both TLS configurations.
pub struct SocketEgress {
    http: HttpVersions,
    limits: Limits,
    tls: Tls,
    dialer: Dialer,
    conns: Conns<Conn>,
    cookies: Cookies,
    buffers: Buffers,
}

impl SocketEgress {
    /// # Errors
    /// A PEM or cookie file that cannot be read or used.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        Ok(SocketEgress {
            http: settings.http,
            limits: Limits {
                max_filesize: settings.max_filesize,
                decode: settings.compressed,
            },
            tls: Tls::new(&settings)?,
            dialer: Dialer::new(settings.lookups),
            conns: Conns::new(
                settings.max_idle,
                settings
                    .max_per_proxy
                    .map_or(usize::MAX, |most| most.get() as usize),
            ),
            cookies: Cookies::new(&settings.cookies)?,
            buffers: Buffers::default(),
        })
    }

    /// Idle connections kept now.
    pub fn idle_connections(&self) -> usize {
        self.conns.len()
    }

    async fn attempt(&self, outgoing: &Outgoing<'_>, trace: &mut Trace<'_>) -> Result<(), Fault> {
        let proxy = outgoing.proxy;
        let route = if outgoing.url.scheme() == "http" && forwards(proxy) && !outgoing.tunnel {
            Route::Forward
        } else {
            Route::Target(HostKey::of(outgoing.url).ok_or_else(|| {
                Fault::new(
                    Phase::Request,
                    FaultKind::Unsupported,
                    "only http and https are fetched",
                )
            })?)
        };
        let mut key = Key {
            proxy: proxy.id(),
            route,
            owner: Owner::Session(outgoing.session.cloned()),
        };
        // What a target without a proxy limits is its own affair.
        let seat = (!proxy.is_direct()).then(|| self.conns.seat(proxy.id()));
        let (mut makes_room, mut freed, mut is_last) = (false, None, false);
        let mut kept = self.find(&mut key, proxy.labels().rotation);
        loop {
            let is_kept = kept.is_some();
            let ended = match kept.take() {
                Some(conn) => {
                    trace.watch(conn.meter());
                    self.over(conn, &key, outgoing, trace).await
                }
                None => {
                    makes_room = seat.as_ref().is_some_and(Seat::make_room);
                    self.over_new(&key, outgoing, trace).await
                }
            };
            let refused =
                !is_kept && matches!(&ended, Err(failure) if lacks_place(&key, failure, outgoing));
            if let (Some(seat), Some(open)) = (&seat, freed) {
                seat.learn(open, !refused);
            }
            if refused && !std::mem::replace(&mut is_last, true) {
                if let (Some(seat), false) = (&seat, makes_room) {
                    freed = seat.free_one(Conn::is_alive);
                }
                if (makes_room || freed.is_some()) && trace.restart() {
                    tokio::time::sleep(NOTICE).await;
                    continue;
                }
            }
            match ended {
                Err(failure)
                    if (self.falls_back(&key, &failure)
                        || is_kept && may_replay(&failure, outgoing))
                        && trace.restart() => {}
                ended => return ended.map_err(|failure| failure.fault),
            }
        }
    }

    /// Sends over a connection that is made for it.
    async fn over_new(
        &self,
        key: &Key,
        outgoing: &Outgoing<'_>,
        trace: &mut Trace<'_>,
    ) -> Result<(), Failure> {
        // Boxed, as is TLS below: they are large, and most requests do not need them.
        let tunnel = Box::pin(self.dialer.dial(
            &self.tls,
            outgoing.proxy,
            &key.route,
            outgoing.connect_timeout,
            &mut trace.report,
        ))
        .await?;
        self.over(Conn::Tunnel(Box::new(tunnel)), key, outgoing, trace)
            .await
    }

    /// True for a target that has HTTP/2 and wants HTTP/1.1 for this, which it is sent from now on.
    fn falls_back(&self, key: &Key, failure: &Failure) -> bool {
        let wanted = fault::wants_http1(failure.fault.kind) && self.http == HttpVersions::Auto;
        if wanted && let Route::Target(target) = &key.route {
            self.tls.remember_http1(target);
        }
        wanted
    }

    /// An idle connection that is still open: the session's own, else one that a probe made.
    fn find(&self, key: &mut Key, rotation: Rotation) -> Option<Conn> {
        let now = Instant::now();
        let open = |key: &Key| {
            std::iter::from_fn(|| self.conns.take(key, now))
                .find_map(|mut conn| conn.is_alive().then_some(conn))
        };
        if rotation == Rotation::Fixed
            && let Some(conn) = open(key)
        {
            return Some(conn);
        }
        let owner = std::mem::replace(&mut key.owner, Owner::Nobody);
        let conn = open(key);
        key.owner = owner;
        conn
    }

    /// Sends over `conn` and keeps it if it may be used again.
    async fn over(
        &self,
        conn: Conn,
        key: &Key,
        outgoing: &Outgoing<'_>,
        trace: &mut Trace<'_>,
    ) -> Result<(), Failure> {
        let https = matches!(&key.route, Route::Target(target) if target.https);
        trace.reused = !matches!(conn, Conn::Tunnel(_));
        let conn = match conn {
            Conn::Tunnel(tunnel) => match &key.route {
                Route::Target(target) if target.https => {
                    Box::pin(self.secure(target, *tunnel, trace)).await?
                }
                _ => Conn::H1(Stream::Clear(*tunnel)),
            },
            ready => ready,
        };
        trace.verified = https && self.tls.verifies;
        trace.forwarded = key.route == Route::Forward;

        let own = outgoing.headers.get(http::header::COOKIE);
        let session = outgoing.session;
        let elsewhere = outgoing.elsewhere;
        let cookie = self
            .cookies
            .header(key.proxy, session, outgoing.url, own, elsewhere);
        let mut limits = self.limits;
        limits.max_filesize = limits.max_filesize.max(outgoing.least_filesize);
        let kept = match conn {
            Conn::H1(stream) => {
                let form = match key.route {
                    Route::Forward => Form::Absolute,
                    Route::Target(_) => Form::Origin,
                };
                let message = request::http1(outgoing, form, cookie)?;
                cleared(outgoing, trace).await;
                let mut wire = http1::Wire::new(stream, message, &self.buffers);
                http1::exchange(&mut wire, limits, trace)
                    .await?
                    .then(|| Conn::H1(wire.into_stream()))
            }
            Conn::H2(h2) => {
                let request = request::http2(outgoing, cookie)?;
                cleared(outgoing, trace).await;
                h2.exchange(request, limits, trace).await?.map(Conn::H2)
            }
            Conn::Tunnel(_) => None,
        };
        if let Some(conn) = kept
            && outgoing.proxy.labels().rotation == Rotation::Fixed
        {
            self.conns.put(key.clone(), conn, Instant::now());
        }
        Ok(())
    }

    /// TLS with the target, and the HTTP version it agrees to.
    async fn secure(
        &self,
        target: &HostKey,
        tunnel: Tunnel,
        trace: &mut Trace<'_>,
    ) -> Result<Conn, Failure> {
        let started = Instant::now();
        trace.report.phase = Phase::Tls;
        let shaken = self.tls.with_target(target, tunnel).await;
        trace.report.phases.tls = Some(started.elapsed());
        let stream = match shaken {
            Ok(tls) => Stream::Tls(Box::new(tls)),
            Err(fault) => {
                // No request was written: a tunnel that died while it waited may be replaced.
                let reach = if fault::is_hang_up(fault.kind) {
                    Reach::Unsent
                } else {
                    Reach::Answered
                };
                return Err(Failure { fault, reach });
            }
        };
        if stream.is_h2() {
            return Ok(Conn::H2(H2::open(stream).await?));
        }
        if self.http == HttpVersions::Http2 {
            return Err(Fault::new(
                Phase::Tls,
                FaultKind::Unsupported,
                "the target does not speak HTTP/2",
            )
            .into());
        }
        Ok(Conn::H1(stream))
    }
}

impl Egress for SocketEgress {
    async fn probe(
        &self,
        proxy: Arc<Proxy>,
        host: Option<HostKey>,
        connect_timeout: Duration,
    ) -> ProbeReport {
        let keeps = host.is_some();
        let route = match host {
            Some(host) if host.https || !forwards(&proxy) => Route::Target(host),
            _ => Route::Forward,
        };
        let mut report = Report::default();
        let seat = self.conns.seat(proxy.id());
        seat.make_room();
        let dialled = self
            .dialer
            .dial(&self.tls, &proxy, &route, connect_timeout, &mut report)
            .await;
        let result = dialled.map(|tunnel| {
            if !keeps {
                return;
            }
            let key = Key {
                proxy: proxy.id(),
                route,
                owner: Owner::Nobody,
            };
            self.conns
                .put(key, Conn::Tunnel(Box::new(tunnel)), Instant::now());
        });
        ProbeReport {
            result,
            phases: report.phases,
            bytes: report.take_bytes(),
            connect_reply: report.connect_reply,
        }
    }

    async fn send(&self, outgoing: Outgoing<'_>) -> Exchange {
        let mut trace = Trace::new(outgoing.traffic);
        // Named, it would be kept twice: as it was made, and within the time limit.
        let ended = timeout_at(outgoing.deadline, self.attempt(&outgoing, &mut trace)).await;
        let result = ended.unwrap_or_else(|_| trace.time_out());
        if let Some(headers) = trace.headers() {
            let session = outgoing.session;
            self.cookies
                .absorb(outgoing.proxy.id(), session, outgoing.url, headers);
        }
        trace.into_exchange(result)
    }
}

/// Waits until the limits let the request be written.
async fn cleared(outgoing: &Outgoing<'_>, trace: &mut Trace<'_>) {
    if let Some(clearance) = &outgoing.clearance {
        trace.report.phase = Phase::Request;
        clearance.wait().await;
    }
}

/// HTTP proxies take plain `http://` requests as they are; everything else needs a way to the target.
fn forwards(proxy: &Proxy) -> bool {
    proxy.scheme().is_http()
}

/// True when a new connection came to nothing as if its proxy had no place for it. A forwarding proxy may say so only when it is to
/// read the request.
fn lacks_place(key: &Key, failure: &Failure, outgoing: &Outgoing<'_>) -> bool {
    fault::is_turned_away(&failure.fault)
        || key.route == Route::Forward && may_replay(failure, outgoing)
}

/// True when a kept connection failed in a way that says nothing about proxy or target.
fn may_replay(failure: &Failure, outgoing: &Outgoing<'_>) -> bool {
    match failure.reach {
        Reach::Unsent => true,
        Reach::Unanswered => outgoing.method.is_idempotent(),
        Reach::Answered => false,
    }
}

/// A connection as it is kept.
enum Conn {
    /// Probed: nothing has been sent to the target, not even TLS.
    Tunnel(Box<Tunnel>),
    /// HTTP/1, ready to send.
    H1(Stream),
    /// HTTP/2.
    H2(H2),
}

impl Conn {
    fn meter(&self) -> &Meter {
        match self {
            Conn::Tunnel(tunnel) => tunnel.meter(),
            Conn::H1(stream) => stream.meter(),
            Conn::H2(h2) => &h2.meter,
        }
    }

    fn is_alive(&mut self) -> bool {
        match self {
            Conn::Tunnel(tunnel) => tunnel.is_quiet(),
            Conn::H1(stream) => stream.is_quiet(),
            Conn::H2(h2) => h2.is_alive(),
        }
    }
}
