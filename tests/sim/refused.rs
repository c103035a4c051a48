//! A host that has for nobody what is expected, and a pool so small that its number of exits proves nothing.

use std::time::Duration;

use proxywheel::pool::OnNoProxy;
use tokio::time::Instant;

use crate::world::{Outcomes, Reply, Setup, World, jobs, run};

/// A run of so many exits against a host that challenges everybody for so long.
async fn against(proxies: u16, banned: Duration) -> Option<Outcomes> {
    let begin = Instant::now();
    let world = World::new(move |_, _, _| match begin.elapsed() < banned {
        true => Reply::status(403).with("cf-mitigated", "challenge"),
        false => Reply::status(200),
    });
    let mut setup = Setup::new(world, proxies);
    setup.pool.on_no_proxy = OnNoProxy::Wait;
    let list = jobs((0..100).map(|n| format!("http://strict.test/{n}")));
    let longest = Duration::from_secs(3600);
    tokio::time::timeout(longest, run(setup, list)).await.ok()
}

#[tokio::test(start_paused = true)]
async fn a_few_exits_that_are_refused_again_and_again_end_the_wait() {
    for proxies in [1, 3, 9] {
        let ended = against(proxies, Duration::MAX).await.expect("it ends");
        assert!(ended.rows.iter().all(|row| !row.record.ok));
        assert_eq!(ended.rows.len(), 100);
        let took = ended.took;
        assert!(took < Duration::from_secs(240), "{proxies}: {took:?}");

        // A ban of a minute is waited for.
        let minute = Duration::from_secs(60);
        let ended = against(proxies, minute).await.expect("it ends");
        let served = ended.rows.iter().filter(|row| row.record.ok).count();
        assert!(served > 90, "{proxies}: {served} served");
    }
}

#[tokio::test(start_paused = true)]
async fn words_of_a_filter_on_some_pages_of_a_forum_refuse_it_to_nobody() {
    let topics = [20, 31, 47].map(|n| format!("http://forum.test/{n}"));
    let told = topics.clone();
    let world = World::new(move |outgoing, _, _| {
        let page = match told.iter().any(|url| *url == outgoing.url.as_str()) {
            true => {
                "<title>Moja karta została zablokowana</title><p>Moja karta została zablokowana po trzeciej próbie. Co robić?</p>"
            }
            false => "<title>Forum</title><p>Kto był w górach?</p>",
        };
        Reply::status(200)
            .with("content-type", "text/html; charset=utf-8")
            .body(page)
    });
    let urls = jobs((0..60).map(|n| format!("http://forum.test/{n}")));
    let ended = run(Setup::new(world, 8).concurrency(4), urls).await;
    for row in &ended.rows {
        let record = &row.record;
        let is_topic = topics.iter().any(|url| **url == *record.input);
        assert_eq!(record.ok, !is_topic, "{record:?}");
        assert!(record.attempts <= 3, "{record:?}");
    }
}
