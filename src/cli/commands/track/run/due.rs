//! Which queries a run asks.

use std::fs;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use crate::engine::system_seed;
use crate::error::Error;
use crate::job::RequestSpec;
use crate::observation::{Series, State, Validators};
use crate::state::{History, KnownSeries, RunId, millis};
use crate::track::course::Due;
use crate::track::job::{Order, Query, TrackJob};

/// What a run has to do.
pub(super) struct Choice {
    /// The run that is gone on with, or a new one; none when nothing is due and nothing was left open.
    pub(super) run: Option<RunId>,
    pub(super) due: Vec<Due>,
    /// Queries that were left out because they were observed well a short time ago.
    pub(super) fresh: u64,
    /// The run was begun by a process that did not see it to its end.
    pub(super) continued: bool,
}

/// Chooses at `now`, in milliseconds since 1970. A run that was not ended is gone on with when it is young enough; what it has observed
/// is not asked again. With `retry_failed` only queries of which nothing came to be known the last time, or
/// ever, or on whose good page nothing was found, are asked, unless there is a run to be gone on with, which comes first.
pub(super) fn choose(
    job: &TrackJob,
    history: &History,
    request: &RequestSpec,
    retry_failed: bool,
    now: i64,
) -> Result<Choice, Error> {
    let within = i64::try_from(job.schedule.resume_within.as_millis()).unwrap_or(i64::MAX);
    let open = match history.unfinished(&job.name)? {
        // A clock that was set back must not make a new run of it.
        Some(open) if now.saturating_sub(open.began).saturating_abs() < within => Some(open),
        Some(open) => {
            history.abandon(&open.id)?;
            None
        }
        None => None,
    };
    let min_age = i64::try_from(job.schedule.min_age.as_millis()).unwrap_or(i64::MAX);
    let known = history.known(&job.name)?;
    let mut due = Vec::new();
    let mut fresh = 0;
    for query in job.expand(request) {
        let series = series_of(job, &query);
        let is_done = |series: &Series| {
            let observed = open.as_ref().map(|open| &open.observed);
            observed.is_some_and(|observed| observed.contains(&series.id()))
        };
        if series.iter().all(is_done) {
            continue;
        }
        let of_series = || series.iter().map(|one| known.get(&one.id()));
        let is_fresh = min_age > 0
            && of_series().all(|known| {
                let age = known
                    .and_then(|known| known.good)
                    .map(|(at, _)| now.saturating_sub(at));
                // From after now it is when the clock was set back.
                age.is_some_and(|age| age.saturating_abs() < min_age)
            });
        if is_fresh {
            fresh += 1;
            continue;
        }
        // What a run counts as failed, or what no run has seen.
        let has_failed =
            |known: Option<&KnownSeries>| known.is_none_or(|known| !known.last.is_good());
        // Of what an unfinished run has not asked yet nothing is known either, and left out it would be lost.
        if retry_failed && open.is_none() && !of_series().any(has_failed) {
            continue;
        }
        due.push(Due {
            last: of_series()
                .map(last_place)
                .take(job.targets().len())
                .collect(),
            validators: of_series()
                .map(|known| version(job, known))
                .next()
                .unwrap_or_default(),
            query,
        });
    }
    if job.schedule.order == Order::Shuffle {
        due.shuffle(&mut StdRng::seed_from_u64(system_seed()));
    }
    let continued = open.is_some();
    let run = match open {
        Some(open) => Some(open.id),
        None if due.is_empty() => None,
        None => Some(history.begin(&job.name, now)?),
    };
    Ok(Choice {
        run,
        due,
        fresh,
        continued,
    })
}

/// Where a target stood last.
fn last_place(known: Option<&KnownSeries>) -> Option<u32> {
    known?.good?.1
}

/// The version by which a page is asked for: only while that is what was read last. After a page without the value it is read again.
fn version(job: &TrackJob, known: Option<&KnownSeries>) -> Validators {
    let known = known.filter(|known| {
        known.last == State::Seen && known.good.is_some_and(|(at, _)| !is_edited_since(job, at))
    });
    known
        .map(|known| known.validators.clone())
        .unwrap_or_default()
}

/// True when the job file was changed after this, in milliseconds since 1970: it may select something else now, which a page that
/// has not changed would never show.
fn is_edited_since(job: &TrackJob, at: i64) -> bool {
    let changed = fs::metadata(&job.path).and_then(|file| file.modified());
    changed.is_ok_and(|changed| millis(changed) > at)
}

/// The series of a query: one for each target, or itself.
fn series_of(job: &TrackJob, query: &Query) -> Vec<Series> {
    let targets = job.targets();
    if targets.is_empty() {
        return vec![query.series.clone()];
    }
    let of = |name: &str| Series {
        target: Some(name.into()),
        ..query.series.clone()
    };
    targets.iter().map(|target| of(&target.name)).collect()
}
