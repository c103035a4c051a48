//! Idle connections, kept by who they belong to and where they lead.
//!
//! The key holds the proxy's identity and the session, so that no target sees two identities on one connection. A connection
//! that a probe opened has served nobody yet and may be taken by any session. The newest connection of a key is used first (the
//! others may then age out); over all keys the oldest goes when there are too many.
//!
//! A proxy may limit how many connections it has at once, and to it an idle one is one of them: a tunnel kept for one site takes
//! the place of the next one to another. So the connections of each proxy are counted as well ([`Seat`]). Before one more is
//! opened than the user allows, or than the proxy bears, its oldest idle ones are closed. What it bears shows when it refuses one
//! more and takes it once an idle one is gone; that is remembered while any connection of its is open.
//!
//! There is no background task: what has aged is dropped when something else is stored or looked for. Every fetch takes a
//! connection and puts it back, so both are a look-up and a few links: the connections stand in a vector and are chained twice,
//! by age and by key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::job::HostKey;
use crate::proxy::ProxyId;

/// Longest idle time. Servers commonly close at 60 or 75 s; losing that race costs a replay.
const IDLE_MAX: Duration = Duration::from_secs(50);
/// Refusals in a row that closing an idle connection did not cure double the number of those after which none is closed, up to
/// 2^this - 1: they have another reason, and each trial costs a connection that could have been used.
const DOUBLINGS: u32 = 6;
/// No connection.
const NONE: u32 = u32::MAX;

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

/// The store.
pub(super) struct Conns<T> {
    max_idle: usize,
    /// Open connections per proxy, idle ones included.
    max_per_proxy: usize,
    shelves: Mutex<Shelves<T>>,
}

struct Shelves<T> {
    places: Vec<Place<T>>,
    /// A place without a connection; chained by `older`.
    free: u32,
    len: usize,
    /// The newest connection of each key.
    by_key: HashMap<Key, u32, RandomState>,
    /// Of those that have any connection.
    by_proxy: HashMap<ProxyId, Own, RandomState>,
    newest: u32,
    oldest: u32,
}

struct Place<T> {
    entry: Option<Entry<T>>,
    /// Neighbours by age, over all keys.
    newer: u32,
    older: u32,
    /// Neighbours by age among those of the same key.
    above: u32,
    below: u32,
}

struct Entry<T> {
    key: Key,
    conn: T,
    since: Instant,
}

/// The connections of one proxy.
struct Own {
    /// Places of the idle ones, oldest first.
    idle: Vec<u32>,
    /// Requests that have one, or are about to.
    in_use: usize,
    /// It has refused one more than these.
    most: usize,
    /// Refusals in a row that closing an idle connection did not cure.
    fruitless: u32,
    /// Refusals to come for which none is closed.
    patience: u32,
}

impl Default for Own {
    fn default() -> Self {
        Own {
            idle: Vec::new(),
            in_use: 0,
            most: usize::MAX,
            fruitless: 0,
            patience: 0,
        }
    }
}

/// A request's place among the connections of its proxy, until it is dropped.
pub(super) struct Seat<'a, T> {
    conns: &'a Conns<T>,
    proxy: ProxyId,
}

impl<T> Seat<'_, T> {
    /// Closes the oldest idle connections of the proxy if with this request's it had more than it may have. True when there were any.
    pub(super) fn make_room(&self) -> bool {
        let mut closing = Vec::new();
        let mut shelves = self.conns.lock();
        while let Some(own) = shelves.by_proxy.get(&self.proxy)
            && own.in_use + own.idle.len() > own.most.min(self.conns.max_per_proxy)
            && let Some(&oldest) = own.idle.first()
        {
            closing.extend(shelves.remove(oldest));
        }
        drop(shelves);
        !closing.is_empty()
    }

    /// The proxy has refused the connection of this request. Closes the oldest idle one that is `alive`, as its place may be what
    /// was wanting, and returns how many the proxy had.
    pub(super) fn free_one(&self, mut alive: impl FnMut(&mut T) -> bool) -> Option<usize> {
        if let Some(own) = self.conns.lock().by_proxy.get_mut(&self.proxy)
            && !own.idle.is_empty()
            && own.patience > 0
        {
            own.patience -= 1;
            return None;
        }
        loop {
            let mut shelves = self.conns.lock();
            let own = shelves.by_proxy.get(&self.proxy)?;
            let open = own.in_use.saturating_sub(1) + own.idle.len();
            let oldest = *own.idle.first()?;
            let conn = shelves.remove(oldest);
            drop(shelves);
            if conn.is_some_and(|mut conn| alive(&mut conn)) {
                return Some(open);
            }
        }
    }

    /// After one of `open` connections was closed the proxy took another, or refused it all the same.
    pub(super) fn learn(&self, open: usize, taken: bool) {
        if let Some(own) = self.conns.lock().by_proxy.get_mut(&self.proxy) {
            if taken {
                own.most = own.most.min(open);
                (own.fruitless, own.patience) = (0, 0);
            } else {
                own.fruitless = (own.fruitless + 1).min(DOUBLINGS);
                own.patience = (1 << own.fruitless) - 1;
            }
        }
    }
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        let mut shelves = self.conns.lock();
        if let Some(own) = shelves.by_proxy.get_mut(&self.proxy) {
            own.in_use -= 1;
        }
        shelves.forget_unused(self.proxy);
    }
}

