//! What one rule has to tell of a series.

use crate::observation::{Observation, State};
use crate::track::change::{Steadiness, change, diff};
use crate::track::compare::{Change, changes, is_base, is_beyond, is_within};
use crate::track::course::{GONE, NO_ROWS};
use crate::track::job::{Event, Kind, TrackJob, Watch};

/// Lines of a difference that an alert shows.
const LINES: usize = 40;
/// Longest value that is told on one line, in bytes.
const SHORT: usize = 80;

/// Something to tell.
pub(super) struct Told<'o> {
    pub(super) text: String,
    /// What it was before, where there was something.
    pub(super) before: Option<&'o Observation>,
    pub(super) diff: Option<String>,
}

/// What the last of `seen`, which is in the order it was written in, has to tell by this rule.
pub(super) fn told<'o>(when: Event, job: &TrackJob, seen: &'o [Observation]) -> Option<Told<'o>> {
    let (now, earlier) = seen.split_last()?;
    match when {
        Event::SelectorBroken(runs) => {
            in_a_row(seen, runs.get() as usize, is_blind).and_then(|before| {
                let text = "the selector finds nothing any more";
                plain(format!("{text}, {runs} good pages in a row"), Some(before))
            })
        }
        Event::Gone(runs) => in_a_row(seen, runs.get() as usize, is_gone).and_then(|before| {
            let why = now.why.as_deref().unwrap_or_default();
            plain(
                format!("the page is gone: {why}, {runs} in a row"),
                Some(before),
            )
        }),
        Event::EntersTop(top) => enters(earlier, now, top),
        Event::LeavesTop(top) => leaves(earlier, now, top),
        Event::Moved(by) => {
            let before = base(earlier, now)?;
            changes(before, now)
                .into_iter()
                .find_map(|change| match change {
                    Change::Moved { from, to, .. } if from.abs_diff(to) >= by => {
                        plain(format!("moved from {from} to {to}"), Some(before))
                    }
                    _ => None,
                })
        }
        Event::UrlChanged => {
            let before = base(earlier, now)?;
            changes(before, now)
                .into_iter()
                .find_map(|change| match change {
                    Change::Url { from, to } => plain(
                        format!("another address stands there: {to}, it was {from}"),
                        Some(before),
                    ),
                    _ => None,
                })
        }
        Event::Lost(runs) => lost(seen, runs.get() as usize),
        Event::Below(limit) => passes(earlier, now, |number| number < limit)
            .and_then(|(number, before)| plain(format!("{number} is below {limit}"), before)),
        Event::Above(limit) => passes(earlier, now, |number| number > limit)
            .and_then(|(number, before)| plain(format!("{number} is above {limit}"), before)),
        Event::Changed => changed(job, seen),
        Event::Blocked(_) | Event::Pool(_) => None,
    }
}

fn plain(text: String, before: Option<&Observation>) -> Option<Told<'_>> {
    Some(Told {
        text,
        before,
        diff: None,
    })
}

/// What `now` is compared with. Of a bound nothing is told: when the place is known it is compared with the same one.
fn base<'o>(earlier: &'o [Observation], now: &Observation) -> Option<&'o Observation> {
    let before = earlier.iter().rev().find(|one| is_base(one));
    before.filter(|_| is_base(now))
}

/// The last that tells whether the target was within the first `top`, and whether it was.
fn within_before<'o>(
    earlier: &'o [Observation],
    now: &Observation,
    top: u32,
) -> Option<(&'o Observation, bool)> {
    let told = |one: &'o Observation| Some((one, is_within(one, top, now)?));
    earlier.iter().rev().find_map(told)
}

fn enters<'o>(earlier: &'o [Observation], now: &Observation, top: u32) -> Option<Told<'o>> {
    let (before, false) = within_before(earlier, now, top)? else {
        return None;
    };
    let place = now.position?;
    let is_in = is_within(now, top, before)?;
    is_in
        .then(|| format!("{}, now at {place}: in the top {top}", was(before)))
        .and_then(|text| plain(text, Some(before)))
}

