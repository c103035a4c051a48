//! What each kind of proxy is sent, and what becomes of its refusals.

use proxywheel::egress::{Egress, Settings};
use proxywheel::outcome::{FaultKind, Phase};
use proxywheel::proxy::{Proxy, Scheme};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::fixture::{Server, answer, egress, fetch, get, ok};

#[tokio::test]
async fn plain_http_goes_in_absolute_form_with_the_proxys_credentials_and_little_else() {
    let server = Server::answering(ok("hello")).await;
    let proxy = server.proxy_with_password(Scheme::Http);
    let exchange = fetch(&proxy, "http://target.test:8080/a?b=c#d").await;
    assert!(exchange.sent && !exchange.reused && !exchange.verified);
    assert_eq!(exchange.connect_status, None);
    assert!(exchange.phases.connect.is_some() && exchange.phases.ttfb.is_some());
    assert_eq!(exchange.phases.proxy_handshake, None);
    assert_eq!(&answer(exchange).body.bytes[..], b"hello");
    assert_eq!(
        server.requests(),
        ["GET http://target.test:8080/a?b=c HTTP/1.1\r\n\
          host: target.test:8080\r\n\
          proxy-authorization: Basic YWxpY2U6cGE1NXdvcmQ=\r\n\r\n"]
    );
}

#[tokio::test]
async fn a_refused_connect_is_a_fault_with_its_evidence_and_without_credentials() {
    let refusal =
        "HTTP/1.1 403 Forbidden by policy\r\nX-Err: 42\r\nContent-Length: 7\r\n\r\nblocked";
    let server = Server::answering(refusal).await;
    let proxy = server.proxy_with_password(Scheme::Http);
    let exchange = fetch(&proxy, "https://target.test/").await;
    assert!(!exchange.sent);
    assert_eq!(exchange.connect_status, Some(403));
    let reply = exchange.connect_reply.as_ref().unwrap();
    assert_eq!(&*reply.reason, "Forbidden by policy");
    assert_eq!(
        (&reply.headers["x-err"], &reply.body[..]),
        (&"42".parse().unwrap(), &b"blocked"[..])
    );
    let shown = format!("{exchange:?}");
    assert!(
        !shown.contains("pa55word") && !shown.contains("alice"),
        "{shown}"
    );
    let fault = exchange.result.unwrap_err();
    assert_eq!(
        (fault.phase, fault.kind),
        (Phase::Handshake, FaultKind::Rejected(403))
    );
}

#[tokio::test]
async fn a_407_to_connect_is_an_authentication_fault() {
    let server = Server::answering("HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n").await;
    let exchange = fetch(&server.proxy(Scheme::Http), "https://target.test/").await;
    assert_eq!(exchange.connect_status, Some(407));
    assert_eq!(exchange.result.unwrap_err().kind, FaultKind::Auth);
}

#[tokio::test]
async fn socks5_gets_the_name_and_then_a_request_in_origin_form() {
    let server = Server::start(|mut conn| async move {
        let mut greeting = [0; 3];
        conn.io.read_exact(&mut greeting).await.unwrap();
        conn.say(&[5, 0]).await;
        let mut request = [0; 4 + 1 + 11 + 2];
        conn.io.read_exact(&mut request).await.unwrap();
        if &request == b"\x05\x01\x00\x03\x0btarget.test\x00\x50" {
            // Reply and nothing behind it: the target speaks when it is spoken to.
            conn.say(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await;
            while conn.request().await.is_some() {
                conn.say(&ok("through socks")).await;
            }
        }
    })
    .await;
    let exchange = fetch(&server.proxy(Scheme::Socks5), "http://target.test/x").await;
    assert!(exchange.phases.proxy_handshake.is_some());
    assert_eq!(exchange.connect_status, None);
    assert_eq!(&answer(exchange).body.bytes[..], b"through socks");
    assert!(server.requests()[0].starts_with("GET /x HTTP/1.1\r\nhost: target.test\r\n"));
    assert!(!server.requests()[0].contains("proxy-authorization"));
}

#[tokio::test]
async fn direct_asks_the_target_itself() {
    let server = Server::answering(ok("direct")).await;
    let url = format!("http://localhost:{}/x", server.addr.port());
    let exchange = fetch(&Arc::new(Proxy::direct()), &url).await;
    assert_eq!(exchange.phases.proxy_handshake, None);
    assert_eq!(&answer(exchange).body.bytes[..], b"direct");
    assert!(server.requests()[0].starts_with("GET /x HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_closed_port_is_refused_and_a_mute_proxy_times_out_in_its_phase() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let dead = Arc::new(Proxy::new(Scheme::Http, "127.0.0.1", port, None));
    let exchange = fetch(&dead, "http://target.test/").await;
    assert!(!exchange.sent);
    let fault = exchange.result.unwrap_err();
    assert_eq!(
        (fault.phase, fault.kind),
        (Phase::Connect, FaultKind::Refused)
    );

    let mute = Server::start(|conn| async move {
        let _open = conn;
        std::future::pending().await
    })
    .await;
    let egress = egress(Settings::default());
    let proxy = mute.proxy(Scheme::Http);
    for (url, phase, sent) in [
        ("https://target.test/", Phase::Handshake, false),
        ("http://target.test/", Phase::Headers, true),
    ] {
        let mut out = get(&proxy, url);
        out.connect_timeout = Duration::from_millis(50);
        out.deadline = Instant::now() + Duration::from_millis(200);
        let exchange = egress.send(out.outgoing()).await;
        assert_eq!(exchange.sent, sent);
        let fault = exchange.result.unwrap_err();
        assert_eq!((fault.phase, fault.kind), (phase, FaultKind::Timeout));
    }
}

#[tokio::test]
async fn garbage_and_header_floods_are_malformed() {
    let mut flood = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    flood.resize(100_000, b'a');
    for garbage in [b"\x00\x01garbage\r\n\r\n".to_vec(), flood] {
        let server = Server::answering(garbage).await;
        let exchange = fetch(&server.proxy(Scheme::Http), "http://target.test/").await;
        let fault = exchange.result.unwrap_err();
        assert_eq!(
            (fault.phase, fault.kind),
            (Phase::Headers, FaultKind::Malformed),
            "{fault}"
        );
    }
}

#[tokio::test]
async fn what_a_proxy_cannot_carry_is_unsupported_before_anything_is_sent() {
    let server = Server::start(|mut conn| async move {
        let _ = conn.io.shutdown().await;
    })
    .await;
    let exchange = fetch(&server.proxy(Scheme::Socks4), "http://[2001:db8::1]/").await;
    assert!(!exchange.sent);
    assert_eq!(exchange.result.unwrap_err().kind, FaultKind::Unsupported);
}
