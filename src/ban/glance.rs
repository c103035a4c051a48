//! A glance at a page: is any of some hundred texts in it?
//!
//! The answer is nearly always no, and it has to cost next to nothing however many the texts are. So only every sixth place of a page
//! is looked at: of each text, six runs of five bytes are known, one of which has to stand at such a place wherever the text itself
//! begins. One bit for each possible run, by a hash, says whether it is known; what it does not rule out is compared. Letters count
//! the same in both cases.
//!
//! 8 kB cost 1.1 to 1.5 µs with 500 texts; a vectorised search cost as much for each sixty of them.

use std::collections::HashSet;

use foldhash::fast::RandomState;

/// Bytes of a run.
const RUN: usize = 5;
/// Bytes between the places looked at.
const STRIDE: usize = 6;
/// Places that are asked about at once.
const PLACES: usize = 8;
/// Their bytes.
const BLOCK: usize = PLACES * STRIDE;
/// Shortest text that cannot be stepped over.
pub(super) const SHORTEST: usize = RUN + STRIDE - 1;
/// Longest piece of a text that is compared.
const LONGEST: usize = 18;
/// Bits of the hash: 16 kB of bits, half of the fastest cache.
const BITS: u32 = 17;
/// Of them, those that the heads of the table of runs do without.
const SHARED: u32 = 4;
/// Clears what tells large letters from small ones, and all beyond five bytes.
const FOLDED: u64 = 0xdf_dfdf_dfdf;
/// What a run that ordinary pages are full of takes from the rarity of a piece: about what the letters of one add.
const COMMON_COSTS: i32 = 8;
/// What ordinary pages are full of: markup, and words that every site says.
const COMMON: [&str; 6] = [
    r#"javascript|contents|function|background|windows|document|display|class="|style="|title="|https://www."#,
    r#"google.com| the | and | this | your | you | with | have | from | that |page |block|source|filter|config|check"#,
    r#"global|active|service|support|device|international|action|section|protection|policy|privacy|account|security"#,
    r#"click|button|access|loading|network|continue|through|address|information|customer|verify|browser|traffic"#,
    r#"website|server|online|error|message|control|number|version|product|update|email|register|company|please|cookies"#,
    r#"enable|position|requests|.com/|link |link-|script "#,
];

/// A set of texts, each with the answers for which it matters.
#[derive(Debug)]
pub(super) struct Glance {
    known: Box<[u64; 1 << (BITS - 6)]>,
    /// By the hash of a run: the first of those that share it, by its number from 1.
    heads: Box<[u32; 1 << (BITS - SHARED)]>,
    runs: Vec<Run>,
    texts: Vec<Wanted>,
    /// The runs of [`COMMON`].
    common: HashSet<u64, RandomState>,
}

