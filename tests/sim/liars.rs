//! Boxes that are no proxies and answer everything by themselves.

use std::time::Duration;

use proxywheel::outcome::{Blame, Charge, FaultKind, Phase};

use crate::world::{Reply, Setup, World, jobs, run};

/// What answers CONNECT with 200 and then in the plain.
fn not_tls() -> Reply {
    Reply::fault(Phase::Tls, FaultKind::Malformed).after(Duration::from_millis(10))
}

#[tokio::test(start_paused = true)]
async fn what_forges_pages_over_http_takes_no_https_site_out_and_is_soon_asked_for_no_tunnel() {
    let lies = |proxy: u16| proxy <= 16;
    let world = World::new(move |outgoing, proxy, _| {
        match (lies(proxy), outgoing.url.scheme() == "https") {
            (true, true) => not_tls(),
            (true, false) => Reply::status(200).after(Duration::from_millis(10)),
            (false, _) => Reply::status(200).after(Duration::from_millis(400)),
        }
    });
    let urls = (0..600).map(|n| {
        let scheme = if n < 200 { "http" } else { "https" };
        format!("{scheme}://shop.test/{n}")
    });
    let ended = run(Setup::new(world, 48).concurrency(16), jobs(urls)).await;
    let failed = ended.rows.iter().filter(|row| !row.record.ok).count();
    assert_eq!(failed, 0);
    let log = ended.rows.iter().flat_map(|row| &row.record.attempt_log);
    let plain = log.filter(|attempt| attempt.blame == Blame::Proxy(Charge::NoTunnel));
    assert!(plain.count() > 0);
    // Sixteen of them, each while nobody had been served there yet or once more.
    let asked = ended.hits.iter().filter(|hit| {
        let number: usize = hit.path[1..].parse().expect("a number");
        lies(hit.proxy) && number >= 200
    });
    let asked = asked.count();
    assert!(asked <= 48, "{asked} requests");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_speaks_no_tls_at_all_costs_no_proxy_its_tunnels() {
    let world = World::new(
        |outgoing, _, _| match outgoing.url.host_str() == Some("plain.test") {
            true => not_tls(),
            false => Reply::status(200),
        },
    );
    let urls = (0..400).map(|n| {
        let host = if n % 4 == 0 { "plain" } else { "shop" };
        format!("https://{host}.test/{n}")
    });
    let ended = run(Setup::new(world, 20).concurrency(8), jobs(urls)).await;
    for row in &ended.rows {
        let plain = row.record.input.contains("plain");
        assert_eq!(row.record.ok, !plain, "{}", row.record.input);
    }
    let mut log = ended.rows.iter().flat_map(|row| &row.record.attempt_log);
    assert!(!log.any(|attempt| matches!(attempt.blame, Blame::Proxy(_))));
    let last = ended.pools.last().expect("a snapshot");
    assert_eq!((last.quarantined, last.retired), (0, 0));
    assert!(ended.took < Duration::from_secs(120), "{:?}", ended.took);
}

/// Web servers that are no proxies, quicker than any proxy.
fn web_server(proxy: u16) -> Reply {
    let status = [400, 403, 404, 405][usize::from(proxy % 4)];
    Reply::status(status).after(Duration::from_millis(20))
}

#[tokio::test(start_paused = true)]
async fn the_404_of_a_web_server_that_is_no_proxy_is_not_the_answer_of_the_site() {
    let world = World::new(|_, proxy, _| match proxy <= 16 {
        true => web_server(proxy),
        false => Reply::status(200).after(Duration::from_millis(400)),
    });
    let urls = (0..300).map(|n| format!("http://shop.test/{n}"));
    let ended = run(Setup::new(world, 48).concurrency(16), jobs(urls)).await;
    // Those of the first moment, while nobody has served.
    let failed = ended.rows.iter().filter(|row| !row.record.ok).count();
    assert!(failed <= 6, "{failed} rows");
    let asked = ended.hits.iter().filter(|hit| hit.proxy <= 16).count();
    assert!(asked <= 120, "{asked} requests");
}

#[tokio::test(start_paused = true)]
async fn a_site_without_pages_costs_each_proxy_one_confirmation() {
    let world = World::new(|_, _, _| Reply::status(404));
    let urls = (0..600).map(|n| format!("http://gone.test/{n}"));
    let ended = run(Setup::new(world, 30).concurrency(16), jobs(urls)).await;
    // Some have two requests at once before the first is confirmed.
    assert!(ended.hits.len() <= 660, "{} requests", ended.hits.len());
    let all = ended.rows.iter();
    assert!(all.into_iter().all(|row| row.record.status == Some(404)));
}
