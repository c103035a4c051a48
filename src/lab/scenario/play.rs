//! A job played through a world by a chooser, event by event: the frame of the oracle and of simple schedulers to compare with.
//!
//! Failed URLs go back to the end of their host's queue. A chooser sees no more than it is told; the oracle is told everything.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::expect::Figures;
use super::format::Scenario;
use super::world::{Fate, Patience, World};

/// A URL is given up after so many attempts.
const MOST_ATTEMPTS: u32 = 150;
/// A played run that takes longer than this will not end.
const LONGEST: Duration = Duration::from_secs(20_000);
/// What a request may take after its connect.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// Whom to ask next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// This proxy.
    Use(usize),
    /// Nobody before this time, or before something has ended.
    Wait(Option<Duration>),
}

/// What is asked of a chooser.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// Host of the URL in front.
    pub host: usize,
    /// Since the beginning.
    pub now: Duration,
    /// URLs that wait, all hosts together.
    pub waiting: usize,
}

/// A rule for the choice of proxies.
pub trait Chooser {
    /// A proxy for a URL of `ask.host`. It must have room: [`World::in_flight`] below the scenario's `proxy_concurrency`.
    fn choose(&mut self, ask: &Ask, world: &mut World) -> Choice;

    /// A request that was chosen has ended.
    fn ended(&mut self, proxy: usize, now: Duration, fate: &Fate);

    /// How long a connect may take.
    fn connect_timeout(&self) -> Duration {
        Duration::from_secs(10)
    }
}

enum Event {
    Ended { url: u32, proxy: usize, fate: Fate },
    Wake,
}

struct Play<'a, C> {
    world: World,
    chooser: &'a mut C,
    /// URLs that wait, by host.
    queues: Vec<VecDeque<u32>>,
    waiting: usize,
    attempts: Vec<u32>,
    agenda: BinaryHeap<Reverse<(Duration, usize)>>,
    events: Vec<Option<Event>>,
    in_flight: u32,
    now: Duration,
    /// The wake-up that is on the agenda.
    wake: Option<Duration>,
    turn: usize,
    figures: Figures,
    /// Hosts with an outage; the time of the others is kept apart.
    troubled: Vec<bool>,
}

/// Plays the job of a scenario to its end.
pub fn play(scenario: &Scenario, seed: u64, chooser: &mut impl Chooser) -> Figures {
    play_in(World::new(scenario, seed), chooser)
}

pub(super) fn play_in(world: World, chooser: &mut impl Chooser) -> Figures {
    let scenario = world.scenario();
    let mut queues = vec![VecDeque::new(); scenario.hosts.len()];
    for url in 0..scenario.urls.get() {
        queues[scenario.host_of(url)].push_back(url);
    }
    let troubled: Vec<bool> = scenario
        .hosts
        .iter()
        .map(|host| !host.outages.is_empty())
        .collect();
    let urls = scenario.urls.get() as usize;
    let play = Play {
        queues,
        waiting: urls,
        attempts: vec![0; urls],
        agenda: BinaryHeap::new(),
        events: Vec::new(),
        in_flight: 0,
        now: Duration::ZERO,
        wake: None,
        turn: 0,
        figures: Figures::default(),
        troubled,
        world,
        chooser,
    };
    play.finish()
}

impl<C: Chooser> Play<'_, C> {
    fn finish(mut self) -> Figures {
        let urls = self.world.scenario().urls.get();
        while self.figures.successes + self.figures.lost < urls {
            let wake = self.dispatch();
            if let Some(at) = wake
                && at > self.now
                && self.wake.is_none_or(|wake| at < wake || wake <= self.now)
            {
                self.wake = Some(at);
                self.schedule(at, Event::Wake);
            }
            let Some(Reverse((at, number))) = self.agenda.pop() else {
                // Nobody is under way and the chooser waits for nothing in particular.
                self.now += Duration::from_secs(1);
                if self.now > LONGEST {
                    break;
                }
                continue;
            };
            self.now = at;
            if at > LONGEST {
                break;
            }
            if let Some(Event::Ended { url, proxy, fate }) = self.events[number].take() {
                self.ended(url, proxy, fate);
            }
        }
        // What was not finished in time was not finished.
        self.figures.lost = urls - self.figures.successes;
        self.figures.tally = self.world.tally();
        self.figures
    }

    /// Sends what can be sent; the earliest time at which more can.
    fn dispatch(&mut self) -> Option<Duration> {
        let most = self.world.scenario().concurrency.get();
        let hosts = self.queues.len();
        let mut refused = 0;
        let mut wake: Option<Duration> = None;
        while self.in_flight < most && self.waiting > 0 && refused < hosts {
            self.turn = (self.turn + 1) % hosts;
            let host = self.turn;
            let Some(url) = self.queues[host].front().copied() else {
                refused += 1;
                continue;
            };
            let ask = Ask {
                host,
                now: self.now,
                waiting: self.waiting,
            };
            match self.chooser.choose(&ask, &mut self.world) {
                Choice::Use(proxy) => {
                    refused = 0;
                    self.queues[host].pop_front();
                    self.waiting -= 1;
                    self.send(url, host, proxy);
                }
                Choice::Wait(until) => {
                    refused += 1;
                    wake = wake.into_iter().chain(until).min();
                }
            }
        }
        wake
    }

    fn send(&mut self, url: u32, host: usize, proxy: usize) {
        let connect = self.chooser.connect_timeout();
        let patience = Patience {
            connect,
            whole: connect + ANSWER_PATIENCE,
        };
        let fate = self.world.request(proxy, host, self.now, patience, false);
        self.in_flight += 1;
        self.attempts[url as usize] += 1;
        self.schedule(self.now + fate.after, Event::Ended { url, proxy, fate });
    }

    fn ended(&mut self, url: u32, proxy: usize, fate: Fate) {
        self.in_flight -= 1;
        self.world.ended(proxy);
        self.chooser.ended(proxy, self.now, &fate);
        let host = self.world.scenario().host_of(url);
        let figures = &mut self.figures;
        if fate.end.is_accepted() {
            figures.successes += 1;
            figures.fakes_accepted += u32::from(fate.end != super::End::Good);
            figures.makespan = self.now;
            if figures.successes == 100 {
                figures.hundredth = Some(self.now);
            }
            if !self.troubled[host] && self.troubled.contains(&true) {
                figures.other_hosts = Some(self.now);
            }
        } else if self.attempts[url as usize] >= MOST_ATTEMPTS {
            figures.lost += 1;
            figures.makespan = self.now;
        } else {
            self.queues[host].push_back(url);
            self.waiting += 1;
        }
    }

    fn schedule(&mut self, at: Duration, event: Event) {
        self.agenda.push(Reverse((at, self.events.len())));
        self.events.push(Some(event));
    }
}
