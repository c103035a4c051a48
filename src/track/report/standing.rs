//! How a series stands now, and against what it was.

use crate::observation::{Observation, State};
use crate::track::compare::{Against, Change, changes, is_base};

/// With what a series is compared, as the columns of its table.
pub(super) const COMPARED: [Against; 3] = [Against::Last, Against::Days(7), Against::Days(30)];

/// What became of a series since an earlier observation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    /// There is nothing to compare with, or it cannot be told.
    Untold,
    /// Nothing.
    Same,
    /// It stands elsewhere.
    Places {
        /// Places gained, or lost where it is below 0.
        gain: i64,
        /// It may be more.
        at_least: bool,
        /// Its place now.
        to: u32,
    },
    /// It has come in.
    Entered {
        /// Its place.
        at: u32,
        /// The first place that was not looked at when it was out.
        outside: u32,
    },
    /// It is out.
    Left {
        /// Its place then.
        from: u32,
        /// The first place that was not looked at.
        outside: u32,
    },
    /// The number is another by so much.
    Number(f64),
    /// The text is another.
    Text,
}

impl Step {
    /// Places gained; who was out stood, at best, where nobody looked. 0 for what neither won nor lost.
    pub(super) fn weight(self) -> i64 {
        match self {
            Step::Places { gain, .. } => gain,
            Step::Entered { at, outside } => (i64::from(outside) - i64::from(at)).max(1),
            Step::Left { from, outside } => (i64::from(from) - i64::from(outside)).min(-1),
            _ => 0,
        }
    }

    /// What it is worth, above 0 for a gain: from 2 to 1 as much as from 20 to 10, because of the first places each is seen by
    /// far more people than the next.
    pub(super) fn worth(self) -> f64 {
        let of = |from: i64, to: i64| (from.max(1) as f64 / to.max(1) as f64).ln();
        let to = match self {
            Step::Places { to, .. } | Step::Entered { at: to, .. } => to,
            Step::Left { from, outside } => outside.max(from + 1),
            _ => return 0.0,
        };
        of(i64::from(to) + self.weight(), i64::from(to))
    }
}

/// The first place that an observation did not look at.
fn outside(nowhere: &Observation) -> u32 {
    const UNTOLD: u32 = 100;
    nowhere.results.filter(|seen| *seen > 0).unwrap_or(UNTOLD) + 1
}

/// The last good observation of `seen`, which is in the order it was written in.
pub(super) fn current<'a>(seen: &[&'a Observation]) -> Option<&'a Observation> {
    seen.iter().rev().find(|one| one.state.is_good()).copied()
}

/// The observation that the current one is compared with.
pub(super) fn base<'a>(seen: &[&'a Observation], against: Against) -> Option<&'a Observation> {
    let mut back = seen.iter().rev().skip_while(|one| !one.state.is_good());
    let current = back.next()?;
    let until = against.until(current);
    back.find(|one| is_base(one) && one.at <= until).copied()
}

/// What became of a series. Against the last one nothing can be told when the last run knows nothing.
pub(super) fn step(seen: &[&Observation], against: Against) -> Step {
    let is_known = seen.last().is_some_and(|last| last.state.is_good());
    if against == Against::Last && !is_known {
        return Step::Untold;
    }
    let (Some(now), Some(then)) = (current(seen), base(seen, against)) else {
        return Step::Untold;
    };
    for change in changes(then, now) {
        return match change {
            Change::Entered { at } => Step::Entered {
                at,
                outside: outside(then),
            },
            Change::Left { from } => Step::Left {
                from,
                outside: outside(now),
            },
            Change::Moved { to, at_least, .. } => Step::Places {
                gain: change.gain().unwrap_or_default(),
                at_least,
                to,
            },
            Change::Value { by: Some(by), .. } => Step::Number(by),
            Change::Value { .. } => Step::Text,
            Change::Url { .. } => continue,
        };
    }
    let is_other = then.position.is_some() != now.position.is_some();
    if now.lower_bound || is_other {
        Step::Untold
    } else {
        Step::Same
    }
}

