//! Which tier of the list serves a host: the cheapest one, until bans prove that it does not.
//!
//! A list may have proxies that cost little and are banned here and there, and others that cost much and are not. Every host begins
//! at the lowest tier that has members. It rises when several exits of its tier in a row were banned there, and hardly any was
//! served lately, or when all that are READY rest from it after bans. Dead proxies, errors of the host and limits on everybody say
//! nothing about a tier. A host that bans the highest tier as well bans this client, and money does not help: it goes back down.
//! From a higher tier a request tries the one below now and then, at growing distances; three that are served bring the host back.
//!
//! A job with a label filter has said what it wants and is left alone. Members of a tier are listed as those of a filter are.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::clock::{Micros, SECOND};
use super::hash::Mixing;
use super::lease::{Ask, HostIdx, ProxyIdx, RefusalReason};
use super::memory::RememberedTier;
use super::roster::Roster;
use super::rotating::EXITS;
use super::select::Refused;
use super::{Pool, Random};
use crate::job::HostKey;
use crate::proxy::HIGHEST_TIER;

/// Number of tiers.
const TIERS: usize = HIGHEST_TIER as usize + 1;
/// Distinct exits in a row that have to be banned; fewer if the tier has fewer.
const BANNED: usize = 4;
/// Share of recent answers of the tier that were served, above which it is worth staying.
const SERVES: f32 = 0.25;
/// What is left of the weight of an answer at the next one: some twenty count.
const FADE: f32 = 0.95;
/// Exits of the tier below that have to be served for a host to come back to it.
const SERVED: usize = 3;
/// Requests and time until the tier below is tried, at first; both double with each ban.
const REQUESTS: u32 = 20;
const DISTANCE: Micros = 30 * SECOND;
/// Doublings at most: 40 minutes, and one request in 1,280.
const DOUBLINGS: u8 = 6;
/// A host that bans all tiers is not tried higher again for so long.
const WALLED: Micros = 600 * SECOND;
/// So long a tier without a member that is READY or may be is waited for, before another one serves.
const PATIENCE: Micros = 10 * SECOND;
/// Hosts remembered before those at the lowest tier are forgotten.
const MOST: usize = 4096;

/// Where a host stands.
#[derive(Debug, Clone)]
struct Ladder {
    tier: u8,
    /// Distinct exits of its tier banned since the last one that was served.
    row: Vec<u32>,
    /// Recent answers of its tier.
    served: f32,
    banned: f32,
    /// Exits that were banned when it rose.
    exits: u8,
    /// Requests since it rose, or since the last trial.
    requests: u32,
    next_trial: Micros,
    doublings: u8,
    /// Exits of the tier below that were served in trials.
    trials: Vec<u32>,
    walled_until: Option<Micros>,
    /// A change that no snapshot has told of.
    is_news: bool,
}

impl Ladder {
    fn at(tier: u8) -> Self {
        Ladder {
            tier,
            row: Vec::new(),
            served: 0.0,
            banned: 0.0,
            exits: 0,
            requests: 0,
            next_trial: 0,
            doublings: 0,
            trials: Vec::new(),
            walled_until: None,
            is_news: false,
        }
    }

    fn step_to(&mut self, tier: u8, now: Micros) {
        let doublings = if tier > self.tier { self.doublings } else { 0 };
        *self = Ladder {
            exits: self.row.len() as u8,
            next_trial: now + (DISTANCE << doublings),
            doublings,
            is_news: true,
            ..Ladder::at(tier)
        };
    }

    /// True when a request of this host may try the tier below now.
    fn is_due(&self, now: Micros) -> bool {
        self.requests >= REQUESTS << self.doublings && now >= self.next_trial
    }

    /// True when next to none of the recent answers was served.
    fn is_hostile(&self) -> bool {
        self.served <= SERVES * (self.served + self.banned)
    }
}

/// What the pool knows of tiers.
#[derive(Debug, Default)]
pub(super) struct Tiers {
    /// Exits of each.
    members: [u32; TIERS],
    ladders: HashMap<u32, Ladder, Mixing>,
    /// Since when a tier has had nobody who is READY or may be.
    empty_since: [Option<Micros>; TIERS],
}

