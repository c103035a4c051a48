//! The lab itself, driven by bare sockets: it has to be as hostile as it says before anything is tested against it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use proxywheel::lab::{
    BadTls, BanRule, BanStyle, Fault, GREETING, GatewaySpec, HostPlan, Lab, Mix, Origin, ProxySpec,
    Quota, address_of,
};
use proxywheel::proxy::Scheme;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Nothing on loopback takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for any answer that was going to come.
const SILENCE: Duration = Duration::from_millis(300);

struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn status(&self) -> u16 {
        let code = self.head.split(' ').nth(1).unwrap_or_default();
        code.parse().unwrap_or(0)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (each, value) = line.split_once(':')?;
            each.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

async fn dial(lab: &Lab, number: u32) -> TcpStream {
    let proxy = lab.proxy(number);
    TcpStream::connect((proxy.host(), proxy.port()))
        .await
        .unwrap()
}

/// Reads a head and, where it says how long it is, its body.
async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Answer> {
    let read = async {
        let head = read_head(stream).await?;
        let mut answer = Answer {
            head,
            body: Vec::new(),
        };
        let length = answer.header("content-length").map(str::parse);
        match length {
            Some(Ok(length)) => {
                answer.body.resize(length, 0);
                stream.read_exact(&mut answer.body).await?;
            }
            _ => {
                stream.read_to_end(&mut answer.body).await?;
            }
        }
        Ok(answer)
    };
    timeout(PATIENCE, read).await.expect("an answer")
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &str,
    target: &str,
) -> io::Result<Answer> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    read_answer(stream).await
}

/// One plain request through proxy `number`, on a connection of its own.
async fn get(lab: &Lab, number: u32, url: &str) -> io::Result<Answer> {
    let host = url.split('/').nth(2).unwrap();
    ask(&mut dial(lab, number).await, host, url).await
}

async fn connect(lab: &Lab, number: u32, authority: &str) -> io::Result<(TcpStream, String)> {
    let mut stream = dial(lab, number).await;
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let head = timeout(PATIENCE, read_head(&mut stream)).await.unwrap()?;
    Ok((stream, head))
}

