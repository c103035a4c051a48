//! Which pages of one query are asked for, and where its targets stand on them.

use std::collections::{BTreeMap, BTreeSet};

use super::job::Depth;
use crate::observation::{Observation, State};

/// One result of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Where it leads, as an absolute address.
    pub url: Box<str>,
    /// Its title.
    pub title: Option<Box<str>>,
}

/// What a page turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// Its results, in order.
    Results(Vec<Hit>),
    /// It says that nothing was found.
    NoResults,
    /// It was blocked, failed, or shows something else; why.
    Unknown(Box<str>),
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// All places are wanted, not the first alone: every page is asked for.
    pub all: bool,
    /// Page it was on last, from 0.
    pub last: Option<u32>,
}

/// Where a target was found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    page: u32,
    /// On the page, from 0.
    index: usize,
    hit: Hit,
}

/// The pages of one query, and what is known of them. Targets are numbers of the list it was made with.
#[derive(Debug)]
pub struct Walk {
    most: u32,
    depth: Depth,
    /// Results on a page of which nothing is known but that it was passed over.
    step: u32,
    wanted: Vec<Wanted>,
    found: Vec<Vec<Place>>,
    asked: BTreeSet<u32>,
    pages: BTreeMap<u32, Page>,
    /// There are no results from this page on.
    end: Option<u32>,
}

impl Walk {
    /// Nothing asked yet. `most` pages at most, at least 1; `step` results are on a page.
    pub fn new(most: u32, depth: Depth, step: u32, wanted: Vec<Wanted>) -> Self {
        Walk {
            most: most.max(1),
            depth,
            step,
            found: vec![Vec::new(); wanted.len()],
            wanted,
            asked: BTreeSet::new(),
            pages: BTreeMap::new(),
            end: None,
        }
    }

    /// The pages to ask for now, from 0. Empty while answers are waited for, and at the end.
    pub fn next_pages(&mut self) -> Vec<u32> {
        if self.asked.len() > self.pages.len() || self.is_settled() {
            return Vec::new();
        }
        let pages = self.choose();
        self.asked.extend(&pages);
        pages
    }

    fn choose(&self) -> Vec<u32> {
        let last = self.end.unwrap_or(self.most).min(self.most);
        let open = |page: &u32| *page < last && !self.asked.contains(page);
        if self.depth == Depth::All {
            return (0..last).filter(open).collect();
        }
        if self.depth == Depth::Smart {
            let known = || self.missing().filter_map(|target| self.wanted[target].last);
            let there: BTreeSet<u32> = known().filter(open).collect();
            if !there.is_empty() {
                return there.into_iter().collect();
            }
            let beside: BTreeSet<u32> = known()
                .flat_map(|page| [page.saturating_sub(1), page + 1])
                .filter(open)
                .collect();
            if !beside.is_empty() {
                return beside.into_iter().collect();
            }
        }
        (0..last).find(open).into_iter().collect()
    }

    /// Targets that further pages may tell of.
    fn missing(&self) -> impl Iterator<Item = usize> {
        (0..self.wanted.len()).filter(|at| self.wanted[*at].all || self.found[*at].is_empty())
    }

    fn is_settled(&self) -> bool {
        // Without targets the pages themselves are what is wanted.
        let all_found = !self.wanted.is_empty() && self.missing().next().is_none();
        self.depth != Depth::All && all_found
    }

    /// True when nothing is left to ask and nothing to wait for.
    pub fn is_done(&self) -> bool {
        self.asked.len() == self.pages.len() && (self.is_settled() || self.choose().is_empty())
    }

    /// Takes in an answer. `finds` tells whether a result is the target's.
    pub fn land(&mut self, page: u32, answer: Page, finds: impl Fn(usize, &Hit) -> bool) {
        let repeats = matches!(&answer, Page::Results(hits)
            if page > 0 && self.pages.values().any(|other| matches!(other, Page::Results(seen) if seen == hits)));
        // Sites show their last page again to who asks for one behind it.
        if repeats || (page > 0 && answer == Page::NoResults) {
            self.end = Some(self.end.map_or(page, |end| end.min(page)));
            self.pages.insert(page, Page::NoResults);
            return;
        }
        if page == 0 && answer == Page::NoResults {
            self.end = Some(1);
        }
        if let Page::Results(hits) = &answer {
            for target in 0..self.wanted.len() {
                let places = hits
                    .iter()
                    .enumerate()
                    .filter(|(_, hit)| finds(target, hit));
                self.found[target].extend(places.map(|(index, hit)| Place {
                    page,
                    index,
                    hit: hit.clone(),
                }));
                self.found[target].sort_by_key(|place| (place.page, place.index));
            }
        }
        self.pages.insert(page, answer);
    }

