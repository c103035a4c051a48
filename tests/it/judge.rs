//! A judge on its own: what it says to clients of every kind, and how it bears the bad ones.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proxywheel::echo::{self, Echo, Key, PublicKey};
use proxywheel::lab::{JudgeLimits, JudgeServer, JudgeSettings, JudgeTls};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{interval, timeout};

use crate::lab_client::{PATIENCE, ask, read_answer, read_head, tls};

fn start(limits: JudgeLimits, listen: &str) -> JudgeServer {
    let settings = JudgeSettings {
        listen: vec![listen.parse().unwrap()],
        limits,
        ..JudgeSettings::default()
    };
    JudgeServer::start(Key::generate().unwrap(), settings).unwrap()
}

fn judge(limits: JudgeLimits) -> JudgeServer {
    start(limits, "127.0.0.1:0")
}

async fn dial(judge: &JudgeServer) -> TcpStream {
    TcpStream::connect(judge.addresses()[0].1).await.unwrap()
}

/// A connection from another address of this machine.
async fn dial_from(judge: &JudgeServer, ip: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((ip, 0))).unwrap();
    socket.connect(judge.addresses()[0].1).await.unwrap()
}

/// How the judge ends a connection: with FIN, or with RST when there was something it had not read.
async fn ends(stream: &mut (impl AsyncRead + Unpin)) {
    let read = timeout(PATIENCE, stream.read_u8()).await;
    let error = read.expect("an end").unwrap_err();
    let kinds = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
    assert!(kinds.contains(&error.kind()), "{error}");
}

/// A certificate for 127.0.0.1 in two files, and who trusts it.
struct Certificate {
    _directory: TempDir,
    files: [PathBuf; 2],
    client: Arc<ClientConfig>,
}

fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let files = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
    std::fs::write(&files[0], made.cert.pem()).unwrap();
    std::fs::write(&files[1], made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(made.cert)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Certificate {
        _directory: directory,
        files,
        client: Arc::new(client),
    }
}

impl Certificate {
    fn read(&self) -> JudgeTls {
        JudgeTls::read(&self.files[0], &self.files[1]).unwrap()
    }
}

#[tokio::test]
async fn headers_come_back_in_order_and_spelling_and_the_key_it_tells_verifies_them() {
    let judge = judge(JudgeLimits::default());
    let mut stream = dial(&judge).await;
    let key = ask(&mut stream, "j.test", "/key").await.unwrap();
    let key = PublicKey::from_base64(key.text().trim_end()).unwrap();
    assert_eq!(key, judge.public_key());

    let request = "GET /judge/echo?nonce=5fA3 HTTP/1.1\r\nx-b: 2\r\nhOsT: j.test\r\n\
                   X-A: one,  two\r\nX-Forwarded-For: 192.0.2.1\r\nX-B: 3\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream).await.unwrap();
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let echo = Echo::read(&answer.body, Some(&key)).unwrap();
    let headers: Vec<_> = echo
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        headers,
        [
            ("x-b", "2"),
            ("hOsT", "j.test"),
            ("X-A", "one,  two"),
            ("X-Forwarded-For", "192.0.2.1"),
            ("X-B", "3"),
        ]
    );
    assert_eq!(echo.client.to_string(), "127.0.0.1", "by its socket alone");
    assert_eq!(echo.target, "/judge/echo?nonce=5fA3");
    assert_eq!((echo.nonce.as_deref(), echo.https), (Some("5fA3"), false));

    let canary = ask(&mut stream, "j.test", "/canary?nonce=77")
        .await
        .unwrap();
    assert_eq!(canary.text(), echo::canary("77"));
    for path in ["/ip", "/judge/ip", "http://j.test/ip"] {
        let ip = ask(&mut stream, "j.test", path).await.unwrap();
        assert_eq!(
            (ip.status(), ip.text().as_str()),
            (200, "127.0.0.1\n"),
            "{path}"
        );
    }
    assert_eq!(judge.counts().answered, 6);
}

#[tokio::test]
async fn a_cookie_tells_which_request_it_was_set_for() {
    let judge = judge(JudgeLimits::default());
    let mut stream = dial(&judge).await;
    let key = judge.public_key();
    let answer = ask(&mut stream, "j.test", "/cookie?nonce=5f")
        .await
        .unwrap();
    let cookie = answer.header("set-cookie").unwrap();
    let (name, _) = cookie.split_once('=').unwrap();
    assert_eq!(echo::nonce_of_cookie(name), Some("5f"), "{cookie}");
    let echo = Echo::read(&answer.body, Some(&key)).unwrap();
    assert_eq!(echo.nonce.as_deref(), Some("5f"));
    let plain = ask(&mut stream, "j.test", "/cookie").await.unwrap();
    assert!(plain.header("set-cookie").is_none());
}

