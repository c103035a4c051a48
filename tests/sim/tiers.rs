//! Hosts are served from the cheapest tier that does not get banned there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proxywheel::egress::Outgoing;
use proxywheel::outcome::{FaultKind, Phase};
use proxywheel::proxy::{Labels, Proxy};

use crate::world::{Hit, Outcomes, Reply, Setup, World, jobs, members, run_of};

/// Members 1 to 20 cost little, 21 to 40 cost ten times as much.
const CHEAP: u16 = 20;

fn list() -> Vec<Arc<Proxy>> {
    let tiered = |proxy: Arc<Proxy>| {
        let labels = Labels {
            tier: u8::from(proxy.port() > CHEAP),
            ..Labels::default()
        };
        Arc::new(Proxy::clone(&proxy).with_labels(labels))
    };
    members(2 * CHEAP).into_iter().map(tiered).collect()
}

fn urls(count: usize, hosts: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("http://h{}.test/{n}", n % hosts))
        .collect()
}

fn is_cheap(proxy: u16) -> bool {
    proxy <= CHEAP
}

fn banned() -> Reply {
    Reply::status(403).with("cf-mitigated", "challenge")
}

fn on(outgoing: &Outgoing<'_>, host: &str) -> bool {
    outgoing.url.host_str() == Some(host)
}

/// Requests through expensive members, by host.
fn expensive(ended: &Outcomes) -> HashMap<&str, usize> {
    let mut hits = HashMap::new();
    for hit in ended.hits.iter().filter(|hit| !is_cheap(hit.proxy)) {
        *hits.entry(hit.host.as_str()).or_default() += 1;
    }
    hits
}

fn all_ok(ended: &Outcomes, count: usize) {
    let ok = ended.rows.iter().filter(|row| row.record.ok).count();
    assert_eq!((ended.rows.len(), ok), (count, count));
}

#[tokio::test(start_paused = true)]
async fn only_the_host_that_bans_the_cheap_exits_is_served_by_the_others() {
    let world = World::new(|outgoing, proxy, _| {
        if on(outgoing, "h1.test") && is_cheap(proxy) {
            banned()
        } else {
            Reply::status(200)
        }
    });
    let ended = run_of(Setup::new(world, 0), list(), jobs(urls(1200, 3))).await;
    all_ok(&ended, 1200);
    let expensive = expensive(&ended);
    assert_eq!(expensive.keys().collect::<Vec<_>>(), [&"h1.test"]);
    // Those that were under way before it was known, and the trials.
    let in_vain = |hit: &&Hit| is_cheap(hit.proxy) && hit.host == "h1.test";
    let in_vain = ended.hits.iter().filter(in_vain).count();
    assert!((4..60).contains(&in_vain), "{in_vain}");
}

#[tokio::test(start_paused = true)]
async fn neither_dead_proxies_nor_errors_of_the_host_raise_its_tier() {
    let world = World::new(|outgoing, proxy, before| {
        if on(outgoing, "h1.test") && before < 2 {
            Reply::status(500)
        } else if is_cheap(proxy) && proxy.is_multiple_of(4) {
            Reply::Fault {
                phase: Phase::Headers,
                kind: FaultKind::Reset,
                sent: true,
                after: Duration::from_millis(50),
            }
        } else {
            Reply::status(200)
        }
    })
    .alive(|proxy| !is_cheap(proxy) || proxy % 3 != 0);
    let ended = run_of(Setup::new(world, 0), list(), jobs(urls(600, 3))).await;
    all_ok(&ended, 600);
    assert_eq!(expensive(&ended), HashMap::new());
}

#[tokio::test(start_paused = true)]
async fn a_few_banned_exits_among_many_do_not_raise_the_tier() {
    let world = World::new(|_, proxy, _| match proxy % 4 {
        0 if is_cheap(proxy) => banned(),
        _ => Reply::status(200),
    });
    let ended = run_of(Setup::new(world, 0), list(), jobs(urls(600, 2))).await;
    all_ok(&ended, 600);
    assert_eq!(expensive(&ended), HashMap::new());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_bans_everybody_is_not_asked_through_expensive_exits_for_long() {
    let world = World::new(|outgoing, _, _| {
        if on(outgoing, "h1.test") {
            banned()
        } else {
            Reply::status(200)
        }
    });
    let setup = Setup::new(world, 0).concurrency(8);
    let ended = run_of(setup, list(), jobs(urls(400, 2))).await;
    assert_eq!(ended.rows.len(), 400);
    let asked = expensive(&ended).remove("h1.test").unwrap_or(0);
    assert!(asked <= 16, "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_cheap_list_that_is_dead_is_replaced_by_the_next_tier_after_a_while() {
    let world = World::new(|_, _, _| Reply::status(200)).alive(|proxy| !is_cheap(proxy));
    let ended = run_of(Setup::new(world, 0), list(), jobs(urls(100, 2))).await;
    all_ok(&ended, 100);
    let began = ended.rows.iter().filter_map(|row| row.record.timing.queue);
    assert!(began.fold(f64::INFINITY, f64::min) >= 10_000.0);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_bans_no_longer_comes_back_down() {
    let start = tokio::time::Instant::now();
    let world = World::new(move |_, proxy, _| {
        if is_cheap(proxy) && start.elapsed() < Duration::from_secs(100) {
            banned()
        } else {
            Reply::status(200)
        }
    });
    let mut setup = Setup::new(world, 0);
    setup.limits.host_rate = Some("5/s".parse().expect("a rate"));
    let ended = run_of(setup, list(), jobs(urls(4000, 1))).await;
    all_ok(&ended, 4000);
    let late = ended.hits.iter().rev().take(500);
    let cheap = late.filter(|hit| is_cheap(hit.proxy)).count();
    assert_eq!(cheap, 500, "the last ones");
    let early = |hit: &&Hit| is_cheap(hit.proxy) && hit.at - start < Duration::from_secs(100);
    let tried = ended.hits.iter().filter(early).count();
    assert!(tried < 40, "{tried} requests were banned");
}
