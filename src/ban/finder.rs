//! Many texts searched for at once, by an automaton that is made when it is first needed: ordinary pages never need it, and a
//! command that ends at once should not wait for it.

use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

/// Texts, numbered in the order in which they were added; letters of ASCII count the same in both cases.
#[derive(Debug, Default)]
pub(super) struct Finder {
    texts: Vec<String>,
    automaton: OnceLock<AhoCorasick>,
}

impl Finder {
    pub(super) fn new(texts: Vec<String>) -> Self {
        Finder {
            texts,
            automaton: OnceLock::new(),
        }
    }

    /// Every place where a text stands, overlapping ones too: the text's number, and from where to where.
    pub(super) fn each(
        &self,
        haystack: &[u8],
        mut found: impl FnMut(usize, std::ops::Range<usize>),
    ) {
        if self.texts.is_empty() {
            return;
        }
        for place in self.automaton().find_overlapping_iter(haystack) {
            found(place.pattern().as_usize(), place.range());
        }
    }

    fn automaton(&self) -> &AhoCorasick {
        self.automaton.get_or_init(|| {
            AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .kind(Some(AhoCorasickKind::DFA))
                .build(&self.texts)
                .expect("rule files are far from the limits of an automaton")
        })
    }
}
