//! A list that is read with the wrong scheme.

use std::time::Duration;

use proxywheel::metrics::FinishReason;
use proxywheel::outcome::{FaultKind, Phase};

use crate::world::{Outcomes, Reply, Setup, World, jobs, run};

fn hanging_up() -> World {
    World::new(|_, _, _| Reply::Fault {
        phase: Phase::Headers,
        kind: FaultKind::Closed,
        sent: true,
        after: Duration::from_millis(5),
    })
}

async fn through(proxies: u16, world: World, scheme: &str) -> Outcomes {
    let urls = (0..200).map(|n| format!("{scheme}://shop.test/{n}"));
    run(Setup::new(world, proxies), jobs(urls)).await
}

#[tokio::test(start_paused = true)]
async fn a_list_that_speaks_another_protocol_is_given_up_when_all_of_it_has_shown_so() {
    let world = hanging_up().reach(|_| Err((Phase::Handshake, FaultKind::Malformed)));
    let tunnels = through(50, world, "https").await;
    let forward = through(50, hanging_up(), "http").await;
    for ended in [tunnels, forward] {
        assert_eq!(ended.summary.reason, FinishReason::NoProxy);
        assert_eq!(ended.summary.totals.foreign.all(), 50);
        assert!(ended.took < Duration::from_secs(5), "{:?}", ended.took);
    }
}

#[tokio::test(start_paused = true)]
async fn a_few_proxies_and_a_host_that_does_not_answer_are_waited_for() {
    let world = hanging_up().reach(|_| Err((Phase::Handshake, FaultKind::Malformed)));
    let few = through(3, world, "https").await;
    assert!(few.took > Duration::from_secs(5), "{:?}", few.took);
    // A tunnel that takes too long may be the target's.
    let world = hanging_up().reach(|_| Err((Phase::Handshake, FaultKind::Timeout)));
    let hanging = through(50, world, "https").await;
    assert!(hanging.summary.totals.foreign.all() < 50 || hanging.took > Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn an_only_proxy_that_takes_connections_for_nothing_is_given_up_after_a_minute() {
    // Where requests are forwarded a probe sees no more than a connect, and the proxy is READY again.
    for (kind, seed) in [FaultKind::Malformed, FaultKind::Closed]
        .into_iter()
        .flat_map(|kind| (0..20).map(move |seed| (kind, seed)))
    {
        let world = World::new(move |outgoing, _, _| {
            let tunnels = outgoing.url.scheme() == "https";
            let phase = [Phase::Headers, Phase::Handshake][usize::from(tunnels)];
            Reply::fault(phase, kind)
        })
        .reach(move |host| match host.https {
            true => Err((Phase::Handshake, kind)),
            false => Ok(()),
        });
        let scheme = |n: usize| ["http", "https", "https"][n % 3];
        let urls = (0..12).map(|n| format!("{}://shop{n}.test/", scheme(n)));
        let mut setup = Setup::new(world, 1);
        setup.engine.seed = Some(seed);
        let ended = run(setup, jobs(urls)).await;
        assert_eq!(ended.summary.reason, FinishReason::NoProxy);
        assert!(!ended.hits.is_empty(), "it was READY");
        assert!(
            ended.took < Duration::from_secs(75),
            "{kind:?} {seed}: {:?}",
            ended.took
        );
    }
}