/// The best place of all that are certain, and when it was first taken.
pub(super) fn best(seen: &[&Observation]) -> Option<(u32, i64)> {
    let certain = seen.iter().filter(|one| !one.lower_bound);
    let places = certain.filter_map(|one| Some((one.position?, one.at)));
    places.min_by_key(|(place, _)| *place)
}

/// The share of series within the first `top` places of those of which it is known whether they are; `None` when it is of none.
pub(super) fn share<'a>(
    seen: impl Iterator<Item = &'a Observation>,
    top: u32,
) -> Option<(u32, u32)> {
    let (mut within, mut known) = (0, 0);
    for one in seen.filter(|one| one.state.is_good()) {
        let is_within = one.position.is_some_and(|position| position <= top);
        // It stands there or lower down: whether that is within cannot be told.
        if one.state == State::Ranked && one.lower_bound && is_within {
            continue;
        }
        known += 1;
        within += u32::from(is_within);
    }
    (known > 0).then_some((within, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600 * 1000;

    fn seen(day: i64, state: State, position: Option<u32>) -> Observation {
        Observation {
            state,
            position,
            pages: (1, 1),
            ..Observation::unknown(day * DAY, "")
        }
    }

    fn all(days: &[Observation]) -> Vec<&Observation> {
        days.iter().collect()
    }

    /// To place 4.
    fn gained(gain: i64) -> Step {
        Step::Places {
            gain,
            at_least: false,
            to: 4,
        }
    }

    #[test]
    fn an_unknown_last_run_is_neither_a_place_nor_a_loss() {
        let days = [
            seen(0, State::Ranked, Some(9)),
            seen(20, State::Ranked, Some(5)),
            seen(30, State::Ranked, Some(4)),
            seen(31, State::Unknown, None),
        ];
        let days = all(&days);
        assert_eq!(current(&days).and_then(|one| one.position), Some(4));
        assert_eq!(step(&days, Against::Last), Step::Untold);
        assert_eq!(step(&days, Against::Days(7)), gained(1));
        assert_eq!(step(&days, Against::Days(30)), gained(5));
        assert_eq!(step(&days[..1], Against::Last), Step::Untold);
        assert_eq!(step(&days[..3], Against::Last), gained(1));
        assert_eq!(best(&days), Some((4, 30 * DAY)));
    }

    #[test]
    fn a_place_is_worth_more_the_higher_it_is() {
        let rise = |from: i64, to: u32| Step::Places {
            gain: from - i64::from(to),
            at_least: false,
            to,
        };
        assert!((rise(2, 1).worth() - rise(20, 10).worth()).abs() < 1e-9);
        let entered = |at| Step::Entered { at, outside: 51 };
        let left = |from| Step::Left { from, outside: 51 };
        assert!(rise(4, 1).worth() > entered(30).worth());
        assert!(entered(10).worth() > rise(40, 10).worth());
        assert!(left(4).worth() < left(40).worth());
        assert!(left(300).worth() < 0.0 && entered(300).worth() > 0.0);
        assert_eq!((entered(41).weight(), left(300).weight()), (10, -1));
    }

    #[test]
    fn a_share_is_of_those_of_which_it_is_known() {
        let bound = Observation {
            lower_bound: true,
            ..seen(0, State::Ranked, Some(2))
        };
        let days = [
            seen(0, State::Ranked, Some(1)),
            seen(0, State::NotInDepth, None),
            seen(0, State::Unknown, None),
            bound,
        ];
        assert_eq!(share(days.iter(), 1), Some((1, 3)));
        assert_eq!(share(days.iter(), 10), Some((1, 2)));
        assert_eq!(share(days[2..3].iter(), 10), None);
    }
}
