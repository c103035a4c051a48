//! TLS with targets inside tunnels, with proxies, and HTTP/2.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::Version;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proxywheel::egress::{Egress, HttpVersions, Settings, SocketEgress};
use proxywheel::exchange::Truncation;
use proxywheel::outcome::{FaultKind, Phase};
use proxywheel::proxy::Scheme;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::fixture::{Conn, Server, answer, egress, get, ok};

/// Where a connection turns to TLS.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Where {
    /// From the start: an `https` proxy.
    Proxy,
    /// Behind a CONNECT, whose answer claims a length.
    Target,
}

/// A self-signed certificate for `name`, as an acceptor and as a PEM file.
pub(super) struct Identity {
    acceptor: TlsAcceptor,
    pem: tempfile::NamedTempFile,
}

impl Identity {
    pub(super) fn new(name: &str, alpn: &[&str]) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        Identity::of(&made.signing_key, &made.cert, &[], alpn)
    }

    /// Shows `certificate` and the rest of its chain.
    fn of(key: &KeyPair, certificate: &Certificate, chain: &[&Certificate], alpn: &[&str]) -> Self {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let shown = std::iter::once(&certificate).chain(chain);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(shown.map(|one| one.der().clone()).collect(), key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let pem = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(pem.path(), certificate.pem()).unwrap();
        Identity {
            acceptor: Arc::new(config).into(),
            pem,
        }
    }

    pub(super) fn path(&self) -> Option<PathBuf> {
        Some(self.pem.path().to_owned())
    }

    /// A proxy that opens every tunnel, with the site behind it, which `serve` is.
    pub(super) async fn behind_tunnel<F, H>(&self, serve: F) -> Server
    where
        F: Fn(Conn<TlsStream<TcpStream>>) -> H + Clone + Send + Sync + 'static,
        H: Future<Output = ()> + Send + 'static,
    {
        let acceptor = self.acceptor.clone();
        Server::start(move |mut conn: Conn| {
            let (acceptor, serve) = (acceptor.clone(), serve.clone());
            async move {
                conn.request().await;
                conn.say(b"HTTP/1.1 200 OK\r\n\r\n").await;
                serve(conn.over(|io| acceptor.accept(io)).await.unwrap()).await;
            }
        })
        .await
    }

    /// Answers HTTP/1 requests inside TLS.
    pub(super) async fn serve(&self, tls: Where) -> Server {
        let acceptor = self.acceptor.clone();
        Server::start(move |mut conn: Conn| {
            let acceptor = acceptor.clone();
            async move {
                if tls == Where::Target {
                    conn.request().await;
                    conn.say(b"HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n")
                        .await;
                }
                let Ok(mut conn) = conn.over(|io| acceptor.accept(io)).await else {
                    return;
                };
                while conn.request().await.is_some() {
                    conn.say(&ok("secret")).await;
                }
            }
        })
        .await
    }
}

