//! An HTTP proxy: absolute-form requests and CONNECT on one keep-alive connection, plain or inside TLS.

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::answer::{self, After, Answer, Asked, Body};
use super::fault::Fault;
use super::origin::{Request, Unreachable};
use super::pages;
use super::serve::finish;
use super::stream::{self, Stream};
use super::tunnel::{self, Far};
use super::wire::{Head, Wire, split_authority};
use super::world::{Admission, World, proxy_error};

/// Serves one client connection at the address numbered `address`.
///
/// # Errors
/// What sockets and TLS say.
pub(super) async fn serve(
    world: &Arc<World>,
    stream: Stream,
    address: u32,
    client: SocketAddr,
) -> io::Result<()> {
    let turn = world.turn(address);
    let mut wire = Wire::new(stream);
    let mut head = Head::default();
    let mut served = 0u32;
    loop {
        match wire.read_head(&mut head).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let refusal = proxy_error(400, "ERR_INVALID_REQ", 0, "Invalid Request");
                let asked = asked("", "", &head, false);
                answer::send(&mut wire, &refusal, &asked).await?;
                break;
            }
            Err(error) => return Err(error),
        }
        let given = head.header("proxy-authorization").and_then(basic);
        let given = given
            .as_ref()
            .map(|(user, password)| (user.as_str(), password.as_str()));
        let number = match world.admit(address, given, turn) {
            Admission::Proxy(number) => number,
            Admission::Refused(number) => {
                world.proxy(number).counters.auth_failures.bump();
                wire.read_body(&head).await?;
                let refusal = proxy_error(407, "ERR_CACHE_ACCESS_DENIED", 0, "Cache Access Denied")
                    .header("Proxy-Authenticate", "Basic realm=\"lab\"");
                let asked = asked("", "", &head, head.keeps_proxy_alive());
                let after = answer::send(&mut wire, &refusal, &asked).await?;
                if after == After::Keep {
                    continue;
                }
                break;
            }
        };
        let proxy = world.proxy(number);
        let count = proxy.counters.requests.bump();
        if let Some(rehearsal) = &world.rehearsal {
            return rehearsal.serve(wire, &head, number).await;
        }
        let now = tokio::time::Instant::now().into_std();
        if served > 0 && proxy.has(&Fault::KeepaliveClose) {
            return Ok(());
        }
        if proxy.is_dead(true, now) || proxy.has(&Fault::Reset) || proxy.has(&Fault::Refuse) {
            stream::reset(wire.into_stream());
            return Ok(());
        }
        if proxy.has(&Fault::Garbage) {
            wire.send(&pages::garbage()).await?;
            break;
        }
        served += 1;
        world.lag(number, count).await;
        if head.method() == "CONNECT" {
            return connect(world, wire, &head, number).await;
        }
        let after = forward(world, &mut wire, &head, number, client).await?;
        proxy.counters.bytes_sent.add(wire.take_sent());
        if after != After::Keep {
            finish(wire, after).await;
            return Ok(());
        }
    }
    wire.close().await;
    Ok(())
}

fn asked<'a>(host: &'a str, path: &'a str, head: &Head, keep_alive: bool) -> Asked<'a> {
    Asked {
        host,
        path,
        head_only: head.method() == "HEAD",
        keep_alive,
    }
}

/// User and password of a Basic credential.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(token.trim())
        .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

async fn connect(world: &Arc<World>, mut wire: Wire, head: &Head, number: u32) -> io::Result<()> {
    let proxy = world.proxy(number);
    let refusal = match split_authority(head.target(), 443) {
        None => proxy_error(400, "ERR_INVALID_URL", 0, "Invalid URL"),
        Some((host, port)) => match tunnel_refusal(world, number) {
            Some(refusal) => refusal,
            None => match tunnel::open(world, number, &host, port).await {
                Ok(far) => {
                    wire.out.extend_from_slice(greeting(world, number));
                    wire.out.extend_from_slice(tunnel::glued(world, number));
                    wire.flush().await?;
                    proxy.counters.tunnels.bump();
                    proxy.counters.bytes_sent.add(wire.take_sent());
                    return tunnel::carry(world, number, wire.into_stream(), &host, far).await;
                }
                Err(why) => unreachable_page(why),
            },
        },
    };
    let asked = asked("", "", head, false);
    answer::send(&mut wire, &refusal, &asked).await?;
    proxy.counters.bytes_sent.add(wire.take_sent());
    wire.close().await;
    Ok(())
}

/// The proxy's own reason not to open a tunnel.
fn tunnel_refusal(world: &World, number: u32) -> Option<Answer> {
    let proxy = world.proxy(number);
    if let Some(refusal) = over_quota(world, number) {
        return Some(refusal);
    }
    proxy.find(|fault| match fault {
        Fault::NoTunnel => {
            Some(Answer::html(405, "Method Not Allowed\n").header("Allow", "GET, HEAD, POST"))
        }
        Fault::ConnectStatus(status) => Some(match status {
            403 => proxy_error(403, "ERR_ACCESS_DENIED", 0, "Access Denied."),
            429 => pages::status_page(429).header("Retry-After", "1"),
            502 => proxy_error(502, "ERR_READ_ERROR", 104, "Read Error"),
            status => proxy_error(*status, "ERR_CANNOT_FORWARD", 0, "Unable to forward"),
        }),
        _ => None,
    })
}

