//! Standing of a (proxy, host) pair that was refused: a cooldown, then probation with one request at a time.
//!
//! A ban is the target's opinion of one exit. It says nothing about the proxy towards other hosts, so it never leaves this
//! table. Pairs without a refusal have no entry.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use super::clock::{Micros, SECOND, between, micros};
use super::hash::Mixing;
use super::memory::Rest;
use super::random::Random;

/// First cooldown when the target does not say how long.
const FIRST: Micros = 60 * SECOND;
/// The same at a host that limits everybody, and the longest there.
const FIRST_WIDE: Micros = 2 * SECOND;
const LONGEST_WIDE: Micros = 16 * SECOND;
/// No cooldown is longer, and no Retry-After is believed beyond it.
const LONGEST: Micros = 3600 * SECOND;
/// How long the level is remembered after the end of a cooldown.
const MEMORY: Micros = 3600 * SECOND;
/// Entries kept; the ones that end soonest go first. About 60 bytes each.
const MOST: usize = 1 << 17;

/// May a request be sent on this pair?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// Yes.
    Open,
    /// Not before this moment.
    Cooling(Micros),
    /// Not while the one request of the probation is out.
    OnTrial,
}

#[derive(Debug)]
struct Standing {
    generation: u32,
    /// Refusals in a row, less one.
    level: u8,
    /// The one request of the probation is out.
    trial: bool,
    /// Counted in [`Standings::cooling`].
    cooling: bool,
    /// It was in good standing before, so how long it stays shut says how long this host's bans are.
    learned: bool,
    /// When the ban began.
    since: Micros,
    until: Micros,
    forget: Micros,
}

impl Standing {
    /// Nobody has asked since the end of the cooldown, which was so long ago that the ban has had twice its time.
    fn was_idle(&self, now: Micros) -> bool {
        now.saturating_sub(self.until) > self.until.saturating_sub(self.since).max(FIRST)
    }
}

impl Term {
    /// What the target asked for and no more.
    pub(super) fn asked(asked: Duration) -> Self {
        Term {
            asked: Some(asked),
            ..Term::default()
        }
    }
}

/// How long a refused pair is left alone.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Term {
    /// What the target asked for.
    pub(super) asked: Option<Duration>,
    /// What the host's bans of pairs in good standing have been found to take, or this one to last already.
    pub(super) learned: Option<Micros>,
    /// The host limits everybody: what it refuses one for is in all likelihood nothing of that one's, unless it does so again and
    /// again.
    pub(super) is_wide: bool,
}

/// All pairs that are cooling or on probation.
#[derive(Debug, Default)]
pub(super) struct Standings {
    pairs: HashMap<u64, Standing, Mixing>,
    ends: BinaryHeap<Reverse<(Micros, u64)>>,
    forgets: BinaryHeap<Reverse<(Micros, u64)>>,
    cooling: u32,
    /// Pairs whose standing has changed, with their generation; `None` when nobody wants to know.
    touched: Option<HashMap<u64, u32, Mixing>>,
}

/// Level, end of the cooldown, and when it is forgotten.
pub(super) type News = (u8, Micros, Micros);

/// The pair's name; the generation keeps a new tenant of the slot from inheriting.
#[derive(Debug, Clone, Copy)]
pub(super) struct PairKey {
    pub(super) slot: u32,
    pub(super) generation: u32,
    pub(super) host: u32,
}

impl PairKey {
    pub(super) fn packed(self) -> u64 {
        u64::from(self.slot) << 32 | u64::from(self.host)
    }
}

impl Standings {
    /// Pairs that were refused lately.
    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// True when no pair has been refused lately.
    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    pub(super) fn gate(&self, key: PairKey, now: Micros) -> Gate {
        match self.known(key) {
            None => Gate::Open,
            Some(standing) if standing.until > now => Gate::Cooling(standing.until),
            Some(standing) if standing.trial => Gate::OnTrial,
            Some(_) => Gate::Open,
        }
    }

