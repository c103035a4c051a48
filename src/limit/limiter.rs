//! The four limits as one question: may this request go now, and if not, when and because of what?

mod memory;
mod places;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::places::Places;
use super::cell::Cell;
use super::host_clock::HostClock;
use super::wire::Wire;
use super::{Quota, Settings};
use crate::job::HostKey;

pub use memory::Standing;

/// Cells of pairs and proxies kept before idle ones are swept; bounds memory on long runs.
const SWEEP_AT: usize = 20_000;
/// When a host has all that it may have at once, this is a good time to ask again.
const FULL_WAIT: Duration = Duration::from_millis(100);

/// Which limit refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `--rate`.
    Global,
    /// `--host-rate`.
    Host,
    /// `--host-concurrency`, counting what redirects led there.
    Full,
    /// `--delay`, or what the host wants between two requests.
    Delay,
    /// The host asked to wait.
    HostClock,
    /// `--proxy-rate` or `--pair-rate`.
    Proxy,
}

/// Not now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Earliest time worth asking again.
    pub until: Instant,
    /// Who refused.
    pub limit: Limit,
}

/// All clocks of the run. Hosts and proxies are numbers here; [`Limiter::number`] gives a host its number.
#[derive(Debug)]
pub struct Limiter {
    settings: Settings,
    numbers: HashMap<HostKey, u32, RandomState>,
    next_number: u32,
    global: Cell,
    hosts: HashMap<u32, Host, RandomState>,
    proxies: HashMap<u32, Lane, RandomState>,
    pairs: HashMap<(u32, u32), Lane, RandomState>,
    /// All requests as they were written.
    written: Wire,
    /// Numbers given out at which the next [`Limiter::forget_others`] looks.
    sweep_at: usize,
    /// Pairs and proxies known at which idle ones are forgotten.
    sweep_lanes_at: usize,
    rng: StdRng,
}

/// What one quota has let pass: as it was dispatched, and as it was written.
#[derive(Debug, Default)]
struct Lane {
    cell: Cell,
    written: Wire,
}

impl Lane {
    fn is_idle(&self, quota: Option<Quota>, now: Instant) -> bool {
        self.cell.is_idle(now) && self.written.is_idle(quota, now)
    }
}

#[derive(Debug, Default)]
struct Host {
    lane: Lane,
    delayed_until: Option<Instant>,
    /// What the host wants between two requests, beside `--delay`.
    spacing: Duration,
    clock: HostClock,
    /// Handshakes of probes, which reach the host as requests do, at the host's own pace.
    handshakes: Cell,
    /// Handshakes of probes under way.
    shaking: u32,
    places: Places,
}

