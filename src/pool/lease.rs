//! Borrowing a proxy for one attempt: the question, the answer, and the report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock::Micros;
use super::pair::PairKey;
use super::quota::Use;
use super::slot::Slot;
use crate::job::LabelFilter;
use crate::outcome::{Blame, FaultKind, Phase};
use crate::proxy::{CredentialGroup, Proxy, ProxyId};

/// A slot of the pool. Stable while the proxy is a member; may name another proxy after a [`super::Pool::replace`], so
/// what outlives that is kept by [`ProxyId`] and looked up with [`super::Pool::find`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProxyIdx(pub(super) u32);

impl ProxyIdx {
    /// The slot's number: small and dense, fit to index a table beside the pool.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// The engine's number of a target host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostIdx(pub u32);

/// What a job needs of its next proxy.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Where the request goes.
    pub host: HostIdx,
    /// `https` target: the proxy has to tunnel.
    pub tunnel: bool,
    /// What the job has tried already.
    pub avoid: &'a Avoid,
    /// Labels the proxy has to carry.
    pub filter: Option<&'a LabelFilter>,
    /// Only this one will do: the job's session lives there.
    pub pinned: Option<ProxyIdx>,
    /// Fewer jobs than slots are left: a bad choice can no longer be hidden by other work, so look at more candidates.
    pub endgame: bool,
    /// Proxies that were used go before those that never were: for a second attempt, which is in a hurry, and when trials of
    /// strangers cost enough.
    pub proven_first: bool,
}

/// The proxies one job has tried. A retry never takes one of them again while another could serve, and prefers a subnet
/// and credentials it has not tried either, because a ban takes neighbours with it. Empty is free; a retry costs 24 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Avoid {
    tried: Vec<Tried>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tried {
    proxy: ProxyId,
    subnet: u64,
    group: CredentialGroup,
}

/// How little a candidate is wanted, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    /// Shares nothing with what was tried.
    Unrelated,
    /// Shares the subnet or the credentials.
    Related,
    /// Was tried itself.
    Tried,
}

impl Avoid {
    /// Remembers that `proxy` was tried, but for a rotating endpoint: the next connection through that has another exit.
    pub fn note(&mut self, proxy: &Proxy) {
        if proxy.is_rotating() {
            return;
        }
        let tried = Tried {
            proxy: proxy.id(),
            subnet: proxy.subnet(),
            group: proxy.group(),
        };
        if !self.tried.contains(&tried) {
            self.tried.push(tried);
        }
    }

    /// True when this one was.
    pub fn has_tried(&self, proxy: &Proxy) -> bool {
        self.ids().any(|id| id == proxy.id())
    }

    /// Distinct proxies tried.
    pub fn len(&self) -> usize {
        self.tried.len()
    }

    /// True before the first attempt.
    pub fn is_empty(&self) -> bool {
        self.tried.is_empty()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ProxyId> + '_ {
        self.tried.iter().map(|tried| tried.proxy)
    }

    pub(super) fn tier(&self, slot: &Slot) -> Tier {
        if self.tried.is_empty() {
            return Tier::Unrelated;
        }
        let (id, group) = (slot.proxy.id(), slot.proxy.group());
        if self.tried.iter().any(|tried| tried.proxy == id) {
            return Tier::Tried;
        }
        let subnet = slot.subnet();
        let related = |tried: &Tried| tried.subnet == subnet || tried.group == group;
        if self.tried.iter().any(related) {
            Tier::Related
        } else {
            Tier::Unrelated
        }
    }
}

