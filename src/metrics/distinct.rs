//! How many different proxies something has happened to, by their numbers, which are small and dense.

/// A set of numbers.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    bits: Vec<u64>,
    count: u64,
}

impl Distinct {
    pub(super) fn add(&mut self, number: u32) {
        let (at, bit) = (number as usize / 64, 1 << (number % 64));
        if self.bits.len() <= at {
            self.bits.resize(at + 1, 0);
        }
        self.count += u64::from(self.bits[at] & bit == 0);
        self.bits[at] |= bit;
    }

    pub(super) fn len(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_again_is_counted_once() {
        let mut some = Distinct::default();
        for number in [3, 64, 3, 0, 130, 64] {
            some.add(number);
        }
        assert_eq!(some.len(), 4);
    }
}
