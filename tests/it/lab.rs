//! The lab as an honest network: whatever is not spoiled on purpose has to arrive whole and be seen truly.

use std::io;

use base64::Engine;
use proxywheel::echo::{self, Echo, PublicKey};
use proxywheel::lab::{Fault, GatewaySpec, HostPlan, Lab, Mix, Origin, ProxySpec, address_of};
use proxywheel::proxy::Scheme;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab_client::*;

#[tokio::test]
async fn a_perfect_proxy_forwards_on_one_connection() {
    let lab = Lab::builder().perfect(3).record_hits(10);
    let lab = lab.start().await.unwrap();
    let mut stream = dial(&lab, 2).await;
    for path in ["/page/1?size=8192", "/page/2", "/?x=&y"] {
        let url = format!("http://shop.test{path}");
        let answer = ask(&mut stream, "shop.test", &url).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.body, Origin::expected_body("shop.test", path));
    }
    let stats = lab.stats();
    assert_eq!(
        (stats.proxies[2].connections, stats.proxies[2].requests),
        (1, 3)
    );
    assert_eq!(stats.proxies[0].connections, 0);
    assert_eq!(stats.hosts["shop.test"].requests, 3);
    let hits = lab.hits();
    assert!(hits.iter().all(|hit| hit.proxy == Some(2) && !hit.https));
    assert_eq!(hits[1].peer.to_string(), address_of(2).to_string());
    assert_eq!(hits[1].headers.len(), 1, "{:?}", hits[1].headers);
    lab.stop().await;
}

#[tokio::test]
async fn a_tunnel_leads_to_a_site_with_a_certificate_for_its_name() {
    let lab = Lab::builder().perfect(1).record_hits(10);
    let lab = lab.start().await.unwrap();
    let (stream, head) = connect(&lab, 0, "shop.test:443").await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut stream = tls(client(&lab, &["http/1.1"]), stream, "shop.test")
        .await
        .unwrap();
    for _ in 0..2 {
        let answer = ask(&mut stream, "shop.test", "/page/9").await.unwrap();
        assert_eq!(answer.body, Origin::expected_body("shop.test", "/page/9"));
    }
    assert!(lab.hits().iter().all(|hit| hit.https && !hit.http2));
    assert_eq!(lab.stats().proxies[0].tunnels, 1);
}

