//! Learned quotas: how much of one exit a host bears, so that the pool stops before the ban.
//!
//! Uses are counted per (proxy, host) pair ([`window`]) and what they mean is learned per host ([`learner`]); whether the host
//! limits each exit or everybody together is told apart first ([`wide`]), because the two call for opposite things. Counts are
//! taken when a request leaves: when its answer is there, others have left the window, and the quota would be read too low.
//!
//! Most hosts never refuse anybody, and looking up a pair is a matter of cache misses. So uses are only written down at first and
//! counted by the hundred; a host is watched, each use counted as it happens, from its first refusal on.

mod ban_length;
mod learner;
#[cfg(test)]
mod tests;
mod wide;
mod window;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::clock::{Micros, SECOND};
use super::hash::Mixing;
use super::memory::Quota;
use super::pair::{Gate, PairKey};
pub(super) use learner::Kin;
use learner::{Beyond, Learner, Survivors};
use wide::{Followed, Wide};
use window::{LONGEST, Vector, Windows};

/// A refusal so soon after an answer is not the exit's reputation.
const RECENT: Micros = 60 * SECOND;
/// Pairs whose uses are counted; those idle for longest go first. About 180 bytes each.
const MOST_PAIRS: usize = 1 << 17;
/// Hosts about which something is kept; beyond it, those unused for longest go. About 300 bytes each, a kilobyte more when watched.
const MOST_HOSTS: usize = 1 << 14;
/// Uses and answers that are written down before they are counted. 48 bytes each.
const NOTES: usize = 256;

#[derive(Debug, Default)]
struct Pair {
    generation: u32,
    windows: Windows,
    /// Last use.
    used: Micros,
    /// Last time it was served, since it was refused.
    served: Option<Micros>,
    /// Last time it was refused, since it was served.
    refused: Option<Micros>,
}

#[derive(Debug, Default)]
struct Host {
    /// Until it is watched.
    survivors: Survivors,
    /// Since it has refused somebody, unless it limits all of us together: then there is nothing to learn about pairs.
    learner: Option<Box<Learner>>,
    wide: Wide,
    /// It limits all of us together, and says so in this way. What it refuses otherwise is for the exit all the same.
    limits_by: Option<Kind>,
    /// That is from an earlier run, which does not tell how it says so.
    is_recalled: bool,
    /// What speaks against that, since it was thought.
    followed: Followed,
    /// It was thought to limit all of us together, and does not.
    is_refuted: bool,
    /// When the last request left that it served.
    served_sent: Micros,
    /// When it refused anybody last.
    refused: Micros,
    used: Micros,
    /// Last time it served anybody.
    served: Option<Micros>,
    /// What was last told of it: window and uses, or that nothing holds any more. `None` before anything was.
    told: Option<Option<(usize, u16)>>,
}

impl Host {
    /// `share` of those that had asked little were refused.
    fn limits_everybody(&mut self, kind: Kind, share: f32) {
        self.limits_by = Some(kind);
        self.learner = None;
        self.followed = Followed::new(share);
    }

    fn does_not_limit_everybody(&mut self) {
        self.limits_by = None;
        self.is_refuted = true;
        self.told = None;
    }

    /// What has been learned of it, or that it was wrong, if nobody was told yet.
    fn news(&mut self) -> Option<Option<Quota>> {
        let learned = self.learner.as_ref().and_then(|learner| learner.learned());
        let is_news = match self.told {
            None => learned.is_some() || self.is_refuted,
            Some(told) => told != learned,
        };
        let quota = |(window, uses)| {
            let window = window::length(window);
            Quota { window, uses }
        };
        is_news.then(|| {
            self.told = Some(learned);
            learned.map(quota)
        })
    }
}

/// One use of a pair, as it was counted when it began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use {
    at: Micros,
    /// This use included; `None` when the host was not watched yet.
    counts: Option<Vector>,
    /// Other requests of the proxy in flight, which may have arrived later than this one.
    beside: u16,
    beyond: Option<Beyond>,
}

/// What happened to a pair of a host that is not watched.
#[derive(Debug)]
struct Note {
    at: Micros,
    key: PairKey,
    /// When the request left and how many were beside it, of one that was served at `at`; `None` of one that leaves.
    served: Option<(Micros, u16)>,
}

/// What a refusal says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// That it is for the rate.
    Rate,
    /// Anything else.
    Other,
}

/// A refusal of a pair.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub(super) kind: Kind,
    /// The pages before it were refusals as well, which was not seen at the time.
    pub(super) compared: bool,
    pub(super) kin: Kin,
    /// The pair is banned already.
    pub(super) in_ban: bool,
    /// Proxies that could have been refused.
    pub(super) live: usize,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scope {
    /// This pair. `learned`: it was in good standing, so how long the ban lasts is the host's way with everybody; otherwise the
    /// exit may be known to the host for worse.
    Pair { learned: bool },
    /// Everybody together: this refusal shows it, at so many successes per second.
    Shown { goodput: f32 },
    /// Everybody together, as was known.
    Everybody,
    /// This pair, and no longer everybody.
    Refuted,
}

