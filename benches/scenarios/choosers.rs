//! How others choose a proxy: their rules for choice and health, without their networks.
//!
//! They see what they would see: a request that ended, and how. All of them know nothing of hosts, so a ban is one more failure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use proxywheel::lab::scenario::{Ask, Choice, Chooser, End, Fate, Figures, Scenario, World, play};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Looks for a proxy with room so often before it waits for one.
const TRIES: usize = 400;

/// The rules to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Random,
    RoundRobin,
    ScrapyRotating,
    CrawleeSessions,
}

impl Rule {
    pub(crate) const ALL: [Rule; 4] = [
        Rule::Random,
        Rule::RoundRobin,
        Rule::ScrapyRotating,
        Rule::CrawleeSessions,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Rule::Random => "random",
            Rule::RoundRobin => "round-robin",
            Rule::ScrapyRotating => "scrapy-rotating-proxies",
            Rule::CrawleeSessions => "Crawlee sessions",
        }
    }

    /// Plays the scenario by this rule.
    pub(crate) fn play(self, scenario: &Scenario, seed: u64) -> Figures {
        let proxies = scenario.proxies.get() as usize;
        let rng = StdRng::seed_from_u64(seed);
        match self {
            Rule::Random => play(scenario, seed, &mut Random(rng)),
            Rule::RoundRobin => play(scenario, seed, &mut RoundRobin(0)),
            Rule::ScrapyRotating => play(scenario, seed, &mut Rotating::new(proxies, rng)),
            Rule::CrawleeSessions => play(scenario, seed, &mut Sessions::new(proxies, rng)),
        }
    }
}

fn has_room(world: &World, proxy: usize) -> bool {
    world.in_flight(proxy) < world.scenario().proxy_concurrency.get()
}

struct Random(StdRng);

impl Chooser for Random {
    fn choose(&mut self, _: &Ask, world: &mut World) -> Choice {
        let proxies = world.scenario().proxies.get() as usize;
        (0..TRIES)
            .map(|_| self.0.random_range(0..proxies))
            .find(|proxy| has_room(world, *proxy))
            .map_or(Choice::Wait(None), Choice::Use)
    }

    fn ended(&mut self, _: usize, _: Duration, _: &Fate) {}
}

/// The next one.
struct RoundRobin(usize);

impl Chooser for RoundRobin {
    fn choose(&mut self, _: &Ask, world: &mut World) -> Choice {
        let proxies = world.scenario().proxies.get() as usize;
        for _ in 0..TRIES {
            self.0 = (self.0 + 1) % proxies;
            if has_room(world, self.0) {
                return Choice::Use(self.0);
            }
        }
        Choice::Wait(None)
    }

    fn ended(&mut self, _: usize, _: Duration, _: &Fate) {}
}

/// A set of numbers from which one can be drawn.
struct Deck {
    list: Vec<usize>,
    /// Where each number stands in the list.
    at: Vec<Option<usize>>,
}

impl Deck {
    fn full(count: usize) -> Self {
        Deck {
            list: (0..count).collect(),
            at: (0..count).map(Some).collect(),
        }
    }

    fn add(&mut self, number: usize) {
        if self.at[number].is_none() {
            self.at[number] = Some(self.list.len());
            self.list.push(number);
        }
    }

    fn remove(&mut self, number: usize) {
        if let Some(at) = self.at[number].take() {
            self.list.swap_remove(at);
            if let Some(moved) = self.list.get(at) {
                self.at[*moved] = Some(at);
            }
        }
    }
}

/// scrapy-rotating-proxies: at random among those that are not dead, none again before all have been used; one failure of any
/// kind is death for a random part of 300 s, doubled by each further one up to an hour; when all are dead, none is.
struct Rotating {
    alive: Deck,
    unused: Deck,
    dead: BinaryHeap<Reverse<(Duration, usize)>>,
    is_dead: Vec<bool>,
    failures: Vec<i32>,
    rng: StdRng,
}

impl Rotating {
    const BACKOFF_S: f64 = 300.0;
    const LONGEST_S: f64 = 3600.0;

    fn new(proxies: usize, rng: StdRng) -> Self {
        Rotating {
            alive: Deck::full(proxies),
            unused: Deck::full(proxies),
            dead: BinaryHeap::new(),
            is_dead: vec![false; proxies],
            failures: vec![0; proxies],
            rng,
        }
    }

    fn revive(&mut self, proxy: usize) {
        if std::mem::take(&mut self.is_dead[proxy]) {
            self.alive.add(proxy);
            self.unused.add(proxy);
        }
    }
}

