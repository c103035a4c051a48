//! Inputs in which many hosts are dead and stand together, as in a list of links sorted by site.

use std::time::Duration;

use proxywheel::outcome::{FaultKind, Outcome, Phase};

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

/// Rows of 200 URLs of good hosts, with 40 hosts between them whose certificates do not verify, and those that are not as they should be.
async fn with_bad_certificates(proxies: u16, kind: FaultKind) -> Outcomes {
    let world = World::new(move |outgoing, _, _| {
        match outgoing
            .url
            .host_str()
            .unwrap_or_default()
            .starts_with("bad")
        {
            true => Reply::fault(Phase::Tls, kind),
            false => Reply::status(200),
        }
    });
    let urls = (0..240).map(|n| match n % 6 {
        0 => format!("https://bad{n}.test/"),
        _ => format!("https://h{}.test/{n}", n % 3),
    });
    run(Setup::new(world, proxies).concurrency(8), jobs(urls)).await
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_all_are_shown_is_the_hosts_and_shuts_nobody() {
    for (proxies, kind, most) in [
        (8, FaultKind::OtherCertificate, 2),
        (1, FaultKind::OtherCertificate, 2),
        // What nobody vouches for takes three, and those that have served.
        (8, FaultKind::Certificate, 6),
    ] {
        let ended = with_bad_certificates(proxies, kind).await;
        let (good, bad): (Vec<_>, Vec<_>) = ended.rows.iter().partition(|row| row.record.ok);
        assert_eq!((good.len(), bad.len()), (200, 40), "{proxies} {kind:?}");
        for row in bad {
            assert_eq!(row.record.outcome, Outcome::TlsError, "{proxies} {kind:?}");
            assert!(row.record.attempts <= most, "{}", row.record.attempts);
        }
        let shut = ended
            .pools
            .iter()
            .map(|pool| pool.quarantined + pool.retired);
        assert_eq!(shut.max(), Some(0), "{proxies} {kind:?}");
    }
}