    /// A request leaves on this pair; true when it is the one of the probation.
    pub(super) fn begin(&mut self, key: PairKey) -> bool {
        match self.known_mut(key) {
            Some(standing) => {
                standing.trial = true;
                true
            }
            None => false,
        }
    }

    /// The one request of the probation is over, whatever came of it.
    pub(super) fn end_trial(&mut self, key: PairKey) {
        if let Some(standing) = self.known_mut(key) {
            standing.trial = false;
        }
    }

    /// The one request of the probation was answered: the pair is in good standing again, unless one that was out since
    /// before the cooldown has brought a new refusal meanwhile. Gives how long a ban that teaches something has lasted at most.
    pub(super) fn clear(&mut self, key: PairKey, now: Micros) -> Option<Micros> {
        let standing = self.known(key).filter(|standing| standing.until <= now)?;
        let lasted = standing.learned.then(|| now.saturating_sub(standing.since));
        self.touch(key);
        self.remove(key.packed());
        lasted
    }

    /// True while the pair is banned or on probation.
    pub(super) fn is_banned(&self, key: PairKey) -> bool {
        self.known(key).is_some()
    }

    /// True when how long the pair is shut from now on will say how long this host's bans are: `is_fresh` when it was in good standing.
    pub(super) fn will_teach(&self, key: PairKey, is_fresh: bool, now: Micros) -> bool {
        match self.known(key) {
            None => is_fresh,
            Some(standing) => standing.learned && standing.until <= now,
        }
    }

    /// How long a ban that teaches something has lasted at least, now that the one request of the probation was refused.
    pub(super) fn lasted(&self, key: PairKey, on_trial: bool, now: Micros) -> Option<Micros> {
        let standing = self.known(key)?;
        let teaches = on_trial && standing.learned && !standing.was_idle(now);
        teaches.then(|| now.saturating_sub(standing.since))
    }

    /// Hosts with a pair in cooldown, as of the last [`Standings::expire`], once for each such pair.
    pub(super) fn banning(&self) -> impl Iterator<Item = u32> {
        let pairs = self.pairs.iter();
        pairs
            .filter(|(_, standing)| standing.cooling)
            .map(|(packed, _)| *packed as u32)
    }

    /// The host turns out to refuse everybody alike: what its pairs were shut for was nothing of theirs.
    pub(super) fn pardon(&mut self, host: u32) {
        let of_host = |packed: &&u64| **packed as u32 == host;
        let pardoned: Vec<u64> = self.pairs.keys().filter(of_host).copied().collect();
        for packed in pardoned {
            if let Some(touched) = &mut self.touched
                && let Some(standing) = self.pairs.get(&packed)
            {
                touched.insert(packed, standing.generation);
            }
            self.remove(packed);
        }
    }

    /// The target refused. `on_trial` is what [`Standings::begin`] said of this request.
    ///
    /// Requests that were already out when the cooldown began bring the same news again: they may lengthen it by what the
    /// target says, but forty of them are still one refusal.
    pub(super) fn refuse(
        &mut self,
        key: PairKey,
        on_trial: bool,
        term: Term,
        jitter: &mut Random,
        now: Micros,
    ) {
        let asked = term.asked.map(|asked| {
            let asked = micros(asked).min(LONGEST);
            // Never earlier than asked, and not all pairs in the same instant.
            (asked as f64 * jitter.within(1.0, 1.05)) as Micros
        });
        let (level, earliest) = match self.known(key) {
            None => (0, now),
            // It has been free, as far as anybody knows, and is banned anew.
            Some(standing) if on_trial && standing.was_idle(now) => {
                self.remove(key.packed());
                (0, now)
            }
            Some(standing) if on_trial => (standing.level.saturating_add(1), standing.until),
            Some(standing) if standing.until > now => {
                let until = standing.until.max(asked.map_or(0, |asked| now + asked));
                let level = standing.level;
                self.put(key, level, until, now);
                return;
            }
            // Slower than the whole cooldown: the refusal still stands, but it is no further one.
            Some(standing) => (standing.level, now),
        };
        let learned = match self.known(key) {
            Some(standing) => standing.learned,
            None => term.learned.is_some(),
        };
        let length = asked.unwrap_or_else(|| match term.learned.filter(|_| learned) {
            Some(length) => (length.min(LONGEST) as f64 * jitter.within(1.0, 1.1)) as Micros,
            None => {
                let (first, longest) = match term.is_wide {
                    true => (FIRST_WIDE, LONGEST_WIDE),
                    false => (FIRST, LONGEST),
                };
                let doubled = first.saturating_mul(1 << level.min(16)).min(longest);
                (doubled as f64 * jitter.within(0.9, 1.1)) as Micros
            }
        });
        self.put(key, level, earliest.max(now + length), now);
        if let Some(standing) = self.known_mut(key) {
            standing.learned = learned;
        }
    }

