//! What the exits of rotating endpoints tell of a host that limits everybody.
//!
//! Who is limited there never comes again, so single exits that a host knows for too many requests go on being refused, however they are
//! treated; only their share tells a host that limits everybody from one that limits some. Refusals come sooner than pages: of
//! requests that left together the refused are all there before the first is served. So only those are counted that left long
//! enough ago for their pages to be here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Results that are looked at: of the last ten seconds, so many at most.
const WINDOW: Duration = Duration::from_secs(10);
const MOST: usize = 4096;
/// So many have to be known, and this share of them refused.
const LEAST: usize = 24;
const REFUSED: f32 = 0.75;
/// Refusals by a host that has served nobody yet.
const UNSERVED: usize = 16;
/// Pages that take this much longer than the slowest lately are not waited for, nor any for more than half of the window.
const SLOWER: u32 = 2;

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct HostExits {
    results: VecDeque<Seen>,
    has_served: bool,
    /// What the last page took.
    last: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    sent: Instant,
    at: Instant,
    refused: bool,
}

impl HostExits {
    /// A page came.
    pub(super) fn served(&mut self, sent: Instant, now: Instant) {
        self.has_served = true;
        self.last = now.saturating_duration_since(sent);
        self.note(sent, now, false);
    }

    /// A request was told to slow down. True when that shows that everybody is.
    pub(super) fn refused(&mut self, sent: Instant, now: Instant) -> bool {
        self.note(sent, now, true);
        if !self.has_served {
            return self.results.len() >= UNSERVED;
        }
        let pages = self.results.iter().filter(|seen| !seen.refused);
        let slowest = pages
            .map(|seen| seen.at.saturating_duration_since(seen.sent))
            .fold(self.last, Duration::max);
        let patience = (SLOWER * slowest).min(WINDOW / 2);
        let settled = |seen: &&Seen| now.saturating_duration_since(seen.sent) >= patience;
        let (mut all, mut refused) = (0, 0);
        for seen in self.results.iter().filter(settled) {
            all += 1;
            refused += usize::from(seen.refused);
        }
        all >= LEAST && refused as f32 >= REFUSED * all as f32
    }

    /// Everybody waits: what was before says nothing of what comes.
    pub(super) fn clear(&mut self) {
        self.results.clear();
    }

    /// True when it holds nothing worth keeping.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let over = |seen: &Seen| now.saturating_duration_since(seen.at) > WINDOW;
        self.results.iter().all(over)
    }

    fn note(&mut self, sent: Instant, at: Instant, refused: bool) {
        let over = |seen: &Seen| at.saturating_duration_since(seen.at) > WINDOW;
        while self.results.front().is_some_and(over) || self.results.len() >= MOST {
            self.results.pop_front();
        }
        self.results.push_back(Seen { sent, at, refused });
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "any instant will do as the zero of the test"
)]
mod tests {
    use super::*;

    /// Batches of a hundred requests, of which so many are refused at once and the others served after a second. The batch after
    /// which it is shown that everybody is limited.
    fn shown(refused: usize) -> Option<u32> {
        let start = Instant::now();
        let mut exits = HostExits::default();
        let second = Duration::from_secs(1);
        exits.served(start, start + second);
        (1..20).find(|batch| {
            let sent = start + *batch * 2 * second;
            let told = (0..refused).any(|_| exits.refused(sent, sent + second / 10));
            (refused..100).for_each(|_| exits.served(sent, sent + second));
            told
        })
    }

    #[test]
    fn refusals_that_come_before_the_pages_show_nothing_but_by_their_share() {
        assert_eq!(shown(30), None);
        assert_eq!(shown(60), None);
        assert_eq!(
            shown(90),
            Some(2),
            "the pages of the first batch are waited for"
        );
    }

    #[test]
    fn one_slow_page_hides_no_limit() {
        let start = Instant::now();
        let mut exits = HostExits::default();
        let second = Duration::from_secs(1);
        exits.served(start, start + 8 * second);
        let told = (0..400).any(|n| {
            let sent = start + 8 * second + n * second / 20;
            exits.refused(sent, sent + second / 10)
        });
        assert!(told);
    }

    #[test]
    fn a_host_that_has_served_nobody_is_left_alone_after_a_few() {
        let start = Instant::now();
        let mut exits = HostExits::default();
        let told: Vec<bool> = (0..16).map(|_| exits.refused(start, start)).collect();
        assert_eq!(told.iter().position(|told| *told), Some(15));
    }
}
