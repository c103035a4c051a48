//! What the pool tells about itself.

use std::time::{Duration, Instant};

use super::clock::{Micros, SECOND, between};
use super::judgement::{is_foreign, is_told};
use super::roster::Shelf;
use super::slot::{Slot, State};
use super::{HostIdx, Lease, Mechanism, OnNoProxy, Pool, ProxyIdx, Settlement};
use crate::job::LabelFilter;
use crate::outcome::{Blame, Phase};

/// Grace before a pool in which nobody was ever READY is given up: the first probes of a bad list are the slow ones.
const NEVER_READY: Micros = 5 * SECOND;
/// The same when some were READY: an outage of the uplink or of a gateway is often over in a minute.
const ONCE_READY: Micros = 60 * SECOND;

/// A pool that has brought no answer yet is given up after requests without one that weigh so much for each member, when
/// [`ONCE_READY`] has passed too. Proxies that accept connections and do nothing with them are READY again and again.
const FRUITLESS: u32 = 16;
/// So much of all members together at least, because the first targets of an input may all be dead or slow.
const FRUITLESS_LEAST: u32 = 48;
/// More shows nothing more.
const FRUITLESS_MOST: u32 = 200;
/// Weight of a request that got no word, and of one that the proxy said it could not pass on: that one does its work.
const SILENCE: u32 = 4;
const REFUSAL: u32 = 1;
/// Of one that was certainly the proxy's, or was answered in another protocol.
const CERTAIN: u32 = 12;

/// Where the members stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All members.
    pub total: u32,
    /// Can be leased now.
    pub ready: u32,
    /// Never tried yet.
    pub unknown: u32,
    /// Out of selection until probed.
    pub quarantined: u32,
    /// Out for the rest of the run: tampering, refused credentials.
    pub retired: u32,
    /// (proxy, host) pairs in cooldown.
    pub cooling_pairs: u32,
    /// Members that served at least one valid answer.
    pub proven: u32,
    /// Rotating endpoints.
    pub rotating: u32,
}

/// Times a proxy's own latency after which a request is a straggler.
const STRAGGLES: f32 = 3.0;
/// Sooner than this it is not, seconds.
const PATIENCE_LEAST: f32 = 0.5;
/// A stranger gets so much at least, seconds.
const STRANGER_LEAST: f32 = 5.0;
/// Successes before anybody knows what is long.
const PATIENCE_SAMPLES: usize = 50;

impl Pool {
    /// True when enough was answered to know what is long.
    pub fn knows_patience(&self) -> bool {
        self.latencies.len() >= PATIENCE_SAMPLES
    }

    /// How long a request through this member may take before it is a straggler: three times what the member takes, or half the
    /// pool. `None` while too little is known.
    pub fn patience(&self, at: ProxyIdx) -> Option<Duration> {
        if !self.knows_patience() {
            return None;
        }
        let slot = self.roster.slot(at.0);
        // What one that has never served has taken is how long it was waited for.
        let own = if slot.has_served() {
            slot.latency()
        } else {
            0.0
        };
        let expected = own.max(0.5 * self.median());
        Some(Duration::from_secs_f32(
            (STRAGGLES * expected).max(PATIENCE_LEAST),
        ))
    }

    /// See [`Lease::patience_with_stranger`].
    pub(super) fn patience_with_stranger(&self, slot: &Slot) -> Option<Duration> {
        let alike =
            slot.has_served() || slot.is_direct() || self.without(Mechanism::StrangerPatience);
        if alike {
            return None;
        }
        // Of a few the slowest is nothing out of the ordinary.
        let share = if self.knows_patience() { 0.9 } else { 1.0 };
        let slow = self.latencies.quantile(share)?;
        Some(Duration::from_secs_f32((3.0 * slow).max(STRANGER_LEAST)))
    }

    /// True when the host of this lease has served the proxy, and has not refused it since.
    pub fn is_served(&mut self, lease: &Lease) -> bool {
        self.quotas.is_served(lease.pair())
    }

    /// How long it is since the host has served anybody; `None` if it never has.
    pub fn unserved_for(&self, host: HostIdx, now: Instant) -> Option<Duration> {
        let at = self.quotas.served_at(host.0)?;
        Some(between(at, self.clock.micros(now)))
    }

    /// Requests a second that the host has served lately, through whomever.
    pub fn goodput(&mut self, host: HostIdx, now: Instant) -> f32 {
        let t = self.moment(now);
        self.quotas.goodput(host.0, t)
    }

    /// True when this member has served in this run.
    pub fn is_proven(&self, at: ProxyIdx) -> bool {
        self.roster.slot(at.0).is_proven()
    }

    /// True when the proxy of this lease has served in this run as the lease has it serve: through a tunnel, if there is one now.
    /// Whatever answers everything by itself answers CONNECT and plain requests as well.
    pub fn has_served_so(&self, lease: &Lease) -> bool {
        let slot = self.roster.slot(lease.idx.0);
        slot.is_proven() && (slot.serves_tunnels() || !lease.tunnel)
    }

