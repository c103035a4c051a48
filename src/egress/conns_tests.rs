use super::*;
use crate::proxy::{Proxy, Scheme};
use proptest::prelude::*;

fn key(port: u16, owner: Owner) -> Key {
    Key {
        proxy: Proxy::new(Scheme::Http, "p", port, None).id(),
        route: Route::Forward,
        owner,
    }
}

fn session(name: &str) -> Owner {
    Owner::Session(Some(name.into()))
}

#[test]
fn sessions_and_proxies_never_share_and_the_newest_goes_first() {
    let conns = Conns::new(10, usize::MAX);
    let now = Instant::now();
    conns.put(key(1, session("a")), 0, now);
    conns.put(key(1, session("a")), 2, now);
    conns.put(key(1, Owner::Nobody), 4, now);
    assert_eq!(conns.take(&key(1, session("b")), now), None);
    assert_eq!(conns.take(&key(1, Owner::Session(None)), now), None);
    assert_eq!(conns.take(&key(2, session("a")), now), None);
    assert_eq!(conns.take(&key(1, session("a")), now), Some(2));
    assert_eq!(conns.take(&key(1, session("a")), now), Some(0));
    assert_eq!(conns.take(&key(1, session("a")), now), None);
    assert_eq!(conns.take(&key(1, Owner::Nobody), now), Some(4));
}

#[test]
fn the_oldest_of_all_makes_room() {
    let conns = Conns::<u64>::new(2, usize::MAX);
    let now = Instant::now();
    for port in [1, 2, 3] {
        conns.put(key(port, session("a")), port.into(), now);
    }
    assert_eq!(conns.len(), 2);
    assert_eq!(conns.take(&key(1, session("a")), now), None);
    assert!(conns.take(&key(2, session("a")), now).is_some());
    let none = Conns::<u64>::new(0, usize::MAX);
    none.put(key(1, session("a")), 1, now);
    assert_eq!(none.len(), 0);
}

#[test]
fn what_has_aged_is_not_handed_out() {
    let conns = Conns::new(10, usize::MAX);
    let start = Instant::now();
    conns.put(key(1, session("a")), 0, start);
    conns.put(key(1, session("a")), 2, start + Duration::from_secs(10));
    let later = start + IDLE_MAX + Duration::from_secs(1);
    assert_eq!(conns.take(&key(1, session("a")), later), Some(2));
    assert_eq!(conns.take(&key(1, session("a")), later), None);
    assert_eq!(conns.len(), 0);
}

proptest! {
    /// Beside a list that is searched: the newest of a key, nothing aged, at most seven.
    #[test]
    fn keeps_what_a_plain_list_keeps(steps in proptest::collection::vec((0..4u16, 0..2usize, any::<bool>(), 0..20u64), 1..200)) {
        let conns = Conns::new(7, usize::MAX);
        let mut list: Vec<(Key, u64, Instant)> = Vec::new();
        let mut now = Instant::now();
        for (name, (port, owner, put, wait)) in steps.into_iter().enumerate() {
            now += Duration::from_secs(wait);
            let key = key(port, [Owner::Nobody, session("a")][owner].clone());
            list.retain(|(_, _, since)| now.saturating_duration_since(*since) <= IDLE_MAX);
            if put {
                list.push((key.clone(), name as u64, now));
                let surplus = list.len().saturating_sub(7);
                list.drain(..surplus);
                conns.put(key, name as u64, now);
            } else {
                let newest = list.iter().rposition(|(other, ..)| *other == key);
                let expected = newest.map(|at| list.remove(at).1);
                prop_assert_eq!(conns.take(&key, now), expected);
            }
            prop_assert_eq!(conns.len(), list.len());
        }
        prop_assert!(conns.lock().places.len() <= 7);
        for (key, name, _) in list.into_iter().rev() {
            prop_assert_eq!(conns.take(&key, now), Some(name));
        }
        prop_assert!(conns.lock().by_key.is_empty());
        prop_assert!(conns.lock().by_proxy.is_empty());
    }
}