fn leaves<'o>(earlier: &'o [Observation], now: &Observation, top: u32) -> Option<Told<'o>> {
    let (before, true) = within_before(earlier, now, top)? else {
        return None;
    };
    let is_out = !is_within(now, top, before)?;
    is_out
        .then(|| format!("{}, now {}: out of the top {top}", was(before), is(now)))
        .and_then(|text| plain(text, Some(before)))
}

/// Not found in exactly so many good runs, after one that found it. A bound is a find.
fn lost(seen: &[Observation], runs: usize) -> Option<Told<'_>> {
    let now = seen.last().filter(|now| now.state.is_good())?;
    let mut back = seen.iter().rev().filter(|one| one.state.is_good());
    let absent = back
        .clone()
        .take_while(|one| one.position.is_none())
        .count();
    let before = back.nth(absent)?;
    let is_lost = absent == runs && !is_beyond(now, before, before.position?);
    is_lost
        .then(|| format!("{}, not found in {runs} good runs", was(before)))
        .and_then(|text| plain(text, Some(before)))
}

/// The number, when it is where `is_there` says and was not before.
fn passes<'o>(
    earlier: &'o [Observation],
    now: &Observation,
    is_there: impl Fn(f64) -> bool,
) -> Option<(f64, Option<&'o Observation>)> {
    let number = now.number.filter(|_| now.state.is_good())?;
    let before = earlier.iter().rev().find(|one| one.state.is_good());
    let was_there = before.and_then(|one| one.number).is_some_and(&is_there);
    (is_there(number) && !was_there).then_some((number, before))
}

fn changed<'o>(job: &TrackJob, seen: &'o [Observation]) -> Option<Told<'o>> {
    let Kind::Change(watch) = &job.kind else {
        return None;
    };
    // What was told of an earlier value is not told again for one that is not known.
    seen.last().filter(|now| now.state == State::Seen)?;
    let (old, new) = change(seen, &watch.steadiness())?;
    let (old_text, new_text) = (old.value.as_deref()?, new.value.as_deref()?);
    let is_short = |text: &str| text.len() <= SHORT && !text.contains('\n');
    if is_short(old_text) && is_short(new_text) {
        return plain(format!("{old_text} -> {new_text}"), Some(old));
    }
    let diff = diff(old_text, new_text, LINES);
    Some(Told {
        text: format!("the text has changed\n{}", diff.trim_end()),
        before: Some(old),
        diff: Some(diff),
    })
}

/// Exactly the last so many that tell something of the page are such ones; the last before them, which is none.
fn in_a_row(
    seen: &[Observation],
    runs: usize,
    is_such: fn(&Observation) -> bool,
) -> Option<&Observation> {
    seen.last().filter(|now| is_such(now))?;
    // A page that was blocked says nothing of it, nor does one that is gone of the selector.
    let is_judged = |one: &&Observation| one.state.is_good() || is_blind(one) || is_such(one);
    let mut judged = seen.iter().rev().filter(is_judged);
    let such = judged.clone().take_while(|one| is_such(one)).count();
    let before = judged.nth(such)?;
    (such == runs).then_some(before)
}

/// True when the page was good and the selector found nothing on it.
fn is_blind(one: &Observation) -> bool {
    one.state == State::Missing || one.why.as_deref() == Some(NO_ROWS)
}

/// True when the site says that there is no such page.
fn is_gone(one: &Observation) -> bool {
    one.why.as_deref().is_some_and(|why| GONE.contains(&why))
}

fn was(one: &Observation) -> String {
    format!("was {}", is(one))
}

fn is(one: &Observation) -> String {
    match (one.state, one.position) {
        (_, Some(place)) if one.lower_bound => format!("at {place} or lower down"),
        (_, Some(place)) => format!("at {place}"),
        (State::NotInDepth, _) => "not in the pages looked at".to_owned(),
        (State::NoResults, _) => "without results".to_owned(),
        (state, _) => state.as_str().to_owned(),
    }
}

impl Watch {
    /// When a value counts as changed.
    pub fn steadiness(&self) -> Steadiness {
        Steadiness {
            runs: self.runs.get(),
            threshold: self.threshold,
        }
    }
}
