//! Whose turn it is.

use super::*;
use crate::job::{Job, RequestSpec};
use bytes::Bytes;
use std::sync::Arc;

fn pending(request: Arc<RequestSpec>, frontier: &mut Frontier, now: Instant) -> Box<Pending> {
    let job = Job::new(0, "http://a.test/", request);
    let key = HostKey::of(job.target.as_ref().unwrap()).unwrap();
    frontier.meet(0, &key);
    Box::new(Pending::new(job, 0, None, now))
}

fn request(length: usize) -> Arc<RequestSpec> {
    Arc::new(RequestSpec {
        body: Bytes::from(vec![0; length]),
        ..RequestSpec::default()
    })
}

#[test]
fn long_bodies_of_rows_are_read_ahead_by_size_and_a_shared_one_by_number() {
    let now = tokio::time::Instant::now().into_std();
    let mut frontier = Frontier::new(None, None);
    for at in [None, Some(now)].into_iter().cycle().take(64) {
        assert!(!frontier.is_full(false));
        let job = pending(request(1024 * 1024), &mut frontier, now);
        match at {
            Some(at) => frontier.push_later(job, at),
            None => frontier.push(job),
        }
    }
    assert!(frontier.is_full(false));
    frontier.promote(now);
    while frontier.take_first().is_some() {}
    assert_eq!((frontier.len(), frontier.active, frontier.bytes), (0, 0, 0));

    let shared = request(64 * 1024);
    for _ in 0..LOOK_AHEAD {
        assert!(!frontier.is_full(false));
        let job = pending(shared.clone(), &mut frontier, now);
        frontier.push(job);
    }
    assert!(frontier.is_full(false));
}

#[test]
fn a_blocked_host_gets_its_turn_at_news_or_at_its_time_whichever_comes_first() {
    let now = tokio::time::Instant::now().into_std();
    let after = |millis| now + std::time::Duration::from_millis(millis);
    let mut frontier = Frontier::new(None, None);
    let job = pending(request(0), &mut frontier, now);
    frontier.push(job);
    for turn in 0..1000 {
        frontier.block_first(Some(after(100)), Binding::NoProxy);
        frontier.promote(after(99));
        assert_eq!(frontier.first_ready(), None, "turn {turn}");
        frontier.unblock(1);
        assert_eq!(frontier.first_ready(), Some(0), "turn {turn}");
    }
    frontier.block_first(Some(after(100)), Binding::NoProxy);
    frontier.promote(after(100));
    assert_eq!(frontier.first_ready(), Some(0));
    // However often it was blocked, it stands in line and in the heap once.
    assert_eq!((frontier.blocked.len(), frontier.parked.len()), (1, 0));
}

#[test]
fn a_host_that_is_held_up_does_not_keep_the_jobs_of_others_from_being_read() {
    let now = tokio::time::Instant::now().into_std();
    let mut frontier = Frontier::new(None, None);
    let to = |number: u32, frontier: &mut Frontier| {
        let job = Job::new(0, &format!("http://h{number}.test/"), request(0));
        let key = HostKey::of(job.target.as_ref().unwrap()).unwrap();
        frontier.meet(number, &key);
        frontier.push(Box::new(Pending::new(job, number, None, now)));
    };
    (0..LOOK_AHEAD).for_each(|_| to(0, &mut frontier));
    assert!(frontier.is_full(false));
    frontier.park_first(now + std::time::Duration::from_secs(60), Binding::HostRate);
    assert!(!frontier.is_full(false), "others may come behind it");
    to(1, &mut frontier);
    assert!(!frontier.is_full(false));
    (1..LOOK_AHEAD).for_each(|_| to(1, &mut frontier));
    assert!(frontier.is_full(false));
    while frontier.take_first().is_some() {}
    (LOOK_AHEAD..LOOK_AHEAD_MOST).for_each(|_| to(0, &mut frontier));
    assert!(frontier.is_full(false), "memory has its bound");
    frontier.promote(now + std::time::Duration::from_secs(60));
    while frontier.take_first().is_some() {}
    assert_eq!((frontier.len(), frontier.active), (0, 0));
}
