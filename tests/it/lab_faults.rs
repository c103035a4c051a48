//! The lab as a hostile network: it has to be as bad as it says before anything is tested against it.

use std::io;
use std::time::Duration;

use proxywheel::lab::{BadTls, BanRule, BanStyle, Fault, GREETING, HostPlan, Lab, Origin, Quota};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::lab_client::*;

#[tokio::test]
async fn connects_are_refused_swallowed_or_met_with_silence() {
    let lab = Lab::builder()
        .proxy(http().fault(Fault::Refuse))
        .proxy(http().fault(Fault::BlackHole))
        .proxy(http().fault(Fault::HangAfterAccept));
    let lab = lab.start().await.unwrap();
    let to = |number| {
        let proxy = lab.proxy(number);
        TcpStream::connect((proxy.host().to_owned(), proxy.port()))
    };
    let refused = to(0).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(timeout(SILENCE, to(1)).await.is_err(), "black hole");
    let mut stream = to(2).await.unwrap();
    let hanging = ask(&mut stream, "a.test", "http://a.test/");
    assert!(timeout(SILENCE, hanging).await.is_err(), "hang");
    lab.stop().await;
}

#[tokio::test]
async fn plain_answers_are_spoiled_as_the_fault_says() {
    type Shows = fn(io::Result<Answer>) -> bool;
    let cases: [(Fault, Shows); 13] = [
        (Fault::Reset, |answer| {
            answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
        }),
        (Fault::Garbage, |answer| answer.is_err()),
        (Fault::Truncate, |answer| {
            answer.is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
        }),
        (Fault::Bomb, |answer| {
            let answer = answer.unwrap();
            answer.header("content-encoding") == Some("gzip") && answer.body.len() < 1_000_000
        }),
        (Fault::Auth407, |answer| answer.unwrap().status() == 407),
        (Fault::ForeignPage, |answer| {
            let answer = answer.unwrap();
            answer.status() == 200 && answer.text().contains("router")
        }),
        (Fault::Empty200, |answer| {
            let answer = answer.unwrap();
            answer.status() == 200 && answer.body.is_empty()
        }),
        (Fault::InjectScript, |answer| {
            let text = answer.unwrap().text();
            text.contains("ads.injected.test") && text.contains("/page/1 at a.test")
        }),
        (Fault::RedirectLoop, |answer| {
            let answer = answer.unwrap();
            answer.status() == 302 && answer.header("location") == Some("http://a.test/page/1")
        }),
        (Fault::NoForward, |answer| {
            let answer = answer.unwrap();
            answer.status() == 403 && answer.header("x-squid-error").is_some()
        }),
        (
            Fault::RateLimit {
                requests: 0,
                window_ms: 9_000,
            },
            |answer| {
                let answer = answer.unwrap();
                answer.status() == 429 && answer.header("retry-after") == Some("9")
            },
        ),
        (
            Fault::BanAfter {
                requests: 0,
                window_ms: 9_000,
            },
            |answer| {
                let answer = answer.unwrap();
                answer.status() == 403 && answer.text().contains("blocked")
            },
        ),
        (
            Fault::DiesAfter {
                requests: 0,
                revives_after_ms: None,
            },
            |answer| answer.is_err(),
        ),
    ];
    for (fault, shows) in cases {
        let lab = faulty(fault.clone()).await;
        let answer = get(&lab, 0, "http://a.test/page/1").await;
        assert!(shows(answer), "{fault}");
        lab.stop().await;
    }
}

#[tokio::test]
async fn floods_go_on_for_as_long_as_one_reads() {
    for fault in [Fault::EndlessBody, Fault::HeaderFlood] {
        let lab = faulty(fault.clone()).await;
        let mut stream = dial(&lab, 0).await;
        stream
            .write_all(b"GET http://a.test/ HTTP/1.1\r\n\r\n")
            .await
            .unwrap();
        let mut flood = vec![0; 3_000_000];
        timeout(PATIENCE, stream.read_exact(&mut flood))
            .await
            .unwrap()
            .unwrap();
        let head_ended = flood.windows(4).any(|four| four == b"\r\n\r\n");
        assert_eq!(head_ended, fault == Fault::EndlessBody, "{fault}");
    }
}

