//! Names of proxies, looked up by the operating system and remembered for a short while.
//!
//! A rotating endpoint means one connection per attempt to the same name; without a memory that is a look-up per attempt, each
//! on a thread of its own. Failures are not remembered: the pool decides how soon a proxy is tried again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::outcome::{Fault, FaultKind, Phase};

/// How long an answer is used. Vendors move endpoints by DNS with a time to live of a minute or so.
const KEEP: Duration = Duration::from_secs(30);
/// Names remembered; a list with more distinct names has no use for a memory.
const NAMES_MAX: usize = 1024;

/// When each name was looked up, and what it was.
type Known = HashMap<Box<str>, (Instant, Arc<[IpAddr]>)>;

/// The memory of look-ups.
#[derive(Default)]
pub(super) struct Resolver {
    known: Mutex<Known>,
}

impl Resolver {
    /// The addresses of `host`, at least one.
    pub(super) async fn look_up(&self, host: &str) -> Result<Arc<[IpAddr]>, Fault> {
        let now = Instant::now();
        if let Some((at, addresses)) = self.lock().get(host)
            && now.saturating_duration_since(*at) < KEEP
        {
            return Ok(addresses.clone());
        }
        let dns = |message: String| Fault::new(Phase::Dns, FaultKind::Dns, message);
        let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| {
            match super::fault::io_kind(&error) {
                // No descriptor for the resolver's socket says nothing about the name.
                FaultKind::Local => super::fault::from_io(Phase::Dns, &error),
                _ => dns(format!("cannot look up {host}")),
            }
        })?;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found {
            if !addresses.contains(&address.ip()) {
                addresses.push(address.ip());
            }
        }
        if addresses.is_empty() {
            return Err(dns(format!("{host} has no address")));
        }
        let addresses: Arc<[IpAddr]> = addresses.into();
        let mut known = self.lock();
        if known.len() >= NAMES_MAX {
            known.clear();
        }
        known.insert(host.into(), (now, addresses.clone()));
        Ok(addresses)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_without_address_is_a_dns_fault_and_a_known_one_is_remembered() {
        let resolver = Resolver::default();
        let fault = resolver.look_up("no-such-name.invalid").await.unwrap_err();
        assert_eq!((fault.phase, fault.kind), (Phase::Dns, FaultKind::Dns));
        let first = resolver.look_up("localhost").await.unwrap();
        let again = resolver.look_up("localhost").await.unwrap();
        assert!(Arc::ptr_eq(&first, &again));
    }
}