impl Tiers {
    /// Counts the members. To be called when the list has changed.
    pub(super) fn count(&mut self, roster: &Roster) {
        self.members = [0; TIERS];
        for slot in roster.slots.iter().filter(|slot| slot.is_member()) {
            let tier = slot.proxy.labels().tier.min(HIGHEST_TIER);
            self.members[usize::from(tier)] += if slot.is_rotating() { EXITS } else { 1 };
        }
    }

    fn has(&self, tier: u8) -> bool {
        self.members[usize::from(tier)] > 0
    }

    /// True when there is more than one: else nothing is ever looked up here.
    pub(super) fn are_used(&self) -> bool {
        self.members.iter().filter(|count| **count > 0).count() > 1
    }

    fn lowest(&self) -> u8 {
        (0..=HIGHEST_TIER).find(|tier| self.has(*tier)).unwrap_or(0)
    }

    fn above(&self, tier: u8) -> Option<u8> {
        (tier + 1..=HIGHEST_TIER).find(|tier| self.has(*tier))
    }

    fn below(&self, tier: u8) -> Option<u8> {
        (0..tier).rev().find(|tier| self.has(*tier))
    }

    /// Where a host is served from. The list may have lost the tier it was at.
    fn of(&self, host: u32) -> u8 {
        let tier = self.ladders.get(&host).map_or(0, |ladder| ladder.tier);
        if self.has(tier) {
            return tier;
        }
        self.above(tier).or(self.below(tier)).unwrap_or(tier)
    }

    fn ladder(&mut self, host: u32) -> &mut Ladder {
        let lowest = self.lowest();
        if self.ladders.len() >= MOST && !self.ladders.contains_key(&host) {
            self.ladders.retain(|_, ladder| ladder.tier > lowest);
        }
        self.ladders
            .entry(host)
            .or_insert_with(|| Ladder::at(lowest))
    }

    /// The tier for the next request to `host`.
    pub(super) fn next(&mut self, host: u32, now: Micros) -> u8 {
        let tier = self.of(host);
        let below = self.below(tier);
        if let (Some(ladder), Some(below)) = (self.ladders.get_mut(&host), below) {
            ladder.requests = ladder.requests.saturating_add(1);
            if ladder.is_due(now) {
                ladder.requests = 0;
                return below;
            }
        }
        tier
    }

    /// Another tier for a request that `tier` has nobody for now; `tried` are those it has asked.
    fn instead(
        &mut self,
        host: u32,
        (tier, tried): (u8, u8),
        refused: &Refused,
        now: Micros,
    ) -> Option<u8> {
        let own = self.of(host);
        if tier < own && tried & (1 << own) == 0 {
            // There is nobody to make the trial with.
            return Some(own);
        }
        let empty = &mut self.empty_since[usize::from(tier)];
        match refused.0 {
            RefusalReason::AllCooling => {
                let ladder = self.ladders.get(&host)?;
                let proven = tier == own && !ladder.row.is_empty() && ladder.is_hostile();
                if !proven || ladder.walled_until.is_some_and(|until| now < until) {
                    return None;
                }
                self.rise(host, now)
            }
            RefusalReason::NoneReady | RefusalReason::Incapable if refused.3 => {
                let since = *empty.get_or_insert(now);
                if now < since + PATIENCE {
                    return None;
                }
                let untried = |tier: &u8| self.has(*tier) && tried & (1 << tier) == 0;
                let up = (tier..=HIGHEST_TIER).find(untried);
                up.or_else(|| (0..tier).rev().find(untried))
            }
            _ => {
                *empty = None;
                None
            }
        }
    }

    /// One tier up, or back to the lowest when the highest does not help either.
    fn rise(&mut self, host: u32, now: Micros) -> Option<u8> {
        let tier = self.of(host);
        let (above, lowest) = (self.above(tier), self.lowest());
        let ladder = self.ladder(host);
        match above {
            Some(above) => ladder.step_to(above, now),
            None if tier > lowest && ladder.served == 0.0 => {
                ladder.step_to(lowest, now);
                ladder.walled_until = Some(now + WALLED);
                return None;
            }
            None => return None,
        }
        above
    }