/// A run of a text.
#[derive(Debug)]
struct Run {
    bytes: u64,
    text: u32,
    /// Where in the text it is.
    at: u8,
    /// The next of those that share the hash.
    next: u32,
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
            heads: Box::new([0; 1 << (BITS - SHARED)]),
            runs: Vec::new(),
            texts: Vec::new(),
            common: common_runs(),
        }
    }

    /// Adds a text of at least [`SHORTEST`] bytes, of which the rarest piece is looked for; false when it is shorter.
    pub(super) fn add(&mut self, text: &[u8], longest: usize, by_proxy: bool) -> bool {
        let Some(last) = text.len().checked_sub(SHORTEST) else {
            return false;
        };
        let start = rarest(text, last, &self.common);
        let end = text.len().min(start + LONGEST);
        let bytes: Box<[u8]> = text[start..end].iter().map(|byte| byte | 0x20).collect();
        // Those that are the same have their first run in common.
        let same = self
            .sharing(fold(run_of(&bytes)))
            .find(|run| run.at == 0 && self.texts[run.text as usize].bytes == bytes)
            .map(|run| run.text as usize);
        if let Some(same) = same {
            let wanted = &mut self.texts[same];
            wanted.longest = wanted.longest.max(longest);
            wanted.by_proxy &= by_proxy;
            return true;
        }
        for at in 0..STRIDE {
            let run = fold(run_of(&bytes[at..]));
            let place = place(run);
            self.known[place >> 6] |= 1 << (place & 63);
            let head = &mut self.heads[place >> SHARED];
            self.runs.push(Run {
                bytes: run,
                text: self.texts.len() as u32,
                at: at as u8,
                next: *head,
            });
            *head = self.runs.len() as u32;
        }
        self.texts.push(Wanted {
            bytes,
            longest,
            by_proxy,
        });
        true
    }

    /// Where a run stands in texts.
    fn sharing(&self, bytes: u64) -> impl Iterator<Item = &Run> {
        let mut next = self.heads[place(bytes) >> SHARED];
        std::iter::from_fn(move || {
            let run = self.runs.get((next as usize).checked_sub(1)?)?;
            next = run.next;
            Some(run)
        })
        .filter(move |run| run.bytes == bytes)
    }

    /// True when a text that matters for a page of `size` bytes is in this part of it.
    pub(super) fn sees(&self, part: &[u8], size: usize, by_proxy: bool) -> bool {
        let (blocks, rest) = part.as_chunks::<BLOCK>();
        for (number, block) in blocks.iter().enumerate() {
            // One question in place of eight.
            let runs = runs_of(block);
            let known = runs.iter().fold(0, |any, run| any | self.bit(*run));
            if known & 1 != 0 && self.is_in(part, number * BLOCK, block, size, by_proxy) {
                return true;
            }
        }
        let start = part.len() - rest.len();
        (start..part.len()).step_by(STRIDE).any(|at| {
            part.get(at..at + RUN)
                .is_some_and(|bytes| self.is_text(part, at, fold(run_of(bytes)), size, by_proxy))
        })
    }

    /// The same of the places of the block that begins at `start`. The runs are made once more: to keep them takes more
    /// registers than there are.
    #[cold]
    fn is_in(
        &self,
        part: &[u8],
        start: usize,
        block: &[u8; BLOCK],
        size: usize,
        by_proxy: bool,
    ) -> bool {
        runs_of(block).iter().enumerate().any(|(nth, run)| {
            let at = start + nth * STRIDE;
            self.bit(*run) & 1 != 0 && self.is_text(part, at, *run, size, by_proxy)
        })
    }

    /// A word that is odd when the run is known.
    fn bit(&self, run: u64) -> u64 {
        self.known[place(run) >> 6] >> (place(run) & 63)
    }

    fn is_text(&self, part: &[u8], at: usize, run: u64, size: usize, by_proxy: bool) -> bool {
        self.sharing(run).any(|run| {
            let wanted = &self.texts[run.text as usize];
            size <= wanted.longest
                && (by_proxy || !wanted.by_proxy)
                && at
                    .checked_sub(usize::from(run.at))
                    .and_then(|start| part.get(start..start + wanted.bytes.len()))
                    .is_some_and(|found| {
                        found.iter().zip(&wanted.bytes).all(|(a, b)| a | 0x20 == *b)
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
fn runs_of(block: &[u8; BLOCK]) -> [u64; PLACES] {
    // Eight bytes in one load, of which folding drops three. The last word would end outside, so it begins earlier.
    std::array::from_fn(|place| {
        let outside = (place * STRIDE + 8).saturating_sub(BLOCK);
        let eight = block[place * STRIDE - outside..].first_chunk();
        fold(eight.map_or(0, |eight| u64::from_le_bytes(*eight)) >> (8 * outside))
    })
}

/// The first five bytes of eight, large letters and small ones alike; some other bytes become alike, too.
fn fold(word: u64) -> u64 {
    word & FOLDED
}

fn place(run: u64) -> usize {
    (run.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS)) as usize
}

/// The start, `last` at most, of the [`SHORTEST`] bytes that ordinary pages have least; the first of several.
fn rarest(text: &[u8], last: usize, common: &HashSet<u64, RandomState>) -> usize {
    let bytes: Vec<i32> = text.iter().map(|byte| rarity(*byte)).collect();
    let runs = text.windows(RUN).map(|run| fold(run_of(run)));
    let runs: Vec<i32> = runs.map(|run| i32::from(common.contains(&run))).collect();
    let score = |start: usize| {
        let common: i32 = runs[start..start + STRIDE].iter().sum();
        bytes[start..start + SHORTEST].iter().sum::<i32>() - COMMON_COSTS * common
    };
    (0..=last)
        .rev()
        .max_by_key(|start| score(*start))
        .unwrap_or(0)
}

/// The runs that ordinary pages are full of.
fn common_runs() -> HashSet<u64, RandomState> {
    let words = COMMON.iter().flat_map(|line| line.split('|'));
    let runs = words.flat_map(|word| word.as_bytes().windows(RUN));
    runs.map(|run| fold(run_of(run))).collect()
}

/// How rare a byte is in ordinary pages.
fn rarity(byte: u8) -> i32 {
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
    i32::from(RARITIES[usize::from(byte)])
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
