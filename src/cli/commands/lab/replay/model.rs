//! A world made of what a run has seen: each proxy as it behaved, each host by the rules it showed.
//!
//! What is behind a record cannot be known: of a proxy that was asked twice there are two answers, and of one that nobody asked
//! there is none. So this is a model. Each proxy that was asked becomes a sort of its own, with the median and the spread of its own
//! times where there are enough of them and those of all where there are not; proxies that nobody asked are taken to be like those
//! that were, in turn. Hosts ban by the count that tells banned pairs from served ones best.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::host;
use super::recorded::Recorded;
use crate::cli::recording::{Attempt, Fault};
use crate::lab::scenario::{
    Behaviour, Churn, Connect, Expect, Group, Positive, Price, Scenario, Seconds, Share, Spread,
    Tail,
};
use crate::outcome::{Blame, Charge, Outcome};

/// With fewer answers than this the spread of all is taken.
const ENOUGH: usize = 5;
/// Times of a run without an answer, seconds.
const ANSWER_S: f64 = 0.8;
const CONNECT_S: f64 = 0.12;
/// Sigma where it is not known.
const WITHIN: f64 = 0.4;
/// No sigma is larger: a scenario has none.
const WIDEST: f64 = 3.0;

/// The world, and how much of it was seen.
pub(super) struct Model {
    pub(super) scenario: Scenario,
    /// Proxies that were asked.
    pub(super) asked: usize,
    /// Of those, that have served.
    pub(super) served: usize,
    /// For people: what the hosts do.
    pub(super) rules: Vec<String>,
}

/// What an observation says of a proxy's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// It served, or its target answered through it.
    Up,
    /// It was not reached.
    Down,
    /// It was reached and failed: once is an accident, and several times in a row it is down.
    Shaken { timeout: bool },
}

/// What was seen of one proxy.
#[derive(Default)]
struct Seen {
    /// Connects: how long each took, where that is known, or whether it failed by being silent.
    connects: Vec<Result<Option<f64>, bool>>,
    /// Seconds of answers, connect excluded.
    answers: Vec<f64>,
    life: Vec<(f64, Life)>,
    tampered: usize,
    /// Accidents.
    broken: usize,
    timeouts: usize,
}

impl Seen {
    fn attempt(&mut self, attempt: &Attempt) {
        if attempt.outcome == Outcome::Cancelled {
            return;
        }
        let began = attempt.t - attempt.took;
        match &attempt.fault {
            Some(fault) if fault.phase == "connect" => {
                self.connects.push(Err(is_timeout(fault)));
                self.life.push((began, Life::Down));
                return;
            }
            _ => self.connects.push(Ok(attempt.connect)),
        }
        let life = match attempt.blame {
            Blame::Local => return,
            Blame::Pair => Life::Up,
            Blame::Nobody | Blame::Target => {
                let connect = attempt.connect.unwrap_or(0.0);
                self.answers.push((attempt.took - connect).max(0.001));
                Life::Up
            }
            Blame::Proxy(Charge::Tampered) => {
                self.tampered += 1;
                Life::Up
            }
            Blame::Proxy(_) | Blame::Unknown => Life::Shaken {
                timeout: attempt.fault.as_ref().is_some_and(is_timeout),
            },
        };
        self.life.push((began, life));
    }

    /// Tells accidents from times at which it was down.
    fn settle(&mut self) {
        self.life.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let runs = self
            .life
            .chunk_by(|(_, a), (_, b)| (*a == Life::Up) == (*b == Life::Up));
        let mut settled = Vec::with_capacity(self.life.len());
        for run in runs {
            match run {
                [(_, Life::Shaken { timeout: true })] => self.timeouts += 1,
                [(_, Life::Shaken { timeout: false })] => self.broken += 1,
                [(_, Life::Up), ..] => settled.extend_from_slice(run),
                _ => settled.extend(run.iter().map(|(at, _)| (*at, Life::Down))),
            }
        }
        self.life = settled;
    }

