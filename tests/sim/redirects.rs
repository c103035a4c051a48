//! Redirects to other hosts: what comes of them is those hosts' doing, and of everything that was sent before them.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use proxywheel::job::Job;
use proxywheel::outcome::{Charge, FaultKind, Outcome, Phase};
use tokio::time::Instant;

use crate::world::{Outcomes, Reply, Setup, World, jobs, run};

const LINKS: usize = 200;
const PROXIES: u16 = 10;

type Make = fn() -> Reply;

fn hop(url: String) -> Reply {
    Reply::status(302).with("location", url)
}

/// A shortener whose every fifth link leads to a site that does as told, the others to sites that answer.
async fn links(bad: Make) -> Outcomes {
    let world = World::new(move |outgoing, _, _| {
        let url = outgoing.url;
        match url.host_str() {
            Some("short.test") => hop(format!("https://d{}.test/page", &url.path()[1..])),
            Some(host) if host[1..].trim_end_matches(".test").ends_with(['0', '5']) => bad(),
            _ => Reply::status(200).after(Duration::from_millis(100)),
        }
    });
    let urls = (0..LINKS).map(|n| format!("https://short.test/{n}"));
    run(Setup::new(world, PROXIES).concurrency(16), jobs(urls)).await
}

#[tokio::test(start_paused = true)]
async fn what_the_destination_does_is_not_held_against_the_host_that_led_there() {
    let cases: [(&str, Make); 4] = [
        ("asks to wait", || {
            Reply::status(429).with("retry-after", "900")
        }),
        ("bans", || {
            Reply::status(403).with("cf-mitigated", "challenge")
        }),
        ("is barred by the proxies", || {
            Reply::fault(Phase::Handshake, FaultKind::Rejected(403))
        }),
        ("is away", || {
            Reply::fault(Phase::Handshake, FaultKind::Rejected(502))
        }),
    ];
    for (name, bad) in cases {
        let ended = links(bad).await;
        let served = ended.rows.iter().filter(|row| row.record.ok).count();
        assert_eq!(served, LINKS * 4 / 5, "{name}");
        let last = ended.rows.iter().filter(|row| row.record.ok);
        let last = last.map(|row| row.record.seq).max();
        assert_eq!(last, Some(LINKS as u64 - 1), "{name}");
        // With nobody bad it would be 1.5 s.
        let seconds = ended.took.as_secs();
        assert!(seconds < 60, "{name}: {seconds} s");
        for row in ended.rows.iter().filter(|row| !row.record.ok) {
            let at = row.record.final_url.as_deref();
            let expected = format!("https://d{}.test/page", row.record.seq);
            assert_eq!(at, Some(&*expected), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_was_answered_is_not_sent_again_because_the_next_page_fails() {
    for (phase, kind) in [
        (Phase::Connect, FaultKind::Refused),
        (Phase::Handshake, FaultKind::Rejected(502)),
        (Phase::Headers, FaultKind::Reset),
    ] {
        let world = World::new(move |outgoing, _, _| match outgoing.method {
            &Method::POST => hop("https://shop.test/thanks".into()),
            _ => Reply::fault(phase, kind),
        });
        let mut orders: Vec<Job> = jobs(["http://shop.test/order".into()]);
        for order in &mut orders {
            let mut request = (*order.request).clone();
            request.method = Method::POST;
            request.body = Bytes::from_static(b"buy=1");
            order.request = request.into();
        }
        let ended = run(Setup::new(world, PROXIES), orders).await;
        let sent = ended.hits.iter().filter(|hit| hit.method == Method::POST);
        assert_eq!(sent.count(), 1, "{phase:?} {kind:?}");
        assert_eq!(ended.rows.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn time_that_the_hops_before_have_used_is_no_proxys_fault() {
    let world = World::new(move |outgoing, _, _| match outgoing.url.path() {
        "/slow" => hop("/next".into()).after(Duration::from_millis(29_990)),
        "/next" => Reply::fault(Phase::Connect, FaultKind::Timeout),
        _ => Reply::status(200),
    });
    let mut urls = vec!["http://a.test/slow".to_owned()];
    urls.extend((0..20).map(|n| format!("http://a.test/{n}")));
    let ended = run(Setup::new(world, 3), jobs(urls)).await;
    let slow = &ended
        .rows
        .iter()
        .find(|row| row.record.seq == 0)
        .unwrap()
        .record;
    let charged = |charge| {
        slow.attempt_log
            .iter()
            .any(|attempt| attempt.blame == charge)
    };
    assert!(
        !charged(proxywheel::outcome::Blame::Proxy(Charge::Unreachable)),
        "{slow:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_url_that_cannot_be_asked_for_costs_no_proxy_its_use() {
    let long = "a".repeat(66_000);
    for lead in [true, false] {
        let to = long.clone();
        let world = World::new(move |outgoing, _, _| match outgoing.url.path() {
            "/0" if lead => Reply::status(302).with("location", format!("/{to}")),
            path if path.len() > 1000 => Reply::fault(Phase::Request, FaultKind::Unsupported),
            _ => Reply::status(200),
        });
        let first = if lead { "0" } else { &long };
        let mut urls = vec![format!("http://a.test/{first}")];
        urls.extend((1..20).map(|n| format!("http://a.test/{n}")));
        let ended = run(Setup::new(world, 3), jobs(urls)).await;
        let ok = ended.rows.iter().filter(|row| row.record.ok).count();
        assert_eq!(ok, 19, "{lead}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_to_no_url_says_why() {
    for (location, words) in [
        ("http://b.test:99999/", "invalid port number"),
        ("http://[b/", "invalid IPv6 address"),
        ("ftp://b.test/", "unsupported scheme ftp"),
    ] {
        let world = World::new(move |_, _, _| hop(location.to_owned()));
        let ended = run(Setup::new(world, 3), jobs(["http://a.test/".to_owned()])).await;
        let record = &ended.rows[0].record;
        assert_eq!(record.outcome, Outcome::HttpError, "{location}");
        let error = &record.error.as_ref().expect(location).message;
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_redirects_lead_to_a_host_counts_among_its_requests_at_once() {
    let took = Duration::from_millis(500);
    let there = Arc::new(Mutex::new(Vec::new()));
    let written = there.clone();
    let world = World::new(move |outgoing, _, _| {
        let url = outgoing.url;
        let (host, path) = (url.host_str().unwrap_or_default(), url.path());
        if host == "busy.test" {
            written.lock().expect("the times").push(Instant::now());
        }
        match (host, path.len()) {
            ("short.test", 5) => hop(format!("http://busy.test{path}")).after(took / 5),
            // And back again, so that each waits for a place that the other has.
            ("busy.test", 4) => hop(format!("http://short.test{path}")).after(took),
            _ => Reply::status(200).after(took),
        }
    });
    let mut setup = Setup::new(world, 30).concurrency(32);
    setup.limits.host_concurrency = NonZeroU32::new(3);
    let urls = (100..200).map(|n| format!("http://busy.test/{n}"));
    let urls = urls.chain((1000..1060).map(|n| format!("http://short.test/{n}")));
    let ended = run(setup, jobs(urls)).await;
    assert!(ended.rows.iter().all(|row| row.record.ok));
    let there = there.lock().expect("the times").clone();
    assert_eq!(there.len(), 160);
    let at_once = |at: &Instant| {
        there
            .iter()
            .filter(|t| *t <= at && *at < **t + took)
            .count()
    };
    let most = there.iter().map(at_once).max();
    assert!(most <= Some(3), "{most:?}");
    // 27 s at best.
    assert!(ended.took < Duration::from_secs(45), "{:?}", ended.took);
}
