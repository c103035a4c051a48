//! Many texts searched for at once, all of them at every place, letters of ASCII alike in both cases.
//!
//! Texts are found by their rarest runs ([`super::runs`]), whatever their number, and only those of a few bytes by an automaton. Both
//! are made when they are first needed: ordinary pages never need them, and a command that ends at once should not wait for them.
//!
//! A step of an automaton waits for the memory that the step before has asked for, which is most of what it costs. So a long
//! page is searched in four parts at the same time.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, StartKind};

use super::rarity::{rarest, rarest_bytes};
use super::runs::{DENSE_SHORTEST, Dense, MOST, Sparse};

/// Texts of middling length from which they are found by their runs: an automaton of so many outgrows the nearest memory.
const MANY: usize = 24;
/// Parts of a text that are searched at the same time.
const LANES: usize = 4;
/// Bytes below which a part is not worth its beginning.
const SHORT: usize = 128;

/// Texts, numbered in the order in which they were added; letters of ASCII count the same in both cases.
#[derive(Debug, Default)]
pub(super) struct Finder {
    texts: Vec<String>,
    search: OnceLock<Search>,
}

/// What finds them.
#[derive(Debug)]
struct Search {
    /// Of the long ones the number, and where in the text its rarest piece begins.
    long: Vec<(usize, usize)>,
    sparse: Sparse,
    /// The same of those that are less long.
    middling: Vec<(usize, usize)>,
    dense: Option<Dense>,
    /// Of the others the number.
    short: Vec<usize>,
    automaton: Option<DFA>,
}

impl Finder {
    pub(super) fn new(texts: Vec<String>) -> Self {
        Finder {
            texts,
            search: OnceLock::new(),
        }
    }

    /// Every place where a text stands, overlapping ones too, from the first end to the last and the longest first: the text's
    /// number, and from where to where.
    pub(super) fn each(&self, haystack: &[u8], mut found: impl FnMut(usize, Range<usize>)) {
        let mut places = Vec::new();
        self.which(haystack, |text, end| places.push((end, text)));
        places.sort_unstable_by_key(|(end, text)| (*end, Reverse(self.texts[*text].len()), *text));
        for (end, text) in places {
            found(text, end - self.texts[text].len()..end);
        }
    }

    /// As [`Finder::each`], in no order: the text's number, and where it ends.
    pub(super) fn which(&self, haystack: &[u8], mut found: impl FnMut(usize, usize)) {
        if self.texts.is_empty() {
            return;
        }
        let search = self.search.get_or_init(|| Search::new(&self.texts));
        let mut compare = |(number, from): (usize, usize), start: usize| {
            let text = self.texts[number].as_bytes();
            let there = start.checked_sub(from).filter(|start| {
                let there = haystack.get(*start..start + text.len());
                there.is_some_and(|there| there.eq_ignore_ascii_case(text))
            });
            if let Some(start) = there {
                found(number, start + text.len());
            }
            false
        };
        search
            .sparse
            .any(haystack, |piece, start| compare(search.long[piece], start));
        if let Some(dense) = &search.dense {
            dense.any(haystack, |piece, start| {
                compare(search.middling[piece], start)
            });
        }
        if let Some(automaton) = &search.automaton {
            step_through(automaton, haystack, |text, end| {
                found(search.short[text], end);
            });
        }
    }
}

impl Search {
    fn new(texts: &[String]) -> Self {
        let (mut long, mut middling, mut short) = (Vec::new(), Vec::new(), Vec::new());
        for (number, text) in texts.iter().enumerate() {
            let text = text.as_bytes();
            match (rarest(text), rarest_bytes(text, DENSE_SHORTEST)) {
                (Some(start), _) if long.len() < MOST => long.push((number, start)),
                (_, Some(start)) if middling.len() < MOST => middling.push((number, start)),
                _ => short.push(number),
            }
        }
        if middling.len() < MANY {
            short.extend(middling.drain(..).map(|(number, _)| number));
        }
        let piece = |(number, start): &(usize, usize)| &texts[*number].as_bytes()[*start..];
        let automaton = || {
            DFA::builder()
                .ascii_case_insensitive(true)
                .start_kind(StartKind::Unanchored)
                .prefilter(false)
                .build(short.iter().map(|number| &texts[*number]))
                .expect("rule files are far from the limits of an automaton")
        };
        Search {
            sparse: Sparse::new(long.iter().map(piece)),
            long,
            dense: (!middling.is_empty()).then(|| Dense::new(middling.iter().map(piece))),
            middling,
            automaton: (!short.is_empty()).then(automaton),
            short,
        }
    }
}

