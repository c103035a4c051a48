//! A site over HTTP/2, by hyper. Only inside TLS, where ALPN has chosen it.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming};
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::answer::{Answer, Body, End, Framing, Pieces};
use super::origin::Request;
use super::pages;
use super::serve::{Route, respond};
use super::stream::Stream;
use super::wire::split_authority;
use super::world::World;

/// Between the last bytes of a body that breaks off and the reset of its stream.
const BEFORE_CUT: Duration = Duration::from_millis(20);

/// Serves HTTP/2 until the client leaves.
///
/// # Errors
/// Protocol and socket errors, as [`io::Error`].
pub(super) async fn serve(world: &Arc<World>, stream: Stream, route: Route) -> io::Result<()> {
    // Dropped with this future, and with it every stream of the connection.
    let streams = Streams::default();
    let service = service_fn(move |request| {
        let (world, route) = (world.clone(), route.clone());
        async move { exchange(&world, &route, request).await }
    });
    let served = hyper::server::conn::http2::Builder::new(streams.clone())
        .serve_connection(TokioIo::new(stream), service)
        .await;
    raise_panic(&mut streams.0.lock().unwrap_or_else(PoisonError::into_inner));
    served.map_err(io::Error::other)
}

/// Runs the streams of one connection, and no longer than it.
#[derive(Clone, Default)]
struct Streams(Arc<Mutex<JoinSet<()>>>);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        raise_panic(&mut streams);
        streams.spawn(stream);
    }
}

/// Reaps the streams that have ended; one that has panicked takes its connection with it, which is where panics are kept.
fn raise_panic(streams: &mut JoinSet<()>) {
    while let Some(done) = streams.try_join_next() {
        if let Err(error) = done
            && let Ok(payload) = error.try_into_panic()
        {
            std::panic::resume_unwind(payload);
        }
    }
}

async fn exchange(
    world: &World,
    route: &Route,
    request: HttpRequest<Incoming>,
) -> Result<Response<Outgoing>, io::Error> {
    let at = tokio::time::Instant::now().into_std();
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let host = authority
        .and_then(|authority| split_authority(authority, 443))
        .map_or_else(|| route.host.to_string(), |(host, _)| host);
    let path = parts
        .uri
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    let headers: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| {
            let name = Cow::Borrowed(name.as_str());
            (name, String::from_utf8_lossy(value.as_bytes()))
        })
        .collect();
    let asked = Request {
        at,
        method: parts.method.as_str(),
        host: &host,
        path,
        https: true,
        http2: true,
        headers: &headers,
        body: &body,
        via: route.via,
        resumed: route.resumed,
    };
    let answer = respond(world, &asked, route.lags).await?;
    if !answer.wait.is_zero() {
        tokio::time::sleep(answer.wait).await;
    }
    let head_only = parts.method == http::Method::HEAD;
    respond_with(answer, &host, path, head_only).await
}

async fn respond_with(
    answer: Answer,
    host: &str,
    path: &str,
    head_only: bool,
) -> Result<Response<Outgoing>, io::Error> {
    let Answer {
        status,
        headers,
        body,
        ..
    } = answer;
    let mut response = Response::builder().status(status.max(200));
    for (name, value) in &headers {
        response = response.header(&**name, &**value);
    }
    let body = match body {
        Body::Page { size } => {
            let mut page = Vec::new();
            pages::write_page(&mut page, host, path, size);
            Outgoing::whole(page.into())
        }
        Body::Full(bytes) => Outgoing::whole(bytes),
        Body::Pieces(pieces) => {
            if let Framing::Length(length) = pieces.framing {
                response = response.header("content-length", length);
            }
            Outgoing::new(pieces)
        }
        Body::HeaderFlood => {
            // A head has to be whole before it is sent; this one is merely far too large.
            for line in 0..2000u32 {
                response = response.header("x-flood", format!("{line:0>480}"));
            }
            Outgoing::whole(Bytes::new())
        }
        Body::Hang => std::future::pending().await,
        // Errors of the service reset the stream; the connection goes on.
        Body::Garbage | Body::Reset | Body::Close => {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
    };
    let body = match head_only || matches!(status, 204 | 304) {
        true => Outgoing::whole(Bytes::new()),
        false => body,
    };
    response.body(body).map_err(io::Error::other)
}

/// A response body with all the ways of [`Pieces`].
struct Outgoing {
    pieces: std::vec::IntoIter<Bytes>,
    last: Bytes,
    end: End,
    pause: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    /// The pause before a cut has been made.
    flushed: bool,
}

impl Outgoing {
    fn new(pieces: Pieces) -> Self {
        Outgoing {
            last: pieces.pieces.last().cloned().unwrap_or_default(),
            pieces: pieces.pieces.into_iter(),
            end: pieces.end,
            pause: pieces.pause,
            sleep: None,
            flushed: false,
        }
    }

    fn whole(bytes: Bytes) -> Self {
        Outgoing::new(Pieces {
            pieces: match bytes.is_empty() {
                true => Vec::new(),
                false => vec![bytes],
            },
            pause: Duration::ZERO,
            framing: Framing::Chunked,
            end: End::Whole,
        })
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        let piece = match (self.pieces.next(), self.end) {
            (Some(piece), _) => piece,
            (None, End::Whole) => return Poll::Ready(None),
            // A reset overtakes frames that still wait to be sent; let the half that there is go first.
            (None, End::Cut) if !self.flushed => {
                self.flushed = true;
                self.sleep = Some(Box::pin(tokio::time::sleep(BEFORE_CUT)));
                return self.poll_frame(cx);
            }
            (None, End::Cut) => {
                self.end = End::Whole;
                return Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into())));
            }
            (None, End::Endless) => self.last.clone(),
        };
        if !self.pause.is_zero() {
            self.sleep = Some(Box::pin(tokio::time::sleep(self.pause)));
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.end == End::Whole && self.pieces.len() == 0
    }
}
