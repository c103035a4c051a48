//! A glance at a page: is any of some hundred texts in it?
//!
//! The answer is nearly always no, and it has to cost next to nothing however many the texts are; how, see [`super::runs`].

use std::collections::HashMap;

use super::rarity::rarest;
use super::runs::{MOST, Sparse};

/// Most bytes of a text that are compared.
const LONGEST: usize = 18;

/// A set of texts, each with the answers for which it matters.
#[derive(Debug, Default)]
pub(super) struct Glance {
    runs: Sparse,
    pieces: Vec<Piece>,
}

/// What is compared of a text.
#[derive(Debug)]
struct Piece {
    /// Size of the largest page in which it matters, in bytes.
    longest: usize,
    /// Matters only where somebody on the way may have answered.
    by_proxy: bool,
    /// Bytes of `folded` that count.
    length: u8,
    /// Of them, those before the rarest piece.
    lead: u8,
    /// With all letters folded.
    folded: [u8; LONGEST],
}

impl Piece {
    fn rarest(&self) -> &[u8] {
        &self.folded[usize::from(self.lead)..usize::from(self.length)]
    }
}

/// Takes texts.
#[derive(Debug, Default)]
pub(super) struct Builder {
    pieces: Vec<Piece>,
    /// By what is in them.
    numbers: HashMap<Vec<u8>, usize>,
}

impl Builder {
    /// Adds a text of at least [`super::runs::SHORTEST`] bytes, of which the rarest piece is looked for; false when it is
    /// shorter.
    pub(super) fn add(&mut self, text: &[u8], longest: usize, by_proxy: bool) -> bool {
        let Some(start) = rarest(text) else {
            return false;
        };
        // As much of the text as is compared, with its rarest piece in it.
        let from = start.min(text.len().saturating_sub(LONGEST));
        let to = text.len().min(from + LONGEST);
        let letters: Vec<u8> = text[from..to].iter().map(|byte| byte | 0x20).collect();
        if let Some(&same) = self.numbers.get(&letters) {
            let piece = &mut self.pieces[same];
            piece.longest = piece.longest.max(longest);
            piece.by_proxy &= by_proxy;
            return true;
        }
        let mut folded = [0; LONGEST];
        folded[..letters.len()].copy_from_slice(&letters);
        self.pieces.push(Piece {
            longest,
            by_proxy,
            length: letters.len() as u8,
            lead: (start - from) as u8,
            folded,
        });
        self.numbers.insert(letters, self.pieces.len() - 1);
        true
    }

    /// # Errors
    /// More texts than can be numbered.
    pub(super) fn build(self) -> Result<Glance, String> {
        if self.pieces.len() > MOST {
            return Err(format!("more than {MOST} texts to look for in successes"));
        }
        Ok(Glance {
            runs: Sparse::new(self.pieces.iter().map(Piece::rarest)),
            pieces: self.pieces,
        })
    }
}

impl Glance {
    /// True when a text that matters for a page of `size` bytes is in this part of it.
    pub(super) fn sees(&self, part: &[u8], size: usize, by_proxy: bool) -> bool {
        self.runs.any(part, |piece, start| {
            let piece = &self.pieces[piece];
            let bytes = &piece.folded[..usize::from(piece.length)];
            size <= piece.longest
                && (by_proxy || !piece.by_proxy)
                && start
                    .checked_sub(usize::from(piece.lead))
                    .and_then(|start| part.get(start..start + bytes.len()))
                    .is_some_and(|found| found.iter().zip(bytes).all(|(a, b)| a | 0x20 == *b))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_seen_at_every_place_and_in_both_cases() {
        let mut texts = Builder::default();
        assert!(texts.add(b"you are human", usize::MAX, false));
        assert!(!texts.add(b"too short", usize::MAX, false));
        let glance = texts.build().expect("a few texts");
        for before in 0..40 {
            for after in 0..12 {
                for text in ["you are human", "You Are Human", "YOU ARE HUMAN"] {
                    let page = format!("{}{text}{}", "x".repeat(before), "y".repeat(after));
                    assert!(glance.sees(page.as_bytes(), page.len(), false), "{page}");
                }
                let page = format!("{}you are humid{}", "x".repeat(before), "y".repeat(after));
                assert!(!glance.sees(page.as_bytes(), page.len(), false), "{page}");
            }
        }
    }

    #[test]
    fn a_text_is_seen_only_where_it_matters() {
        let mut texts = Builder::default();
        texts.add(b"this site is blocked", 5_000, true);
        texts.add(b"window._cf_chl_opt", usize::MAX, false);
        let glance = texts.build().expect("a few texts");
        let sees = |text: &str, size, by_proxy| glance.sees(text.as_bytes(), size, by_proxy);
        assert!(sees("This site is blocked.", 4_000, true));
        assert!(!sees("This site is blocked.", 4_000, false));
        assert!(!sees("This site is blocked.", 6_000, true));
        assert!(sees("<script>window._cf_chl_opt={}", 1 << 20, false));
    }

    proptest::proptest! {
        #[test]
        fn it_sees_what_is_there_and_nothing_else(text in "[a-c]{10,14}", page in "[a-cA-C]{0,60}", at in 0..60usize, put: bool) {
            let mut texts = Builder::default();
            texts.add(text.as_bytes(), usize::MAX, false);
            let glance = texts.build().expect("one text");
            let mut page = page;
            if put {
                page.insert_str(at.min(page.len()), &text);
            }
            let there = page.to_lowercase().contains(&text);
            proptest::prop_assert_eq!(glance.sees(page.as_bytes(), page.len(), false), there);
        }
    }
}
