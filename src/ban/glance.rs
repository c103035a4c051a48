//! A glance at a page: is any of some hundred texts in it?
//!
//! The answer is nearly always no, and it has to cost next to nothing however many the texts are. So only every sixth place of a page
//! is looked at: of each text, six runs of five bytes are known, one of which has to stand at such a place wherever the text itself
//! begins. One bit for each possible run, by a hash, says whether it is known; what it does not rule out is compared. Letters count
//! the same in both cases.
//!
//! 8 kB cost 1.1 to 1.5 µs with 500 texts; a vectorised search cost as much for each sixty of them.

use std::collections::{HashMap, HashSet};

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
/// Of them, those by which the runs are not told apart in their table.
const SHARED: u32 = 4;
/// Clears what tells large letters from small ones, and all beyond five bytes.
const FOLDED: u64 = 0xdf_dfdf_dfdf;
/// What a run that ordinary pages are full of takes from the rarity of a piece: about what the letters of one add.
const COMMON_COSTS: i32 = 8;
/// What ordinary pages are full of: markup, and words that every site says.
const COMMON: [&str; 9] = [
    r#"javascript|contents|function|background|windows|document|display|class="|style="|title="|https://www."#,
    r#"google.com| the | and | this | your | you | with | have | from | that |page |block|source|filter|config|check"#,
    r#"global|active|service|support|device|international|action|section|protection|policy|privacy|account|security"#,
    r#"click|button|access|loading|network|continue|through|address|information|customer|verify|browser|traffic"#,
    r#"website|server|online|error|message|control|number|version|product|update|email|register|company|please|cookies"#,
    r#"enable|position|requests|.com/|link |link-|script |ation |contact|interest|people|mobile|search|order|trust|light|state"#,
    r#" for | are | can | our | over | while | more | about| which | their | when | been | were | will | them | other | into "#,
    r#" not | only | some | time | what | there| after | first| where | would | could | these | here | just | like | make "#,
    r#" need | news | home |world|image|button|input|width|height|color|align|center|right|left|hidden|label|value|padding|margin|share"#,
];

/// A set of texts, each with the answers for which it matters.
#[derive(Debug)]
pub(super) struct Glance {
    known: Box<[u64; 1 << (BITS - 6)]>,
    /// By the beginning of the hash of a run: where those that share it begin, and where those of the next do.
    starts: Box<[u16; (1 << (BITS - SHARED)) + 1]>,
    runs: Vec<Run>,
    pieces: Vec<Piece>,
}

/// A run of a piece, in as little memory as will do: ordinary pages have many that a text has, too.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// The rest of its hash.
    rest: u32,
    piece: u16,
    /// Where in the piece it is.
    at: u8,
}

/// What is looked for of a text.
#[derive(Debug)]
struct Piece {
    /// Size of the largest page in which it matters, in bytes.
    longest: usize,
    /// Matters only where somebody on the way may have answered.
    by_proxy: bool,
    /// Bytes of `folded` that count.
    length: u8,
    /// With all letters folded.
    folded: [u8; LONGEST],
}

/// Takes texts.
#[derive(Debug)]
pub(super) struct Builder {
    pieces: Vec<Piece>,
    /// By what is in them.
    numbers: HashMap<Vec<u8>, usize>,
    /// The runs of [`COMMON`].
    common: HashSet<u64, RandomState>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Builder {
            pieces: Vec::new(),
            numbers: HashMap::new(),
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
        let letters: Vec<u8> = text[start..end].iter().map(|byte| byte | 0x20).collect();
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
            folded,
        });
        self.numbers.insert(letters, self.pieces.len() - 1);
        true
    }

    /// # Errors
    /// More texts than can be numbered.
    pub(super) fn build(self) -> Result<Glance, String> {
        let most = usize::from(u16::MAX) / STRIDE;
        if self.pieces.len() > most {
            return Err(format!("more than {most} texts to look for in successes"));
        }
        let mut glance = Glance::default();
        let mut runs = Vec::with_capacity(STRIDE * self.pieces.len());
        for (number, piece) in self.pieces.iter().enumerate() {
            for at in 0..STRIDE {
                let (place, rest) = hash(fold(run_of(&piece.folded[at..])));
                glance.known[place >> 6] |= 1 << (place & 63);
                let run = Run {
                    rest,
                    piece: number as u16,
                    at: at as u8,
                };
                runs.push((place >> SHARED, run));
            }
        }
        runs.sort_by_key(|(bucket, _)| *bucket);
        for (bucket, _) in &runs {
            glance.starts[bucket + 1] += 1;
        }
        let mut end = 0;
        for start in glance.starts.iter_mut() {
            end += *start;
            *start = end;
        }
        glance.runs = runs.into_iter().map(|(_, run)| run).collect();
        glance.pieces = self.pieces;
        Ok(glance)
    }
}

/// Of no texts.
impl Default for Glance {
    fn default() -> Self {
        Glance {
            known: Box::new([0; 1 << (BITS - 6)]),
            starts: Box::new([0; (1 << (BITS - SHARED)) + 1]),
            runs: Vec::new(),
            pieces: Vec::new(),
        }
    }
}

impl Glance {
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
        let (place, _) = hash(run);
        self.known[place >> 6] >> (place & 63)
    }

    fn is_text(&self, part: &[u8], at: usize, run: u64, size: usize, by_proxy: bool) -> bool {
        let (place, rest) = hash(run);
        let bucket = place >> SHARED;
        let sharing = usize::from(self.starts[bucket])..usize::from(self.starts[bucket + 1]);
        let mut runs = self.runs[sharing].iter().filter(|run| run.rest == rest);
        runs.any(|run| {
            let piece = &self.pieces[usize::from(run.piece)];
            let bytes = &piece.folded[..usize::from(piece.length)];
            size <= piece.longest
                && (by_proxy || !piece.by_proxy)
                && at
                    .checked_sub(usize::from(run.at))
                    .and_then(|start| part.get(start..start + bytes.len()))
                    .is_some_and(|found| found.iter().zip(bytes).all(|(a, b)| a | 0x20 == *b))
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

/// The place of its bit, and what else tells it from others.
fn hash(run: u64) -> (usize, u32) {
    let hash = run.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let rest = 64 - BITS;
    ((hash >> rest) as usize, (hash >> (rest - 32)) as u32)
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
        let mut texts = Builder::new();
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
        let mut texts = Builder::new();
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
            let mut texts = Builder::new();
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