    /// Attempts that showed how it serves.
    fn tried(&self) -> usize {
        self.answers.len() + self.tampered + self.broken + self.timeouts
    }

    fn behaviour(&self) -> Behaviour {
        if !self.connects.iter().any(Result::is_ok) {
            let silent = self.connects.iter().filter(|result| **result == Err(true));
            return if 2 * silent.count() > self.connects.len() {
                Behaviour::BlackHole
            } else {
                Behaviour::Refuses
            };
        }
        let served = self.life.iter().any(|(_, life)| *life == Life::Up);
        if self.tampered > self.answers.len() {
            Behaviour::Tampers
        } else if !served && (!self.life.is_empty() || self.tried() > 0) {
            Behaviour::Useless
        } else {
            // One that has only connected gets the benefit of the doubt, as the pool gives it.
            Behaviour::Serves
        }
    }

    /// Mean times up and down, if it was seen both ways. What it was last seen as holds until it is seen again.
    fn churn(&self) -> Option<Churn> {
        let (mut up_s, mut down_s, mut ups, mut downs) = (0.0, 0.0, 0, 0);
        for spell in self.life.chunk_by(|(_, a), (_, b)| a == b) {
            match spell {
                [(_, Life::Up), ..] => ups += 1,
                _ => downs += 1,
            }
        }
        for pair in self.life.windows(2) {
            let time = pair[1].0 - pair[0].0;
            match pair[0].1 {
                Life::Up => up_s += time,
                _ => down_s += time,
            }
        }
        (ups > 0 && downs > 0).then(|| Churn {
            up_s: positive(up_s / f64::from(ups)),
            down_s: positive(down_s / f64::from(downs)),
        })
    }
}

/// Times of all proxies together, for those of which too little was seen.
struct Pooled {
    answer: (f64, f64),
    connect: (f64, f64),
}

impl Model {
    pub(super) fn of(recorded: &Recorded) -> Model {
        let seen = seen(recorded);
        let of_all = |times: &dyn Fn(&Seen) -> Vec<f64>, or: f64| {
            let all: Vec<f64> = seen.values().flat_map(times).collect();
            lognormal(&all).unwrap_or((or, WITHIN))
        };
        let pooled = Pooled {
            answer: of_all(&|seen| seen.answers.clone(), ANSWER_S),
            connect: of_all(&connects, CONNECT_S),
        };
        let asked = seen.len().max(1);
        let total = (recorded.head.proxies as usize).max(asked);
        // Those that nobody asked are like those that were, one after the other.
        let count = |number: usize| (total - number).div_ceil(asked);
        let groups = seen.values().enumerate().map(|(number, seen)| {
            let share = count(number) as f64 / total as f64;
            group(number, seen, share, &pooled, recorded.head.max_time)
        });
        let groups: Vec<Group> = groups.collect();
        let hosts: Vec<_> = (0..recorded.hosts.len())
            .map(|number| host::of(recorded, number))
            .collect();
        let rules = hosts.iter().filter_map(|(_, rule)| rule.clone());
        Model {
            asked: seen.len(),
            served: seen
                .values()
                .filter(|seen| !seen.answers.is_empty())
                .count(),
            rules: rules.collect(),
            scenario: Scenario {
                title: "a recorded run".to_owned(),
                urls: nonzero(recorded.urls.len()),
                proxies: nonzero(total),
                concurrency: nonzero(recorded.head.concurrency as usize),
                proxy_concurrency: nonzero(recorded.head.proxy_concurrency as usize),
                probe_concurrency: Some(nonzero(recorded.head.probe_concurrency as usize)),
                page_kb: 0.0,
                groups,
                hosts: hosts.into_iter().map(|(host, _)| host).collect(),
                network_outages: Vec::new(),
                expect: Expect::default(),
            },
        }
    }
}

