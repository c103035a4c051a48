use super::super::head::HEAD_MAX;
use super::*;
use crate::secret::Secret;
use proptest::prelude::*;
use tokio::io::DuplexStream;

/// A proxy that reads one request head, answers with `reply` and hangs up; returns what it was asked.
async fn against(
    reply: &[u8],
    authority: &str,
    credentials: Option<&Credentials>,
) -> (Result<Opened, Refusal>, String) {
    let (mut near, far) = tokio::io::duplex(256 * 1024);
    let reply = reply.to_vec();
    let proxy = tokio::spawn(answer(far, reply));
    let result = connect(&mut near, authority, credentials).await;
    drop(near);
    (result, proxy.await.unwrap())
}

async fn answer(mut far: DuplexStream, reply: Vec<u8>) -> String {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        if far.read_buf(&mut asked).await.unwrap() == 0 {
            break;
        }
    }
    // The client may have seen enough and hung up.
    let _ = far.write_all(&reply).await;
    String::from_utf8(asked).unwrap()
}

fn credentials() -> Credentials {
    Credentials {
        user: Secret::new("user"),
        password: Secret::new("pa:ss"),
    }
}

#[tokio::test]
async fn sends_the_request_line_host_and_credentials_and_nothing_else() {
    let (result, asked) = against(
        b"HTTP/1.1 200 OK\r\n\r\n",
        "[2001:db8::1]:443",
        Some(&credentials()),
    )
    .await;
    assert_eq!(result.unwrap().status, 200);
    assert_eq!(
        asked,
        "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\
         Proxy-Authorization: Basic dXNlcjpwYTpzcw==\r\n\r\n"
    );
    let (_, asked) = against(b"HTTP/1.1 200 OK\r\n\r\n", "a.test:443", None).await;
    assert_eq!(
        asked,
        "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n"
    );
}

#[tokio::test]
async fn any_2xx_opens_the_tunnel_whatever_its_form() {
    for (reply, status) in [
        (&b"HTTP/1.1 200 Connection established\r\n\r\n"[..], 200),
        (b"HTTP/1.0 200\r\n\r\n", 200),
        (b"HTTP/1.1 299 \r\nx: y\r\n\r\n", 299),
        (b"HTTP/1.0 201 Created\n\n", 201),
        (b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", 200),
    ] {
        let (result, _) = against(reply, "a.test:443", None).await;
        assert_eq!(result.unwrap().status, status);
    }
}

#[tokio::test]
async fn lengths_on_2xx_are_ignored_and_early_bytes_are_kept() {
    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n220 hi";
    let (result, _) = against(reply, "a.test:25", None).await;
    assert_eq!(&result.unwrap().early[..], b"220 hi");
}

#[tokio::test]
async fn a_few_interim_answers_are_skipped_and_no_more() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let reply = format!("{interim}HTTP/1.1 200 OK\r\n\r\n220 hi");
    let (result, _) = against(reply.as_bytes(), "a.test:25", None).await;
    let opened = result.unwrap();
    assert_eq!((opened.status, &opened.early[..]), (200, &b"220 hi"[..]));

    let reply = format!("{interim}HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n");
    let (result, _) = against(reply.as_bytes(), "a.test:443", None).await;
    assert_eq!(result.unwrap_err().fault.kind, FaultKind::Auth);

    // 101 is no interim answer, and no tunnel either.
    let (result, _) = against(b"HTTP/1.1 101 Sure\r\n\r\n", "a.test:443", None).await;
    assert_eq!(result.unwrap_err().fault.kind, FaultKind::Rejected(101));

    let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
    let long = format!("HTTP/1.1 100 C\r\na: {}\r\n\r\n", "b".repeat(30_000)).repeat(3);
    for (reply, word) in [(endless, "1xx"), (long, "64 kB")] {
        let (result, _) = against(reply.as_bytes(), "a.test:443", None).await;
        let fault = result.unwrap_err().fault;
        assert_eq!(fault.kind, FaultKind::Malformed);
        assert!(fault.message.contains(word), "{fault}");
    }
    let (result, _) = against(b"HTTP/1.1 100 Continue\r\n\r\n", "a.test:443", None).await;
    assert_eq!(result.unwrap_err().fault.kind, FaultKind::Closed);
}

#[tokio::test]
async fn an_answer_of_very_many_lines_opens_the_tunnel() {
    let reply = format!("HTTP/1.1 200 OK\n{}\n", "a\n".repeat(30_000));
    let (result, _) = against(reply.as_bytes(), "a.test:443", None).await;
    assert_eq!(result.unwrap().status, 200);
}

