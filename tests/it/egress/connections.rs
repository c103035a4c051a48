//! Which connection serves which request, and what a stale one costs.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::Method;
use proxywheel::client::Client;
use proxywheel::egress::{CookieSource, Egress, Outgoing, Settings};
use proxywheel::error::Error;
use proxywheel::outcome::{FaultKind, Phase};
use proxywheel::proxy::Scheme;
use proxywheel::secret::Secret;
use tokio::sync::Notify;

use super::fixture::{Ask, Conn, Server, answer, egress, get, host, ok, post};

const URL: &str = "http://target.test/";

/// Its first connection answers once and then hangs up on the second request without a byte; the others answer.
async fn hangs_up_on_the_second_request() -> Server {
    Server::start(|mut conn: Conn| async move {
        while conn.request().await.is_some() {
            conn.say(&ok("answer")).await;
            if conn.number == 0 {
                conn.request().await;
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_is_used_again_unless_the_server_says_close() {
    let server = Server::answering(ok("x")).await;
    let proxy = server.proxy(Scheme::Http);
    let egress_ = egress(Settings::default());
    for (path, reused) in [("a", false), ("b", true), ("c", true)] {
        // Through an HTTP proxy one connection serves any host.
        let exchange = egress_
            .send(get(&proxy, &format!("http://{path}.test/")).outgoing())
            .await;
        assert_eq!(exchange.reused, reused);
        assert_eq!(exchange.phases.connect.is_none(), reused);
        answer(exchange);
    }
    assert_eq!(server.connections(), [0, 0, 0]);

    let server =
        Server::answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .await;
    let proxy = server.proxy(Scheme::Http);
    for _ in 0..2 {
        answer(egress_.send(get(&proxy, URL).outgoing()).await);
    }
    assert_eq!(server.connections(), [0, 1]);
}

#[tokio::test]
async fn sessions_do_not_share_connections_or_cookies() {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\nSet-Cookie: id=1; Path=/\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let proxy = server.proxy(Scheme::Http);
    let egress = egress(Settings::default());
    let sessions: [Option<Arc<str>>; 4] =
        [None, Some("a".into()), Some("b".into()), Some("a".into())];
    for session in sessions {
        answer(
            egress
                .send(
                    Ask {
                        session,
                        ..get(&proxy, URL)
                    }
                    .outgoing(),
                )
                .await,
        );
    }
    assert_eq!(server.connections(), [0, 1, 2, 1]);
    let with_cookie: Vec<_> = server
        .requests()
        .iter()
        .map(|r| r.contains("cookie: id=1\r\n"))
        .collect();
    assert_eq!(with_cookie, [false, false, false, true]);
}

#[tokio::test]
async fn literal_cookies_go_with_every_request() {
    let server = Server::answering(ok("x")).await;
    let egress = egress(Settings {
        cookies: vec![CookieSource::Literal(Secret::new("a=1"))],
        ..Settings::default()
    });
    answer(
        egress
            .send(get(&server.proxy(Scheme::Http), URL).outgoing())
            .await,
    );
    assert!(server.requests()[0].contains("\r\ncookie: a=1\r\n"));
}

#[tokio::test]
async fn a_stale_connection_is_replaced_once_and_nobody_is_charged() {
    let server = hangs_up_on_the_second_request().await;
    let proxy = server.proxy(Scheme::Http);
    let egress = egress(Settings::default());
    answer(egress.send(get(&proxy, URL).outgoing()).await);
    let exchange = egress.send(get(&proxy, URL).outgoing()).await;
    assert!(exchange.sent && !exchange.reused);
    assert!(
        exchange.phases.connect.is_some(),
        "the phases are those of the fresh connection"
    );
    assert_eq!(&answer(exchange).body.bytes[..], b"answer");
    assert_eq!(server.connections(), [0, 0, 1]);
}

#[tokio::test]
async fn what_is_sent_once_more_counts_against_the_cap_on_requests() {
    const MOST: usize = 8;
    // Every connection hangs up on its second request.
    let server = Server::start(|mut conn: Conn| async move {
        conn.request().await;
        conn.say(&ok("answer")).await;
        conn.request().await;
    })
    .await;
    let client = Client::builder()
        .proxies([server.proxy(Scheme::Http)])
        .configure(|settings| settings.engine.caps.requests = Some(MOST as u64))
        .build()
        .unwrap();
    let mut pages = 0;
    let ended = loop {
        match client.fetch(&format!("{URL}{pages}")).await {
            Ok(page) => assert!(page.record.ok, "{:?}", page.record.error),
            Err(error) => break error,
        }
        pages += 1;
    };
    assert!(matches!(ended, Error::Ended("max_requests")), "{ended:?}");
    // One for the first page and two for each other; the last one is for a page that has no second.
    assert_eq!((pages, server.requests().len()), (4, MOST));
}

#[tokio::test]
async fn a_request_that_may_have_been_read_is_not_repeated_unless_idempotent() {
    let server = hangs_up_on_the_second_request().await;
    let proxy = server.proxy(Scheme::Http);
    let egress = egress(Settings::default());
    answer(egress.send(get(&proxy, URL).outgoing()).await);
    let exchange = egress.send(post(&proxy, URL).outgoing()).await;
    assert!(exchange.sent && exchange.reused);
    let fault = exchange.result.unwrap_err();
    assert_eq!(
        (fault.phase, fault.kind),
        (Phase::Headers, FaultKind::Closed)
    );
    assert_eq!(server.connections(), [0, 0], "one POST reached the server");
}

#[tokio::test]
async fn a_fresh_connection_that_fails_is_not_replayed() {
    let server = Server::start(|mut conn: Conn| async move {
        conn.request().await;
    })
    .await;
    let exchange = egress(Settings::default())
        .send(get(&server.proxy(Scheme::Http), URL).outgoing())
        .await;
    assert_eq!(exchange.result.unwrap_err().kind, FaultKind::Closed);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn the_late_body_of_an_answer_to_head_costs_the_next_request_nothing() {
    let server = Server::start(|mut conn: Conn| async move {
        conn.request().await;
        conn.say(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n")
            .await;
        // So late that the connection was taken for quiet.
        while conn.request().await.is_some() {
            conn.say(b"<html></html>").await;
            conn.say(&ok("page")).await;
        }
    })
    .await;
    let proxy = server.proxy(Scheme::Http);
    let egress = egress(Settings::default());
    for connections in [&[0][..], &[0, 0, 1]] {
        let mut ask = get(&proxy, URL);
        ask.method = Method::HEAD;
        assert_eq!(answer(egress.send(ask.outgoing()).await).status, 200);
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_in_its_head_is_not_replayed() {
    let server = Server::start(|mut conn: Conn| async move {
        conn.request().await;
        conn.say(&ok("x")).await;
        conn.request().await;
        conn.say(b"HTTP/1.1 20").await;
    })
    .await;
    let proxy = server.proxy(Scheme::Http);
    let egress = egress(Settings::default());
    answer(egress.send(get(&proxy, URL).outgoing()).await);
    let exchange = egress.send(get(&proxy, URL).outgoing()).await;
    assert!(exchange.reused && exchange.result.is_err());
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_never_written_to() {
    let (close, closed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, tell) = (close.clone(), closed.clone());
    let server = Server::start(move |mut conn: Conn| {
        let (told, tell) = (told.clone(), tell.clone());
        async move {
            conn.request().await;
            conn.say(&ok("x")).await;
            told.notified().await;
            drop(conn);
            tell.notify_one();
        }
    })
    .await;
    let proxy = server.proxy(Scheme::Http);
    let egress = egress(Settings::default());
    answer(egress.send(get(&proxy, URL).outgoing()).await);
    assert_eq!(egress.idle_connections(), 1);
    close.notify_one();
    closed.notified().await;
    // The close is in the socket by now; the runtime has to look at its sockets once to know.
    tokio::time::sleep(Duration::from_millis(1)).await;
    // Not even for a request that could not be repeated.
    let exchange = egress.send(post(&proxy, URL).outgoing()).await;
    assert!(!exchange.reused);
    answer(exchange);
    assert_eq!(server.connections(), [0, 1]);
}

#[tokio::test]
async fn a_probed_connection_serves_the_first_request_of_any_session() {
    let server = Server::answering(ok("x")).await;
    let proxy = server.proxy(Scheme::Http);
    let egress = egress(Settings::default());
    let report = egress
        .probe(proxy.clone(), Some(host(URL)), Duration::from_secs(5))
        .await;
    report.result.unwrap();
    assert!(report.phases.connect.is_some());
    let out = Ask {
        session: Some("s".into()),
        ..get(&proxy, URL)
    };
    let exchange = egress.send(out.outgoing()).await;
    assert_eq!((exchange.reused, exchange.phases.connect), (false, None));
    answer(exchange);
    let exchange = egress.send(get(&proxy, URL).outgoing()).await;
    assert!(
        exchange.phases.connect.is_some(),
        "by now it belongs to session s"
    );
    assert_eq!(server.connections(), [0, 1]);
}

#[tokio::test]
async fn a_probe_reports_what_connect_was_refused_with() {
    let server = Server::answering("HTTP/1.1 429 Slow down\r\nContent-Length: 2\r\n\r\nno").await;
    let egress = egress(Settings::default());
    let report = egress
        .probe(
            server.proxy(Scheme::Http),
            Some(host("https://target.test/")),
            Duration::from_secs(5),
        )
        .await;
    assert_eq!(report.result.unwrap_err().kind, FaultKind::Rejected(429));
    assert_eq!(&report.connect_reply.unwrap().body[..], b"no");
    assert_eq!(egress.idle_connections(), 0);
}

/// A proxy that has this many connections at once and answers one more with 503. Everything else it answers with 200.
async fn has_at_most(most: usize) -> Server {
    let open = Arc::new(AtomicUsize::new(0));
    Server::start(move |mut conn: Conn| {
        let open = open.clone();
        async move {
            if open.fetch_add(1, Relaxed) >= most {
                conn.request().await;
                let full = "HTTP/1.1 503 Full\r\nContent-Length: 0\r\n\r\n";
                conn.say(full.as_bytes()).await;
            } else {
                while let Some(request) = conn.request().await {
                    let is_tunnel = request.starts_with("CONNECT");
                    let opened = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
                    conn.say(&if is_tunnel { opened } else { ok("x") }).await;
                }
            }
            open.fetch_sub(1, Relaxed);
        }
    })
    .await
}

/// Connections after a request to each of four sites, each through a tunnel of its own.
async fn connections_for_four_sites(server: &Server, settings: Settings) -> Vec<usize> {
    let proxy = server.proxy(Scheme::Http);
    let egress = egress(settings);
    for site in ["a", "b", "c", "d"] {
        let ask = get(&proxy, &format!("http://{site}.test/"));
        let through_tunnel = Outgoing {
            tunnel: true,
            ..ask.outgoing()
        };
        answer(egress.send(through_tunnel).await);
    }
    let mut connections = server.connections();
    connections.dedup();
    connections
}

#[tokio::test]
async fn an_idle_tunnel_gives_its_place_to_one_that_a_full_proxy_refuses() {
    let server = has_at_most(2).await;
    let connections = connections_for_four_sites(&server, Settings::default()).await;
    // The third is refused. From then on it is known that there are two.
    assert_eq!(connections, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn idle_tunnels_count_among_the_connections_the_user_allows_a_proxy() {
    let server = Server::answering(ok("x")).await;
    let proxy = server.proxy(Scheme::Http);
    let egress = egress(Settings {
        max_per_proxy: NonZeroU32::new(2),
        ..Settings::default()
    });
    let sessions = ["a", "b", "c"].map(|name| Some(name.into()));
    for session in sessions {
        let ask = Ask {
            session,
            ..get(&proxy, URL)
        };
        answer(egress.send(ask.outgoing()).await);
        assert!(egress.idle_connections() <= 2);
    }
    assert_eq!(egress.idle_connections(), 2);
}

#[tokio::test]
async fn a_proxy_that_refuses_for_another_reason_keeps_its_idle_tunnels() {
    let server = Server::start(|mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            let refused = "HTTP/1.1 503 No way\r\nContent-Length: 0\r\n\r\n";
            if request.contains("dead") {
                return conn.say(refused.as_bytes()).await;
            }
            let is_tunnel = request.starts_with("CONNECT");
            let opened = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
            conn.say(&if is_tunnel { opened } else { ok("x") }).await;
        }
    })
    .await;
    let proxy = server.proxy(Scheme::Http);
    let egress = egress(Settings::default());
    let send = async |url: String| {
        let ask = get(&proxy, &url);
        let through_tunnel = Outgoing {
            tunnel: true,
            ..ask.outgoing()
        };
        egress.send(through_tunnel).await.result
    };
    for site in 0..10 {
        send(format!("http://{site}.test/")).await.unwrap();
    }
    for site in 0..10 {
        let fault = send(format!("http://dead{site}.test/")).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Rejected(503));
    }
    // One closed at the 1st, the 3rd and the 7th.
    assert_eq!(egress.idle_connections(), 7);
}

#[tokio::test]
async fn a_rotating_endpoint_gets_a_connection_per_request() {
    let server = Server::answering(ok("x")).await;
    let proxy = server.rotating_proxy();
    let egress = egress(Settings::default());
    egress
        .probe(proxy.clone(), Some(host(URL)), Duration::from_secs(5))
        .await
        .result
        .unwrap();
    for _ in 0..3 {
        answer(egress.send(get(&proxy, URL).outgoing()).await);
    }
    // The first is the probed one.
    assert_eq!(server.connections(), [0, 1, 2]);
    assert_eq!(egress.idle_connections(), 0);
}
