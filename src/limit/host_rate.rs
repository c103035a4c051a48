//! The rate of a host that limits all proxies together, found out from its refusals.
//!
//! It begins below what went well, grows until the first refusal, and from then on knows about where the limit is: it comes
//! back to just below it quickly, and creeps past it slowly. A rate that is not used does not grow, because nobody has tested
//! it; and no refusal of a request that was sent before the last step down moves it again. Refusals that come
//! whatever the rate is, of one page in five for instance, would bring it down without end; so while the host serves most of what it
//! is asked, it does not fall below a quarter of where it began. Refusals of everybody, however slowly they ask, are no matter of the rate
//! either: when the host serves again after many of those in a row, it is back after a few answers at what it had served before, unless that was
//! too much once. The figures are those with which a
//! simulated host of 40 requests a second, which shuts everybody out for five seconds when it is exceeded, was used to four
//! fifths with fifteen refusals in a thousand.

use std::time::{Duration, Instant};

/// Share of the successes per second so far with which it begins.
const BEGIN: f64 = 0.8;
/// What is left of the rate after a refusal.
const STEP_DOWN: f64 = 0.85;
/// Refusals within this time of a step down are of the same excess.
const TOGETHER: Duration = Duration::from_secs(1);
/// Growth per second before the first refusal.
const SEARCH: f64 = 0.10;
/// Up to this share of the rate that was refused, growth per second, and from there to that rate.
const NEAR: f64 = 0.9;
const RETURN: f64 = 0.02;
const CREEP: f64 = 0.0003;
/// Growth per second beyond it: the host may have changed.
const BEYOND: f64 = 0.01;
/// No growth so soon after a refusal, or after a pause.
const REST: Duration = Duration::from_secs(2);
const REST_AFTER_PAUSE: Duration = Duration::from_secs(1);
/// It grows only when so much of it is used; the measure is not to be had so soon after a refusal.
const USED: f64 = 0.6;
const UNMEASURED: Duration = Duration::from_secs(7);
/// The rate of success is that of this time.
const MEASURE: Duration = Duration::from_secs(5);
/// Rates below these are not set.
const LEAST_BEGIN: f64 = 0.5;
const LEAST: f64 = 0.2;
/// Least part of the rate it began with, as long as the host has served at least this part of what was asked.
const LEAST_PART: f64 = 0.25;
const SERVED: f64 = 0.5;
/// Steps down in a row, unasked and with nobody served between them, that show that the host was out.
const OUTAGE: u32 = 8;
/// Then every answer raises the rate so much, to where it would begin.
const REGAIN: f64 = 4.0;
/// A refusal so soon after shows that it was a long window instead.
const MISTAKEN: Duration = Duration::from_secs(90);
/// Requests of so much time may go at once beside the first, if none went before: of a host that takes one a second not two.
const BURST: Duration = Duration::from_millis(250);
/// Unused for so long, nothing of it holds any more.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// See the module text.
#[derive(Debug)]
pub(super) struct HostRate {
    /// Requests per second.
    rate: f64,
    /// With which it began.
    began: f64,
    /// The host has served less than half of the rate at some time: slowing down is what it wants.
    was_starved: bool,
    /// The rate that was refused last, or at first the one that was reached.
    refused: f64,
    /// A refusal has shown where the limit is.
    is_known: bool,
    /// The host has refused since this began; false while all of it is from memory.
    is_shown: bool,
    /// Steps down since it served anybody, and what it had served a second before them.
    in_vain: u32,
    before: f64,
    /// It serves again after an outage: since when, and up to where it is to come back.
    regains: Option<(Instant, f64)>,
    /// It was refused soon after it had come back.
    is_mistaken: bool,
    /// Theoretical arrival time of the next request.
    next: Instant,
    paused_until: Instant,
    lowered_at: Instant,
    grown_at: Instant,
    /// Successes since, before which there was as much again.
    served: u32,
    served_since: Instant,
    served_before: f64,
}

impl HostRate {
    /// The host was shown to limit everybody, while it served `goodput` requests a second.
    pub(super) fn new(goodput: f64, now: Instant) -> Self {
        let rate = (BEGIN * goodput).max(LEAST_BEGIN);
        HostRate {
            rate,
            began: rate,
            was_starved: false,
            refused: goodput.max(LEAST_BEGIN),
            is_known: false,
            is_shown: true,
            in_vain: 1,
            before: goodput,
            regains: None,
            is_mistaken: false,
            next: now,
            paused_until: now,
            lowered_at: now,
            grown_at: now,
            served: 0,
            served_since: now,
            served_before: goodput,
        }
    }

    /// The host was found to serve about `rate` by an earlier run: it begins there, and has to be shown anew what is too much.
    pub(super) fn recalled(rate: f64, now: Instant) -> Self {
        HostRate {
            rate: rate.max(LEAST),
            // Else it would fall to a quarter with every run.
            began: rate.max(LEAST) / LEAST_PART,
            is_known: true,
            is_shown: false,
            ..HostRate::new(rate, now)
        }
    }

