//! Proxy lists from a URL.

use proxywheel::egress::{Fetched, Validators, fetch_list};
use proxywheel::error::Error;
use url::Url;

use super::fixture::{Conn, Server};

#[tokio::test]
async fn a_list_is_fetched_once_and_then_only_asked_after() {
    let server = Server::start(|mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            let known = request.contains("if-none-match: \"v1\"");
            conn.say(if known {
                b"HTTP/1.1 304 Not Modified\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 9\r\n\r\nhost:8080"
            })
            .await;
        }
    })
    .await;
    let url = Url::parse(&format!("http://{}/list?token=s3cret", server.addr)).unwrap();
    let Fetched::Body { bytes, validators } =
        fetch_list(&url, &Validators::default()).await.unwrap()
    else {
        panic!("nothing was cached");
    };
    assert_eq!(&bytes[..], b"host:8080");
    assert_eq!(validators.etag.as_deref(), Some("\"v1\""));
    assert_eq!(
        fetch_list(&url, &validators).await.unwrap(),
        Fetched::NotModified
    );
}

#[tokio::test]
async fn a_list_that_cannot_be_had_is_an_error_without_its_token() {
    let server = Server::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    let refused = format!("http://{}/s3cret?token=s3cret", server.addr);
    let unreachable = "https://127.0.0.1:1/s3cret?token=s3cret".to_owned();
    for (url, word) in [(refused, "403"), (unreachable, "connect")] {
        let url = Url::parse(&url).unwrap();
        let error = fetch_list(&url, &Validators::default()).await.unwrap_err();
        let Error::Io { source, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(source.to_string().contains(word), "{source}");
        assert!(!format!("{error:?} {error} {source}").contains("s3cret"));
    }
}
