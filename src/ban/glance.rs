//! A glance at a page: is any of some hundred texts in it?
//!
//! The answer is nearly always no, and it has to cost next to nothing however many the texts are. So only every sixth place of a page
//! is looked at: of each text, six runs of five bytes are known, one of which has to stand at such a place wherever the text itself
//! begins. One bit for each possible run, by a hash, says whether it is known; what it does not rule out is compared. Letters count
//! the same in both cases.
//!
//! 8 kB cost about 1.5 µs with 400 texts; a vectorised search cost as much for each sixty of them.

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::RandomState;

/// Bytes of a run.
const RUN: usize = 5;
/// Bytes between the places looked at.
const STRIDE: usize = 6;
/// Bytes of four places.
const BLOCK: usize = 4 * STRIDE;
/// Shortest text that cannot be stepped over.
pub(super) const SHORTEST: usize = RUN + STRIDE - 1;
/// Longest piece of a text that is compared.
const LONGEST: usize = 18;
/// Bits of the hash: 16 kB of bits, half of the fastest cache.
const BITS: u32 = 17;

/// A set of texts, each with the answers for which it matters.
#[derive(Debug)]
pub(super) struct Glance {
    known: Box<[u64; 1 << (BITS - 6)]>,
    /// By run: which text, and where in it the run is.
    runs: HashMap<u64, Vec<(u16, u8)>, RandomState>,
    texts: Vec<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    /// With all letters folded.
    bytes: Box<[u8]>,
    /// Size of the largest page in which it matters, in bytes.
    longest: usize,
    /// Matters only where somebody on the way may have answered.
    by_proxy: bool,
}

impl Glance {
    pub(super) fn new() -> Self {
        Glance {
            known: Box::new([0; 1 << (BITS - 6)]),
            runs: HashMap::default(),
            texts: Vec::new(),
        }
    }

    /// Adds a text of at least [`SHORTEST`] bytes, of which the rarest piece is looked for; false when it is shorter.
    pub(super) fn add(&mut self, text: &[u8], longest: usize, by_proxy: bool) -> bool {
        let Some(last) = text.len().checked_sub(SHORTEST) else {
            return false;
        };
        let start = rarest(text, last);
        let end = text.len().min(start + LONGEST);
        let bytes: Box<[u8]> = text[start..end].iter().map(|byte| byte | 0x20).collect();
        // Those that are the same have their first run in common.
        let first = self.runs.get(&fold(run_of(&bytes)));
        let same = first
            .into_iter()
            .flatten()
            .find(|(number, at)| *at == 0 && self.texts[usize::from(*number)].bytes == bytes);
        if let Some((number, _)) = same {
            let wanted = &mut self.texts[usize::from(*number)];
            wanted.longest = wanted.longest.max(longest);
            wanted.by_proxy &= by_proxy;
            return true;
        }
        let number = self.texts.len() as u16;
        for at in 0..STRIDE {
            let run = fold(run_of(&bytes[at..]));
            self.known[place(run) >> 6] |= 1 << (place(run) & 63);
            self.runs.entry(run).or_default().push((number, at as u8));
        }
        self.texts.push(Wanted {
            bytes,
            longest,
            by_proxy,
        });
        true
    }

    /// True when a text that matters for a page of `size` bytes is in this part of it.
    pub(super) fn sees(&self, part: &[u8], size: usize, by_proxy: bool) -> bool {
        let (blocks, rest) = part.as_chunks::<BLOCK>();
        for (number, block) in blocks.iter().enumerate() {
            // One question in place of four. What was asked is worked out again if the answer is yes: to keep it takes more
            // registers than there are.
            let known = runs_of(block)
                .iter()
                .fold(0, |any, run| any | self.bit(*run));
            let steps = number * BLOCK..(number + 1) * BLOCK;
            if known & 1 != 0 && self.is_in(part, steps, size, by_proxy) {
                return true;
            }
        }
        self.is_in(part, part.len() - rest.len()..part.len(), size, by_proxy)
    }

    /// The same at these places only.
    #[cold]
    fn is_in(&self, part: &[u8], steps: Range<usize>, size: usize, by_proxy: bool) -> bool {
        steps.step_by(STRIDE).any(|at| {
            part.get(at..at + RUN).is_some_and(|bytes| {
                let run = fold(run_of(bytes));
                self.bit(run) & 1 != 0 && self.is_text(part, at, run, size, by_proxy)
            })
        })
    }

    /// A word that is odd when the run is known.
    fn bit(&self, run: u64) -> u64 {
        self.known[place(run) >> 6] >> (place(run) & 63)
    }

