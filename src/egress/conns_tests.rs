use super::*;
use crate::proxy::{Proxy, Scheme};
use proptest::prelude::*;

/// A connection with a name; odd ones break when they are cooled.
#[derive(Debug, PartialEq)]
struct Fake {
    name: u64,
    warm: bool,
}

impl Idle for Fake {
    fn is_warm(&self) -> bool {
        self.warm
    }

    fn cool(self) -> Option<Self> {
        self.name.is_multiple_of(2).then_some(Fake {
            warm: false,
            ..self
        })
    }
}

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

fn fake(name: u64) -> Fake {
    Fake { name, warm: true }
}

#[test]
fn sessions_and_proxies_never_share_and_the_newest_goes_first() {
    let conns = Conns::new(10);
    let now = Instant::now();
    conns.put(key(1, session("a")), fake(0), now);
    conns.put(key(1, session("a")), fake(2), now);
    conns.put(key(1, Owner::Nobody), fake(4), now);
    assert_eq!(conns.take(&key(1, session("b")), now), None);
    assert_eq!(conns.take(&key(1, Owner::Session(None)), now), None);
    assert_eq!(conns.take(&key(2, session("a")), now), None);
    assert_eq!(conns.take(&key(1, session("a")), now), Some(fake(2)));
    assert_eq!(conns.take(&key(1, session("a")), now), Some(fake(0)));
    assert_eq!(conns.take(&key(1, session("a")), now), None);
    assert_eq!(conns.take(&key(1, Owner::Nobody), now), Some(fake(4)));
}

#[test]
fn the_oldest_of_all_makes_room() {
    let conns = Conns::new(2);
    let now = Instant::now();
    for port in [1, 2, 3] {
        conns.put(key(port, session("a")), fake(port.into()), now);
    }
    assert_eq!(conns.len(), 2);
    assert_eq!(conns.take(&key(1, session("a")), now), None);
    assert!(conns.take(&key(2, session("a")), now).is_some());
    let none = Conns::new(0);
    none.put(key(1, session("a")), fake(1), now);
    assert_eq!(none.len(), 0);
}

#[test]
fn what_has_aged_is_not_handed_out() {
    let conns = Conns::new(10);
    let start = Instant::now();
    conns.put(key(1, session("a")), fake(0), start);
    conns.put(
        key(1, session("a")),
        fake(2),
        start + Duration::from_secs(10),
    );
    let later = start + IDLE_MAX + Duration::from_secs(1);
    assert_eq!(conns.take(&key(1, session("a")), later), Some(fake(2)));
    assert_eq!(conns.take(&key(1, session("a")), later), None);
    assert_eq!(conns.len(), 0);
}

#[test]
fn only_the_newest_stay_warm() {
    let total = WARM_MAX as u64 + 10;
    let conns = Conns::new(total as usize);
    let now = Instant::now();
    for name in 0..total {
        conns.put(key(name as u16, session("a")), fake(name), now);
    }
    // Of the ten oldest the even ones were cooled and the odd ones broke.
    for name in 0..total {
        let found = conns.take(&key(name as u16, session("a")), now);
        let expected = match name {
            0..10 if name % 2 == 1 => None,
            _ => Some(Fake {
                name,
                warm: name >= 10,
            }),
        };
        assert_eq!(found, expected, "{name}");
    }
}

proptest! {
    #[test]
    fn books_balance(steps in proptest::collection::vec((0..4u16, 0..2usize, any::<bool>(), 0..20u64), 1..200)) {
        let conns = Conns::new(7);
        let mut now = Instant::now();
        for (name, (port, owner, put, wait)) in steps.into_iter().enumerate() {
            now += Duration::from_secs(wait);
            let key = key(port, [Owner::Nobody, session("a")][owner].clone());
            if put {
                conns.put(key, fake(name as u64), now);
            } else {
                conns.take(&key, now);
            }
            let shelves = conns.lock();
            prop_assert!(shelves.by_age.len() <= 7);
            let filed: usize = shelves.by_key.values().map(VecDeque::len).sum();
            prop_assert_eq!(filed, shelves.by_age.len());
            prop_assert!(shelves.by_key.values().all(|numbers| !numbers.is_empty()));
            let warm = shelves.by_age.values().filter(|entry| entry.conn.is_warm()).count();
            prop_assert_eq!(warm, shelves.warm);
        }
    }
}
