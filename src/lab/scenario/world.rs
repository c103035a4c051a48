//! What happens: who is what and when, by the seed; what a request comes to, by the seed and by what was asked before.
//!
//! The fate of a request is decided when it begins. Everything random about one proxy depends on the seed, the proxy and how
//! often it was asked, not on the order in which others were, so that two schedulers meet the same proxies.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::format::{Behaviour, Group, Scenario};
use super::rolls::{Rolls, What};

/// A refused request comes back in this part of the time of an answer.
const REFUSAL_TAKES: f64 = 0.3;
/// A reset, in this part.
const RESET_TAKES: f64 = 0.5;
/// What an open but useless proxy, or one whose target is down, needs to say 502.
const BAD_GATEWAY_AFTER_S: f64 = 0.3;
/// Patience of proxies with a target that does not answer.
const GATEWAY_TIMEOUT_AFTER_S: f64 = 10.0;
/// What the system needs to say that there is no network.
const NO_NETWORK_AFTER_S: f64 = 0.01;
/// First retransmission of a SYN (RFC 6298).
const SYN_AGAIN_S: f64 = 1.0;

/// What becomes of a connect or a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fate {
    /// When, from the beginning of it.
    pub after: Duration,
    /// The part of it that was the connect; `None` when there was none.
    pub connect: Option<Duration>,
    /// What.
    pub end: End,
}

/// How a connect or request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Connected; or the page that was asked for.
    Good,
    /// The proxy refused the connection.
    Refused,
    /// No connection in time.
    ConnectTimeout,
    /// Connected, and no answer in time.
    Timeout,
    /// The connection was reset before the answer.
    Reset,
    /// 502, and nobody says whose fault.
    BadGateway,
    /// 504.
    GatewayTimeout,
    /// The target has banned this proxy.
    Banned,
    /// The target takes no more from anybody, and says how long.
    Limited {
        /// Retry-After.
        retry_after: Duration,
    },
    /// A page of the proxy's own.
    Fake {
        /// A validator can tell.
        noticed: bool,
    },
}

impl End {
    /// True for what a scheduler takes for an answer: nobody can tell a good fake.
    pub fn is_accepted(self) -> bool {
        matches!(self, End::Good | End::Fake { noticed: false })
    }

    /// True for a refusal of the target.
    pub fn is_blocked(self) -> bool {
        matches!(self, End::Banned | End::Limited { .. })
    }
}

/// How long somebody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connect.
    pub connect: Duration,
    /// For all of it, the connect included.
    pub whole: Duration,
}

/// What was asked of a world so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Requests begun.
    pub requests: u64,
    /// Connects without a request.
    pub probes: u64,
    /// Requests to proxies that could not have served them.
    pub to_dead: u64,
    /// Requests refused by their target.
    pub blocked: u64,
    /// Fakes handed out.
    pub fakes: u64,
    /// What it cost, in the currency of the scenario.
    pub cost: f64,
}

#[derive(Debug)]
struct Member {
    group: usize,
    answer_s: f64,
    connect_s: f64,
    capacity: f64,
    up: bool,
    /// Next change of `up`.
    changes_at_s: f64,
    changes: u32,
    redraws_at_s: f64,
    redraws: u32,
    in_flight: u32,
    connects: u32,
    requests: u32,
}

/// Requests of a pair in the window, and until when it is banned.
#[derive(Debug, Default)]
struct Pair {
    recent_s: VecDeque<f64>,
    banned_until_s: f64,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at_s: f64,
}

/// The proxies and sites of a scenario. Time is what callers say it is; it must not go backwards.
#[derive(Debug)]
pub struct World {
    scenario: Scenario,
    rolls: Rolls,
    members: Vec<Member>,
    pairs: HashMap<(u32, u32), Pair>,
    buckets: Vec<Bucket>,
    tally: Tally,
    tails: bool,
}

