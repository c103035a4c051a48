//! Proxies that have never served, at the start of a run.

use std::time::Duration;

use proxywheel::outcome::{FaultKind, Phase};
use tokio::time::Instant;

use crate::world::{Reply, Setup, World, jobs, run};

/// What a page takes.
const PAGE: Duration = Duration::from_millis(50);

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

/// How long it takes to fetch `rows` in so many slots, from the first page on, while one proxy in `good` serves and the others hang.
async fn past_those_that_hang(
    (proxies, good): (u16, u64),
    (slots, rows): (u32, u32),
    seed: u64,
) -> Duration {
    let serves = move |proxy: u16| (u64::from(proxy) * 7919 + seed * 104_729).is_multiple_of(good);
    let world = World::new(move |sent, proxy, _| {
        if serves(proxy) {
            Reply::status(200).after(PAGE)
        } else {
            let left = sent.deadline - Instant::now();
            Reply::fault(Phase::Headers, FaultKind::Timeout).after(left)
        }
    });
    let mut setup = Setup::new(world, proxies).concurrency(slots);
    setup.engine.seed = Some(seed);
    let urls = jobs((0..rows).map(|n| format!("http://{}.test/{n}", n % 10)));
    let start = Instant::now();
    let ended = run(setup, urls).await;
    assert!(ended.rows.iter().all(|row| row.record.ok), "seed {seed}");
    let first = ended.hits.iter().find(|hit| serves(hit.proxy));
    let first = first.map(|hit| hit.at - start).unwrap_or_default();
    ended.took - first
}

#[tokio::test(start_paused = true)]
async fn those_that_hang_cost_a_bounded_part_of_the_run_once_somebody_serves() {
    for (list, slots, rows) in [
        ((20, 2), 1, 300),
        ((200, 10), 8, 500),
        ((200, 2), 8, 1000),
        ((200, 10), 64, 3000),
    ] {
        let at_best = PAGE * rows / slots;
        for seed in 1..=7 {
            let took = past_those_that_hang(list, (slots, rows), seed).await;
            assert!(
                took < 2 * at_best + Duration::from_secs(10),
                "{list:?}, {slots} slots, seed {seed}: {took:?} instead of {at_best:?}"
            );
        }
    }
}
