//! What a run decides, told as it happens: attempts that have ended and what followed, probes, jobs that were given up.
//!
//! Whoever listens decides what to keep of it. A listener that is slower than the run slows it down, because a record with holes
//! would be worth nothing. It waits as threads wait, so listen on a thread, not in a task. While nobody listens nothing is made.

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use std::sync::Arc;

use super::attempt::Landed;
use super::dispatch::Dispatcher;
use super::pending::{End, Pending};
use crate::egress::Egress;
use crate::job::HostKey;
use crate::limit;
use crate::outcome::{Ban, Blame, ErrorInfo, Fault, FaultKind, Outcome, Phase};
use crate::pool::{HostIdx, ProxyIdx, Standing};
use crate::proxy::Proxy;
use crate::retry::Decision;

/// Something that has happened.
#[derive(Debug)]
#[non_exhaustive]
pub struct Event {
    /// When, since the run began.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// See [`Event`].
#[derive(Debug)]
#[non_exhaustive]
pub enum What {
    /// An attempt has ended.
    Attempt(Box<Tried>),
    /// A probe has ended.
    Probe(Probed),
    /// Nothing can be done for a job in reasonable time.
    GivenUp {
        /// The job.
        job: Told,
        /// What its row says, unless an attempt has said more.
        outcome: Outcome,
        /// Why.
        why: &'static str,
    },
}

/// Which job.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Told {
    /// Position in the input.
    pub seq: u64,
    /// The URL as the user wrote it, without credentials.
    pub input: Box<str>,
    /// Where it is.
    pub host: HostKey,
}

/// Why an attempt was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The first of its job.
    First,
    /// After one that has failed.
    Retry,
    /// Beside one that took too long.
    Hedge,
}

impl Kind {
    /// The word in a record of the run.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::First => "first",
            Kind::Retry => "retry",
            Kind::Hedge => "hedge",
        }
    }
}

/// An attempt, and what was made of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tried {
    /// For which job.
    pub job: Told,
    /// Number of its line in the attempt log.
    pub n: u32,
    /// Why it was made.
    pub kind: Kind,
    /// Through whom.
    pub proxy: Arc<Proxy>,
    /// What it came to; `cancelled` when another was answered first.
    pub outcome: Outcome,
    /// Who was charged.
    pub blame: Blame,
    /// Status of the target, if it answered.
    pub status: Option<u16>,
    /// The rule that fired.
    pub ban: Option<Box<Ban>>,
    /// What failed on the way.
    pub error: Option<ErrorInfo>,
    /// From dispatch to verdict.
    pub took: Duration,
    /// Of that, the connect, where there was one.
    pub connect: Option<Duration>,
    /// What follows for the job.
    pub next: Next,
    /// What follows for proxy and host.
    pub effects: Vec<Effect>,
}

/// What follows an attempt for its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// Its row is written.
    Done,
    /// Another attempt after so long; it costs the job nothing when the host is out for everybody.
    Retry {
        /// Zero is at once.
        after: Duration,
        /// Not charged to its budgets.
        free: bool,
    },
    /// The other attempt in flight decides.
    Other,
}

/// What an attempt changed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// The proxy rests from the host.
    PairRests {
        /// How long.
        time: Duration,
        /// Refusals in a row.
        refusals: u32,
    },
    /// The host serves the proxy again.
    PairIsFree,
    /// The proxy is set aside.
    Aside {
        /// Until it is probed again.
        time: Duration,
        /// How many times in a row.
        times: u32,
    },
    /// The proxy is out for the rest of the run.
    Retired,
    /// The host is left alone.
    HostWaits {
        /// How long.
        time: Duration,
    },
    /// The host limits everybody together and is asked no faster than this.
    HostIsPaced {
        /// Requests a second.
        rate: f64,
    },
    /// The host answers nobody: one request at a time asks for it.
    HostIsOut,
    /// The host answers again.
    HostIsBack,
}

/// A look at a proxy.
#[derive(Debug)]
#[non_exhaustive]
pub struct Probed {
    /// At whom.
    pub proxy: Arc<Proxy>,
    /// How long the connect took, or what failed.
    pub result: Result<Duration, (Phase, FaultKind)>,
}

/// Somebody who wants to know.
#[derive(Debug)]
pub(super) struct Listener {
    events: SyncSender<Event>,
    began: Instant,
}

impl Listener {
    pub(super) fn new(events: SyncSender<Event>, began: Instant) -> Self {
        Listener { events, began }
    }

    fn tell(&self, what: What, now: Instant) {
        let at = now.saturating_duration_since(self.began);
        // One who has gone away wants to know nothing.
        let _ = self.events.send(Event { at, what });
    }
}

/// How proxy and host stand before or after an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stands {
    proxy: Standing,
    host: limit::Standing,
}

impl<E: Egress> Dispatcher<E> {
    /// How this proxy and this host stand, if somebody wants to know.
    pub(super) fn stands(&self, landed: &Landed, host: u32, now: Instant) -> Option<Stands> {
        self.listener.as_ref()?;
        Some(self.stands_now(landed.lease.idx, host, now))
    }

