//! Inputs in which many hosts are dead and stand together, as in a list of links sorted by site.

use std::time::Duration;

use proxywheel::outcome::{FaultKind, Phase};

use crate::world::{Outcomes, Reply, Setup, World, jobs, run};

/// Of so many hosts each the first are dead, the very first of the input too.
#[derive(Clone, Copy)]
struct Dead(u32, u32);

impl Dead {
    fn has(self, host: &str) -> bool {
        let number = host.trim_matches(|c: char| !c.is_ascii_digit());
        number
            .parse::<u32>()
            .is_ok_and(|number| number % self.1 < self.0)
    }
}

/// A URL of each of 1,000 hosts through so many good proxies; dead hosts are told like this, after so long.
async fn fetch(proxies: u16, hosts: Dead, told: (Phase, FaultKind), after: u64) -> Outcomes {
    let (phase, kind) = told;
    let world = World::new(move |outgoing, proxy, _| {
        if hosts.has(outgoing.url.host_str().unwrap_or_default()) {
            Reply::fault(phase, kind).after(Duration::from_millis(after))
        } else {
            Reply::status(200).after(Duration::from_millis(250 + 50 * u64::from(proxy)))
        }
    })
    .reach(move |key| match phase {
        Phase::Handshake if hosts.has(&key.host) => Err(told),
        _ => Ok(()),
    });
    let urls = (0..1_000).map(|n| format!("https://h{n}.test/"));
    run(Setup::new(world, proxies).concurrency(64), jobs(urls)).await
}

#[tokio::test(start_paused = true)]
async fn dead_hosts_that_stand_together_shut_no_good_proxy_for_long() {
    use FaultKind::{Closed, Rejected, Reset, Timeout};
    // What the proxy says of an unreachable host differs; some say nothing.
    for (proxies, told, after, most) in [
        (1, (Phase::Handshake, Rejected(1)), 50, 90),
        (3, (Phase::Handshake, Rejected(502)), 50, 60),
        (1, (Phase::Tls, Reset), 50, 120),
        (10, (Phase::Headers, Closed), 50, 60),
        (1, (Phase::Handshake, Rejected(404)), 50, 180),
        (10, (Phase::Handshake, Closed), 50, 60),
        (2, (Phase::Handshake, Timeout), 10_000, 2_400),
        (10, (Phase::Handshake, Timeout), 10_000, 1_000),
    ] {
        let ended = fetch(proxies, Dead(30, 100), told, after).await;
        let pages = ended.rows.iter().filter(|row| row.record.ok).count();
        assert_eq!(pages, 700, "{proxies} {told:?}");
        let most = Duration::from_secs(most);
        assert!(ended.took < most, "{proxies} {told:?}: {:?}", ended.took);
    }
}

#[tokio::test(start_paused = true)]
async fn an_input_that_begins_with_a_hundred_dead_hosts_is_not_given_up() {
    use FaultKind::{Closed, Rejected, Timeout};
    for (proxies, told, after) in [
        (1, (Phase::Handshake, Rejected(502)), 50),
        (1, (Phase::Headers, Closed), 50),
        (1, (Phase::Handshake, Timeout), 10_000),
        (3, (Phase::Tls, Timeout), 10_000),
        (10, (Phase::Handshake, Closed), 50),
    ] {
        let ended = fetch(proxies, Dead(100, 1_000), told, after).await;
        let pages = ended.rows.iter().filter(|row| row.record.ok).count();
        assert_eq!(pages, 900, "{proxies} {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nor_is_one_of_plain_http_where_the_page_may_be_the_proxys_own() {
    let hosts = Dead(100, 1_000);
    for (proxies, status) in [(1, Some(502)), (1, None), (10, None)] {
        let world = World::new(move |outgoing, _, _| {
            let dead = hosts.has(outgoing.url.host_str().unwrap_or_default());
            match status.filter(|_| dead) {
                Some(status) => Reply::status(status),
                None if dead => Reply::fault(Phase::Headers, FaultKind::Closed),
                None => Reply::status(200),
            }
        });
        let urls = (0..1_000).map(|n| format!("http://h{n}.test/"));
        let ended = run(Setup::new(world, proxies).concurrency(64), jobs(urls)).await;
        let pages = ended.rows.iter().filter(|row| row.record.ok).count();
        assert_eq!(pages, 900, "{proxies} {status:?}");
    }
}
