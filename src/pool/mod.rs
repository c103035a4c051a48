//! The pool: which proxy serves the next request, and which one is probed next.
//!
//! This is not load balancing. Most members of a public list are dead, few are needed, and each answers for itself, so the
//! pool looks for good members on a *probe lane* beside the requests and binds a request only to a proxy that is READY
//! (late binding): a dead proxy costs a socket, never an attempt of a URL. Among the READY ones a request takes the best of
//! a random 32 by expected seconds per success; two choices, the usual answer, would hand half the work to the worse half.
//!
//! ```text
//! unknown --probe--> READY (one request at a time) --answer--> READY --failure--> quarantined --probe--> READY ...
//!                                                                       `--> retired: tampering, refused credentials
//! ```
//!
//! - [`Pool::lease`] / [`Pool::settle`]: borrow a proxy for one attempt, report who was to blame (`lease`, `settle`).
//! - [`Pool::next_probe`] / [`Pool::settle_probe`]: the probe lane (`probe`).
//! - [`Pool::replace`]: another list, health kept (`replace`).
//! - [`Pool::recall`] / [`Pool::snapshot`]: begin with what earlier runs have learned, leave it to later ones (`recall`).
//! - [`Pool::counts`], [`Pool::score`], [`Pool::is_exhausted`]: what people and the engine ask (`counts`).
//!
//! With proxies of several tiers a host is served from the cheapest that it does not ban (`tier`).
//!
//! Three ledgers stay apart: a proxy's own evidence (`slot`), refusals of a (proxy, host) pair (`pair`), and what is known
//! of each host (`host`), which only weighs ambiguous failures. Those are charged to nobody before it shows whose they were
//! (`doubt`, `stranger`), so that no outage of a target costs a proxy its score, nor does one of our own uplink (`uplink`). The pool is a state machine without I/O, clock or lock; one
//! task owns it. It does not know the user's rates: `admit` asks them, last and only for a proxy about to be chosen.

mod account;
mod barred;
mod candidate;
mod clock;
mod counts;
mod doubt;
mod evidence;
mod field;
mod filter;
mod hash;
mod host;
mod judgement;
mod lease;
mod mechanism;
mod memory;
mod pair;
mod pause;
mod probe;
mod quota;
mod random;
mod rank;
mod recall;
mod recent;
mod refused;
mod replace;
mod ring;
mod roster;
mod rotating;
mod search;
mod select;
mod settle;
mod slot;
mod standing;
mod stranger;
mod tier;
mod timers;
mod uplink;
mod weights;

#[cfg(test)]
mod tests;

pub use counts::Counts;
pub use lease::{
    Ask, Avoid, HostIdx, HostWide, Lease, ProxyIdx, Refusal, RefusalReason, Settlement,
};
#[doc(hidden)]
pub use mechanism::Mechanism;
pub use memory::{
    Health, Memory, Quota, Remembered, RememberedHost, RememberedLimit, RememberedPair,
    RememberedTier, Rest,
};
pub use probe::{Demand, ProbeLease, ProbeResult};
pub use replace::Change;
pub use standing::Standing;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

use crate::proxy::{CredentialGroup, Proxy, ProxyId};

use account::{Accounts, Doubted};
use barred::Barred;
use clock::{Clock, Micros};
use doubt::Doubts;
use evidence::Scale;
use filter::Filters;
use hash::Mixing;
use host::Hosts;
use pair::Standings;
use pause::Cost;
use probe::Lane;
use quota::Quotas;
use random::Random;
use recent::{ConnectTimeout, Recent};
use roster::Roster;
use rotating::{Caps, ExitNumbers, Pressed};
use stranger::Strangers;
use tier::Tiers;
use timers::Timers;
use uplink::Uplink;

/// How a proxy is chosen among those that are READY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Strategy {
    /// Best of 32 by expected seconds per success.
    #[default]
    Best,
    /// The one not used for longest.
    RoundRobin,
    /// Any.
    Random,
    /// The one with the fewest requests in flight.
    LeastBusy,
    /// By the `weight` label.
    Weighted,
}

