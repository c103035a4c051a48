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

/// A run that begins with this, and the last it has to say about the host.
fn run(scenario: &Scenario, limits: Vec<RememberedLimit>) -> (Figures, Option<RememberedLimit>) {
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
        tokio::join!(go(scenario, 1, LONGEST, how), watch)
    })
}

#[test]
fn a_remembered_quota_and_a_remembered_rate_are_kept_to_from_the_beginning() {
    let bans = scenario("ban = { requests = 30, window-s = 60, lasts-s = 600 }");
    let (cold, learned) = run(&bans, Vec::new());
    let limit = learned.expect("a quota was learned");
    let quota = limit.quota.expect("of one exit");
    assert_eq!(quota.window, Duration::from_secs(60));
    assert!((28..=31).contains(&quota.uses), "{quota:?}");
    let (warm, _) = run(&bans, vec![limit.clone()]);
    let blocked = |figures: &Figures| figures.tally.blocked;
    assert!(
        2 * blocked(&warm) <= blocked(&cold),
        "{warm:?} after {cold:?}"
    );
    let old = RememberedLimit {
        age: Duration::from_secs(25 * 3600),
        ..limit
    };
    let (forgotten, _) = run(&bans, vec![old]);
    assert_eq!(blocked(&forgotten), blocked(&cold));

    let limits = scenario("limit = { per-second = 20, retry-after-s = 5, closes-s = 4.5 }");
    let (cold, learned) = run(&limits, Vec::new());
    let limit = learned.expect("a rate was found out");
    let rate = limit.rate.expect("of everybody");
    assert!((10.0..=24.0).contains(&rate), "{rate}");
    let (warm, _) = run(&limits, vec![limit]);
    assert!(
        2 * blocked(&warm) <= blocked(&cold),
        "{warm:?} after {cold:?}"
    );
    for figures in [warm, cold, forgotten] {
        assert_eq!((figures.lost, figures.successes), (0, 3000));
    }
}