impl World {
    /// The world of this seed.
    pub fn new(scenario: &Scenario, seed: u64) -> World {
        let rolls = Rolls::new(seed);
        let members = groups(scenario, rolls)
            .into_iter()
            .enumerate()
            .map(|(number, group)| Member::new(group, &scenario.groups[group], number, rolls))
            .collect();
        let buckets = scenario.hosts.iter().map(|host| Bucket {
            tokens: host.limit.map_or(0.0, |limit| limit.per_second.get()),
            at_s: 0.0,
        });
        World {
            rolls,
            members,
            pairs: HashMap::new(),
            buckets: buckets.collect(),
            tally: Tally::default(),
            tails: true,
            scenario: scenario.clone(),
        }
    }

    /// The same world without tails, which nobody can foresee: the oracle's.
    pub(super) fn without_tails(mut self) -> Self {
        self.tails = false;
        self
    }

    /// What it was made from.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// What was asked so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// A connect to `proxy` that begins at `now` and carries no request.
    pub fn probe(&mut self, proxy: usize, now: Duration, patience: Duration) -> Fate {
        self.tally.probes += 1;
        self.connect(proxy, now.as_secs_f64(), patience.as_secs_f64())
    }

    /// A request through `proxy` to `host` that begins at `now`; on a connection that stands it saves the connect.
    /// [`World::ended`] has to be called when it has ended or was given up.
    pub fn request(
        &mut self,
        proxy: usize,
        host: usize,
        now: Duration,
        patience: Patience,
        connected: bool,
    ) -> Fate {
        let now_s = now.as_secs_f64();
        self.tally.requests += 1;
        self.tally.to_dead += u64::from(!self.is_alive(proxy, now_s));
        let fate = self.fate(proxy, host, now_s, patience, connected);
        self.tally.blocked += u64::from(fate.end.is_blocked());
        self.tally.fakes += u64::from(matches!(fate.end, End::Fake { .. }));
        self.charge(proxy, fate.end);
        self.members[proxy].in_flight += 1;
        fate
    }

    /// A request through `proxy` is over.
    pub fn ended(&mut self, proxy: usize) {
        self.members[proxy].in_flight -= 1;
    }

    fn fate(
        &mut self,
        proxy: usize,
        host: usize,
        now_s: f64,
        patience: Patience,
        connected: bool,
    ) -> Fate {
        let (connect_s, connect) = if connected {
            (0.0, None)
        } else {
            let fate = self.connect(proxy, now_s, patience.connect.as_secs_f64());
            if fate.end != End::Good {
                return fate;
            }
            (fate.after.as_secs_f64(), fate.connect)
        };
        let (end, takes_s) = self.answer(proxy, host, now_s);
        let whole_s = patience.whole.as_secs_f64();
        let (end, after_s) = if connect_s + takes_s > whole_s {
            (End::Timeout, whole_s)
        } else {
            (end, connect_s + takes_s)
        };
        Fate {
            after: Duration::from_secs_f64(after_s),
            connect,
            end,
        }
    }

    fn connect(&mut self, proxy: usize, now_s: f64, patience_s: f64) -> Fate {
        let fate = |end, after_s: f64| {
            let after = Duration::from_secs_f64(after_s);
            let connect = (end == End::Good).then_some(after);
            Fate {
                after,
                connect,
                end,
            }
        };
        if self.network_outage_until(now_s).is_some() {
            return fate(End::Refused, NO_NETWORK_AFTER_S);
        }
        let up = self.is_up(proxy, now_s);
        let looks = self.looks(proxy, up);
        let member = &mut self.members[proxy];
        let group = &self.scenario.groups[member.group];
        member.connects += 1;
        let (rolls, number) = (self.rolls, member.connects);
        let normal = rolls.normal(What::Connect, proxy, number);
        let mut takes_s = member.connect_s * (group.connect.within * normal).exp();
        if rolls.uniform(What::LostSyn, proxy, number) < group.connect.lost_syn.ratio() {
            takes_s += SYN_AGAIN_S;
        }
        match looks {
            Behaviour::Refuses => fate(End::Refused, takes_s.min(patience_s)),
            Behaviour::BlackHole => fate(End::ConnectTimeout, patience_s),
            _ if takes_s > patience_s => fate(End::ConnectTimeout, patience_s),
            _ => fate(End::Good, takes_s),
        }
    }

