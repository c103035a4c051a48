//! Which alerts are due after a run.
//!
//! An observation of this run is compared with the last good one before it, however long ago that was. What is not known never
//! alerts, nor does a place that is only a bound: the page that is missing may hold the target. What stays as it is alerts once.

use serde_json::{Map, Value, json};

use super::change::{Steadiness, change, diff};
use super::job::{Alert, Event, Kind, TrackJob, Watch};
use crate::observation::{Observation, Series, State};

/// Lines of a difference that an alert shows.
const LINES: usize = 40;

/// An alert that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// Number of the alert in the job file, from 0.
    pub alert: usize,
    /// What is to be told, for people.
    pub text: String,
    /// The same for programs: `when`, the axes, `target`, `before`, `after` and what belongs to the event.
    pub event: Map<String, Value>,
}

/// The alerts of one series. `seen` is in the order it was written in; its last is what this run saw.
pub fn of_series(job: &TrackJob, series: &Series, seen: &[Observation]) -> Vec<Due> {
    let Some(now) = seen.last() else {
        return Vec::new();
    };
    let alerts = job.alerts.iter().enumerate();
    alerts
        .filter(|(_, alert)| alert.is_about(series))
        .filter_map(|(at, alert)| {
            let told = told(alert.when, job, seen)?;
            let mut event = head(alert);
            event.insert("job".into(), (*series.job).into());
            let axes = series.axes.iter();
            let axes: Map<_, _> = axes
                .map(|(axis, value)| (axis.to_string(), Value::from(&**value)))
                .collect();
            event.insert("series".into(), axes.into());
            event.insert("target".into(), series.target.as_deref().into());
            event.insert("before".into(), told.before.map_or(Value::Null, short));
            event.insert("after".into(), short(now));
            if let Some(diff) = &told.diff {
                event.insert("diff".into(), diff.as_str().into());
            }
            let target = series.target.as_ref().map(|name| format!(" · {name}"));
            let name = format!("{series}{}", target.unwrap_or_default());
            let name = if name.is_empty() {
                series.job.to_string()
            } else {
                name
            };
            Some(Due {
                alert: at,
                text: format!("{name}: {}", told.text),
                event,
            })
        })
        .collect()
}

/// The alerts about a run as a whole: of each host how many of its requests were blocked and how many there were, and how many proxies
/// are alive.
pub fn of_run(job: &TrackJob, hosts: &[(Box<str>, u64, u64)], alive: u64) -> Vec<Due> {
    let mut due = Vec::new();
    for (at, alert) in job.alerts.iter().enumerate() {
        let mut tell = |text: String, facts: Value| {
            let mut event = head(alert);
            event.insert("job".into(), (*job.name).into());
            if let Value::Object(facts) = facts {
                event.extend(facts);
            }
            due.push(Due {
                alert: at,
                text,
                event,
            });
        };
        match alert.when {
            Event::Blocked(most) => {
                for (host, blocked, attempts) in hosts {
                    let share = *blocked as f64 / (*attempts).max(1) as f64;
                    if share > most {
                        let text = format!(
                            "{host}: {blocked} of {attempts} requests were blocked ({:.0} %)",
                            share * 100.0
                        );
                        let facts = json!({"host": host, "blocked": blocked, "attempts": attempts});
                        tell(text, facts);
                    }
                }
            }
            Event::Pool(least) if alive < u64::from(least) => {
                tell(
                    format!("{alive} proxies are alive, fewer than {least}"),
                    json!({"alive": alive}),
                );
            }
            _ => {}
        }
    }
    due
}

impl Alert {
    /// True when it is about this series.
    fn is_about(&self, series: &Series) -> bool {
        let target = series.target.as_ref();
        let of_target =
            self.targets.is_empty() || target.is_some_and(|name| self.targets.contains(name));
        of_target
            && self.places.iter().all(|(axis, values)| {
                let value = series.axes.get(axis);
                value.is_some_and(|value| values.contains(value))
            })
    }
}

fn head(alert: &Alert) -> Map<String, Value> {
    let mut event = Map::new();
    event.insert("when".into(), alert.when.as_str().into());
    event
}

struct Told<'o> {
    text: String,
    before: Option<&'o Observation>,
    diff: Option<String>,
}

