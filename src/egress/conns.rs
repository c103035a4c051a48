//! Idle connections, kept by who they belong to and where they lead.
//!
//! The key holds the proxy's identity and the session, so that no target sees two identities on one connection. A connection
//! that a probe opened has served nobody yet and may be taken by any session. The newest connection of a key is used first (the
//! others may then age out); over all keys the oldest goes when there are too many. An HTTP/1 connection with its state and
//! buffers ready to go costs some 25 kB, so only the newest few stay like that: the others are cooled down to the bare stream,
//! which costs a rebuild of about a microsecond when it is used again.
//!
//! There is no background task: what has aged is dropped when something else is stored or looked for.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::job::HostKey;
use crate::proxy::ProxyId;

/// Longest idle time. Servers commonly close at 60 or 75 s; losing that race costs a replay.
const IDLE_MAX: Duration = Duration::from_secs(50);
/// Connections kept warm: 512 x 25 kB is what the memory budget of a run has to spare.
const WARM_MAX: usize = 512;

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Route {
    /// To an HTTP proxy, for plain `http://` requests to any host.
    Forward,
    /// To this target, through a tunnel or (for `direct`) by itself.
    Target(HostKey),
}

/// Who may use a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// It has served nobody: anyone.
    Nobody,
    /// The session it served; `None` for all jobs without one.
    Session(Option<Arc<str>>),
}

/// What an idle connection is filed under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) proxy: ProxyId,
    pub(super) route: Route,
    pub(super) owner: Owner,
}

/// A connection that can be kept.
pub(super) trait Idle: Sized {
    /// True while it holds more memory than it has to.
    fn is_warm(&self) -> bool;

    /// Gives memory back; `None` when that shows it to be unusable.
    fn cool(self) -> Option<Self>;
}

/// The store.
pub(super) struct Conns<T> {
    max_idle: usize,
    shelves: Mutex<Shelves<T>>,
}

struct Shelves<T> {
    /// All connections, oldest first: the key is a running number.
    by_age: BTreeMap<u64, Entry<T>>,
    /// Numbers of each key's connections, oldest first.
    by_key: HashMap<Key, VecDeque<u64>>,
    next: u64,
    warm: usize,
    /// Everything older than this number is cool.
    cool_below: u64,
}

struct Entry<T> {
    key: Key,
    conn: T,
    since: Instant,
}

impl<T: Idle> Conns<T> {
    /// A store for at most `max_idle` connections.
    pub(super) fn new(max_idle: usize) -> Self {
        Conns {
            max_idle,
            shelves: Mutex::new(Shelves {
                by_age: BTreeMap::new(),
                by_key: HashMap::new(),
                next: 0,
                warm: 0,
                cool_below: 0,
            }),
        }
    }

    /// Keeps `conn`, which was last used at `now`.
    pub(super) fn put(&self, key: Key, conn: T, now: Instant) {
        if self.max_idle == 0 {
            return;
        }
        // Sockets are closed behind the lock's back: closing is a system call.
        let mut closing = Vec::new();
        let mut shelves = self.lock();
        shelves.drop_aged(now, &mut closing);
        while shelves.by_age.len() >= self.max_idle {
            closing.extend(shelves.remove_oldest());
        }
        let number = shelves.next;
        shelves.next += 1;
        shelves.warm += usize::from(conn.is_warm());
        match shelves.by_key.get_mut(&key) {
            Some(numbers) => numbers.push_back(number),
            None => {
                shelves.by_key.insert(key.clone(), VecDeque::from([number]));
            }
        }
        let entry = Entry {
            key,
            conn,
            since: now,
        };
        shelves.by_age.insert(number, entry);
        shelves.cool_down(WARM_MAX);
        drop(shelves);
        drop(closing);
    }

    /// Takes the newest connection of `key`.
    pub(super) fn take(&self, key: &Key, now: Instant) -> Option<T> {
        let mut closing = Vec::new();
        let mut shelves = self.lock();
        if shelves.by_age.is_empty() {
            return None;
        }
        shelves.drop_aged(now, &mut closing);
        let numbers = shelves.by_key.get_mut(key)?;
        let number = numbers.pop_back()?;
        if numbers.is_empty() {
            shelves.by_key.remove(key);
        }
        let entry = shelves.by_age.remove(&number)?;
        shelves.warm -= usize::from(entry.conn.is_warm());
        drop(shelves);
        drop(closing);
        Some(entry.conn)
    }

    /// Connections kept now.
    pub(super) fn len(&self) -> usize {
        self.lock().by_age.len()
    }

    fn lock(&self) -> MutexGuard<'_, Shelves<T>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Idle> Shelves<T> {
    fn drop_aged(&mut self, now: Instant, closing: &mut Vec<T>) {
        while let Some((_, oldest)) = self.by_age.first_key_value()
            && now.saturating_duration_since(oldest.since) > IDLE_MAX
        {
            closing.extend(self.remove_oldest());
        }
    }

    fn remove_oldest(&mut self) -> Option<T> {
        let (number, entry) = self.by_age.pop_first()?;
        self.forget(&entry.key, number);
        self.warm -= usize::from(entry.conn.is_warm());
        Some(entry.conn)
    }

    fn forget(&mut self, key: &Key, number: u64) {
        if let Some(numbers) = self.by_key.get_mut(key) {
            numbers.retain(|each| *each != number);
            if numbers.is_empty() {
                self.by_key.remove(key);
            }
        }
    }

    fn cool_down(&mut self, warm_max: usize) {
        while self.warm > warm_max {
            let oldest_warm = self
                .by_age
                .range(self.cool_below..)
                .find_map(|(number, entry)| entry.conn.is_warm().then_some(*number));
            let Some(number) = oldest_warm else {
                return;
            };
            self.cool_below = number + 1;
            self.warm -= 1;
            let Some(Entry { key, conn, since }) = self.by_age.remove(&number) else {
                return;
            };
            match conn.cool() {
                Some(conn) => {
                    self.by_age.insert(number, Entry { key, conn, since });
                }
                None => self.forget(&key, number),
            }
        }
    }
}

#[cfg(test)]
#[path = "conns_tests.rs"]
mod tests;
