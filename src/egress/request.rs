//! The request as it goes over the wire.
//!
//! `Host` first, as browsers do, then the caller's headers in their order. Added are only cookies, and for absolute-form the
//! proxy's credentials. A user and password within the URL are not sent: [`crate::job::Job::take_credentials`] has turned them
//! into `Authorization`.

use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION,
    TRANSFER_ENCODING,
};
use http::{Method, Request, Uri};
use url::{Position, Url};

use super::http2::Payload;
use super::{Outgoing, connect};
use crate::outcome::{Fault, FaultKind, Phase};

/// Longest URL that is sent. Servers refuse far shorter ones.
pub(crate) const URL_MAX: usize = u16::MAX as usize;
/// A body up to this size is written together with the head.
const JOINED_MAX: usize = 16 * 1024;

/// How the request line of HTTP/1 names the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `GET /path`: the target itself reads it.
    Origin,
    /// `GET http://host/path` with the proxy's credentials: the proxy reads it.
    Absolute,
}

/// A request as HTTP/1 writes it. It may hold credentials, so it cannot be printed.
pub(super) struct Message {
    /// The head, and the body where that is small.
    first: Vec<u8>,
    body: Bytes,
    /// The answer has no body, whatever it says.
    pub(super) to_head: bool,
}

impl Message {
    /// What follows the first `written` bytes, as much of it as is in one piece; `None` at the end.
    pub(super) fn from(&self, written: usize) -> Option<&[u8]> {
        let rest = match written.checked_sub(self.first.len()) {
            None => &self.first[written..],
            Some(written) => &self.body[written..],
        };
        (!rest.is_empty()).then_some(rest)
    }
}

/// The request for `outgoing` over HTTP/1, in `form`.
pub(super) fn http1(
    outgoing: &Outgoing<'_>,
    form: Form,
    cookie: Option<HeaderValue>,
) -> Result<Message, Fault> {
    let url = outgoing.url;
    let target = match form {
        Form::Origin => &url[Position::BeforePath..Position::AfterQuery],
        Form::Absolute => {
            // Without user and password, which stand between the two.
            let scheme = &url[..Position::BeforeUsername];
            let rest = &url[Position::BeforeHost..Position::AfterQuery];
            return write(outgoing, &[scheme, rest], form, cookie);
        }
    };
    write(outgoing, &[target], form, cookie)
}

fn write(
    outgoing: &Outgoing<'_>,
    target: &[&str],
    form: Form,
    cookie: Option<HeaderValue>,
) -> Result<Message, Fault> {
    if outgoing.url.as_str().len() > URL_MAX {
        return Err(unsendable(outgoing.url));
    }
    let mut first = Vec::with_capacity(512);
    let mut put = |bytes: &[u8]| first.extend_from_slice(bytes);
    put(outgoing.method.as_str().as_bytes());
    put(b" ");
    target.iter().for_each(|part| put(part.as_bytes()));
    put(b" HTTP/1.1\r\nhost: ");
    match outgoing.headers.get(HOST) {
        Some(own) => put(own.as_bytes()),
        None => put(outgoing.url[Position::BeforeHost..Position::AfterPort].as_bytes()),
    }
    put(b"\r\n");
    fields(outgoing, form, cookie, |name, value| {
        put(name.as_str().as_bytes());
        put(b": ");
        put(value.as_bytes());
        put(b"\r\n");
    })?;
    put(b"\r\n");
    let mut body = outgoing.body.clone();
    if body.len() <= JOINED_MAX {
        put(&body);
        body = Bytes::new();
    }
    Ok(Message {
        first,
        body,
        to_head: *outgoing.method == Method::HEAD,
    })
}

