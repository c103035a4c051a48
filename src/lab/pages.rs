//! What lab hosts answer by path: the table of `pages.md`, for virtual hosts and real listeners alike.

use std::io;
use std::time::Duration;

use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use async_compression::tokio::write;
use base64::Engine;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::answer::{Answer, Body, End, Framing, Pieces};
use super::origin::Request;
use crate::text::harmless;

/// Size of a page without `?size=`, bytes.
const PAGE_BYTES: usize = 2048;
/// Largest page, bytes.
const MAX_PAGE_BYTES: usize = 64 * 1024 * 1024;
/// Zeros in a bomb without `?mb=`, MiB.
const BOMB_MIB: usize = 256;

/// A page for members only, as it is shown to others: with the captcha that such forms have.
const LOGIN: &str = "<!doctype html>\n<html><head><title>Log in</title>\
    <script src=\"https://www.google.com/recaptcha/api.js\"></script></head><body>\n\
    <h1>Log in</h1><p>This page is for members. Log in to continue, or create an account.</p>\n\
    <form action=\"/login\" method=\"post\"><input type=\"email\" name=\"user\"><input type=\"password\" name=\"password\">\
    <div class=\"g-recaptcha\" data-sitekey=\"lab\"></div><button>Log in</button></form>\n</body></html>\n";
/// What stands before a page until somebody agrees to cookies.
const CONSENT: &str = "<!doctype html>\n<html><head><title>Before you continue</title></head><body>\n\
    <h1>Before you continue</h1><p>We use cookies and data to deliver our services, to track outages and to protect against \
    spam, fraud and abuse. Some partners may access your device.</p>\n\
    <form action=\"/consent/save\" method=\"post\"><button>Reject all</button><button>Accept all</button></form>\
    <p><a href=\"/privacy\">Privacy</a> <a href=\"/terms\">Terms</a></p>\n</body></html>\n";

/// The body that `path` (with query) of `host` has when it is a page: the same bytes for every proxy and every run.
pub(super) fn page(host: &str, path: &str) -> Bytes {
    let mut out = Vec::new();
    write_page(&mut out, host, path, page_size(path));
    out.into()
}

/// Appends exactly `size` bytes.
pub(super) fn write_page(out: &mut Vec<u8>, host: &str, path: &str, size: usize) {
    const FILL: &[u8] = b"The quick brown fox jumps over the lazy dog while 42 proxies sleep.\n";
    const TAIL: &[u8] = b"</p></body></html>\n";
    let end = out.len() + size;
    out.reserve(size);
    out.extend_from_slice(b"<!doctype html>\n<html><head><title>");
    escape(out, path);
    out.extend_from_slice(b" at ");
    escape(out, host);
    out.extend_from_slice(b"</title></head><body><p>\n");
    let filled = end.saturating_sub(TAIL.len());
    while out.len() < filled {
        let length = FILL.len().min(filled - out.len());
        out.extend_from_slice(&FILL[..length]);
    }
    out.extend_from_slice(TAIL);
    out.truncate(end);
}

fn escape(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            byte => out.push(byte),
        }
    }
}

fn page_size(path: &str) -> usize {
    number(path, "size").map_or(PAGE_BYTES, |size| size.min(MAX_PAGE_BYTES))
}