#[tokio::test]
async fn it_redirects_to_pages_of_its_own_host_and_nowhere_else() {
    let judge = judge(JudgeLimits::default());
    let mut stream = dial(&judge).await;
    for to in [
        "https://j.test:8443/echo?nonce=5",
        "http://J.test/judge/cookie",
    ] {
        let asked = format!("/redirect?to={to}");
        let answer = ask(&mut stream, "j.test", &asked).await.unwrap();
        assert_eq!(answer.status(), 302, "{to}");
        let location = answer.header("location").unwrap();
        assert!(location.eq_ignore_ascii_case(to), "{location}");
    }
    for to in [
        "https://evil.test/echo",
        "https://j.test@evil.test/echo",
        "https://user@j.test/echo",
        "//j.test/echo",
        "ftp://j.test/echo",
        "https://j.test/",
        "/echo",
        "",
    ] {
        let asked = format!("/redirect?to={to}");
        let answer = ask(&mut stream, "j.test", &asked).await.unwrap();
        assert_eq!(answer.status(), 400, "{to}");
    }
}

#[tokio::test]
async fn a_resumed_tls_session_is_told_with_the_address_that_made_it() {
    let certificate = certificate();
    let settings = JudgeSettings {
        listen_tls: vec!["127.0.0.1:0".parse().unwrap()],
        tls: Some(certificate.read()),
        ..JudgeSettings::default()
    };
    let judge = JudgeServer::start(Key::generate().unwrap(), settings).unwrap();
    let mut seen = Vec::new();
    for ip in [[127, 0, 0, 8], [127, 0, 0, 9]] {
        let tcp = dial_from(&judge, ip).await;
        let mut stream = tls(certificate.client.clone(), tcp, "127.0.0.1")
            .await
            .unwrap();
        let answer = ask(&mut stream, "j.test", "/echo").await.unwrap();
        seen.push(Echo::read(&answer.body, None).unwrap().resumed_from);
    }
    assert_eq!(seen, [None, Some(IpAddr::from([127, 0, 0, 8]))]);
}

#[tokio::test]
async fn https_is_served_by_http1_with_the_certificate_of_the_moment() {
    let (first, second) = (certificate(), certificate());
    let settings = JudgeSettings {
        listen_tls: vec!["127.0.0.1:0".parse().unwrap()],
        tls: Some(first.read()),
        ..JudgeSettings::default()
    };
    let judge = JudgeServer::start(Key::generate().unwrap(), settings).unwrap();
    let handshake = |client: &Arc<ClientConfig>| {
        let client = client.clone();
        async { tls(client, dial(&judge).await, "127.0.0.1").await }
    };
    let mut stream = handshake(&first.client).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let answer = ask(&mut stream, "j.test", "/?nonce=1").await.unwrap();
    let echo = Echo::read(&answer.body, Some(&judge.public_key())).unwrap();
    assert!(echo.https && echo.http == "1");

    judge.set_tls(second.read());
    assert!(handshake(&first.client).await.is_err());
    handshake(&second.client).await.unwrap();
    assert_eq!(
        ask(&mut stream, "j.test", "/ip").await.unwrap().status(),
        200
    );
}

#[tokio::test]
async fn a_socket_for_both_families_shows_ipv4_clients_as_such() {
    let judge = start(JudgeLimits::default(), "[::]:0");
    let port = judge.addresses()[0].1.port();
    for ip in ["127.0.0.1", "::1"] {
        let ip: IpAddr = ip.parse().unwrap();
        let mut stream = TcpStream::connect((ip, port)).await.unwrap();
        let answer = ask(&mut stream, "j.test", "/ip").await.unwrap();
        assert_eq!(answer.text(), format!("{ip}\n"));
    }
}

