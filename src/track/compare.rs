//! What changed between two observations of a series.
//!
//! Only what is certain counts. Of a page that could not be read nothing is known, and a selector that finds nothing is the
//! selector's trouble: neither is a change of what is watched. Nothing is compared with a place that is only a lower bound, so that a
//! move is not lost between two runs of which one knows half; such a place has itself moved when the target stood higher up. A target
//! has not left when less deep was looked than it stood. Alerts follow the same rules: [`super::alert`] asks here.

use crate::observation::{Observation, State};

/// Milliseconds of a day.
const DAY: i64 = 24 * 3600 * 1000;

/// With which earlier observation one is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Against {
    /// The last one before it that [`is_base`].
    #[default]
    Last,
    /// The last such one that is at least so many days older.
    Days(u16),
}

impl Against {
    /// The latest time that the earlier observation may have, in milliseconds since 1970.
    pub fn until(self, current: &Observation) -> i64 {
        match self {
            // Not `current.at`: the clock may have been set back in between.
            Against::Last => i64::MAX,
            Against::Days(days) => current.at - i64::from(days) * DAY,
        }
    }
}

/// One thing that changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change<'a> {
    /// The target stands somewhere, and did not before.
    Entered {
        /// Its place.
        at: u32,
    },
    /// The target stands nowhere within the depth, and did before.
    Left {
        /// Its place then.
        from: u32,
    },
    /// The target stands somewhere else.
    Moved {
        /// Its place then.
        from: u32,
        /// Its place now.
        to: u32,
        /// The place now is a lower bound: it moved at least so far.
        at_least: bool,
    },
    /// Another address of the target stands there.
    Url {
        /// The address then.
        from: &'a str,
        /// The address now.
        to: &'a str,
    },
    /// The value is another one.
    Value {
        /// The value then.
        from: &'a str,
        /// The value now.
        to: &'a str,
        /// By how much, where both are numbers.
        by: Option<f64>,
    },
}

impl Change<'_> {
    /// Places gained, or lost where it is below 0; `None` for what has no places on both sides.
    pub fn gain(&self) -> Option<i64> {
        match *self {
            Change::Moved { from, to, .. } => Some(i64::from(from) - i64::from(to)),
            _ => None,
        }
    }

    /// The word in files.
    pub fn word(&self) -> &'static str {
        match self {
            Change::Entered { .. } => "entered",
            Change::Left { .. } => "left",
            Change::Moved { .. } => "moved",
            Change::Url { .. } => "url",
            Change::Value { .. } => "value",
        }
    }
}

/// True when later observations can be compared with this one: something is known, and no place is a bound alone.
pub fn is_base(one: &Observation) -> bool {
    one.state.is_good() && !one.lower_bound
}

/// What is different now from then; nothing when one of the two tells nothing, or `then` is no base.
pub fn changes<'a>(then: &'a Observation, now: &'a Observation) -> Vec<Change<'a>> {
    let mut found = Vec::new();
    if !is_base(then) || !now.state.is_good() {
        return found;
    }
    match (then.position, now.position) {
        // Where it came in is told when that is known.
        (None, Some(at)) if is_out(then) && !now.lower_bound && !is_beyond(then, now, at) => {
            found.push(Change::Entered { at });
        }
        (Some(from), None) if is_out(now) && !is_beyond(now, then, from) => {
            found.push(Change::Left { from });
        }
        (Some(from), Some(to)) => {
            found.extend(moved(from, now, to));
            // On a page that is missing may stand the address of then.
            if let (Some(from), Some(to), false) =
                (then.url.as_deref(), now.url.as_deref(), now.lower_bound)
                && from != to
            {
                found.push(Change::Url { from, to });
            }
        }
        _ => {}
    }
    if let (State::Seen, State::Seen) = (then.state, now.state) {
        found.extend(value(then, now));
    }
    found
}

/// Whether the target stood within the first `top` places, to be compared with `other`; `None` when that cannot be told.
pub(super) fn is_within(one: &Observation, top: u32, other: &Observation) -> Option<bool> {
    match (one.state, one.position) {
        (State::Ranked, Some(at)) if at > top => Some(false),
        (State::Ranked, Some(_)) => (!one.lower_bound).then_some(true),
        _ if is_out(one) => {
            let is_deep = |at| !is_beyond(one, other, at);
            other.position.is_none_or(is_deep).then_some(false)
        }
        _ => None,
    }
}

/// True when a selector that found something then finds nothing now, on a page that is good.
pub fn has_stopped(then: &Observation, now: &Observation) -> bool {
    then.state == State::Seen && now.state == State::Missing
}

/// True when the target is known to stand nowhere within the depth.
fn is_out(one: &Observation) -> bool {
    matches!(one.state, State::NotInDepth | State::NoResults)
}

/// True when `position`, which the target has in the deeper observation, is further down than the shallow one looked.
pub(super) fn is_beyond(shallow: &Observation, deep: &Observation, position: u32) -> bool {
    shallow.state == State::NotInDepth
        && shallow.pages.1 < deep.pages.1
        && shallow.results.is_some_and(|results| results < position)
}

fn moved(from: u32, now: &Observation, to: u32) -> Option<Change<'static>> {
    // It stands at `to` or lower down: that it rose cannot be told.
    let is_certain = to > from || (to < from && !now.lower_bound);
    is_certain.then_some(Change::Moved {
        from,
        to,
        at_least: now.lower_bound,
    })
}