#[tokio::test]
async fn https_goes_through_a_tunnel_whose_answer_claimed_a_length() {
    let identity = Identity::new("target.test", &[]);
    let server = identity.serve(Where::Target).await;
    let proxy = server.proxy_with_password(Scheme::Http);
    let egress = egress(Settings {
        cacert: identity.path(),
        ..Settings::default()
    });
    let exchange = egress
        .send(get(&proxy, "https://target.test/x").outgoing())
        .await;
    assert!(exchange.verified && exchange.sent);
    assert_eq!(exchange.connect_status, Some(200));
    assert!(exchange.phases.proxy_handshake.is_some() && exchange.phases.tls.is_some());
    assert_eq!(&answer(exchange).body.bytes[..], b"secret");
    let [connect, request] = &server.requests()[..] else {
        panic!("{:?}", server.requests());
    };
    assert!(connect.starts_with("CONNECT target.test:443 HTTP/1.1\r\nHost: target.test:443\r\n"));
    assert!(connect.contains("Proxy-Authorization: Basic"));
    assert!(request.starts_with("GET /x HTTP/1.1\r\nhost: target.test\r\n"));
    assert!(
        !request.to_ascii_lowercase().contains("proxy-"),
        "{request}"
    );

    let exchange = egress
        .send(get(&proxy, "https://target.test/y").outgoing())
        .await;
    assert!(exchange.reused && exchange.verified && exchange.connect_status.is_none());
    answer(exchange);
    // A tunnel leads to one target only.
    let exchange = egress
        .send(get(&proxy, "https://other.test/").outgoing())
        .await;
    assert_eq!(
        exchange.result.unwrap_err().kind,
        FaultKind::OtherCertificate
    );
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_a_fault_unless_the_user_does_not_mind() {
    let identity = Identity::new("target.test", &[]);
    let server = identity.serve(Where::Target).await;
    let proxy = server.proxy(Scheme::Http);
    let exchange = egress(Settings::default())
        .send(get(&proxy, "https://target.test/").outgoing())
        .await;
    assert!(!exchange.sent && !exchange.verified);
    let fault = exchange.result.unwrap_err();
    assert_eq!(
        (fault.phase, fault.kind),
        (Phase::Tls, FaultKind::Certificate)
    );

    let careless = egress(Settings {
        insecure: true,
        ..Settings::default()
    });
    let exchange = careless
        .send(get(&proxy, "https://target.test/").outgoing())
        .await;
    assert!(!exchange.verified);
    answer(exchange);
}

/// An authority and its certificate.
fn authority(name: &str) -> (Issuer<'static, KeyPair>, Certificate) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (Issuer::new(params, key), certificate)
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_described_for_people() {
    let (root, root_certificate) = authority("root");
    let trusted = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(trusted.path(), root_certificate.pem()).unwrap();
    let (stranger, strangers) = authority("Zscaler \"Root\"\u{7} CA");
    let key = KeyPair::generate().unwrap();
    let params = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
        CertificateParams::new(names).unwrap()
    };
    let signed = |params: CertificateParams| params.signed_by(&key, &root).unwrap();
    let mut old = params(&["a.test"]);
    old.not_before = date_time_ymd(2020, 1, 1);
    old.not_after = date_time_ymd(2021, 2, 3);
    let old_own = old.clone();
    let mut young = params(&["a.test"]);
    young.not_before = date_time_ymd(2090, 1, 1);
    young.not_after = date_time_ymd(2091, 1, 1);
    let mut own = params(&["a.test"]);
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let five = params(&["b.test", "c.test", "192.0.2.1", "d.test", "e.test"]);
    let strange = params(&["a.test"]).signed_by(&key, &stranger).unwrap();
    let unknown = "the certificate was issued by an unknown authority, \"Zscaler Root CA\"";
    for (certificate, chain, kind, expected) in [
        (
            signed(old),
            &[][..],
            FaultKind::OtherCertificate,
            "the certificate expired on 2021-02-03",
        ),
        (
            signed(young),
            &[],
            FaultKind::OtherCertificate,
            "the certificate is not valid before 2090-01-01; is the clock right?",
        ),
        (
            signed(params(&["b.test"])),
            &[],
            FaultKind::OtherCertificate,
            "the certificate is for b.test, not for a.test",
        ),
        (
            signed(five),
            &[],
            FaultKind::OtherCertificate,
            "the certificate is for b.test, c.test, 192.0.2.1 and 2 more, not for a.test",
        ),
        (
            signed(params(&[])),
            &[],
            FaultKind::OtherCertificate,
            "the certificate is for no host, not for a.test",
        ),
        (
            old_own.self_signed(&key).unwrap(),
            &[],
            FaultKind::Certificate,
            "the certificate is self-signed",
        ),
        (
            params(&["a.test"]).self_signed(&key).unwrap(),
            &[],
            FaultKind::Certificate,
            "the certificate is self-signed",
        ),
        (
            own.self_signed(&key).unwrap(),
            &[],
            FaultKind::Certificate,
            "the certificate is self-signed, and an authority's where a server's is expected",
        ),
        (strange.clone(), &[], FaultKind::Certificate, unknown),
        (strange, &[&strangers], FaultKind::Certificate, unknown),
    ] {
        let server = Identity::of(&key, &certificate, chain, &[])
            .serve(Where::Target)
            .await;
        let exchange = egress(Settings {
            cacert: Some(trusted.path().to_owned()),
            ..Settings::default()
        })
        .send(get(&server.proxy(Scheme::Http), "https://a.test/").outgoing())
        .await;
        let fault = exchange.result.unwrap_err();
        assert_eq!((fault.kind, &*fault.message), (kind, expected));
    }
    let server = Identity::new("elsewhere.test", &[])
        .serve(Where::Proxy)
        .await;
    let exchange = egress(Settings::default())
        .send(get(&server.proxy(Scheme::Https), "https://a.test/").outgoing())
        .await;
    let fault = exchange.result.unwrap_err();
    assert_eq!(fault.phase, Phase::ProxyTls);
    assert_eq!(fault.message, "the proxy's certificate is self-signed");
}

#[tokio::test]
async fn a_given_certificate_is_trusted_for_its_name_though_it_is_marked_as_an_authoritys() {
    let key = KeyPair::generate().unwrap();
    let marked = |from: i32, to: i32| {
        let mut params = CertificateParams::new(vec!["a.test".into()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        Identity::of(&key, &params.self_signed(&key).unwrap(), &[], &[])
    };
    let (valid, expired) = (marked(2020, 2090), marked(2020, 2021));
    for (identity, url, expected) in [
        (&valid, "https://a.test/", None),
        (
            &valid,
            "https://b.test/",
            Some("the certificate is for a.test, not for b.test"),
        ),
        (
            &expired,
            "https://a.test/",
            Some("the certificate expired on 2021-01-01"),
        ),
    ] {
        let server = identity.serve(Where::Target).await;
        let settings = Settings {
            cacert: identity.path(),
            ..Settings::default()
        };
        let exchange = egress(settings)
            .send(get(&server.proxy(Scheme::Http), url).outgoing())
            .await;
        let told = exchange.result.err().map(|fault| fault.message.to_string());
        assert_eq!(told.as_deref(), expected, "{url}");
    }
}

#[tokio::test]
async fn a_tunnel_that_leads_to_no_tls_is_a_tls_fault() {
    let server = Server::start(|mut conn: Conn| async move {
        conn.request().await;
        conn.say(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n")
            .await;
        std::future::pending().await
    })
    .await;
    let exchange = egress(Settings::default())
        .send(get(&server.proxy(Scheme::Http), "https://target.test/").outgoing())
        .await;
    let fault = exchange.result.unwrap_err();
    assert_eq!(
        (fault.phase, fault.kind),
        (Phase::Tls, FaultKind::Malformed),
        "{fault}"
    );
}

#[tokio::test]
async fn an_https_proxy_is_verified_by_its_own_authorities() {
    let identity = Identity::new("127.0.0.1", &[]);
    let server = identity.serve(Where::Proxy).await;
    let proxy = server.proxy_with_password(Scheme::Https);
    for (settings, works) in [
        (
            Settings {
                proxy_cacert: identity.path(),
                ..Settings::default()
            },
            true,
        ),
        (
            Settings {
                proxy_insecure: true,
                ..Settings::default()
            },
            true,
        ),
        (
            Settings {
                cacert: identity.path(),
                insecure: true,
                ..Settings::default()
            },
            false,
        ),
    ] {
        let exchange = egress(settings)
            .send(get(&proxy, "http://target.test/").outgoing())
            .await;
        assert!(exchange.phases.proxy_handshake.is_some() && !exchange.verified);
        match exchange.result {
            Ok(response) => assert!(works && &response.body.bytes[..] == b"secret"),
            Err(fault) => {
                assert!(!works, "{fault}");
                assert_eq!(
                    (fault.phase, fault.kind),
                    (Phase::ProxyTls, FaultKind::Certificate)
                );
            }
        }
    }
    assert!(server.requests()[0].starts_with("GET http://target.test/ HTTP/1.1\r\n"));
}

#[tokio::test]
async fn http2_is_agreed_on_inside_the_tunnel_and_its_connection_is_kept() {
    let identity = Identity::new("target.test", &["h2", "http/1.1"]);
    let serve = |conn: Conn<TlsStream<TcpStream>>| async move {
        let service = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
            let seen = format!("{} {:?}", request.uri(), request.headers().get("host"));
            Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(seen))))
        });
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(conn.io), service)
            .await;
    };
    let server = identity.behind_tunnel(serve).await;
    let proxy = server.proxy(Scheme::Http);
    let settings = Settings {
        cacert: identity.path(),
        ..Settings::default()
    };
    let egress = SocketEgress::new(settings.clone()).unwrap();
    for reused in [false, true] {
        let exchange = egress
            .send(get(&proxy, "https://target.test/x").outgoing())
            .await;
        assert_eq!((exchange.reused, exchange.verified), (reused, true));
        let response = answer(exchange);
        assert_eq!(response.version, Version::HTTP_2);
        assert_eq!(&response.body.bytes[..], b"https://target.test/x None");
    }
    assert_eq!(server.connections(), [0]);

    let plain = Identity::new("target.test", &["http/1.1"]);
    let server = plain.serve(Where::Target).await;
    let only2 = SocketEgress::new(Settings {
        cacert: plain.path(),
        http: HttpVersions::Http2,
        ..Settings::default()
    })
    .unwrap();
    let exchange = only2
        .send(get(&server.proxy(Scheme::Http), "https://target.test/").outgoing())
        .await;
    let fault = exchange.result.unwrap_err();
    assert_eq!(fault.phase, Phase::Tls);
    assert!(
        matches!(fault.kind, FaultKind::Unsupported | FaultKind::Tls),
        "{fault}"
    );
}