/// The request for `outgoing` over HTTP/2.
pub(super) fn http2(
    outgoing: &Outgoing<'_>,
    cookie: Option<HeaderValue>,
) -> Result<Request<Payload>, Fault> {
    let url = outgoing.url;
    let authority = match outgoing.headers.get(HOST) {
        Some(own) => own.to_str().map_err(|_| unsendable(url))?,
        None => &url[Position::BeforeHost..Position::AfterPort],
    };
    let target = &url[Position::BeforePath..Position::AfterQuery];
    let uri = format!("{}://{authority}{target}", url.scheme());
    let uri = Uri::from_maybe_shared(Bytes::from(uri)).map_err(|_| unsendable(url))?;
    let mut headers = HeaderMap::with_capacity(outgoing.headers.len() + 4);
    fields(outgoing, Form::Origin, cookie, |name, value| {
        headers.append(name, value.clone());
    })?;
    let mut request = Request::new(Payload::new(outgoing.body.clone()));
    *request.method_mut() = outgoing.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Every header but `Host`, in the order of the wire.
fn fields(
    outgoing: &Outgoing<'_>,
    form: Form,
    cookie: Option<HeaderValue>,
    mut put: impl FnMut(&HeaderName, &HeaderValue),
) -> Result<(), Fault> {
    let headers = outgoing.headers;
    for (name, value) in headers {
        // The body is framed here, whatever the caller says of it; cookies were merged. What is for the proxy is not for the
        // target.
        let unwanted = matches!(*name, HOST | CONTENT_LENGTH | TRANSFER_ENCODING)
            || (name == COOKIE && cookie.is_some())
            || (name == PROXY_AUTHORIZATION
                && (form != Form::Absolute || outgoing.proxy.credentials().is_some()));
        if !unwanted {
            put(name, value);
        }
    }
    if let Some(cookie) = &cookie {
        put(&COOKIE, cookie);
    }
    if !outgoing.body.is_empty() || expects_body(outgoing.method) {
        put(&CONTENT_LENGTH, &HeaderValue::from(outgoing.body.len()));
    }
    if form == Form::Absolute
        && let Some(credentials) = outgoing.proxy.credentials()
    {
        let mut value = HeaderValue::from_maybe_shared(Bytes::from(connect::basic(credentials)))
            .map_err(|_| unsendable(outgoing.url))?;
        value.set_sensitive(true);
        put(&PROXY_AUTHORIZATION, &value);
    }
    Ok(())
}

/// Methods whose empty body has to be announced as such (RFC 9110 section 8.6).
fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

fn unsendable(url: &Url) -> Fault {
    let what = if url.as_str().len() > URL_MAX {
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
    use std::time::Duration;

    struct Ask {
        proxy: Proxy,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Bytes,
    }

    fn ask(url: &str) -> Ask {
        let credentials = Credentials {
            user: Secret::new("u"),
            password: Secret::new("p"),
        };
        Ask {
            proxy: Proxy::new(Scheme::Http, "p", 1, Some(credentials)),
            method: Method::GET,
            url: Url::parse(url).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    impl Ask {
        fn outgoing(&self) -> Outgoing<'_> {
            Outgoing {
                proxy: &self.proxy,
                method: &self.method,
                url: &self.url,
                headers: &self.headers,
                body: &self.body,
                elsewhere: false,
                tunnel: false,
                session: None,
                connect_timeout: Duration::from_secs(1),
                deadline: tokio::time::Instant::now(),
                least_filesize: 0,
                clearance: None,
                traffic: None,
            }
        }
    }

    fn text(out: &Ask, form: Form, cookie: Option<&str>) -> String {
        let cookie = cookie.map(|cookie| cookie.parse().unwrap());
        let message = http1(&out.outgoing(), form, cookie).unwrap();
        let mut all = Vec::new();
        while let Some(piece) = message.from(all.len()) {
            all.extend_from_slice(piece);
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn absolute_form_carries_the_proxys_credentials_and_no_others() {
        let out = ask("http://me:secret@a.test:8080/p?q=1#f");
        assert_eq!(
            text(&out, Form::Absolute, None),
            "GET http://a.test:8080/p?q=1 HTTP/1.1\r\nhost: a.test:8080\r\n\
             proxy-authorization: Basic dTpw\r\n\r\n"
        );
    }

    #[test]
    fn origin_form_adds_nothing_but_host_and_what_is_asked_for() {
        let mut out = ask("https://[2001:db8::1]/");
        out.headers.insert("x-b", "2".parse().unwrap());
        assert_eq!(
            text(&out, Form::Origin, Some("c=1")),
            "GET / HTTP/1.1\r\nhost: [2001:db8::1]\r\nx-b: 2\r\ncookie: c=1\r\n\r\n"
        );
    }

    #[test]
    fn a_body_is_framed_by_its_length_whatever_the_caller_says() {
        let mut out = ask("https://a.test/");
        out.method = Method::POST;
        out.headers.insert(CONTENT_LENGTH, "7".parse().unwrap());
        out.headers
            .insert(TRANSFER_ENCODING, "chunked".parse().unwrap());
        let head = "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: ";
        for size in [0, 3, JOINED_MAX + 1] {
            out.body = "b".repeat(size).into();
            let expected = format!("{head}{size}\r\n\r\n{}", "b".repeat(size));
            assert_eq!(text(&out, Form::Origin, None), expected);
            let request = http2(&out.outgoing(), None).unwrap();
            assert_eq!(request.headers()[CONTENT_LENGTH], size.to_string());
            assert!(!request.headers().contains_key(TRANSFER_ENCODING));
        }
    }

    #[test]
    fn credentials_for_the_proxy_are_not_shown_to_the_target() {
        let mut out = ask("https://a.test/");
        out.proxy = Proxy::new(Scheme::Http, "p", 1, None);
        let own: HeaderValue = "Basic eDp5".parse().unwrap();
        out.headers.insert(PROXY_AUTHORIZATION, own);
        assert!(!text(&out, Form::Origin, None).contains("Basic"));
        let request = http2(&out.outgoing(), None).unwrap();
        assert!(!request.headers().contains_key(PROXY_AUTHORIZATION));
        out.url = Url::parse("http://a.test/").unwrap();
        assert!(text(&out, Form::Absolute, None).contains("Basic eDp5"));
    }

    #[test]
    fn a_host_header_of_the_callers_own_is_kept() {
        let mut out = ask("http://a.test/x");
        out.headers.insert(HOST, "b.test".parse().unwrap());
        assert_eq!(
            text(&out, Form::Origin, None),
            "GET /x HTTP/1.1\r\nhost: b.test\r\n\r\n"
        );
        let request = http2(&out.outgoing(), None).unwrap();
        assert_eq!(request.uri().authority().unwrap(), "b.test");
        assert!(!request.headers().contains_key(HOST));
    }

    #[test]
    fn urls_that_do_not_fit_into_a_request_are_faults() {
        let out = ask(&format!("http://a.test/{}", "a".repeat(70_000)));
        for fault in [
            http1(&out.outgoing(), Form::Origin, None).err().unwrap(),
            http2(&out.outgoing(), None).err().unwrap(),
        ] {
            assert_eq!(fault.kind, FaultKind::Unsupported);
        }
        for odd in ["{x}|^`\"<>\\ \t\n\u{a0}é", "?a=[1]&b={2}|^`'\" \r\n\u{1}"] {
            let out = ask(&format!("http://a.test/{odd}"));
            let text = text(&out, Form::Absolute, None);
            let line = text.split("\r\n").next().unwrap();
            assert_eq!(line.split(' ').count(), 3, "{line}");
            assert!(
                line.bytes()
                    .all(|byte| byte.is_ascii_graphic() || byte == b' '),
                "{line}"
            );
            http2(&out.outgoing(), None).unwrap();
        }
    }
}