    /// A request that was sent at `sent` was refused, perhaps with a wish to be left alone for `asked`.
    pub(super) fn refused(&mut self, asked: Option<Duration>, sent: Instant, now: Instant) {
        if sent <= self.lowered_at {
            return;
        }
        self.is_shown = true;
        self.pause(asked, now);
        // Those that come together are one.
        if now.saturating_duration_since(self.lowered_at) > TOGETHER {
            if let Some((since, _)) = self.regains.take() {
                self.is_mistaken |= now.saturating_duration_since(since) <= MISTAKEN;
            }
            if self.in_vain == 0 {
                self.before = self.goodput(now);
            }
            self.in_vain += u32::from(asked.is_none());
            self.is_known = true;
            self.refused = self.rate;
            self.was_starved |= self.goodput(now) < SERVED * self.rate;
            let least = match self.was_starved {
                true => LEAST,
                false => (LEAST_PART * self.began).min(self.rate),
            };
            self.rate = (STEP_DOWN * self.rate).max(least);
            self.lowered_at = now;
        }
    }

    /// The host asks everybody to wait.
    pub(super) fn pause(&mut self, asked: Option<Duration>, now: Instant) {
        if let Some(asked) = asked {
            self.paused_until = self.paused_until.max(now + asked);
        }
    }

    /// A request was served.
    pub(super) fn served(&mut self, now: Instant) {
        if now.saturating_duration_since(self.served_since) >= MEASURE {
            self.served_before = self.goodput(now);
            (self.served, self.served_since) = (0, now);
        }
        self.served += 1;
        let in_vain = std::mem::take(&mut self.in_vain);
        if in_vain >= OUTAGE && !self.is_mistaken {
            let aim = BEGIN * self.before;
            self.regains = Some((now, aim));
            (self.is_known, self.was_starved) = (false, false);
        }
        if let Some((_, aim)) = self.regains {
            self.rate = (REGAIN * self.rate).min(aim).max(self.rate);
        }
    }

    /// Successes per second of the last five to ten seconds.
    fn goodput(&self, now: Instant) -> f64 {
        let measured = now
            .saturating_duration_since(self.served_since)
            .as_secs_f64();
        let measure = MEASURE.as_secs_f64();
        if measured >= 2.0 * measure {
            return 0.0;
        }
        let before = (1.0 - measured / measure).max(0.0) * measure;
        (f64::from(self.served) + before * self.served_before) / (measured + before)
    }

    /// Requests a second.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// True when the host has shown in this run that it limits everybody.
    pub(super) fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// When everybody is to be left out, if so.
    pub(super) fn paused_until(&self) -> Instant {
        self.paused_until
    }

    /// When the next request may go.
    pub(super) fn ready_at(&self) -> Instant {
        let next = self.next.checked_sub(BURST).unwrap_or(self.next);
        next.max(self.paused_until)
    }

    /// A request goes at `now`.
    pub(super) fn charge(&mut self, now: Instant) {
        self.grow(now);
        self.next = self.next.max(now) + Duration::from_secs_f64(1.0 / self.rate);
    }

    fn grow(&mut self, now: Instant) {
        let step = now.saturating_duration_since(self.grown_at);
        if step < Duration::from_secs(1) {
            return;
        }
        self.grown_at = now;
        let since_lowered = now.saturating_duration_since(self.lowered_at);
        let used = self.goodput(now) > USED * self.rate || since_lowered < UNMEASURED;
        if now <= self.paused_until + REST_AFTER_PAUSE || since_lowered <= REST || !used {
            return;
        }
        let step = step.as_secs_f64().min(2.0);
        let growth = if !self.is_known {
            SEARCH
        } else if self.rate < NEAR * self.refused {
            RETURN
        } else if self.rate < self.refused {
            CREEP
        } else {
            BEYOND
        };
        self.rate *= 1.0 + growth * step;
    }

    /// True when it holds nothing worth keeping.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.next.max(self.paused_until)) > FORGOTTEN
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "any instant will do as the zero of the test"
)]
mod tests {
    use super::*;

    /// A host that serves `limit` requests in every whole second and refuses the rest. Uses it for `seconds` as the rate
    /// allows, answers taking half a second, with at most `demand` requests a second. Gives what was served and refused in the
    /// second half of the time.
    fn use_up(
        rate: &mut HostRate,
        start: Instant,
        limit: u32,
        demand: u32,
        seconds: u32,
    ) -> (u32, u32) {
        let (mut served, mut refused) = (0, 0);
        let mut answers = std::collections::VecDeque::new();
        let (mut second, mut used) = (0, 0);
        for tick in 0..seconds * 1000 {
            let now = start + Duration::from_millis(tick.into());
            while let Some((at, sent, ok)) = answers.front().copied()
                && at <= now
            {
                answers.pop_front();
                let late = tick > seconds * 500;
                if ok {
                    rate.served(now);
                    served += u32::from(late);
                } else {
                    rate.refused(None, sent, now);
                    refused += u32::from(late);
                }
            }
            if tick / 1000 != second {
                (second, used) = (tick / 1000, 0);
            }
            let beat = (1000 / demand.min(1000)).max(1);
            if tick % beat == 0 && rate.ready_at() <= now {
                rate.charge(now);
                used += 1;
                answers.push_back((now + Duration::from_millis(500), now, used <= limit));
            }
        }
        (served, refused)
    }

