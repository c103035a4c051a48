//! One connection of a judge: its requests one after the other, each within its time.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::admission::Seat;
use crate::lab::answer::{self, After, Answer, Asked};
use crate::lab::judge::below_judge;
use crate::lab::origin::{Made, Request, Via};
use crate::lab::pages;
use crate::lab::stream::Stream;
use crate::lab::wire::{Bounds, Head, Wire};

/// A judge is asked with a URL and some headers, as large as common servers take them. A body serves no purpose, so a small one
/// is read and dropped.
const BOUNDS: Bounds = Bounds {
    head_bytes: 8 * 1024,
    body_bytes: 8 * 1024,
};
/// Room for an answer that a connection may keep while it waits; ordinary answers are below.
const KEEP_OUT_BYTES: usize = 4 * 1024;
/// What a client may still send while the last answer is on its way.
const LAST_BYTES: usize = 64 * 1024;
/// How long that is waited for.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Serves a connection until either side has had enough.
///
/// # Errors
/// What sockets and TLS say, `TimedOut` for a slow client; for the caller there is nothing to do about it.
pub(super) async fn serve(
    shared: &Shared,
    tcp: TcpStream,
    peer: IpAddr,
    seat: Seat,
    https: bool,
) -> io::Result<()> {
    let patience = shared.limits.patience;
    tcp.set_nodelay(true)?;
    let via = Via {
        proxy: None,
        // A socket for both families shows IPv4 clients inside an IPv6 address.
        exit: peer.to_canonical(),
        ban_after: None,
    };
    let mut stream: Stream = Box::new(tcp);
    let mut resumed = None;
    if https {
        let config = shared.tls_config().ok_or(io::ErrorKind::NotFound)?;
        let mark = Made::by(&via).to_mark();
        let accept = TlsAcceptor::from(config).accept_with(stream, |connection| {
            connection.set_resumption_data(&mark);
        });
        let accepted = timeout(patience, accept).await??;
        let session = accepted.get_ref().1.received_resumption_data();
        resumed = session.and_then(Made::of_mark);
        stream = Box::new(accepted);
    }
    let mut wire = Wire::bounded(stream, BOUNDS);
    let mut draining = shared.draining.subscribe();
    // Who connects has something to say; who has said it may take its time for more.
    let mut wait = patience;
    loop {
        let first = tokio::select! {
            () = drain(&mut draining) => None,
            first = timeout(wait, wire.peek()) => first??,
        };
        if first.is_none() {
            return Ok(timeout(patience, wire.close()).await?);
        }
        let by = Instant::now() + patience;
        // Made for each request, so that nothing of a large one stays with a connection that waits.
        let mut head = Head::default();
        let (answer, stays) = match timeout_at(by, wire.read_head(&mut head)).await? {
            Ok(true) if !is_clean(&head) => (pages::status_page(400), false),
            Ok(true) => match seat.take(Instant::now().into_std()) {
                Err(left) => {
                    shared.limited.fetch_add(1, Ordering::Relaxed);
                    (too_many(left), false)
                }
                Ok(()) => match timeout_at(by, wire.read_body(&head)).await? {
                    Ok(_) => (answer_to(shared, &head, via, https, resumed), true),
                    Err(error) => (unreadable(error)?, false),
                },
            },
            Ok(false) => return Ok(()),
            Err(error) => (unreadable(error)?, false),
        };
        let asked = Asked {
            host: "",
            path: "",
            head_only: stays && head.method() == "HEAD",
            keep_alive: stays && head.keeps_alive() && !*draining.borrow(),
        };
        if answer.status != 429 {
            shared.answered.fetch_add(1, Ordering::Relaxed);
        }
        // Who does not read its answer is not waited for either.
        let after = timeout(patience, answer::send(&mut wire, &answer, &asked)).await??;
        if after != After::Keep {
            return Ok(timeout(LAST_WAIT, wire.close_after_reading(LAST_BYTES)).await?);
        }
        wire.out.shrink_to(KEEP_OUT_BYTES);
        wait = shared.limits.idle;
    }
}

/// Waits for the judge to drain.
pub(super) async fn drain(draining: &mut watch::Receiver<bool>) {
    // Its sender lives as long as anything that waits here.
    let _ = draining.wait_for(|draining| *draining).await;
}

fn answer_to(shared: &Shared, head: &Head, via: Via, https: bool, resumed: Option<Made>) -> Answer {
    let headers: Vec<_> = head
        .headers()
        .map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)))
        .collect();
    let request = Request {
        at: Instant::now().into_std(),
        method: head.method(),
        host: "",
        path: head.target(),
        https,
        http2: false,
        headers: &headers,
        body: &[],
        via,
        resumed,
    };
    let path = path_of(head.target());
    shared
        .judge
        .answer(&request, below_judge(path).unwrap_or(path))
}

/// True without control characters, which have no place in a head and would make the answer six times as long as the request.
fn is_clean(head: &Head) -> bool {
    let is_text = |text: &str| text.bytes().all(|b| b == b'\t' || !b.is_ascii_control());
    let mut headers = head.headers();
    is_text(head.method())
        && is_text(head.target())
        && headers.all(|(name, value)| is_text(name) && is_text(value))
}

/// Path and query of a request target. Some proxies send sites the whole URL, which is worth an answer that shows it.
fn path_of(target: &str) -> &str {
    let rest = target
        .strip_prefix("http://")
        .or_else(|| target.strip_prefix("https://"));
    match rest {
        Some(rest) => rest.find(['/', '?']).map_or("/", |at| &rest[at..]),
        None => target,
    }
}

fn too_many(left: Duration) -> Answer {
    let seconds = left.as_millis().div_ceil(1000);
    pages::status_page(429).header("Retry-After", seconds.to_string())
}

/// The answer to what is no request, or is too large; other errors are those of the connection.
fn unreadable(error: io::Error) -> io::Result<Answer> {
    match error.kind() {
        io::ErrorKind::InvalidData => Ok(pages::status_page(400)),
        _ => Err(error),
    }
}
