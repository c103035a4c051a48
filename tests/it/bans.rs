//! A run through proxies of which every site bans some, each site in its own manner: no block is passed off as a page, and nobody pays
//! for what a site answers to everybody.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use proxywheel::job::{Job, RequestSpec};
use proxywheel::lab::{BanStyle, GatewaySpec, HostPlan, Lab, ProxySpec};
use proxywheel::outcome::{Blame, Outcome};
use proxywheel::proxy::Scheme;

use crate::wire_stack::{Stack, page_of, tell};

const PROXIES: u32 = 60;
const URLS: u64 = 5_000;
/// Answers that are the same for everybody.
const OWN_ANSWERS: [&str; 5] = [
    "/status/404",
    "/status/410",
    "/status/500",
    "/status/503",
    "/status/401",
];

/// A site's word before its pages; what the row says has to be in its body.
const WALLS: [(&str, &str); 2] = [
    ("/members/", "type=\"password\""),
    ("/consent/", "Before you continue"),
];

struct Given(std::vec::IntoIter<Job>);

impl Stream for Given {
    type Item = Job;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Job>> {
        Poll::Ready(self.0.next())
    }
}

#[tokio::test]
async fn no_block_of_six_kinds_is_a_page_and_nobody_is_charged_for_a_sites_own_answers() {
    let mut builder = Lab::builder()
        .seed(5)
        .proxies(PROXIES, ProxySpec::new(Scheme::Http));
    let mut hosts: Vec<String> = Vec::new();
    for style in BanStyle::ALL {
        let host = format!("{style}.test");
        let plan = HostPlan {
            banned_percent: 15,
            banned_style: style,
            ..HostPlan::default()
        };
        builder = builder.host(&host, plan);
        hosts.push(host);
    }
    // Down for the first thousand rows: proxies report it as their own failure, in turn all of them.
    let stack = Stack::start(builder.host("outage.test", HostPlan::down()));
    let client = stack.client(stack.settings());
    let url = |n: u64| {
        let host = &hosts[(n % 6) as usize];
        match n % 25 {
            24 => format!(
                "http://plain.test{}?n={n}",
                OWN_ANSWERS[(n / 25 % 5) as usize]
            ),
            23 => format!("http://plain.test{}{n}", WALLS[(n / 25 % 2) as usize].0),
            22 => format!("http://outage.test/page/{n}?size=700"),
            _ => format!("http://{host}/page/{n}?size=700"),
        }
    };
    let spec = Arc::new(RequestSpec::default());
    let jobs = (0..URLS).map(|n| Job::new(n, &url(n), Arc::clone(&spec)));
    let mut run = client
        .run(Given(jobs.collect::<Vec<_>>().into_iter()))
        .unwrap();
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    let (mut rows, mut down) = (0, 0);
    while let Some(done) = run.next().await {
        rows += 1;
        if rows == 1_000 {
            stack.lab.set_host("outage.test", HostPlan::default());
        }
        let record = &done.record;
        *outcomes.entry(record.outcome.to_string()).or_default() += 1;
        let url = record.url.as_deref().unwrap();
        if let Some((_, word)) = WALLS.iter().find(|(path, _)| url.contains(path)) {
            assert_eq!(record.outcome, Outcome::Ok, "{url}: {}", tell(&done));
            let body = String::from_utf8_lossy(&done.body);
            assert!(body.contains(word), "{url}: {body}");
            assert_eq!(record.attempts, 1, "{url}: {}", tell(&done));
        } else if url.contains("outage.test") {
            down += record.attempt_log.len() - 1;
            let charged = record
                .attempt_log
                .iter()
                .find(|attempt| attempt.blame == Blame::Pair);
            assert!(charged.is_none(), "{url}: {}", tell(&done));
        } else if url.contains("plain.test") {
            assert_eq!(record.outcome, Outcome::HttpError, "{url}: {}", tell(&done));
            let charged = record
                .attempt_log
                .iter()
                .find(|attempt| attempt.blame != Blame::Target);
            assert!(charged.is_none(), "{url}: {}", tell(&done));
        } else if record.ok {
            assert!(
                done.body == page_of(url),
                "{url}: a wrong body: {}",
                tell(&done)
            );
        } else {
            let blocked = matches!(
                record.outcome,
                Outcome::Banned | Outcome::RateLimited | Outcome::NetworkError
            );
            assert!(blocked, "{url}: {}", tell(&done));
        }
        for attempt in &record.attempt_log {
            let proxy = matches!(attempt.blame, Blame::Proxy(_));
            assert!(!proxy, "a proxy is charged: {url}: {}", tell(&done));
        }
    }
    assert_eq!(rows, URLS);
    assert!(down > 0, "nobody has found the host down");
    // Five in six exits serve each site: nearly every page is fetched in the end.
    assert!(outcomes["ok"] > URLS * 24 / 25 * 98 / 100, "{outcomes:?}");
}

/// One entry of the list, a rotating endpoint, of whose exits every site has banned three in ten in its own manner.
#[tokio::test]
async fn bans_of_its_exits_do_not_shut_a_rotating_endpoint() {
    let mut builder = Lab::builder().seed(5).gateway(GatewaySpec {
        exit: ProxySpec::new(Scheme::Http),
        user: "u".into(),
        password: "p".into(),
        exits: 100,
        per_connection: true,
    });
    for style in BanStyle::ALL {
        let plan = HostPlan {
            banned_percent: 30,
            banned_style: style,
            ..HostPlan::default()
        };
        builder = builder.host(&format!("{style}.test"), plan);
    }
    let stack = Stack::start(builder);
    let client = stack.client(stack.settings());
    let spec = Arc::new(RequestSpec::default());
    let jobs = (0..600).map(|n| {
        let style = BanStyle::ALL[(n % 6) as usize];
        let url = format!("http://{style}.test/page/{n}?size=700");
        Job::new(n, &url, Arc::clone(&spec))
    });
    let began = tokio::time::Instant::now();
    let mut run = client
        .run(Given(jobs.collect::<Vec<_>>().into_iter()))
        .unwrap();
    let (mut pages, mut lost) = (0, BTreeMap::<String, u64>::new());
    while let Some(done) = run.next().await {
        let record = &done.record;
        if record.ok {
            assert_eq!(done.body, page_of(record.url.as_deref().unwrap()));
            pages += 1;
        } else {
            *lost.entry(record.outcome.to_string()).or_default() += 1;
        }
    }
    // A URL is lost where six exits in a row are banned, or four by a reset: some in a thousand.
    assert!(pages >= 590, "{pages} pages, {lost:?}");
    // A single pair that rests takes a minute.
    assert!(began.elapsed() < Duration::from_secs(30));
}