    /// What is known of a target.
    pub fn observe(&self, target: usize, at: i64) -> Observation {
        let mut seen = Observation {
            pages: (self.read(), self.most),
            results: Some(self.results()),
            ..Observation::unknown(at, "")
        };
        seen.why = None;
        if let Some(first) = self.found[target].first() {
            seen.state = State::Ranked;
            seen.position = Some(self.position(first));
            seen.absolute = seen.position;
            // A page that was asked for and not read may hold the target, higher up.
            seen.lower_bound = self.failure(first.page).is_some();
            seen.url = Some(first.hit.url.clone());
            seen.title.clone_from(&first.hit.title);
            if self.wanted[target].all {
                let places: Vec<_> = self.found[target]
                    .iter()
                    .map(|place| self.position(place).to_string())
                    .collect();
                seen.value = Some(places.join(" ").into());
            }
        } else if self.pages.get(&0) == Some(&Page::NoResults) {
            seen.state = State::NoResults;
        } else if let Some(why) = self.failure(self.most) {
            seen.why = Some(why.into());
        } else if self.is_done() {
            seen.state = State::NotInDepth;
        } else {
            seen.why = Some("unfinished".into());
        }
        seen
    }

    /// Why a page before this one is not known.
    fn failure(&self, before: u32) -> Option<&str> {
        self.pages.range(..before).find_map(|(_, page)| match page {
            Page::Unknown(why) => Some(&**why),
            _ => None,
        })
    }

    fn position(&self, place: &Place) -> u32 {
        let above: u32 = (0..place.page)
            .map(|page| match self.pages.get(&page) {
                Some(Page::Results(hits)) => count(hits.len()),
                Some(Page::NoResults) => 0,
                Some(Page::Unknown(_)) | None => self.step,
            })
            .fold(0, u32::saturating_add);
        above.saturating_add(count(place.index + 1))
    }

    /// Pages that were read.
    fn read(&self) -> u32 {
        let read = self.pages.values();
        count(
            read.filter(|page| !matches!(page, Page::Unknown(_)))
                .count(),
        )
    }

