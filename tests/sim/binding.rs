//! The limit that is shown is the one that binds.

use std::num::NonZeroU32;
use std::time::Duration;

use proxywheel::metrics::Binding;

use crate::world::{Outcomes, Reply, Setup, World, jobs, run};

/// What was shown in most of the looks while the run lasted, with the site and how many of them.
fn shown(ended: &Outcomes) -> (Option<Binding>, Option<String>, u32) {
    let looks = &ended.bound[..ended.bound.len() - 1];
    let count = |one: &_| looks.iter().filter(|(why, _)| why == one).count();
    let why = looks
        .iter()
        .map(|(why, _)| *why)
        .max_by_key(count)
        .flatten();
    let look = looks.iter().rev().find(|(one, _)| *one == why);
    let wait = look.map(|(_, wait)| wait.clone()).unwrap_or_default();
    (why, wait.host.map(|host| host.to_string()), wait.hosts)
}

fn answering() -> World {
    World::new(|_, _, _| Reply::status(200).after(Duration::from_millis(400)))
}

fn few(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("not zero")
}

/// Settings of a run, and what it shows.
type Case = (fn(&mut Setup), Binding, bool);

#[tokio::test(start_paused = true)]
async fn each_limit_is_named_while_it_binds() {
    let cases: [Case; 7] = [
        (
            |s| s.limits.concurrency = few(2),
            Binding::Concurrency,
            false,
        ),
        (|s| s.limits.rate = "5/s".parse().ok(), Binding::Rate, false),
        (
            |s| s.limits.host_rate = "3/s".parse().ok(),
            Binding::HostRate,
            true,
        ),
        (
            |s| s.limits.delay = Duration::from_millis(700),
            Binding::Delay,
            true,
        ),
        (
            |s| s.limits.host_concurrency = Some(few(1)),
            Binding::HostConcurrency,
            true,
        ),
        (
            |s| s.limits.proxy_rate = "1/s".parse().ok(),
            Binding::ProxyRate,
            false,
        ),
        (|s| s.pool.proxy_concurrency = 1, Binding::Proxies, false),
    ];
    for (set, expected, names) in cases {
        let mut setup = Setup::new(answering(), 4);
        set(&mut setup);
        let urls = (0..60).map(|n| format!("http://shop.test/{n}"));
        let ended = run(setup, jobs(urls)).await;
        let (why, host, hosts) = shown(&ended);
        assert_eq!(why, Some(expected), "{:?}", ended.bound);
        let site = names.then(|| "shop.test".to_owned());
        assert_eq!((host, hosts), (site, u32::from(names)), "{expected:?}");
        assert_eq!(ended.summary.totals.binding, Some(expected), "at the end");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_site_makes_its_jobs_wait_for_is_told_apart() {
    // Asks everybody to wait.
    let busy = || {
        World::new(|_, _, before| match before {
            0 => Reply::status(429).with("retry-after", "20"),
            _ => Reply::status(200),
        })
    };
    // Bans every exit once, for a while.
    let strict = || {
        World::new(|_, _, before| match before {
            0 => Reply::status(403).with("cf-mitigated", "challenge"),
            _ => Reply::status(200),
        })
    };
    // Has trouble of its own, which is waited for.
    let broken = || {
        World::new(|_, _, before| match before {
            0 => Reply::status(503).with("retry-after", "30"),
            _ => Reply::status(200),
        })
    };
    for (world, proxies, expected) in [
        (busy(), 3, Binding::RetryAfter),
        (strict(), 2, Binding::Rests),
        (broken(), 3, Binding::Retry),
        (
            World::new(|_, _, _| Reply::status(200)).alive(|_| false),
            3,
            Binding::NoProxy,
        ),
    ] {
        let urls = (0..3).map(|n| format!("http://shop.test/{n}"));
        let ended = run(Setup::new(world, proxies), jobs(urls)).await;
        let (why, _, _) = shown(&ended);
        assert_eq!(why, Some(expected), "{:?}", ended.bound);
    }
}
