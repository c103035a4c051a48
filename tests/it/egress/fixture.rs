//! Servers of a few lines, and requests for them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use proxywheel::egress::{Egress, HttpVersions, Outgoing, Settings, SocketEgress};
use proxywheel::exchange::{Exchange, Response};
use proxywheel::job::HostKey;
use proxywheel::proxy::{Credentials, Labels, Proxy, Rotation, Scheme};
use proxywheel::secret::Secret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use url::Url;

/// A server that remembers every request head (and short body) it read, and on which connection.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    log: Log,
    task: JoinHandle<()>,
}

/// What a server has read: (connection, request), connections counted from 0.
pub(crate) type Log = Arc<Mutex<Vec<(usize, String)>>>;

/// One accepted connection.
pub(crate) struct Conn<T = TcpStream> {
    pub(crate) io: T,
    /// Which of the server's connections this is, from 0.
    pub(crate) number: usize,
    log: Log,
}

impl Server {
    /// Runs `handle` for every connection.
    pub(crate) async fn start<F, H>(handle: H) -> Self
    where
        H: Fn(Conn) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let log = Log::default();
        let connections = log.clone();
        let task = tokio::spawn(async move {
            let mut number = 0;
            while let Ok((io, _)) = listener.accept().await {
                let log = connections.clone();
                tokio::spawn(handle(Conn { io, number, log }));
                number += 1;
            }
        });
        Server { addr, log, task }
    }

    /// Answers every request of every connection with `answer`.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Bytes = answer.into().into();
        Server::start(move |mut conn| {
            let answer = answer.clone();
            async move {
                while conn.request().await.is_some() {
                    conn.say(&answer).await;
                }
            }
        })
        .await
    }

    /// Every request so far, without its connection.
    pub(crate) fn requests(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter().map(|(_, request)| request.clone()).collect()
    }

    /// The connection of every request so far.
    pub(crate) fn connections(&self) -> Vec<usize> {
        let log = self.log.lock().unwrap();
        log.iter().map(|(number, _)| *number).collect()
    }

    /// This server as a proxy without credentials.
    pub(crate) fn proxy(&self, scheme: Scheme) -> Arc<Proxy> {
        Arc::new(Proxy::new(scheme, "127.0.0.1", self.addr.port(), None))
    }

    /// This server as a proxy for user `alice`, password `pa55word`.
    pub(crate) fn proxy_with_password(&self, scheme: Scheme) -> Arc<Proxy> {
        let credentials = Credentials {
            user: Secret::new("alice"),
            password: Secret::new("pa55word"),
        };
        let port = self.addr.port();
        Arc::new(Proxy::new(scheme, "127.0.0.1", port, Some(credentials)))
    }

    /// This server as a rotating endpoint.
    pub(crate) fn rotating_proxy(&self) -> Arc<Proxy> {
        let labels = Labels {
            rotation: Rotation::PerConnection,
            ..Labels::default()
        };
        let port = self.addr.port();
        Arc::new(Proxy::new(Scheme::Http, "127.0.0.1", port, None).with_labels(labels))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Conn<T> {
    /// Reads one request with the body its Content-Length announces; `None` at the end.
    pub(crate) async fn request(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(self.io.read_u8().await.ok()?);
        }
        let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some(length) = head.split("content-length: ").nth(1) {
            let length: usize = length.split("\r\n").next()?.parse().ok()?;
            let mut body = vec![0; length];
            self.io.read_exact(&mut body).await.ok()?;
            bytes.extend(body);
        }
        let request = String::from_utf8(bytes).ok()?;
        let mut log = self.log.lock().unwrap();
        log.push((self.number, request.clone()));
        Some(request)
    }

    /// The client may be gone by then, and that is its right.
    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        let _ = self.io.write_all(bytes).await;
        let _ = self.io.flush().await;
    }

    /// The same connection over another stream.
    pub(crate) async fn over<U, F, E>(self, wrap: impl FnOnce(T) -> F) -> Result<Conn<U>, E>
    where
        F: Future<Output = Result<U, E>>,
    {
        Ok(Conn {
            io: wrap(self.io).await?,
            number: self.number,
            log: self.log,
        })
    }
}

/// A 200 with `body` and a Content-Length.
pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An egress with these settings on HTTP/1.
pub(crate) fn egress(settings: Settings) -> SocketEgress {
    SocketEgress::new(Settings {
        http: HttpVersions::Http1,
        ..settings
    })
    .unwrap()
}

/// A request that owns what [`Outgoing`] borrows.
pub(crate) struct Ask {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) session: Option<Arc<str>>,
    pub(crate) connect_timeout: Duration,
    pub(crate) deadline: Instant,
}

impl Ask {
    pub(crate) fn outgoing(&self) -> Outgoing<'_> {
        Outgoing {
            proxy: &self.proxy,
            method: &self.method,
            url: &self.url,
            headers: &self.headers,
            body: &self.body,
            elsewhere: false,
            tunnel: false,
            session: self.session.as_ref(),
            connect_timeout: self.connect_timeout,
            deadline: self.deadline,
            least_filesize: 0,
            clearance: None,
            traffic: None,
        }
    }
}

/// A GET of `url` with ten seconds for it.
pub(crate) fn get(proxy: &Arc<Proxy>, url: &str) -> Ask {
    Ask {
        proxy: proxy.clone(),
        method: Method::GET,
        url: Url::parse(url).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        session: None,
        connect_timeout: Duration::from_secs(5),
        deadline: Instant::now() + Duration::from_secs(10),
    }
}

/// A POST of `url` with a body.
pub(crate) fn post(proxy: &Arc<Proxy>, url: &str) -> Ask {
    Ask {
        method: Method::POST,
        body: Bytes::from_static(b"payload"),
        ..get(proxy, url)
    }
}

/// Sends a GET of `url` under the default settings.
pub(crate) async fn fetch(proxy: &Arc<Proxy>, url: &str) -> Exchange {
    egress(Settings::default())
        .send(get(proxy, url).outgoing())
        .await
}

/// The answer of an exchange that has one.
pub(crate) fn answer(exchange: Exchange) -> Response {
    match exchange.result {
        Ok(response) => response,
        Err(fault) => panic!("no answer: {fault}"),
    }
}

/// The host key of `url`.
pub(crate) fn host(url: &str) -> HostKey {
    HostKey::of(&Url::parse(url).unwrap()).unwrap()
}