impl<T> Conns<T> {
    /// A store for at most `max_idle` connections, fewer where a proxy would have more than `max_per_proxy` open.
    pub(super) fn new(max_idle: usize, max_per_proxy: usize) -> Self {
        Conns {
            max_idle,
            max_per_proxy,
            shelves: Mutex::new(Shelves {
                places: Vec::new(),
                free: NONE,
                len: 0,
                by_key: HashMap::default(),
                by_proxy: HashMap::default(),
                newest: NONE,
                oldest: NONE,
            }),
        }
    }

    /// Counts a request among the connections of `proxy`.
    pub(super) fn seat(&self, proxy: ProxyId) -> Seat<'_, T> {
        self.lock().by_proxy.entry(proxy).or_default().in_use += 1;
        Seat { conns: self, proxy }
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
        while shelves.len >= self.max_idle {
            let oldest = shelves.oldest;
            closing.extend(shelves.remove(oldest));
        }
        shelves.add(key, conn, now);
        drop(shelves);
        drop(closing);
    }

    /// Takes the newest connection of `key`.
    pub(super) fn take(&self, key: &Key, now: Instant) -> Option<T> {
        let mut closing = Vec::new();
        let mut shelves = self.lock();
        shelves.drop_aged(now, &mut closing);
        let at = shelves.by_key.get(key).copied();
        let conn = at.and_then(|at| shelves.remove(at));
        drop(shelves);
        drop(closing);
        conn
    }

    /// Connections kept now.
    pub(super) fn len(&self) -> usize {
        self.lock().len
    }

    fn lock(&self) -> MutexGuard<'_, Shelves<T>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Shelves<T> {
    fn place(&mut self, at: u32) -> Option<&mut Place<T>> {
        self.places.get_mut(at as usize)
    }

    fn drop_aged(&mut self, now: Instant, closing: &mut Vec<T>) {
        let is_aged = |entry: &Entry<T>| now.saturating_duration_since(entry.since) > IDLE_MAX;
        while let Some(place) = self.places.get(self.oldest as usize)
            && place.entry.as_ref().is_some_and(is_aged)
        {
            closing.extend(self.remove(self.oldest));
        }
    }

    /// What is known of a proxy says nothing once it has no connection.
    fn forget_unused(&mut self, proxy: ProxyId) {
        if let Some(own) = self.by_proxy.get(&proxy)
            && own.in_use == 0
            && own.idle.is_empty()
        {
            self.by_proxy.remove(&proxy);
        }
    }

    /// Adds a connection as the newest.
    fn add(&mut self, key: Key, conn: T, since: Instant) {
        let at = match self.free {
            NONE => {
                self.places.push(Place {
                    entry: None,
                    newer: NONE,
                    older: NONE,
                    above: NONE,
                    below: NONE,
                });
                (self.places.len() - 1) as u32
            }
            free => {
                self.free = self.places[free as usize].older;
                free
            }
        };
        self.by_proxy.entry(key.proxy).or_default().idle.push(at);
        let below = match self.by_key.get_mut(&key) {
            Some(newest) => std::mem::replace(newest, at),
            None => {
                self.by_key.insert(key.clone(), at);
                NONE
            }
        };
        let older = std::mem::replace(&mut self.newest, at);
        self.places[at as usize] = Place {
            entry: Some(Entry { key, conn, since }),
            newer: NONE,
            older,
            above: NONE,
            below,
        };
        if let Some(below) = self.place(below) {
            below.above = at;
        }
        match self.place(older) {
            Some(older) => older.newer = at,
            None => self.oldest = at,
        }
        self.len += 1;
    }

    /// Takes out the connection at `at`, wherever it stands.
    fn remove(&mut self, at: u32) -> Option<T> {
        let free = self.free;
        let place = self.place(at)?;
        let entry = place.entry.take()?;
        let (newer, older, above, below) = (place.newer, place.older, place.above, place.below);
        place.older = free;
        self.free = at;
        match self.place(newer) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        match self.place(older) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        if let Some(below) = self.place(below) {
            below.above = above;
        }
        match self.place(above) {
            Some(above) => above.below = below,
            None if below == NONE => {
                self.by_key.remove(&entry.key);
            }
            None => {
                if let Some(newest) = self.by_key.get_mut(&entry.key) {
                    *newest = below;
                }
            }
        }
        if let Some(own) = self.by_proxy.get_mut(&entry.key.proxy) {
            own.idle.retain(|idle| *idle != at);
        }
        self.forget_unused(entry.key.proxy);
        self.len -= 1;
        Some(entry.conn)
    }
}

#[cfg(test)]
#[path = "conns_tests.rs"]
mod tests;
