//! A discrete-event run of the pool in a world, and the oracle's run of the same.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proxywheel::outcome::{Blame, Charge, Phase};
use proxywheel::pool::{
    Ask, Avoid, Demand, HostIdx, Lease, Pool, ProbeLease, ProbeResult, Settings, Settlement,
};
use proxywheel::proxy::{Proxy, Scheme};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::pool_world::{Truth, World};

/// Proxies, slots, jobs, requests at once per proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) slots: usize,
    pub(crate) jobs: usize,
    pub(crate) proxy_concurrency: u32,
    pub(crate) probe_limit: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) makespan: f64,
    pub(crate) attempts: usize,
    pub(crate) successes: usize,
    pub(crate) fakes: usize,
    pub(crate) probes: usize,
}

enum Event {
    Answer(Lease, Settlement, usize, bool),
    Probed(ProbeLease, ProbeResult),
    Wake,
}

/// A discrete-event run of the pool.
pub(crate) struct Run<'a> {
    world: &'a World,
    shape: Shape,
    pub(crate) pool: Pool,
    rng: StdRng,
    start: Instant,
    /// Microseconds since `start`.
    now: u64,
    /// Event numbers by time; the number breaks ties and finds the event.
    agenda: BinaryHeap<Reverse<(u64, usize)>>,
    events: Vec<Option<Event>>,
    queue: VecDeque<usize>,
    tried: Vec<Avoid>,
    in_flight: usize,
    probing: u32,
    /// Wake-ups by the clock alone.
    wakes: usize,
    pub(crate) outcome: Outcome,
}

impl<'a> Run<'a> {
    pub(crate) fn new(world: &'a World, shape: Shape, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let start = origin();
        let proxies = (0..world.truth.len()).map(proxy).collect();
        let settings = Settings {
            proxy_concurrency: shape.proxy_concurrency,
            ..Settings::default()
        };
        Run {
            world,
            shape,
            pool: Pool::new(proxies, settings, start, &mut rng),
            rng,
            start,
            now: 0,
            agenda: BinaryHeap::new(),
            events: Vec::new(),
            queue: (0..shape.jobs).collect(),
            tried: vec![Avoid::default(); shape.jobs],
            in_flight: 0,
            probing: 0,
            wakes: 0,
            outcome: Outcome::default(),
        }
    }

    pub(crate) fn finish(mut self) -> Outcome {
        while self.outcome.successes < self.shape.jobs {
            assert!(self.step(), "the run has come to a halt");
        }
        self.outcome.makespan = self.seconds();
        self.outcome
    }

    /// Sends and probes what can be, then goes on to the next event; false when there is none.
    pub(crate) fn step(&mut self) -> bool {
        let retry_at = self.dispatch();
        self.probe();
        let wake = [self.pool.next_wake(), retry_at]
            .into_iter()
            .flatten()
            .min();
        if let Some(wake) = wake {
            let wake = micros(wake - self.start);
            assert!(
                wake > self.now,
                "a wake-up in the past makes the engine spin"
            );
            if self.agenda.peek().is_none_or(|Reverse((at, _))| wake < *at) {
                self.schedule(wake, Event::Wake);
            }
        }
        let Some(Reverse((at, number))) = self.agenda.pop() else {
            return false;
        };
        self.now = at;
        match self.events[number].take().expect("an event happens once") {
            Event::Answer(lease, report, job, fake) => self.answer(lease, report, job, fake),
            Event::Probed(lease, result) => {
                self.probing -= 1;
                let now = self.instant();
                self.pool.settle_probe(lease, result, now, &mut self.rng);
            }
            Event::Wake => {
                self.wakes += 1;
                assert!(self.wakes < 20_000, "the pool keeps waking the engine");
            }
        }
        true
    }

    fn dispatch(&mut self) -> Option<Instant> {
        let mut retry_at = None;
        let mut refused = 0;
        while self.in_flight < self.shape.slots && refused < self.queue.len().min(8) {
            let Some(job) = self.queue.pop_front() else {
                break;
            };
            let left = self.shape.jobs - self.outcome.successes;
            let ask = Ask {
                host: HostIdx(0),
                tunnel: true,
                avoid: &self.tried[job],
                filter: None,
                pinned: None,
                endgame: left < self.shape.slots,
                proven_first: false,
            };
            let now = self.instant();
            match self.pool.lease(&ask, now, &mut self.rng, &mut |_| true) {
                Ok(lease) => {
                    self.in_flight += 1;
                    self.outcome.attempts += 1;
                    self.tried[job].note(&lease.proxy);
                    let limit = lease.connect_timeout.as_secs_f64();
                    let at = number(&lease.proxy);
                    let (in_flight, now) = (lease.in_flight_at_dispatch, self.seconds());
                    let (took, report, fake) =
                        self.world.request(at, in_flight, now, limit, &mut self.rng);
                    let at = self.now + (took * 1e6) as u64;
                    self.schedule(at, Event::Answer(lease, report, job, fake));
                }
                Err(refusal) => {
                    refused += 1;
                    self.queue.push_back(job);
                    retry_at = [retry_at, refusal.retry_at].into_iter().flatten().min();
                }
            }
        }
        retry_at
    }

