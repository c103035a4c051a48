//! The order of a session's jobs.
//!
//! Most of them go side by side. One whose method is not safe (RFC 9110, section 9.2.1) may change what the others are answered: a
//! login has to come before the pages behind it. Such a job goes alone: after those of its session that were read before it have
//! their records, and before those that were read later.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use foldhash::fast::RandomState;

use super::Frontier;
use crate::engine::pending::Pending;
use crate::metrics::Binding;

/// Names of sessions, one for each of their jobs that is done with since the last look.
type Returned = Arc<Mutex<Vec<Arc<str>>>>;

/// Held by a job while it is its turn in its session; comes back with the end of the job, whatever that is.
pub(in crate::engine) struct Ticket {
    session: Arc<str>,
    returned: Returned,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let returned = self.returned.lock();
        let mut returned = returned.unwrap_or_else(PoisonError::into_inner);
        returned.push(self.session.clone());
    }
}

#[derive(Default)]
struct Session {
    /// Tickets that are out.
    out: usize,
    /// One is, and its job goes alone.
    alone: bool,
    waiting: VecDeque<Box<Pending>>,
}

impl Session {
    fn admits(&self, job: &Pending) -> bool {
        self.out == 0 || !self.alone && is_safe(job)
    }
}

fn is_safe(job: &Pending) -> bool {
    job.job.request.method.is_safe()
}

/// See the module text. Sessions without a job that has its turn are not in it.
#[derive(Default)]
pub(super) struct Order {
    sessions: HashMap<Arc<str>, Session, RandomState>,
    returned: Returned,
    /// One whose jobs may have their turn since a ticket came back.
    moves: Option<Arc<str>>,
}

impl Order {
    /// Gives the job back if it is its turn.
    fn admit(&mut self, mut job: Box<Pending>) -> Option<Box<Pending>> {
        let Some(name) = job.session.clone() else {
            return Some(job);
        };
        let session = self.sessions.entry(name.clone()).or_default();
        if !session.waiting.is_empty() || !session.admits(&job) {
            session.waiting.push_back(job);
            return None;
        }
        self.begin(&mut job, name);
        Some(job)
    }

    fn begin(&mut self, job: &mut Pending, name: Arc<str>) {
        if let Some(session) = self.sessions.get_mut(&name) {
            session.out += 1;
            session.alone = !is_safe(job);
            job.ticket = Some(Ticket {
                session: name,
                returned: self.returned.clone(),
            });
        }
    }

    /// The next job whose turn has come.
    fn next(&mut self) -> Option<Box<Pending>> {
        while !self.sessions.is_empty() {
            if let Some(name) = self.moves.take()
                && let Some(session) = self.sessions.get_mut(&name)
            {
                if let Some(first) = session.waiting.front()
                    && session.admits(first)
                {
                    let mut job = session.waiting.pop_front()?;
                    self.begin(&mut job, name.clone());
                    self.moves = Some(name);
                    return Some(job);
                }
                if session.out == 0 {
                    self.sessions.remove(&name);
                }
            }
            let returned = self.returned.lock();
            let name = returned.unwrap_or_else(PoisonError::into_inner).pop()?;
            if let Some(session) = self.sessions.get_mut(&name) {
                session.out -= 1;
            }
            self.moves = Some(name);
        }
        None
    }

    /// The jobs that wait for their turn.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Pending> {
        let sessions = self.sessions.values();
        sessions.flat_map(|session| session.waiting.iter().map(|job| &**job))
    }

    /// Drops those of them that are not to be kept.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&Pending) -> bool) {
        let sessions = self.sessions.values_mut();
        sessions.for_each(|session| session.waiting.retain(|job| keeps(job)));
    }

    /// Takes them all. Tickets that come back later are none of this order any more.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Box<Pending>> {
        let sessions = std::mem::take(self).sessions;
        sessions.into_values().flat_map(|session| session.waiting)
    }
}

impl Frontier {
    /// Files a job of a session whose turn it is not yet; gives any other back.
    pub(in crate::engine) fn admit(&mut self, job: Box<Pending>) -> Option<Box<Pending>> {
        let bytes = job.bytes;
        let admitted = self.order.admit(job);
        if admitted.is_none() {
            self.queued += 1;
            self.bytes += bytes;
            self.waits.more(Binding::Session, 1);
        }
        admitted
    }

    /// Takes out the next job whose turn in its session has come.
    pub(in crate::engine) fn next_in_session(&mut self, now: Instant) -> Option<Box<Pending>> {
        let mut job = self.order.next()?;
        self.queued -= 1;
        self.bytes -= job.bytes;
        self.waits.fewer(Binding::Session, 1);
        job.waited += now.saturating_duration_since(job.waiting_since);
        job.waiting_since = now;
        Some(job)
    }
}
