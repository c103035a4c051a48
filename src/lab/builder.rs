//! What a lab consists of, before it runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::address::MAX_PROXIES;
use super::fault::Fault;
use super::mix::Mix;
use super::plan::HostPlan;
use super::rehearsal;
use super::scenario::Scenario;
use super::world::{Gate, Gateway, ProxyState};
use crate::proxy::Scheme;

/// One proxy, or many of the same kind.
#[derive(Debug, Clone)]
pub struct ProxySpec {
    /// The protocol it speaks; [`Scheme::Direct`] is none.
    pub scheme: Scheme,
    /// User and password it demands. SOCKS4 has no password: give an empty one.
    pub credentials: Option<(String, String)>,
    /// Its fault plan; empty is a perfect proxy.
    pub faults: Vec<Fault>,
    /// Every answer takes between these, evenly distributed.
    pub latency: (Duration, Duration),
}

impl ProxySpec {
    /// A perfect proxy that answers at once.
    pub fn new(scheme: Scheme) -> Self {
        ProxySpec {
            scheme,
            credentials: None,
            faults: Vec::new(),
            latency: (Duration::ZERO, Duration::ZERO),
        }
    }

    /// The same with one more fault.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// The same behind a user name and password.
    #[must_use]
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// The same with answers that take between `low` and `high`.
    #[must_use]
    pub fn latency(mut self, low: Duration, high: Duration) -> Self {
        self.latency = (low, high);
        self
    }
}

/// A provider's gateway: one address, many exits, told apart by user name.
///
/// Any user name that starts with [`GatewaySpec::user`] is served. It may end in `-N`, which names exit N (modulo their
/// number), or in a session token, which always leads to the same exit.
#[derive(Debug, Clone)]
pub struct GatewaySpec {
    /// What all exits have in common; its credentials are not used.
    pub exit: ProxySpec,
    /// How every accepted user name begins.
    pub user: String,
    /// The password of all of them.
    pub password: String,
    /// Number of exits, each with its own proxy number and exit address.
    pub exits: u32,
    /// A new exit for every connection, whatever the user name.
    pub per_connection: bool,
}

/// Collects what a lab consists of; see [`Lab::builder`](super::Lab::builder).
#[derive(Debug, Clone, Default)]
pub struct Builder {
    entries: Vec<Entry>,
    pub(super) seed: u64,
    pub(super) default_plan: HostPlan,
    pub(super) plans: Vec<(String, HostPlan)>,
    pub(super) hit_capacity: usize,
    pub(super) http1_only: bool,
    pub(super) rehearsal: Option<(Scenario, u64)>,
}

#[derive(Debug, Clone)]
enum Entry {
    Proxies(u32, ProxySpec),
    Gateway(GatewaySpec),
}

impl Builder {
    /// Seeds every decision the lab rolls dice for. The same seed and the same traffic give the same answers.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Adds `count` perfect HTTP proxies.
    #[must_use]
    pub fn perfect(self, count: u32) -> Self {
        self.proxies(count, ProxySpec::new(Scheme::Http))
    }

    /// Adds one proxy; its number is the number of proxies before it.
    #[must_use]
    pub fn proxy(self, spec: ProxySpec) -> Self {
        self.proxies(1, spec)
    }

    /// Adds `count` proxies of one kind.
    #[must_use]
    pub fn proxies(mut self, count: u32, spec: ProxySpec) -> Self {
        self.entries.push(Entry::Proxies(count, spec));
        self
    }

    /// Adds a gateway with its exits, which take as many numbers.
    #[must_use]
    pub fn gateway(mut self, spec: GatewaySpec) -> Self {
        self.entries.push(Entry::Gateway(spec));
        self
    }

    /// Adds the proxies of a mix, in an order that the seed (set before) decides, and its share of bans.
    #[must_use]
    pub fn mix(mut self, mix: &Mix) -> Self {
        for spec in mix.specs(self.seed) {
            self = self.proxy(spec);
        }
        self.default_plan.banned_percent = mix.banned_percent;
        self.default_plan.banned_style = mix.banned_style;
        self
    }

    /// How hosts behave that have no plan of their own. Set it before the hosts it is to hold for.
    #[must_use]
    pub fn every_host(mut self, plan: HostPlan) -> Self {
        self.default_plan = plan;
        self
    }

    /// How one host behaves.
    #[must_use]
    pub fn host(mut self, name: &str, plan: HostPlan) -> Self {
        self.plans.push((name.to_owned(), plan));
        self
    }

    /// Logs up to `capacity` hits; further ones are counted as dropped. A hit takes about 500 bytes.
    #[must_use]
    pub fn record_hits(mut self, capacity: usize) -> Self {
        self.hit_capacity = capacity;
        self
    }

    /// Adds the proxies of a scenario, and has its world decide what becomes of every request through any proxy, from the
    /// moment the lab starts. Its hosts are `h0.test` and so on; `https` is refused with 405. [`Lab::tally`](super::Lab::tally)
    /// tells what was asked.
    #[must_use]
    pub fn scenario(mut self, scenario: &Scenario, seed: u64) -> Self {
        for spec in rehearsal::specs(scenario, seed) {
            self = self.proxy(spec);
        }
        self.rehearsal = Some((scenario.clone(), seed));
        self
    }

    /// Origins do not offer HTTP/2.
    #[must_use]
    pub fn http1_only(mut self) -> Self {
        self.http1_only = true;
        self
    }

    /// The proxies and what is reached at each address.
    pub(super) fn build(&self) -> io::Result<(Vec<ProxyState>, Vec<Gate>)> {
        let invalid = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
        let mut proxies: Vec<ProxyState> = Vec::new();
        let mut gates = Vec::new();
        for entry in &self.entries {
            let (count, spec) = match entry {
                Entry::Proxies(count, spec) => (*count, spec),
                Entry::Gateway(gateway) => (gateway.exits, &gateway.exit),
            };
            if spec.scheme == Scheme::Direct {
                return Err(invalid("the lab has no proxy of scheme direct"));
            }
            let first = proxies.len() as u64;
            if first + u64::from(count) > u64::from(MAX_PROXIES) {
                return Err(invalid("more proxies than loopback addresses"));
            }
            let first = first as u32;
            let spec = Arc::new(spec.clone());
            let faults: Arc<[Fault]> = spec.faults.clone().into();
            for number in first..first + count {
                let gate = match entry {
                    Entry::Proxies(..) => Gate::Own,
                    Entry::Gateway(gateway) if number == first => Gate::Gateway(Gateway {
                        user: gateway.user.clone(),
                        password: gateway.password.clone(),
                        first,
                        exits: count,
                        per_connection: gateway.per_connection,
                        turn: Default::default(),
                    }),
                    Entry::Gateway(_) => Gate::Shut,
                };
                let reached_at = match entry {
                    Entry::Proxies(..) => number,
                    Entry::Gateway(_) => first,
                };
                gates.push(gate);
                proxies.push(ProxyState::new(spec.clone(), faults.clone(), reached_at));
            }
        }
        Ok((proxies, gates))
    }
}