impl Strategy {
    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::Best => "best",
            Strategy::RoundRobin => "round-robin",
            Strategy::Random => "random",
            Strategy::LeastBusy => "least-busy",
            Strategy::Weighted => "weighted",
        }
    }
}

/// What to do when no proxy of the pool is usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnNoProxy {
    /// End the run; exit code 6.
    #[default]
    Stop,
    /// Keep re-probing until one comes back.
    Wait,
}

/// The user's say in the pool. Everything else is learned or a constant with a reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `--rotate`.
    pub strategy: Strategy,
    /// `--on-no-proxy`.
    pub on_no_proxy: OnNoProxy,
    /// Requests in flight through one proxy, at most.
    pub proxy_concurrency: u32,
    /// The same through a rotating endpoint, behind which is one exit for each; `None` is as many as the
    /// run may have in all, which the engine fills in; a pool by itself takes [`Settings::proxy_concurrency`].
    pub rotating_concurrency: Option<u32>,
    /// Upper bound of the adaptive connect timeout.
    pub connect_timeout: Duration,
    /// For benchmarks: a mechanism that is left out.
    #[doc(hidden)]
    pub without: Option<Mechanism>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            strategy: Strategy::Best,
            on_no_proxy: OnNoProxy::Stop,
            proxy_concurrency: 8,
            rotating_concurrency: None,
            connect_timeout: Duration::from_secs(10),
            without: None,
        }
    }
}

impl Settings {
    fn caps(&self) -> Caps {
        Caps {
            fixed: self.proxy_concurrency,
            rotating: self.rotating_concurrency.unwrap_or(self.proxy_concurrency),
        }
    }
}

/// Median latency assumed before the first success, seconds.
const MEDIAN_UNKNOWN: f32 = 1.0;

/// The proxies of a run and all that is known about them. Memory: about 190 bytes a member beside its [`Proxy`].
#[derive(Debug)]
pub struct Pool {
    settings: Settings,
    clock: Clock,
    /// What evidence of now weighs beside older evidence.
    scale: Scale,
    roster: Roster,
    exit_numbers: ExitNumbers,
    /// Slots of rotating endpoints.
    rotating: Vec<u32>,
    /// Of those the ones that have refused for the number or rate of requests.
    pressed: HashMap<u32, Pressed, Mixing>,
    timers: Timers,
    pairs: Standings,
    quotas: Quotas,
    hosts: Hosts,
    doubts: Doubts,
    strangers: Strangers,
    filters: Filters,
    tiers: Tiers,
    /// A provider's policy refuses the host to this account; final for the run.
    accounts: Accounts,
    barred: Barred,
    /// Groups whose credentials were refused.
    refused_groups: HashSet<CredentialGroup, Mixing>,
    /// Refused though accepted before.
    doubted_groups: HashMap<CredentialGroup, Doubted, Mixing>,
    /// Sessions that were refused while others of their template were accepted, and when.
    doubted_sessions: HashMap<ProxyId, Micros, Mixing>,
    /// Members by group; built at the first refusal of credentials, because most runs never need it.
    groups: Option<HashMap<CredentialGroup, Vec<u32>, Mixing>>,
    lane: Lane,
    uplink: Uplink<Cost>,
    /// Members that an earlier run has found good, best first, until they are looked at.
    known: VecDeque<u32>,
    /// [`slot::Slot::mark`] of each slot at the last snapshot.
    noted: Vec<u64>,
    connect_timeout: ConnectTimeout,
    latencies: Recent,
    jitter: Random,
    /// Of the next choice. Known before it is made, so that its memory can be asked for in time.
    next_choice: Random,
    /// Leases so far; the order of use for round-robin.
    turn: u64,
    /// Members judged in all choices so far.
    judged: u64,
    /// Last moment at which some proxy was known to be READY, at first the beginning.
    last_ready: Micros,
    /// First such moment.
    first_ready: Option<Micros>,
    /// Some request was answered by its target.
    answered: bool,
    /// Weight of those that were not, before the first that was.
    fruitless: u32,
}

