//! Many texts searched for at once, by an automaton that is made when it is first needed: ordinary pages never need it, and a
//! command that ends at once should not wait for it.
//!
//! A step of an automaton waits for the memory that the step before has asked for, which is most of what it costs. So a long
//! text is searched in four parts at the same time.

use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, StartKind};

/// Parts of a text that are searched at the same time.
const LANES: usize = 4;
/// Bytes below which a part is not worth its beginning.
const SHORT: usize = 128;

/// Texts, numbered in the order in which they were added; letters of ASCII count the same in both cases.
#[derive(Debug, Default)]
pub(super) struct Finder {
    texts: Vec<String>,
    automaton: OnceLock<DFA>,
}

impl Finder {
    pub(super) fn new(texts: Vec<String>) -> Self {
        Finder {
            texts,
            automaton: OnceLock::new(),
        }
    }

    /// Every place where a text stands, overlapping ones too, from the first end to the last: the text's number, and from where
    /// to where.
    pub(super) fn each(&self, haystack: &[u8], mut found: impl FnMut(usize, Range<usize>)) {
        let mut places = Vec::new();
        self.which(haystack, |text, end| places.push((end, text)));
        places.sort_by_key(|(end, _)| *end);
        for (end, text) in places {
            found(text, end - self.texts[text].len()..end);
        }
    }

    /// As [`Finder::each`], in no order: the text's number, and where it ends.
    pub(super) fn which(&self, haystack: &[u8], mut found: impl FnMut(usize, usize)) {
        if self.texts.is_empty() {
            return;
        }
        let dfa = self.automaton();
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
            let rest =
                |at| [0, 1, 2, 3].map(|lane| &haystack[lane * part + at..lane * part + length]);
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

    fn automaton(&self) -> &DFA {
        self.automaton.get_or_init(|| {
            DFA::builder()
                .ascii_case_insensitive(true)
                .start_kind(StartKind::Unanchored)
                .prefilter(false)
                .build(&self.texts)
                .expect("rule files are far from the limits of an automaton")
        })
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
    use super::*;

    proptest::proptest! {
        #[test]
        fn texts_are_found_wherever_the_parts_are_cut(page in "[abAB<]{0,9000}", more in "[ab]{1,3}") {
            let texts = ["a", "ab", "bab", "<a", &more];
            let finder = Finder::new(texts.map(str::to_owned).to_vec());
            let folded = page.to_lowercase();
            let mut expected: Vec<(usize, usize)> = Vec::new();
            for (number, text) in texts.iter().enumerate() {
                let starts = (0..folded.len()).filter(|at| folded[*at..].starts_with(text));
                expected.extend(starts.map(|at| (at + text.len(), number)));
            }
            let mut seen = Vec::new();
            finder.each(page.as_bytes(), |number, range| seen.push((range.end, number)));
            proptest::prop_assert!(seen.is_sorted_by_key(|(end, _)| *end));
            expected.sort_unstable();
            seen.sort_unstable();
            proptest::prop_assert_eq!(seen, expected);
        }
    }
}
