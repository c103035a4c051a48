//! The members a search is made among: a shelf, two of them, or a list of slots.

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

    /// Asks for the memory of all of these before any is looked at.
    fn fetch(self, _: &[Entry]) {}

    /// What `with` says of the one at `index`; `None` when it is not READY, which is noted.
    fn show<T>(
        self,
        index: usize,
        roster: &Roster,
        met: &mut Met,
        with: impl FnOnce(&Candidate) -> T,
    ) -> Option<T>;
}

/// One that is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entry {
    /// The least is chosen.
    pub(super) rank: f32,
    /// Its place in the field.
    pub(super) index: u32,
}

/// Enters places below `len`, so many neighbours at a time, each place as likely as any other: after the last comes the first.
pub(super) fn draw(run: usize, len: usize, mut random: Random, batch: &mut [Entry]) {
    for neighbours in batch.chunks_mut(run) {
        let mut index = random.below(len);
        for entry in neighbours {
            entry.index = index as u32;
            index = if index + 1 == len { 0 } else { index + 1 };
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

    /// Weighing is so much work that the processor would see five or six candidates ahead and wait for the others in turn;
    /// a byte of each lets it wait for all at once.
    fn fetch(self, batch: &[Entry]) {
        if self.len() > NEAR {
            let place = |entry: &Entry| self[entry.index as usize].place as u8;
            std::hint::black_box(batch.iter().fold(0, |all, entry| all | place(entry)));
        }
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
            let mut places = [Entry::default(); 32];
            draw(4, LEN, Random::new(seed), &mut places);
            let next = |pair: &[Entry]| pair[1].index == (pair[0].index + 1) % LEN as u32;
            let mut runs = places.chunks(4);
            assert!(runs.all(|run| run.windows(2).all(next)), "{places:?}");
            places
                .iter()
                .for_each(|entry| looks[entry.index as usize] += 1);
        }
        // Mean 6400, standard deviation 157: four come together.
        let alike = |count: &u32| (5_700..7_100).contains(count);
        assert!(looks.iter().all(alike), "{looks:?}");
    }
}