    fn stands_now(&self, proxy: ProxyIdx, host: u32, now: Instant) -> Stands {
        Stands {
            proxy: self.pool.standing(proxy, HostIdx(host), now),
            host: self.context.limiter().standing(host, now),
        }
    }

    /// What has changed since.
    pub(super) fn effects(
        &self,
        before: Option<Stands>,
        proxy: ProxyIdx,
        host: u32,
        now: Instant,
    ) -> Vec<Effect> {
        before.map_or_else(Vec::new, |before| {
            changes(&before, &self.stands_now(proxy, host, now))
        })
    }

    /// An attempt has ended and this follows.
    pub(super) fn tell_attempt(
        &self,
        job: &Pending,
        end: &End,
        arrival: (Kind, Duration, Vec<Effect>),
        next: Next,
        now: Instant,
    ) {
        let (Some(listener), Some(told)) = (&self.listener, self.told(job)) else {
            return;
        };
        let (kind, took, effects) = arrival;
        let tried = Tried {
            job: told,
            n: u32::try_from(job.log.len()).unwrap_or(u32::MAX),
            kind,
            proxy: end.proxy.clone(),
            outcome: end.verdict.outcome,
            blame: end.verdict.blame,
            status: end.status(),
            ban: end.verdict.ban.clone(),
            error: end.fault.as_ref().map(ErrorInfo::from),
            took,
            connect: end.phases.connect,
            next,
            effects,
        };
        listener.tell(What::Attempt(Box::new(tried)), now);
    }

    /// An attempt was told to stop, because another of its job was answered.
    pub(super) fn tell_stopped(
        &self,
        job: &Pending,
        kind: Kind,
        proxy: Arc<Proxy>,
        took: Duration,
        now: Instant,
    ) {
        let (Some(listener), Some(told)) = (&self.listener, self.told(job)) else {
            return;
        };
        let tried = Tried {
            job: told,
            n: u32::try_from(job.log.len()).unwrap_or(u32::MAX),
            kind,
            proxy,
            outcome: Outcome::Cancelled,
            blame: Blame::Nobody,
            status: None,
            ban: None,
            error: None,
            took,
            connect: None,
            next: Next::Done,
            effects: Vec::new(),
        };
        listener.tell(What::Attempt(Box::new(tried)), now);
    }

    /// A probe has ended.
    pub(super) fn tell_probe(
        &self,
        proxy: &Arc<Proxy>,
        result: Result<Duration, &Fault>,
        now: Instant,
    ) {
        if let Some(listener) = &self.listener {
            let probed = Probed {
                proxy: proxy.clone(),
                result: result.map_err(|fault| (fault.phase, fault.kind)),
            };
            listener.tell(What::Probe(probed), now);
        }
    }

    /// A job is given up.
    pub(super) fn tell_given_up(
        &self,
        job: &Pending,
        outcome: Outcome,
        why: &'static str,
        now: Instant,
    ) {
        if let (Some(listener), Some(job)) = (&self.listener, self.told(job)) {
            listener.tell(What::GivenUp { job, outcome, why }, now);
        }
    }

    fn told(&self, job: &Pending) -> Option<Told> {
        self.listener.as_ref()?;
        Some(Told {
            seq: job.job.seq,
            input: job.job.input.clone(),
            host: self.frontier.key(job.host)?.clone(),
        })
    }
}

/// What a decision means for the job.
pub(super) fn next(decision: Decision, free: bool, twin: bool, charged: bool) -> Next {
    match decision {
        Decision::Retry { .. } if twin => Next::Other,
        Decision::Finish if twin && charged => Next::Other,
        Decision::Retry { after } => Next::Retry { after, free },
        Decision::Finish => Next::Done,
    }
}

/// A difference below this is the time that has passed.
const SAME: Duration = Duration::from_millis(1);

fn changes(before: &Stands, after: &Stands) -> Vec<Effect> {
    let longer = |before: Option<Duration>, after: Option<Duration>| {
        after.filter(|after| *after > before.unwrap_or_default() + SAME)
    };
    let mut effects = Vec::new();
    let rests = |stands: &Stands| stands.proxy.pair.map(|rest| rest.ends_in);
    match (before.proxy.pair, after.proxy.pair) {
        (Some(_), None) => effects.push(Effect::PairIsFree),
        (_, Some(rest)) => {
            effects.extend(
                longer(rests(before), rests(after)).map(|time| Effect::PairRests {
                    time,
                    refusals: u32::from(rest.level) + 1,
                }),
            )
        }
        (None, None) => {}
    }
    let times = u32::from(after.proxy.level) + 1;
    let aside = longer(before.proxy.aside, after.proxy.aside);
    effects.extend(aside.map(|time| Effect::Aside { time, times }));
    if after.proxy.retired && !before.proxy.retired {
        effects.push(Effect::Retired);
    }
    let waits = longer(before.host.wait, after.host.wait);
    effects.extend(waits.map(|time| Effect::HostWaits { time }));
    if let Some(rate) = after.host.rate
        && before.host.rate.is_none_or(|before| rate < before)
    {
        effects.push(Effect::HostIsPaced { rate });
    }
    match (before.host.out, after.host.out) {
        (false, true) => effects.push(Effect::HostIsOut),
        (true, false) => effects.push(Effect::HostIsBack),
        _ => {}
    }
    effects
}