fn client(lab: &Lab, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(lab.ca_pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

async fn tls<S: AsyncRead + AsyncWrite + Unpin>(
    config: Arc<ClientConfig>,
    stream: S,
    name: &str,
) -> io::Result<TlsStream<S>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let handshake = TlsConnector::from(config).connect(name, stream);
    timeout(PATIENCE, handshake).await.expect("a handshake")
}

fn http() -> ProxySpec {
    ProxySpec::new(Scheme::Http)
}

async fn faulty(fault: Fault) -> Lab {
    let lab = Lab::builder().proxy(http().fault(fault));
    lab.start().await.unwrap()
}

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
async fn connects_are_refused_swallowed_or_met_with_silence() {
    let lab = Lab::builder()
        .proxy(http().fault(Fault::Refuse))
        .proxy(http().fault(Fault::BlackHole))
        .proxy(http().fault(Fault::HangAfterAccept));
    let lab = lab.start().await.unwrap();
    let to = |number| {
        let proxy = lab.proxy(number);
        TcpStream::connect((proxy.host().to_owned(), proxy.port()))
    };
    let refused = to(0).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(timeout(SILENCE, to(1)).await.is_err(), "black hole");
    let mut stream = to(2).await.unwrap();
    let hanging = ask(&mut stream, "a.test", "http://a.test/");
    assert!(timeout(SILENCE, hanging).await.is_err(), "hang");
    lab.stop().await;
}

#[tokio::test]
async fn plain_answers_are_spoiled_as_the_fault_says() {
    type Shows = fn(io::Result<Answer>) -> bool;
    let cases: [(Fault, Shows); 13] = [
        (Fault::Reset, |answer| {
            answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
        }),
        (Fault::Garbage, |answer| answer.is_err()),
        (Fault::Truncate, |answer| {
            answer.is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
        }),
        (Fault::Bomb, |answer| {
            let answer = answer.unwrap();
            answer.header("content-encoding") == Some("gzip") && answer.body.len() < 1_000_000
        }),
        (Fault::Auth407, |answer| answer.unwrap().status() == 407),
        (Fault::ForeignPage, |answer| {
            let answer = answer.unwrap();
            answer.status() == 200 && answer.text().contains("router")
        }),
        (Fault::Empty200, |answer| {
            let answer = answer.unwrap();
            answer.status() == 200 && answer.body.is_empty()
        }),
        (Fault::InjectScript, |answer| {
            let text = answer.unwrap().text();
            text.contains("ads.injected.test") && text.contains("/page/1 at a.test")
        }),
        (Fault::RedirectLoop, |answer| {
            let answer = answer.unwrap();
            answer.status() == 302 && answer.header("location") == Some("http://a.test/page/1")
        }),
        (Fault::NoForward, |answer| {
            let answer = answer.unwrap();
            answer.status() == 403 && answer.header("x-squid-error").is_some()
        }),
        (
            Fault::RateLimit {
                requests: 0,
                window_ms: 9_000,
            },
            |answer| {
                let answer = answer.unwrap();
                answer.status() == 429 && answer.header("retry-after") == Some("9")
            },
        ),
        (
            Fault::BanAfter {
                requests: 0,
                window_ms: 9_000,
            },
            |answer| {
                let answer = answer.unwrap();
                answer.status() == 403 && answer.text().contains("blocked")
            },
        ),
        (
            Fault::DiesAfter {
                requests: 0,
                revives_after_ms: None,
            },
            |answer| answer.is_err(),
        ),
    ];
    for (fault, shows) in cases {
        let lab = faulty(fault.clone()).await;
        let answer = get(&lab, 0, "http://a.test/page/1").await;
        assert!(shows(answer), "{fault}");
        lab.stop().await;
    }
}

#[tokio::test]
async fn floods_go_on_for_as_long_as_one_reads() {
    for fault in [Fault::EndlessBody, Fault::HeaderFlood] {
        let lab = faulty(fault.clone()).await;
        let mut stream = dial(&lab, 0).await;
        stream
            .write_all(b"GET http://a.test/ HTTP/1.1\r\n\r\n")
            .await
            .unwrap();
        let mut flood = vec![0; 3_000_000];
        timeout(PATIENCE, stream.read_exact(&mut flood))
            .await
            .unwrap()
            .unwrap();
        let head_ended = flood.windows(4).any(|four| four == b"\r\n\r\n");
        assert_eq!(head_ended, fault == Fault::EndlessBody, "{fault}");
    }
}

#[tokio::test]
async fn a_slow_drip_takes_its_time_and_brings_everything() {
    let lab = faulty(Fault::SlowDrip(10)).await;
    let started = tokio::time::Instant::now();
    let answer = get(&lab, 0, "http://a.test/page/1?size=320").await.unwrap();
    assert_eq!(
        answer.body,
        Origin::expected_body("a.test", "/page/1?size=320")
    );
    assert!(started.elapsed() >= Duration::from_millis(10 * (320 / 32 - 1)));
}

#[tokio::test]
async fn requests_tell_what_a_leaking_proxy_adds() {
    let lab = faulty(Fault::LeakHeader).await;
    let answer = get(&lab, 0, "http://a.test/echo").await.unwrap();
    assert!(answer.text().contains("X-Forwarded-For"));
    lab.set_faults(0, Vec::new());
    let answer = get(&lab, 0, "http://a.test/echo").await.unwrap();
    assert!(!answer.text().contains("X-Forwarded-For"));
}

#[tokio::test]
async fn a_stale_cache_repeats_the_first_page_of_a_host() {
    let lab = faulty(Fault::Stale).await;
    for (url, body) in [
        (
            "http://a.test/page/1",
            Origin::expected_body("a.test", "/page/1"),
        ),
        (
            "http://a.test/page/2",
            Origin::expected_body("a.test", "/page/1"),
        ),
        (
            "http://b.test/page/2",
            Origin::expected_body("b.test", "/page/2"),
        ),
    ] {
        assert_eq!(get(&lab, 0, url).await.unwrap().body, body, "{url}");
    }
}

#[tokio::test]
async fn a_kept_connection_closes_under_the_second_request() {
    let lab = faulty(Fault::KeepaliveClose).await;
    let mut stream = dial(&lab, 0).await;
    let first = ask(&mut stream, "a.test", "http://a.test/page/1").await;
    assert_eq!(first.unwrap().status(), 200);
    assert!(
        ask(&mut stream, "a.test", "http://a.test/page/2")
            .await
            .is_err()
    );
    assert_eq!(get(&lab, 0, "http://a.test/").await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_dead_proxy_revives() {
    let lab = faulty(Fault::DiesAfter {
        requests: 2,
        revives_after_ms: Some(100),
    })
    .await;
    for _ in 0..2 {
        assert_eq!(get(&lab, 0, "http://a.test/").await.unwrap().status(), 200);
    }
    assert!(get(&lab, 0, "http://a.test/").await.is_err());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while get(&lab, 0, "http://a.test/").await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "never revived");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn tunnels_are_refused_or_opened_oddly_as_the_fault_says() {
    for (fault, start) in [
        (Fault::ConnectStatus(403), "HTTP/1.1 403 "),
        (Fault::ConnectStatus(429), "HTTP/1.1 429 "),
        (Fault::ConnectStatus(502), "HTTP/1.1 502 "),
        (Fault::NoTunnel, "HTTP/1.1 405 "),
        (Fault::Auth407, "HTTP/1.1 407 "),
        (Fault::Http10Connect, "HTTP/1.0 200 "),
        (Fault::ConnectWithContentLength, "HTTP/1.1 200 "),
    ] {
        let lab = faulty(fault.clone()).await;
        let (stream, head) = connect(&lab, 0, "a.test:443").await.unwrap();
        assert!(head.starts_with(start), "{fault}: {head}");
        if head.contains(" 200 ") {
            let mut stream = tls(client(&lab, &[]), stream, "a.test").await.unwrap();
            let answer = ask(&mut stream, "a.test", "/page/1").await.unwrap();
            assert_eq!(answer.body, Origin::expected_body("a.test", "/page/1"));
        }
        if fault == Fault::ConnectWithContentLength {
            assert!(head.contains("Content-Length") && head.contains("Transfer-Encoding"));
        }
    }
    let lab = faulty(Fault::ConnectBytesGlued).await;
    let (mut stream, _) = connect(&lab, 0, "a.test:25").await.unwrap();
    let mut greeting = vec![0; GREETING.len()];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, GREETING);
}

#[tokio::test]
async fn tls_inside_a_tunnel_breaks_as_the_fault_says() {
    for (fault, why) in [
        (Fault::BadTls(BadTls::Garbage), "InvalidMessage"),
        (Fault::BadTls(BadTls::Expired), "Expired"),
        (Fault::BadTls(BadTls::WrongName), "NotValidForName"),
        (Fault::TlsIntercept, "UnknownIssuer"),
    ] {
        let lab = faulty(fault.clone()).await;
        let (stream, _) = connect(&lab, 0, "a.test:443").await.unwrap();
        let error = tls(client(&lab, &[]), stream, "a.test").await.err();
        let error = format!("{:?}", error.expect("a broken handshake"));
        assert!(error.contains(why), "{fault}: {error}");
    }
    let lab = faulty(Fault::HangAfterConnect).await;
    let (stream, _) = connect(&lab, 0, "a.test:443").await.unwrap();
    let handshake = tls(client(&lab, &[]), stream, "a.test");
    assert!(timeout(SILENCE, handshake).await.is_err());

    let lab = faulty(Fault::Truncate).await;
    let (stream, _) = connect(&lab, 0, "a.test:443").await.unwrap();
    let mut stream = tls(client(&lab, &[]), stream, "a.test").await.unwrap();
    let cut = ask(&mut stream, "a.test", "/page/1?size=20000").await;
    assert_eq!(cut.err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn bans_show_in_every_style_and_only_for_the_pair() {
    for style in BanStyle::ALL {
        let plan = HostPlan {
            ban: Some(BanRule {
                requests: 2,
                window_ms: 60_000,
                lasts_ms: 60_000,
                style,
            }),
            ..HostPlan::default()
        };
        let lab = Lab::builder().perfect(2).host("a.test", plan);
        let lab = lab.start().await.unwrap();
        for _ in 0..2 {
            let answer = get(&lab, 0, "http://a.test/page/1").await.unwrap();
            assert_eq!(answer.status(), 200);
        }
        let banned = get(&lab, 0, "http://a.test/page/1").await;
        match (style, banned) {
            (BanStyle::Reset, banned) => assert!(banned.is_err()),
            (BanStyle::Forbidden, banned) => assert_eq!(banned.unwrap().status(), 403),
            (BanStyle::TooMany, banned) => {
                assert_eq!(banned.unwrap().header("retry-after"), Some("60"));
            }
            (BanStyle::Captcha, banned) => assert!(banned.unwrap().text().contains("captcha-form")),
            (BanStyle::Sorry, banned) => {
                assert_eq!(banned.unwrap().header("location"), Some("/sorry"));
            }
            (BanStyle::Empty, banned) => assert_eq!(banned.unwrap().body, b""),
        }
        for (number, url) in [(1, "http://a.test/page/1"), (0, "http://b.test/page/1")] {
            let body = get(&lab, number, url).await.unwrap().body;
            assert!(!body.is_empty(), "{style}: {url} through {number}");
        }
        assert_eq!(lab.stats().hosts["a.test"].banned, 1);
    }
}

#[tokio::test]
async fn hosts_go_down_and_limit_their_rate() {
    let quota = HostPlan {
        rate_limit: Some(Quota {
            requests: 1,
            window_ms: 60_000,
        }),
        ..HostPlan::default()
    };
    let lab = Lab::builder().perfect(2).host("slow.test", quota);
    let lab = lab.start().await.unwrap();
    let first = get(&lab, 0, "http://slow.test/").await.unwrap();
    let second = get(&lab, 1, "http://slow.test/").await.unwrap();
    assert_eq!((first.status(), second.status()), (200, 429));

    lab.set_host("a.test", HostPlan::down());
    let plain = get(&lab, 0, "http://a.test/").await.unwrap();
    assert_eq!(plain.status(), 503);
    assert_eq!(plain.header("x-squid-error"), Some("ERR_CONNECT_FAIL 111"));
    let (_, head) = connect(&lab, 0, "a.test:443").await.unwrap();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    lab.set_host("a.test", HostPlan::default());
    assert_eq!(get(&lab, 0, "http://a.test/").await.unwrap().status(), 200);
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
