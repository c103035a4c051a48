//! The jobs of one host that may go: those that are tried again and the others, each in the order they came.
//!
//! The two take turns. Behind thousands of URLs that were read ahead another try would come minutes later, when the time for it is
//! over; ahead of them all, a bad stretch would use up the budgets of a few URLs before it has passed. What a host has refused waits
//! behind the others: asked again at once it would be refused again, and have no attempts left when the host has calmed down.

use std::collections::VecDeque;

use crate::engine::pending::Pending;

/// See the module text.
#[derive(Default)]
pub(super) struct Queue {
    /// Those that are tried again soon, and the others.
    sides: [Side; 2],
    /// The side whose turn it is: it stays so until one of its jobs could go.
    turn: usize,
}

#[derive(Default)]
struct Side {
    jobs: VecDeque<Box<Pending>>,
    /// At its end, those that were passed over since the host has its turn.
    passed: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.sides.iter().map(|side| side.jobs.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sides.iter().all(|side| side.jobs.is_empty())
    }

    fn side(&mut self, job: &Pending) -> &mut VecDeque<Box<Pending>> {
        &mut self.sides[usize::from(!job.soon)].jobs
    }

    pub(super) fn push_back(&mut self, job: Box<Pending>) {
        self.side(&job).push_back(job);
    }

    /// Files a job that has waited longer than the others.
    pub(super) fn push_front(&mut self, job: Box<Pending>) {
        self.side(&job).push_front(job);
    }

    /// The side of the first job that was not passed over, in turns also among those that are; any side when all were.
    fn next(&self) -> usize {
        let has_more = |side: usize| self.sides[side].jobs.len() > self.sides[side].passed;
        let (turn, other) = (self.turn, 1 - self.turn);
        let is_even = self.sides[turn].passed <= self.sides[other].passed;
        let [first, then] = if is_even {
            [turn, other]
        } else {
            [other, turn]
        };
        if has_more(first) || !has_more(then) {
            first
        } else {
            then
        }
    }

    /// The first job.
    pub(super) fn first(&self) -> Option<&Pending> {
        self.sides[self.next()].jobs.front().map(|job| &**job)
    }

    pub(super) fn first_mut(&mut self) -> Option<&mut Pending> {
        let next = self.next();
        self.sides[next].jobs.front_mut().map(|job| &mut **job)
    }

    /// Takes the first job.
    pub(super) fn take(&mut self) -> Option<Box<Pending>> {
        let next = self.next();
        let job = self.sides[next].jobs.pop_front();
        self.turn = 1 - next;
        job
    }

    /// Passes over the first job; false when it is the last that was not.
    pub(super) fn pass_over(&mut self) -> bool {
        let next = self.next();
        let side = &mut self.sides[next];
        if !side.jobs.is_empty() {
            side.jobs.rotate_left(1);
            side.passed += 1;
        }
        self.sides.iter().any(|side| side.jobs.len() > side.passed)
    }

    /// The turn of the host is over. Those that were passed over `keep` their places or stand behind the others.
    pub(super) fn end_turn(&mut self, keep: bool) {
        for side in &mut self.sides {
            let passed = std::mem::take(&mut side.passed).min(side.jobs.len());
            if keep {
                side.jobs.rotate_right(passed);
            }
        }
    }

    /// Takes those that `leave`.
    pub(super) fn take_if(&mut self, leave: impl Fn(&Pending) -> bool) -> VecDeque<Box<Pending>> {
        let mut taken = VecDeque::new();
        for side in &mut self.sides {
            let all = std::mem::take(&mut side.jobs).into_iter();
            let (gone, left): (VecDeque<_>, _) = all.partition(|job| leave(job));
            side.jobs = left;
            taken.extend(gone);
        }
        taken
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pending> {
        let jobs = self.sides.iter().flat_map(|side| &side.jobs);
        jobs.map(|job| &**job)
    }

    /// Takes all.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Box<Pending>> {
        self.sides.iter_mut().flat_map(|side| side.jobs.drain(..))
    }
}
