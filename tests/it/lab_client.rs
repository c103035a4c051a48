//! A bare client of the lab: sockets, heads and TLS, without the code that is under test elsewhere.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use proxywheel::lab::{Fault, Lab, ProxySpec};
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
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for any answer that was going to come.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        let code = self.head.split(' ').nth(1).unwrap_or_default();
        code.parse().unwrap_or(0)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (each, value) = line.split_once(':')?;
            each.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(crate) async fn dial(lab: &Lab, number: u32) -> TcpStream {
    let proxy = lab.proxy(number);
    TcpStream::connect((proxy.host(), proxy.port()))
        .await
        .unwrap()
}

/// Reads a head and, where it says how long it is, its body.
pub(crate) async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Answer> {
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

pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

pub(crate) async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &str,
    target: &str,
) -> io::Result<Answer> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    read_answer(stream).await
}

/// One plain request through proxy `number`, on a connection of its own.
pub(crate) async fn get(lab: &Lab, number: u32, url: &str) -> io::Result<Answer> {
    let host = url.split('/').nth(2).unwrap();
    ask(&mut dial(lab, number).await, host, url).await
}

pub(crate) async fn connect(
    lab: &Lab,
    number: u32,
    authority: &str,
) -> io::Result<(TcpStream, String)> {
    let mut stream = dial(lab, number).await;
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let head = timeout(PATIENCE, read_head(&mut stream)).await.unwrap()?;
    Ok((stream, head))
}

pub(crate) fn client(lab: &Lab, alpn: &[&str]) -> Arc<ClientConfig> {
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

pub(crate) async fn tls<S: AsyncRead + AsyncWrite + Unpin>(
    config: Arc<ClientConfig>,
    stream: S,
    name: &str,
) -> io::Result<TlsStream<S>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let handshake = TlsConnector::from(config).connect(name, stream);
    timeout(PATIENCE, handshake).await.expect("a handshake")
}

pub(crate) fn http() -> ProxySpec {
    ProxySpec::new(Scheme::Http)
}

pub(crate) async fn faulty(fault: Fault) -> Lab {
    let lab = Lab::builder().proxy(http().fault(fault));
    lab.start().await.unwrap()
}