type Pairs = HashMap<u64, Pair, Mixing>;
type Idle = VecDeque<(Micros, u64)>;

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    pairs: Pairs,
    /// What is not counted yet, oldest first.
    notes: Vec<Note>,
    /// Pairs in the order of a use of theirs; moved back if there was a later one.
    idle: Idle,
    hosts: HashMap<u32, Host, Mixing>,
}

impl Quotas {
    /// Pairs whose uses are counted.
    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// A request leaves on this pair.
    #[inline]
    pub(super) fn begin(
        &mut self,
        key: PairKey,
        kin: impl FnOnce() -> Kin,
        beside: u32,
        now: Micros,
    ) -> Use {
        let beside = u16::try_from(beside).unwrap_or(u16::MAX);
        let host = self.hosts.get_mut(&key.host);
        let is_followed = host.as_ref().is_some_and(|host| host.limits_by.is_some());
        let Some(learner) = host.and_then(|host| host.learner.as_mut()) else {
            if is_followed {
                used_pair(&mut self.pairs, &mut self.idle, key, now);
            } else {
                self.note(key, None, now);
            }
            return Use {
                at: now,
                counts: None,
                beside,
                beyond: None,
            };
        };
        let pair = used_pair(&mut self.pairs, &mut self.idle, key, now);
        let counts = pair.windows.count(now);
        let limit = learner.limit(kin);
        let exceeded = limit.filter(|(window, limit)| counts[*window] > *limit);
        Use {
            at: now,
            counts: Some(counts),
            beside,
            beyond: exceeded.map(|(window, _)| {
                learner.tries(key.slot, now);
                Beyond {
                    window,
                    surely: pair.windows.surely(window),
                }
            }),
        }
    }

    /// True when some exits may not ask this host as often as they could.
    #[inline]
    pub(super) fn limits(&self, host: u32) -> bool {
        self.learner(host).is_some_and(Learner::has_learned)
    }

    /// May another request leave on this pair, as far as its quota is concerned?
    #[inline]
    pub(super) fn gate(&self, key: PairKey, kin: impl FnOnce() -> Kin, now: Micros) -> Gate {
        let Some(learner) = self.learner(key.host) else {
            return Gate::Open;
        };
        let Some((window, limit)) = learner.limit(kin) else {
            return Gate::Open;
        };
        let Some(pair) = self.pairs.get(&key.packed()) else {
            return Gate::Open;
        };
        if pair.generation != key.generation {
            return Gate::Open;
        }
        let uses = pair.windows.used(window, now).saturating_add(1);
        if uses <= limit {
            return Gate::Open;
        }
        match learner.may_try_at(key.slot, window, uses, pair.used) {
            at if at <= now => Gate::Open,
            at => Gate::Cooling(pair.windows.free_at(window, limit, now).min(at)),
        }
    }

    /// When the host served anybody last.
    pub(super) fn served_at(&self, host: u32) -> Option<Micros> {
        self.hosts.get(&host)?.served
    }

    /// Requests a second that the host has served lately.
    pub(super) fn goodput(&mut self, host: u32, now: Micros) -> f32 {
        self.count_notes();
        let host = self.hosts.get(&host);
        host.map_or(0.0, |host| host.wide.goodput(now))
    }

    /// True when this pair was served, and has not been refused since.
    pub(super) fn is_served(&mut self, key: PairKey) -> bool {
        self.count_notes();
        self.pair(key).is_some_and(|pair| pair.served.is_some())
    }

    /// A request was served, while so many of the proxy are still in flight.
    pub(super) fn served(&mut self, key: PairKey, mut used: Use, in_flight: u32, now: Micros) {
        if used.counts.is_none() {
            // What is known of its beginning counts those that left after it.
            let in_flight = u16::try_from(in_flight).unwrap_or(u16::MAX);
            used.beside = used.beside.max(in_flight);
        }
        let host = host(&mut self.hosts, key.host, now);
        host.served = Some(now);
        host.served_sent = host.served_sent.max(used.at);
        if host.learner.is_none() && host.limits_by.is_none() {
            return self.note(key, Some((used.at, used.beside)), now);
        }
        let mut pair = known_mut(&mut self.pairs, key);
        let mut before = None;
        if let Some(pair) = &mut pair {
            pair.served = Some(now);
            before = pair.refused.take();
        }
        host.followed.note(before.is_some(), false);
        let Some(learner) = &mut host.learner else {
            return;
        };
        let counts = without(used.counts(pair.as_deref()), used.beside);
        host.wide.served(counts, now);
        learner.served(key.slot, counts, used.beyond);
    }

