//! No job waits for ever, none is given up early, and a run that waits sleeps.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proxywheel::ban::{self, Judge};
use proxywheel::engine::{self, Plan, Sticky};
use proxywheel::error::Error;
use proxywheel::input::JobSource;
use proxywheel::job::{Job, LabelFilter};
use proxywheel::metrics::Snapshot;
use proxywheel::outcome::{FaultKind, Outcome, Phase};
use proxywheel::pool::Strategy;
use proxywheel::proxy::parse::parse_proxy_url;
use proxywheel::proxy::{Proxy, Scheme};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::world::{Reply, Setup, World, jobs, members, run, run_of};

fn fault(phase: Phase, kind: FaultKind) -> Reply {
    Reply::fault(phase, kind).after(Duration::from_millis(5))
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_only_other_hope_dies_is_not_forgotten() {
    for count in 2..8 {
        let world = World::new(|_, _, before| match before {
            0 => Reply::status(403).with("cf-mitigated", "challenge"),
            _ => Reply::status(200),
        })
        .alive(move |proxy| proxy == count);
        let mut setup = Setup::new(world, count);
        // One after the other, so that the job meets the live one before the last dead one is known.
        setup.engine.probe_concurrency = 1;
        let list = jobs(["http://h.test/".to_owned()]);
        let ended = tokio::time::timeout(Duration::from_secs(900), run(setup, list)).await;
        let ended = ended.expect("the run ends");
        assert!(
            ended.rows[0].record.ok,
            "{:?}",
            ended.rows[0].record.outcome
        );
    }
}

#[tokio::test(start_paused = true)]
async fn dead_neighbours_do_not_make_a_filtered_job_give_up() {
    let world = World::new(|_, _, _| Reply::status(200)).alive(|proxy| proxy == 60);
    let mut setup = Setup::new(world, 0);
    setup.engine.probe_concurrency = 1;
    let german = |n: u16| {
        let line = format!("10.1.{n}.1:{n} country=de");
        parse_proxy_url(&line, Scheme::Http, &|_| None).expect("a proxy")
    };
    let list: Vec<Arc<Proxy>> = (1..=60).flat_map(german).map(Arc::new).collect();
    let mut job = jobs(["http://h.test/".to_owned()]);
    job[0].filter = Some(Arc::new(LabelFilter {
        country: Some("de".into()),
        tags: Vec::new(),
    }));
    let ended = run_of(setup, list, job).await;
    assert!(ended.rows[0].record.ok, "{:?}", ended.rows[0].record.error);
}

#[tokio::test(start_paused = true)]
async fn a_dead_host_at_the_head_of_the_input_does_not_condemn_the_pool() {
    let dead = || fault(Phase::Handshake, FaultKind::Rejected(503));
    let world = World::new(move |outgoing, _, _| match outgoing.url.host_str() {
        Some("typo.test") => dead(),
        _ => Reply::status(200),
    })
    .reach(|host| match &*host.host {
        "typo.test" => Err((Phase::Handshake, FaultKind::Rejected(503))),
        _ => Ok(()),
    });
    let mut list = vec!["https://typo.test/".to_owned()];
    list.extend((0..50).map(|n| format!("https://h{}.test/{n}", n % 5)));
    let ended = run(Setup::new(world, 10), jobs(list)).await;
    assert_eq!(ended.rows.iter().filter(|row| row.record.ok).count(), 50);
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);

    // Alone, it is what its record says, not an exhausted pool.
    let world = World::new(move |_, _, _| dead())
        .reach(|_| Err((Phase::Handshake, FaultKind::Rejected(503))));
    let ended = run(
        Setup::new(world, 5),
        jobs(["https://typo.test/".to_owned()]),
    )
    .await;
    assert_eq!(ended.rows[0].record.outcome, Outcome::ProxyError);
    assert!(ended.rows[0].record.attempts > 1);
}

