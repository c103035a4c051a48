//! Bodies: whole, cut, capped, encoded.

use std::time::Duration;

use async_compression::tokio::bufread::GzipEncoder;
use http::{Method, Version};
use proxywheel::egress::{Egress, Settings};
use proxywheel::exchange::Truncation;
use proxywheel::outcome::{FaultKind, Phase};
use proxywheel::proxy::Scheme;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::fixture::{Server, answer, egress, fetch, get, ok};

/// Serves `bytes` as the whole answer and closes.
async fn closing(bytes: impl Into<Vec<u8>>) -> Server {
    let bytes = bytes.into();
    Server::start(move |mut conn| {
        let bytes = bytes.clone();
        async move {
            if conn.request().await.is_some() {
                conn.say(&bytes).await;
            }
        }
    })
    .await
}

async fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    GzipEncoder::new(plain)
        .read_to_end(&mut encoded)
        .await
        .unwrap();
    encoded
}

fn gzipped(encoded: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        encoded.len()
    )
    .into_bytes();
    answer.extend(encoded);
    answer
}

#[tokio::test]
async fn every_framing_of_a_whole_body_is_read_whole() {
    for answer_bytes in [
        ok("hello world"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n".to_vec(),
        b"HTTP/1.0 200 OK\r\n\r\nhello world".to_vec(),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world".to_vec(),
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world".to_vec(),
    ] {
        let server = closing(answer_bytes).await;
        let response = answer(fetch(&server.proxy(Scheme::Http), "http://target.test/").await);
        assert_eq!(&response.body.bytes[..], b"hello world");
        assert_eq!(response.body.truncated, None);
        assert_eq!(response.body.size_wire, 11);
    }
}

#[tokio::test]
async fn a_body_packed_for_the_way_is_unpacked() {
    let packed = gzip(b"hello world").await;
    let mut chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{:x}\r\n",
        packed.len()
    )
    .into_bytes();
    chunked.extend(&packed);
    chunked.extend(b"\r\n0\r\n\r\n");
    let server = closing(chunked).await;
    let response = answer(fetch(&server.proxy(Scheme::Http), "http://target.test/").await);
    assert_eq!(&response.body.bytes[..], b"hello world");
    assert_eq!(response.body.size_wire, packed.len() as u64);
}

#[tokio::test]
async fn a_body_cut_by_the_other_side_is_a_truncated_answer_and_its_connection_is_dropped() {
    for cut in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npartial"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npartial\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\npartial",
    ] {
        let server = closing(cut).await;
        let egress = egress(Settings::default());
        let exchange = egress
            .send(get(&server.proxy(Scheme::Http), "http://target.test/").outgoing())
            .await;
        assert!(exchange.phases.body.is_some());
        let body = answer(exchange).body;
        assert_eq!(
            (&body.bytes[..], body.truncated),
            (&b"partial"[..], Some(Truncation::Disconnect))
        );
        assert_eq!(egress.idle_connections(), 0);
    }
}

#[tokio::test]
async fn broken_chunks_are_malformed() {
    let server =
        closing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\noops\r\n").await;
    let exchange = fetch(&server.proxy(Scheme::Http), "http://target.test/").await;
    assert!(exchange.sent);
    let response = exchange.result.unwrap();
    assert_eq!(response.status, 200);
    let fault = response.body.broken.unwrap();
    assert_eq!(
        (fault.phase, fault.kind),
        (Phase::Body, FaultKind::Malformed),
        "{fault}"
    );
}

#[tokio::test]
async fn the_deadline_cuts_a_slow_body_and_keeps_what_came() {
    let server = Server::start(|mut conn| async move {
        conn.request().await;
        conn.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nslow")
            .await;
        std::future::pending().await
    })
    .await;
    let mut out = get(&server.proxy(Scheme::Http), "http://target.test/");
    out.deadline = Instant::now() + Duration::from_millis(300);
    let exchange = egress(Settings::default()).send(out.outgoing()).await;
    assert!(exchange.phases.body.unwrap() > Duration::from_millis(50));
    let body = answer(exchange).body;
    assert_eq!(
        (&body.bytes[..], body.truncated),
        (&b"slow"[..], Some(Truncation::Time))
    );
}

