//! Members in a circle, in the order of their last use.

use super::slot::NONE;

/// Slots in a circle. A step of any kind takes constant time; nobody is in it twice.
#[derive(Debug)]
pub(super) struct Ring {
    /// [`NONE`] when nobody is in it.
    first: u32,
    /// Neighbours by slot; [`NONE`] for one that is not in it.
    links: Vec<Link>,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    before: u32,
    after: u32,
}

const OUTSIDE: Link = Link {
    before: NONE,
    after: NONE,
};

impl Default for Ring {
    fn default() -> Self {
        Ring {
            first: NONE,
            links: Vec::new(),
        }
    }
}

impl Ring {
    /// All, the first one first.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let first = (self.first != NONE).then_some(self.first);
        std::iter::successors(first, move |at| {
            let next = self.link(*at).after;
            (Some(next) != first).then_some(next)
        })
    }

    /// Takes in one that is not in it.
    pub(super) fn push_first(&mut self, at: u32) {
        self.push_last(at);
        self.first = at;
    }

    /// Turns until this one is first, if it is in it.
    pub(super) fn begin_with(&mut self, at: u32) {
        if self.holds(at) {
            self.first = at;
        }
    }

    /// Puts this one last, if it is in it.
    pub(super) fn move_to_end(&mut self, at: u32) {
        if !self.holds(at) {
            return;
        }
        if self.first == at {
            self.first = self.link(at).after;
        } else {
            self.remove(at);
            self.push_last(at);
        }
    }

    /// Takes this one out, if it is in it.
    pub(super) fn remove(&mut self, at: u32) {
        if !self.holds(at) {
            return;
        }
        let Link { before, after } = std::mem::replace(self.link_mut(at), OUTSIDE);
        if after == at {
            self.first = NONE;
            return;
        }
        self.link_mut(before).after = after;
        self.link_mut(after).before = before;
        if self.first == at {
            self.first = after;
        }
    }

    fn push_last(&mut self, at: u32) {
        if self.links.len() <= at as usize {
            self.links.resize(at as usize + 1, OUTSIDE);
        }
        if self.first == NONE {
            (self.first, *self.link_mut(at)) = (
                at,
                Link {
                    before: at,
                    after: at,
                },
            );
            return;
        }
        let after = self.first;
        let before = self.link(after).before;
        *self.link_mut(at) = Link { before, after };
        self.link_mut(before).after = at;
        self.link_mut(after).before = at;
    }

    fn holds(&self, at: u32) -> bool {
        let link = self.links.get(at as usize);
        link.is_some_and(|link| link.before != NONE)
    }

    fn link(&self, at: u32) -> Link {
        self.links[at as usize]
    }

    fn link_mut(&mut self, at: u32) -> &mut Link {
        &mut self.links[at as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_circle_is_a_list_that_turns(steps in prop::collection::vec((0..5u8, 0..6u32), 0..60)) {
            let (mut ring, mut list) = (Ring::default(), Vec::new());
            for (step, at) in steps {
                let place = list.iter().position(|known| *known == at);
                match (step, place) {
                    (0, None) => {
                        ring.push_first(at);
                        list.insert(0, at);
                    }
                    (1, place) => {
                        ring.remove(at);
                        place.map(|place| list.remove(place));
                    }
                    (2, place) => {
                        ring.begin_with(at);
                        list.rotate_left(place.unwrap_or(0));
                    }
                    (3, place) => {
                        ring.move_to_end(at);
                        if let Some(place) = place {
                            list.remove(place);
                            list.push(at);
                        }
                    }
                    _ => {}
                }
                prop_assert_eq!(&ring.iter().collect::<Vec<_>>(), &list);
            }
        }
    }
}
