//! A host that leaves many requests unanswered, whoever asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proxywheel::engine::Keeping;
use proxywheel::outcome::{FaultKind, Phase};
use proxywheel::pool::{Memory, Strategy};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;

use crate::world::{Outcomes, Reply, Setup, World, jobs, run, run_with};

/// A run against one host.
struct Run {
    seed: u64,
    urls: usize,
    strategy: Strategy,
}

impl Default for Run {
    fn default() -> Self {
        Run {
            seed: 1,
            urls: 2000,
            strategy: Strategy::Best,
        }
    }
}

impl Run {
    /// Fifty proxies against a host that answers within a second, or not at all within ten by this chance; and what the pool
    /// left to the next run from time to time.
    async fn against(
        self,
        unanswered: impl Fn(u16) -> f64 + Send + Sync + 'static,
    ) -> (Outcomes, Vec<Memory>) {
        let rng = Mutex::new(StdRng::seed_from_u64(self.seed));
        let world = World::new(move |_, proxy, _| {
            let mut rng = rng.lock().expect("rng");
            if rng.random_bool(unanswered(proxy)) {
                Reply::Fault {
                    phase: Phase::Headers,
                    kind: FaultKind::Timeout,
                    sent: true,
                    after: Duration::from_secs(10),
                }
            } else {
                let took = rng.random_range(0.3..0.7);
                Reply::status(200).after(Duration::from_secs_f64(took))
            }
        });
        let (saves, mut taken) = mpsc::channel(1);
        let mut setup = Setup::new(world, 50).concurrency(64);
        setup.pool.strategy = self.strategy;
        setup.keeping = Some(Keeping {
            memory: Arc::default(),
            saves,
        });
        let list = jobs((0..self.urls).map(|n| format!("http://slow.test/{n}")));
        let watch = async {
            let mut memories = Vec::new();
            while let Some(memory) = taken.recv().await {
                memories.push(memory);
            }
            memories
        };
        tokio::join!(run_with(setup, list, async |_| ()), watch)
    }
}

/// Seconds in quarantine of all proxies together, and how many are there at the end.
fn shut(ended: &Outcomes) -> (f64, u32) {
    let each = || ended.pools.iter().map(|pool| pool.quarantined);
    let mean = f64::from(each().sum::<u32>()) / ended.pools.len() as f64;
    (
        mean * ended.took.as_secs_f64(),
        each().next_back().unwrap_or_default(),
    )
}

#[tokio::test(start_paused = true)]
async fn a_host_that_leaves_many_requests_unanswered_burns_no_proxy() {
    for (unanswered, urls, most) in [(0.3, 1000, 100.0), (0.5, 1000, 100.0), (0.8, 300, 500.0)] {
        for seed in [1, 2] {
            let case = format!("{unanswered} unanswered, seed {seed}");
            let run = Run {
                seed,
                urls,
                ..Run::default()
            };
            let (ended, memories) = run.against(move |_| unanswered).await;
            let (seconds, last) = shut(&ended);
            assert!(
                seconds <= most && last <= 1,
                "{case}: {seconds} s in quarantine, {last} there at the end"
            );
            let last: BTreeMap<_, _> = memories
                .iter()
                .flat_map(|memory| &memory.proxies)
                .map(|known| (known.proxy.port(), known.health.rests))
                .collect();
            let marked = last.values().filter(|rests| rests.is_some()).count();
            assert!(
                marked <= 2,
                "{case}: {marked} begin the next run in quarantine"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_more_than_the_host_does_is_found_all_the_same() {
    for seed in [1, 2, 3] {
        let run = Run {
            seed,
            strategy: Strategy::RoundRobin,
            ..Run::default()
        };
        let worse = |proxy| if proxy == 7 { 0.9 } else { 0.3 };
        let (ended, _) = run.against(worse).await;
        let of = |proxy| ended.hits.iter().filter(|hit| hit.proxy == proxy).count();
        let others = (ended.hits.len() - of(7)) / 49;
        assert!(
            3 * of(7) < 2 * others,
            "seed {seed}: {} requests through the bad one, {others} through each other",
            of(7)
        );
        let (seconds, _) = shut(&ended);
        assert!(seconds <= 300.0, "seed {seed}: {seconds} s in quarantine");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_host_leaves_others_their_share_of_what_is_under_way() {
    let world = World::new(|outgoing, _, _| match outgoing.url.host_str() {
        Some("slow.test") => Reply::status(200).after(Duration::from_secs(8)),
        _ => Reply::status(200).after(Duration::from_millis(50)),
    });
    let start = tokio::time::Instant::now();
    let urls = (0..2000).map(|n| match n % 2 {
        0 => format!("https://slow.test/{n}"),
        _ => format!("https://fast.test/{n}"),
    });
    let ended = run(Setup::new(world, 30).concurrency(64), jobs(urls)).await;
    assert!(ended.rows.iter().all(|row| row.record.ok));
    let fast = ended.hits.iter().filter(|hit| hit.host == "fast.test");
    let last = fast.map(|hit| hit.at).max().expect("a request") - start;
    // 1.6 s with half of the slots; by turns alone they would end with the slow ones.
    assert!(last < Duration::from_secs(10), "{last:?}");
    // 125 s at best.
    assert!(ended.took < Duration::from_secs(160), "{:?}", ended.took);
}

#[tokio::test(start_paused = true)]
async fn a_site_that_blocks_everybody_for_a_minute_is_asked_as_before_when_it_serves_again() {
    let began = tokio::time::Instant::now();
    let world = World::new(move |outgoing, _, _| {
        let is_out = (5..65).contains(&began.elapsed().as_secs());
        let blocks = is_out && outgoing.url.host_str() == Some("h3.test");
        let reply = match blocks {
            true => Reply::status(403).body("<title>Access denied</title>You have been blocked."),
            false => Reply::status(200),
        };
        reply.after(Duration::from_millis(200))
    });
    let urls = (0..6000).map(|n| format!("https://h{}.test/{n}", n % 10));
    let ended = run(Setup::new(world, 40).concurrency(64), jobs(urls)).await;
    let lost = ended.rows.iter().filter(|row| !row.record.ok).count();
    assert!(lost < 30, "{lost}");
    let most = Duration::from_secs(110);
    assert!(ended.took < most, "{:?}, {lost} lost", ended.took);
}
