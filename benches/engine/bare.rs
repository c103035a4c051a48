//! The floor to compare with: a bare hyper loop over the same proxies, doing nothing but fetching and checking the body.
//!
//! Bias: it does less than any real client (no limits, no choice, no records, no deadline), reads its URLs from a counter and
//! keeps them in memory. It is what hyper costs, not what a program could cost.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

use crate::plan::{Plan, SITE, WORKERS, expected_body, host, path};

type Sender = SendRequest<Empty<Bytes>>;

/// Fetches `plan.urls` pages, `per_connection` fetches a connection at most, and returns how many bodies were right.
pub(crate) fn run(plan: &Plan) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let shared = Rc::new(Shared {
        next: Cell::new(0),
        right: Cell::new(0),
        idle: RefCell::new((0..plan.proxies.len()).map(|_| Vec::new()).collect()),
        tls: plan.ca.as_ref().map(|pem| connector(pem)),
        plan: plan.clone(),
    });
    let local = LocalSet::new();
    let worker = async |shared: Rc<Shared>| {
        while let Some(turn) = shared.take() {
            for n in turn {
                shared.fetch(n).await;
            }
        }
    };
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| local.spawn_local(worker(shared.clone())))
        .collect();
    // The drivers of idle connections never end by themselves, so only the workers are waited for.
    runtime.block_on(local.run_until(async {
        for worker in workers {
            worker.await.expect("a worker");
        }
    }));
    shared.right.get()
}

struct Shared {
    next: Cell<u64>,
    right: Cell<u64>,
    idle: RefCell<Vec<Vec<(Sender, u32)>>>,
    tls: Option<TlsConnector>,
    plan: Plan,
}

impl Shared {
    /// The pages of one turn: they go through one proxy, one after the other.
    fn take(&self) -> Option<Range<u64>> {
        let first = self.next.get();
        let end = self
            .plan
            .urls
            .min(first + u64::from(self.plan.fetches_per_turn));
        self.next.set(end);
        (first < end).then_some(first..end)
    }

    async fn fetch(&self, n: u64) {
        // Two fetches a turn mean one proxy twice in a row; otherwise the proxies take turns.
        let turn = n / u64::from(self.plan.fetches_per_turn);
        let proxy = (turn % self.plan.proxies.len() as u64) as usize;
        let parked = self.idle.borrow_mut()[proxy].pop();
        let (mut sender, used) = match parked {
            Some((sender, used)) if sender.is_ready() => (sender, used),
            _ => (self.connect(proxy).await, 0),
        };
        let path = path(n, self.plan.size);
        let uri = if self.tls.is_some() {
            path.clone()
        } else {
            format!("http://{SITE}{path}")
        };
        let request = hyper::Request::get(uri)
            .header(hyper::header::HOST, host(self.tls.is_some()))
            .body(Empty::new())
            .expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        self.right
            .set(self.right.get() + u64::from(self.is_right(n, &path, &body)));
        if used + 1 < self.plan.fetches_per_connection {
            self.idle.borrow_mut()[proxy].push((sender, used + 1));
        }
    }

    /// Every body is checked for its length, every sixteenth byte for byte: making the expected body costs as much as
    /// fetching it, and is no part of what is compared.
    fn is_right(&self, n: u64, path: &str, body: &Bytes) -> bool {
        body.len() == self.plan.size && (!n.is_multiple_of(16) || *body == expected_body(path))
    }

    async fn connect(&self, proxy: usize) -> Sender {
        let stream = TcpStream::connect(self.plan.proxies[proxy])
            .await
            .expect("the proxy");
        stream.set_nodelay(true).expect("nodelay");
        let Some(tls) = &self.tls else {
            return handshake(TokioIo::new(stream)).await;
        };
        let stream = tunnel(stream).await;
        let name = rustls::pki_types::ServerName::try_from(SITE).expect("a server name");
        let stream = tls
            .connect(name, stream)
            .await
            .expect("TLS with the origin");
        handshake(TokioIo::new(stream)).await
    }
}

async fn handshake<T>(io: T) -> Sender
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(io).await.expect("a handshake");
    tokio::task::spawn_local(connection);
    sender
}

async fn tunnel(mut stream: TcpStream) -> TcpStream {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let host = host(true);
    let head = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("CONNECT");
    let mut reply = Vec::new();
    while !reply.ends_with(b"\r\n\r\n") {
        reply.push(stream.read_u8().await.expect("a reply to CONNECT"));
    }
    assert!(
        reply.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&reply)
    );
    stream
}

fn connector(pem: &str) -> TlsConnector {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots
            .add(certificate.expect("a certificate"))
            .expect("a root");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
