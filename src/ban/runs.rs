//! Where texts of a large set may stand in a page, for next to nothing.
//!
//! Only every sixth place of a page is looked at: of each text, six runs of five bytes are known, one of which has to stand at
//! such a place wherever the text itself begins. One bit for each possible run, by a hash, says whether it is known; what it does
//! not rule out is for the caller to compare. Letters count the same in both cases.
//!
//! 8 kB cost 1.5 µs with 1,300 texts; a vectorised search cost as much for each sixty of them. Shorter texts are found in the same
//! way by runs of three at every fourth place, at twice the cost.

/// Bytes of a run.
pub(super) const RUN: usize = 5;
/// Bytes between the places looked at.
pub(super) const STRIDE: usize = 6;
/// Shortest text that cannot be stepped over.
pub(super) const SHORTEST: usize = RUN + STRIDE - 1;
/// Runs of some thousand texts, in 32 kB of bits. Half as many let through twice as much by chance, which costs more than the
/// memory.
pub(super) type Sparse = Runs<RUN, STRIDE, { PLACES * STRIDE }, { 1 << 12 }>;

const DENSE_RUN: usize = 3;
const DENSE_STRIDE: usize = 4;
/// Shortest text for [`Dense`].
pub(super) const DENSE_SHORTEST: usize = DENSE_RUN + DENSE_STRIDE - 1;
/// Runs of some dozen shorter texts, in 2 kB of bits.
pub(super) type Dense = Runs<DENSE_RUN, DENSE_STRIDE, { PLACES * DENSE_STRIDE }, { 1 << 8 }>;

/// Most pieces of a set.
pub(super) const MOST: usize = u16::MAX as usize / STRIDE;
/// Places that are asked about at once. With eight, a run that is known makes more of them be looked at again than is saved.
const PLACES: usize = 4;
/// Bits of a hash by which the runs are not told apart in their table.
const SHARED: u32 = 5;
/// Bytes of a piece beyond which its end is not looked at: so the way there fits into 16 bits.
const MOST_COMPARED: usize = 1 << 12;

/// The runs of a set of pieces: of `RUN` bytes, looked for every `STRIDE` bytes and in blocks of `BLOCK`; `WORDS` words of bits.
#[derive(Debug)]
pub(super) struct Runs<
    const RUN: usize,
    const STRIDE: usize,
    const BLOCK: usize,
    const WORDS: usize,
> {
    known: Box<[u64; WORDS]>,
    /// By the beginning of the hash of a run: where those that share it begin, and where those of the next do.
    starts: Vec<u16>,
    runs: Vec<Run>,
}

/// A run of a piece, in as little memory as will do: ordinary pages have many that a text has, too.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// The rest of its hash.
    rest: u16,
    piece: u16,
    /// Where in the piece it is.
    at: u8,
    /// The last byte of the piece, folded: texts that have a run in common begin alike more often than they end alike.
    last: u8,
    /// From the run to that byte.
    to_last: u16,
}

/// Of no pieces.
impl<const RUN: usize, const STRIDE: usize, const BLOCK: usize, const WORDS: usize> Default
    for Runs<RUN, STRIDE, BLOCK, WORDS>
{
    fn default() -> Self {
        Runs {
            known: Box::new([0; WORDS]),
            starts: vec![0; ((64 * WORDS) >> SHARED) + 1],
            runs: Vec::new(),
        }
    }
}