    /// A request was stopped, or never left.
    pub(super) fn cancelled(&mut self, key: PairKey, used: Use) {
        if used.beyond.is_some()
            && let Some(host) = self.hosts.get_mut(&key.host)
            && let Some(learner) = &mut host.learner
        {
            learner.gives_up(key.slot);
        }
    }

    /// A request was refused.
    pub(super) fn refused(&mut self, key: PairKey, used: Use, block: Block, now: Micros) -> Scope {
        let Block {
            kind,
            compared,
            kin,
            in_ban,
            live,
        } = block;
        self.watch(key.host, now);
        let mut pair = known_mut(&mut self.pairs, key);
        let served = pair.as_mut().and_then(|pair| pair.served.take());
        let served = served.filter(|_| !compared);
        let counts = used.counts(pair.as_deref());
        let recent = served.is_some_and(|served| now < served + RECENT);
        let host = host(&mut self.hosts, key.host, now);
        if let Some(pair) = pair {
            match pair.refused {
                None => {
                    pair.refused = Some(now);
                    // One that is closed for all refuses everybody, whoever they are.
                    if host.served.is_some_and(|served| served > host.refused) {
                        host.followed.note(false, true);
                    }
                }
                Some(before) if used.at > before && host.served_sent > before => {
                    pair.refused = Some(now);
                    host.followed.note(true, true);
                }
                // It had left before the last one came, or nobody was served since.
                Some(_) => {}
            }
        }
        host.refused = now;
        let Some(learner) = &mut host.learner else {
            if std::mem::take(&mut host.is_recalled) {
                host.limits_by = Some(kind);
            }
            if host.limits_by.is_some_and(|known| known != kind) {
                return Scope::Pair { learned: false };
            }
            if host.followed.is_shown() {
                host.does_not_limit_everybody();
                return Scope::Refuted;
            }
            return Scope::Everybody;
        };
        if recent {
            host.wide.refused(key.slot, kind, counts, now);
        }
        let is_low = |counts| learner.is_low(counts);
        if !host.is_refuted && host.wide.is_shown(kind, is_low, live, now) {
            let share = host.wide.share(is_low, now);
            host.limits_everybody(kind, share);
            let goodput = host.wide.goodput(now);
            return Scope::Shown { goodput };
        }
        // Only one that was served before shows what was too much.
        let learned = served.is_some();
        if learned && !in_ban {
            learner.banned(key.slot, counts, kin, now);
        } else if in_ban {
            learner.banned_beside(key.slot, counts, used.at);
        }
        learner.refused(key.slot, now);
        Scope::Pair { learned }
    }

    /// The host seems to limit the rate of all pairs together. False when that was refuted before.
    pub(super) fn limits_everybody(&mut self, number: u32, now: Micros) -> bool {
        let host = host(&mut self.hosts, number, now);
        if !host.is_refuted {
            host.limits_everybody(Kind::Rate, 1.0);
        }
        !host.is_refuted
    }

    /// An earlier run has found that the host limits the rate of all pairs together.
    pub(super) fn recall_limit(&mut self, number: u32, now: Micros) {
        // Asked at that rate from the beginning, it may ban exits as it pleases.
        let host = host(&mut self.hosts, number, now);
        host.limits_everybody(Kind::Rate, 0.0);
        host.is_recalled = true;
    }

    /// The request of a probation, `after` the beginning of the ban, was refused or served.
    pub(super) fn tried(&mut self, key: PairKey, after: Micros, served: bool, now: Micros) {
        self.watch(key.host, now);
        let host = self.hosts.get_mut(&key.host);
        let Some(learner) = host.and_then(|host| host.learner.as_mut()) else {
            return;
        };
        if served {
            learner.ban_length.free_again(key.slot, after);
        } else {
            learner.ban_length.still_banned(key.slot, after);
        }
    }

    /// How long to leave a pair alone that was banned for its uses.
    pub(super) fn wait(&mut self, key: PairKey, now: Micros) -> Option<Micros> {
        let host = self.hosts.get_mut(&key.host)?;
        Some(host.learner.as_mut()?.ban_length.wait(key.slot, now))
    }

    /// What has been learned of hosts since it was last told; `None` for one of which nothing that was told or remembered holds any more.
    pub(super) fn news(&mut self) -> impl Iterator<Item = (u32, Option<Quota>)> {
        let hosts = self.hosts.iter_mut();
        hosts.filter_map(|(number, host)| Some((*number, host.news()?)))
    }

    /// Hosts of which a quota is known.
    pub(super) fn limited(&self) -> impl Iterator<Item = u32> {
        let hosts = self.hosts.keys().copied();
        hosts.filter(|number| self.limits(*number))
    }