/// The answer of `request`'s path.
///
/// # Errors
/// Only what an encoder could say about memory it writes to.
pub(super) async fn answer(request: &Request<'_>) -> io::Result<Answer> {
    let full = request.path;
    let path = full.split('?').next().unwrap_or_default();
    let mut parts = path.split('/').skip(1);
    let first = parts.next().unwrap_or_default();
    let argument = parts.next().unwrap_or_default();
    let body = || page(request.host, full);
    Ok(match first {
        "" | "page" => Answer::page(page_size(full)),
        "status" => match argument.parse() {
            Ok(status @ 200..=599) => status_page(status),
            _ => status_page(400),
        },
        "undecodable" => {
            status_page(argument.parse().unwrap_or(200)).header("Content-Encoding", "gzip")
        }
        "redirect" => match argument.parse::<u32>() {
            Ok(left @ 1..) => redirect(302, format!("/redirect/{}", left - 1)),
            _ => Answer::page(page_size(full)),
        },
        "redirect-to" => {
            let status = number(full, "status").unwrap_or(302);
            redirect(
                u16::try_from(status).unwrap_or(302),
                query(full, "url").unwrap_or_else(|| "/".into()),
            )
        }
        "redirect-loop" => redirect(302, full.to_owned()),
        "delay" => {
            let mut answer = Answer::page(page_size(full));
            answer.wait = Duration::from_millis(argument.parse().unwrap_or(0));
            answer
        }
        "gzip" => encoded("gzip", GzipEncoder::new(&body()[..])).await?,
        "br" => encoded("br", BrotliEncoder::new(&body()[..])).await?,
        "zstd" => encoded("zstd", ZstdEncoder::new(&body()[..])).await?,
        "deflate" => encoded("deflate", ZlibEncoder::new(&body()[..])).await?,
        "bomb" => bomb(number(full, "mb").unwrap_or(BOMB_MIB)).await?,
        "truncate" => truncated(body()),
        "drip" => {
            let body = body();
            let size = body.len().div_ceil(8).max(1);
            pieces(Pieces {
                framing: Framing::Length(body.len() as u64),
                pieces: body.chunks(size).map(Bytes::copy_from_slice).collect(),
                pause: Duration::from_millis(number(full, "ms").unwrap_or(50) as u64),
                end: End::Whole,
            })
        }
        "endless" => endless(),
        "chunked" => {
            let body = body();
            pieces(Pieces {
                pieces: body.chunks(700).map(Bytes::copy_from_slice).collect(),
                pause: Duration::ZERO,
                framing: Framing::Chunked,
                end: End::Whole,
            })
        }
        "until-close" => pieces(Pieces {
            pieces: vec![body()],
            pause: Duration::ZERO,
            framing: Framing::UntilClose,
            end: End::Whole,
        }),
        "cookies" if argument == "set" => {
            let mut answer = redirect(302, "/cookies".into());
            for (name, value) in pairs(full) {
                answer = answer.header("Set-Cookie", format!("{name}={value}; Path=/"));
            }
            answer
        }
        "cookies" => cookies(request),
        "echo" => echo(request),
        "ip" => json_answer(&json!({ "ip": request.via.exit.to_string() })),
        "charset" => charset(argument),
        "retry-after" => status_page(429).header("Retry-After", decode(argument)),
        "basic-auth" => basic_auth(request, argument, parts.next().unwrap_or_default()),
        "members" => redirect(302, format!("/login?next={path}")),
        "login" => Answer::html(200, LOGIN),
        "consent" => Answer::html(200, CONSENT),
        "captcha" => captcha(200),
        "sorry" => captcha(429),
        "empty" => Answer::html(200, Bytes::new()),
        "header-flood" => Answer::html(200, Bytes::new()).with_body(Body::HeaderFlood),
        "garbage" => Answer::silent(Body::Garbage),
        "hang" => Answer::silent(Body::Hang),
        "reset" => Answer::silent(Body::Reset),
        "close" => Answer::silent(Body::Close),
        _ => status_page(404),
    })
}

/// A short page that names its status.
pub(super) fn status_page(status: u16) -> Answer {
    let reason = super::answer::reason(status);
    let text = format!(
        "<!doctype html>\n<html><head><title>{status} {reason}</title></head><body>{reason}</body></html>\n"
    );
    Answer::html(status, text)
}

/// A redirect.
pub(super) fn redirect(status: u16, to: String) -> Answer {
    Answer::html(status, "moved\n").header("Location", to)
}

/// What a site shows to clients it takes for machines.
pub(super) fn captcha(status: u16) -> Answer {
    Answer::html(
        status,
        "<!doctype html>\n<html><head><title>Are you a robot?</title></head><body>\n\
         <p>Our systems have detected unusual traffic from your computer network.</p>\n\
         <form id=\"captcha-form\" action=\"/captcha\" method=\"post\"><div class=\"g-recaptcha\" data-sitekey=\"lab\"></div></form>\n\
         </body></html>\n",
    )
}

/// Half of `body`, the whole length promised.
pub(super) fn truncated(body: Bytes) -> Answer {
    pieces(Pieces {
        framing: Framing::Length(body.len() as u64),
        pieces: vec![body.slice(..body.len() / 2)],
        pause: Duration::ZERO,
        end: End::Cut,
    })
}

/// A body that never ends.
pub(super) fn endless() -> Answer {
    pieces(Pieces {
        pieces: vec![Bytes::from(vec![b'x'; 16 * 1024])],
        pause: Duration::ZERO,
        framing: Framing::Chunked,
        end: End::Endless,
    })
}

fn pieces(pieces: Pieces) -> Answer {
    Answer::html(200, Bytes::new()).with_body(Body::Pieces(pieces))
}

/// Bytes that are neither HTTP, nor TLS, nor SOCKS.
pub(super) fn garbage() -> Vec<u8> {
    (0..512u64)
        .map(|at| 0x80 | (super::stats::dice(7, at, 0, 0) & 0x7f) as u8)
        .collect()
}