fn over_quota(world: &World, number: u32) -> Option<Answer> {
    let now = tokio::time::Instant::now().into_std();
    let left = world.proxy(number).over_quota(now)?;
    let seconds = left.as_millis().div_ceil(1000);
    Some(
        proxy_error(429, "ERR_TOO_MANY_REQUESTS", 0, "Too many requests")
            .header("Retry-After", seconds.to_string()),
    )
}

fn unreachable_page(why: Unreachable) -> Answer {
    match why {
        Unreachable::Down => proxy_error(503, "ERR_CONNECT_FAIL", 111, "Connection refused"),
        Unreachable::Unknown => proxy_error(503, "ERR_DNS_FAIL", 0, "No such host"),
    }
}

/// The head that opens a tunnel.
fn greeting(world: &World, number: u32) -> &'static [u8] {
    let odd = world.proxy(number).find(|fault| match fault {
        Fault::Http10Connect => Some(&b"HTTP/1.0 200 OK\r\n\r\n"[..]),
        Fault::ConnectWithContentLength => Some(
            &b"HTTP/1.1 200 OK\r\nContent-Length: 512\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
        ),
        _ => None,
    });
    odd.unwrap_or(b"HTTP/1.1 200 Connection established\r\n\r\n")
}

/// Answers one absolute-form request.
async fn forward(
    world: &Arc<World>,
    wire: &mut Wire,
    head: &Head,
    number: u32,
    client: SocketAddr,
) -> io::Result<After> {
    let body = wire.read_body(head).await?;
    let Some((host, port, path)) = absolute_form(head.target()) else {
        let refusal = proxy_error(400, "ERR_INVALID_URL", 0, "Invalid URL");
        return answer::send(wire, &refusal, &asked("", "", head, false)).await;
    };
    let asked = asked(&host, &path, head, head.keeps_proxy_alive());
    if let Some(own) = own_answer(world, number, head.target()).await? {
        return answer::send(wire, &own, &asked).await;
    }
    let mut headers: Vec<_> = head
        .headers()
        .filter(|(name, _)| !is_for_the_proxy(name))
        .map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)))
        .collect();
    let proxy = world.proxy(number);
    if proxy.has(&Fault::LeakHeader) {
        headers.push(("X-Forwarded-For".into(), client.ip().to_string().into()));
        headers.push(("Via".into(), format!("1.1 lab-{number}").into()));
    }
    if proxy.has(&Fault::StripRequest) {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("accept-encoding"));
        let agents = headers.iter_mut();
        for (_, agent) in agents.filter(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
            *agent = "somebody".into();
        }
    }
    match tunnel::open(world, number, &host, port).await {
        Err(Unreachable::Unknown) if proxy.has(&Fault::DnsHijack) => {
            let page = Answer::html(200, "<!doctype html>\n<title>Did you mean</title>\n");
            answer::send(wire, &page, &asked).await
        }
        Err(why) => answer::send(wire, &unreachable_page(why), &asked).await,
        Ok(Far::Socket(socket)) => {
            let mut request = format!("{} {path} HTTP/1.1\r\n", head.method());
            for (name, value) in &headers {
                if !name.eq_ignore_ascii_case("transfer-encoding")
                    && !name.eq_ignore_ascii_case("content-length")
                {
                    request.push_str(&format!("{name}: {value}\r\n"));
                }
            }
            if !body.is_empty() {
                request.push_str(&format!("Content-Length: {}\r\n", body.len()));
            }
            request.push_str("Connection: close\r\n\r\n");
            relay(wire, socket, request.as_bytes(), &body, &asked).await
        }
        Ok(Far::Site) => {
            let stale = match proxy.has(&Fault::Stale) {
                true => proxy.stale_path(&host, &path),
                false => None,
            };
            if let Some(first) = stale {
                let copy = Answer::html(200, pages::page(&host, &first))
                    .header("Age", "864000")
                    .header("X-Cache", "HIT from lab");
                return answer::send(wire, &copy, &asked).await;
            }
            let request = Request {
                at: tokio::time::Instant::now().into_std(),
                method: head.method(),
                host: &host,
                path: &path,
                https: false,
                http2: false,
                headers: &headers,
                body: &body,
                via: world.via(number),
                resumed: None,
            };
            let site = world.origin.host(&host);
            let answer = world.origin.answer(&site, &request).await?;
            let answer = altered(world, number, answer, &host, &path);
            answer::send(wire, &answer, &asked).await
        }
    }
}

