//! What is learned leaves the run: a snapshot now and then, and one at the end.
//!
//! The first comes after a second, because many runs are short, and the distance doubles from there: the longer a run has gone
//! on, the less a lost piece of it matters. Whoever takes the snapshots sets the pace as well: one that has not taken the last
//! gets no further one, so a slow disk costs freshness and not time.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::dispatch::Dispatcher;
use crate::egress::Egress;
use crate::job::HostKey;
use crate::pool::{HostIdx, Memory, RememberedHost, RememberedLimit};

/// From the beginning to the first snapshot; no two are nearer.
const SHORTEST: Duration = Duration::from_secs(1);
/// Between two snapshots of a long run.
const LONGEST: Duration = Duration::from_secs(10);

/// To the next snapshot for each proxy in the last one: a thousand rows a second are less than a hundredth of a core.
const PER_PROXY: Duration = Duration::from_millis(1);

/// What a run begins with, and where it leaves what it learns.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// Of earlier runs. Shared, because it is large and only read.
    pub memory: Arc<Memory>,
    /// Takes the snapshots.
    pub saves: mpsc::Sender<Memory>,
}

/// The beat of the snapshots.
#[derive(Debug)]
pub(super) struct Beat {
    saves: mpsc::Sender<Memory>,
    next: Instant,
    distance: Duration,
}

impl Beat {
    pub(super) fn new(saves: mpsc::Sender<Memory>, began: Instant) -> Self {
        Beat {
            saves,
            next: began + SHORTEST,
            distance: SHORTEST,
        }
    }

    /// Sends a snapshot if it is time for one.
    pub(super) fn save<E: Egress>(&mut self, dispatcher: &mut Dispatcher<E>, now: Instant) {
        // While the network is out, what has just been learned may be that.
        if now < self.next || dispatcher.pool.is_paused() {
            return;
        }
        self.distance = (self.distance * 2).min(LONGEST);
        self.next = now + self.distance;
        if let Ok(place) = self.saves.try_reserve() {
            let memory = learned(dispatcher, now);
            let rows = u32::try_from(memory.proxies.len()).unwrap_or(u32::MAX);
            self.next = self.next.max(now + PER_PROXY * rows);
            if !memory.is_empty() {
                place.send(memory);
            }
        }
    }

    /// Sends the last one.
    pub(super) async fn end<E: Egress>(self, dispatcher: &mut Dispatcher<E>, now: Instant) {
        // That nobody takes it is the taker's affair.
        let _ = self.saves.send(learned(dispatcher, now)).await;
    }
}

/// Has the pool begin with what is remembered of members it knows nothing about.
pub(super) fn recall<E: Egress>(dispatcher: &mut Dispatcher<E>, memory: &Memory, now: Instant) {
    let mut limiter = dispatcher.context.limiter();
    for host in &memory.hosts {
        let number = limiter.number(&host.host);
        limiter.recall_clock(number, now + host.wait, host.level, now);
    }
    for limit in memory.limits.iter().filter(|limit| !limit.is_stale()) {
        if let Some(rate) = limit.rate {
            let number = limiter.number(&limit.host);
            limiter.recall_rate(number, rate.into(), now);
            dispatcher.pool.recall_limit(HostIdx(number), now);
        }
    }
    let mut number = |host: &HostKey| HostIdx(limiter.number(host));
    dispatcher.pool.recall(memory, &mut number, now);
}

fn learned<E: Egress>(dispatcher: &mut Dispatcher<E>, now: Instant) -> Memory {
    let limiter = dispatcher.context.limiter();
    // Most snapshots tell of no pair, and then nobody asks for names.
    let names: OnceCell<HashMap<u32, HostKey>> = OnceCell::new();
    let name = |host: HostIdx| {
        let names = names.get_or_init(|| {
            let numbers = limiter.numbers();
            numbers.map(|(key, number)| (number, key.clone())).collect()
        });
        names.get(&host.0).cloned()
    };
    let mut memory = dispatcher.pool.snapshot(&name, now);
    let waiting = limiter
        .clocks(now)
        .map(|(key, wait, level)| RememberedHost {
            host: key.clone(),
            wait,
            level,
        });
    memory.hosts = waiting.collect();
    // A host that limits everybody has no quota for one.
    for (host, rate) in limiter.rates() {
        memory.limits.retain(|limit| limit.host != *host);
        memory.limits.push(RememberedLimit {
            host: host.clone(),
            quota: None,
            rate: Some(rate as f32),
            age: Duration::ZERO,
        });
    }
    memory
}
