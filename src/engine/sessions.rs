//! Which proxy each sticky session is pinned to.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::proxy::ProxyId;

/// Sessions remembered; the oldest is forgotten first.
const MOST_SESSIONS: usize = 100_000;

/// See the module text.
#[derive(Default)]
pub(super) struct Sessions {
    pins: HashMap<Arc<str>, ProxyId>,
    /// As they were bound, oldest first; those released since stay until they are met.
    order: VecDeque<Arc<str>>,
}

impl Sessions {
    pub(super) fn get(&self, session: &str) -> Option<ProxyId> {
        self.pins.get(session).copied()
    }

    pub(super) fn bind(&mut self, session: &Arc<str>, proxy: ProxyId) {
        if self.pins.insert(session.clone(), proxy).is_none() {
            self.order.push_back(session.clone());
            while self.pins.len() > MOST_SESSIONS || self.order.len() > 2 * MOST_SESSIONS {
                let Some(oldest) = self.order.pop_front() else {
                    break;
                };
                self.pins.remove(&oldest);
            }
        }
    }

    /// The proxy failed the session: the next attempt chooses another.
    pub(super) fn release(&mut self, session: &str, proxy: ProxyId) {
        if self.pins.get(session) == Some(&proxy) {
            self.pins.remove(session);
        }
    }
}