impl Chooser for Rotating {
    fn choose(&mut self, ask: &Ask, world: &mut World) -> Choice {
        while let Some(Reverse((until, proxy))) = self.dead.peek().copied()
            && until <= ask.now
        {
            self.dead.pop();
            self.revive(proxy);
        }
        if self.alive.list.is_empty() {
            self.dead.clear();
            (0..self.is_dead.len()).for_each(|proxy| self.revive(proxy));
        }
        for _ in 0..TRIES {
            if self.unused.list.is_empty() {
                for proxy in &self.alive.list {
                    self.unused.add(*proxy);
                }
            }
            let proxy = self.unused.list[self.rng.random_range(0..self.unused.list.len())];
            self.unused.remove(proxy);
            if has_room(world, proxy) {
                return Choice::Use(proxy);
            }
        }
        Choice::Wait(None)
    }

    fn ended(&mut self, proxy: usize, now: Duration, fate: &Fate) {
        if fate.end.is_accepted() {
            self.failures[proxy] = 0;
            self.revive(proxy);
            return;
        }
        let most = Self::BACKOFF_S * 2f64.powi(self.failures[proxy].min(10));
        let wait_s = most.min(Self::LONGEST_S) * self.rng.random::<f64>();
        self.failures[proxy] += 1;
        self.alive.remove(proxy);
        self.unused.remove(proxy);
        self.is_dead[proxy] = true;
        let until = now + Duration::from_secs_f64(wait_s);
        self.dead.push(Reverse((until, proxy)));
    }
}

/// Crawlee's session pool: a thousand sessions, each bound to the next proxy of the list, one at random for each request. A
/// session goes at an error score of 3 (a refusal or no connection is 3, another failure 1, a success takes 0.5 away) or after
/// 50 uses. Nothing is remembered of its proxy.
struct Sessions {
    sessions: Vec<Session>,
    next: usize,
    /// Sessions of the requests under way through each proxy.
    under_way: Vec<Vec<usize>>,
    rng: StdRng,
}

struct Session {
    proxy: usize,
    score: f64,
    uses: u32,
}

impl Sessions {
    const MOST: usize = 1000;
    const RETIRES_AT: f64 = 3.0;
    const MOST_USES: u32 = 50;
    /// After so many sessions without room another one is made.
    const PATIENCE: usize = 20;

    fn new(proxies: usize, rng: StdRng) -> Self {
        Sessions {
            sessions: Vec::new(),
            next: 0,
            under_way: vec![Vec::new(); proxies],
            rng,
        }
    }

    /// A session with the next proxy that has room: one without would only gather sessions that wait.
    fn fresh(&mut self, world: &World) -> Session {
        let proxies = world.scenario().proxies.get() as usize;
        for _ in 0..proxies {
            self.next = (self.next + 1) % proxies;
            if has_room(world, self.next) {
                break;
            }
        }
        Session {
            proxy: self.next,
            score: 0.0,
            uses: 0,
        }
    }
}

impl Chooser for Sessions {
    fn choose(&mut self, _: &Ask, world: &mut World) -> Choice {
        for tries in 0..TRIES {
            let number = if self.sessions.len() < Self::MOST {
                let session = self.fresh(world);
                self.sessions.push(session);
                self.sessions.len() - 1
            } else {
                let number = self.rng.random_range(0..Self::MOST);
                let session = &self.sessions[number];
                let retires = session.score >= Self::RETIRES_AT || session.uses >= Self::MOST_USES;
                if retires || tries >= Self::PATIENCE {
                    self.sessions[number] = self.fresh(world);
                }
                number
            };
            let proxy = self.sessions[number].proxy;
            if has_room(world, proxy) {
                self.under_way[proxy].push(number);
                return Choice::Use(proxy);
            }
        }
        Choice::Wait(None)
    }

    fn ended(&mut self, proxy: usize, _: Duration, fate: &Fate) {
        let Some(number) = self.under_way[proxy].pop() else {
            return;
        };
        let session = &mut self.sessions[number];
        if session.proxy != proxy {
            return;
        }
        session.uses += 1;
        match fate.end {
            end if end.is_accepted() => session.score = (session.score - 0.5).max(0.0),
            End::Banned
            | End::Limited { .. }
            | End::Refused
            | End::ConnectTimeout
            | End::BadGateway => session.score += 3.0,
            _ => session.score += 1.0,
        }
    }
}
