//! The members a search is made among: a shelf, two of them, or a list of slots.

use prefetch_index::prefetch_index;

use super::candidate::Candidate;
use super::random::Random;
use super::roster::Roster;
use super::search::Met;
use super::slot::State;

/// A shelf of more members, 64 kB, is not in the processor's nearest memory.
const NEAR: usize = 2048;

/// Neighbours of a large shelf that are looked at together: two lines of memory instead of four, eight pages for a choice
/// instead of 32. Their order is random ([`super::roster`]), so they are as good a sample as any. But a member beside a better
/// one is rarely seen without it and leaves its requests to others as good: of runs of four that is one good one in ten, of
/// eight one in five.
const RUN: usize = 4;

/// Members a search is made among.
pub(super) trait Field: Copy {
    fn len(self) -> usize;

    /// Neighbours that may be looked at together.
    fn run(self) -> usize {
        1
    }

    /// What `with` says of the one at `index`; `None` when it is not READY, which is noted.
    fn show<T>(
        self,
        index: usize,
        roster: &Roster,
        met: &mut Met,
        with: impl FnOnce(&Candidate) -> T,
    ) -> Option<T>;
}

/// Places of a field that are looked at: some runs of neighbours. The same ones every time.
#[derive(Debug, Clone)]
pub(super) struct Looks {
    len: usize,
    run: usize,
    runs: usize,
    random: Random,
}

impl Looks {
    /// `count` places, each as likely as any other.
    pub(super) fn some(field: impl Field, count: usize, random: Random) -> Self {
        let run = field.run().min(count);
        Looks {
            len: field.len(),
            run,
            runs: count / run,
            random,
        }
    }

    /// All of them.
    pub(super) fn all(field: impl Field) -> Self {
        Looks {
            len: field.len(),
            run: field.len(),
            runs: 1,
            random: Random::new(0),
        }
    }

    /// Where the runs begin.
    #[inline]
    pub(super) fn starts(&self) -> impl Iterator<Item = usize> + use<> {
        let (mut random, len) = (self.random.clone(), self.len);
        (0..self.runs).map(move |_| random.below(len))
    }

    /// The places of the run that begins there. After the last place comes the first.
    #[inline]
    pub(super) fn run(&self, start: usize) -> impl Iterator<Item = usize> + use<> {
        let len = self.len;
        let round = move |index| if index < len { index } else { index - len };
        (start..start + self.run).map(round)
    }
}

/// Asks for the memory of what `looks` will show, if it may be far. Nothing waits for it; when it is looked at it is near.
pub(super) fn fetch(shelf: &[Candidate], looks: &Looks) {
    if shelf.len() > NEAR {
        for start in looks.starts() {
            // Two of them share a line of memory.
            for index in [start, start + 2, start + RUN - 1] {
                prefetch_index(shelf, index);
            }
        }
    }
}

/// A shelf.
impl Field for &[Candidate] {
    fn len(self) -> usize {
        self.len()
    }

    fn run(self) -> usize {
        if self.len() > NEAR { RUN } else { 1 }
    }

    fn show<T>(
        self,
        index: usize,
        _: &Roster,
        _: &mut Met,
        with: impl FnOnce(&Candidate) -> T,
    ) -> Option<T> {
        Some(with(&self[index]))
    }
}

/// Two shelves taken as one.
impl Field for [&[Candidate]; 2] {
    fn len(self) -> usize {
        self.iter().map(|shelf| shelf.len()).sum()
    }

    fn show<T>(
        self,
        index: usize,
        _: &Roster,
        _: &mut Met,
        with: impl FnOnce(&Candidate) -> T,
    ) -> Option<T> {
        let [first, second] = self;
        let candidate = first.get(index);
        Some(with(
            candidate.unwrap_or_else(|| &second[index - first.len()]),
        ))
    }
}

/// Slots in any state.
impl Field for &[u32] {
    fn len(self) -> usize {
        self.len()
    }

    fn show<T>(
        self,
        index: usize,
        roster: &Roster,
        met: &mut Met,
        with: impl FnOnce(&Candidate) -> T,
    ) -> Option<T> {
        let at = self[index];
        let state = roster.slot(at).state;
        met.unknown += usize::from(state == State::Unknown);
        (state == State::Ready).then(|| with(&roster.candidate(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_look_everywhere_alike_and_go_round_the_end() {
        const LEN: usize = 50;
        let mut looks = [0u32; LEN];
        for seed in 0..10_000 {
            let some = Looks {
                len: LEN,
                run: 4,
                runs: 8,
                random: Random::new(seed),
            };
            let places: Vec<_> = some.starts().flat_map(|start| some.run(start)).collect();
            assert_eq!(places.len(), 32);
            let next = |pair: &[usize]| pair[1] == (pair[0] + 1) % LEN;
            let mut runs = places.chunks(4);
            assert!(runs.all(|run| run.windows(2).all(next)), "{places:?}");
            places.iter().for_each(|index| looks[*index] += 1);
        }
        // Mean 6400, standard deviation 157: four come together.
        let alike = |count: &u32| (5_700..7_100).contains(count);
        assert!(looks.iter().all(alike), "{looks:?}");
    }
}