    /// Ends cooldowns and forgets old standings. Cheap when nothing is over.
    #[inline]
    pub(super) fn expire(&mut self, now: Micros) {
        if self.ends.len() + self.forgets.len() > 0 {
            self.expire_known(now);
        }
    }

    fn expire_known(&mut self, now: Micros) {
        while let Some(Reverse((at, packed))) = self.ends.peek().copied()
            && at <= now
        {
            self.ends.pop();
            if let Some(standing) = self.pairs.get_mut(&packed)
                && standing.until == at
                && standing.cooling
            {
                standing.cooling = false;
                self.cooling -= 1;
            }
        }
        while let Some(Reverse((at, packed))) = self.forgets.peek().copied()
            && at <= now
        {
            self.forgets.pop();
            match self.pairs.get_mut(&packed) {
                Some(standing) if standing.forget == at && standing.trial => {
                    standing.forget = at + MEMORY;
                    self.forgets.push(Reverse((at + MEMORY, packed)));
                }
                Some(standing) if standing.forget == at => self.remove(packed),
                _ => {}
            }
        }
    }

    /// The earliest end of a cooldown.
    pub(super) fn next_end(&mut self) -> Option<Micros> {
        loop {
            let Reverse((at, packed)) = *self.ends.peek()?;
            if self
                .pairs
                .get(&packed)
                .is_some_and(|standing| standing.until == at && standing.cooling)
            {
                return Some(at);
            }
            self.ends.pop();
        }
    }

    /// Pairs in cooldown, as of the last [`Standings::expire`].
    pub(super) fn cooling(&self) -> u32 {
        self.cooling
    }

    fn known(&self, key: PairKey) -> Option<&Standing> {
        self.pairs
            .get(&key.packed())
            .filter(|standing| standing.generation == key.generation)
    }

    fn known_mut(&mut self, key: PairKey) -> Option<&mut Standing> {
        if self.pairs.is_empty() {
            return None;
        }
        self.pairs
            .get_mut(&key.packed())
            .filter(|standing| standing.generation == key.generation)
    }

    /// The refusal as it stands.
    pub(super) fn rest(&self, key: PairKey, now: Micros) -> Option<Rest> {
        let standing = self.known(key)?;
        Some(Rest {
            level: standing.level,
            ends_in: between(now, standing.until),
            forgotten_in: between(now, standing.forget),
        })
    }

    /// From now on changes are noted.
    pub(super) fn take_notes(&mut self) {
        self.touched.get_or_insert_default();
    }

    /// What has changed since the last call; `None` for a pair in good standing again.
    pub(super) fn news(&mut self) -> Vec<(PairKey, Option<News>)> {
        let touched = self.touched.as_mut().map(std::mem::take);
        let named = |(packed, generation)| {
            let key = PairKey {
                slot: (packed >> 32) as u32,
                generation,
                host: packed as u32,
            };
            let news = |standing: &Standing| (standing.level, standing.until, standing.forget);
            (key, self.known(key).map(news))
        };
        touched.into_iter().flatten().map(named).collect()
    }

    /// Takes over the standing that an earlier run has left.
    pub(super) fn recall(&mut self, key: PairKey, rest: Rest, now: Micros) {
        if self.known(key).is_none() {
            let until = now + micros(rest.ends_in).min(LONGEST);
            let forget = now + micros(rest.forgotten_in).min(LONGEST + MEMORY);
            self.insert(key, rest.level, until, forget.max(until), now);
        }
    }