#[tokio::test]
async fn the_cap_counts_decoded_bytes_so_a_bomb_stops_early() {
    let bomb = gzip(&vec![b'a'; 5_000_000]).await;
    let capped = Settings {
        max_filesize: 10_000,
        ..Settings::default()
    };
    for (bytes, whole) in [
        (gzipped(&bomb), false),
        (ok(&"a".repeat(10_001)), false),
        (ok(&"a".repeat(10_000)), true),
    ] {
        let server = closing(bytes).await;
        let egress = egress(capped.clone());
        let body = answer(
            egress
                .send(get(&server.proxy(Scheme::Http), "http://target.test/").outgoing())
                .await,
        )
        .body;
        assert_eq!(body.bytes.len(), 10_000);
        assert_eq!(body.truncated.is_none(), whole);
        assert!(whole || body.truncated == Some(Truncation::Length));
    }
}

#[tokio::test]
async fn an_encoded_body_without_an_end_and_without_content_stops_at_the_cap() {
    let nothing = gzip(b"").await.repeat(1000);
    let page = gzip(b"hello world").await;
    for (start, endless) in [(&[][..], &nothing[..]), (&page, &[0; 10_000])] {
        let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
        let (start, endless) = ([head, start].concat(), endless.to_vec());
        let server = Server::start(move |mut conn| {
            let (start, endless) = (start.clone(), endless.clone());
            async move {
                conn.request().await;
                conn.say(&start).await;
                while conn.io.write_all(&endless).await.is_ok() {}
            }
        })
        .await;
        let capped = egress(Settings {
            max_filesize: 10_000,
            ..Settings::default()
        });
        let ask = get(&server.proxy(Scheme::Http), "http://target.test/");
        let body = answer(capped.send(ask.outgoing()).await).body;
        assert_eq!(body.truncated, Some(Truncation::Length));
        assert!(body.size_wire < 500_000, "{}", body.size_wire);
    }
}

#[tokio::test]
async fn encoded_bodies_are_decoded_and_broken_ones_are_faults() {
    let encoded = gzip(b"hello world").await;
    let server = closing(gzipped(&encoded)).await;
    let proxy = server.proxy(Scheme::Http);
    let response = answer(fetch(&proxy, "http://target.test/").await);
    assert_eq!(&response.body.bytes[..], b"hello world");
    assert_eq!(response.body.size_wire, encoded.len() as u64);
    assert_eq!(response.headers["content-encoding"], "gzip");

    let raw = egress(Settings {
        compressed: false,
        ..Settings::default()
    });
    let response = answer(
        raw.send(get(&proxy, "http://target.test/").outgoing())
            .await,
    );
    assert_eq!(&response.body.bytes[..], &encoded[..]);

    let server = closing(gzipped(b"this is not gzip")).await;
    let exchange = fetch(&server.proxy(Scheme::Http), "http://target.test/").await;
    let response = exchange.result.unwrap();
    assert_eq!(response.headers["content-encoding"], "gzip");
    let fault = response.body.broken.unwrap();
    assert_eq!((fault.phase, fault.kind), (Phase::Body, FaultKind::Decode));

    let mut late = encoded;
    let last = late.len() - 1;
    late[last] ^= 1;
    let server = closing(gzipped(&late)).await;
    let body = answer(fetch(&server.proxy(Scheme::Http), "http://target.test/").await).body;
    assert_eq!(&body.bytes[..], b"hello world", "what came before is kept");
    assert!(body.broken.is_some());

    let stacked =
        b"HTTP/1.1 418 Tea\r\nContent-Encoding: br, br, br, br\r\nContent-Length: 2\r\n\r\nhi";
    let server = closing(&stacked[..]).await;
    let response = answer(fetch(&server.proxy(Scheme::Http), "http://target.test/").await);
    assert_eq!(response.status, 418);
    assert_eq!(response.body.broken.unwrap().kind, FaultKind::Decode);
}

#[tokio::test]
async fn answers_without_a_body_have_none_whatever_they_announce() {
    let no_body = "HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n";
    let to_head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 500\r\n\r\n";
    for (method, bytes) in [(Method::GET, no_body), (Method::HEAD, to_head)] {
        let server = Server::answering(bytes).await;
        let proxy = server.proxy(Scheme::Http);
        let egress = egress(Settings::default());
        for reused in [false, true] {
            let mut out = get(&proxy, "http://target.test/");
            out.method = method.clone();
            let exchange = egress.send(out.outgoing()).await;
            assert_eq!((exchange.reused, exchange.phases.body), (reused, None));
            let response = answer(exchange);
            assert_eq!(response.version, Version::HTTP_11);
            assert!(response.body.bytes.is_empty() && response.body.truncated.is_none());
        }
    }
}