/// What a proxy answers without asking the target.
async fn own_answer(world: &World, number: u32, url: &str) -> io::Result<Option<Answer>> {
    if let Some(refusal) = over_quota(world, number) {
        return Ok(Some(refusal));
    }
    let proxy = world.proxy(number);
    if proxy.has(&Fault::Bomb) {
        return pages::bomb(256).await.map(Some);
    }
    Ok(proxy.find(|fault| match fault {
        Fault::NoForward => Some(proxy_error(403, "ERR_ACCESS_DENIED", 0, "Access Denied.")),
        Fault::HangAfterConnect => Some(Answer::silent(Body::Hang)),
        Fault::EndlessBody => Some(pages::endless()),
        Fault::HeaderFlood => Some(Answer::html(200, Bytes::new()).with_body(Body::HeaderFlood)),
        Fault::ForeignPage => Some(Answer::html(
            200,
            "<!doctype html>\n<html><head><title>Welcome to RouterOS</title></head>\
             <body>You have connected to a router.</body></html>\n",
        )),
        Fault::Empty200 => Some(Answer::html(200, Bytes::new())),
        Fault::RedirectLoop => Some(pages::redirect(302, url.to_owned())),
        _ => None,
    }))
}

/// What a proxy makes of the target's answer.
fn altered(world: &World, number: u32, mut answer: Answer, host: &str, path: &str) -> Answer {
    if world.proxy(number).has(&Fault::StripAnswer) {
        answer
            .headers
            .retain(|(name, _)| name != "Content-Security-Policy");
        answer = answer
            .header("Set-Cookie", "visitor=7")
            .header("Via", format!("1.1 lab-{number}"));
    }
    let body = match &answer.body {
        // Rendering is for the few proxies that meddle; the others pass the page on unseen.
        Body::Page { .. } if !world.proxy(number).is_faulty() => return answer,
        Body::Page { size } => {
            let mut page = Vec::new();
            pages::write_page(&mut page, host, path, *size);
            Bytes::from(page)
        }
        Body::Full(bytes) => bytes.clone(),
        _ => return answer,
    };
    let proxy = world.proxy(number);
    if proxy.has(&Fault::Truncate) {
        let cut = pages::truncated(body);
        return Answer {
            status: answer.status,
            headers: answer.headers,
            ..cut
        };
    }
    let html = answer
        .headers
        .iter()
        .any(|(name, value)| name == "Content-Type" && value.starts_with("text/html"));
    if proxy.has(&Fault::InjectScript) && html {
        let script: &[u8] = b"<script src=\"http://ads.injected.test/a.js\"></script>";
        let end = b"</body>";
        let at = memchr::memmem::rfind(&body, end).unwrap_or(body.len());
        let page = [&body[..at], script, &body[at..]].concat();
        return answer.with_body(Body::Full(page.into()));
    }
    answer
}

/// Headers meant for the proxy and not passed on.
fn is_for_the_proxy(name: &str) -> bool {
    ["proxy-authorization", "proxy-connection", "connection"]
        .iter()
        .any(|each| name.eq_ignore_ascii_case(each))
}

/// Host, port and path with query of `http://…`.
pub(super) fn absolute_form(target: &str) -> Option<(String, u16, Cow<'_, str>)> {
    let rest = target.strip_prefix("http://")?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, port) = split_authority(&rest[..at], 80)?;
    let path = match &rest[at..] {
        path if path.starts_with('/') => Cow::Borrowed(path),
        query => Cow::Owned(format!("/{query}")),
    };
    Some((host, port, path))
}

/// Sends a request to a real server and its answer back, as it is but for `Connection`.
async fn relay(
    wire: &mut Wire,
    socket: TcpStream,
    request: &[u8],
    body: &[u8],
    asked: &Asked<'_>,
) -> io::Result<After> {
    let mut far = Wire::new(Box::new(socket));
    far.out.extend_from_slice(request);
    far.out.extend_from_slice(body);
    far.flush().await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend_from_slice(&far.take_until(b'\n').await?);
        head.push(b'\n');
        if head.len() > 64 * 1024 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let text = String::from_utf8_lossy(&head);
    let mut length = None;
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        match line.split_once(':') {
            Some((name, _)) if name.eq_ignore_ascii_case("connection") => continue,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse::<u64>().ok();
            }
            _ => {}
        }
        write!(wire.out, "{line}\r\n")?;
    }
    let bodyless = asked.head_only || text.contains(" 204 ") || text.contains(" 304 ");
    let keep = asked.keep_alive && (bodyless || length.is_some());
    if !keep {
        wire.out.extend_from_slice(b"Connection: close\r\n");
    }
    wire.out.extend_from_slice(b"\r\n");
    wire.flush().await?;
    let mut left = match bodyless {
        true => 0,
        false => length.unwrap_or(u64::MAX),
    };
    let mut stream = far.into_stream();
    let mut piece = vec![0; 16 * 1024];
    while left > 0 {
        let most = usize::try_from(left)
            .unwrap_or(piece.len())
            .min(piece.len());
        let read = stream.read(&mut piece[..most]).await?;
        if read == 0 {
            break;
        }
        wire.send(&piece[..read]).await?;
        left -= read as u64;
    }
    Ok(match (keep, left) {
        (true, 0) => After::Keep,
        _ => After::Close,
    })
}