    #[cold]
    fn is_text(&self, part: &[u8], at: usize, run: u64, size: usize, by_proxy: bool) -> bool {
        self.runs
            .get(&run)
            .into_iter()
            .flatten()
            .any(|(number, offset)| {
                let wanted = &self.texts[usize::from(*number)];
                let start = at.checked_sub(usize::from(*offset));
                size <= wanted.longest
                    && (by_proxy || !wanted.by_proxy)
                    && start.is_some_and(|start| {
                        let found = part.get(start..start + wanted.bytes.len());
                        found.is_some_and(|found| {
                            found.iter().zip(&wanted.bytes).all(|(a, b)| a | 0x20 == *b)
                        })
                    })
            })
    }
}

/// The first five bytes.
fn run_of(bytes: &[u8]) -> u64 {
    let [a, b, c, d, e] = [bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]];
    u64::from(u32::from_le_bytes([a, b, c, d])) | u64::from(e) << 32
}

/// The runs at each place of a block, folded.
fn runs_of(block: &[u8; BLOCK]) -> [u64; BLOCK / STRIDE] {
    // Eight bytes in one load, of which three are dropped.
    let word = |at: usize| {
        block[at..]
            .first_chunk()
            .map_or(0, |eight| u64::from_le_bytes(*eight))
    };
    let five = |word: u64| fold(word & 0xff_ffff_ffff);
    [
        five(word(0)),
        five(word(STRIDE)),
        five(word(2 * STRIDE)),
        // The word that begins there would end outside.
        five(word(BLOCK - 8) >> 16),
    ]
}

fn fold(word: u64) -> u64 {
    word | 0x20_2020_2020
}

fn place(run: u64) -> usize {
    (run.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS)) as usize
}

/// The start, `last` at most, of the rarest [`SHORTEST`] bytes; the first of several.
fn rarest(text: &[u8], last: usize) -> usize {
    let mut sum: u32 = text[..SHORTEST].iter().map(|byte| rarity(*byte)).sum();
    let (mut start, mut most) = (0, sum);
    for at in 1..=last {
        sum = sum + rarity(text[at + SHORTEST - 1]) - rarity(text[at - 1]);
        if sum > most {
            (start, most) = (at, sum);
        }
    }
    start
}

/// How rare a byte is in ordinary pages.
fn rarity(byte: u8) -> u32 {
    const RARITIES: [u8; 256] = {
        let mut all = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            all[byte] = match byte as u8 {
                b'_' | b'!' | b'#' | b'|' | b'?' | b'@' | b'&' => 4,
                b'0'..=b'9' | b'A'..=b'Z' | b'j' | b'k' | b'q' | b'x' | b'z' => 3,
                b'b' | b'g' | b'h' | b'm' | b'p' | b'u' | b'v' | b'w' | b'y' | 0x80.. => 2,
                b' ' | b'e' | b't' | b'a' | b's' | b'<' | b'>' | b'"' | b'/' | b'=' => 0,
                _ => 1,
            };
            byte += 1;
        }
        all
    };
    u32::from(RARITIES[usize::from(byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_seen_at_every_place_and_in_both_cases() {
        let mut glance = Glance::new();
        assert!(glance.add(b"you are human", usize::MAX, false));
        assert!(!glance.add(b"too short", usize::MAX, false));
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
        let mut glance = Glance::new();
        glance.add(b"this site is blocked", 5_000, true);
        glance.add(b"window._cf_chl_opt", usize::MAX, false);
        let sees = |text: &str, size, by_proxy| glance.sees(text.as_bytes(), size, by_proxy);
        assert!(sees("This site is blocked.", 4_000, true));
        assert!(!sees("This site is blocked.", 4_000, false));
        assert!(!sees("This site is blocked.", 6_000, true));
        assert!(sees("<script>window._cf_chl_opt={}", 1 << 20, false));
    }

    proptest::proptest! {
        #[test]
        fn it_sees_what_is_there_and_nothing_else(text in "[a-c]{10,14}", page in "[a-cA-C]{0,60}", at in 0..60usize, put: bool) {
            let mut glance = Glance::new();
            glance.add(text.as_bytes(), usize::MAX, false);
            let mut page = page;
            if put {
                page.insert_str(at.min(page.len()), &text);
            }
            let there = page.to_lowercase().contains(&text);
            proptest::prop_assert_eq!(glance.sees(page.as_bytes(), page.len(), false), there);
        }
    }
}
