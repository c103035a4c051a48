//! Who is told what after a run.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::deliver;
use crate::cli::printer::Printer;
use crate::error::{Error, Problem};
use crate::observation::SeriesId;
use crate::state::History;
use crate::track::alert::{self, Due};
use crate::track::course::NO_ROWS;
use crate::track::job::TrackJob;

/// What nobody has been told of.
pub(super) struct Untold {
    pub(super) due: Vec<Due>,
    /// The number of the last observation that was judged.
    pub(super) last: Option<i64>,
}

/// Judges every observation that nobody has been told of.
pub(super) fn untold(job: &TrackJob, history: &History) -> Result<Untold, Error> {
    let untold = history.untold(&job.name)?;
    let last = untold.last().map(|(seq, _)| *seq);
    let mut due = Vec::new();
    if !job.alerts.is_empty() {
        let series = history.series(&job.name)?;
        let series: HashMap<SeriesId, _> = series.into_iter().map(|one| (one.id(), one)).collect();
        let most = alert::looks_back(job);
        let mut back = history.look_back()?;
        for (seq, id) in untold {
            let Some(series) = series.get(&id) else {
                continue;
            };
            if !job.alerts.iter().any(|alert| alert.is_about(series)) {
                continue;
            }
            let seen = back.until(id, seq, NO_ROWS, most)?;
            due.extend(alert::of_series(job, series, &seen));
        }
    }
    Ok(Untold { due, last })
}

/// Prints the alerts that are due, and sends them where the job says; false when some did not arrive.
pub(super) fn tell(job: &TrackJob, due: &[Due], printer: &Printer) -> Result<bool, Error> {
    if !due.is_empty() {
        let lines: String = due.iter().map(|due| format!("{}\n", due.text)).collect();
        printer.data(&lines)?;
    }
    let mut by_alert: BTreeMap<usize, Vec<&Due>> = BTreeMap::new();
    for one in due {
        by_alert.entry(one.alert).or_default().push(one);
    }
    let mut arrived = true;
    for (number, due) in by_alert {
        let Some(alert) = job.alerts.get(number) else {
            continue;
        };
        let events: Vec<Value> = due
            .iter()
            .map(|due| {
                let mut event = due.event.clone();
                event.insert("text".into(), due.text.as_str().into());
                event.into()
            })
            .collect();
        let body = json!({"job": job.name, "events": events});
        let told = [
            alert
                .command
                .as_ref()
                .map(|words| deliver::run_program(words, &body)),
            alert
                .webhook
                .as_ref()
                .map(|hook| deliver::send(&hook.url, hook.secret.as_ref(), &body)),
        ];
        for failed in told.into_iter().flatten().filter_map(Result::err) {
            arrived = false;
            printer.warn(
                &Problem::new(format!("an alert did not arrive: {failed}"))
                    .hint("it is told again after the next run"),
            );
        }
    }
    Ok(arrived)
}
