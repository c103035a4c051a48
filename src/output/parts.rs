//! The values of a row that have structure, written by hand: timing, attempts, error, redirects, headers, the proxy's label.

use http::HeaderMap;

use super::digits::{float, hex, uint};
use super::json;
use crate::outcome::{Attempt, ErrorInfo, RedirectHop, Timing};
use crate::proxy::Proxy;

pub(super) fn timing(timing: &Timing, out: &mut Vec<u8>) {
    let &Timing {
        queue,
        wait,
        connect,
        proxy_handshake,
        tls,
        ttfb,
        body,
        total,
    } = timing;
    phase(b"{\"queue\":", queue, out);
    phase(b",\"wait\":", wait, out);
    phase(b",\"connect\":", connect, out);
    phase(b",\"proxy_handshake\":", proxy_handshake, out);
    phase(b",\"tls\":", tls, out);
    phase(b",\"ttfb\":", ttfb, out);
    phase(b",\"body\":", body, out);
    phase(b",\"total\":", total, out);
    out.push(b'}');
}

/// The length of the key is part of its type, so that copying it is a store or two.
fn phase<const N: usize>(key: &[u8; N], ms: Option<f64>, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    json::or_null(ms, out, float);
}

/// The attempts without blame, rule and error.
pub(super) fn short_log(log: &[Attempt], out: &mut Vec<u8>) {
    list(log, out, |attempt, out| {
        out.extend_from_slice(b"{\"n\":");
        uint(attempt.n.into(), out);
        out.extend_from_slice(b",\"proxy\":");
        quoted_label(&attempt.proxy, out);
        out.extend_from_slice(b",\"outcome\":\"");
        out.extend_from_slice(attempt.outcome.as_str().as_bytes());
        out.extend_from_slice(b"\",\"status\":");
        json::or_null(attempt.status.map(u64::from), out, uint);
        out.extend_from_slice(b",\"t_ms\":");
        float(attempt.t_ms, out);
        out.extend_from_slice(b",\"wait_ms\":");
        float(attempt.wait_ms, out);
        out.push(b'}');
    });
}

pub(super) fn error(error: &ErrorInfo, out: &mut Vec<u8>) {
    let ErrorInfo {
        kind,
        phase,
        message,
        curl_code,
    } = error;
    out.extend_from_slice(b"{\"kind\":");
    json::string(kind, out);
    out.extend_from_slice(b",\"phase\":");
    json::or_null(*phase, out, json::string);
    out.extend_from_slice(b",\"message\":");
    json::string(message, out);
    out.extend_from_slice(b",\"curl_code\":");
    json::or_null(curl_code.map(u64::from), out, uint);
    out.push(b'}');
}

pub(super) fn redirects(hops: &[RedirectHop], out: &mut Vec<u8>) {
    list(hops, out, |RedirectHop { status, url }, out| {
        out.extend_from_slice(b"{\"status\":");
        uint((*status).into(), out);
        out.extend_from_slice(b",\"url\":");
        json::string(url, out);
        out.push(b'}');
    });
}

pub(super) fn headers(headers: &HeaderMap, out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, name) in headers.keys().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json::string(name.as_str(), out);
        out.push(b':');
        list(headers.get_all(name), out, |value, out| {
            json::string(&String::from_utf8_lossy(value.as_bytes()), out);
        });
    }
    out.push(b'}');
}

fn list<T>(
    values: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    write: impl Fn(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (at, value) in values.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(value, out);
    }
    out.push(b']');
}

/// What the label of the proxy displays. It is ASCII from the list's own grammar, but a hostname is only as clean as that
/// grammar is strict, which is why `write_host` may escape it.
fn label_with(proxy: &Proxy, out: &mut Vec<u8>, write_host: impl Fn(&[u8], &mut Vec<u8>)) {
    out.extend_from_slice(proxy.scheme().as_str().as_bytes());
    if proxy.is_direct() {
        return;
    }
    out.extend_from_slice(b"://");
    let host = proxy.host().as_bytes();
    if host.contains(&b':') {
        out.push(b'[');
        write_host(host, out);
        out.push(b']');
    } else {
        write_host(host, out);
    }
    out.push(b':');
    uint(proxy.port().into(), out);
    out.push(b'#');
    out.extend_from_slice(&hex(proxy.id().as_u64())[..6]);
}

pub(super) fn label(proxy: &Proxy, out: &mut Vec<u8>) {
    label_with(proxy, out, |host, out| out.extend_from_slice(host));
}

pub(super) fn quoted_label(proxy: &Proxy, out: &mut Vec<u8>) {
    out.push(b'"');
    label_with(proxy, out, json::escaped);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Scheme;

    #[test]
    fn labels_are_what_they_display() {
        for (scheme, host, port) in [
            (Scheme::Http, "gate.example", 7000),
            (Scheme::Socks5h, "2001:db8::1", 1),
            (Scheme::Https, "a\"b\\c\n", 65535),
            (Scheme::Direct, "", 0),
        ] {
            let proxy = Proxy::new(scheme, host, port, None);
            let wanted = proxy.label().to_string();
            let mut out = Vec::new();
            label(&proxy, &mut out);
            assert_eq!(out, wanted.as_bytes());
            out.clear();
            quoted_label(&proxy, &mut out);
            assert_eq!(out, serde_json::to_vec(&wanted).unwrap());
        }
    }
}