    /// How a request that has its connection ends, and after how many seconds.
    fn answer(&mut self, proxy: usize, host: usize, now_s: f64) -> (End, f64) {
        self.redraw(proxy, now_s);
        let member = &mut self.members[proxy];
        member.requests += 1;
        let (rolls, number) = (self.rolls, member.requests);
        let group = &self.scenario.groups[member.group];
        let roll = |what| rolls.uniform(what, proxy, number);
        let normal = rolls.normal(What::Answer, proxy, number);
        let mut takes_s = member.answer_s * (group.answer.within * normal).exp();
        match group.behaves {
            Behaviour::Useless if proxy.is_multiple_of(2) => {
                return (End::BadGateway, BAD_GATEWAY_AFTER_S);
            }
            Behaviour::Useless => return (End::Timeout, f64::INFINITY),
            Behaviour::Tampers => {
                let noticed = roll(What::Notice) < group.noticed.ratio();
                return (End::Fake { noticed }, takes_s);
            }
            _ => {}
        }
        takes_s *= (f64::from(member.in_flight + 1) / member.capacity).max(1.0);
        let connect_s = member.connect_s;
        if self.outage_until(host, now_s).is_some() {
            return if roll(What::Outage) < 0.5 {
                (End::BadGateway, BAD_GATEWAY_AFTER_S + connect_s)
            } else {
                (End::GatewayTimeout, GATEWAY_TIMEOUT_AFTER_S)
            };
        }
        let (resets, tail) = (group.resets.ratio(), group.tail);
        if let Some(end) = self.refusal(proxy, host, now_s) {
            return (end, takes_s * REFUSAL_TAKES);
        }
        if roll(What::Reset) < resets {
            return (End::Reset, takes_s * RESET_TAKES);
        }
        if let Some(tail) = tail.filter(|_| self.tails)
            && roll(What::Tail) < tail.share.ratio()
        {
            takes_s += tail.adds_s.get();
        }
        (End::Good, takes_s)
    }

    /// Why the target does not answer a request that reaches it, if it does not. The request is counted.
    fn refusal(&mut self, proxy: usize, host: usize, now_s: f64) -> Option<End> {
        if let Some(limit) = self.scenario.hosts[host].limit {
            let tokens = self.tokens(host, now_s);
            let bucket = &mut self.buckets[host];
            if tokens < 1.0 {
                if limit.closes_s.get() > 0.0 && tokens > 0.0 {
                    bucket.tokens = -limit.closes_s.get() * limit.per_second.get();
                }
                return Some(End::Limited {
                    retry_after: Duration::from_secs_f64(limit.retry_after_s.get()),
                });
            }
            bucket.tokens -= 1.0;
        }
        if self.is_banned(proxy, host, now_s) {
            return Some(End::Banned);
        }
        let rule = self.scenario.hosts[host].ban?;
        let recent = self.recent(proxy, host, now_s);
        let pair = self.pairs.entry(key(proxy, host)).or_default();
        pair.recent_s.push_back(now_s);
        if recent < rule.requests.get() {
            return None;
        }
        pair.banned_until_s = now_s + rule.lasts_s.get();
        Some(End::Banned)
    }

    fn charge(&mut self, proxy: usize, end: End) {
        let price = self.scenario.groups[self.members[proxy].group].price;
        let left = !matches!(end, End::Refused | End::ConnectTimeout);
        if left {
            self.tally.cost += price.per_request;
        }
        if matches!(end, End::Good | End::Fake { .. }) {
            self.tally.cost += price.per_gb * self.scenario.page_kb / 1e6;
        }
    }

