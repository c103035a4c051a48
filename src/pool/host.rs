//! What recent answers say about each host: is a failure towards it likely its own?

use std::collections::HashMap;

use super::clock::{Micros, remains, seconds};
use super::hash::Mixing;

/// Seconds until a result has lost half its weight: an outage is news for about a minute.
const HALF_LIFE: f32 = 20.0;
/// Results older than this weigh less than 2 % and the host is as good as unknown.
const FORGOTTEN_AFTER: f32 = 120.0;
/// What is left of one answer after two minutes.
const REACHED: f32 = 0.015;
/// Chance of failing by itself from which a host is said to fail for everybody.
const FLAKY: f32 = 1.0 / 6.0;
/// Failures, faded, that it takes to say so.
const FLAKY_LEAST: f32 = 1.5;
/// Hosts before the first look for forgotten ones.
const FIRST_PRUNE: usize = 4096;

#[derive(Debug, Clone, Copy, Default)]
struct Results {
    answers: f32,
    failures: f32,
    faded: Micros,
    /// Whose failure was counted last.
    failed_through: Option<u32>,
}

/// Decaying counts per host. Hosts without results in the last two minutes are dropped, so a crawl of many hosts keeps
/// only those it is busy with.
#[derive(Debug)]
pub(super) struct Hosts {
    results: HashMap<u32, Results, Mixing>,
    prune_at: usize,
}

impl Hosts {
    pub(super) fn new() -> Self {
        Hosts {
            results: HashMap::default(),
            prune_at: FIRST_PRUNE,
        }
    }

    /// The host answered, whatever it said.
    pub(super) fn answered(&mut self, host: u32, now: Micros) {
        self.faded(host, now).answers += 1.0;
    }

    /// A request through the proven proxy in `slot` failed for a reason that may be the host's. However often one proxy
    /// fails in a row, it is one piece of evidence against the host: else a proxy that always fails would be excused by
    /// its own failures.
    pub(super) fn failed(&mut self, host: u32, slot: u32, now: Micros) {
        let results = self.faded(host, now);
        if results.failed_through != Some(slot) {
            results.failed_through = Some(slot);
            results.failures += 1.0;
        }
    }

    /// Chance that a failure towards this host is the host's own. The constants make an unseen host nearly innocent.
    pub(super) fn doubt(&self, host: u32, now: Micros) -> f32 {
        let results = self.results.get(&host).copied().unwrap_or_default();
        let left = remains(seconds(results.faded, now), HALF_LIFE);
        (results.failures * left + 0.1) / ((results.failures + results.answers) * left + 4.0)
    }

    /// True while the host fails often by itself, through proxies that have served before.
    pub(super) fn is_flaky(&self, host: u32, now: Micros) -> bool {
        self.results.get(&host).is_some_and(|results| {
            let left = remains(seconds(results.faded, now), HALF_LIFE);
            results.failures * left >= FLAKY_LEAST && self.doubt(host, now) >= FLAKY
        })
    }

    /// True when somebody got through to the host in the last minutes.
    pub(super) fn is_reached(&self, host: u32, now: Micros) -> bool {
        self.results.get(&host).is_some_and(|results| {
            let left = remains(seconds(results.faded, now), HALF_LIFE);
            results.answers * left > REACHED
        })
    }

    fn faded(&mut self, host: u32, now: Micros) -> &mut Results {
        if self.results.len() >= self.prune_at {
            self.results
                .retain(|_, results| seconds(results.faded, now) < FORGOTTEN_AFTER);
            self.prune_at = FIRST_PRUNE.max(2 * self.results.len());
        }
        let results = self.results.entry(host).or_default();
        let left = remains(seconds(results.faded, now), HALF_LIFE);
        results.answers *= left;
        results.failures *= left;
        results.faded = now;
        results
    }
}

/// The proxy's share of an ambiguous failure, 0..=1: noisy-OR of the chances that the proxy fails and that the host does.
pub(super) fn share(proxy_fails: f32, host_fails: f32) -> f32 {
    proxy_fails / (proxy_fails + host_fails - proxy_fails * host_fails)
}

#[cfg(test)]
mod tests {
    use super::super::clock::SECOND;
    use super::*;

    #[test]
    fn a_proxy_bears_most_on_a_healthy_host_and_little_on_a_dead_one() {
        let mut hosts = Hosts::new();
        for n in 0..50 {
            hosts.answered(1, n * SECOND / 10);
            hosts.failed(2, n as u32, n * SECOND / 10);
        }
        let now = 5 * SECOND;
        assert!(share(0.1, hosts.doubt(1, now)) > 0.9);
        assert!(share(0.1, hosts.doubt(2, now)) < 0.15);
        let later = now + 300 * SECOND;
        assert!(share(0.1, hosts.doubt(2, later)) > 0.7);
    }

    #[test]
    fn only_hosts_of_the_last_minutes_are_remembered() {
        let mut hosts = Hosts::new();
        for host in 0..100_000u32 {
            hosts.answered(host, u64::from(host) * SECOND);
        }
        assert!(hosts.results.len() <= FIRST_PRUNE);
    }
}