fn value<'a>(then: &'a Observation, now: &'a Observation) -> Option<Change<'a>> {
    let by = then.number.zip(now.number).map(|(then, now)| now - then);
    let (from, to) = (then.value.as_deref()?, now.value.as_deref()?);
    // The same number in another form, "9,90" for "9.90", is the same value.
    let differs = from != to && by.is_none_or(|by| by != 0.0);
    differs.then_some(Change::Value { from, to, by })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(state: State) -> Observation {
        Observation {
            state,
            why: None,
            pages: (1, 1),
            ..Observation::unknown(0, "")
        }
    }

    fn at(position: u32) -> Observation {
        Observation {
            position: Some(position),
            url: Some("https://me.test/".into()),
            ..seen(State::Ranked)
        }
    }

    fn from(position: u32) -> Observation {
        Observation {
            lower_bound: true,
            ..at(position)
        }
    }

    fn price(value: &str, number: Option<f64>) -> Observation {
        Observation {
            value: Some(value.into()),
            number,
            ..seen(State::Seen)
        }
    }

    #[test]
    fn what_is_not_known_is_no_change() {
        for unknown in [State::Unknown, State::Missing] {
            for known in [at(3), seen(State::NotInDepth), price("9", Some(9.0))] {
                assert_eq!(changes(&known, &seen(unknown)), []);
                assert_eq!(changes(&seen(unknown), &known), []);
            }
        }
        assert!(has_stopped(&price("9", None), &seen(State::Missing)));
        assert!(!has_stopped(&seen(State::Missing), &seen(State::Missing)));
    }

    #[test]
    fn a_target_enters_moves_and_leaves() {
        let nowhere = seen(State::NotInDepth);
        assert_eq!(changes(&nowhere, &at(7)), [Change::Entered { at: 7 }]);
        assert_eq!(changes(&at(7), &nowhere), [Change::Left { from: 7 }]);
        let none = seen(State::NoResults);
        assert_eq!(changes(&at(7), &none), [Change::Left { from: 7 }]);
        assert_eq!(changes(&none, &nowhere), []);
        let rise = changes(&at(7), &at(4))[0].gain();
        assert_eq!(rise, Some(3));
        assert_eq!(changes(&at(7), &at(7)), []);
        let other = Observation {
            url: Some("https://me.test/b".into()),
            ..at(7)
        };
        let (from, to) = ("https://me.test/", "https://me.test/b");
        assert_eq!(changes(&at(7), &other), [Change::Url { from, to }]);
        let unsure = Observation {
            lower_bound: true,
            ..other
        };
        assert_eq!(changes(&at(7), &unsure), [], "the old one may be there");
        assert_eq!(changes(&nowhere, &unsure), [], "it is not told where");
    }

    #[test]
    fn a_lower_bound_has_moved_only_where_that_is_certain() {
        for (then, now, certain) in [
            (at(7), from(4), false),
            (at(7), from(7), false),
            (at(7), from(9), true),
            (from(7), at(4), false),
            (from(7), at(9), false),
            (from(7), from(20), false),
        ] {
            let found = changes(&then, &now);
            assert_eq!(!found.is_empty(), certain, "{then:?} {now:?}");
        }
    }

    #[test]
    fn a_target_has_not_left_where_less_deep_was_looked() {
        let deep = Observation {
            pages: (5, 5),
            ..at(43)
        };
        let shallow = Observation {
            results: Some(10),
            ..seen(State::NotInDepth)
        };
        assert_eq!(changes(&deep, &shallow), []);
        assert_eq!(changes(&shallow, &deep), []);
        let near = Observation {
            position: Some(8),
            ..deep.clone()
        };
        assert_eq!(changes(&near, &shallow), [Change::Left { from: 8 }]);
        // A page that lists fewer results than it did is as deep as before.
        let same = Observation {
            pages: (5, 5),
            results: Some(38),
            ..seen(State::NotInDepth)
        };
        assert_eq!(changes(&deep, &same), [Change::Left { from: 43 }]);
    }

    #[test]
    fn a_place_within_the_first_is_told_where_it_is_certain() {
        for (one, expected) in [
            (at(10), Some(true)),
            (at(11), Some(false)),
            (from(10), None),
            (from(11), Some(false)),
            (seen(State::NotInDepth), Some(false)),
            (seen(State::NoResults), Some(false)),
            (seen(State::Unknown), None),
        ] {
            assert_eq!(is_within(&one, 10, &at(3)), expected, "{one:?}");
        }
        let shallow = Observation {
            results: Some(10),
            ..seen(State::NotInDepth)
        };
        let deep = Observation {
            pages: (5, 5),
            ..at(43)
        };
        assert_eq!(is_within(&shallow, 50, &deep), None);
    }

    #[test]
    fn a_value_is_compared_as_a_number_where_it_is_one() {
        let (old, new) = (price("9,90", Some(9.9)), price("9.90", Some(9.9)));
        assert_eq!(changes(&old, &new), []);
        let cheaper = price("7.40", Some(7.4));
        let [Change::Value { by: Some(by), .. }] = changes(&old, &cheaper)[..] else {
            panic!("one value");
        };
        assert!((by + 2.5).abs() < 1e-9);
        let text = price("sold out", None);
        let [Change::Value { by: None, to, .. }] = changes(&old, &text)[..] else {
            panic!("one value");
        };
        assert_eq!(to, "sold out");
    }

    #[test]
    fn days_are_counted_back_from_the_observation_itself() {
        let now = Observation {
            at: 40 * DAY,
            ..at(1)
        };
        assert_eq!(Against::Days(7).until(&now), 33 * DAY);
        assert_eq!(Against::Last.until(&now), i64::MAX);
    }
}
