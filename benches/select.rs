//! What choosing a proxy and settling its attempt cost, by the size of the list.
//!
//! Every pool is entered in turn, a slice of operations at a time, and the median slice counts; ratios are taken between slices
//! of the same round. An operation is one [`Pool::settle`] and one [`Pool::lease`] while 64 other attempts are out, as in a run
//! with `-j 64` that has no pause. Each slice checks what it was given, and that nothing was allocated for it. Method and bias:
//! `benches/README.md`.
//!
//! Under `cargo test` a small version checks the answers and measures nothing.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::alloc::System;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proxywheel::outcome::Blame;
use proxywheel::pool::{
    Ask, Avoid, Demand, HostIdx, Lease, Pool, ProbeResult, Settings, Settlement,
};
use proxywheel::proxy::{Proxy, Scheme};
use rand::SeedableRng;
use rand::rngs::StdRng;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

/// Counts; otherwise the system's.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The last one is what the bounds are about, the first one what they are measured by.
const PROXIES: [u32; 3] = [100, 10_000, 100_000];
const ROUNDS: usize = 31;
/// Operations of a slice: some milliseconds, long enough to fill the caches again after the other pools.
const SLICE: u32 = 20_000;
/// Attempts out at any time.
const IN_FLIGHT: usize = 64;
/// From one operation to the next: a thousand fetches a second, so that what is known of most proxies is minutes old.
const STEP: Duration = Duration::from_millis(1);

/// Largest allowed cost of an operation in the largest pool, nanoseconds.
const MOST_NS: f64 = 1000.0;
/// The same as a multiple of the cost in the smallest pool.
const MOST_RATIO: f64 = 4.0;
/// Memory of a member that was never touched, beside its `Proxy`, bytes.
const MOST_BYTES: usize = 300;

/// One pool in the middle of a run.
struct Run {
    pool: Pool,
    rng: StdRng,
    now: Instant,
    out: VecDeque<Lease>,
    /// Memory of a member before it was touched.
    bytes: usize,
    /// Milliseconds that the chosen proxies take, in all.
    chosen_ms: u64,
    operations: u32,
}

/// Proxy `n`, one of a /24 each.
fn proxy(n: u32) -> Arc<Proxy> {
    let [_, a, b, c] = n.to_be_bytes();
    let host = format!("10.{a}.{b}.{c}");
    Arc::new(Proxy::new(Scheme::Http, &host, 8080, None))
}

/// Milliseconds that proxy `idx` takes: 200 to 3200, in an order that has nothing to do with the list's.
fn takes(idx: u32) -> u64 {
    200 + u64::from(idx.wrapping_mul(2_654_435_761) >> 16) % 3000
}

impl Run {
    /// All READY and each used once.
    fn new(proxies: u32) -> Self {
        let list: Vec<_> = (0..proxies).map(proxy).collect();
        let mut rng = StdRng::seed_from_u64(7);
        #[expect(clippy::disallowed_methods, reason = "only differences to it are used")]
        let now = Instant::now();
        let region = Region::new(ALLOCATOR);
        let pool = Pool::new(list, Settings::default(), now, &mut rng);
        let change = region.change();
        let held = change.bytes_allocated - change.bytes_deallocated;
        let bytes = held / proxies as usize;
        assert!(bytes <= MOST_BYTES, "{bytes} bytes a member");
        let mut run = Run {
            pool,
            rng,
            now,
            out: VecDeque::with_capacity(IN_FLIGHT + 1),
            bytes,
            chosen_ms: 0,
            operations: 0,
        };
        run.probe_all();
        assert_eq!(run.pool.counts(run.now).ready, proxies);
        (0..IN_FLIGHT).for_each(|_| run.lease());
        run
    }

