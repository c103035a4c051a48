//! Whose turn it is among the jobs of a host, and how long the others wait for theirs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use proxywheel::engine::Control;
use proxywheel::job::Job;
use proxywheel::outcome::{FaultKind, Outcome, Phase};
use tokio::time::Instant;

use crate::world::{Reply, Setup, World, jobs, run, run_with};

fn second_rate(setup: &mut Setup) {
    setup.limits.host_rate = Some("20/s".parse().expect("a rate"));
}

#[tokio::test(start_paused = true)]
async fn another_try_does_not_wait_behind_all_that_was_read_ahead() {
    let world = World::new(|outgoing, _, before| match (outgoing.url.path(), before) {
        ("/3", 0) => Reply::status(503),
        _ => Reply::status(200),
    });
    let mut setup = Setup::new(world, 30).concurrency(16);
    second_rate(&mut setup);
    let urls = (0..5000).map(|n| format!("http://a.test/{n}"));
    let ended = run(setup, jobs(urls)).await;
    let hits = ended.hits.iter().filter(|hit| hit.path == "/3");
    let at: Vec<_> = hits.map(|hit| hit.at).collect();
    let [first, second] = at[..] else {
        panic!("{at:?}");
    };
    assert!(
        second - first < Duration::from_secs(2),
        "{:?}",
        second - first
    );
}