impl Limiter {
    /// Clocks for these settings, all at rest. `seed` drives the jitter.
    pub fn new(settings: Settings, seed: u64) -> Self {
        Limiter {
            settings,
            numbers: HashMap::default(),
            next_number: 0,
            global: Cell::default(),
            hosts: HashMap::default(),
            proxies: HashMap::default(),
            pairs: HashMap::default(),
            written: Wire::default(),
            sweep_at: SWEEP_AT,
            sweep_lanes_at: SWEEP_AT,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// The number of `key` in this run. Numbers are never given twice.
    pub fn number(&mut self, key: &HostKey) -> u32 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.numbers.insert(key.clone(), number);
        number
    }

    /// May any request go to `host` now, whatever the proxy? Charges nothing.
    pub fn check_host(&self, host: u32, now: Instant) -> Result<(), Wait> {
        self.check_clocks(host, now)?;
        self.check_place(host, true, now)
    }

    fn check_clocks(&self, host: u32, now: Instant) -> Result<(), Wait> {
        let mut wait = Earliest { now, wait: None };
        wait.consider(self.global.ready_at(), Limit::Global);
        if let Some(host) = self.hosts.get(&host) {
            wait.consider(host.lane.cell.ready_at(), Limit::Host);
            wait.consider(host.delayed_until, Limit::Delay);
            wait.consider(host.clock.ready_at(now), Limit::HostClock);
        }
        wait.answer()
    }

    /// May a request go to `host` through `proxy` now, as far as the proxy is concerned? Charges nothing.
    pub fn check_proxy(&self, host: u32, proxy: u32, now: Instant) -> Result<(), Wait> {
        let mut wait = Earliest { now, wait: None };
        if self.settings.proxy_rate.is_some() {
            wait.consider(
                self.proxies
                    .get(&proxy)
                    .and_then(|lane| lane.cell.ready_at()),
                Limit::Proxy,
            );
        }
        if self.settings.pair_rate.is_some() {
            wait.consider(
                self.pairs
                    .get(&(host, proxy))
                    .and_then(|lane| lane.cell.ready_at()),
                Limit::Proxy,
            );
        }
        wait.answer()
    }

    /// Takes a request that both checks admitted. Where the number of requests at once has a bound, to be ended with
    /// [`Limiter::left`].
    pub fn charge(&mut self, host: u32, proxy: u32, now: Instant) {
        self.take_place(host);
        let Settings {
            rate,
            host_rate,
            proxy_rate,
            pair_rate,
            delay,
            jitter,
            ..
        } = &self.settings;
        if let Some(rate) = rate {
            self.global.charge(now, rate.interval());
        }
        let asked = self.hosts.get(&host).map(|host| host.spacing);
        let delay = delay.max(&asked.unwrap_or_default()).to_owned();
        if host_rate.is_some() || !delay.is_zero() {
            let entry = self.hosts.entry(host).or_default();
            if let Some(rate) = host_rate {
                entry.lane.cell.charge(now, rate.interval());
            }
            if !delay.is_zero() {
                let stretch = 1.0 + jitter.clamp(0.0, 1.0) * self.rng.random::<f64>();
                entry.delayed_until = Some(now + delay.mul_f64(stretch));
            }
        }
        if let Some(host) = self.hosts.get_mut(&host) {
            host.clock.charge(now);
        }
        charge_in(&mut self.proxies, proxy, *proxy_rate, now);
        charge_in(&mut self.pairs, (host, proxy), *pair_rate, now);
        if self.pairs.len() + self.proxies.len() > self.sweep_lanes_at {
            let (pair_rate, proxy_rate) = (*pair_rate, *proxy_rate);
            self.pairs.retain(|_, lane| !lane.is_idle(pair_rate, now));
            self.proxies
                .retain(|_, lane| !lane.is_idle(proxy_rate, now));
            // Amortised: those that are left may be in use for long.
            self.sweep_lanes_at = ((self.pairs.len() + self.proxies.len()) * 2).max(SWEEP_AT);
        }
    }

    /// From now on `host` has requests at least `spacing` apart; the last one is taken to have been made `now`.
    pub fn space_out(&mut self, host: u32, spacing: Duration, now: Instant) {
        let entry = self.hosts.entry(host).or_default();
        entry.spacing = spacing;
        entry.delayed_until = entry.delayed_until.max(Some(now + spacing));
    }

    /// True when requests have to ask [`Limiter::write`] at all.
    pub fn paces_writing(&self) -> bool {
        let Settings {
            rate,
            host_rate,
            proxy_rate,
            pair_rate,
            ..
        } = &self.settings;
        [rate, host_rate, proxy_rate, pair_rate]
            .into_iter()
            .any(Option::is_some)
    }

    /// Asked right before a request is written, however long ago it was charged; takes note of it when it may be. The error is
    /// the time to ask again.
    ///
    /// # Errors
    /// So many have been written within the last second that one more would exceed a rate.
    pub fn write(&mut self, host: u32, proxy: u32, now: Instant) -> Result<(), Instant> {
        let Settings {
            rate,
            host_rate,
            proxy_rate,
            pair_rate,
            ..
        } = self.settings;
        let mut wires: [Option<(Quota, &mut Wire)>; 4] = [
            rate.map(|quota| (quota, &mut self.written)),
            host_rate.map(|quota| {
                let host = self.hosts.entry(host).or_default();
                (quota, &mut host.lane.written)
            }),
            proxy_rate.map(|quota| {
                let lane = self.proxies.entry(proxy).or_default();
                (quota, &mut lane.written)
            }),
            pair_rate.map(|quota| {
                let lane = self.pairs.entry((host, proxy)).or_default();
                (quota, &mut lane.written)
            }),
        ];
        let ready = wires
            .iter()
            .flatten()
            .filter_map(|(quota, wire)| wire.ready_at(*quota))
            .max();
        if let Some(ready) = ready.filter(|ready| *ready > now) {
            return Err(ready);
        }
        for (quota, wire) in wires.iter_mut().flatten() {
            wire.note(*quota, now);
        }
        Ok(())
    }

    /// True when probes may not make handshakes with `host` as they like.
    pub fn limits_handshakes(&self, host: u32, now: Instant) -> bool {
        let Settings {
            host_rate,
            host_concurrency,
            delay,
            ..
        } = &self.settings;
        let asks = |host: &Host| !host.spacing.is_zero() || host.clock.blocked_until(now).is_some();
        host_rate.is_some()
            || host_concurrency.is_some()
            || !delay.is_zero()
            || self.hosts.get(&host).is_some_and(asks)
    }

    /// Takes one handshake of a probe, which makes the proxy connect to `host`. They keep the pace of the host beside its
    /// requests: were they to share one clock, every tunnel would be paid for twice. To be ended with
    /// [`Limiter::end_handshake`].
    ///
    /// # Errors
    /// Not now: the host's rate, its concurrency or its own wish.
    pub fn take_handshake(&mut self, host: u32, now: Instant) -> Result<(), Wait> {
        let most = self.settings.host_concurrency;
        let entry = self.hosts.entry(host).or_default();
        let mut wait = Earliest { now, wait: None };
        wait.consider(entry.clock.blocked_until(now), Limit::HostClock);
        wait.consider(entry.handshakes.ready_at(), Limit::Host);
        if most.is_some_and(|most| entry.shaking >= most.get()) {
            wait.consider(Some(now + FULL_WAIT), Limit::Host);
        }
        wait.answer()?;
        entry.shaking += 1;
        let rate = self.settings.host_rate.map(Quota::interval);
        let delay = self.settings.delay.max(entry.spacing);
        let interval = rate.unwrap_or_default().max(delay);
        if !interval.is_zero() {
            entry.handshakes.charge(now, interval);
        }
        Ok(())
    }

    /// A handshake that [`Limiter::take_handshake`] admitted is over.
    pub fn end_handshake(&mut self, host: u32) {
        if let Some(host) = self.hosts.get_mut(&host) {
            host.shaking = host.shaking.saturating_sub(1);
        }
    }

    /// The clock of a host.
    pub fn clock(&mut self, host: u32) -> &mut HostClock {
        &mut self.hosts.entry(host).or_default().clock
    }

    /// See [`HostClock::window`].
    pub fn window(&self, host: u32) -> Option<u32> {
        self.hosts.get(&host)?.clock.window()
    }

    /// See [`HostClock::out_since`].
    pub fn out_since(&self, host: u32) -> Option<Instant> {
        self.hosts.get(&host)?.clock.out_since()
    }

    /// See [`HostClock::is_lost`].
    pub fn is_lost(&self, host: u32, now: Instant) -> bool {
        let host = self.hosts.get(&host);
        host.is_some_and(|host| host.clock.is_lost(now))
    }

    /// True when the host has asked everybody to wait.
    pub fn is_asked_to_wait(&self, host: u32, now: Instant) -> bool {
        let host = self.hosts.get(&host);
        host.is_some_and(|host| host.clock.blocked_until(now).is_some())
    }

    /// See [`HostClock::answered`]. Costs a look-up only for hosts that have a clock.
    pub fn answered(&mut self, host: u32, proxy: u32, now: Instant) -> bool {
        let host = self.hosts.get_mut(&host);
        host.is_some_and(|host| host.clock.answered(proxy, now))
    }

    /// See [`HostClock::served`]. Costs a look-up only for hosts that have a clock.
    pub fn served(&mut self, host: u32, now: Instant) {
        if let Some(host) = self.hosts.get_mut(&host) {
            host.clock.served(now);
        }
    }

    /// Drops what is known of `host` if it is at rest; true when it is gone.
    pub fn forget_host(&mut self, host: u32, key: &HostKey, now: Instant) -> bool {
        let at_rest = self.hosts.get(&host).is_none_or(|host| {
            host.lane.is_idle(self.settings.host_rate, now)
                && host.handshakes.is_idle(now)
                && host.shaking == 0
                && host.places == Places::default()
                && host.delayed_until.is_none_or(|until| until < now)
                && host.clock.is_idle(now)
        });
        if at_rest {
            self.hosts.remove(&host);
            self.numbers.remove(key);
        }
        at_rest
    }

    /// Drops the hosts that are at rest and not `wanted`, once very many are known.
    pub fn forget_others(&mut self, wanted: impl Fn(u32) -> bool, now: Instant) {
        if self.numbers.len() < self.sweep_at {
            return;
        }
        let known = self.numbers.iter();
        let others = known.filter(|(_, number)| !wanted(**number));
        let others: Vec<_> = others.map(|(key, number)| (key.clone(), *number)).collect();
        for (key, number) in others {
            self.forget_host(number, &key, now);
        }
        // Amortised: the next look comes when as many again have been seen.
        self.sweep_at = (self.numbers.len() * 2).max(SWEEP_AT);
    }
}

fn charge_in<K: std::hash::Hash + Eq>(
    lanes: &mut HashMap<K, Lane, RandomState>,
    key: K,
    quota: Option<Quota>,
    now: Instant,
) {
    if let Some(quota) = quota {
        let lane = lanes.entry(key).or_default();
        lane.cell.charge(now, quota.interval());
    }
}

/// The latest of the times that have to pass.
struct Earliest {
    now: Instant,
    wait: Option<Wait>,
}

impl Earliest {
    fn consider(&mut self, until: Option<Instant>, limit: Limit) {
        let Some(until) = until.filter(|until| *until > self.now) else {
            return;
        };
        if self.wait.is_none_or(|wait| wait.until < until) {
            self.wait = Some(Wait { until, limit });
        }
    }

