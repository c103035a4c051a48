//! What answers say together, through the whole engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proxywheel::job::{Job, RequestSpec};
use proxywheel::outcome::{Blame, FaultKind, Finished, Outcome, Phase};

use crate::world::{Reply, Setup, World, jobs, run};

fn urls(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("http://h0.test/{n}")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_bare_refusal_that_another_exit_does_not_meet_is_charged_to_the_pair() {
    let world = World::new(|_, proxy, _| Reply::status(if proxy < 3 { 403 } else { 200 }));
    let ended = run(Setup::new(world, 12).concurrency(4), jobs(urls(200))).await;
    // The first refusal of an exit may go uncontradicted, where the second opinion is another one's.
    let bad = ended.rows.iter().filter(|row| !row.record.ok).count();
    let refused = ended.hits.iter().filter(|hit| hit.proxy < 3).count();
    assert!(bad <= 2 && refused <= 8, "{bad} rows, {refused} requests");
    let mut differing = 0;
    for row in ended.rows.iter().filter(|row| row.record.ok) {
        for attempt in &row.record.attempt_log {
            let rule = attempt.rule.as_deref();
            assert_eq!(attempt.outcome != Outcome::Ok, rule == Some("host.differs"));
            assert_eq!(attempt.blame == Blame::Pair, rule.is_some());
            differing += usize::from(rule.is_some());
        }
    }
    assert!(differing > 0);
}

#[tokio::test(start_paused = true)]
async fn an_exit_whose_streams_are_ended_while_others_are_served_rests_at_this_host_and_keeps_its_score()
 {
    let world = World::new(|_, proxy, _| match proxy < 3 {
        true => Reply::fault(Phase::Headers, FaultKind::Http2(2)).after(Duration::from_millis(100)),
        false => Reply::status(200),
    });
    let urls = (0..200).map(|n| format!("https://h0.test/{n}"));
    let ended = run(Setup::new(world, 12).concurrency(4), jobs(urls)).await;
    let refused = ended.hits.iter().filter(|hit| hit.proxy < 3).count();
    assert!((1..=12).contains(&refused), "{refused} requests");
    let log = ended.rows.iter().flat_map(|row| &row.record.attempt_log);
    for attempt in log.filter(|attempt| attempt.outcome != Outcome::Ok) {
        assert_eq!(attempt.rule.as_deref(), Some("host.differs"));
        assert_eq!(attempt.blame, Blame::Pair);
    }
    assert!(ended.rows.iter().all(|row| row.record.ok));
    let quarantined = ended.summary.totals.pool.quarantined;
    assert_eq!(quarantined, 0);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_refused_to_everybody_costs_nobody_anything() {
    let world = World::new(|outgoing, _, _| {
        let private = outgoing.url.path().ends_with('7');
        Reply::status(if private { 403 } else { 200 })
    });
    let ended = run(Setup::new(world, 12).concurrency(4), jobs(urls(200))).await;
    for row in &ended.rows {
        let private = row.record.input.ends_with('7');
        assert_eq!(row.record.ok, !private, "{}", row.record.input);
        let charged = |blame: Blame| !matches!(blame, Blame::Target | Blame::Nobody);
        assert!(
            !row.record
                .attempt_log
                .iter()
                .any(|attempt| charged(attempt.blame))
        );
    }
    assert_eq!(ended.summary.totals.pool.cooling_pairs, 0);
}

fn empty_page() -> Reply {
    Reply::status(200)
        .with("content-type", "text/html")
        .body("")
}

#[tokio::test(start_paused = true)]
async fn a_page_of_nothing_is_charged_to_nobody_unless_another_exit_gets_a_page() {
    // Scripts that have nothing to say, among pages, and one exit that gets nothing else.
    let world = World::new(|outgoing, proxy, _| {
        let script = outgoing.url.path().ends_with('7');
        match script || proxy == 0 {
            true => empty_page(),
            false => Reply::status(200),
        }
    });
    let ended = run(Setup::new(world, 12).concurrency(4), jobs(urls(200))).await;
    assert!(ended.summary.totals.elapsed < Duration::from_secs(60));
    for row in &ended.rows {
        let record = &row.record;
        if record.input.ends_with('7') {
            let rule = record.ban.as_ref().map(|ban| &*ban.rule);
            let row = (record.outcome, rule, record.attempts);
            assert_eq!(row, (Outcome::HttpError, Some("page.empty"), 3));
            let charged = |blame: Blame| blame != Blame::Target;
            assert!(!record.attempt_log.iter().any(|line| charged(line.blame)));
        } else {
            assert!(record.ok, "{}", record.input);
        }
    }
    let banned = ended.hits.iter().filter(|hit| hit.proxy == 0).count();
    assert!(
        banned < 20,
        "{banned} requests through the exit that gets nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_in_reply_to_a_post_is_an_answer() {
    let world = World::new(|_, _, _| empty_page());
    let request = Arc::new(RequestSpec {
        method: http::Method::POST,
        ..RequestSpec::default()
    });
    let posts = (0..20).map(|seq| Job::new(seq, "http://h0.test/hook", request.clone()));
    let ended = run(Setup::new(world, 12), posts.collect()).await;
    let answered = |row: &&Finished| (row.record.ok, row.record.attempts) == (true, 1);
    assert_eq!(ended.rows.iter().filter(answered).count(), 20);
}

#[tokio::test(start_paused = true)]
async fn default_pages_of_the_targets_themselves_take_no_proxy_out() {
    let is_default = |host: &str| host.ends_with(['0', '3', '7']);
    let world = World::new(move |outgoing, _, _| {
        let host = outgoing.url.host_str().unwrap_or_default();
        let name = host.trim_end_matches(".test");
        let page = match is_default(name) {
            true => "<html><title>Welcome to nginx!</title><h1>Welcome to nginx!</h1></html>",
            false => "<html><title>Shop</title><p>Prices</p></html>",
        };
        Reply::status(200)
            .body(page)
            .after(Duration::from_millis(50))
    });
    let urls = (0..600).map(|n| format!("http://d{n}.test/"));
    let ended = run(Setup::new(world, 20), jobs(urls)).await;
    let ok = ended.rows.iter().filter(|row| row.record.ok).count();
    assert_eq!(ok, 420);
    let last = ended.pools.last().expect("a snapshot");
    assert_eq!(last.retired, 0);
    for row in ended.rows.iter().filter(|row| !row.record.ok) {
        assert_eq!(row.record.outcome, Outcome::Corrupt);
        assert!(row.record.attempts <= 3, "{:?}", row.record);
    }
    assert!(ended.took < Duration::from_secs(120), "{:?}", ended.took);
}

/// Takes a third of a second for a status.
fn slowly(status: u16) -> Reply {
    Reply::status(status).after(Duration::from_millis(300))
}

fn pages(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("https://h0.test/{n}"))
}

#[tokio::test(start_paused = true)]
async fn a_host_that_answers_only_that_it_cannot_serve_is_asked_now_and_then_until_it_does() {
    let world = World::new(|_, _, _| slowly(503));
    let ended = run(Setup::new(world, 50).concurrency(64), jobs(pages(3000))).await;
    assert_eq!(ended.rows.len(), 3000);
    let asked = ended.hits.len();
    assert!(asked <= 150, "{asked} requests in {:?}", ended.took);
    assert!(ended.took <= Duration::from_secs(330), "{:?}", ended.took);

    let began = tokio::time::Instant::now();
    let world = World::new(move |_, _, _| {
        let is_down = (10..70).contains(&began.elapsed().as_secs());
        slowly(if is_down { 503 } else { 200 })
    });
    let ended = run(Setup::new(world, 50).concurrency(64), jobs(pages(5000))).await;
    assert!(ended.rows.iter().all(|row| row.record.ok));
    assert!(ended.hits.len() <= 5200, "{} requests", ended.hits.len());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_out_for_a_while_loses_no_page_however_few_proxies_ask_it() {
    for (proxies, concurrency) in [(1, 64), (10, 8), (40, 4), (40, 8)] {
        let began = tokio::time::Instant::now();
        let world = World::new(move |_, _, _| {
            let is_down = (10..40).contains(&began.elapsed().as_secs());
            slowly(if is_down { 502 } else { 200 })
        });
        let setup = Setup::new(world, proxies).concurrency(concurrency);
        let ended = run(setup, jobs(pages(1000))).await;
        let lost = ended.rows.iter().filter(|row| !row.record.ok).count();
        assert_eq!(lost, 0, "{proxies} proxies, -j {concurrency}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_site_that_answers_503_to_whoever_is_too_fast_is_asked_more_slowly() {
    for (proxies, count) in [(1, 300), (1, 60), (3, 300)] {
        // Twenty at once and ten a second.
        let began = tokio::time::Instant::now();
        let next = AtomicU64::new(0);
        let world = World::new(move |_, _, _| {
            let now = began.elapsed().as_millis() as u64;
            let at = next.load(Ordering::Relaxed).max(now);
            let is_served = at < now + 2_000;
            next.store(at + if is_served { 100 } else { 0 }, Ordering::Relaxed);
            Reply::status(if is_served { 200 } else { 503 }).after(Duration::from_millis(5))
        });
        let ended = run(
            Setup::new(world, proxies).concurrency(64),
            jobs(pages(count)),
        )
        .await;
        let lost = ended.rows.iter().filter(|row| !row.record.ok).count();
        let took = ended.took;
        assert_eq!(lost, 0, "{proxies} proxies, {count} pages");
        assert!(took < Duration::from_secs(60), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_shall_not_be_asked_for_again_is_not_because_its_host_is_out() {
    let world = World::new(|_, _, _| slowly(503));
    let mut setup = Setup::new(world, 50).concurrency(64);
    setup.retry.retries = 0;
    let ended = run(setup, jobs(pages(50))).await;
    assert_eq!(ended.rows.len(), 50);
    for row in &ended.rows {
        assert!(row.record.attempts <= 1, "{:?}", row.record);
    }
    let asked = ended
        .rows
        .iter()
        .filter(|row| row.record.status == Some(503));
    assert_eq!(asked.count(), ended.hits.len());
}

#[tokio::test(start_paused = true)]
async fn a_host_of_which_some_pages_are_never_served_is_asked_as_fast_as_ever() {
    let world = World::new(|outgoing, _, _| {
        let is_broken = outgoing.url.path().ends_with('7');
        slowly(if is_broken { 503 } else { 200 })
    });
    let ended = run(Setup::new(world, 50).concurrency(64), jobs(pages(3000))).await;
    let failed = ended.rows.iter().filter(|row| !row.record.ok).count();
    assert_eq!(failed, 300);
    // 3,900 requests of 0.3 s, 64 at once, and the waits of the last ones.
    assert!(ended.took <= Duration::from_secs(25), "{:?}", ended.took);
}