/// A proxy borrowed for one attempt. Give it back with [`super::Pool::settle`] or [`super::Pool::cancel`]; dropped, it
/// keeps its place in the proxy's concurrency for good.
#[derive(Debug)]
#[must_use = "a lease has to be settled or cancelled"]
pub struct Lease {
    /// The slot.
    pub idx: ProxyIdx,
    /// The proxy itself, valid even after it has left the list.
    pub proxy: Arc<Proxy>,
    /// Where the request goes.
    pub host: HostIdx,
    /// When it was borrowed.
    pub at: Instant,
    /// Requests in flight through the proxy, this one included.
    pub in_flight_at_dispatch: u32,
    /// Limit for TCP connect to the proxy.
    pub connect_timeout: Duration,
    /// Limit for the whole attempt, if it is a stranger's: one that has never served gets three times what nine in ten answers
    /// take, or what the slowest of the first took, and no more. `None` for one that has, and before the first answer.
    pub patience_with_stranger: Option<Duration>,
    pub(super) generation: u32,
    /// [`Lease::at`] on the pool's clock.
    pub(super) sent: Micros,
    pub(super) tunnel: bool,
    /// Valid answers of the proxy before.
    pub(super) ok_before: u32,
    /// The one request of a pair's probation.
    pub(super) on_trial: bool,
    pub(super) used: Use,
    /// See [`Lease::exit`]; `None` for a slot of one exit.
    pub(super) exit: Option<u32>,
}

impl Lease {
    /// True when the proxy has to tunnel.
    pub fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    pub(super) fn pair(&self) -> PairKey {
        PairKey {
            slot: self.idx.0,
            // An exit is another tenant of its slot.
            generation: self.exit.unwrap_or(self.generation),
            host: self.host.0,
        }
    }
}

/// No proxy now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: RefusalReason,
    /// When time alone may change the answer. `None`: only a settled lease or probe, the user's own limits or another list
    /// can, so sleep until one of those.
    pub retry_at: Option<Instant>,
    /// No READY member was left out because of this job or its host: whoever asks for any proxy now is refused too, unless
    /// `admit` tells hosts apart.
    pub everybody: bool,
}

/// Why no proxy could be leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// This machine itself has no network; probes find out when it is back.
    NoUplink,
    /// No member that fits is READY; probes decide.
    NoneReady,
    /// Every READY member that could serve has all the requests it bears.
    AllBusy,
    /// The job has tried every READY member that could serve, and untried ones may still come.
    AllTried,
    /// The host has refused every READY member that could serve, and their cooldowns run.
    AllCooling,
    /// `admit` refused every member that could serve.
    Limited,
    /// No member carries the labels the job asks for, or the pinned one is gone. Final until the list changes.
    NoMatch,
    /// Every member that can still be used lacks the capability, or its provider's policy bars the host. Final while
    /// `retry_at` is `None`; else a quarantined member may turn out to serve.
    Incapable,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settlement {
    /// Who caused the result.
    pub blame: Blame,
    /// Time of the request that was answered, connect included.
    pub latency: Duration,
    /// How long the target asked to wait.
    pub retry_after: Option<Duration>,
    /// The target refused it for the rate, by its own words.
    pub for_rate: bool,
    /// Refused by no word of the target's, but for pages that look unlike those of others: the ones before it were no better.
    pub compared: bool,
    /// Time of the TCP connect, when a new connection was made and succeeded.
    pub connect: Option<Duration>,
    /// The fault, when there was one.
    pub kind: Option<(Phase, FaultKind)>,
}

/// What a refusal tells of a host that limits all proxies together, and not of the one that got it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HostWide {
    /// It does, as was known.
    Known,
    /// This refusal has shown it.
    Shown {
        /// Successes per second lately.
        goodput: f32,
    },
    /// It does not after all, and this one was refused for itself.
    Refuted,
    /// A rotating endpoint refuses by number or rate, whatever the host.
    Endpoint,
}

impl Settlement {
    /// A report with nothing but the blame.
    pub fn new(blame: Blame) -> Self {
        Settlement {
            blame,
            latency: Duration::ZERO,
            retry_after: None,
            for_rate: false,
            compared: false,
            connect: None,
            kind: None,
        }
    }
}
