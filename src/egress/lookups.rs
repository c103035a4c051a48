//! Which names were looked up on this machine, and for which proxy: whoever wants to prove that no target was, asks here.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::proxy::ProxyId;

/// Names, each with the proxy it was looked up for.
type Noted = BTreeSet<(ProxyId, Box<str>)>;

/// A list of looked-up names; clones share it. It grows with the names, so it is for runs with few of them.
#[derive(Debug, Clone, Default)]
pub struct Lookups(Arc<Mutex<Noted>>);

impl Lookups {
    /// Notes a name before it is looked up.
    pub(super) fn note(&self, proxy: ProxyId, name: &str) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.insert((proxy, name.into()));
    }

    /// True when `name` was looked up for connections of this proxy, with or without success.
    pub fn has(&self, proxy: ProxyId, name: &str) -> bool {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.contains(&(proxy, name.into()))
    }
}

/// The same list, not one with the same names.
impl PartialEq for Lookups {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
