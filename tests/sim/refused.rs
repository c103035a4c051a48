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
