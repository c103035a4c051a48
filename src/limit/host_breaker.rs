//! Stops asking a host that is out, and finds out when it is back.
//!
//! A host is out when nearly all of its last results are failures that nobody else can be blamed for, of as many URLs and through
//! many proxies that serve elsewhere, those of an `https` host through tunnels as well. A URL that fails again says nothing new: it may be the one page that hangs. Where the host says
//! itself that it cannot serve now (503 and its kin), it does not matter through whom, but all of them have to be failures: it answers, and some of its pages may be well.
//! Then one request at a time goes to it, ever more rarely, until one is answered with anything else; after that it gets a few at a
//! time and more with every answer, because a host that comes back is not at its best.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Results that are looked at.
const KEPT: usize = 20;
/// So many have to be known.
const LEAST: usize = 12;
/// This share of them has to be failures; all of as many as are looked at when the host itself has said so.
const FAILED: f32 = 0.8;
/// Distinct proxies among the failures, or all that serve, if they are fewer.
const DISTINCT: usize = 8;
/// The word of one alone says nothing of the host.
const DISTINCT_LEAST: usize = 2;
/// A result so old says nothing of now.
const STALE: Duration = Duration::from_secs(30);
/// First wait, the wait after the first request that failed again, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(5);
/// A host that is out is waited for so long; one that has never answered may as well not exist.
const PATIENCE: Duration = Duration::from_secs(300);
const PATIENCE_UNMET: Duration = Duration::from_secs(60);
/// Requests at once after the first answer; one more with every further answer, until it does not matter.
const REOPENED: u32 = 4;
const UNLIMITED: u32 = 1000;

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct HostBreaker {
    results: VecDeque<Seen>,
    outage: Option<Outage>,
    /// Requests at once; `None` for as many as there are.
    window: Option<u32>,
    /// It has answered somebody at some time.
    met: bool,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    proxy: u32,
    /// The URL that failed; `None` for an answer.
    failed: Option<u64>,
    /// The host's own word.
    is_answer: bool,
    at: Instant,
}

/// A request that failed, maybe because of its host.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    /// Number of a proxy that has served before, through a tunnel if this failed in one.
    pub proxy: u32,
    /// Which URL it was for.
    pub url: u64,
    /// When it left.
    pub sent: Instant,
    /// The host has said itself that it cannot serve now.
    pub is_answer: bool,
    /// The URL has failed before.
    pub again: bool,
    /// The host has served somebody in this run.
    pub served: bool,
}

#[derive(Debug, Clone, Copy)]
struct Outage {
    began: Instant,
    /// When the next request may go.
    until: Instant,
    /// The wait after that one, if it fails.
    wait: Duration,
    /// It served before, and has said itself that it does not: it may only have been asked too fast.
    is_refusal: bool,
}

impl HostBreaker {
    /// A request failed, while so many proxies serve. True when that shows that the host is out.
    pub(super) fn failed(&mut self, failure: Failure, serving: usize, now: Instant) -> bool {
        let Failure {
            proxy,
            url,
            sent,
            is_answer,
            again,
            served,
        } = failure;
        self.met |= served;
        if let Some(outage) = &mut self.outage {
            // Those that were out before tell nothing new.
            if sent >= outage.until {
                outage.until = now + outage.wait;
                outage.wait = (2 * outage.wait).min(LONGEST);
            }
            return false;
        }
        // At the end of a run only those pages are left that it never serves.
        let is_old = is_answer && again;
        if is_old || self.results.iter().any(|seen| seen.failed == Some(url)) {
            return false;
        }
        self.note(proxy, Some(url), is_answer, now);
        let failures = || self.results.iter().filter(|seen| seen.failed.is_some());
        let said_so = failures().any(|seen| seen.is_answer);
        let (least, most, distinct) = match said_so {
            true => (KEPT, 1.0, 1),
            false => (LEAST, FAILED, DISTINCT.min(serving.max(DISTINCT_LEAST))),
        };
        let mut proxies: Vec<u32> = failures().map(|seen| seen.proxy).collect();
        let share = proxies.len() as f32 / self.results.len() as f32;
        proxies.sort_unstable();
        proxies.dedup();
        let out = self.results.len() >= least && share >= most && proxies.len() >= distinct;
        if out {
            self.results.clear();
            self.outage = Some(Outage {
                began: now,
                until: now + FIRST,
                wait: AGAIN,
                is_refusal: said_so && self.met,
            });
        }
        out
    }