    /// Tokens in the bucket of a host that has a limit.
    pub(super) fn tokens(&mut self, host: usize, now_s: f64) -> f64 {
        let Some(limit) = self.scenario.hosts[host].limit else {
            return f64::INFINITY;
        };
        let rate = limit.per_second.get();
        let bucket = &mut self.buckets[host];
        bucket.tokens = (bucket.tokens + (now_s - bucket.at_s) * rate).min(rate);
        bucket.at_s = now_s;
        bucket.tokens
    }

    pub(super) fn is_banned(&self, proxy: usize, host: usize, now_s: f64) -> bool {
        let banned = self.scenario.hosts[host].banned.ratio();
        if banned > 0.0 && self.rolls.uniform(What::Banned, proxy, host as u32) < banned {
            return true;
        }
        let pair = self.pairs.get(&key(proxy, host));
        pair.is_some_and(|pair| pair.banned_until_s > now_s)
    }

    /// Requests of a pair that its host has in its window.
    pub(super) fn recent(&mut self, proxy: usize, host: usize, now_s: f64) -> u32 {
        let Some(rule) = self.scenario.hosts[host].ban else {
            return 0;
        };
        let Some(pair) = self.pairs.get_mut(&key(proxy, host)) else {
            return 0;
        };
        let since_s = now_s - rule.window_s.get();
        while pair.recent_s.front().is_some_and(|at_s| *at_s <= since_s) {
            pair.recent_s.pop_front();
        }
        pair.recent_s.len() as u32
    }

    /// End of the outage that `host` has now.
    pub(super) fn outage_until(&self, host: usize, now_s: f64) -> Option<f64> {
        let outages = &self.scenario.hosts[host].outages;
        let now = outages.iter().find(|span| span.holds(now_s));
        now.map(|span| span.to_s)
    }

    /// End of the time without network that is now.
    pub(super) fn network_outage_until(&self, now_s: f64) -> Option<f64> {
        let outages = &self.scenario.network_outages;
        let now = outages.iter().find(|span| span.holds(now_s));
        now.map(|span| span.to_s)
    }

    /// True when the proxy could serve a request now, if its answers were true.
    pub(super) fn is_alive(&mut self, proxy: usize, now_s: f64) -> bool {
        let serves = matches!(
            self.behaviour(proxy),
            Behaviour::Serves | Behaviour::Tampers
        );
        serves && self.is_up(proxy, now_s)
    }

    /// What a proxy is.
    pub fn behaviour(&self, proxy: usize) -> Behaviour {
        self.scenario.groups[self.members[proxy].group].behaves
    }

    /// How a connect to `proxy` would fail now for want of the proxy or of a network; `None` for one that is there.
    pub fn door(&mut self, proxy: usize, now: Duration) -> Option<End> {
        let now_s = now.as_secs_f64();
        if self.network_outage_until(now_s).is_some() {
            return Some(End::Refused);
        }
        let up = self.is_up(proxy, now_s);
        match self.looks(proxy, up) {
            Behaviour::Refuses => Some(End::Refused),
            Behaviour::BlackHole => Some(End::ConnectTimeout),
            _ => None,
        }
    }

    /// What a connect meets.
    fn looks(&self, proxy: usize, up: bool) -> Behaviour {
        match self.behaviour(proxy) {
            behaves if up => behaves,
            _ if proxy.is_multiple_of(2) => Behaviour::Refuses,
            _ => Behaviour::BlackHole,
        }
    }

    /// True when it is of a sort that fetches what it is asked for.
    pub(super) fn serves(&self, proxy: usize) -> bool {
        self.behaviour(proxy) == Behaviour::Serves
    }

    /// Median time of connect and answer as it is now.
    pub(super) fn expected_s(&mut self, proxy: usize, now_s: f64) -> f64 {
        self.redraw(proxy, now_s);
        self.members[proxy].answer_s + self.members[proxy].connect_s
    }

    /// Median time of an answer.
    pub(super) fn answer_s(&self, proxy: usize) -> f64 {
        self.members[proxy].answer_s
    }