/// A gzip body of `mib` MiB of zeros, about a thousandth of that size.
///
/// Built from one flushed deflate block that is valid wherever it stands, so that a bomb costs no more than one MiB to make.
/// The checksum at its very end is not computed: whoever gets that far has already decoded the whole of it.
pub(super) async fn bomb(mib: usize) -> io::Result<Answer> {
    const GZIP_HEADER_BYTES: usize = 10;
    let mut encoder = write::GzipEncoder::new(Vec::new());
    encoder.write_all(&vec![0; 1 << 20]).await?;
    encoder.flush().await?;
    let first = encoder.into_inner();
    let (header, block) = first.split_at(GZIP_HEADER_BYTES.min(first.len()));
    let mib = mib.clamp(1, 4096);
    let mut body = Vec::with_capacity(header.len() + block.len() * mib + 10);
    body.extend_from_slice(header);
    for _ in 0..mib {
        body.extend_from_slice(block);
    }
    body.extend_from_slice(&[0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    Ok(Answer::html(200, body).header("Content-Encoding", "gzip"))
}

async fn encoded(name: &'static str, mut encoder: impl AsyncRead + Unpin) -> io::Result<Answer> {
    let mut body = Vec::new();
    encoder.read_to_end(&mut body).await?;
    Ok(Answer::html(200, body).header("Content-Encoding", name))
}

fn cookies(request: &Request<'_>) -> Answer {
    let mut cookies = Map::new();
    for (_, line) in request
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("cookie"))
    {
        for (name, value) in line
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='))
        {
            cookies.insert(name.to_owned(), value.into());
        }
    }
    json_answer(&json!({ "cookies": cookies }))
}

fn echo(request: &Request<'_>) -> Answer {
    let headers: Vec<Value> = request
        .headers
        .iter()
        .map(|(name, value)| json!([name, value]))
        .collect();
    json_answer(&json!({
        "method": request.method,
        "host": request.host,
        "path": request.path,
        "https": request.https,
        "http2": request.http2,
        "ip": request.via.exit.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(request.body),
    }))
}

fn json_answer(value: &Value) -> Answer {
    Answer::new(200, "application/json", format!("{value}\n"))
}

fn charset(label: &str) -> Answer {
    let Some(encoding) = encoding_rs::Encoding::for_label(label.as_bytes()) else {
        return status_page(400);
    };
    // One phrase per script, so that every legacy encoding has something of its own to say.
    let text = match encoding.name() {
        "KOI8-R" | "KOI8-U" | "windows-1251" | "IBM866" | "ISO-8859-5" => "Привет, мир",
        "Shift_JIS" | "EUC-JP" | "ISO-2022-JP" => "こんにちは世界",
        "GBK" | "gb18030" | "Big5" => "中文",
        "EUC-KR" => "안녕",
        _ => "café",
    };
    let page = format!(
        "<!doctype html>\n<html><head><title>{text}</title></head><body>{text}</body></html>\n"
    );
    let mut answer = Answer::html(200, encoding.encode(&page).0.into_owned());
    answer.headers[0].1 = format!("text/html; charset={label}").into();
    answer
}

fn basic_auth(request: &Request<'_>, user: &str, password: &str) -> Answer {
    let wanted = base64::engine::general_purpose::STANDARD.encode(format!(
        "{}:{}",
        decode(user),
        decode(password)
    ));
    let given = request.header("authorization").unwrap_or_default();
    if given.strip_prefix("Basic ") == Some(wanted.as_str()) {
        Answer::page(page_size(request.path))
    } else {
        status_page(401).header("WWW-Authenticate", "Basic realm=\"lab\"")
    }
}

fn pairs(path: &str) -> impl Iterator<Item = (String, String)> {
    path.split_once('?')
        .map_or("", |(_, query)| query)
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
}

/// Percent-decoded, without the control characters that would break a header.
fn decode(text: &str) -> String {
    harmless(&percent_decode_str(text).decode_utf8_lossy()).collect()
}

pub(super) fn query(path: &str, name: &str) -> Option<String> {
    pairs(path)
        .find(|(each, _)| each == name)
        .map(|(_, value)| value)
}

fn number(path: &str, name: &str) -> Option<usize> {
    // Most paths have no query; do not build an iterator over nothing.
    if !path.contains('?') {
        return None;
    }
    query(path, name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_size_asked_for_and_names_its_place() {
        for size in [0, 1, 60, 100, 2048, 8192] {
            let path = format!("/page/7?size={size}&x=<");
            let body = page("shop.test", &path);
            assert_eq!(body.len(), size);
            if size > 100 {
                let text = std::str::from_utf8(&body).unwrap();
                assert!(text.contains("/page/7") && text.contains("shop.test"));
                assert!(text.ends_with("</html>\n") && text.contains("x=&lt;"));
            }
        }
        assert_ne!(page("a.test", "/page/1"), page("b.test", "/page/1"));
        assert_ne!(page("a.test", "/page/1"), page("a.test", "/page/2"));
    }
}