#[tokio::test]
async fn a_slow_drip_takes_its_time_and_brings_everything() {
    let lab = faulty(Fault::SlowDrip(10)).await;
    let started = tokio::time::Instant::now();
    let answer = get(&lab, 0, "http://a.test/page/1?size=320").await.unwrap();
    assert_eq!(
        answer.body,
        Origin::expected_body("a.test", "/page/1?size=320")
    );
    assert!(started.elapsed() >= Duration::from_millis(10 * (320 / 32 - 1)));
}

#[tokio::test]
async fn requests_tell_what_a_leaking_proxy_adds() {
    let lab = faulty(Fault::LeakHeader).await;
    let answer = get(&lab, 0, "http://a.test/echo").await.unwrap();
    assert!(answer.text().contains("X-Forwarded-For"));
    lab.set_faults(0, Vec::new());
    let answer = get(&lab, 0, "http://a.test/echo").await.unwrap();
    assert!(!answer.text().contains("X-Forwarded-For"));
}

#[tokio::test]
async fn a_stale_cache_repeats_the_first_page_of_a_host() {
    let lab = faulty(Fault::Stale).await;
    for (url, body) in [
        (
            "http://a.test/page/1",
            Origin::expected_body("a.test", "/page/1"),
        ),
        (
            "http://a.test/page/2",
            Origin::expected_body("a.test", "/page/1"),
        ),
        (
            "http://b.test/page/2",
            Origin::expected_body("b.test", "/page/2"),
        ),
    ] {
        assert_eq!(get(&lab, 0, url).await.unwrap().body, body, "{url}");
    }
}