#[tokio::test]
async fn what_a_judge_does_not_do_is_refused_and_a_small_body_is_read_over() {
    let judge = judge(JudgeLimits::default());
    let mut stream = dial(&judge).await;
    for (request, status) in [
        ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        ("CONNECT j.test:443 HTTP/1.1\r\n\r\n", 405),
        ("GET /admin HTTP/1.1\r\n\r\n", 404),
        ("GET /canary?nonce=%2e HTTP/1.1\r\n\r\n", 400),
        ("GET /ip HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 200),
    ] {
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await.unwrap();
        assert_eq!(answer.status(), status, "{request}");
        let allow = (status == 405).then_some("GET, HEAD");
        assert_eq!(answer.header("allow"), allow);
    }
    stream
        .write_all(b"HEAD /ip HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let head = read_head(&mut stream).await.unwrap();
    assert!(head.contains("\r\nContent-Length: 10\r\n"), "{head}");
    let answer = ask(&mut stream, "j.test", "/ip").await.unwrap();
    assert_eq!(answer.status(), 200, "nothing came after the head");
}

#[tokio::test]
async fn what_is_too_large_or_no_request_is_refused_without_reading_it() {
    let judge = judge(JudgeLimits::default());
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    for request in [
        "GET / HTTP/1.1\r\nContent-Length: 9000\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
        "no request\r\n\r\n",
        "GET / HTTP/1.1\r\nX: \u{1}\r\n\r\n",
        &long[..40_000],
    ] {
        let mut stream = dial(&judge).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await.unwrap();
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.header("connection"), Some("close"));
        ends(&mut stream).await;
    }
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_when_to_come_back_and_disturbs_nobody() {
    let judge = judge(JudgeLimits {
        interval: Duration::from_secs(600),
        burst: NonZeroU32::new(3).unwrap(),
        ..JudgeLimits::default()
    });
    let mut stream = dial(&judge).await;
    for _ in 0..3 {
        assert_eq!(
            ask(&mut stream, "j.test", "/ip").await.unwrap().status(),
            200
        );
    }
    let request = "GET /ip HTTP/1.1\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let refusal = read_answer(&mut stream).await.unwrap();
    assert_eq!(
        refusal.status(),
        429,
        "a header makes nobody another client"
    );
    let wait: u64 = refusal.header("retry-after").unwrap().parse().unwrap();
    assert!((590..=600).contains(&wait), "{wait}");
    assert_eq!(refusal.header("connection"), Some("close"));
    ends(&mut stream).await;

    let mut other = dial_from(&judge, [127, 0, 0, 9]).await;
    let answer = ask(&mut other, "j.test", "/ip").await.unwrap();
    assert_eq!(answer.text(), "127.0.0.9\n");
    assert_eq!((judge.counts().answered, judge.counts().limited), (4, 1));
}

#[tokio::test]
async fn a_client_with_too_many_connections_gets_no_further_one() {
    let judge = judge(JudgeLimits {
        connections_per_client: 2,
        ..JudgeLimits::default()
    });
    let mut first = dial(&judge).await;
    let mut second = dial(&judge).await;
    for stream in [&mut first, &mut second] {
        ask(stream, "j.test", "/ip").await.unwrap();
    }
    ends(&mut dial(&judge).await).await;
    let mut other = dial_from(&judge, [127, 0, 0, 9]).await;
    ask(&mut other, "j.test", "/ip").await.unwrap();
    assert_eq!(
        ask(&mut first, "j.test", "/ip").await.unwrap().status(),
        200
    );
}

/// Impatient, so that the end of patience can be waited for.
fn impatient() -> JudgeLimits {
    JudgeLimits {
        patience: Duration::from_millis(500),
        idle: Duration::from_millis(500),
        ..JudgeLimits::default()
    }
}

#[tokio::test]
async fn a_slow_client_is_cut_however_often_it_sends_a_byte() {
    let judge = judge(impatient());
    let mut stream = dial(&judge).await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nX-Slow: ")
        .await
        .unwrap();
    let (mut read, mut write) = stream.into_split();
    let trickle = async {
        let mut pause = interval(Duration::from_millis(20));
        while write.write_all(b"x").await.is_ok() {
            pause.tick().await;
        }
    };
    tokio::select! {
        () = trickle => {}
        () = ends(&mut read) => {}
    }
    assert_eq!(judge.counts().answered, 0);
}

#[tokio::test]
async fn silence_is_cut_before_the_first_request_and_after_one_and_in_a_handshake() {
    let plain = judge(impatient());
    ends(&mut dial(&plain).await).await;
    let mut stream = dial(&plain).await;
    ask(&mut stream, "j.test", "/ip").await.unwrap();
    ends(&mut stream).await;
    let settings = JudgeSettings {
        listen_tls: vec!["127.0.0.1:0".parse().unwrap()],
        tls: Some(certificate().read()),
        limits: impatient(),
        ..JudgeSettings::default()
    };
    let tls = JudgeServer::start(Key::generate().unwrap(), settings).unwrap();
    ends(&mut dial(&tls).await).await;
}

#[tokio::test]
async fn draining_answers_what_was_begun_and_closes_the_rest() {
    let mut judge = judge(JudgeLimits::default());
    let address = judge.addresses()[0].1;
    let mut idle = dial(&judge).await;
    ask(&mut idle, "j.test", "/ip").await.unwrap();
    let mut begun = dial(&judge).await;
    // The first answer shows that the second request is being read: both were sent at once.
    begun
        .write_all(b"GET /ip HTTP/1.1\r\n\r\nGET /ip HTTP/1.1\r\n")
        .await
        .unwrap();
    assert_eq!(read_answer(&mut begun).await.unwrap().status(), 200);
    let client = async {
        ends(&mut idle).await;
        begun.write_all(b"\r\n").await.unwrap();
        let answer = read_answer(&mut begun).await.unwrap();
        assert_eq!(
            (answer.status(), answer.header("connection")),
            (200, Some("close"))
        );
        ends(&mut begun).await;
    };
    let ((), drained) = tokio::join!(client, timeout(PATIENCE, judge.drain()));
    drained.expect("an end");
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}
