//! Inputs in which many hosts are dead and stand together, as in a list of links sorted by site.

use std::time::Duration;

use proxywheel::outcome::{FaultKind, Phase};

use crate::world::{Outcomes, Reply, Setup, World, jobs, run};

/// The first 30 of every hundred hosts are dead, the very first of the input too.
fn is_dead(host: &str) -> bool {
    let number = host.trim_matches(|c: char| !c.is_ascii_digit());
    number.parse::<u32>().is_ok_and(|number| number % 100 < 30)
}

/// A URL of each of 1,000 hosts through so many good proxies; dead hosts are told like this, after so long.
async fn fetch(proxies: u16, dead: (Phase, FaultKind), after: u64) -> Outcomes {
    let (phase, kind) = dead;
    let world = World::new(move |outgoing, proxy, _| {
        if is_dead(outgoing.url.host_str().unwrap_or_default()) {
            Reply::fault(phase, kind).after(Duration::from_millis(after))
        } else {
            Reply::status(200).after(Duration::from_millis(250 + 50 * u64::from(proxy)))
        }
    })
    .reach(move |key| match phase {
        Phase::Handshake if is_dead(&key.host) => Err(dead),
        _ => Ok(()),
    });
    let urls = (0..1_000).map(|n| format!("https://h{n}.test/"));
    run(Setup::new(world, proxies).concurrency(64), jobs(urls)).await
}

#[tokio::test(start_paused = true)]
async fn dead_hosts_that_stand_together_shut_no_good_proxy_for_long() {
    use FaultKind::{Closed, Rejected, Reset, Timeout};
    // What the proxy says of an unreachable host differs; some say nothing.
    for (proxies, dead, after, most) in [
        (1, (Phase::Handshake, Rejected(1)), 50, 300),
        (3, (Phase::Handshake, Rejected(502)), 50, 90),
        (3, (Phase::Tls, Reset), 50, 90),
        (10, (Phase::Headers, Closed), 50, 60),
        (10, (Phase::Handshake, Rejected(404)), 50, 90),
        (10, (Phase::Handshake, Timeout), 10_000, 900),
    ] {
        let ended = fetch(proxies, dead, after).await;
        let pages = ended.rows.iter().filter(|row| row.record.ok).count();
        assert_eq!(pages, 700, "{proxies} {dead:?}");
        let most = Duration::from_secs(most);
        assert!(ended.took < most, "{proxies} {dead:?}: {:?}", ended.took);
    }
}