#[tokio::test]
async fn a_kept_connection_closes_under_the_second_request() {
    let lab = faulty(Fault::KeepaliveClose).await;
    let mut stream = dial(&lab, 0).await;
    let first = ask(&mut stream, "a.test", "http://a.test/page/1").await;
    assert_eq!(first.unwrap().status(), 200);
    assert!(
        ask(&mut stream, "a.test", "http://a.test/page/2")
            .await
            .is_err()
    );
    assert_eq!(get(&lab, 0, "http://a.test/").await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_dead_proxy_revives() {
    let lab = faulty(Fault::DiesAfter {
        requests: 2,
        revives_after_ms: Some(100),
    })
    .await;
    for _ in 0..2 {
        assert_eq!(get(&lab, 0, "http://a.test/").await.unwrap().status(), 200);
    }
    assert!(get(&lab, 0, "http://a.test/").await.is_err());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while get(&lab, 0, "http://a.test/").await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "never revived");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn tunnels_are_refused_or_opened_oddly_as_the_fault_says() {
    for (fault, start) in [
        (Fault::ConnectStatus(403), "HTTP/1.1 403 "),
        (Fault::ConnectStatus(429), "HTTP/1.1 429 "),
        (Fault::ConnectStatus(502), "HTTP/1.1 502 "),
        (Fault::NoTunnel, "HTTP/1.1 405 "),
        (Fault::Auth407, "HTTP/1.1 407 "),
        (Fault::Http10Connect, "HTTP/1.0 200 "),
        (Fault::ConnectWithContentLength, "HTTP/1.1 200 "),
    ] {
        let lab = faulty(fault.clone()).await;
        let (stream, head) = connect(&lab, 0, "a.test:443").await.unwrap();
        assert!(head.starts_with(start), "{fault}: {head}");
        if head.contains(" 200 ") {
            let mut stream = tls(client(&lab, &[]), stream, "a.test").await.unwrap();
            let answer = ask(&mut stream, "a.test", "/page/1").await.unwrap();
            assert_eq!(answer.body, Origin::expected_body("a.test", "/page/1"));
        }
        if fault == Fault::ConnectWithContentLength {
            assert!(head.contains("Content-Length") && head.contains("Transfer-Encoding"));
        }
    }
    let lab = faulty(Fault::ConnectBytesGlued).await;
    let (mut stream, _) = connect(&lab, 0, "a.test:25").await.unwrap();
    let mut greeting = vec![0; GREETING.len()];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, GREETING);
}

#[tokio::test]
async fn tls_inside_a_tunnel_breaks_as_the_fault_says() {
    for (fault, why) in [
        (Fault::BadTls(BadTls::Garbage), "InvalidMessage"),
        (Fault::BadTls(BadTls::Expired), "Expired"),
        (Fault::BadTls(BadTls::WrongName), "NotValidForName"),
        (Fault::TlsIntercept, "UnknownIssuer"),
    ] {
        let lab = faulty(fault.clone()).await;
        let (stream, _) = connect(&lab, 0, "a.test:443").await.unwrap();
        let error = tls(client(&lab, &[]), stream, "a.test").await.err();
        let error = format!("{:?}", error.expect("a broken handshake"));
        assert!(error.contains(why), "{fault}: {error}");
    }
    let lab = faulty(Fault::HangAfterConnect).await;
    let (stream, _) = connect(&lab, 0, "a.test:443").await.unwrap();
    let handshake = tls(client(&lab, &[]), stream, "a.test");
    assert!(timeout(SILENCE, handshake).await.is_err());

    let lab = faulty(Fault::Truncate).await;
    let (stream, _) = connect(&lab, 0, "a.test:443").await.unwrap();
    let mut stream = tls(client(&lab, &[]), stream, "a.test").await.unwrap();
    let cut = ask(&mut stream, "a.test", "/page/1?size=20000").await;
    assert_eq!(cut.err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn bans_show_in_every_style_and_only_for_the_pair() {
    for style in BanStyle::ALL {
        let plan = HostPlan {
            ban: Some(BanRule {
                requests: 2,
                window_ms: 60_000,
                lasts_ms: 60_000,
                style,
            }),
            ..HostPlan::default()
        };
        let lab = Lab::builder().perfect(2).host("a.test", plan);
        let lab = lab.start().await.unwrap();
        for _ in 0..2 {
            let answer = get(&lab, 0, "http://a.test/page/1").await.unwrap();
            assert_eq!(answer.status(), 200);
        }
        let banned = get(&lab, 0, "http://a.test/page/1").await;
        match (style, banned) {
            (BanStyle::Reset, banned) => assert!(banned.is_err()),
            (BanStyle::Forbidden, banned) => assert_eq!(banned.unwrap().status(), 403),
            (BanStyle::TooMany, banned) => {
                assert_eq!(banned.unwrap().header("retry-after"), Some("60"));
            }
            (BanStyle::Captcha, banned) => assert!(banned.unwrap().text().contains("captcha-form")),
            (BanStyle::Sorry, banned) => {
                assert_eq!(banned.unwrap().header("location"), Some("/sorry"));
            }
            (BanStyle::Empty, banned) => assert_eq!(banned.unwrap().body, b""),
        }
        for (number, url) in [(1, "http://a.test/page/1"), (0, "http://b.test/page/1")] {
            let body = get(&lab, number, url).await.unwrap().body;
            assert!(!body.is_empty(), "{style}: {url} through {number}");
        }
        assert_eq!(lab.stats().hosts["a.test"].banned, 1);
    }
}

#[tokio::test]
async fn hosts_go_down_and_limit_their_rate() {
    let quota = HostPlan {
        rate_limit: Some(Quota {
            requests: 1,
            window_ms: 60_000,
        }),
        ..HostPlan::default()
    };
    let lab = Lab::builder().perfect(2).host("slow.test", quota);
    let lab = lab.start().await.unwrap();
    let first = get(&lab, 0, "http://slow.test/").await.unwrap();
    let second = get(&lab, 1, "http://slow.test/").await.unwrap();
    assert_eq!((first.status(), second.status()), (200, 429));

    lab.set_host("a.test", HostPlan::down());
    let plain = get(&lab, 0, "http://a.test/").await.unwrap();
    assert_eq!(plain.status(), 503);
    assert_eq!(plain.header("x-squid-error"), Some("ERR_CONNECT_FAIL 111"));
    let (_, head) = connect(&lab, 0, "a.test:443").await.unwrap();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    lab.set_host("a.test", HostPlan::default());
    assert_eq!(get(&lab, 0, "http://a.test/").await.unwrap().status(), 200);
}