    fn touch(&mut self, key: PairKey) {
        if let Some(touched) = &mut self.touched {
            touched.insert(key.packed(), key.generation);
        }
    }

    fn put(&mut self, key: PairKey, level: u8, until: Micros, now: Micros) {
        self.touch(key);
        self.insert(key, level, until, until + MEMORY, now);
    }

    fn insert(&mut self, key: PairKey, level: u8, until: Micros, forget: Micros, now: Micros) {
        let packed = key.packed();
        let before = self.known(key);
        let trial = before.is_some_and(|standing| standing.trial);
        let learned = before.is_some_and(|standing| standing.learned);
        let since = before.map_or(now, |standing| standing.since);
        self.remove(packed);
        while self.pairs.len() >= MOST {
            let ends = self.ends.pop().or_else(|| self.forgets.pop());
            let Some(Reverse((_, oldest))) = ends else {
                break;
            };
            self.remove(oldest);
        }
        let cooling = until > now;
        self.cooling += u32::from(cooling);
        self.pairs.insert(
            packed,
            Standing {
                generation: key.generation,
                level,
                trial,
                cooling,
                learned,
                since,
                until,
                forget,
            },
        );
        self.ends.push(Reverse((until, packed)));
        self.forgets.push(Reverse((forget, packed)));
        self.compact();
    }

    fn remove(&mut self, packed: u64) {
        if let Some(standing) = self.pairs.remove(&packed) {
            self.cooling -= u32::from(standing.cooling);
        }
    }