    fn results(&self) -> u32 {
        let sizes = self.pages.values().map(|page| match page {
            Page::Results(hits) => count(hits.len()),
            _ => 0,
        });
        sizes.fold(0, u32::saturating_add)
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of ten: `hosts` first, then others.
    fn page(number: u32, hosts: &[&str]) -> Page {
        let own = hosts.iter().map(|host| format!("https://{host}/"));
        let others = (0..10).map(|n| format!("https://other-{number}-{n}.test/"));
        let urls = own.chain(others).take(10);
        Page::Results(
            urls.map(|url| Hit {
                url: url.into(),
                title: None,
            })
            .collect(),
        )
    }

    fn walk(depth: Depth, lasts: &[Option<u32>]) -> Walk {
        let wanted = lasts.iter().map(|&last| Wanted { all: false, last });
        Walk::new(4, depth, 10, wanted.collect())
    }

    /// Target 0 is me.test, target 1 you.test.
    fn finds(target: usize, hit: &Hit) -> bool {
        hit.url.contains(["me.test", "you.test"][target])
    }

    #[test]
    fn the_page_of_last_time_is_asked_for_first_then_its_neighbours_then_the_rest() {
        let mut walk = walk(Depth::Smart, &[Some(2)]);
        assert_eq!(walk.next_pages(), [2]);
        assert_eq!(walk.next_pages(), [] as [u32; 0], "it waits");
        walk.land(2, page(2, &[]), finds);
        assert_eq!(walk.next_pages(), [1, 3]);
        walk.land(1, page(1, &[]), finds);
        walk.land(3, page(3, &[]), finds);
        assert_eq!(walk.next_pages(), [0]);
        walk.land(0, page(0, &["a.test", "me.test"]), finds);
        assert!(walk.is_done());
        assert_eq!(walk.observe(0, 0).position, Some(2));
    }

    #[test]
    fn a_page_passed_over_counts_as_a_full_one() {
        let mut walk = walk(Depth::Smart, &[Some(2)]);
        walk.next_pages();
        walk.land(2, page(2, &["me.test"]), finds);
        assert!(walk.is_done());
        let seen = walk.observe(0, 0);
        assert_eq!((seen.position, seen.lower_bound), (Some(21), false));
    }

    #[test]
    fn it_stops_when_all_targets_are_found() {
        let mut walk = walk(Depth::Stop, &[None, None]);
        assert_eq!(walk.next_pages(), [0]);
        walk.land(0, page(0, &["me.test"]), finds);
        assert_eq!(walk.next_pages(), [1]);
        walk.land(1, page(1, &["you.test"]), finds);
        assert_eq!(walk.next_pages(), [] as [u32; 0]);
        assert!(walk.is_done());
        assert_eq!(walk.observe(1, 0).position, Some(11));
    }

    #[test]
    fn only_pages_that_were_all_read_prove_absence() {
        let mut whole = walk(Depth::Stop, &[None]);
        let mut torn = walk(Depth::Stop, &[None]);
        for number in 0..4 {
            assert_eq!(whole.next_pages(), [number]);
            assert_eq!(torn.next_pages(), [number]);
            assert_eq!(whole.observe(0, 0).state, State::Unknown, "unfinished");
            whole.land(number, page(number, &[]), finds);
            let answer = match number {
                2 => Page::Unknown("soft_block".into()),
                _ => page(number, &[]),
            };
            torn.land(number, answer, finds);
        }
        assert!(whole.is_done() && torn.is_done());
        assert_eq!(whole.observe(0, 0).state, State::NotInDepth);
        let seen = torn.observe(0, 0);
        assert_eq!(seen.state, State::Unknown);
        assert_eq!(seen.why.as_deref(), Some("soft_block"));
    }

    #[test]
    fn behind_a_page_that_is_missing_a_place_is_a_bound() {
        let mut walk = walk(Depth::Stop, &[None]);
        walk.next_pages();
        walk.land(0, Page::Unknown("timeout".into()), finds);
        walk.next_pages();
        walk.land(1, page(1, &["a.test", "me.test"]), finds);
        let seen = walk.observe(0, 0);
        assert_eq!((seen.position, seen.lower_bound), (Some(12), true));
    }

    #[test]
    fn results_end_where_a_page_is_empty_or_comes_again() {
        for last in [Page::NoResults, page(1, &[])] {
            let mut walk = walk(Depth::Stop, &[None]);
            for (number, answer) in [(0, page(0, &[])), (1, page(1, &[])), (2, last)] {
                assert_eq!(walk.next_pages(), [number]);
                walk.land(number, answer, finds);
            }
            assert!(walk.is_done());
            let seen = walk.observe(0, 0);
            assert_eq!((seen.state, seen.results), (State::NotInDepth, Some(20)));
        }
    }

    #[test]
    fn no_results_is_the_sites_own_word_on_the_first_page() {
        let mut walk = walk(Depth::Smart, &[None]);
        walk.next_pages();
        walk.land(0, Page::NoResults, finds);
        assert!(walk.is_done());
        assert_eq!(walk.observe(0, 0).state, State::NoResults);
    }

    #[test]
    fn all_places_are_told_when_all_are_wanted() {
        let wanted = Wanted {
            all: true,
            last: Some(1),
        };
        let mut walk = Walk::new(2, Depth::Smart, 10, vec![wanted]);
        assert_eq!(walk.next_pages(), [1]);
        walk.land(1, page(1, &["me.test", "me.test"]), finds);
        assert_eq!(walk.next_pages(), [0]);
        walk.land(0, page(0, &["me.test"]), finds);
        let seen = walk.observe(0, 0);
        assert_eq!(seen.position, Some(1));
        assert_eq!(seen.value.as_deref(), Some("1 11 12"));
    }
}
