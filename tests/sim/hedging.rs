//! Second attempts for stragglers, and hosts that are out, on a paused clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use proxywheel::job::{Job, RequestSpec};
use proxywheel::outcome::{FaultKind, Outcome, Phase, Record};

use crate::world::{Hit, Outcomes, Reply, Setup, World, jobs, run};

/// A hundred and fifty pages, of which the last but ten hangs for twenty seconds the first time it is asked for.
fn one_hangs() -> World {
    World::new(|outgoing, _, before| {
        let hangs = outgoing.url.path() == "/140" && before == 0;
        Reply::status(200).after(Duration::from_millis(if hangs { 20_000 } else { 200 }))
    })
}

fn pages(method: Method) -> Vec<Job> {
    let request = Arc::new(RequestSpec {
        method,
        ..RequestSpec::default()
    });
    (0..150)
        .map(|n| Job::new(n, &format!("http://h.test/{n}"), request.clone()))
        .collect()
}

fn asked(ended: &Outcomes) -> HashMap<&str, Vec<&Hit>> {
    let mut asked: HashMap<&str, Vec<&Hit>> = HashMap::new();
    for hit in &ended.hits {
        asked.entry(&hit.path).or_default().push(hit);
    }
    asked
}

/// The record of the page that hangs.
fn late_row(ended: &Outcomes) -> &Record {
    assert_eq!(ended.rows.len(), 150);
    let row = ended.rows.iter().find(|row| row.record.seq == 140);
    &row.expect("a row of every page").record
}

#[tokio::test(start_paused = true)]
async fn a_straggler_is_sent_once_more_elsewhere_and_the_first_answer_is_the_row() {
    let ended = run(
        Setup::new(one_hangs(), 20).concurrency(10),
        pages(Method::GET),
    )
    .await;
    assert!(ended.took < Duration::from_secs(8), "{:?}", ended.took);
    let asked = asked(&ended);
    let late = &asked["/140"];
    assert_eq!(late.len(), 2, "{late:?}");
    assert_ne!(late[0].proxy, late[1].proxy);
    assert_eq!(ended.hits.len(), 151, "nothing else is sent twice");
    assert_eq!(ended.summary.totals.hedges, 1);
    let row = late_row(&ended);
    assert!(row.ok);
    let log: Vec<_> = row
        .attempt_log
        .iter()
        .map(|line| (line.n, line.outcome))
        .collect();
    assert_eq!(log, [(1, Outcome::Ok), (2, Outcome::Cancelled)]);
    assert_eq!((row.attempts, row.proxies_tried), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn what_must_not_arrive_twice_is_waited_for_and_so_is_everything_without_hedges() {
    let post = run(
        Setup::new(one_hangs(), 20).concurrency(10),
        pages(Method::POST),
    )
    .await;
    let mut setup = Setup::new(one_hangs(), 20).concurrency(10);
    setup.engine.hedge = false;
    let plain = run(setup, pages(Method::GET)).await;
    for ended in [post, plain] {
        assert!(ended.took > Duration::from_secs(20));
        assert_eq!((ended.hits.len(), ended.summary.totals.hedges), (150, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_straggler_whose_second_attempt_fails_is_still_waited_for() {
    let world = World::new(|outgoing, _, before| match (outgoing.url.path(), before) {
        ("/140", 0) => Reply::status(200).after(Duration::from_secs(20)),
        ("/140", _) => {
            Reply::fault(Phase::Headers, FaultKind::Reset).after(Duration::from_millis(50))
        }
        _ => Reply::status(200).after(Duration::from_millis(200)),
    });
    let ended = run(Setup::new(world, 20).concurrency(10), pages(Method::GET)).await;
    let row = late_row(&ended);
    assert!(row.ok, "{:?}", row.attempt_log);
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
    let log: Vec<_> = row.attempt_log.iter().map(|line| line.n).collect();
    assert_eq!(log, (1..=log.len() as u32).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_out_for_a_minute_loses_nothing_and_is_hardly_asked_meanwhile() {
    let out = Duration::from_secs(5)..Duration::from_secs(65);
    let begin = tokio::time::Instant::now();
    let world = World::new(move |outgoing, _, _| {
        if outgoing.url.host_str() == Some("h1.test") && out.contains(&begin.elapsed()) {
            return Reply::fault(Phase::Headers, FaultKind::Reset)
                .after(Duration::from_millis(300));
        }
        Reply::status(200).after(Duration::from_millis(300))
    });
    let urls = (0..6000).map(|n| format!("http://h{}.test/{n}", n % 2));
    let ended = run(Setup::new(world, 40).concurrency(40), jobs(urls)).await;
    assert!(ended.rows.iter().all(|row| row.record.ok));
    let during = |hit: &&Hit| {
        let at = hit.at - begin;
        hit.host == "h1.test" && at > Duration::from_secs(8) && at < Duration::from_secs(65)
    };
    let asked = ended.hits.iter().filter(during).count();
    assert!(
        (3..20).contains(&asked),
        "asked {asked} times while it was out"
    );
    assert!(ended.took < Duration::from_secs(110), "{:?}", ended.took);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_hangs_is_not_shown_to_the_whole_pool() {
    let world = World::new(|outgoing, _, _| match outgoing.url.path() {
        "/hangs" => Reply::fault(Phase::Headers, FaultKind::Timeout).after(Duration::from_secs(30)),
        _ => Reply::status(200).after(Duration::from_millis(300)),
    });
    let mut urls = vec!["https://a.test/hangs".to_owned()];
    urls.extend((0..200).map(|n| format!("https://a.test/{n}")));
    let ended = run(Setup::new(world, 200), jobs(urls)).await;
    let hung = ended.hits.iter().filter(|hit| hit.path == "/hangs").count();
    // The budgets allow ten, and three are beside.
    assert!(hung <= 13, "{hung} requests");
    // Four time limits and the waits between them.
    assert!(ended.took < Duration::from_secs(150), "{:?}", ended.took);
    let row = ended
        .rows
        .iter()
        .find(|row| row.record.seq == 0)
        .expect("its row");
    assert_eq!(row.record.outcome, Outcome::Timeout);
}

#[tokio::test(start_paused = true)]
async fn pages_that_always_fail_do_not_take_their_host_down() {
    let world = World::new(|outgoing, _, _| {
        let path = outgoing.url.path();
        match path.starts_with("/bad") {
            true => Reply::status(502).after(Duration::from_millis(50)),
            false => Reply::status(200).after(Duration::from_millis(100)),
        }
    });
    let mut urls: Vec<_> = (0..200).map(|n| format!("http://a.test/{n}")).collect();
    for n in 0..10 {
        urls.insert(n * 20, format!("http://a.test/bad{n}"));
    }
    let ended = run(Setup::new(world, 10), jobs(urls)).await;
    assert_eq!(ended.rows.iter().filter(|row| row.record.ok).count(), 200);
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
}
