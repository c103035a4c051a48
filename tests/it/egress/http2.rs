//! What targets say by error codes of HTTP/2.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::Reason;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proxywheel::ban::{self, Judge, Seen};
use proxywheel::egress::{Egress, HttpVersions, Settings, SocketEgress};
use proxywheel::exchange::{Exchange, Truncation};
use proxywheel::outcome::{Blame, FaultKind, Outcome, Phase};
use proxywheel::proxy::Scheme;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::fixture::{Ask, Conn, Server, answer, get, ok, post};
use super::tls::{Identity, Where};

/// A site behind a tunnel that has HTTP/2.
struct Site {
    identity: Identity,
    server: Server,
    /// What it was asked for, and over which version.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    /// Ends the streams of the first requests over HTTP/2 with these codes; `None` is answered, as all others are.
    async fn start(ends: &[Option<Reason>]) -> Site {
        let identity = Identity::new("target.test", &["h2", "http/1.1"]);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let ends: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(ends.to_vec().into()));
        let log = asked.clone();
        let serve = move |mut conn: Conn<TlsStream<TcpStream>>| {
            let (log, ends) = (log.clone(), ends.clone());
            async move {
                if conn.io.get_ref().1.alpn_protocol() != Some(b"h2") {
                    while conn.request().await.is_some() {
                        log.lock().unwrap().push("1.1".to_owned());
                        conn.say(&ok("page")).await;
                    }
                    return;
                }
                let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
                    let entry = format!("2 {}", request.method());
                    log.lock().unwrap().push(entry);
                    let end = ends.lock().unwrap().pop_front().flatten();
                    std::future::ready(match end {
                        Some(reason) => Err(h2::Error::from(reason)),
                        None => Ok(http::Response::new(Full::new(Bytes::from("page")))),
                    })
                });
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(conn.io), service)
                    .await;
            }
        };
        let server = identity.behind_tunnel(serve).await;
        Site {
            identity,
            server,
            asked,
        }
    }

    fn egress(&self, http: HttpVersions) -> SocketEgress {
        let settings = Settings {
            cacert: self.identity.path(),
            http,
            ..Settings::default()
        };
        SocketEgress::new(settings).unwrap()
    }

    fn ask(&self, how: fn(&Arc<proxywheel::proxy::Proxy>, &str) -> Ask) -> Ask {
        how(&self.server.proxy(Scheme::Http), "https://target.test/")
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn verdict(ask: &Ask, exchange: &Exchange) -> (Outcome, Blame) {
    let judge = Judge::new(&ban::Settings::default()).unwrap();
    let seen = Seen {
        url: &ask.url,
        method: &ask.method,
        https: true,
        follows: true,
        now: None,
    };
    let verdict = judge.classify(&seen, exchange);
    (verdict.outcome, verdict.blame)
}

#[tokio::test]
async fn a_target_that_ends_the_stream_is_named_with_its_reason_and_is_to_blame() {
    for (reason, name) in [
        (Reason::INTERNAL_ERROR, "INTERNAL_ERROR"),
        (Reason::PROTOCOL_ERROR, "PROTOCOL_ERROR"),
        (Reason::ENHANCE_YOUR_CALM, "ENHANCE_YOUR_CALM"),
    ] {
        let site = Site::start(&[Some(reason)]).await;
        let ask = site.ask(get);
        let exchange = site.egress(HttpVersions::Auto).send(ask.outgoing()).await;
        assert!(exchange.sent && exchange.verified);
        let fault = exchange.result.as_ref().unwrap_err();
        let kind = FaultKind::Http2(reason.into());
        assert_eq!((fault.phase, fault.kind), (Phase::Headers, kind));
        let message = format!("the target ended the HTTP/2 stream with {name}");
        assert_eq!((&*fault.message, fault.curl_code()), (&*message, 92));
        assert_eq!(
            verdict(&ask, &exchange),
            (Outcome::NetworkError, Blame::Target)
        );
        // Who does not verify cannot know who said it.
        let unverified = Exchange {
            verified: false,
            ..exchange
        };
        assert_eq!(
            verdict(&ask, &unverified),
            (Outcome::NetworkError, Blame::Unknown)
        );
    }
}

#[tokio::test]
async fn a_target_that_wants_http1_gets_it_and_is_not_offered_http2_again() {
    let site = Site::start(&[
        Some(Reason::HTTP_1_1_REQUIRED),
        Some(Reason::HTTP_1_1_REQUIRED),
    ])
    .await;
    let egress = site.egress(HttpVersions::Auto);
    let response = answer(egress.send(site.ask(post).outgoing()).await);
    assert_eq!(&response.body.bytes[..], b"page");
    assert_eq!(site.asked(), ["2 POST", "1.1"]);
    // On a new connection, of another session.
    let mut other = site.ask(get);
    other.session = Some("other".into());
    answer(egress.send(other.outgoing()).await);
    assert_eq!(site.asked(), ["1.1"]);

    let only2 = site.egress(HttpVersions::Http2);
    let exchange = only2.send(site.ask(get).outgoing()).await;
    assert_eq!(
        exchange.result.unwrap_err().kind,
        FaultKind::Http2(Reason::HTTP_1_1_REQUIRED.into()),
        "--http2 is what it says"
    );
}

#[tokio::test]
async fn what_a_kept_connection_refuses_unprocessed_is_sent_again_whatever_it_is() {
    let site = Site::start(&[None, Some(Reason::REFUSED_STREAM)]).await;
    let egress = site.egress(HttpVersions::Auto);
    answer(egress.send(site.ask(get).outgoing()).await);
    answer(egress.send(site.ask(post).outgoing()).await);
    assert_eq!(site.asked(), ["2 GET", "2 POST", "2 POST"]);

    let site = Site::start(&[None, Some(Reason::INTERNAL_ERROR)]).await;
    let egress = site.egress(HttpVersions::Auto);
    answer(egress.send(site.ask(get).outgoing()).await);
    let exchange = egress.send(site.ask(post).outgoing()).await;
    assert!(exchange.sent && exchange.result.is_err());
    assert_eq!(site.asked(), ["2 GET", "2 POST"], "it may have been done");
}

#[tokio::test]
async fn a_target_without_http2_is_no_fault_of_the_proxy_when_that_alone_was_asked_for() {
    let identity = Identity::new("target.test", &[]);
    let server = identity.serve(Where::Target).await;
    let egress = SocketEgress::new(Settings {
        cacert: identity.path(),
        http: HttpVersions::Http2,
        ..Settings::default()
    })
    .unwrap();
    let ask = get(&server.proxy(Scheme::Http), "https://target.test/");
    let exchange = egress.send(ask.outgoing()).await;
    assert_eq!(verdict(&ask, &exchange), (Outcome::TlsError, Blame::Target));
}

/// Sends one request to the site behind `server`.
async fn asked_of(identity: &Identity, server: Server) -> Exchange {
    let settings = Settings {
        cacert: identity.path(),
        ..Settings::default()
    };
    let ask = get(&server.proxy(Scheme::Http), "https://target.test/");
    let egress = SocketEgress::new(settings).unwrap();
    egress.send(ask.outgoing()).await
}

/// Sends one request to a site that answers it with these bytes, ends the body if it `ends`, and resets the stream without error.
async fn reset_without_error(data: &'static str, ends: bool) -> Exchange {
    let identity = Identity::new("target.test", &["h2"]);
    let serve = move |conn: Conn<TlsStream<TcpStream>>| async move {
        let mut site = h2::server::handshake(conn.io).await.unwrap();
        let (_, mut respond) = site.accept().await.unwrap().unwrap();
        let mut body = respond
            .send_response(http::Response::new(()), false)
            .unwrap();
        body.send_data(Bytes::from(data), ends).unwrap();
        // A reset overtakes what was not written yet.
        let written = std::time::Duration::from_millis(100);
        let _ = tokio::time::timeout(written, site.accept()).await;
        body.send_reset(Reason::NO_ERROR);
        site.accept().await;
    };
    asked_of(&identity, identity.behind_tunnel(serve).await).await
}

#[tokio::test]
async fn a_stream_reset_without_error_before_its_end_is_cut_short() {
    for (ends, truncated) in [(false, Some(Truncation::Disconnect)), (true, None)] {
        let body = answer(reset_without_error("part", ends).await).body;
        assert_eq!((&body.bytes[..], body.truncated), (&b"part"[..], truncated));
    }
}

/// Sends one request to a site that answers it with `status` and a length of 9, then `data`, and hangs up where it `leaves`.
async fn answered_with(status: u16, data: &'static str, leaves: bool) -> Exchange {
    let identity = Identity::new("target.test", &["h2"]);
    let serve = move |conn: Conn<TlsStream<TcpStream>>| async move {
        let mut site = h2::server::handshake(conn.io).await.unwrap();
        let (_, mut respond) = site.accept().await.unwrap().unwrap();
        let head = http::Response::builder().status(status);
        let head = head.header("content-length", "9").body(()).unwrap();
        let mut body = respond.send_response(head, false).unwrap();
        body.send_data(Bytes::from(data), !leaves).unwrap();
        let patience = if leaves { 100 } else { 5_000 };
        let patience = std::time::Duration::from_millis(patience);
        let _ = tokio::time::timeout(patience, site.accept()).await;
    };
    asked_of(&identity, identity.behind_tunnel(serve).await).await
}

#[tokio::test]
async fn a_connection_lost_within_a_body_cuts_it() {
    let body = answered_with(200, "part", true).await.result.unwrap().body;
    assert_eq!(&body.bytes[..], b"part");
    assert_eq!(body.truncated, Some(Truncation::Disconnect));
    assert!(body.broken.is_none());
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_is_told_as_such() {
    for data in ["part", "more than nine"] {
        let exchange = answered_with(200, data, false).await;
        let broken = exchange.result.unwrap().body.broken.expect(data);
        assert_eq!(
            &*broken.message,
            "the answer breaks the rules of HTTP/2 (PROTOCOL_ERROR), as with a body of another length than its content-length",
            "{data}"
        );
    }
}

#[tokio::test]
async fn the_length_of_an_answer_without_a_body_is_not_waited_for() {
    for status in [304, 204] {
        let response = answer(answered_with(status, "", false).await);
        assert_eq!(response.status, status);
        let body = response.body;
        assert_eq!((body.bytes.len(), body.truncated), (0, None));
        assert!(body.broken.is_none(), "{:?}", body.broken);
    }
}