    /// Timers of replaced entries go when they are the majority.
    fn compact(&mut self) {
        let most = 64 + 2 * self.pairs.len();
        if self.ends.len() > most {
            let pairs = &self.pairs;
            self.ends.retain(|Reverse((at, packed))| {
                pairs
                    .get(packed)
                    .is_some_and(|standing| standing.until == *at && standing.cooling)
            });
        }
        if self.forgets.len() > most {
            let pairs = &self.pairs;
            self.forgets.retain(|Reverse((at, packed))| {
                pairs
                    .get(packed)
                    .is_some_and(|standing| standing.forget == *at)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: PairKey = PairKey {
        slot: 1,
        generation: 0,
        host: 2,
    };

    fn told(seconds: u64) -> Term {
        Term {
            asked: Some(Duration::from_secs(seconds)),
            ..Term::default()
        }
    }

    fn cooling_for(standings: &Standings, now: Micros) -> f64 {
        match standings.gate(KEY, now) {
            Gate::Cooling(until) => (until - now) as f64 / SECOND as f64,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn cooldowns_double_to_an_hour_and_forty_refusals_at_once_are_one() {
        let (mut standings, mut jitter) = (Standings::default(), Random::new(1));
        let (mut now, none) = (0, Term::default());
        for expected in [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0] {
            let trial = standings.begin(KEY);
            for _ in 0..40 {
                standings.refuse(KEY, trial && standings.cooling == 0, none, &mut jitter, now);
            }
            standings.end_trial(KEY);
            let length = cooling_for(&standings, now);
            assert!(
                (0.9..=1.1).contains(&(length / expected)),
                "{length} {expected}"
            );
            assert_eq!(standings.cooling(), 1);
            now = standings.next_end().unwrap();
            standings.expire(now);
            assert_eq!(standings.cooling(), 0);
        }
        assert_eq!(standings.gate(KEY, now), Gate::Open);
        assert!(standings.begin(KEY));
        assert_eq!(standings.gate(KEY, now), Gate::OnTrial);
        standings.clear(KEY, now);
        assert_eq!(standings.gate(KEY, now), Gate::Open);
        assert!(!standings.begin(KEY));
    }

    #[test]
    fn the_end_of_a_trial_does_not_undo_what_a_request_from_before_it_was_told() {
        for refused in [false, true] {
            let (mut standings, mut jitter) = (Standings::default(), Random::new(2));
            standings.refuse(KEY, false, Term::default(), &mut jitter, 0);
            let now = standings.next_end().unwrap();
            standings.expire(now);
            assert!(standings.begin(KEY));
            standings.refuse(KEY, false, told(600), &mut jitter, now);
            standings.end_trial(KEY);
            if refused {
                standings.refuse(KEY, true, told(0), &mut jitter, now);
            } else {
                standings.clear(KEY, now);
            }
            assert!(cooling_for(&standings, now) >= 600.0, "{refused}");
        }
    }

    #[test]
    fn retry_after_is_a_lower_bound_and_is_itself_bounded() {
        for (asked, low, high) in [(5, 5.0, 5.3), (1_000_000_000, 3600.0, 3800.0)] {
            let (mut standings, mut jitter) = (Standings::default(), Random::new(2));
            standings.refuse(KEY, false, told(asked), &mut jitter, 0);
            let length = cooling_for(&standings, 0);
            assert!((low..=high).contains(&length), "{length}");
        }
        let (mut standings, mut jitter) = (Standings::default(), Random::new(2));
        standings.refuse(KEY, false, told(0), &mut jitter, 0);
        assert_eq!(standings.gate(KEY, 0), Gate::Open);
        assert!(standings.begin(KEY), "at once, but one at a time");
    }

    #[test]
    fn a_new_tenant_of_the_slot_inherits_nothing() {
        let (mut standings, mut jitter) = (Standings::default(), Random::new(3));
        standings.refuse(KEY, false, Term::default(), &mut jitter, 0);
        let tenant = PairKey {
            generation: 1,
            ..KEY
        };
        assert_eq!(standings.gate(tenant, 0), Gate::Open);
        assert!(!standings.begin(tenant));
    }

    #[test]
    fn memory_is_bounded_and_old_standings_are_forgotten() {
        let (mut standings, mut jitter) = (Standings::default(), Random::new(4));
        for host in 0..(MOST as u32 + 1000) {
            let term = Term::default();
            standings.refuse(PairKey { host, ..KEY }, false, term, &mut jitter, 0);
        }
        assert_eq!(standings.pairs.len(), MOST);
        assert_eq!(standings.cooling() as usize, MOST);
        standings.expire(3 * MEMORY);
        assert_eq!((standings.pairs.len(), standings.cooling()), (0, 0));
        assert_eq!((standings.ends.len(), standings.forgets.len()), (0, 0));
    }

    #[test]
    fn a_ban_of_a_pair_in_good_standing_takes_as_long_as_the_host_is_known_to_ban() {
        let (mut standings, mut jitter) = (Standings::default(), Random::new(5));
        let term = Term {
            learned: Some(60 * SECOND),
            ..Term::default()
        };
        standings.refuse(KEY, false, term, &mut jitter, 0);
        let now = standings.next_end().unwrap();
        standings.expire(now);
        assert!(
            (60.0..=66.0).contains(&(now as f64 / SECOND as f64)),
            "{now}"
        );
        let trial = standings.begin(KEY);
        assert_eq!(standings.lasted(KEY, trial, now), Some(now));
        standings.refuse(KEY, trial, term, &mut jitter, now);
        standings.end_trial(KEY);
        let later = standings.next_end().unwrap();
        standings.expire(later);
        assert!(standings.begin(KEY));
        assert_eq!(standings.clear(KEY, later), Some(later));
        assert!(!standings.is_banned(KEY));
    }

    #[test]
    fn a_pardon_is_for_all_pairs_of_one_host() {
        let (mut standings, mut jitter) = (Standings::default(), Random::new(6));
        let other = PairKey { host: 3, ..KEY };
        for key in [KEY, other] {
            standings.refuse(key, false, Term::default(), &mut jitter, 0);
        }
        standings.pardon(2);
        assert_eq!(standings.gate(KEY, 1), Gate::Open);
        assert_ne!(standings.gate(other, 1), Gate::Open);
        assert_eq!(standings.cooling(), 1);
    }
}