    fn probe(&mut self) {
        loop {
            let demand = Demand {
                slots: self.shape.slots as u32,
                idle: (self.shape.slots - self.in_flight) as u32,
                probing: self.probing,
                probe_limit: self.shape.probe_limit,
                waiting: !self.queue.is_empty(),
                work_left: None,
                last_pick_failed: false,
            };
            let now = self.instant();
            let Some(mut lease) = self.pool.next_probe(demand, now, &mut self.rng) else {
                return;
            };
            lease.host = Some(HostIdx(0));
            self.probing += 1;
            self.outcome.probes += 1;
            let limit = lease.connect_timeout.as_secs_f64();
            let at = number(&lease.proxy);
            let (took, fault) = self.world.connect(at, self.seconds(), limit, &mut self.rng);
            let result = match fault {
                None => ProbeResult::Alive {
                    connect: Duration::from_secs_f64(took),
                    handshake: None,
                },
                Some(kind) => ProbeResult::Failed {
                    blame: Blame::Proxy(Charge::Unreachable),
                    kind: (Phase::Connect, kind),
                },
            };
            let at = self.now + (took * 1e6) as u64;
            self.schedule(at, Event::Probed(lease, result));
        }
    }

    fn answer(&mut self, lease: Lease, report: Settlement, job: usize, fake: bool) {
        self.in_flight -= 1;
        let done = report.blame == Blame::Nobody;
        let now = self.instant();
        self.pool.settle(lease, &report, now);
        if done {
            self.outcome.successes += 1;
            self.outcome.fakes += usize::from(fake);
        } else {
            self.queue.push_back(job);
        }
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.agenda.push(Reverse((at, self.events.len())));
        self.events.push(Some(event));
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.now as f64 / 1e6
    }

    pub(crate) fn instant(&self) -> Instant {
        self.start + Duration::from_micros(self.now)
    }
}

/// Makespan of a chooser that knows every proxy: the fastest with room, first come first served, the same 2 % of resets.
pub(crate) fn oracle(world: &World, shape: Shape, seed: u64) -> f64 {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x0AC1E);
    let mut alive: Vec<usize> = (0..world.truth.len())
        .filter(|at| matches!(world.truth[*at], Truth::Good | Truth::Slow))
        .collect();
    let expected = |at: &usize| world.latency[*at] + world.connect[*at];
    alive.sort_by(|a, b| expected(a).total_cmp(&expected(b)));
    let mut in_flight = vec![0; world.truth.len()];
    let mut agenda = BinaryHeap::new();
    let (mut now, mut left, mut queued, mut busy) = (0u64, shape.jobs, shape.jobs, 0);
    while left > 0 {
        while busy < shape.slots && queued > 0 {
            let seconds = now as f64 / 1e6;
            let Some(at) = alive.iter().copied().find(|at| {
                in_flight[*at] < shape.proxy_concurrency
                    && f64::from(in_flight[*at]) + 1.0 <= world.bears[*at]
                    && !world.is_down(*at, seconds)
            }) else {
                break;
            };
            in_flight[at] += 1;
            busy += 1;
            queued -= 1;
            let (took, report, _) = world.request(at, in_flight[at], seconds, 10.0, &mut rng);
            let end = now + (took * 1e6) as u64;
            agenda.push(Reverse((end, at, report.blame == Blame::Nobody)));
        }
        let Some(Reverse((end, at, done))) = agenda.pop() else {
            // Everybody is down for a moment.
            now += 100_000;
            continue;
        };
        now = end;
        in_flight[at] -= 1;
        busy -= 1;
        if done {
            left -= 1;
        } else {
            queued += 1;
        }
    }
    now as f64 / 1e6
}

/// Some instant to count from; no decision of the pool depends on which.
fn origin() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "only differences to it are used")]
    Instant::now()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("a simulated run is short")
}

/// Proxy `at` of the list; addresses spread over subnets as a public list's do.
fn proxy(at: usize) -> Arc<Proxy> {
    let host = format!("10.{}.{}.1", at / 256, at % 256);
    Arc::new(Proxy::new(Scheme::Http, &host, 8080, None))
}

fn number(proxy: &Proxy) -> usize {
    let octets: Vec<usize> = proxy
        .host()
        .split('.')
        .map(|octet| octet.parse().expect("an address made by `proxy`"))
        .collect();
    octets[1] * 256 + octets[2]
}
