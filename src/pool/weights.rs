//! Drawing by weight among the members on offer: a binary indexed tree, so that a draw and a change are both logarithmic
//! and the draw is exact however uneven the weights are (rejection sampling degrades with one heavy entry, an alias table
//! has to be rebuilt at every change). Integers, because sums of floats drift as members come and go.

use super::random::Random;

/// Weight 1 in integer units.
const UNIT: f64 = 1e6;
/// Keeps the sum of a million members inside 64 bits.
const HEAVIEST: f64 = 1e6;

/// Cumulated weights by slot.
#[derive(Debug, Default)]
pub(super) struct Weights {
    own: Vec<u64>,
    /// 1-based; a power of two long.
    tree: Vec<u64>,
    total: u64,
}

/// A weight label in integer units: absent is 1, 0 and nonsense are never drawn.
pub(super) fn units(label: Option<f32>) -> u64 {
    let weight = label.map_or(1.0, f64::from);
    if weight > 0.0 {
        ((weight.min(HEAVIEST) * UNIT) as u64).max(1)
    } else {
        0
    }
}

impl Weights {
    /// Sets the weight of slot `at`; the outer `None` takes it off offer.
    pub(super) fn set(&mut self, at: u32, label: Option<Option<f32>>) {
        let new = label.map_or(0, units);
        let index = at as usize;
        if index >= self.own.len() {
            self.grow(index + 1);
        }
        let old = std::mem::replace(&mut self.own[index], new);
        if new == old {
            return;
        }
        self.total = self.total - old + new;
        let mut node = index + 1;
        while node < self.tree.len() {
            self.tree[node] = self.tree[node] - old + new;
            node += node & node.wrapping_neg();
        }
    }

    /// A slot with probability proportional to its weight; `None` when nothing is on offer.
    pub(super) fn draw(&self, random: &mut Random) -> Option<u32> {
        if self.total == 0 {
            return None;
        }
        let mut left = random.below_wide(self.total);
        let mut node = 0;
        let mut step = (self.tree.len() - 1).next_power_of_two();
        while step > 0 {
            if let Some(sum) = self.tree.get(node + step)
                && *sum <= left
            {
                left -= sum;
                node += step;
            }
            step /= 2;
        }
        Some(node as u32)
    }

    /// Doubles, so that a growing list costs a constant per member.
    fn grow(&mut self, least: usize) {
        let len = least.next_power_of_two().max(64);
        self.own.resize(len, 0);
        self.tree = vec![0; len + 1];
        for index in 0..len {
            let node = index + 1;
            self.tree[node] += self.own[index];
            let parent = node + (node & node.wrapping_neg());
            if parent <= len {
                self.tree[parent] += self.tree[node];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_proportional_and_follow_changes() {
        let mut weights = Weights::default();
        let mut random = Random::new(7);
        assert_eq!(weights.draw(&mut random), None);
        for at in 0..100 {
            weights.set(at, Some(None));
        }
        weights.set(3, Some(Some(100.0)));
        weights.set(4, Some(Some(0.0)));
        weights.set(5, Some(Some(f32::NAN)));
        weights.set(70, None);
        let mut drawn = [0u32; 100];
        for _ in 0..19_600 {
            drawn[weights.draw(&mut random).unwrap() as usize] += 1;
        }
        assert_eq!([drawn[4], drawn[5], drawn[70]], [0, 0, 0]);
        // 96 of weight 1 and one of weight 100 share 19600 draws.
        assert!((9_600..10_400).contains(&drawn[3]), "{}", drawn[3]);
        assert!((50..160).contains(&drawn[99]), "{}", drawn[99]);
        (0..100).for_each(|at| weights.set(at, None));
        assert_eq!(weights.draw(&mut random), None);
    }
}
