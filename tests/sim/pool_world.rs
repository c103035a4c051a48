//! Lists as they really are: who answers, how fast, and when.

use std::time::Duration;

use proxywheel::outcome::{Blame, Charge, FaultKind, Phase};
use proxywheel::pool::Settlement;
use rand::RngExt;
use rand::rngs::StdRng;

/// How a proxy really is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    Refuses,
    BlackHole,
    Good,
    Slow,
    /// Answers in 50 ms with a body of its own; validators catch nine in ten.
    Tampers,
}

pub(crate) struct World {
    pub(crate) truth: Vec<Truth>,
    /// When each goes down, comes back, and so on, seconds; empty for one that stays.
    pub(crate) changes: Vec<Vec<f64>>,
    /// Requests at once beyond which answers take longer.
    pub(crate) bears: Vec<f64>,
    /// Median seconds of an answer.
    pub(crate) latency: Vec<f64>,
    /// Median seconds of a connect.
    pub(crate) connect: Vec<f64>,
}

fn lognormal(rng: &mut StdRng, median: f64, sigma: f64) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
    median * (sigma * normal).exp()
}

impl World {
    pub(crate) fn new(mix: &[(Truth, f64)], proxies: usize, rng: &mut StdRng) -> Self {
        let mut truth: Vec<Truth> = mix
            .iter()
            .flat_map(|(truth, share)| vec![*truth; (share * proxies as f64).round() as usize])
            .collect();
        assert_eq!(truth.len(), proxies);
        for at in (1..proxies).rev() {
            truth.swap(at, rng.random_range(0..=at));
        }
        let latency = truth
            .iter()
            .map(|truth| match truth {
                Truth::Slow => lognormal(rng, 6.0, 0.3),
                Truth::Tampers => 0.03,
                _ => lognormal(rng, 0.8, 0.6),
            })
            .collect();
        let connect = truth
            .iter()
            .map(|truth| match truth {
                Truth::Tampers => 0.02,
                _ => lognormal(rng, 0.12, 0.5),
            })
            .collect();
        World {
            truth,
            latency,
            connect,
            changes: vec![Vec::new(); proxies],
            bears: vec![f64::INFINITY; proxies],
        }
    }

    /// The same world with proxies that live and die, exponential times with these means, seconds.
    pub(crate) fn with_churn(mut self, up: f64, down: f64, rng: &mut StdRng) -> Self {
        for changes in &mut self.changes {
            let mut alive = rng.random_bool(up / (up + down));
            let mut at = 0.0;
            if !alive {
                changes.push(0.0);
            }
            while at < 3600.0 {
                let mean = if alive { up } else { down };
                at -= mean * (1.0 - rng.random::<f64>()).ln();
                changes.push(at);
                alive = !alive;
            }
        }
        self
    }

    /// The same world with proxies that bear one to eight requests at once.
    pub(crate) fn with_hidden_capacity(mut self, rng: &mut StdRng) -> Self {
        for bears in &mut self.bears {
            *bears = rng.random_range(1.0..8.0);
        }
        self
    }

    pub(crate) fn is_down(&self, at: usize, now: f64) -> bool {
        self.changes[at]
            .iter()
            .take_while(|change| **change <= now)
            .count()
            % 2
            == 1
    }

    /// Seconds, and whether it was refused or timed out.
    pub(crate) fn connect(
        &self,
        at: usize,
        now: f64,
        limit: f64,
        rng: &mut StdRng,
    ) -> (f64, Option<FaultKind>) {
        let lost_syn = if rng.random_bool(0.01) { 1.0 } else { 0.0 };
        let took = lognormal(rng, self.connect[at], 0.2) + lost_syn;
        let truth = match self.truth[at] {
            _ if !self.is_down(at, now) => self.truth[at],
            _ if at.is_multiple_of(2) => Truth::Refuses,
            _ => Truth::BlackHole,
        };
        match truth {
            Truth::BlackHole => (limit, Some(FaultKind::Timeout)),
            _ if took > limit => (limit, Some(FaultKind::Timeout)),
            Truth::Refuses => (took, Some(FaultKind::Refused)),
            _ => (took, None),
        }
    }

    /// Seconds and the report; true when the body is a fake that nobody noticed.
    pub(crate) fn request(
        &self,
        at: usize,
        in_flight: u32,
        now: f64,
        limit: f64,
        rng: &mut StdRng,
    ) -> (f64, Settlement, bool) {
        let (connect, fault) = self.connect(at, now, limit, rng);
        if let Some(kind) = fault {
            let mut report = Settlement::new(Blame::Proxy(Charge::Unreachable));
            report.kind = Some((Phase::Connect, kind));
            return (connect, report, false);
        }
        let queueing = (f64::from(in_flight) / self.bears[at]).max(1.0);
        let answer = lognormal(rng, self.latency[at], 0.4) * queueing;
        let tampers = self.truth[at] == Truth::Tampers;
        let (blame, took) = if tampers && rng.random_bool(0.9) {
            (Blame::Proxy(Charge::Tampered), answer)
        } else if !tampers && rng.random_bool(0.02) {
            (Blame::Unknown, answer / 2.0)
        } else {
            (Blame::Nobody, answer)
        };
        let mut report = Settlement::new(blame);
        report.latency = Duration::from_secs_f64(connect + took);
        report.connect = Some(Duration::from_secs_f64(connect));
        (connect + took, report, tampers)
    }
}
