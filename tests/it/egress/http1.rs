//! Both directions of an HTTP/1 connection: answers in pieces, answers that come early, and what is left behind them.

use bytes::Bytes;
use http::Method;
use proxywheel::egress::{Egress, Settings};
use proxywheel::outcome::{FaultKind, Phase};
use proxywheel::proxy::Scheme;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fixture::{Ask, Server, answer, egress, fetch, get, ok, post};

const URL: &str = "http://target.test/";

#[tokio::test]
async fn an_answer_is_the_same_in_whatever_pieces_it_comes() {
    let body: String = (0..40_000)
        .map(|n| char::from(b'a' + n as u8 % 26))
        .collect();
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.as_bytes().chunks(7_001) {
        chunked.extend(format!("{:x};ext\r\n", chunk.len()).into_bytes());
        chunked.extend(chunk);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\nTrailer: x\r\n\r\n");
    for (seed, bytes) in [ok(&body), chunked].into_iter().enumerate() {
        let server = Server::start(move |mut conn| {
            let bytes = bytes.clone();
            let mut rng = StdRng::seed_from_u64(seed as u64);
            async move {
                while conn.request().await.is_some() {
                    let mut rest = &bytes[..];
                    // The first few hundred bytes singly or nearly so: every border of head and framing is met.
                    while !rest.is_empty() {
                        let most = if bytes.len() - rest.len() < 200 {
                            3
                        } else {
                            9_000
                        };
                        let (piece, more) =
                            rest.split_at(rng.random_range(1..=most).min(rest.len()));
                        conn.say(piece).await;
                        tokio::task::yield_now().await;
                        rest = more;
                    }
                }
            }
        })
        .await;
        let proxy = server.proxy(Scheme::Http);
        let egress = egress(Settings::default());
        for reused in [false, true, true] {
            let exchange = egress.send(get(&proxy, URL).outgoing()).await;
            assert_eq!(exchange.reused, reused);
            let response = answer(exchange);
            assert_eq!(response.body.truncated, None);
            assert_eq!(response.body.bytes, body.as_bytes());
        }
    }
}

#[tokio::test]
async fn a_large_request_is_written_while_its_answer_is_read() {
    const SIZE: usize = 3_000_000;
    // Answers every piece it reads with more than sockets hold: nobody could write all of the request first.
    let server = Server::start(|mut conn| async move {
        conn.say(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let (mut read, mut buf) = (0, vec![0; 50_000]);
        while read < SIZE {
            match conn.io.read(&mut buf).await {
                Ok(more) if more > 0 => read += more,
                _ => return,
            }
            conn.say(&[b'.'; 300_000]).await;
        }
    })
    .await;
    let out = Ask {
        body: Bytes::from(vec![b'x'; SIZE]),
        ..post(&server.proxy(Scheme::Http), URL)
    };
    let settings = Settings {
        max_filesize: 1_000_000_000,
        ..Settings::default()
    };
    let body = answer(egress(settings).send(out.outgoing()).await).body;
    assert_eq!(body.truncated, None);
    assert!(
        body.bytes.len() >= SIZE / 50_000 * 300_000,
        "{}",
        body.bytes.len()
    );
}

#[tokio::test]
async fn an_answer_before_the_request_is_read_counts_and_its_connection_does_not() {
    let refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";
    let server = Server::start(move |mut conn| async move {
        let mut start = [0; 100];
        conn.io.read_exact(&mut start).await.unwrap();
        conn.say(refusal.as_bytes()).await;
        // Neither reads on nor hangs up.
        std::future::pending::<()>().await;
    })
    .await;
    let egress = egress(Settings::default());
    let out = Ask {
        body: Bytes::from(vec![b'x'; 20_000_000]),
        ..post(&server.proxy(Scheme::Http), URL)
    };
    let response = answer(egress.send(out.outgoing()).await);
    assert_eq!(response.status, 413);
    assert_eq!(response.body.bytes, "no");
    assert_eq!(egress.idle_connections(), 0);
}

#[tokio::test]
async fn bytes_behind_an_answer_are_never_taken_for_the_next_one() {
    let mut two = ok("first");
    two.extend(ok("forged"));
    let server = Server::answering(two).await;
    let proxy = server.proxy(Scheme::Http);
    let egress = egress(Settings::default());
    for _ in 0..3 {
        let exchange = egress.send(get(&proxy, URL).outgoing()).await;
        assert!(!exchange.reused);
        assert_eq!(answer(exchange).body.bytes, "first");
    }
    // The same for what is not HTTP, and for a body where there must be none.
    let to_head = Server::answering(ok("body of a HEAD")).await;
    let proxy = to_head.proxy(Scheme::Http);
    for _ in 0..2 {
        let mut out = get(&proxy, URL);
        out.method = Method::HEAD;
        let exchange = egress.send(out.outgoing()).await;
        assert!(!exchange.reused);
        assert!(answer(exchange).body.bytes.is_empty());
    }
}

#[tokio::test]
async fn heads_that_cannot_be_believed_are_malformed() {
    for (text, why) in [
        ("HTTP/1.1 2OO OK\r\n\r\n", "status line"),
        ("HTTP/2 200\r\n\r\n", "is not HTTP/1.x"),
        ("<html>hello", "web page"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "two content-lengths",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab",
            "no number",
        ),
    ] {
        let server = Server::answering(text).await;
        let exchange = fetch(&server.proxy(Scheme::Http), URL).await;
        assert!(exchange.sent);
        let fault = exchange.result.unwrap_err();
        let kind = (fault.phase, fault.kind);
        assert_eq!(kind, (Phase::Headers, FaultKind::Malformed), "{fault}");
        assert!(fault.to_string().contains(why), "{fault}");
    }
}

#[tokio::test]
async fn what_comes_before_an_answer_is_no_longer_than_a_head() {
    for endless in ["HTTP/1.1 103 Early Hints\r\n\r\n", "\r\n"] {
        let some = endless.repeat(20);
        let server = Server::answering([some.as_bytes(), &ok("page")].concat()).await;
        let exchange = fetch(&server.proxy(Scheme::Http), URL).await;
        assert_eq!(answer(exchange).body.bytes, "page");

        let server = Server::start(move |mut conn| async move {
            conn.request().await;
            while conn.io.write_all(endless.as_bytes()).await.is_ok() {}
        })
        .await;
        let fault = fetch(&server.proxy(Scheme::Http), URL).await.result;
        let fault = fault.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Malformed, "{fault}");
        assert!(fault.to_string().contains("64 kB"), "{fault}");
    }
}
