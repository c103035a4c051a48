//! The members a search is made among: a shelf, two of them, or a list of slots.

use super::candidate::Candidate;
use super::roster::Roster;
use super::search::Met;
use super::slot::State;

/// A shelf of more members, 64 kB, is not in the processor's nearest memory.
const NEAR: usize = 2048;

/// Members a search is made among.
pub(super) trait Field: Copy {
    fn len(self) -> usize;

    /// Asks for the memory of all of these before any is looked at.
    fn fetch(self, _: impl Iterator<Item = usize>) {}

    /// What `with` says of the one at `index`; `None` when it is not READY, which is noted.
    fn show<T>(
        self,
        index: usize,
        roster: &Roster,
        met: &mut Met,
        with: impl FnOnce(&Candidate) -> T,
    ) -> Option<T>;
}

/// A shelf.
impl Field for &[Candidate] {
    fn len(self) -> usize {
        self.len()
    }

    /// Weighing is so much work that the processor would see five or six candidates ahead and wait for the others in turn;
    /// a byte of each lets it wait for all at once.
    fn fetch(self, indices: impl Iterator<Item = usize>) {
        if self.len() > NEAR {
            let places = indices.fold(0, |all, index| all | self[index].place as u8);
            std::hint::black_box(places);
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