fn seen(recorded: &Recorded) -> BTreeMap<u32, Seen> {
    let mut seen: BTreeMap<u32, Seen> = BTreeMap::new();
    for probe in &recorded.probes {
        let result = match &probe.fault {
            None => Ok(probe.connect),
            Some(fault) => Err(is_timeout(fault)),
        };
        let one = seen.entry(probe.proxy).or_default();
        if result.is_err() {
            one.life.push((probe.t, Life::Down));
        }
        one.connects.push(result);
    }
    for attempt in &recorded.attempts {
        seen.entry(attempt.proxy).or_default().attempt(attempt);
    }
    seen.values_mut().for_each(Seen::settle);
    // One whose only attempt was stopped has shown nothing.
    seen.retain(|_, one| !one.connects.is_empty());
    seen
}

fn connects(seen: &Seen) -> Vec<f64> {
    let times = seen.connects.iter();
    times.filter_map(|result| result.ok().flatten()).collect()
}

fn group(number: usize, seen: &Seen, part: f64, pooled: &Pooled, max_time: f64) -> Group {
    let (median_s, within) = times(&seen.answers, pooled.answer);
    let (connect_s, connect_within) = times(&connects(seen), pooled.connect);
    let part_of = |count: usize| count as f64 / seen.tried().max(1) as f64;
    let hangs = part_of(seen.timeouts);
    Group {
        name: format!("proxy {number}"),
        share: share(part),
        behaves: seen.behaviour(),
        answer: Spread {
            median_s: seconds(median_s),
            between: 0.0,
            within,
            least_s: seconds(0.0),
        },
        connect: Connect {
            median_s: seconds(connect_s),
            between: 0.0,
            within: connect_within,
            lost_syn: share(0.0),
        },
        resets: share(part_of(seen.broken)),
        tail: (hangs > 0.0).then(|| Tail {
            share: share(hangs),
            adds_s: seconds(max_time),
        }),
        churn: seen.churn(),
        capacity: None,
        redraw_s: None,
        noticed: share(1.0),
        price: Price::default(),
    }
}

/// Median and sigma: its own when there is enough, those of all when there is nothing.
fn times(own: &[f64], pooled: (f64, f64)) -> (f64, f64) {
    match lognormal(own) {
        Some(own_times) if own.len() >= ENOUGH => own_times,
        Some((median, _)) => (median, pooled.1),
        None => pooled,
    }
}

/// Median, and sigma of the logarithms.
fn lognormal(times: &[f64]) -> Option<(f64, f64)> {
    let logs: Vec<f64> = times.iter().map(|time| time.max(1e-4).ln()).collect();
    let mut sorted = logs.clone();
    sorted.sort_by(f64::total_cmp);
    let median = *sorted.get(sorted.len() / 2)?;
    let squares = logs.iter().map(|log| (log - median).powi(2)).sum::<f64>();
    let sigma = (squares / logs.len() as f64).sqrt();
    Some((median.exp(), sigma.min(WIDEST)))
}

fn is_timeout(fault: &Fault) -> bool {
    fault.kind == "timeout"
}

fn nonzero(number: usize) -> NonZeroU32 {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

/// Into range: what a record holds may be anything.
pub(super) fn share(part: f64) -> Share {
    Share::try_from(part.clamp(0.0, 1.0)).unwrap_or_default()
}

/// As [`share`].
pub(super) fn seconds(time: f64) -> Seconds {
    Seconds::try_from(time.clamp(0.0, 2_000_000.0)).unwrap_or_default()
}

/// As [`share`]; nothing is 0.
pub(super) fn positive(number: f64) -> Positive {
    const LEAST: f64 = 1e-3;
    let number = if number.is_finite() { number } else { LEAST };
    match Positive::try_from(number.clamp(LEAST, 1e9)) {
        Ok(number) => number,
        Err(never) => unreachable!("{never}"),
    }
}