impl Pool {
    /// A pool of these proxies, all unknown; only `direct` is READY at once and never probed. Identities that occur twice
    /// are one member.
    pub fn new(
        proxies: Vec<Arc<Proxy>>,
        settings: Settings,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Self {
        let settings = Settings {
            proxy_concurrency: settings.proxy_concurrency.max(1),
            rotating_concurrency: settings.rotating_concurrency.map(|most| most.max(1)),
            ..settings
        };
        let mut jitter = Random::new(rng.random());
        let mut roster = Roster::new(
            settings.strategy,
            settings.caps(),
            proxies.len(),
            jitter.split(),
        );
        let mut accounts = Accounts::default();
        for proxy in proxies {
            if roster.locate(proxy.id()).is_none() {
                let account = accounts.number(&proxy);
                roster.admit(proxy, account);
            }
        }
        let mut pool = Pool {
            clock: Clock::new(now),
            scale: Scale::new(),
            roster,
            exit_numbers: ExitNumbers::default(),
            rotating: Vec::new(),
            pressed: HashMap::default(),
            timers: Timers::default(),
            pairs: Standings::default(),
            quotas: Quotas::default(),
            hosts: Hosts::new(),
            doubts: Doubts::default(),
            strangers: Strangers::default(),
            filters: Filters::default(),
            tiers: Tiers::default(),
            accounts,
            barred: Barred::default(),
            refused_groups: HashSet::default(),
            doubted_groups: HashMap::default(),
            doubted_sessions: HashMap::default(),
            groups: None,
            lane: Lane::default(),
            uplink: Uplink::default(),
            known: VecDeque::new(),
            noted: Vec::new(),
            connect_timeout: ConnectTimeout::new(settings.connect_timeout),
            latencies: Recent::default(),
            next_choice: jitter.split(),
            jitter,
            turn: 0,
            judged: 0,
            last_ready: 0,
            first_ready: None,
            answered: false,
            fruitless: 0,
            settings,
        };
        pool.tiers.count(&pool.roster);
        pool.find_rotating();
        pool.leave_out();
        pool.note_ready(0);
        pool
    }

    /// The member with this identity.
    pub fn find(&self, id: ProxyId) -> Option<ProxyIdx> {
        self.roster.find(id)
    }

    /// The proxy in a slot.
    ///
    /// # Panics
    /// If the index was not given out by this pool.
    pub fn proxy(&self, idx: ProxyIdx) -> &Arc<Proxy> {
        &self.roster.slot(idx.0).proxy
    }

    /// The earliest moment at which time alone could change an answer of the pool: a quarantine or cooldown ends, or a
    /// starving run may probe again. `None` while only leases and probes can. Never in the past right after
    /// [`Pool::next_probe`], so sleeping until it cannot spin.
    pub fn next_wake(&mut self) -> Option<Instant> {
        [
            self.timers.next_end(&self.roster),
            self.pairs.next_end(),
            self.lane.wake(),
            self.uplink.look_at(),
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|at| self.clock.instant(at))
    }

    /// The pool's time, at the beginning of whatever may read or change evidence.
    fn moment(&mut self, now: Instant) -> Micros {
        let now = self.clock.micros(now);
        if let Some(divisor) = self.scale.advance(now) {
            self.roster.rebase(divisor);
        }
        now
    }

    /// Median seconds of a success.
    fn median(&self) -> f32 {
        self.latencies.median().unwrap_or(MEDIAN_UNKNOWN)
    }

    /// Remembers that some proxy is READY at `now`, if so. To be called before a change that may take the last one away.
    fn note_ready(&mut self, now: Micros) {
        if self.roster.tally.ready > 0 {
            self.last_ready = now;
            self.first_ready.get_or_insert(now);
        }
    }
}
