//! Where a redirect leads, and what goes along.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, Method, StatusCode, header};
use url::Url;

use crate::egress::URL_MAX;
use crate::exchange::Response;
use crate::job::{HostKey, RequestSpec};
use crate::outcome::{Fault, FaultKind, Phase};

/// Headers that describe a body and go with it.
const BODY_HEADERS: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::TRANSFER_ENCODING,
];

/// Prepares the next hop: the method changes of RFC 9110 and of browsers, and nothing secret to another site.
///
/// Whether POST was said or follows from a body makes no difference. curl keeps what `-X` says on every hop, and so posts to
/// the page that a 303 sends everybody to for reading.
pub(super) fn turn(request: &mut Cow<'_, RequestSpec>, status: StatusCode, from: &Url, to: &Url) {
    let drops_body = match status.as_u16() {
        303 => !matches!(request.method, Method::GET | Method::HEAD),
        301 | 302 => request.method == Method::POST,
        _ => false,
    };
    if drops_body {
        let request = request.to_mut();
        request.method = Method::GET;
        request.body = Bytes::new();
        for name in BODY_HEADERS {
            request.headers.remove(name);
        }
    }
    if HostKey::of(from) != HostKey::of(to) && !is_upgrade(from, to) {
        let request = request.to_mut();
        for name in [header::AUTHORIZATION, header::COOKIE, header::HOST] {
            request.headers.remove(name);
        }
    }
}

/// True from a site to the same site under TLS. Another port is another server.
fn is_upgrade(from: &Url, to: &Url) -> bool {
    let port = |url: &Url| (url.scheme() == "http", url.port());
    from.host_str() == to.host_str() && (port(from), port(to)) == ((true, None), (false, None))
}

/// True when what the user gave for `first` is not for `url`: another name, or the same without its protection.
pub(super) fn leads_away(first: &Url, url: &Url) -> bool {
    first.host_str() != url.host_str() || (first.scheme() == "https" && url.scheme() == "http")
}

/// Where the answer sends us, if it is a redirect; an error when it points to nowhere.
pub(super) fn target(from: &Url, response: &Response) -> Option<Result<Url, Fault>> {
    let location = response.location()?;
    let bad = |why: &str| {
        Err(Fault::new(
            Phase::Headers,
            FaultKind::Redirects,
            format!("redirect to {why}"),
        ))
    };
    Some(match from.join(&location) {
        Ok(mut next) if matches!(next.scheme(), "http" | "https") && next.has_host() => {
            next.set_fragment(None);
            // Credentials that the site made up are neither sent nor recorded. Neither call fails on a URL with a host.
            let _ = next.set_username("");
            let _ = next.set_password(None);
            match next.as_str().len() {
                0..=URL_MAX => Ok(next),
                _ => bad("a URL longer than 64 kB"),
            }
        }
        Ok(next) => bad(&format!("the unsupported scheme {}", next.scheme())),
        Err(error) => bad(&format!("an invalid URL: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn redirects_change_the_method_as_in_browsers_and_then_drop_the_body() {
        let url = Url::parse("http://a.test/").unwrap();
        let (get, head, post) = (Method::GET, Method::HEAD, Method::POST);
        let (put, patch, delete) = (Method::PUT, Method::PATCH, Method::DELETE);
        for (statuses, changes, stays) in [
            (
                &[301, 302][..],
                &[&post][..],
                &[&get, &head, &put, &patch, &delete][..],
            ),
            (&[303], &[&post, &put, &patch, &delete], &[&get, &head]),
            (
                &[307, 308],
                &[],
                &[&get, &head, &post, &put, &patch, &delete],
            ),
        ] {
            for status in statuses {
                for (method, changed) in changes
                    .iter()
                    .map(|method| (*method, true))
                    .chain(stays.iter().map(|method| (*method, false)))
                {
                    let asked = RequestSpec {
                        method: method.clone(),
                        headers: HeaderMap::from_iter(
                            [
                                header::CONTENT_TYPE,
                                header::CONTENT_LANGUAGE,
                                header::ACCEPT,
                            ]
                            .map(|name| (name, HeaderValue::from_static("x"))),
                        ),
                        body: Bytes::from_static(b"a=1"),
                    };
                    let mut next = Cow::Borrowed(&asked);
                    turn(
                        &mut next,
                        StatusCode::from_u16(*status).unwrap(),
                        &url,
                        &url,
                    );
                    let seen = (next.method.clone(), next.headers.len(), next.body.len());
                    let expected = match changed {
                        true => (Method::GET, 1, 0),
                        false => (method.clone(), 3, 3),
                    };
                    assert_eq!(seen, expected, "{method} {status}");
                }
            }
        }
    }
}