    /// A host has answered an exit of `tier`: served it, or banned it.
    fn judge(&mut self, host: u32, exit: u32, tier: u8, served: bool, now: Micros) {
        let own = self.of(host);
        let members = self.members[usize::from(tier.min(HIGHEST_TIER))] as usize;
        let ladder = self.ladder(host);
        if tier < own {
            if !served {
                ladder.trials.clear();
                ladder.doublings = (ladder.doublings + 1).min(DOUBLINGS);
                ladder.next_trial = now + (DISTANCE << ladder.doublings);
                return;
            }
            if !ladder.trials.contains(&exit) {
                ladder.trials.push(exit);
            }
            if ladder.trials.len() >= SERVED.min(members) {
                ladder.row.clear();
                ladder.step_to(tier, now);
            } else {
                // The next one at once: it is on the way down.
                ladder.requests = u32::MAX;
                ladder.next_trial = now;
            }
            return;
        }
        if tier > own {
            return;
        }
        ladder.served = FADE * ladder.served + f32::from(u8::from(served));
        ladder.banned = FADE * ladder.banned + f32::from(u8::from(!served));
        if served {
            ladder.row.clear();
            ladder.walled_until = None;
            return;
        }
        if ladder.row.len() < usize::from(u8::MAX) && !ladder.row.contains(&exit) {
            ladder.row.push(exit);
        }
        let walled = ladder.walled_until.is_some_and(|until| now < until);
        if !walled && ladder.row.len() >= BANNED.min(members) && ladder.is_hostile() {
            self.rise(host, now);
        }
    }

    /// What has changed since the last snapshot.
    pub(super) fn news(&mut self) -> Vec<(u32, u8, u8)> {
        let mut news = Vec::new();
        for (host, ladder) in &mut self.ladders {
            if std::mem::take(&mut ladder.is_news) {
                news.push((*host, ladder.tier, ladder.exits));
            }
        }
        news
    }

    pub(super) fn recall(&mut self, host: u32, told: &RememberedTier) {
        let ladder = self.ladder(host);
        *ladder = Ladder::at(told.tier.min(HIGHEST_TIER));
        ladder.exits = told.exits;
    }
}

impl Pool {
    /// True when the list has proxies of more than one tier.
    pub fn has_tiers(&self) -> bool {
        self.tiers.are_used()
    }

    /// The tier that serves a host now.
    pub fn tier(&self, host: HostIdx) -> u8 {
        self.tiers.of(host.0)
    }

    /// True when a host was found to ban all tiers.
    pub fn is_walled(&self, host: HostIdx, now: Instant) -> bool {
        let now = self.clock.micros(now);
        let ladder = self.tiers.ladders.get(&host.0);
        ladder.is_some_and(|ladder| ladder.walled_until.is_some_and(|until| now < until))
    }

    /// Tells that a host has served or banned an exit of this tier. Other ends of attempts say nothing about tiers.
    pub fn judge_tier(&mut self, host: HostIdx, exit: u32, tier: u8, served: bool, now: Instant) {
        if self.tiers.are_used() {
            let now = self.clock.micros(now);
            self.tiers.judge(host.0, exit, tier, served, now);
        }
    }

    /// Chooses among the members of the tier that serves the host.
    pub(super) fn choose_by_tier(
        &mut self,
        ask: &Ask<'_>,
        now: Micros,
        random: &mut Random,
        admit: &mut dyn FnMut(ProxyIdx) -> bool,
    ) -> Result<u32, (Refused, usize)> {
        let host = ask.host.0;
        let mut tier = self.tiers.next(host, now);
        let mut tried = 0;
        loop {
            tried |= 1 << tier;
            let view = self.filters.tier(tier, &self.roster);
            match self.choose(ask, Some(view), now, random.split(), admit) {
                Ok(at) => {
                    self.tiers.empty_since[usize::from(tier)] = None;
                    return Ok(at);
                }
                Err(refused) => match self.tiers.instead(host, (tier, tried), &refused, now) {
                    Some(other) if tried & (1 << other) == 0 => tier = other,
                    _ => return Err((refused, view)),
                },
            }
        }
    }

    /// Tiers of hosts that have changed since the last snapshot.
    pub(super) fn tier_news(
        &mut self,
        host: &dyn Fn(HostIdx) -> Option<HostKey>,
    ) -> Vec<RememberedTier> {
        let news = self.tiers.news().into_iter();
        news.filter_map(|(number, tier, exits)| {
            Some(RememberedTier {
                host: host(HostIdx(number))?,
                tier,
                exits,
                age: Duration::ZERO,
            })
        })
        .collect()
    }
}