#[tokio::test(start_paused = true)]
async fn a_host_on_probation_does_not_hold_up_the_others() {
    let start = Instant::now();
    let world = World::new(move |outgoing, _, _| match outgoing.url.host_str() {
        Some("strict.test") if start.elapsed() < Duration::from_secs(50) => {
            Reply::status(403).with("cf-mitigated", "challenge")
        }
        Some("strict.test") => Reply::status(200).after(Duration::from_secs(20)),
        _ => Reply::status(200),
    });
    let mut setup = Setup::new(world, 2);
    setup.limits.host_rate = Some("2/s".parse().expect("a rate"));
    let strict = (0..4).map(|n| format!("http://strict.test/{n}"));
    let others = (0..200).map(|n| format!("http://other.test/{n}"));
    let ended = run(setup, jobs(strict.chain(others))).await;
    assert!(ended.rows.iter().all(|row| row.record.ok));
    let times: Vec<_> = ended
        .hits
        .iter()
        .filter(|hit| hit.host == "other.test")
        .map(|hit| hit.at)
        .collect();
    let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(gap < Some(Duration::from_secs(5)), "a pause of {gap:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_proxy_is_retired_moves_to_another() {
    // From some moment on proxy 1 refuses its credentials. One session learns it; the others of that proxy have to move too.
    let start = Instant::now();
    let world = World::new(move |_, proxy, _| {
        if proxy == 1 && start.elapsed() > Duration::from_secs(2) {
            fault(Phase::Handshake, FaultKind::Auth)
        } else {
            Reply::status(200)
        }
    });
    let mut setup = Setup::new(world, 2).concurrency(1);
    setup.engine.sticky = Sticky::Host;
    setup.pool.strategy = Strategy::RoundRobin;
    let list = (0..60).map(|n| format!("http://h{}.test/{n}", n % 8));
    let ended = run(setup, jobs(list)).await;
    for row in &ended.rows {
        assert!(row.record.ok, "{} {:?}", row.record.input, row.record.error);
    }
    let on_one = ended.hits.iter().filter(|hit| hit.proxy == 1);
    let sessions: HashSet<_> = on_one.map(|hit| &hit.host).collect();
    assert!(sessions.len() > 1, "one session proves nothing");
}

/// One job, then silence; counts how often it is asked.
struct Quiet {
    first: Option<Job>,
    asked: Arc<AtomicU32>,
    until: Instant,
}

impl JobSource for Quiet {
    async fn next(&mut self) -> Option<Result<Vec<Job>, Error>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if let Some(job) = self.first.take() {
            return Some(Ok(vec![job]));
        }
        tokio::time::sleep_until(self.until).await;
        None
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_without_work_sleeps() {
    // Quarantines and cooldowns end while nobody asks for a proxy.
    let world = World::new(|_, proxy, _| match proxy {
        1 => Reply::status(200),
        _ => Reply::status(403).with("cf-mitigated", "challenge"),
    })
    .alive(|proxy| proxy != 3);
    let asked = Arc::<AtomicU32>::default();
    let setup = Setup::new(world, 3);
    let plan = Plan {
        egress: setup.world,
        proxies: members(3),
        judge: Arc::new(Judge::new(&ban::Settings::default()).expect("the rules compile")),
        pool: setup.pool,
        limits: setup.limits,
        retry: setup.retry,
        engine: setup.engine,
        keeping: None,
        events: None,
    };
    let source = Quiet {
        first: jobs(["http://h.test/".to_owned()]).pop(),
        asked: asked.clone(),
        until: Instant::now() + Duration::from_secs(1500),
    };
    let (out, mut records) = mpsc::channel(8);
    let (_control, commands) = mpsc::channel(1);
    let (publish, _progress) = watch::channel(Snapshot::default());
    let run = engine::run(plan, source, out, commands, publish);
    let (_, row) = tokio::join!(run, records.recv());
    assert!(row.expect("a row").record.ok);
    let times = asked.load(Ordering::Relaxed);
    // Progress every 0.2 s and a look for exhaustion every 0.5 s: 7 a second.
    assert!(times < 1500 * 9, "woke {times} times in 1500 s");
}

#[tokio::test(start_paused = true)]
async fn probes_reach_a_limited_host_no_faster_than_requests_do() {
    // Most of the list is dead: that is found out at once all the same.
    let world = World::new(|_, _, _| Reply::status(200)).alive(|proxy| proxy % 4 == 0);
    let handshakes = world.handshakes.clone();
    let mut setup = Setup::new(world, 200);
    setup.limits.host_rate = Some("2/s".parse().expect("a rate"));
    let list = (0..20).map(|n| format!("https://h.test/{n}"));
    let ended = run(setup, jobs(list)).await;
    assert!(ended.rows.iter().all(|row| row.record.ok));
    let seconds = ended.took.as_secs_f64();
    assert!((9.0..12.0).contains(&seconds), "{seconds} s");
    let times: Vec<Instant> = handshakes
        .lock()
        .expect("them")
        .iter()
        .map(|(at, _)| *at)
        .collect();
    assert!(times.len() > 1, "some were tried");
    for at in &times {
        let window = *at..*at + Duration::from_secs(1);
        let together = times.iter().filter(|time| window.contains(time)).count();
        assert!(together <= 2, "{together} within a second");
    }
}