    /// Requests at once beyond which the proxy becomes slower.
    pub(super) fn capacity(&self, proxy: usize) -> f64 {
        self.members[proxy].capacity
    }

    /// Requests that are under way through the proxy.
    pub fn in_flight(&self, proxy: usize) -> u32 {
        self.members[proxy].in_flight
    }

    fn is_up(&mut self, proxy: usize, now_s: f64) -> bool {
        let member = &mut self.members[proxy];
        let Some(churn) = self.scenario.groups[member.group].churn else {
            return true;
        };
        while member.changes_at_s <= now_s {
            member.up = !member.up;
            member.changes += 1;
            let mean = if member.up { churn.up_s } else { churn.down_s };
            member.changes_at_s +=
                self.rolls
                    .exponential(What::Change, proxy, member.changes, mean.get());
        }
        member.up
    }

    fn redraw(&mut self, proxy: usize, now_s: f64) {
        let member = &mut self.members[proxy];
        let group = &self.scenario.groups[member.group];
        let Some(mean) = group.redraw_s else {
            return;
        };
        while member.redraws_at_s <= now_s {
            member.redraws += 1;
            member.answer_s = median(group, proxy, member.redraws, self.rolls);
            member.redraws_at_s +=
                self.rolls
                    .exponential(What::Redraw, proxy, member.redraws, mean.get());
        }
    }
}

impl Member {
    fn new(number: usize, group: &Group, proxy: usize, rolls: Rolls) -> Member {
        let connect = group.connect;
        let normal = rolls.normal(What::ConnectMedian, proxy, 0);
        let mut member = Member {
            group: number,
            answer_s: median(group, proxy, 0, rolls),
            connect_s: connect.median_s.get() * (connect.between * normal).exp(),
            capacity: f64::INFINITY,
            up: true,
            changes_at_s: f64::INFINITY,
            changes: 0,
            redraws_at_s: f64::INFINITY,
            redraws: 0,
            in_flight: 0,
            connects: 0,
            requests: 0,
        };
        if let Some(capacity) = group.capacity {
            let (from, to) = (capacity.from.get(), capacity.to.get());
            member.capacity = from + (to - from) * rolls.uniform(What::Capacity, proxy, 0);
        }
        if let Some(churn) = group.churn {
            let (up, down) = (churn.up_s.get(), churn.down_s.get());
            member.up = rolls.uniform(What::Up, proxy, 0) < up / (up + down);
            let mean = if member.up { up } else { down };
            member.changes_at_s = rolls.exponential(What::Change, proxy, 0, mean);
        }
        if let Some(mean) = group.redraw_s {
            member.redraws_at_s = mean.get() * rolls.uniform(What::Redraw, proxy, 0);
        }
        member
    }
}

/// The median of a proxy's answers at its `redraws`th change.
fn median(group: &Group, proxy: usize, redraws: u32, rolls: Rolls) -> f64 {
    let answer = group.answer;
    let normal = rolls.normal(What::AnswerMedian, proxy, redraws);
    let median_s = answer.median_s.get() * (answer.between * normal).exp();
    median_s.max(answer.least_s.get())
}

/// The group of each proxy: shares as whole numbers, what is left over in the first group, shuffled.
fn groups(scenario: &Scenario, rolls: Rolls) -> Vec<usize> {
    let proxies = scenario.proxies.get() as usize;
    let mut list = Vec::with_capacity(proxies);
    for (number, group) in scenario.groups.iter().enumerate() {
        let count = (group.share.ratio() * proxies as f64).round() as usize;
        list.extend(std::iter::repeat_n(number, count));
    }
    list.resize(proxies, 0);
    for at in (1..proxies).rev() {
        let other = (rolls.uniform(What::Shuffle, at, 0) * (at + 1) as f64) as usize;
        list.swap(at, other);
    }
    list
}

fn key(proxy: usize, host: usize) -> (u32, u32) {
    (proxy as u32, host as u32)
}