impl<const RUN: usize, const STRIDE: usize, const BLOCK: usize, const WORDS: usize>
    Runs<RUN, STRIDE, BLOCK, WORDS>
{
    /// Bits of the hash.
    const BITS: u32 = 6 + WORDS.trailing_zeros();

    /// Of pieces of at least `RUN + STRIDE - 1` bytes, [`MOST`] at most.
    pub(super) fn new<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut all = Runs::default();
        let mut runs = Vec::new();
        for (piece, bytes) in (0..).zip(pieces) {
            for at in 0..STRIDE {
                let (place, rest) = Self::hash(fold::<RUN>(run_of(&bytes[at..at + RUN])));
                all.known[place >> 6] |= 1 << (place & 63);
                let last = bytes.len().min(MOST_COMPARED) - 1;
                let run = Run {
                    rest,
                    piece,
                    at: at as u8,
                    last: fold_byte(bytes[last]),
                    to_last: (last - at) as u16,
                };
                runs.push((place >> SHARED, run));
            }
        }
        runs.sort_by_key(|(bucket, _)| *bucket);
        for (bucket, _) in &runs {
            all.starts[bucket + 1] += 1;
        }
        let mut end = 0;
        for start in all.starts.iter_mut() {
            end += *start;
            *start = end;
        }
        all.runs = runs.into_iter().map(|(_, run)| run).collect();
        all
    }

    /// Tells `found` each piece that may stand in this part of a page, and where it would begin, until that is true. Every
    /// place where one does stand is told once.
    #[inline]
    pub(super) fn any(&self, part: &[u8], mut found: impl FnMut(usize, usize) -> bool) -> bool {
        let (blocks, rest) = part.as_chunks::<BLOCK>();
        for (number, block) in blocks.iter().enumerate() {
            // One question in place of four.
            let runs = Self::runs_of(block);
            let known = runs.iter().fold(0, |any, run| any | self.bit(*run));
            if known & 1 != 0 && self.is_in(part, number * BLOCK, block, &mut found) {
                return true;
            }
        }
        let start = part.len() - rest.len();
        (start..part.len()).step_by(STRIDE).any(|at| {
            part.get(at..at + RUN).is_some_and(|bytes| {
                self.is_piece(part, at, fold::<RUN>(run_of(bytes)), &mut found)
            })
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
        found: &mut impl FnMut(usize, usize) -> bool,
    ) -> bool {
        Self::runs_of(block).iter().enumerate().any(|(nth, run)| {
            let at = start + nth * STRIDE;
            self.bit(*run) & 1 != 0 && self.is_piece(part, at, *run, found)
        })
    }

    /// A word that is odd when the run is known.
    fn bit(&self, run: u64) -> u64 {
        let (place, _) = Self::hash(run);
        self.known[place >> 6] >> (place & 63)
    }

    fn is_piece(
        &self,
        part: &[u8],
        at: usize,
        run: u64,
        found: &mut impl FnMut(usize, usize) -> bool,
    ) -> bool {
        let (place, rest) = Self::hash(run);
        let bucket = place >> SHARED;
        let sharing = usize::from(self.starts[bucket])..usize::from(self.starts[bucket + 1]);
        let mut runs = self.runs[sharing].iter().filter(|run| {
            let last = part.get(at + usize::from(run.to_last));
            run.rest == rest && last.is_some_and(|last| fold_byte(*last) == run.last)
        });
        runs.any(|run| {
            at.checked_sub(usize::from(run.at))
                .is_some_and(|start| found(usize::from(run.piece), start))
        })
    }

    /// The runs at each place of a block, folded.
    fn runs_of(block: &[u8; BLOCK]) -> [u64; PLACES] {
        // Eight bytes in one load, of which folding drops some. The last words would end outside, so they begin earlier.
        std::array::from_fn(|place| {
            let outside = (place * STRIDE + 8).saturating_sub(BLOCK);
            let eight = block[place * STRIDE - outside..].first_chunk();
            fold::<RUN>(eight.map_or(0, |eight| u64::from_le_bytes(*eight)) >> (8 * outside))
        })
    }

    /// The place of its bit, and what else tells it from others.
    fn hash(run: u64) -> (usize, u16) {
        let hash = run.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let rest = 64 - Self::BITS;
        ((hash >> rest) as usize, (hash >> (rest - 16)) as u16)
    }
}

/// A run as a word, of eight bytes at most.
pub(super) fn run_of(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// The first bytes of eight, large letters and small ones alike; some other bytes become alike, too.
pub(super) fn fold<const RUN: usize>(word: u64) -> u64 {
    word & (0xdfdf_dfdf_dfdf_dfdf >> (64 - 8 * RUN))
}

fn fold_byte(byte: u8) -> u8 {
    byte & 0xdf
}
