//! Walks, by what a caller sees of them.

use proptest::prelude::*;

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
    assert_eq!(
        (seen.position, seen.lower_bound),
        (Some(1), true),
        "page 0 may hold it"
    );
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

#[test]
fn which_page_is_the_copy_does_not_depend_on_which_came_first() {
    let wanted = Wanted {
        all: true,
        last: None,
    };
    let mut walk = Walk::new(4, Depth::All, 10, vec![wanted]);
    assert_eq!(walk.next_pages(), [0, 1, 2, 3]);
    // There are two pages; who asks for more gets the second again.
    for number in [3, 2, 1] {
        walk.land(number, page(1, &["me.test"]), finds);
    }
    walk.land(0, page(0, &["a.test", "me.test"]), finds);
    let seen = walk.observe(0, 0);
    assert_eq!((seen.position, seen.results), (Some(2), Some(20)));
    assert_eq!(seen.value.as_deref(), Some("2 11"));
}

#[test]
fn a_page_without_results_before_one_with_results_is_not_believed() {
    for odd in [Page::NoResults, page(0, &[])] {
        let mut found = walk(Depth::All, &[None, None]);
        found.next_pages();
        found.land(0, page(0, &[]), finds);
        found.land(1, odd, finds);
        found.land(2, page(2, &["me.test"]), finds);
        found.land(3, Page::NoResults, finds);
        let seen = found.observe(0, 0);
        assert_eq!((seen.position, seen.lower_bound), (Some(11), true));
        let seen = found.observe(1, 0);
        assert_eq!(
            (seen.state, seen.why.as_deref()),
            (State::Unknown, Some(GAP))
        );
    }
}

#[test]
fn a_page_that_failed_behind_the_end_takes_nothing_from_what_is_known() {
    let mut walk = walk(Depth::All, &[None]);
    walk.next_pages();
    walk.land(3, Page::Unknown("timeout".into()), finds);
    walk.land(0, page(0, &[]), finds);
    walk.land(2, Page::NoResults, finds);
    walk.land(1, page(1, &[]), finds);
    assert_eq!(walk.observe(0, 0).state, State::NotInDepth);
}

#[test]
fn all_places_are_not_told_when_a_page_is_missing() {
    let wanted = Wanted {
        all: true,
        last: None,
    };
    let mut walk = Walk::new(2, Depth::Stop, 10, vec![wanted]);
    walk.next_pages();
    walk.land(0, page(0, &["me.test"]), finds);
    walk.next_pages();
    walk.land(1, Page::Unknown("timeout".into()), finds);
    let seen = walk.observe(0, 0);
    assert_eq!((seen.position, seen.lower_bound), (Some(1), false));
    assert_eq!(seen.value, None);
}

/// Pages of a made-up site, full but for the last.
#[derive(Debug, Clone)]
struct Site {
    /// By page and place: whether it is the target's.
    truth: Vec<Vec<bool>>,
    /// What it shows behind its last page: that one again, or nothing.
    shows_last_again: bool,
    fails: Vec<bool>,
    most: u32,
    depth: Depth,
    all: bool,
    last: Option<u32>,
    /// Which of the pages that are waited for comes next.
    order: Vec<u8>,
}

impl Site {
    fn any() -> impl Strategy<Value = Site> {
        let target = prop::bool::weighted(0.04);
        let full = prop::collection::vec(target, 10);
        let depth = prop::sample::select(vec![Depth::All, Depth::Stop, Depth::Smart]);
        (
            (prop::collection::vec(full, 0..5), 1..10_usize),
            any::<bool>(),
            prop::collection::vec(prop::bool::weighted(0.25), 6),
            1..7_u32,
            depth,
            any::<bool>(),
            prop::option::of(0..7_u32),
            prop::collection::vec(any::<u8>(), 8),
        )
            .prop_map(
                |((mut truth, size), again, fails, most, depth, all, last, order)| {
                    if let Some(last) = truth.last_mut() {
                        last.truncate(size);
                    }
                    Site {
                        truth,
                        // Passing over is a bet that there are as many pages as the last time.
                        shows_last_again: again && depth != Depth::Smart,
                        fails,
                        most,
                        depth,
                        all,
                        last,
                        order,
                    }
                },
            )
    }

    fn answer(&self, number: u32) -> Page {
        let at = number as usize;
        if self.fails[at] {
            return Page::Unknown("timeout".into());
        }
        let shown = match self.truth.len().checked_sub(1) {
            Some(last) if at > last && self.shows_last_again => last,
            Some(last) if at <= last => at,
            _ => return Page::NoResults,
        };
        let hit = |(index, own): (usize, &bool)| Hit {
            url: format!(
                "https://{}-{shown}-{index}/",
                if *own { "me.test" } else { "a" }
            )
            .into(),
            title: None,
        };
        Page::Results(self.truth[shown].iter().enumerate().map(hit).collect())
    }

    /// The places of the target within the depth.
    fn places(&self) -> Vec<u32> {
        let pages = self.truth.iter().take(self.most as usize);
        let places = (1..).zip(pages.flatten());
        places.filter(|(_, own)| **own).map(|(at, _)| at).collect()
    }

    fn walked(&self) -> Observation {
        let wanted = Wanted {
            all: self.all,
            last: self.last,
        };
        let mut walk = Walk::new(self.most, self.depth, 10, vec![wanted]);
        let mut out: Vec<u32> = Vec::new();
        let mut order = self.order.iter().cycle();
        loop {
            out.extend(walk.next_pages());
            if out.is_empty() {
                assert!(walk.is_done());
                return walk.observe(0, 0);
            }
            let next = order.next().map_or(0, |next| usize::from(*next)) % out.len();
            let number = out.swap_remove(next);
            walk.land(number, self.answer(number), finds);
        }
    }
}

proptest! {
    #[test]
    fn whatever_fails_an_observation_is_true_or_a_true_bound_or_unknown(site in Site::any()) {
        let (seen, places) = (site.walked(), site.places());
        let passes_over = site.depth == Depth::Smart && !site.all;
        match (seen.state, seen.position) {
            (State::Ranked, Some(at)) if seen.lower_bound => {
                prop_assert!(site.fails.contains(&true));
                // Who passes pages over knows of one place, which need not be the first.
                let bounded = if passes_over { places.last() } else { places.first() };
                prop_assert!(bounded.is_some_and(|place| at <= *place), "{seen:?} {places:?}");
            }
            (State::Ranked, Some(at)) if passes_over => prop_assert!(places.contains(&at)),
            (State::Ranked, at) => prop_assert_eq!(at, places.first().copied()),
            (State::NotInDepth, at) => {
                prop_assert_eq!(at, None);
                prop_assert!(places.is_empty(), "{places:?}");
            }
            (State::NoResults, _) => prop_assert!(site.truth.is_empty()),
            (State::Unknown, _) => prop_assert!(site.fails.contains(&true)),
            (state, _) => prop_assert!(false, "{}", state),
        }
        if let Some(told) = &seen.value {
            let all: Vec<String> = places.iter().map(u32::to_string).collect();
            prop_assert_eq!(&**told, all.join(" "));
        }
    }
}