/// What a run has to tell of a series by one rule.
fn told<'o>(when: Event, job: &TrackJob, seen: &'o [Observation]) -> Option<Told<'o>> {
    let plain = |text: String, before| {
        Some(Told {
            text,
            before,
            diff: None,
        })
    };
    if let Event::SelectorBroken(runs) = when {
        let runs = runs.get() as usize;
        // A page that was blocked says nothing of the selector.
        let judged: Vec<&Observation> = seen
            .iter()
            .filter(|one| one.state.is_good() || is_blind(one))
            .collect();
        let blind = judged.iter().rev().take_while(|one| is_blind(one)).count();
        let before = judged.iter().rev().nth(blind).copied();
        let is_now = seen.last().is_some_and(is_blind);
        return match before {
            Some(_) if is_now && blind == runs => plain(
                format!("the selector finds nothing any more, {blind} good pages in a row"),
                before,
            ),
            _ => None,
        };
    }
    let sure: Vec<&Observation> = seen.iter().filter(|one| is_sure(one)).collect();
    let now = *sure.last()?;
    if !std::ptr::eq(now, seen.last()?) {
        return None;
    }
    let before = sure.len().checked_sub(2).map(|at| sure[at]);
    match when {
        Event::EntersTop(top) => {
            let (position, before) = (now.position?, before?);
            let was_in = before.position.is_some_and(|place| place <= top);
            match position <= top && !was_in {
                true => plain(
                    format!("{}, now at {position}: in the top {top}", was(before)),
                    Some(before),
                ),
                false => None,
            }
        }
        Event::LeavesTop(top) => {
            let before = before?;
            let place = before.position.filter(|place| *place <= top)?;
            match now.position {
                Some(position) if position <= top => None,
                Some(position) => plain(
                    format!("was at {place}, now at {position}: out of the top {top}"),
                    Some(before),
                ),
                None => plain(
                    format!("was at {place}, now {}: out of the top {top}", is(now)),
                    Some(before),
                ),
            }
        }
        Event::Moved(by) => {
            let before = before?;
            let (old, new) = (before.position?, now.position?);
            match old.abs_diff(new) >= by {
                true => plain(format!("moved from {old} to {new}"), Some(before)),
                false => None,
            }
        }
        Event::UrlChanged => {
            let before = before?;
            let (old, new) = (before.url.as_ref()?, now.url.as_ref()?);
            match old == new {
                true => None,
                false => plain(
                    format!("another address stands there: {new}, it was {old}"),
                    Some(before),
                ),
            }
        }
        Event::Lost(runs) => {
            let runs = runs.get() as usize;
            let absent = sure
                .iter()
                .rev()
                .take_while(|one| one.position.is_none())
                .count();
            let before = sure.iter().rev().nth(absent).copied()?;
            match absent == runs {
                true => plain(
                    format!("{}, not found in {runs} good runs", was(before)),
                    Some(before),
                ),
                false => None,
            }
        }
        Event::Below(limit) => {
            let number = now.number?;
            let was_below = before
                .and_then(|one| one.number)
                .is_some_and(|old| old < limit);
            match number < limit && !was_below {
                true => plain(format!("{number} is below {limit}"), before),
                false => None,
            }
        }
        Event::Above(limit) => {
            let number = now.number?;
            let was_above = before
                .and_then(|one| one.number)
                .is_some_and(|old| old > limit);
            match number > limit && !was_above {
                true => plain(format!("{number} is above {limit}"), before),
                false => None,
            }
        }
        Event::Changed => {
            let Kind::Change(watch) = &job.kind else {
                return None;
            };
            let (old, new) = change(seen, &watch.steadiness())?;
            let (old_text, new_text) = (old.value.as_deref()?, new.value.as_deref()?);
            let is_short = |text: &str| text.len() <= 80 && !text.contains('\n');
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
        Event::SelectorBroken(_) | Event::Blocked(_) | Event::Pool(_) => None,
    }
}

/// True when an observation may be compared with others.
fn is_sure(one: &Observation) -> bool {
    one.state.is_good() && !one.lower_bound
}

/// True when the page was good and the selector found nothing on it.
fn is_blind(one: &Observation) -> bool {
    one.state == State::Missing || one.why.as_deref() == Some(super::course::NO_ROWS)
}

fn was(one: &Observation) -> String {
    match one.position {
        Some(place) => format!("was at {place}"),
        None => format!("was {}", is(one)),
    }
}

fn is(one: &Observation) -> &'static str {
    match one.state {
        State::NotInDepth => "not in the pages looked at",
        State::NoResults => "without results",
        _ => one.state.as_str(),
    }
}

/// What an event tells of an observation.
fn short(one: &Observation) -> Value {
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(one.at) * 1_000_000);
    let at = at.ok().and_then(|at| {
        at.format(&time::format_description::well_known::Rfc3339)
            .ok()
    });
    json!({
        "at": at,
        "state": one.state.as_str(),
        "position": one.position,
        "url": one.url,
        "value": one.value,
        "number": one.number,
    })
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