    /// Begins with what an earlier run has learned of a host.
    pub(super) fn recall(&mut self, number: u32, quota: Quota, now: Micros) {
        let Some(window) = window::of_length(quota.window) else {
            return;
        };
        self.watch(number, now);
        if let Some(host) = self.hosts.get_mut(&number)
            && let Some(learner) = &mut host.learner
        {
            learner.recall(window, quota.uses);
            // That it was remembered is no news: else it would never grow old.
            host.told = Some(learner.learned());
        }
    }

    fn learner(&self, host: u32) -> Option<&Learner> {
        self.hosts.get(&host)?.learner.as_deref()
    }

    fn pair(&self, key: PairKey) -> Option<&Pair> {
        self.pairs
            .get(&key.packed())
            .filter(|pair| pair.generation == key.generation)
    }

    /// From now on the uses of this host's pairs are counted as they happen.
    fn watch(&mut self, number: u32, now: Micros) {
        let host = host(&mut self.hosts, number, now);
        if host.limits_by.is_some() || host.learner.is_some() {
            return;
        }
        self.count_notes();
        if let Some(host) = self.hosts.get_mut(&number) {
            let survivors = std::mem::take(&mut host.survivors);
            host.learner = Some(Box::new(Learner::new(survivors)));
        }
    }

    fn note(&mut self, key: PairKey, served: Option<(Micros, u16)>, at: Micros) {
        self.notes.push(Note { at, key, served });
        if self.notes.len() >= NOTES {
            self.count_notes();
        }
    }

    #[inline(never)]
    fn count_notes(&mut self) {
        // Counting is so much work that the processor would see one pair ahead; a look at each lets it wait for all at once.
        let pairs = self
            .notes
            .iter()
            .map(|note| self.pairs.get(&note.key.packed()));
        let looks = pairs
            .flatten()
            .fold(0, |all, pair| all ^ pair.windows.look());
        std::hint::black_box(looks);
        for Note { at, key, served } in self.notes.drain(..) {
            let Some((sent, beside)) = served else {
                let pair = used_pair(&mut self.pairs, &mut self.idle, key, at);
                pair.windows.note(at);
                continue;
            };
            if let Some(pair) = known_mut(&mut self.pairs, key) {
                pair.served = Some(at);
                if let Some(host) = self.hosts.get_mut(&key.host) {
                    let counts = without(pair.windows.as_of(sent), beside);
                    host.survivors.note(key.slot, counts);
                    host.wide.served(counts, at);
                }
            }
        }
    }
}

impl Use {
    /// What was counted when it began; of one that began before its host was watched, what is still known of that moment.
    fn counts(self, pair: Option<&Pair>) -> Vector {
        let as_of = || pair.map(|pair| pair.windows.as_of(self.at));
        self.counts.or_else(as_of).unwrap_or_default()
    }
}

/// The uses that have surely arrived, of some of which so many may have come later.
fn without(counts: Vector, beside: u16) -> Vector {
    counts.map(|count| count.saturating_sub(beside).max(1))
}

fn known_mut(pairs: &mut Pairs, key: PairKey) -> Option<&mut Pair> {
    pairs
        .get_mut(&key.packed())
        .filter(|pair| pair.generation == key.generation)
}

/// The pair, which is used at `now`.
fn used_pair<'a>(pairs: &'a mut Pairs, idle: &mut Idle, key: PairKey, now: Micros) -> &'a mut Pair {
    let packed = key.packed();
    make_room(pairs, idle, now);
    let pair = match pairs.entry(packed) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => {
            idle.push_back((now, packed));
            new.insert(Pair::default())
        }
    };
    if pair.generation != key.generation {
        *pair = Pair {
            generation: key.generation,
            ..Pair::default()
        };
    }
    pair.used = now;
    pair
}

/// Forgets pairs whose uses do not count any more, a few at a time, and the idlest when there are too many.
fn make_room(pairs: &mut Pairs, idle: &mut Idle, now: Micros) {
    for _ in 0..4 {
        let Some((at, packed)) = idle.front().copied() else {
            return;
        };
        if now < at + LONGEST && pairs.len() < MOST_PAIRS {
            return;
        }
        idle.pop_front();
        match pairs.get(&packed) {
            Some(pair) if pair.used > at => idle.push_back((pair.used, packed)),
            _ => {
                pairs.remove(&packed);
            }
        }
    }
}

fn host(hosts: &mut HashMap<u32, Host, Mixing>, number: u32, now: Micros) -> &mut Host {
    if hosts.len() >= MOST_HOSTS && !hosts.contains_key(&number) {
        let mut used: Vec<Micros> = hosts.values().map(|host| host.used).collect();
        let (_, middle, _) = used.select_nth_unstable(MOST_HOSTS / 2);
        let middle = *middle;
        hosts.retain(|_, host| host.used > middle);
    }
    let host = hosts.entry(number).or_default();
    host.used = now;
    host
}