    fn answer(self) -> Result<(), Wait> {
        self.wait.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Limiter {
        /// Checks all four limits and charges them if they admit.
        fn take(&mut self, host: u32, proxy: u32, now: Instant) -> Result<(), Wait> {
            self.check_host(host, now)?;
            self.check_proxy(host, proxy, now)?;
            self.charge(host, proxy, now);
            Ok(())
        }
    }

    /// Greatest number of instants within any half-open window of `width`.
    fn densest(times: &[Instant], width: Duration) -> usize {
        (0..times.len())
            .map(|i| {
                times[i..]
                    .iter()
                    .take_while(|t| **t < times[i] + width)
                    .count()
            })
            .max()
            .unwrap_or(0)
    }

    proptest! {
        /// However requests arrive, no window of one second holds more than any of the four rates.
        #[test]
        fn no_second_holds_more_than_any_of_the_four_rates(
            steps in prop::collection::vec((0u64..40, 0u32..3, 0u32..4, 0u64..800), 50..400),
        ) {
            let quota = |text: &str| Some(text.parse::<Quota>().unwrap());
            let mut limiter = Limiter::new(Settings {
                rate: quota("50/s"),
                host_rate: quota("20/s"),
                proxy_rate: quota("10/s"),
                pair_rate: quota("4/s"),
                ..Settings::default()
            }, 1);
            #[expect(clippy::disallowed_methods, reason = "any instant will do as the zero of the test")]
            let mut now = Instant::now();
            let mut sent: Vec<(Instant, u32, u32)> = Vec::new();
            let mut opening: Vec<(Instant, u32, u32)> = Vec::new();
            for (step, host, proxy, opens_in) in steps {
                now += Duration::from_millis(step);
                match limiter.take(host, proxy, now) {
                    Ok(()) => {
                        sent.push((now, host, proxy));
                        opening.push((now + Duration::from_millis(opens_in), host, proxy));
                    }
                    Err(wait) => prop_assert!(wait.until > now),
                }
            }
            // However long connections take to open, what is written keeps the rates as well.
            let mut written: Vec<(Instant, u32, u32)> = Vec::new();
            while !opening.is_empty() {
                opening.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
                let (at, host, proxy) = opening.pop().unwrap();
                match limiter.write(host, proxy, at) {
                    Ok(()) => written.push((at, host, proxy)),
                    Err(until) => {
                        prop_assert!(until > at);
                        opening.push((until, host, proxy));
                    }
                }
            }
            prop_assert_eq!(written.len(), sent.len());
            let second = Duration::from_secs(1);
            for sent in [&sent, &written] {
                let times = |keep: &dyn Fn(u32, u32) -> bool| -> Vec<Instant> {
                    sent.iter().filter(|(_, h, p)| keep(*h, *p)).map(|(t, ..)| *t).collect()
                };
                prop_assert!(densest(&times(&|_, _| true), second) <= 50);
                for host in 0..3 {
                    prop_assert!(densest(&times(&|h, _| h == host), second) <= 20);
                    for proxy in 0..4 {
                        prop_assert!(densest(&times(&|h, p| h == host && p == proxy), second) <= 4);
                    }
                }
                for proxy in 0..4 {
                    prop_assert!(densest(&times(&|_, p| p == proxy), second) <= 10);
                }
            }
        }
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do as the zero of the test"
    )]
    fn a_binding_rate_is_reached_within_five_percent_though_timers_are_late() {
        let mut limiter = Limiter::new(
            Settings {
                rate: Some("50/s".parse().unwrap()),
                ..Settings::default()
            },
            1,
        );
        let start = Instant::now();
        let mut now = start;
        let mut sent = 0;
        while now < start + Duration::from_secs(60) {
            match limiter.take(0, 0, now) {
                // A connection is there already: writing never has to wait.
                Ok(()) => {
                    limiter.write(0, 0, now).unwrap();
                    sent += 1;
                }
                Err(wait) => now = wait.until + Duration::from_millis(2),
            }
        }
        assert!((2850..=3000).contains(&sent), "{sent} in 60 s at 50/s");
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do as the zero of the test"
    )]
    fn hosts_that_only_redirects_led_to_are_forgotten() {
        let mut limiter = Limiter::new(Settings::default(), 1);
        let now = Instant::now();
        for n in 0..SWEEP_AT {
            let host = format!("h{n}.test").into();
            let number = limiter.number(&HostKey {
                https: false,
                host,
                port: 80,
            });
            // One refusal is remembered for a while, not for good.
            limiter.clock(number).refused(1, None, now, now, 100);
        }
        limiter.forget_others(|number| number == 7, now);
        assert_eq!(limiter.numbers.len(), SWEEP_AT);
        limiter.sweep_at = SWEEP_AT;
        limiter.forget_others(|number| number == 7, now + Duration::from_secs(60));
        assert_eq!((limiter.numbers.len(), limiter.hosts.len()), (1, 1));
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do as the zero of the test"
    )]
    fn a_refusal_by_one_limit_costs_the_others_nothing() {
        let mut limiter = Limiter::new(
            Settings {
                rate: Some("1/s".parse().unwrap()),
                pair_rate: Some("1/h".parse().unwrap()),
                ..Settings::default()
            },
            1,
        );
        let now = Instant::now();
        limiter.take(0, 0, now).unwrap();
        let later = now + Duration::from_secs(2);
        assert_eq!(limiter.take(0, 0, later).unwrap_err().limit, Limit::Proxy);
        limiter.take(0, 1, later).unwrap();
    }
}