#[tokio::test]
async fn http2_is_chosen_by_alpn_and_serves_the_same_pages() {
    use http_body_util::{BodyExt, Empty};
    let lab = Lab::builder().perfect(1).record_hits(10);
    let lab = lab.start().await.unwrap();
    let (stream, _) = connect(&lab, 0, "shop.test:443").await.unwrap();
    let stream = tls(client(&lab, &["h2", "http/1.1"]), stream, "shop.test")
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    for path in [
        "/page/9",
        "/chunked/3",
        "/drip?ms=1",
        "/gzip/1",
        "/status/404",
    ] {
        let request = http::Request::get(format!("https://shop.test{path}"))
            .body(Empty::<bytes::Bytes>::new())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        match path {
            "/status/404" => assert_eq!(status, 404),
            "/gzip/1" => assert_eq!(body[..2], [0x1f, 0x8b]),
            _ => assert_eq!(body, Origin::expected_body("shop.test", path), "{path}"),
        }
    }
    let cut = http::Request::get("https://shop.test/truncate")
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    // The reset of the stream may overtake its head.
    if let Ok(cut) = sender.send_request(cut).await {
        assert!(cut.into_body().collect().await.is_err());
    }
    assert!(lab.hits().iter().all(|hit| hit.http2));
    drop(sender);
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_site_knows_through_which_proxy_a_resumed_session_was_made() {
    let lab = Lab::builder().perfect(2).http1_only().record_hits(10);
    let lab = lab.start().await.unwrap();
    let config = client(&lab, &[]);
    for number in [0, 1] {
        let (stream, _) = connect(&lab, number, "shop.test:443").await.unwrap();
        let mut stream = tls(config.clone(), stream, "shop.test").await.unwrap();
        ask(&mut stream, "shop.test", "/page/1").await.unwrap();
    }
    let marks: Vec<_> = lab.hits().iter().map(|hit| hit.resumed_from).collect();
    assert_eq!(marks, [None, Some(Some(0))]);
}

#[tokio::test]
async fn tls_to_the_proxy_carries_both_ways_of_asking() {
    let lab = Lab::builder().proxy(ProxySpec::new(Scheme::Https));
    let lab = lab.start().await.unwrap();
    let config = client(&lab, &[]);
    let address = address_of(0).to_string();
    let mut stream = tls(config.clone(), dial(&lab, 0).await, &address)
        .await
        .unwrap();
    let answer = ask(&mut stream, "a.test", "http://a.test/page/1").await;
    assert_eq!(
        answer.unwrap().body,
        Origin::expected_body("a.test", "/page/1")
    );
    stream
        .write_all(b"CONNECT a.test:443 HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    assert!(read_head(&mut stream).await.unwrap().contains(" 200 "));
    let mut stream = tls(config, stream, "a.test").await.unwrap();
    let answer = ask(&mut stream, "a.test", "/page/2").await.unwrap();
    assert_eq!(answer.body, Origin::expected_body("a.test", "/page/2"));
}

/// The SOCKS5 dialogue up to the reply code; `None` when the password was refused.
async fn socks5(stream: &mut TcpStream, password: &str, host: &str) -> io::Result<Option<u8>> {
    stream.write_all(&[5, 1, 2]).await?;
    assert_eq!(stream.read_u16().await?, 0x0502);
    let mut login = vec![1, 2, b'm', b'e', password.len() as u8];
    login.extend_from_slice(password.as_bytes());
    stream.write_all(&login).await?;
    if stream.read_u16().await? != 0x0100 {
        return Ok(None);
    }
    let mut wish = vec![5, 1, 0, 3, host.len() as u8];
    wish.extend_from_slice(host.as_bytes());
    wish.extend_from_slice(&80u16.to_be_bytes());
    stream.write_all(&wish).await?;
    let mut reply = [0; 10];
    stream.read_exact(&mut reply).await?;
    Ok(Some(reply[1]))
}

#[tokio::test]
async fn socks5_asks_for_the_password_and_resolves_at_the_exit() {
    let lab = Lab::builder()
        .proxy(ProxySpec::new(Scheme::Socks5).credentials("me", "pw"))
        .host("down.test", HostPlan::down())
        .start()
        .await
        .unwrap();
    let mut stream = dial(&lab, 0).await;
    let reply = socks5(&mut stream, "pw", "a.test").await.unwrap();
    assert_eq!(reply, Some(0));
    let answer = ask(&mut stream, "a.test", "/page/1").await.unwrap();
    assert_eq!(answer.body, Origin::expected_body("a.test", "/page/1"));

    let wrong = socks5(&mut dial(&lab, 0).await, "no", "a.test").await;
    assert_eq!(wrong.unwrap(), None);
    assert_eq!(lab.stats().proxies[0].auth_failures, 1);

    let refused = socks5(&mut dial(&lab, 0).await, "pw", "down.test").await;
    assert_eq!(refused.unwrap(), Some(5));
    let unknown = socks5(&mut dial(&lab, 0).await, "pw", "example.com").await;
    assert_eq!(unknown.unwrap(), Some(4));
}

#[tokio::test]
async fn only_socks4a_takes_names() {
    let lab = Lab::builder()
        .proxy(ProxySpec::new(Scheme::Socks4a))
        .proxy(ProxySpec::new(Scheme::Socks4));
    let lab = lab.start().await.unwrap();
    for (number, code) in [(0, 0x5a), (1, 0x5b)] {
        let mut stream = dial(&lab, number).await;
        let wish = b"\x04\x01\x00\x50\x00\x00\x00\x01\x00a.test\x00";
        stream.write_all(wish).await.unwrap();
        let mut reply = [0; 8];
        stream.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply[1], code);
    }
}

#[tokio::test]
async fn a_gateway_leads_each_user_to_an_exit_of_its_own() {
    let gateway = GatewaySpec {
        exit: http(),
        user: "customer".to_owned(),
        password: "pw".to_owned(),
        exits: 3,
        per_connection: false,
    };
    let rotating = GatewaySpec {
        per_connection: true,
        ..gateway.clone()
    };
    let lab = Lab::builder().perfect(1).gateway(gateway).gateway(rotating);
    let lab = lab.start().await.unwrap();
    let exit = async |number: u32, user: &str, password: &str| {
        let token = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let mut stream = dial(&lab, number).await;
        let request = format!(
            "GET http://a.test/ip HTTP/1.1\r\nHost: a.test\r\nProxy-Authorization: Basic {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream).await.unwrap()
    };
    for n in 0..3 {
        let answer = exit(1, &format!("customer-{n}"), "pw").await;
        let ip = address_of(1 + n).to_string();
        assert!(
            answer.text().contains(&format!("\"{ip}\"")),
            "{}",
            answer.text()
        );
    }
    let session = exit(1, "customer-sess-x7k", "pw").await.text();
    assert_eq!(exit(1, "customer-sess-x7k", "pw").await.text(), session);
    for (user, password) in [("customer-1", "wrong"), ("stranger", "pw")] {
        let refusal = exit(1, user, password).await;
        assert_eq!(refusal.status(), 407);
        assert!(refusal.header("proxy-authenticate").is_some());
    }
    let turns = [
        exit(4, "customer", "pw").await.text(),
        exit(4, "customer", "pw").await.text(),
    ];
    assert_ne!(turns[0], turns[1]);

    let list = lab.proxy_list();
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines.len(), 1 + 3 + 1, "{list}");
    assert!(
        lines[3].starts_with("http://customer-2:pw@127.1.0.2:"),
        "{list}"
    );
    assert!(lines[4].ends_with(" rotation=per_connection"), "{list}");
    assert_eq!(lab.proxies().len(), 5);
}

#[tokio::test]
async fn a_real_listener_is_dialled_from_the_address_of_the_proxy() {
    let lab = Lab::builder().perfect(2).record_hits(10);
    let lab = lab.start().await.unwrap();
    let origin = lab.origin_address();
    let host = origin.ip().to_string();
    let mut kept = dial(&lab, 1).await;
    for path in ["/page/1", "/page/2?size=70000"] {
        let answer = ask(&mut kept, &host, &format!("http://{origin}{path}")).await;
        assert_eq!(answer.unwrap().body, Origin::expected_body(&host, path));
    }
    let (stream, _) = connect(&lab, 0, &origin.to_string()).await.unwrap();
    let mut stream = tls(client(&lab, &[]), stream, &host).await.unwrap();
    ask(&mut stream, &host, "/page/3").await.unwrap();
    let mut direct = TcpStream::connect(origin).await.unwrap();
    ask(&mut direct, &host, "/page/4").await.unwrap();
    let seen: Vec<_> = lab.take_hits().iter().map(|hit| hit.proxy).collect();
    assert_eq!(seen, [Some(1), Some(1), Some(0), None]);
    assert!(lab.hits().is_empty());
    let outside = get(&lab, 0, "http://192.0.2.1/").await.unwrap();
    assert_eq!(outside.status(), 503);
}

#[tokio::test]
async fn pages_are_what_their_paths_say() {
    use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
    let lab = Lab::builder().perfect(1).start().await.unwrap();
    let fetch = async |path: &str| {
        let answer = get(&lab, 0, &format!("http://a.test{path}")).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    for (path, status) in [
        ("/status/404", 404),
        ("/nothing", 404),
        ("/redirect/2", 302),
        ("/redirect/0", 200),
        ("/retry-after/120", 429),
        ("/basic-auth/me/pw", 401),
        ("/sorry", 429),
        ("/delay/1", 200),
    ] {
        assert_eq!(fetch(path).await.status(), status, "{path}");
    }
    assert_eq!(
        fetch("/redirect/2").await.header("location"),
        Some("/redirect/1")
    );
    let to = fetch("/redirect-to?url=https%3A%2F%2Fb.test%2F&status=307").await;
    assert_eq!(
        (to.status(), to.header("location")),
        (307, Some("https://b.test/"))
    );
    let set = fetch("/cookies/set?a=b").await;
    assert_eq!(set.header("set-cookie"), Some("a=b; Path=/"));
    assert_eq!(
        fetch("/until-close").await.body,
        Origin::expected_body("a.test", "/until-close")
    );
    assert_eq!(
        fetch("/drip?ms=1").await.body,
        Origin::expected_body("a.test", "/drip?ms=1")
    );
    let koi8 = fetch("/charset/koi8-r").await;
    assert!(encoding_rs::KOI8_R.decode(&koi8.body).0.contains("Привет"));

    for encoding in ["gzip", "br", "zstd", "deflate"] {
        let path = format!("/{encoding}/1");
        let answer = fetch(&path).await;
        assert_eq!(answer.header("content-encoding"), Some(encoding));
        let mut page = Vec::new();
        match encoding {
            "gzip" => {
                GzipDecoder::new(&answer.body[..])
                    .read_to_end(&mut page)
                    .await
            }
            "br" => {
                BrotliDecoder::new(&answer.body[..])
                    .read_to_end(&mut page)
                    .await
            }
            "zstd" => {
                ZstdDecoder::new(&answer.body[..])
                    .read_to_end(&mut page)
                    .await
            }
            _ => {
                ZlibDecoder::new(&answer.body[..])
                    .read_to_end(&mut page)
                    .await
            }
        }
        .unwrap();
        assert_eq!(page, Origin::expected_body("a.test", &path));
    }
    let bomb = fetch("/bomb?mb=8").await;
    assert!(bomb.body.len() < 100_000);
    let mut zeros = vec![1; 8 << 20];
    let mut decoder = GzipDecoder::new(&bomb.body[..]);
    decoder.read_exact(&mut zeros).await.unwrap();
    assert!(zeros.iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn a_lab_on_its_own_thread_ends_when_it_is_stopped() {
    let builder = Lab::builder().seed(7).mix(&Mix {
        perfect: 2,
        ..Mix::default()
    });
    let lab = Lab::spawn_thread(builder).unwrap();
    let answer = get(&lab, 1, "http://a.test/page/1").await.unwrap();
    assert_eq!(answer.body, Origin::expected_body("a.test", "/page/1"));
    let proxy = lab.proxy(0);
    lab.stop().await;
    let gone = TcpStream::connect((proxy.host(), proxy.port())).await;
    assert_eq!(gone.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn the_judge_says_who_asked_and_signs_it_whichever_way_it_is_reached() {
    let lab = Lab::builder()
        .perfect(1)
        .proxy(ProxySpec::new(Scheme::Http).fault(Fault::LeakHeader));
    let lab = lab.start().await.unwrap();
    let url = format!("{}/echo?nonce=5fa3", lab.judge_url(false));
    let (host, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_at(url.strip_prefix("http://").unwrap().find('/').unwrap());
    let mut direct = TcpStream::connect(host).await.unwrap();
    let own = ask(&mut direct, host, path).await.unwrap();
    let own = Echo::read(&own.body, None).unwrap();
    assert_eq!(own.client.to_string(), "127.0.0.1");
    assert_eq!(own.nonce.as_deref(), Some("5fa3"));
    let key = PublicKey::from_base64(&own.key).unwrap();

    for (number, forwarded_for) in [(0, None), (1, Some("127.0.0.1"))] {
        let mut stream = dial(&lab, number).await;
        let answer = ask(&mut stream, host, &url).await.unwrap();
        let echo = Echo::read(&answer.body, Some(&key)).unwrap();
        assert_eq!(echo.client, address_of(number));
        assert_eq!(echo.header("x-forwarded-for"), forwarded_for);
    }
    let (stream, head) = connect(&lab, 0, host).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut stream = tls(client(&lab, &["http/1.1"]), stream, "127.0.0.3")
        .await
        .unwrap();
    let canary = ask(&mut stream, host, "/judge/canary?nonce=77")
        .await
        .unwrap();
    assert_eq!(canary.text(), echo::canary("77"));

    lab.set_host("127.0.0.3", HostPlan::down());
    let mut direct = TcpStream::connect(host).await.unwrap();
    assert!(ask(&mut direct, host, path).await.is_err());
}