#[tokio::test]
async fn a_refusal_keeps_status_reason_headers_and_16_kb_of_body() {
    let mut reply = b"HTTP/1.1 403 Target blocked\r\nX-Why: policy\r\n\r\n".to_vec();
    reply.extend(vec![b'x'; 40_000]);
    let (result, _) = against(&reply, "a.test:443", None).await;
    let refusal = result.unwrap_err();
    assert_eq!(refusal.fault.kind, FaultKind::Rejected(403));
    assert!(refusal.fault.message.contains("403 Target blocked"));
    let kept = refusal.reply.unwrap();
    assert_eq!((kept.status, &*kept.reason), (403, "Target blocked"));
    assert_eq!(kept.headers["x-why"], "policy");
    assert_eq!(kept.body.len(), BODY_MAX);

    let reply = b"HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\nabEXTRA";
    let (result, _) = against(reply, "a.test:443", None).await;
    assert_eq!(&result.unwrap_err().reply.unwrap().body[..], b"ab");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_never_ends_its_body_is_still_a_refusal() {
    let (mut near, mut far) = tokio::io::duplex(1024);
    far.write_all(b"HTTP/1.1 429 Slow down\r\n\r\npart")
        .await
        .unwrap();
    let refusal = connect(&mut near, "a.test:443", None).await.unwrap_err();
    assert_eq!(refusal.fault.kind, FaultKind::Rejected(429));
    assert_eq!(&refusal.reply.unwrap().body[..], b"part");
}

#[tokio::test]
async fn a_407_is_an_authentication_fault_without_the_credentials_in_it() {
    let reply = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
    let (result, _) = against(reply, "a.test:443", Some(&credentials())).await;
    let refusal = result.unwrap_err();
    assert_eq!(refusal.fault.kind, FaultKind::Auth);
    assert!(!format!("{refusal:?}").contains("pa:ss"));
}

#[tokio::test]
async fn what_is_not_http_is_malformed_and_named() {
    for (reply, word) in [
        (&b"SSH-2.0-OpenSSH_9\r\n"[..], "SSH"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
        (b"\x05\xff", "SOCKS"),
        (b"<html>hello", "web page"),
        (b"HTTP/2 200\r\n\r\n", "HTTP/1.x"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "status line"),
        (b"HTTP/1.1 OK\r\n\r\n", "status line"),
    ] {
        let (result, _) = against(reply, "a.test:443", None).await;
        let refusal = result.unwrap_err();
        assert_eq!(refusal.fault.kind, FaultKind::Malformed, "{word}");
        assert!(refusal.fault.message.contains(word), "{}", refusal.fault);
        assert!(refusal.reply.is_none());
    }
}

#[tokio::test]
async fn a_header_flood_and_an_early_end_are_told_apart() {
    let mut flood = b"HTTP/1.1 200 OK\r\n".to_vec();
    flood.resize(HEAD_MAX + 10_000, b'a');
    let (result, _) = against(&flood, "a.test:443", None).await;
    assert_eq!(result.unwrap_err().fault.kind, FaultKind::Malformed);

    let (result, _) = against(b"HTTP/1.1 200 O", "a.test:443", None).await;
    assert_eq!(result.unwrap_err().fault.kind, FaultKind::Closed);
    let (result, _) = against(b"", "a.test:443", None).await;
    assert_eq!(result.unwrap_err().fault.kind, FaultKind::Closed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn arbitrary_replies_never_panic_nor_exceed_the_caps(
        start in prop_oneof![
            Just(&b""[..]),
            Just(&b"HTTP/1."[..]),
            Just(&b"HTTP/1.1 200 "[..]),
            Just(&b"HTTP/1.1 503 x\r\n"[..]),
        ],
        tail in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r'), Just(b':')], 0..2000),
        repeat in 1..100usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut reply = start.to_vec();
        for _ in 0..repeat {
            reply.extend_from_slice(&tail);
        }
        let total = reply.len();
        let (result, _) = runtime.block_on(against(&reply, "a.test:443", None));
        match result {
            Ok(opened) => prop_assert!(opened.early.len() <= total),
            Err(Refusal { reply: Some(kept), .. }) => prop_assert!(kept.body.len() <= BODY_MAX),
            Err(Refusal { reply: None, fault }) => prop_assert_eq!(fault.phase, Phase::Handshake),
        }
    }
}
