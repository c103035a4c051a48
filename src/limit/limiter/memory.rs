//! What is known of hosts, to be told or kept, and begun with again.

use std::time::{Duration, Instant};

use super::Limiter;
use crate::job::HostKey;

/// How a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Standing {
    /// How long it is still left alone.
    pub wait: Option<Duration>,
    /// The rate it is asked at, a second; `None` while it has limited nobody.
    pub rate: Option<f64>,
    /// It answers nobody.
    pub out: bool,
}

impl Limiter {
    /// How this host stands.
    pub fn standing(&self, host: u32, now: Instant) -> Standing {
        let Some(host) = self.hosts.get(&host) else {
            return Standing::default();
        };
        let until = host.clock.blocked_until(now);
        Standing {
            wait: until.map(|until| until.saturating_duration_since(now)),
            rate: host.clock.rate(),
            out: host.clock.out_since().is_some(),
        }
    }

    /// See [`super::HostClock::recall`].
    pub fn recall_clock(&mut self, host: u32, until: Instant, level: u32, now: Instant) {
        let clock = &mut self.hosts.entry(host).or_default().clock;
        clock.recall(until, level, now);
    }

    /// See [`super::HostClock::recall_rate`].
    pub fn recall_rate(&mut self, host: u32, rate: f64, now: Instant) {
        let clock = &mut self.hosts.entry(host).or_default().clock;
        clock.recall_rate(rate, now);
    }

    /// Hosts that have shown that they limit everybody together, with the rate found out so far, requests a second.
    pub fn rates(&self) -> impl Iterator<Item = (&HostKey, f64)> {
        self.numbers
            .iter()
            .filter_map(|(key, number)| Some((key, self.hosts.get(number)?.clock.shown_rate()?)))
    }

    /// Hosts that have to be left alone, for how long, and how many times in a row they have asked for it.
    pub fn clocks(&self, now: Instant) -> impl Iterator<Item = (&HostKey, Duration, u32)> {
        self.numbers.iter().filter_map(move |(key, number)| {
            let clock = &self.hosts.get(number)?.clock;
            let until = clock.blocked_until(now)?;
            Some((key, until.saturating_duration_since(now), clock.level()))
        })
    }

    /// The hosts that have a number.
    pub fn numbers(&self) -> impl Iterator<Item = (&HostKey, u32)> {
        self.numbers.iter().map(|(key, number)| (key, *number))
    }
}
