//! The request as it goes over the wire.
//!
//! `Host` first, as browsers do, then the caller's headers in their order. Added are only `Accept-Encoding` (when asked for and
//! not set by the caller), cookies, and for absolute-form the proxy's credentials. A user and password within the URL are not
//! sent: [`crate::job::Job::take_credentials`] has turned them into `Authorization`.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION,
};
use http::{Method, Request, Uri};
use http_body_util::Full;
use url::{Position, Url};

use super::{Outgoing, connect, decode};
use crate::outcome::{Fault, FaultKind, Phase};

/// How the request line names the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `GET /path`: the target itself reads it.
    Origin,
    /// `GET http://host/path` with the proxy's credentials: the proxy reads it.
    Absolute,
    /// `:authority` and `:path` of HTTP/2.
    Http2,
}

/// Writes the request for `outgoing` in `form`.
pub(super) fn build(
    outgoing: &Outgoing,
    form: Form,
    compressed: bool,
    cookie: Option<HeaderValue>,
) -> Result<Request<Full<Bytes>>, Fault> {
    let url = &outgoing.url;
    let own_host = outgoing.headers.get(HOST);
    let host = match own_host {
        Some(host) => host.clone(),
        None => HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort])
            .map_err(|_| unsendable(url))?,
    };
    let target = &url[Position::BeforePath..Position::AfterQuery];
    let uri = match form {
        Form::Origin => Uri::from_maybe_shared(Bytes::copy_from_slice(target.as_bytes())),
        Form::Absolute => {
            let authority = &url[Position::BeforeHost..Position::AfterPort];
            Uri::from_maybe_shared(Bytes::from(format!("http://{authority}{target}")))
        }
        Form::Http2 => {
            let authority = host.to_str().map_err(|_| unsendable(url))?;
            Uri::from_maybe_shared(Bytes::from(format!(
                "{}://{authority}{target}",
                url.scheme()
            )))
        }
    };

    // Host, and up to three of our own.
    let mut headers = HeaderMap::with_capacity(outgoing.headers.len() + 4);
    if form != Form::Http2 {
        headers.insert(HOST, host);
    }
    for (name, value) in &outgoing.headers {
        // The body's length is known here better than by the caller; the others were merged. What is for the proxy is not
        // for the target.
        let unwanted = (name == COOKIE && cookie.is_some())
            || (name == PROXY_AUTHORIZATION && form != Form::Absolute);
        if name != HOST && name != CONTENT_LENGTH && !unwanted {
            headers.append(name, value.clone());
        }
    }
    if compressed && !headers.contains_key(ACCEPT_ENCODING) {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(decode::ACCEPT));
    }
    if let Some(cookie) = cookie {
        headers.insert(COOKIE, cookie);
    }
    if outgoing.body.is_empty() && expects_body(&outgoing.method) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if form == Form::Absolute
        && let Some(credentials) = outgoing.proxy.credentials()
    {
        let mut value = HeaderValue::from_maybe_shared(Bytes::from(connect::basic(credentials)))
            .map_err(|_| unsendable(url))?;
        value.set_sensitive(true);
        headers.insert(PROXY_AUTHORIZATION, value);
    }

    let mut request = Request::new(Full::new(outgoing.body.clone()));
    *request.method_mut() = outgoing.method.clone();
    *request.uri_mut() = uri.map_err(|_| unsendable(url))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Methods whose empty body has to be announced as such (RFC 9110 section 8.6).
fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

fn unsendable(url: &Url) -> Fault {
    let what = if url.as_str().len() > usize::from(u16::MAX) {
        "the URL is longer than 64 kB"
    } else {
        "the URL cannot be written into a request"
    };
    Fault::new(Phase::Request, FaultKind::Unsupported, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::{Credentials, Proxy, Scheme};
    use crate::secret::Secret;
    use std::sync::Arc;
    use std::time::Duration;

    fn outgoing(url: &str) -> Outgoing {
        let credentials = Credentials {
            user: Secret::new("u"),
            password: Secret::new("p"),
        };
        Outgoing {
            proxy: Arc::new(Proxy::new(Scheme::Http, "p", 1, Some(credentials))),
            method: Method::GET,
            url: Url::parse(url).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            elsewhere: false,
            session: None,
            connect_timeout: Duration::from_secs(1),
            deadline: tokio::time::Instant::now(),
            clearance: None,
        }
    }

    #[test]
    fn absolute_form_carries_the_proxys_credentials_and_no_others() {
        let out = outgoing("http://me:secret@a.test:8080/p?q=1");
        let request = build(&out, Form::Absolute, false, None).unwrap();
        assert_eq!(request.uri(), "http://a.test:8080/p?q=1");
        assert_eq!(request.headers()[PROXY_AUTHORIZATION], "Basic dTpw");
        assert_eq!(request.headers()[HOST], "a.test:8080");
        assert_eq!(request.headers().len(), 2);
        assert!(!format!("{request:?}").contains("secret"));
    }

    #[test]
    fn origin_form_adds_nothing_but_host_and_what_is_asked_for() {
        let mut out = outgoing("https://[2001:db8::1]/");
        out.headers.insert("x-b", "2".parse().unwrap());
        out.headers.insert("accept-encoding", "br".parse().unwrap());
        let request = build(&out, Form::Origin, true, Some("c=1".parse().unwrap())).unwrap();
        let names: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["host", "x-b", "accept-encoding", "cookie"]);
        assert_eq!(request.uri(), "/");
        assert_eq!(request.headers()[HOST], "[2001:db8::1]");
        assert_eq!(request.headers()[ACCEPT_ENCODING], "br");
    }

    #[test]
    fn credentials_for_the_proxy_are_not_shown_to_the_target() {
        let mut out = outgoing("https://a.test/");
        out.proxy = Arc::new(Proxy::new(Scheme::Http, "p", 1, None));
        let own: HeaderValue = "Basic eDp5".parse().unwrap();
        out.headers.insert(PROXY_AUTHORIZATION, own.clone());
        for form in [Form::Origin, Form::Http2] {
            let request = build(&out, form, false, None).unwrap();
            assert!(!request.headers().contains_key(PROXY_AUTHORIZATION));
        }
        out.url = Url::parse("http://a.test/").unwrap();
        let request = build(&out, Form::Absolute, false, None).unwrap();
        assert_eq!(request.headers()[PROXY_AUTHORIZATION], own);
    }

    #[test]
    fn a_host_header_of_the_callers_own_is_kept() {
        let mut out = outgoing("http://a.test/x");
        out.headers.insert(HOST, "b.test".parse().unwrap());
        let request = build(&out, Form::Origin, false, None).unwrap();
        assert_eq!(request.headers().get_all(HOST).iter().count(), 1);
        assert_eq!(request.headers()[HOST], "b.test");
        let request = build(&out, Form::Http2, false, None).unwrap();
        assert_eq!(request.uri().authority().unwrap(), "b.test");
        assert!(!request.headers().contains_key(HOST));
    }

    #[test]
    fn urls_that_do_not_fit_into_a_request_are_faults() {
        let out = outgoing(&format!("http://a.test/{}", "a".repeat(70_000)));
        let fault = build(&out, Form::Origin, false, None).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unsupported);
        for odd in ["{x}|^`\"<>\\ é", "?a=[1]&b={2}|^`'\""] {
            let out = outgoing(&format!("http://a.test/{odd}"));
            build(&out, Form::Absolute, false, None).unwrap();
        }
    }
}
