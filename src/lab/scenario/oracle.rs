//! What the job would take if the truth were known.
//!
//! The oracle knows every proxy's sort, whether it is up, its median times, its bans and what its hosts have counted; of an
//! answer it knows neither the noise nor whether it will be a reset, and tails, which nobody can foresee, are left out. It is greedy
//! without foresight, so a ratio to it can be a little below 1.

use std::time::Duration;

use super::expect::Figures;
use super::format::Scenario;
use super::play::{Ask, Choice, Chooser, play_in};
use super::world::{Fate, World};

/// Where medians change, how often the oracle sorts its proxies again.
const SORT_AGAIN: Duration = Duration::from_secs(1);
/// When nobody can be used it looks again after this: bans end and proxies come back without anybody saying so.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Proxies that answer in more than this are not used near the end.
const SLOW_S: f64 = 3.0;

/// The oracle's run of a scenario in the world of this seed.
pub fn oracle(scenario: &Scenario, seed: u64) -> Figures {
    let mut world = World::new(scenario, seed).without_tails();
    let proxies = scenario.proxies.get() as usize;
    let mut oracle = Oracle {
        fastest: (0..proxies).filter(|proxy| world.serves(*proxy)).collect(),
        sorted_at: Duration::ZERO,
        redraws: scenario.groups.iter().any(|group| group.redraw_s.is_some()),
    };
    oracle.sort(&mut world, Duration::ZERO);
    play_in(world, &mut oracle)
}

struct Oracle {
    /// Those that serve, quickest first.
    fastest: Vec<usize>,
    sorted_at: Duration,
    redraws: bool,
}

impl Oracle {
    fn sort(&mut self, world: &mut World, now: Duration) {
        self.sorted_at = now;
        let now_s = now.as_secs_f64();
        self.fastest.sort_by_cached_key(|proxy| {
            Duration::try_from_secs_f64(world.expected_s(*proxy, now_s)).unwrap_or(Duration::MAX)
        });
    }

    /// Until when nobody can do anything for this host.
    fn closed_until(ask: &Ask, world: &mut World) -> Option<Duration> {
        let now_s = ask.now.as_secs_f64();
        let outage = world
            .outage_until(ask.host, now_s)
            .or_else(|| world.network_outage_until(now_s));
        if let Some(until_s) = outage {
            return Some(Duration::from_secs_f64(until_s));
        }
        let limit = world.scenario().hosts[ask.host].limit?;
        if world.tokens(ask.host, now_s) >= 1.0 {
            return None;
        }
        Some(ask.now + Duration::from_secs_f64(1.0 / limit.per_second.get()))
    }
}

impl Chooser for Oracle {
    fn choose(&mut self, ask: &Ask, world: &mut World) -> Choice {
        if self.redraws && ask.now > self.sorted_at + SORT_AGAIN {
            self.sort(world, ask.now);
        }
        if let Some(until) = Self::closed_until(ask, world) {
            return Choice::Wait(Some(until));
        }
        let now_s = ask.now.as_secs_f64();
        let scenario = world.scenario();
        let most = scenario.proxy_concurrency.get();
        let quota = scenario.hosts[ask.host].ban.map(|rule| rule.requests.get());
        let rounds_left = ask.waiting as f64 / f64::from(scenario.concurrency.get());
        for proxy in self.fastest.iter().copied() {
            let in_flight = world.in_flight(proxy);
            if in_flight >= most || f64::from(in_flight) + 1.0 > world.capacity(proxy) {
                continue;
            }
            if !world.is_alive(proxy, now_s) {
                continue;
            }
            let answer_s = world.answer_s(proxy);
            if answer_s > SLOW_S && rounds_left < answer_s * 2.0 {
                break;
            }
            if world.is_banned(proxy, ask.host, now_s)
                || quota.is_some_and(|quota| world.recent(proxy, ask.host, now_s) >= quota)
            {
                continue;
            }
            return Choice::Use(proxy);
        }
        Choice::Wait(Some(ask.now + LOOK_AGAIN))
    }

    fn ended(&mut self, _proxy: usize, _now: Duration, _fate: &Fate) {}
}
