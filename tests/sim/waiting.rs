//! When a run waits for proxies, and when it gives a job up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proxywheel::job::LabelFilter;
use proxywheel::outcome::{FaultKind, Outcome, Phase};
use proxywheel::proxy::{Labels, Proxy};
use tokio::time::Instant;

use crate::world::{Outcomes, Reply, Setup, World, jobs, members, run, run_of};

fn ok(ended: &Outcomes) -> usize {
    ended.rows.iter().filter(|row| row.record.ok).count()
}

#[tokio::test(start_paused = true)]
async fn a_window_of_a_quarter_of_an_hour_is_waited_out() {
    let windows: Mutex<BTreeMap<u16, (Instant, u32)>> = Mutex::default();
    let world = World::new(move |_, proxy, _| {
        let mut windows = windows.lock().expect("the windows");
        let now = Instant::now();
        let (began, used) = windows.entry(proxy).or_insert((now, 0));
        if now - *began >= Duration::from_secs(700) {
            (*began, *used) = (now, 0);
        }
        *used += 1;
        match *used > 30 {
            true => Reply::status(429).with("retry-after", "700"),
            false => Reply::status(200),
        }
    });
    let urls = (0..150).map(|n| format!("https://a.test/{n}"));
    let ended = run(Setup::new(world, 3), jobs(urls)).await;
    assert_eq!(ok(&ended), 150);
    assert!(ended.took > Duration::from_secs(700), "{:?}", ended.took);
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_labels_only_dead_proxies_carry_has_its_row_though_others_serve() {
    let list = members(5).into_iter().map(|proxy| {
        let country = if proxy.port() > 3 { "de" } else { "us" };
        let labels = Labels {
            country: Some(country.into()),
            ..Labels::default()
        };
        Arc::new(Proxy::clone(&proxy).with_labels(labels))
    });
    let world = World::new(|_, _, _| Reply::status(200)).alive(|proxy| proxy <= 3);
    let mut jobs = jobs((0..21).map(|n| format!("https://a.test/{n}")));
    jobs[20].filter = Some(Arc::new(LabelFilter {
        country: Some("de".into()),
        ..LabelFilter::default()
    }));
    let ended = run_of(Setup::new(world, 0), list.collect(), jobs).await;
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &ended.rows {
        *outcomes.entry(row.record.outcome.as_str()).or_default() += 1;
    }
    assert_eq!(outcomes, [("ok", 20), ("skipped", 1)].into());
    assert!(ended.took < Duration::from_secs(600), "{:?}", ended.took);
}

#[tokio::test(start_paused = true)]
async fn one_refusal_of_credentials_that_were_accepted_is_asked_about_once_more() {
    // A slip of the gateway, and an account that is used up.
    for (until, all_ok) in [(101, true), (usize::MAX, false)] {
        let asked = AtomicUsize::new(0);
        let world = World::new(move |_, _, _| match asked.fetch_add(1, Ordering::Relaxed) {
            n if (100..until).contains(&n) => Reply::fault(Phase::Handshake, FaultKind::Auth),
            _ => Reply::status(200),
        });
        let urls = (0..300).map(|n| format!("https://a.test/{n}"));
        let ended = run(Setup::new(world, 1), jobs(urls)).await;
        assert_eq!(ok(&ended) == 300, all_ok);
        if !all_ok {
            // Those that were under way, and one more.
            let after = ended.hits.len() - 100;
            assert!(after <= 10, "{after}");
            let mut outcomes = ended.rows.iter().map(|row| row.record.outcome);
            assert!(outcomes.any(|outcome| outcome == Outcome::Skipped));
        }
        assert!(ended.took < Duration::from_secs(120), "{:?}", ended.took);
    }
}
