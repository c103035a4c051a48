//! Proxies that have never served, at the start of a run.

use std::time::Duration;

use proxywheel::outcome::{FaultKind, Phase};
use tokio::time::Instant;

use crate::world::{Reply, Setup, World, jobs, run};

#[tokio::test(start_paused = true)]
async fn those_that_hang_leave_slots_to_those_that_serve() {
    for seed in 1..=3 {
        // Seven in ten hang, one in ten serves.
        let kind = move |proxy: u16| (u64::from(proxy) * 7919 + seed * 104_729) % 10;
        let world = World::new(move |_, proxy, _| match kind(proxy) {
            0 => Reply::status(200).after(Duration::from_millis(400)),
            1..=7 => {
                Reply::fault(Phase::Headers, FaultKind::Timeout).after(Duration::from_secs(30))
            }
            _ => Reply::fault(Phase::Headers, FaultKind::Reset),
        });
        let mut setup = Setup::new(world, 200).concurrency(32);
        setup.engine.seed = Some(seed);
        let start = Instant::now();
        let ended = run(setup, jobs((0..500).map(|n| format!("http://a.test/{n}")))).await;
        assert!(ended.rows.iter().all(|row| row.record.ok), "seed {seed}");
        let served = ended.hits.iter().filter(|hit| kind(hit.proxy) == 0);
        let tenth = served.map(|hit| hit.at - start).nth(9);
        assert!(
            tenth < Some(Duration::from_secs(10)),
            "seed {seed}: {tenth:?}"
        );
        assert!(
            ended.took < Duration::from_secs(90),
            "seed {seed}: {:?}",
            ended.took
        );
    }
}
