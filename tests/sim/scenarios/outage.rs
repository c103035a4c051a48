//! An outage of a host, and what it costs the proxies that met it.

use std::sync::Arc;
use std::time::Duration;

use proxywheel::engine::Keeping;
use proxywheel::lab::scenario::Scenario;
use proxywheel::pool::Memory;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::measure::run::{How, go, runtime};

/// Nothing ever goes wrong but one host, for 40 seconds.
const OUTAGE: &str = "
title = \"an outage and nothing else\"
urls = 9000
proxies = 100
concurrency = 60
[[group]]
name = \"good\"
share = 1
resets = 0
connect = { lost-syn = 0 }
[[host]]
[[host]]
outage = [{ from-s = 15, to-s = 55 }]
[[host]]
";

/// What any proxy may be charged for it, in requests. It ought to be nothing; so far it is a part of what was under way when the
/// host came back.
const MOST_CHARGED: f32 = 0.25;

#[test]
fn an_outage_of_a_host_leaves_no_mark_on_any_proxy() {
    let scenario = Scenario::parse("outage", OUTAGE).expect("a scenario");
    for seed in [1, 2, 3] {
        let memories = memories(&scenario, seed);
        assert!(memories.iter().any(|(at, _)| *at < Duration::from_secs(15)));
        let (last, _) = memories.last().expect("a memory");
        assert!(*last > Duration::from_secs(60), "ended after {last:?}");
        let known = memories
            .iter()
            .flat_map(|(at, memory)| memory.proxies.iter().map(move |known| (at, known)));
        let most =
            known.max_by(|(_, a), (_, b)| f32::total_cmp(&a.health.failures, &b.health.failures));
        let (at, known) = most.expect("proxies");
        let lost = known.health.failures;
        assert!(
            lost <= MOST_CHARGED,
            "seed {seed}: {} is charged with {lost} after {at:?}",
            known.proxy.host()
        );
    }
}

/// What the pool of a run believed of its proxies, and when.
fn memories(scenario: &Scenario, seed: u64) -> Vec<(Duration, Memory)> {
    let (saves, mut taken) = mpsc::channel(1);
    let keeping = Keeping {
        memory: Arc::default(),
        saves,
    };
    runtime().block_on(async {
        let began = Instant::now();
        let watch = async {
            let mut memories = Vec::new();
            while let Some(memory) = taken.recv().await {
                memories.push((began.elapsed(), memory));
            }
            memories
        };
        let longest = Duration::from_secs(10_000);
        let how = How {
            keeping: Some(keeping),
            ..How::default()
        };
        tokio::join!(go(scenario, seed, longest, how), watch).1
    })
}