#[tokio::test]
async fn no_tls_session_is_resumed() {
    let identity = Identity::new("target.test", &[]);
    let resumed = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = resumed.clone();
    let serve = move |mut conn: Conn<TlsStream<TcpStream>>| {
        let seen = seen.clone();
        async move {
            conn.request().await;
            let kind = conn.io.get_ref().1.handshake_kind();
            seen.lock().unwrap().push(kind);
            conn.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    };
    let server = identity.behind_tunnel(serve).await;
    let egress = egress(Settings {
        cacert: identity.path(),
        ..Settings::default()
    });
    for _ in 0..2 {
        answer(
            egress
                .send(get(&server.proxy(Scheme::Http), "https://target.test/").outgoing())
                .await,
        );
    }
    assert_eq!(
        *resumed.lock().unwrap(),
        [Some(rustls::HandshakeKind::Full); 2]
    );
}

#[tokio::test]
async fn a_body_until_the_close_ends_without_a_farewell_of_tls_but_half_a_page_is_cut() {
    for (body, truncated) in [
        ("content-type: text/html\r\n\r\n<html><p>x</HTML>\n", None),
        ("content-type: application/json\r\n\r\n{}", None),
        (
            "content-type: text/html\r\n\r\n<html><p>x",
            Some(Truncation::Disconnect),
        ),
        (
            "content-type: text/plain\r\ncontent-length: 9\r\n\r\nx",
            Some(Truncation::Disconnect),
        ),
    ] {
        let identity = Identity::new("target.test", &[]);
        let serve = move |mut conn: Conn<TlsStream<TcpStream>>| async move {
            conn.request().await;
            conn.say(format!("HTTP/1.1 200 OK\r\n{body}").as_bytes())
                .await;
        };
        let server = identity.behind_tunnel(serve).await;
        let egress = egress(Settings {
            cacert: identity.path(),
            ..Settings::default()
        });
        let ask = get(&server.proxy(Scheme::Http), "https://target.test/");
        let response = answer(egress.send(ask.outgoing()).await);
        assert_eq!(response.body.truncated, truncated, "{body}");
        assert!(body.as_bytes().ends_with(&response.body.bytes));
    }
}