    /// Median time of the last successes; `None` before the first twenty.
    pub fn median_latency(&self) -> Option<Duration> {
        let known = self.latencies.len() >= 20;
        known.then(|| Duration::from_secs_f32(self.median()))
    }

    /// Where the members stand. Constant time; `cooling_pairs` is as of the last lease, report or probe.
    pub fn counts(&self, _now: Instant) -> Counts {
        let tally = &self.roster.tally;
        Counts {
            total: tally.total(),
            ready: tally.ready,
            unknown: tally.unknown,
            quarantined: tally.quarantined,
            retired: tally.retired,
            cooling_pairs: self.pairs.cooling(),
            proven: tally.proven,
            rotating: self.rotating.len() as u32,
        }
    }

    /// True when some member has served in an earlier run, or has opened a tunnel. Looks at all members.
    pub fn has_shown_to_work(&self) -> bool {
        let slots = &self.roster.slots;
        slots
            .iter()
            .any(|slot| slot.is_member() && (slot.earlier > 0 || slot.tunnels()))
    }

    /// For tests: (proxy, host) pairs that something is remembered of, and members that were judged in all choices so far.
    #[doc(hidden)]
    pub fn effort(&self) -> (usize, u64) {
        (self.quotas.len() + self.pairs.len(), self.judged)
    }

    /// True when some READY member can take one more request, whatever the host. Constant time.
    pub fn has_room(&self) -> bool {
        let room = |shelf| !self.roster.shelf(shelf).is_empty();
        room(Shelf::Fresh) || room(Shelf::Free)
    }

    /// True when waiting is not worth while: all members are retired; this machine has had no network for five minutes; or nobody
    /// is READY, unknown, probed or in use, each was probed at least twice, and nobody has been READY for 5 s, or for 60 s if
    /// some ever were. Where no request was ever answered, the 60 s begin with the first READY member. Constant time.
    pub fn is_exhausted(&self, now: Instant) -> bool {
        let tally = &self.roster.tally;
        if tally.retired == tally.total() || self.is_cut_off(now) {
            return true;
        }
        let idle = tally.ready + tally.unknown + tally.in_flight + tally.probing == 0;
        if !idle || tally.underprobed > 0 {
            return false;
        }
        let now = self.clock.micros(now);
        match self.first_ready {
            None => now >= self.last_ready + NEVER_READY,
            Some(first) if !self.answered && self.fruitless >= self.fruitless_enough() => {
                now >= first + ONCE_READY
            }
            Some(_) => now >= self.last_ready + ONCE_READY,
        }
    }

    /// One more request through `at` has brought no answer.
    pub(super) fn was_fruitless(&mut self, at: u32, report: &Settlement) {
        // One that has opened the way to another host could not reach this one, even if it only hangs or hangs up.
        let unreached = matches!(report.kind, Some((Phase::Handshake, _)));
        let weight = match report.blame {
            _ if unreached && self.roster.slot(at).tunnels() => REFUSAL,
            Blame::Proxy(_) => CERTAIN,
            _ if report.kind.is_some_and(is_foreign) => CERTAIN,
            _ if is_told(report.kind) => REFUSAL,
            _ => SILENCE,
        };
        self.fruitless = self.fruitless.saturating_add(weight);
    }

    /// A proxy took a connection from a probe and did not do what it is for. Where requests are forwarded the next probe may see
    /// no more than a connect, and the proxy is READY again.
    pub(super) fn probed_in_vain(&mut self) {
        self.fruitless = self.fruitless.saturating_add(SILENCE);
    }

    fn fruitless_enough(&self) -> u32 {
        let members = self.roster.tally.total();
        members
            .saturating_mul(FRUITLESS)
            .clamp(FRUITLESS_LEAST, FRUITLESS_MOST)
    }

    /// False when none of the members with these labels is usable or may be soon: each is retired, or in quarantine and was probed
    /// twice at least. Always true under [`OnNoProxy::Wait`].
    pub fn has_hope(&mut self, filter: &LabelFilter) -> bool {
        if self.settings.on_no_proxy == OnNoProxy::Wait {
            return true;
        }
        let view = self.filters.index(filter, &self.roster);
        self.filters.members(view).iter().any(|at| {
            let slot = self.roster.slot(*at);
            let shut = matches!(slot.state, State::Retired | State::Quarantined);
            let busy = slot.in_flight > 0 || slot.probing;
            !shut || busy || slot.filed.underprobed
        })
    }

    /// 0 to 100: a cautious percentage chance that the next request through this proxy brings a valid body, less if it
    /// takes longer than 2 s (8 s halve it). A quarter of that in quarantine, 0 when retired. `None` before anything is
    /// known of it, and for a slot without a member. For people: selection uses the cost, which also knows the load.
    pub fn score(&self, idx: ProxyIdx, now: Instant) -> Option<u8> {
        let slot = self.roster.slots.get(idx.0 as usize)?;
        slot.score(self.median(), self.scale.at(self.clock.micros(now)))
    }
}
