//! What the dispatcher promises, on a paused clock with scripted answers.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use proxywheel::engine::{Control, Sticky};
use proxywheel::job::{Job, LabelFilter, RequestSpec};
use proxywheel::metrics::FinishReason;
use proxywheel::outcome::{FaultKind, Outcome, Phase};
use proxywheel::pool::{OnNoProxy, Strategy};
use proxywheel::proxy::{Credentials, Proxy, Scheme};
use proxywheel::secret::Secret;

use crate::world::{
    Given, Reply, Setup, World, densest, jobs, members, run, run_of, run_stream, run_with,
};

fn urls(count: usize, hosts: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("http://h{}.test/{n}", n % hosts))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn every_job_gets_exactly_one_row_whatever_happens_to_it() {
    let world = World::new(|_, proxy, before| match (proxy % 5, before) {
        (0, _) => Reply::status(403).with("cf-mitigated", "challenge"),
        (1, _) => Reply::fault(Phase::Headers, FaultKind::Reset).after(Duration::from_millis(50)),
        (2, 0) => Reply::status(503),
        _ => Reply::status(200),
    })
    .alive(|proxy| proxy % 7 != 0);
    let mut list = jobs(urls(500, 3));
    list.push(Job::new(500, "ftp://h0.test/", Arc::default()));
    let ended = run(Setup::new(world, 60), list).await;
    let seqs: HashSet<u64> = ended.rows.iter().map(|row| row.record.seq).collect();
    assert_eq!((ended.rows.len(), seqs.len()), (501, 501));
    assert_eq!(ended.summary.reason, FinishReason::Done);
    let good = ended.rows.iter().filter(|row| row.record.ok).count();
    assert_eq!(good, 500, "every URL was there to be had");
    assert_eq!(ended.summary.totals.count(Outcome::InvalidUrl), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_an_attempt_ends_the_run_and_its_message_holds_no_secret() {
    const CANARY: &str = "canary-4f1d";
    let credentials = Credentials {
        user: Secret::new(format!("user-{CANARY}")),
        password: Secret::new(CANARY),
    };
    let list = vec![Arc::new(Proxy::new(
        Scheme::Http,
        "10.0.0.1",
        1,
        Some(credentials),
    ))];
    let world = World::new(|outgoing, _, _| panic!("cannot send {outgoing:?} {outgoing:#?}"));
    // Credentials in a URL become a header of the request.
    let job = jobs([format!("http://me:{CANARY}@h0.test/")]);
    let died = tokio::spawn(run_of(Setup::new(world, 0), list, job)).await;
    let Err(died) = died else {
        panic!("the run went on without its attempt");
    };
    let message = died.into_panic().downcast::<String>().expect("a message");
    assert!(message.contains("authorization"), "{message}");
    let encoded = STANDARD.encode(format!("me:{CANARY}"));
    for secret in [CANARY, &encoded] {
        assert!(!message.contains(secret), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn four_limits_hold_together_retries_included() {
    let world = World::new(|_, _, before| {
        if before == 0 {
            Reply::status(500)
        } else {
            Reply::status(200)
        }
    });
    let mut setup = Setup::new(world, 40);
    let quota = |text: &str| Some(text.parse().expect("a rate"));
    setup.limits.rate = quota("50/s");
    setup.limits.host_rate = quota("10/s");
    setup.limits.proxy_rate = quota("2/s");
    setup.limits.pair_rate = quota("1/s");
    let ended = run(setup, jobs(urls(400, 4))).await;
    assert!(
        ended
            .rows
            .iter()
            .all(|row| row.record.ok && row.record.attempts == 2)
    );
    let second = Duration::from_secs(1);
    assert!(densest(&ended.hits, second, |_| ()) <= 50);
    assert!(densest(&ended.hits, second, |hit| hit.host.clone()) <= 10);
    assert!(densest(&ended.hits, second, |hit| hit.proxy) <= 2);
    assert!(densest(&ended.hits, second, |hit| (hit.proxy, hit.host.clone())) <= 1);
    // 800 sends at 40/s (four hosts at 10/s bind) take 20 s at least.
    let seconds = ended.took.as_secs_f64();
    assert!((20.0..=22.5).contains(&seconds), "{seconds} s");
}

#[tokio::test(start_paused = true)]
async fn a_paced_host_does_not_hold_up_the_others() {
    let world = World::new(|_, _, _| Reply::status(200));
    let mut setup = Setup::new(world, 50).concurrency(8);
    setup.limits.host_rate = Some("1/s".parse().expect("a rate"));
    let mut list = urls(30, 1);
    list.extend((0..30).map(|n| format!("http://other{n}.test/")));
    let ended = run(setup, jobs(list)).await;
    let others = ended
        .hits
        .iter()
        .filter(|hit| hit.host.starts_with("other"));
    let last = others.map(|hit| hit.at).max().expect("hits");
    let first = ended.hits[0].at;
    assert!(last - first < Duration::from_secs(2), "{:?}", last - first);
}

#[tokio::test(start_paused = true)]
async fn one_refusal_parks_the_pair_and_only_agreement_stops_the_host() {
    // Proxy 1 alone is refused: the others keep the host busy.
    let one = World::new(|_, proxy, _| match proxy {
        1 => Reply::status(429).with("retry-after", "30"),
        _ => Reply::status(200),
    });
    let ended = run(Setup::new(one, 20), jobs(urls(300, 1))).await;
    assert!(ended.rows.iter().all(|row| row.record.ok));
    assert!(ended.took < Duration::from_secs(20), "{:?}", ended.took);
    let refused = ended.hits.iter().filter(|hit| hit.proxy == 1).count();
    assert!(
        refused <= 2,
        "{refused} requests to a pair that was told to wait"
    );

    // Everybody is refused until 20 s have passed: the host waits as it was asked, and no URL is lost.
    let start = tokio::time::Instant::now();
    let all = World::new(move |_, _, _| {
        if start.elapsed() < Duration::from_secs(20) {
            Reply::status(429).with("retry-after", "25")
        } else {
            Reply::status(200)
        }
    });
    let ended = run(Setup::new(all, 40).concurrency(10), jobs(urls(50, 1))).await;
    assert!(
        ended.rows.iter().all(|row| row.record.ok),
        "{:?}",
        ended.summary.totals.outcomes
    );
    let early = ended
        .hits
        .iter()
        .filter(|hit| hit.at - start < Duration::from_secs(20))
        .count();
    assert!(
        early <= 10,
        "{early} requests to a host that asked for quiet"
    );
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_pool_ends_the_run_with_a_row_for_every_job() {
    let world = World::new(|_, _, _| Reply::status(200)).alive(|_| false);
    let ended = run(Setup::new(world, 30), jobs(urls(5000, 2))).await;
    assert_eq!(ended.summary.reason, FinishReason::NoProxy);
    assert_eq!(ended.rows.len(), 5000);
    assert!(
        ended
            .rows
            .iter()
            .all(|row| row.record.outcome == Outcome::Skipped)
    );
    assert!(
        ended.hits.is_empty(),
        "nothing may be sent, least of all directly"
    );
    assert!(ended.took < Duration::from_secs(60), "{:?}", ended.took);
}

#[tokio::test(start_paused = true)]
async fn with_wait_the_run_goes_on_when_a_proxy_comes_back() {
    let start = tokio::time::Instant::now();
    let world = World::new(|_, _, _| Reply::status(200))
        .alive(move |_| start.elapsed() > Duration::from_secs(120));
    let mut setup = Setup::new(world, 5);
    setup.pool.on_no_proxy = OnNoProxy::Wait;
    let ended = run(setup, jobs(urls(20, 1))).await;
    assert!(ended.rows.iter().all(|row| row.record.ok));
    assert!(ended.took < Duration::from_secs(180), "{:?}", ended.took);
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_what_is_in_flight_and_leaves_the_rest_without_rows() {
    let world = World::new(|_, _, _| Reply::status(200).after(Duration::from_secs(3)));
    let setup = Setup::new(world, 50).concurrency(10);
    let ended = run_with(setup, jobs(urls(100, 2)), async |control| {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let _ = control
            .send(Control::Drain(FinishReason::Interrupted))
            .await;
    })
    .await;
    assert_eq!(ended.summary.reason, FinishReason::Interrupted);
    assert_eq!(ended.rows.len(), 10);
    assert_eq!(ended.hits.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_longer_than_its_grace() {
    let world = World::new(|_, _, _| Reply::status(200).after(Duration::from_secs(25)));
    let ended = run_with(Setup::new(world, 50), jobs(urls(40, 2)), async |control| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _ = control.send(Control::Drain(FinishReason::Terminated)).await;
    })
    .await;
    assert_eq!(ended.rows.len(), 0);
    assert!(ended.took < Duration::from_secs(12), "{:?}", ended.took);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_may_have_arrived_is_not_sent_twice() {
    let world = World::new(|_, _, _| {
        Reply::fault(Phase::Headers, FaultKind::Reset).after(Duration::from_millis(10))
    });
    let request = RequestSpec {
        method: Method::POST,
        body: "a=b".into(),
        ..RequestSpec::default()
    };
    let list = vec![Job::new(0, "http://h.test/form", Arc::new(request))];
    let ended = run(Setup::new(world, 10), list).await;
    assert_eq!(ended.hits.len(), 1);
    assert_eq!(ended.rows[0].record.outcome, Outcome::NetworkError);
}

#[tokio::test(start_paused = true)]
async fn redirects_stay_on_one_proxy_and_secrets_stay_with_their_host() {
    let world = World::new(|outgoing, _, _| match outgoing.url.path() {
        "/start" => Reply::status(302).with("location", "/next"),
        "/next" => Reply::status(307).with("location", "http://elsewhere.test/end"),
        _ => Reply::status(200),
    });
    let mut request = RequestSpec {
        method: Method::POST,
        ..RequestSpec::default()
    };
    request
        .headers
        .insert("authorization", "Basic eHg=".parse().expect("a value"));
    let list = vec![Job::new(0, "http://h.test/start", Arc::new(request))];
    let ended = run(Setup::new(world, 10), list).await;
    let seen: Vec<_> = ended
        .hits
        .iter()
        .map(|hit| (hit.path.as_str(), hit.method.as_str(), hit.authorization))
        .collect();
    assert_eq!(
        seen,
        [
            ("/start", "POST", true),
            ("/next", "GET", true),
            ("/end", "GET", false)
        ]
    );
    let away: Vec<_> = ended.hits.iter().map(|hit| hit.elsewhere).collect();
    assert_eq!(away, [false, false, true]);
    let proxies: HashSet<u16> = ended.hits.iter().map(|hit| hit.proxy).collect();
    assert_eq!(proxies.len(), 1);
    let record = &ended.rows[0].record;
    assert_eq!(
        record.final_url.as_deref(),
        Some("http://elsewhere.test/end")
    );
    assert_eq!(record.redirects.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_loop_ends_at_the_limit_after_a_second_opinion() {
    let world = World::new(|_, _, _| Reply::status(302).with("location", "/again"));
    let ended = run(Setup::new(world, 3), jobs(urls(1, 1))).await;
    let record = &ended.rows[0].record;
    assert_eq!(
        record.error.as_ref().map(|error| error.kind),
        Some("redirects")
    );
    assert_eq!((record.attempts, ended.hits.len()), (2, 22));
    // The last answer was one of the redirects.
    assert_eq!(record.status, Some(302));
    assert_eq!(record.attempt_log[0].status, Some(302));
    assert_eq!(record.final_url.as_deref(), Some("http://h0.test/again"));
}

#[tokio::test(start_paused = true)]
async fn sticky_hosts_keep_their_proxy_until_it_fails_them() {
    let world = World::new(|_, _, _| Reply::status(200));
    let mut setup = Setup::new(world, 30).concurrency(4);
    setup.engine.sticky = Sticky::Host;
    setup.pool.strategy = Strategy::Random;
    let ended = run(setup, jobs(urls(60, 3))).await;
    let mut by_host: HashMap<&str, HashSet<u16>> = HashMap::new();
    for hit in &ended.hits {
        by_host.entry(&hit.host).or_default().insert(hit.proxy);
    }
    assert!(
        by_host.values().all(|proxies| proxies.len() == 1),
        "{by_host:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_no_proxy_may_serve_says_so() {
    let world = World::new(|_, _, _| Reply::status(200));
    let mut list = jobs(urls(3, 1));
    list[1].filter = Some(Arc::new(LabelFilter {
        country: Some("de".into()),
        tags: Vec::new(),
    }));
    let ended = run(Setup::new(world, 4), list).await;
    let odd = ended
        .rows
        .iter()
        .find(|row| row.record.seq == 1)
        .expect("its row");
    assert_eq!(odd.record.outcome, Outcome::ProxyError);
    assert_eq!(
        odd.record.error.as_ref().map(|error| error.kind),
        Some("no_usable_proxy")
    );
    assert_eq!(ended.rows.iter().filter(|row| row.record.ok).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_reload_swaps_the_members_without_losing_a_job() {
    let world = World::new(|_, _, _| Reply::status(200).after(Duration::from_secs(1)));
    let setup = Setup::new(world, 20).concurrency(10);
    let ended = run_with(setup, jobs(urls(200, 2)), async |control| {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let list = members(40).split_off(20);
        let _ = control.send(Control::Replace(list)).await;
    })
    .await;
    assert_eq!(ended.rows.iter().filter(|row| row.record.ok).count(), 200);
    let late = ended
        .hits
        .iter()
        .filter(|hit| hit.at > ended.hits[0].at + Duration::from_secs(7));
    assert!(late.clone().count() > 0 && late.clone().all(|hit| hit.proxy > 20));
}

#[tokio::test(start_paused = true)]
async fn host_concurrency_is_never_exceeded() {
    let world = World::new(|_, _, _| Reply::status(200).after(Duration::from_secs(1)));
    let mut setup = Setup::new(world, 50);
    setup.limits.host_concurrency = NonZeroU32::new(3);
    let ended = run(setup, jobs(urls(60, 2))).await;
    // Every answer takes a second, so a window of one second holds exactly those in flight together.
    let width = Duration::from_millis(999);
    assert!(densest(&ended.hits, width, |hit| hit.host.clone()) <= 3);
    assert!(ended.took < Duration::from_secs(13), "{:?}", ended.took);
}

/// 20 URLs of `down.test` in front of 60 URLs of eleven hosts.
fn behind_a_dead_host() -> Vec<Job> {
    let dead = (0..20).map(|n| format!("https://down.test/{n}"));
    jobs(dead.chain((0..60).map(|n| format!("https://h{}.test/page/{n}", n % 11))))
}

#[tokio::test(start_paused = true)]
async fn a_dead_host_in_front_keeps_neither_one_proxy_nor_many_from_the_rest() {
    // Two that serve the others agree that it is out, and it is waited for a minute.
    for (proxies, patience) in [(1, 60), (2, 75), (300, 30)] {
        let world = World::new(|_, _, _| Reply::status(200)).down(|host| host == "down.test");
        let ended = run(Setup::new(world, proxies), behind_a_dead_host()).await;
        assert_eq!(ended.summary.reason, FinishReason::Done, "{proxies}");
        for row in &ended.rows {
            let record = &row.record;
            let dead = record.input.contains("down.test");
            let expected = if dead {
                Outcome::ProxyError
            } else {
                Outcome::Ok
            };
            assert_eq!(record.outcome, expected, "{proxies}: {}", record.input);
            assert!(
                record.attempts > 0,
                "somebody was asked for {}",
                record.input
            );
        }
        let patience = Duration::from_secs(patience);
        assert!(ended.took < patience, "{proxies}: {:?}", ended.took);
    }
}

#[tokio::test(start_paused = true)]
async fn proxies_that_reach_nothing_are_given_up_after_a_minute() {
    let world = World::new(|_, _, _| Reply::status(200)).down(|_| true);
    let ended = run(Setup::new(world, 30), jobs(urls(5000, 40))).await;
    assert_eq!(ended.summary.reason, FinishReason::NoProxy);
    assert_eq!(ended.rows.len(), 5000);
    assert!(ended.rows.iter().all(|row| !row.record.ok));
    let asked: HashSet<_> = ended.hits.iter().map(|hit| &hit.host).collect();
    assert_eq!(asked.len(), 40, "every host had its chance");
    let seconds = ended.took.as_secs();
    assert!((30..120).contains(&seconds), "{seconds} s");
}

#[tokio::test(start_paused = true)]
async fn another_list_revives_a_run_that_skips() {
    // One job meets a dead list and is skipped; the others come after the reload.
    let world = World::new(|_, _, _| Reply::status(200)).alive(|proxy| proxy > 3);
    let (jobs_in, input) = tokio::sync::mpsc::channel(8);
    let setup = Setup::new(world, 3);
    let first = jobs(urls(1, 1)).remove(0);
    let second = jobs(urls(2, 1)).remove(1);
    let ended = run_stream(setup, members(3), Given(input), async move |control| {
        let _ = jobs_in.send(first).await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        let _ = control
            .send(Control::Replace(members(6).split_off(3)))
            .await;
        let _ = jobs_in.send(second).await;
    })
    .await;
    let of = |seq| ended.rows.iter().find(|row| row.record.seq == seq);
    assert_eq!(of(0).map(|row| row.record.outcome), Some(Outcome::Skipped));
    assert_eq!(of(1).map(|row| row.record.outcome), Some(Outcome::Ok));
    assert_eq!(ended.summary.reason, FinishReason::Done);
}

#[tokio::test(start_paused = true)]
async fn bans_within_their_time_are_kept_however_many_hosts_come_between() {
    let world = World::new(|outgoing, proxy, _| {
        let host = outgoing.url.host_str().unwrap_or_default();
        match host.starts_with("bans") && proxy <= 5 {
            true => Reply::status(403)
                .with("cf-mitigated", "challenge")
                .with("retry-after", "3000")
                .after(Duration::from_millis(50)),
            false => Reply::status(200),
        }
    });
    let banning = |pass| (0..100).map(move |n| format!("http://bans{n}.test/{pass}"));
    let others = (0..13_000).map(|n| format!("http://h{n}.test/"));
    let urls = banning("first").chain(others).chain(banning("second"));
    let ended = run(Setup::new(world, 8).concurrency(64), jobs(urls)).await;
    let refused = |pass: &str| -> HashSet<(String, u16)> {
        let hits = ended.hits.iter().filter(|hit| hit.path == pass);
        let hits = hits.filter(|hit| hit.proxy <= 5);
        hits.map(|hit| (hit.host.clone(), hit.proxy)).collect()
    };
    let (first, second) = (refused("/first"), refused("/second"));
    assert!(first.len() > 100, "{} refused", first.len());
    assert_eq!(first.intersection(&second).count(), 0);
}
