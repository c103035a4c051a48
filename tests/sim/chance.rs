//! Sites that ban an exit by chance, however much it has asked: a captcha for one page in fifty.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use crate::world::{Reply, Setup, World, jobs, run};

/// Each request is a ban for so long, by this chance.
fn world(chance: f64, lasts: Duration, seed: u64) -> World {
    let state = Mutex::new((StdRng::seed_from_u64(seed), HashMap::<u16, Instant>::new()));
    World::new(move |_, proxy, _| {
        let mut state = state.lock().expect("the bans");
        let (rng, bans) = &mut *state;
        let now = Instant::now();
        if rng.random_bool(chance) && bans.get(&proxy).is_none_or(|until| *until <= now) {
            bans.insert(proxy, now + lasts);
        }
        match bans.get(&proxy) {
            Some(until) if *until > now => Reply::status(403).with("cf-mitigated", "challenge"),
            _ => Reply::status(200).after(Duration::from_millis(300)),
        }
    })
}

/// Pages of 3,000 through fifty proxies, and how long that took.
async fn fetch(chance: f64, lasts: u64, seed: u64) -> (usize, Duration) {
    let setup = Setup::new(world(chance, Duration::from_secs(lasts), seed), 50).concurrency(64);
    let urls = (0..3_000).map(|n| format!("https://h0.test/{n}"));
    let ended = run(setup, jobs(urls)).await;
    let pages = ended.rows.iter().filter(|row| row.record.ok).count();
    (pages, ended.took)
}

#[tokio::test(start_paused = true)]
async fn exits_that_are_banned_by_chance_are_not_taken_for_a_limit_on_everybody() {
    // 14.4 s at best, and a rest of a minute for those who have met a ban.
    for (chance, lasts) in [(0.01, 600), (0.02, 60)] {
        for seed in 1..=3 {
            let (pages, took) = fetch(chance, lasts, seed).await;
            assert!(pages >= 2_990, "{chance} {seed}: {pages}");
            assert!(took < Duration::from_secs(150), "{chance} {seed}: {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_on_everybody_that_there_is_not_is_given_up() {
    // An exit serves ten pages between two bans of 300 s, so all of them 500 in that time: 1,800 s at best. So many refusals
    // look like a limit at first.
    for seed in 1..=3 {
        let (pages, took) = fetch(0.1, 300, seed).await;
        assert!(pages >= 2_800, "{seed}: {pages}");
        assert!(took < Duration::from_secs(6_000), "{seed}: {took:?}");
    }
}