#[tokio::test(start_paused = true)]
async fn those_tried_again_and_those_never_tried_take_turns() {
    let world = World::new(|outgoing, _, _| match outgoing.url.path().len() {
        // Two in three of a bad stretch at the beginning.
        ..=4 => Reply::status(503),
        _ => Reply::status(200),
    });
    let mut setup = Setup::new(world, 30).concurrency(16);
    second_rate(&mut setup);
    let urls = (100..2100).map(|n| format!("http://a.test/{n}"));
    let start = Instant::now();
    let ended = run(setup, jobs(urls)).await;
    let good = ended.hits.iter().filter(|hit| hit.path.len() > 4);
    let first = good.map(|hit| hit.at).min().expect("a request") - start;
    // 900 bad ones with four attempts each take 180 s; half of that is left to those that come after.
    assert!(first < Duration::from_secs(100), "{first:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_time_for_retries_is_over_has_its_row_then() {
    let world = World::new(|_, _, _| Reply::status(503));
    let mut setup = Setup::new(world, 30).concurrency(16);
    setup.limits.host_rate = Some("2/s".parse().expect("a rate"));
    setup.retry.max_time = Some(Duration::from_secs(5));
    setup.retry.retries = 100;
    let ended = run(setup, jobs((0..200).map(|n| format!("http://a.test/{n}")))).await;
    assert_eq!(ended.rows.len(), 200);
    for row in &ended.rows {
        let timing = &row.record.timing;
        let since = timing.wait.zip(timing.queue);
        let since = since.map(|(waited, queued)| waited - queued);
        assert!(since.is_some_and(|since| since < 5_100.0), "{timing:?}");
        assert_eq!(row.record.outcome, Outcome::HttpError);
    }
    let mut first = HashMap::new();
    for hit in &ended.hits {
        let first = *first.entry(&hit.path).or_insert(hit.at);
        assert!(hit.at - first <= Duration::from_secs(5));
    }
}

#[tokio::test(start_paused = true)]
async fn hosts_behind_thousands_of_urls_of_one_that_is_down_are_reached() {
    let start = Instant::now();
    let world = World::new(|_, _, _| Reply::status(200)).down(|host| host == "down.test");
    let urls = (0..10_000).map(|n| format!("http://down.test/{n}"));
    let urls = urls.chain((0..500).map(|n| format!("http://h{}.test/{n}", n % 5)));
    let ended = run(Setup::new(world, 30).concurrency(32), jobs(urls)).await;
    let others = ended.hits.iter().filter(|hit| hit.host != "down.test");
    let first = others.map(|hit| hit.at).min().expect("a request") - start;
    assert!(first < Duration::from_secs(5), "{first:?}");
    let good = ended.rows.iter().filter(|row| row.record.ok).count();
    assert_eq!((good, ended.rows.len()), (500, 10_500));
}

/// So many jobs of each account, one account after the other, over these hosts.
fn by_account(accounts: usize, each: usize, hosts: usize) -> Vec<Job> {
    let urls = (0..accounts * each).map(|n| format!("http://h{}.test/{n}", n % hosts));
    let mut list = jobs(urls);
    for (n, job) in list.iter_mut().enumerate() {
        job.session = Some(Arc::from(format!("account {}", n / each)));
    }
    list
}

#[tokio::test(start_paused = true)]
async fn jobs_of_a_session_whose_proxy_is_busy_do_not_hold_up_those_of_others() {
    for hosts in [1, 3] {
        let world = World::new(|_, _, _| Reply::status(200).after(Duration::from_millis(500)));
        let setup = Setup::new(world, 60).concurrency(50);
        let ended = run(setup, by_account(20, 100, hosts)).await;
        assert!(ended.rows.iter().all(|row| row.record.ok));
        // 20 s with all slots in use. Those of one account alone would keep two or three of them.
        assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
        let mut of: HashMap<usize, Vec<u16>> = HashMap::new();
        for hit in &ended.hits {
            let number: usize = hit.path[1..].parse().expect("a number");
            of.entry(number / 100).or_default().push(hit.proxy);
        }
        for (account, proxies) in of {
            assert!(
                proxies.iter().all(|proxy| *proxy == proxies[0]),
                "{account}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_that_wait_for_a_proxy_go_on_through_another_when_it_is_gone() {
    for (seed, max_time) in [(1, None), (2, Some(Duration::from_secs(20))), (3, None)] {
        let start = Instant::now();
        let world = World::new(move |outgoing, proxy, _| {
            let wave = start.elapsed().as_secs() / 10;
            match (u64::from(proxy) + wave) % 3 {
                0 => Reply::fault(Phase::Connect, FaultKind::Refused),
                1 if outgoing.url.host_str() == Some("h1.test") => Reply::status(503),
                _ => Reply::status(200).after(Duration::from_millis(500)),
            }
        });
        let mut setup = Setup::new(world, 30).concurrency(50);
        setup.engine.seed = Some(seed);
        setup.retry.max_time = max_time;
        setup.limits.proxy_rate = Some("5/s".parse().expect("a rate"));
        let ended = run(setup, by_account(20, 50, 4)).await;
        let good = ended.rows.iter().filter(|row| row.record.ok).count();
        assert_eq!(ended.rows.len(), 1000, "seed {seed}");
        assert!(good > 800, "seed {seed}: {good}");
        assert!(
            ended.took < Duration::from_secs(120),
            "seed {seed}: {:?}",
            ended.took
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_keeps_its_proxy_through_a_429_a_timeout_and_pages_that_are_alike() {
    let world = World::new(|outgoing, _, before| {
        let number: usize = outgoing.url.path()[1..].parse().expect("a number");
        match (number, before) {
            (3, 0) => Reply::status(429).with("retry-after", "2"),
            (25, 0) => Reply::status(429).with("retry-after", "1"),
            (47, 0) => Reply::fault(Phase::Headers, FaultKind::Timeout),
            (60..80, _) => Reply::status(200).body("<p>no orders</p>"),
            _ => Reply::status(200).body(&format!("<p>page {number} of its account</p>")),
        }
    });
    let ended = run(Setup::new(world, 20), by_account(10, 20, 1)).await;
    assert!(ended.rows.iter().all(|row| row.record.ok));
    for account in 0..10 {
        let number = |path: &str| path[1..].parse::<usize>().expect("a number");
        let own = ended
            .hits
            .iter()
            .filter(|hit| number(&hit.path) / 20 == account);
        let proxies: HashSet<u16> = own.map(|hit| hit.proxy).collect();
        assert_eq!(proxies.len(), 1, "account {account}: {proxies:?}");
    }
}

/// So many jobs of each account over three hosts, of which every tenth is a POST.
fn with_posts(accounts: usize, each: usize) -> Vec<Job> {
    let mut list = by_account(accounts, each, 3);
    for job in list.iter_mut().step_by(10) {
        let mut request = (*job.request).clone();
        request.method = Method::POST;
        job.request = Arc::new(request);
    }
    list
}

#[tokio::test(start_paused = true)]
async fn a_login_is_answered_before_the_pages_behind_it_are_asked_for() {
    const TAKES: Duration = Duration::from_millis(500);
    let world = World::new(|outgoing, _, before| {
        let number: usize = outgoing.url.path()[1..].parse().expect("a number");
        match (number % 7, before) {
            (3, 0) => Reply::status(503),
            (4, 0) => Reply::status(429).with("retry-after", "2"),
            (5, 0) => Reply::fault(Phase::Connect, FaultKind::Refused),
            _ => Reply::status(200),
        }
        .after(TAKES)
    });
    let ended = run(Setup::new(world, 20), with_posts(8, 30)).await;
    let mut asked: HashMap<usize, Vec<Instant>> = HashMap::new();
    for hit in &ended.hits {
        let number = hit.path[1..].parse().expect("a number");
        asked.entry(number).or_default().push(hit.at);
    }
    for (number, times) in &asked {
        let of_account = number - number % 30;
        let post = number - number % 10;
        let is_post = *number == post;
        // A page waits for the last POST before it, and a POST for all that is before it.
        let before = if is_post {
            of_account..post
        } else {
            post..post + 1
        };
        let answered = before
            .flat_map(|one| &asked[&one])
            .map(|at| *at + TAKES)
            .max();
        assert!(
            answered.is_none_or(|answered| answered <= times[0]),
            "{number}: {answered:?} {times:?}"
        );
    }
    assert_eq!(ended.rows.len(), 240);
    assert!(ended.rows.iter().filter(|row| row.record.ok).count() > 200);
    assert!(ended.took < Duration::from_secs(60), "{:?}", ended.took);
}

#[tokio::test(start_paused = true)]
async fn pages_do_not_wait_for_a_login_that_nobody_waits_for_any_more() {
    let world = World::new(|outgoing, _, _| {
        let hangs = matches!(outgoing.url.path(), "/0" | "/11");
        Reply::status(200).after(Duration::from_secs(if hangs { 3_000 } else { 1 }))
    });
    let mut list = with_posts(1, 20);
    list.iter_mut()
        .zip(0..)
        .for_each(|(job, seq)| job.seq = seq);
    let ended = run_with(Setup::new(world, 5), list, async |control| {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let _ = control
            .send(Control::Forget(HashSet::from([0, 10, 11])))
            .await;
    })
    .await;
    assert_eq!(ended.rows.len(), 17);
    assert!(ended.rows.iter().all(|row| row.record.ok));
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
}