    fn probe_all(&mut self) {
        let demand = Demand {
            slots: u32::MAX,
            idle: u32::MAX,
            probing: 0,
            probe_limit: u32::MAX,
            waiting: true,
            work_left: None,
            last_pick_failed: false,
        };
        let connected = ProbeResult::Alive {
            connect: Duration::from_millis(50),
            handshake: None,
        };
        while let Some(probe) = self.pool.next_probe(demand, self.now, &mut self.rng) {
            self.pool
                .settle_probe(probe, connected, self.now, &mut self.rng);
        }
    }

    fn lease(&mut self) {
        let ask = Ask {
            host: HostIdx(0),
            tunnel: true,
            avoid: &Avoid::default(),
            filter: None,
            pinned: None,
            endgame: false,
            proven_first: false,
        };
        let lease = self
            .pool
            .lease(&ask, self.now, &mut self.rng, &mut |_| true)
            .expect("READY proxies have room");
        self.chosen_ms += takes(lease.idx.number());
        self.out.push_back(lease);
    }

    fn settle(&mut self) {
        let lease = self.out.pop_front().expect("some are out");
        let report = Settlement {
            latency: Duration::from_millis(takes(lease.idx.number())),
            ..Settlement::new(Blame::Nobody)
        };
        self.pool.settle(lease, &report, self.now);
    }

    /// Nanoseconds of an operation, over so many of them.
    fn measure(&mut self, operations: u32) -> f64 {
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
        let started = Instant::now();
        for _ in 0..operations {
            self.now += STEP;
            self.settle();
            self.lease();
        }
        let took = started.elapsed();
        self.operations += operations;
        took.as_nanos() as f64 / f64::from(operations)
    }

    /// Milliseconds that the proxies chosen since the last time take, on average.
    fn mean_ms(&mut self) -> f64 {
        let mean = self.chosen_ms as f64 / f64::from(self.operations);
        (self.chosen_ms, self.operations) = (0, 0);
        mean
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let full = std::env::args().any(|word| word == "--bench");
    let (sizes, rounds, slice) = if full {
        (PROXIES, ROUNDS, SLICE)
    } else {
        ([100, 1000, 2000], 3, 500)
    };
    let mut runs = sizes.map(Run::new);
    // The first use of each proxy goes before any comparison: another path, and measured apart.
    let first: Vec<f64> = runs
        .iter_mut()
        .zip(sizes)
        .map(|(run, size)| run.measure(size))
        .collect();
    for (run, size) in runs.iter_mut().zip(sizes) {
        assert_eq!(run.pool.counts(run.now).proven, size, "each is tried first");
        // Which ones are good is known; the bookkeeping has grown to its size.
        run.measure(slice);
        run.mean_ms();
    }
    let mut times = sizes.map(|_| Vec::new());
    for _ in 0..rounds {
        for (run, times) in runs.iter_mut().zip(&mut times) {
            let region = Region::new(ALLOCATOR);
            let time = run.measure(slice);
            let allocations = region.change().allocations;
            times.push(time);
            assert_eq!(
                allocations, 0,
                "{allocations} allocations in {slice} operations"
            );
            let mean = run.mean_ms();
            // The list's mean is 1700; the best of 32 have about 300.
            assert!(mean < 600.0, "the chosen proxies take {mean} ms");
        }
    }
    let mut above = Vec::new();
    for (at, run) in runs.iter().enumerate().filter(|_| full) {
        let pairs = times[at].iter().zip(&times[0]);
        let ratio = median(pairs.map(|(own, least)| own / least).collect());
        let ns = median(times[at].clone());
        let (size, first, bytes) = (sizes[at], first[at], run.bytes);
        println!(
            "{size:>6} proxies: {ns:4.0} ns, {ratio:.2} times the first; unused {first:4.0} ns, {bytes} bytes"
        );
        if ns > MOST_NS || ratio > MOST_RATIO {
            above.push(format!("{size} proxies"));
        }
    }
    assert!(above.is_empty(), "above the bound: {}", above.join(", "));
    println!("select: the good proxies were chosen, nothing was allocated");
}
