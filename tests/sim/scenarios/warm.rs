//! What one run has found out about hosts spares the next the refusals that it took.

use std::sync::Arc;
use std::time::Duration;

use proxywheel::engine::Keeping;
use proxywheel::lab::scenario::{Figures, Scenario};
use proxywheel::pool::{Memory, RememberedLimit};
use tokio::sync::mpsc;

use super::measure::run::{How, go, runtime};

const LONGEST: Duration = Duration::from_secs(10_000);

/// One host, with what it does, and thirty good proxies.
fn scenario(host: &str) -> Scenario {
    let text = format!(
        "title = \"warm\"\nurls = 3000\nproxies = 30\nconcurrency = 60\n[[group]]\nname = \"good\"\nshare = 1\n\
         [[host]]\n{host}\n"
    );
    Scenario::parse("warm", &text).expect("a scenario")
}

/// Luck decides much of how a limit shows itself at first.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=6;

/// A run that begins with this, and the last it has to say about the host.
fn run(
    scenario: &Scenario,
    seed: u64,
    limits: Vec<RememberedLimit>,
) -> (Figures, Option<RememberedLimit>) {
    let (saves, mut taken) = mpsc::channel(1);
    let memory = Memory {
        limits,
        ..Memory::default()
    };
    let keeping = Keeping {
        memory: Arc::new(memory),
        saves,
    };
    let how = How {
        keeping: Some(keeping),
        ..How::default()
    };
    runtime().block_on(async {
        let watch = async {
            let mut last = None;
            while let Some(memory) = taken.recv().await {
                last = memory.limits.into_iter().next().or(last);
            }
            last
        };
        tokio::join!(go(scenario, seed, LONGEST, how), watch)
    })
}

/// All were served, and it took at most twice as long as the host makes it take.
fn check(figures: &Figures, least: u64) {
    assert_eq!((figures.lost, figures.successes), (0, 3000));
    assert!(
        figures.makespan <= Duration::from_secs(2 * least),
        "{figures:?}"
    );
}

#[test]
fn a_remembered_quota_is_kept_to_from_the_beginning() {
    // Thirty proxies with thirty requests a minute each: 200 s.
    let bans = scenario("ban = { requests = 30, window-s = 60, lasts-s = 600 }");
    for seed in SEEDS {
        let (cold, learned) = run(&bans, seed, Vec::new());
        let limit = learned.expect("a quota was learned");
        let quota = limit.quota.expect("of one exit");
        assert_eq!(quota.window, Duration::from_secs(60));
        assert!((28..=31).contains(&quota.uses), "{quota:?}");
        let (warm, _) = run(&bans, seed, vec![limit.clone()]);
        assert!(
            2 * warm.tally.blocked <= cold.tally.blocked,
            "{warm:?} after {cold:?}"
        );
        let old = RememberedLimit {
            age: Duration::from_secs(25 * 3600),
            ..limit
        };
        let (forgotten, _) = run(&bans, seed, vec![old]);
        assert_eq!(forgotten.tally.blocked, cold.tally.blocked);
        for figures in [warm, cold, forgotten] {
            check(&figures, 200);
        }
    }
}

#[test]
fn a_remembered_rate_is_kept_to_from_the_beginning() {
    // Twenty requests a second: 150 s.
    let limits = scenario("limit = { per-second = 20, retry-after-s = 5, closes-s = 4.5 }");
    let (mut blocked, mut blocked_before) = (0, 0);
    for seed in SEEDS {
        let (cold, learned) = run(&limits, seed, Vec::new());
        let limit = learned.expect("a rate was found out");
        let rate = limit.rate.expect("of everybody");
        assert!((10.0..=24.0).contains(&rate), "{rate}");
        let (warm, _) = run(&limits, seed, vec![limit]);
        blocked += warm.tally.blocked;
        blocked_before += cold.tally.blocked;
        for figures in [warm, cold] {
            check(&figures, 150);
        }
    }
    assert!(
        2 * blocked <= blocked_before,
        "{blocked} after {blocked_before}"
    );
}