    /// The host answered, whatever it said. True when it had refused everybody and serves again as soon as it was left alone: then
    /// it has a limit.
    pub(super) fn answered(&mut self, proxy: u32, now: Instant) -> bool {
        self.met = true;
        let outage = self.outage.take();
        if outage.is_some() {
            self.window = Some(REOPENED);
        } else if let Some(window) = self.window {
            self.window = (window < UNLIMITED).then_some(window + 1);
        }
        self.note(proxy, None, true, now);
        outage.is_some_and(|outage| outage.is_refusal && outage.wait == AGAIN)
    }

    fn note(&mut self, proxy: u32, failed: Option<u64>, is_answer: bool, at: Instant) {
        let stale = |seen: &Seen| at.saturating_duration_since(seen.at) > STALE;
        while self.results.front().is_some_and(stale) || self.results.len() >= KEPT {
            self.results.pop_front();
        }
        self.results.push_back(Seen {
            proxy,
            failed,
            is_answer,
            at,
        });
    }

    /// Since when the host is out, if it is.
    pub(super) fn out_since(&self) -> Option<Instant> {
        self.outage.map(|outage| outage.began)
    }

    /// True when it has been out for so long that nothing is waited for any more.
    pub(super) fn is_lost(&self, now: Instant) -> bool {
        let patience = if self.met { PATIENCE } else { PATIENCE_UNMET };
        let since = self.out_since();
        since.is_some_and(|since| now.saturating_duration_since(since) >= patience)
    }

    /// When the host may be asked again.
    pub(super) fn until(&self) -> Option<Instant> {
        self.outage.map(|outage| outage.until)
    }

    /// Requests that the host may have at once.
    pub(super) fn window(&self) -> Option<u32> {
        self.outage.map_or(self.window, |_| Some(1))
    }

    /// True when it holds nothing worth keeping.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let stale = |seen: &Seen| now.saturating_duration_since(seen.at) > STALE;
        self.outage.is_none() && self.results.iter().all(stale)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "any instant will do as the zero of the test"
)]
mod tests {
    use super::*;

    const SERVING: usize = 50;

    fn failure(proxy: u32, url: u32, sent: Instant) -> Failure {
        let url = u64::from(url);
        Failure {
            proxy,
            url,
            sent,
            is_answer: false,
            again: false,
            served: false,
        }
    }

    #[test]
    fn a_host_that_says_itself_that_it_cannot_serve_is_out_when_it_serves_nobody() {
        let start = Instant::now();
        let refused = |breaker: &mut HostBreaker, n| {
            let failure = Failure {
                is_answer: true,
                ..failure(n, n, start)
            };
            breaker.failed(failure, SERVING, start)
        };
        let mut nobody = HostBreaker::default();
        assert_eq!((0..30).position(|n| refused(&mut nobody, n)), Some(19));
        assert!(!nobody.answered(30, start), "it had served nobody before");
        assert_eq!((nobody.out_since(), nobody.window()), (None, Some(4)));
        let mut one = HostBreaker::default();
        one.answered(0, start);
        let of_one = |one: &mut HostBreaker, url| {
            let failure = Failure {
                is_answer: true,
                ..failure(0, url, start)
            };
            one.failed(failure, 1, start)
        };
        assert!((0..20).any(|url| of_one(&mut one, url)));
        assert!(one.answered(0, start), "asked more slowly it serves");
        let mut left = HostBreaker::default();
        for n in 0..30 {
            let failure = Failure {
                is_answer: true,
                again: true,
                ..failure(n, n, start)
            };
            assert!(!left.failed(failure, SERVING, start), "it may be the pages");
        }
        let mut some = HostBreaker::default();
        for n in 0..200 {
            match n % 10 {
                0 => assert!(!some.answered(n, start)),
                _ => assert!(!refused(&mut some, n), "it serves one in ten"),
            }
        }
    }