/// Tells `found` every place where a text of the automaton stands: its number, and where it ends.
fn step_through(dfa: &DFA, haystack: &[u8], mut found: impl FnMut(usize, usize)) {
    let start = dfa
        .start_state(Anchored::No)
        .expect("made for searches that begin anywhere");
    let mut report = |state, end| {
        for nth in 0..dfa.match_len(state) {
            found(dfa.match_pattern(state, nth).as_usize(), end);
        }
    };
    // Parts overlap, so that what lies across their border is whole in one of them.
    let overlap = dfa.max_pattern_len().saturating_sub(1);
    let part = haystack.len().saturating_sub(overlap) / LANES;
    if part >= SHORT + overlap {
        let length = haystack.len() - (LANES - 1) * part;
        let mut states = [start; LANES];
        let mut at = 0;
        let rest = |at| [0, 1, 2, 3].map(|lane| &haystack[lane * part + at..lane * part + length]);
        while let Some(more) = go_on(dfa, rest(at), &mut states) {
            at += more;
            for (lane, state) in states.into_iter().enumerate() {
                // What ends earlier has ended in the part before.
                if dfa.is_match(state) && (lane == 0 || at > length - part) {
                    report(state, lane * part + at);
                }
            }
        }
        return;
    }
    let mut state = start;
    for (at, byte) in haystack.iter().enumerate() {
        state = dfa.next_state(Anchored::No, state, *byte);
        if dfa.is_match(state) {
            report(state, at + 1);
        }
    }
}

/// Takes bytes of all parts until something may have been found; gives how many of each. A function of its own that calls
/// nothing: so the processor has the automaton's addresses in registers.
#[inline(never)]
fn go_on(dfa: &DFA, parts: [&[u8]; LANES], states: &mut [StateID; LANES]) -> Option<usize> {
    let mut now = *states;
    let length = parts[0].len();
    let parts = parts.map(|part| &part[..length]);
    for at in 0..length {
        // One jump for all of them.
        let mut special = false;
        for (state, part) in now.iter_mut().zip(parts) {
            *state = dfa.next_state(Anchored::No, *state, part[at]);
            special |= dfa.is_special(*state);
        }
        if special {
            *states = now;
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::test_runner::TestCaseError;

    use super::*;

    /// Compares what is found with what a search for each of the texts finds.
    fn finds_all(texts: &[String], page: &str) -> Result<(), TestCaseError> {
        let folded = page.to_lowercase();
        let mut expected: Vec<(usize, usize)> = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let starts = (0..folded.len()).filter(|at| folded[*at..].starts_with(text));
            expected.extend(starts.map(|at| (at + text.len(), number)));
        }
        let mut seen = Vec::new();
        let finder = Finder::new(texts.to_vec());
        finder.each(page.as_bytes(), |number, range| {
            seen.push((range.end, number))
        });
        proptest::prop_assert!(seen.is_sorted_by_key(|(end, _)| *end));
        expected.sort_unstable();
        seen.sort_unstable();
        proptest::prop_assert_eq!(seen, expected);
        Ok(())
    }

    proptest::proptest! {
        #[test]
        fn texts_are_found_wherever_the_parts_are_cut(page in "[abAB<]{0,9000}", more in "[ab]{1,14}") {
            finds_all(&["a", "ab", "bab", "<a", &more].map(str::to_owned), &page)?;
        }

        #[test]
        fn many_texts_of_all_lengths_are_found_wherever_they_stand(
            texts in proptest::collection::vec("[ab]{5,12}", 2 * MANY), page in "[abA]{0,300}"
        ) {
            finds_all(&texts, &page)?;
        }
    }
}
