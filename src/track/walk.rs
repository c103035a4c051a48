//! Which pages of one query are asked for, and where its targets stand on them.
//!
//! A place is exact when every page before it was read. `smart` depth passes pages over: it takes them for full ones without the
//! target, which is what makes it cheap. A page that was asked for and not read is never passed over: behind it a place is a bound.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

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

/// Why nothing is known of a page that shows no results though a later one has some.
const GAP: &str = "results_gap";

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
    /// Of each page with results.
    prints: BTreeMap<u32, u64>,
    /// Pages with the results of an earlier one: sites show their last page again to who asks for one behind it.
    repeats: BTreeSet<u32>,
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
            prints: BTreeMap::new(),
            repeats: BTreeSet::new(),
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
        let last = self.last();
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
                .flat_map(|page| [page.saturating_sub(1), page.saturating_add(1)])
                .filter(open)
                .collect();
            if !beside.is_empty() {
                return beside.into_iter().collect();
            }
        }
        (0..last).find(open).into_iter().collect()
    }

    /// The page behind the last that can have results.
    fn last(&self) -> u32 {
        self.end.map_or(self.most, |end| end.min(self.most))
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
        if let Page::Results(hits) = &answer {
            self.prints.insert(page, print(hits));
            for (target, found) in self.found.iter_mut().enumerate() {
                let places = hits
                    .iter()
                    .enumerate()
                    .filter(|(_, hit)| finds(target, hit));
                found.extend(places.map(|(index, hit)| Place {
                    page,
                    index,
                    hit: hit.clone(),
                }));
                found.sort_by_key(|place| (place.page, place.index));
            }
        }
        self.pages.insert(page, answer);
        self.find_end();
    }

    /// Finds repeats and the end anew: pages come in any order, and only together they tell which is the copy.
    fn find_end(&mut self) {
        let mut seen = HashSet::new();
        self.repeats = self
            .prints
            .iter()
            .filter(|(_, print)| !seen.insert(**print))
            .map(|(page, _)| *page)
            .collect();
        let mut with_results = self.prints.keys().rev();
        let behind = with_results
            .find(|page| !self.repeats.contains(page))
            .map_or(0, |page| page + 1);
        let mut rest = self.pages.range(behind..).map(|(page, _)| *page);
        self.end = rest.find(|page| self.is_silent(*page));
    }

    /// True when a page was read and has no results of its own.
    fn is_silent(&self, page: u32) -> bool {
        self.pages.get(&page) == Some(&Page::NoResults) || self.repeats.contains(&page)
    }

    /// What is known of a target.
    pub fn observe(&self, target: usize, at: i64) -> Observation {
        let mut seen = Observation {
            pages: (self.read(), self.most),
            results: Some(self.results()),
            ..Observation::unknown(at, "")
        };
        seen.why = None;
        let failure = self.failure(self.last());
        if let Some(first) = self.found[target].first() {
            let hole = self.failure(first.page).map(|(page, _)| page);
            seen.state = State::Ranked;
            // A page that was asked for and not read may hold the target, as early as on its first place.
            seen.lower_bound = hole.is_some();
            seen.position = Some(match hole {
                Some(page) => self.above(page).saturating_add(1),
                None => self.position(first),
            });
            seen.absolute = seen.position;
            seen.url = Some(first.hit.url.clone());
            seen.title.clone_from(&first.hit.title);
            // All places, or none: a part of them looks like all.
            if self.wanted[target].all && failure.is_none() {
                let places: Vec<_> = self.found[target]
                    .iter()
                    .filter(|place| !self.repeats.contains(&place.page))
                    .map(|place| self.position(place).to_string())
                    .collect();
                seen.value = Some(places.join(" ").into());
            }
        } else if self.end == Some(0) {
            seen.state = State::NoResults;
        } else if let Some((_, why)) = failure {
            seen.why = Some(why.into());
        } else if self.is_done() {
            seen.state = State::NotInDepth;
        } else {
            seen.why = Some("unfinished".into());
        }
        seen
    }

    /// The first page before this one of which nothing is known though it was asked for, and why.
    fn failure(&self, before: u32) -> Option<(u32, &str)> {
        self.pages
            .range(..before)
            .find_map(|(page, answer)| match answer {
                Page::Unknown(why) => Some((*page, &**why)),
                _ if self.is_hole(*page) => Some((*page, GAP)),
                _ => None,
            })
    }

    /// True when a page has no results of its own and a later one has: one of the two is not the site's word on this query.
    fn is_hole(&self, page: u32) -> bool {
        self.is_silent(page) && self.end.is_none_or(|end| page < end)
    }

    fn position(&self, place: &Place) -> u32 {
        self.above(place.page)
            .saturating_add(count(place.index + 1))
    }

    /// Results on the pages before this one, of which none has failed. One that was passed over is taken for a full one.
    fn above(&self, page: u32) -> u32 {
        (0..page)
            .map(|page| match self.pages.get(&page) {
                Some(Page::Results(hits)) => count(hits.len()),
                Some(Page::NoResults | Page::Unknown(_)) => 0,
                None => self.step,
            })
            .fold(0, u32::saturating_add)
    }

    /// Pages that were read.
    fn read(&self) -> u32 {
        let read = self
            .pages
            .iter()
            .filter(|(page, answer)| !matches!(answer, Page::Unknown(_)) && !self.is_hole(**page));
        count(read.count())
    }

    fn results(&self) -> u32 {
        let sizes = self.pages.iter().map(|(page, answer)| match answer {
            Page::Results(hits) if !self.repeats.contains(page) => count(hits.len()),
            _ => 0,
        });
        sizes.fold(0, u32::saturating_add)
    }
}

/// What tells the results of one page from those of another: the addresses, because titles are cut as it pleases the site.
fn print(hits: &[Hit]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for hit in hits {
        hit.url.hash(&mut hasher);
    }
    hasher.finish()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