    fn out(start: Instant) -> HostBreaker {
        let mut breaker = HostBreaker::default();
        let fail =
            |breaker: &mut HostBreaker, n| breaker.failed(failure(n, n, start), SERVING, start);
        assert_eq!((0..20).position(|n| fail(&mut breaker, n)), Some(11));
        breaker
    }

    #[test]
    fn twelve_failures_of_many_proxies_without_an_answer_are_an_outage_and_less_is_not() {
        let start = Instant::now();
        assert!(out(start).out_since().is_some());
        let mut few = HostBreaker::default();
        let fail = |few: &mut HostBreaker, n, serving| {
            few.failed(failure(n % 7, n, start), serving, start)
        };
        assert!(!(0..100).any(|n| fail(&mut few, n, SERVING)));
        assert_eq!(few.out_since(), None, "seven proxies may be bad");
        let mut all = HostBreaker::default();
        assert!(
            (0..100).any(|n| fail(&mut all, n, 7)),
            "they are all that serve"
        );
        let mut one = HostBreaker::default();
        assert!(!(0..100).any(|n| one.failed(failure(n, n % 11, start), SERVING, start)));
        assert_eq!(one.out_since(), None, "eleven URLs may be bad");
        let mut mixed = HostBreaker::default();
        for n in 0..100 {
            if n % 4 == 0 {
                mixed.answered(n, start);
            } else {
                mixed.failed(failure(n, n, start), SERVING, start);
            }
            assert_eq!(mixed.out_since(), None, "it answers a quarter");
        }
        let mut slow = HostBreaker::default();
        let later = |n| start + Duration::from_secs(4) * n;
        assert!(!(0..40).any(|n| slow.failed(failure(n, n, start), SERVING, later(n))));
        assert_eq!(slow.out_since(), None, "never twelve in half a minute");
    }

    #[test]
    fn a_host_that_is_out_is_asked_ever_more_rarely_and_opens_with_the_first_answer() {
        let start = Instant::now();
        let mut breaker = out(start);
        let (mut now, mut waits) = (start, Vec::new());
        for _ in 0..6 {
            let until = breaker.until().unwrap();
            waits.push((until - now).as_secs());
            assert_eq!(breaker.window(), Some(1));
            breaker.failed(failure(3, 3, start), SERVING, until);
            assert_eq!(breaker.until(), Some(until), "sent before the outage");
            now = until;
            breaker.failed(failure(4, 4, now), SERVING, now);
        }
        assert_eq!(waits, [1, 2, 4, 5, 5, 5]);
        breaker.answered(5, now);
        assert_eq!((breaker.until(), breaker.window()), (None, Some(4)));
        assert!(!breaker.is_lost(now));
        (0..1000).for_each(|n| assert!(!breaker.answered(n, now)));
        assert_eq!(breaker.window(), None);
    }

    #[test]
    fn a_host_that_is_out_is_lost_after_five_minutes_and_one_that_never_answered_after_one() {
        let start = Instant::now();
        let lost = |breaker: &HostBreaker| {
            (0..1000).find(|second| breaker.is_lost(start + Duration::from_secs(*second)))
        };
        assert_eq!(lost(&out(start)), Some(60));
        let mut known = HostBreaker::default();
        known.answered(0, start);
        (0..20).for_each(|n| {
            known.failed(failure(n, n, start), SERVING, start);
        });
        assert_eq!(lost(&known), Some(300));
        assert_eq!(lost(&HostBreaker::default()), None);
    }
}
