//! Which alerts are due after a run.
//!
//! An observation of this run is compared with what was known before it, however long ago that was, by the rules of
//! [`super::compare`]: what is not known never alerts, and a place that is only a bound alerts of nothing but that the target is out of
//! the top N. What stays as it is alerts once.

#[cfg(test)]
mod tests;
mod told;

use serde_json::{Map, Value, json};
use url::Url;

use self::told::told;
use super::course::{GONE, NO_ROWS};
use super::job::{Alert, Event, Kind, TrackJob};
use crate::observation::{Observation, Series};
use crate::outcome::UnixMillis;

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

/// Observations that [`of_series`] needs at most to judge the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// So many of which something is known.
    pub known: usize,
    /// So many of which nothing is known and that tell something all the same,
    pub unknown: usize,
    /// because they say one of these.
    pub whys: &'static [&'static str],
}

/// What is to be looked back at for the alerts of a job.
pub fn needs(job: &TrackJob) -> Needs {
    /// Enough to find one whose place is no bound.
    const PLACES: usize = 32;
    /// A price that creeps is compared with what it was when it was last told of.
    const VALUES: usize = 400;
    let runs = job.alerts.iter().map(|alert| match alert.when {
        Event::Lost(runs) | Event::SelectorBroken(runs) | Event::Gone(runs) => runs.get() as usize,
        _ => 0,
    });
    let runs = runs.max().unwrap_or(0);
    let (base, whys): (usize, &[&str]) = match job.kind {
        Kind::Rank(_) => (PLACES, &[NO_ROWS]),
        Kind::Change(_) => (VALUES, &GONE),
    };
    Needs {
        known: base.saturating_add(runs),
        // One more, to see that there are more.
        unknown: runs.saturating_add(1),
        whys,
    }
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
            let url = job.address_of(series);
            event.insert("url".into(), url.as_ref().map(Url::as_str).into());
            Some(Due {
                alert: at,
                text: format!("{}: {}", name(series, url.as_ref()), told.text),
                event,
            })
        })
        .collect()
}

/// `shoes · de · me`: a keyword with its target says what an alert is about. A watched page is looked at next: `prices · shoes,
/// https://shop.example/shoes`.
fn name(series: &Series, url: Option<&Url>) -> String {
    let places = series.to_string();
    let job = series.target.is_none().then_some(&*series.job);
    let all = [job, Some(&*places), series.target.as_deref()];
    let all = all.into_iter().flatten().filter(|part| !part.is_empty());
    let name = all.collect::<Vec<_>>().join(" · ");
    match url.filter(|url| series.target.is_none() && url.as_str() != places) {
        Some(url) => format!("{name}, {url}"),
        None => name,
    }
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
    pub fn is_about(&self, series: &Series) -> bool {
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

/// What an event tells of an observation.
fn short(one: &Observation) -> Value {
    json!({
        "at": UnixMillis(one.at),
        "state": one.state.as_str(),
        "position": one.position,
        "url": one.url,
        "value": one.value,
        "number": one.number,
    })
}