    #[test]
    fn the_limit_is_found_and_hardly_ever_exceeded() {
        let start = Instant::now();
        for begins in [10.0, 38.0, 80.0] {
            let mut rate = HostRate::new(begins, start);
            let (served, refused) = use_up(&mut rate, start, 40, 1000, 600);
            let share = f64::from(served) / (40.0 * 300.0);
            assert!(share > 0.8, "{share} of the limit, from {begins}");
            assert!(refused * 50 < served, "{refused} refused, {served} served");
        }
    }

    #[test]
    fn a_remembered_rate_is_used_at_once_and_news_only_after_a_refusal() {
        let start = Instant::now();
        let mut rate = HostRate::recalled(36.0, start);
        let (served, refused) = use_up(&mut rate, start, 40, 1000, 20);
        assert!(
            served > 300 && refused < 15,
            "{served} served, {refused} refused"
        );
        assert!(rate.is_shown());
        let mut unused = HostRate::recalled(36.0, start);
        unused.charge(start);
        unused.served(start);
        assert!(!unused.is_shown());
    }

    #[test]
    fn refusals_that_come_at_every_rate_do_not_bring_it_down_without_end() {
        let start = Instant::now();
        let mut rate = HostRate::new(50.0, start);
        let mut asked = 0;
        for tick in 0..120_000_u32 {
            let now = start + Duration::from_millis(tick.into());
            if rate.ready_at() > now {
                continue;
            }
            rate.charge(now);
            // Every fifth, however slowly they come.
            asked += 1;
            match asked % 5 {
                0 => rate.refused(None, now, now),
                _ => rate.served(now),
            }
        }
        assert!(rate.rate() >= 10.0, "{}", rate.rate());
        // One that serves one a second after a burst is followed all the way.
        let mut rate = HostRate::new(50.0, start);
        let (_, refused) = use_up(&mut rate, start, 1, 1000, 600);
        assert!(refused < 60, "{refused} refused in 300 s");
    }

    #[test]
    fn a_rate_that_is_not_used_does_not_grow() {
        let start = Instant::now();
        let mut rate = HostRate::new(40.0, start);
        let (served, _) = use_up(&mut rate, start, 1000, 2, 600);
        assert!(served > 500, "{served}");
        assert!(rate.rate < 80.0, "{}", rate.rate);
    }

    #[test]
    fn many_refusals_of_one_moment_are_one_and_a_wish_to_wait_is_kept() {
        let start = Instant::now();
        let second = |n| start + Duration::from_secs(n);
        let mut rate = HostRate::new(100.0, start);
        for _ in 0..40 {
            rate.refused(Some(Duration::from_secs(5)), second(9), second(10));
            rate.refused(None, start, second(10));
        }
        assert!((rate.rate - 68.0).abs() < 0.01, "{}", rate.rate);
        assert_eq!(rate.ready_at(), second(15));
    }

    /// Second by second: what a host is asked that serves a second as many as `most` says.
    fn asked(start: Instant, seconds: u32, most: impl Fn(u32) -> u32) -> Vec<u32> {
        let mut rate = HostRate::new(40.0, start);
        let mut asked = vec![0; seconds as usize];
        for tick in 0..seconds * 1000 {
            let now = start + Duration::from_millis(tick.into());
            let second = (tick / 1000) as usize;
            if rate.ready_at() > now {
                continue;
            }
            rate.charge(now);
            asked[second] += 1;
            match asked[second] <= most(tick / 1000) {
                true => rate.served(now),
                false => rate.refused(None, now, now),
            }
        }
        asked
    }

    #[test]
    fn after_a_minute_in_which_nobody_was_served_it_is_soon_where_it_was() {
        let start = Instant::now();
        let is_out = |second: u32| (10..70).contains(&second);
        let asked = asked(start, 100, |second| if is_out(second) { 0 } else { 1000 });
        let during: u32 = asked[30..70].iter().sum();
        assert!(during < 40, "{during}");
        assert!(asked[80] >= 32, "{:?}", &asked[70..]);
    }

    #[test]
    fn a_host_that_serves_so_many_a_minute_at_once_is_taken_for_one_that_was_out_only_once() {
        let start = Instant::now();
        let asked = asked(start, 600, |second| if second % 60 == 0 { 30 } else { 0 });
        let (first, last): (u32, u32) = (asked[..120].iter().sum(), asked[480..].iter().sum());
        assert!(last < first / 2, "{first} {last}");
    }

    #[test]
    fn after_a_pause_a_slow_host_is_asked_one_at_a_time() {
        let start = Instant::now();
        let second = |n: u64| start + Duration::from_secs(n);
        let mut rate = HostRate::new(1.0, start);
        rate.refused(Some(Duration::from_secs(30)), second(1), second(2));
        assert_eq!(rate.ready_at(), second(32));
        rate.charge(second(32));
        assert!(rate.ready_at() > second(33), "at most 0.8 a second");
    }
}
