//! What a run may use at most, to the request where that can be known beforehand.

use std::sync::Arc;
use std::time::Duration;

use proxywheel::engine::Caps;
use proxywheel::metrics::{Cap, FinishReason};
use proxywheel::outcome::Outcome;
use proxywheel::proxy::{Labels, Proxy};

use crate::world::{Outcomes, REQUEST_BYTES, Reply, Setup, World, jobs, members, run, run_of};

fn urls(count: usize, scheme: &str) -> Vec<String> {
    (0..count)
        .map(|n| format!("{scheme}://h{}.test/{n}", n % 5))
        .collect()
}

/// Pages of a quarter to 8 kB, now and then a failure.
fn pages() -> World {
    World::new(|outgoing, _, before| {
        let n: u64 = outgoing.url.path()[1..].parse().expect("a number");
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        if mixed.is_multiple_of(11) && before == 0 {
            return Reply::status(503);
        }
        let mut reply = Reply::status(200).after(Duration::from_millis(50 + mixed % 400));
        if let Reply::Answer { body, .. } = &mut reply {
            *body = "<p>a page</p>".repeat(20 + (mixed % 600) as usize);
        }
        reply
    })
}

/// Members that all have this price.
fn priced(count: u16, price: &str) -> Vec<Arc<Proxy>> {
    let labels = Labels {
        cost: Some(price.parse().expect("a price")),
        ..Labels::default()
    };
    let list = members(count).into_iter();
    list.map(|proxy| Arc::new(Proxy::clone(&proxy).with_labels(labels.clone())))
        .collect()
}

/// Every row is a result; the jobs that were not tried have none.
fn assert_resumable(ended: &Outcomes, all: usize, cap: Cap) {
    assert_eq!(ended.summary.reason, FinishReason::Capped(cap));
    let totals = &ended.summary.totals;
    assert_eq!(totals.done as usize, ended.rows.len());
    let lost = [Outcome::Skipped, Outcome::Cancelled];
    assert!(
        ended
            .rows
            .iter()
            .all(|row| !lost.contains(&row.record.outcome))
    );
    assert!(!ended.rows.is_empty() && ended.rows.len() < all);
}

#[tokio::test(start_paused = true)]
async fn no_request_more_than_the_cap_is_sent_redirects_and_handshakes_included() {
    for scheme in ["http", "https"] {
        let world = World::new(|outgoing, _, _| match outgoing.url.path() {
            path if path.ends_with("/moved") => Reply::status(200),
            path => Reply::status(302).with("location", format!("{path}/moved")),
        });
        let handshakes = world.handshakes.clone();
        let mut setup = Setup::new(world, 60);
        setup.engine.caps.requests = Some(301);
        let ended = run(setup, jobs(urls(1000, scheme))).await;
        assert_resumable(&ended, 1000, Cap::Requests);
        let sent = ended.hits.len() + handshakes.lock().expect("handshakes").len();
        assert_eq!(sent, 301, "{scheme}");
        assert_eq!(ended.summary.totals.ledger.total().requests, 301);
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_and_money_end_within_two_percent_of_their_caps() {
    let caps = [
        Caps {
            bytes: Some(4_000_000),
            ..Caps::default()
        },
        Caps {
            cost: Some(0.014),
            ..Caps::default()
        },
    ];
    for (caps, cap) in caps.into_iter().zip([Cap::Bytes, Cap::Cost]) {
        for slots in [1, 8, 64] {
            let mut setup = Setup::new(pages(), 80).concurrency(slots);
            setup.engine.caps = caps.clone();
            let ended = run_of(setup, priced(80, "3.5/GB"), jobs(urls(5000, "http"))).await;
            assert_resumable(&ended, 5000, cap);
            let used = ended.bytes as f64 / 4e6;
            assert!((0.98..=1.02).contains(&used), "{cap:?} {slots}: {used}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_ledger_adds_up_to_what_went_through_the_proxies() {
    let setup = Setup::new(pages(), 40);
    let list = priced(40, "2/GB+0.001/request");
    let ended = run_of(setup, list, jobs(urls(600, "http"))).await;
    let ledger = ended.summary.totals.ledger;
    let total = ledger.total();
    assert_eq!(
        (total.bytes, total.requests),
        (ended.bytes, ended.hits.len() as u64)
    );
    let money = ended.bytes as f64 * 2e-9 + ended.hits.len() as f64 * 1e-3;
    assert!(
        (total.money - money).abs() < 1e-9,
        "{} {money}",
        total.money
    );
    assert_eq!(ledger.useful.requests, 600, "one answer for each row");
    // What an attempt that lost against another one has cost is in the totals alone.
    let rows = ended.rows.iter().filter_map(|row| row.record.cost);
    let (rows, count) = rows.fold((0.0, 0), |(sum, count), cost| (sum + cost, count + 1));
    assert_eq!(count, 600);
    assert!(
        rows <= money + 1e-9 && rows > 0.9 * money,
        "{rows} of {money}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_price_rows_have_no_cost_and_a_first_request_is_always_sent() {
    let world = World::new(|_, _, _| Reply::status(200));
    let mut setup = Setup::new(world, 10);
    setup.engine.caps.bytes = Some(REQUEST_BYTES);
    let ended = run(setup, jobs(urls(50, "http"))).await;
    assert_resumable(&ended, 50, Cap::Bytes);
    assert_eq!(ended.rows.len(), 1);
    assert_eq!(ended.rows[0].record.cost, None);
    assert_eq!(ended.summary.totals.left, Some(49));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_starts_nothing_more_lets_what_is_under_way_finish_and_cuts_the_rest() {
    let world = World::new(|outgoing, _, _| {
        let slow = outgoing.url.path().ends_with('7');
        let after = if slow { 25 } else { 1 };
        Reply::status(200).after(Duration::from_secs(after))
    });
    let mut setup = Setup::new(world, 40).concurrency(20);
    setup.engine.caps.deadline = Some(Duration::from_secs(20));
    setup.engine.hedge = false;
    let ended = run(setup, jobs(urls(10_000, "http"))).await;
    assert_resumable(&ended, 10_000, Cap::Deadline);
    let took = ended.took.as_secs_f64();
    assert!((20.0..30.5).contains(&took), "{took}");
    let began = ended.hits[0].at;
    let last = ended.hits.iter().map(|hit| hit.at - began).max();
    assert!(last < Some(Duration::from_secs(20)), "{last:?}");
    // Cut off, and paid for all the same.
    assert_eq!(ended.summary.totals.ledger.total().bytes, ended.bytes);
}

#[tokio::test(start_paused = true)]
async fn a_cap_that_is_just_enough_is_not_reached() {
    let world = World::new(|_, _, _| Reply::status(200));
    let mut setup = Setup::new(world, 20);
    setup.engine.caps.requests = Some(100);
    setup.engine.hedge = false;
    let ended = run(setup, jobs(urls(100, "http"))).await;
    assert_eq!(ended.summary.reason, FinishReason::Done);
    assert_eq!(ended.rows.len(), 100);
}
