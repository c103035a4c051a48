//! `track plan`: what a job asks for, before it is asked.

use std::fs;
use std::time::SystemTime;

use serde_json::json;

use super::{job, size, state_of};
use crate::cli::Environment;
use crate::cli::args::{Form, TrackPlanArgs};
use crate::cli::exit::Exit;
use crate::cli::figures::{bytes, money};
use crate::cli::printer::Printer;
use crate::cli::settings::{CommandLine, settings_of_run};
use crate::error::Error;
use crate::job::{LabelFilter, RequestSpec};
use crate::observation::Visit;
use crate::state::{History, millis};
use crate::track::job::{Depth, Query, TrackJob};

/// Milliseconds that are looked back.
const MONTH: i64 = 30 * 24 * 3600 * 1000;
/// Widest column of series; longer ones move what follows.
const WIDEST: usize = 48;

pub(super) fn run(
    args: &TrackPlanArgs,
    line: &CommandLine,
    environment: &Environment,
    printer: &Printer,
) -> Result<Exit, Error> {
    let job = job(&args.job, environment)?;
    let experience = experience(&job, args, line, environment)?;
    let totals = format!("{}{}", totals(&job), experience);
    let queries = job.expand(&RequestSpec::default());
    match args.format {
        Form::Text => {
            printer.data(&table(&job, &queries))?;
            printer.data(&format!("\n{totals}\n"))?;
        }
        Form::Jsonl => {
            for query in &queries {
                printer.data(&format!("{}\n", row(&job, query)))?;
            }
            printer.note(&totals);
        }
    }
    Ok(Exit::DONE)
}

/// Pages of a query that is answered, and on whose first page everything is found.
fn least(job: &TrackJob) -> u32 {
    match job.pages.depth {
        Depth::All => job.pages.most,
        Depth::Smart | Depth::Stop => 1,
    }
}

fn table(job: &TrackJob, queries: &[Query]) -> String {
    let shown = |query: &Query| match query.series.to_string() {
        empty if empty.is_empty() => job.name.to_string(),
        shown => shown,
    };
    let widths = queries.iter().map(|query| shown(query).chars().count());
    let width = widths.max().unwrap_or_default().clamp(6, WIDEST);
    let exits = queries
        .iter()
        .map(|query| exit(query.filter.as_deref()).len());
    let exit_width = exits.max().unwrap_or_default().max(4);
    let pages = match (least(job), job.pages.most) {
        (least, most) if least == most => most.to_string(),
        (least, most) => format!("{least}-{most}"),
    };
    let mut text = format!(
        "{:<width$}  {:<exit_width$}  {:<5}  FIRST PAGE\n",
        "SERIES", "EXIT", "PAGES"
    );
    for query in queries {
        let (url, _) = query.page(0);
        let exit = exit(query.filter.as_deref());
        text.push_str(&format!(
            "{:<width$}  {exit:<exit_width$}  {pages:<5}  {url}\n",
            shown(query)
        ));
    }
    text
}

/// `de,resi`: the labels an exit has to have.
fn exit(filter: Option<&LabelFilter>) -> String {
    let Some(filter) = filter else {
        return "any".to_owned();
    };
    let words = filter.country.iter().chain(&filter.tags);
    words.map(|word| &**word).collect::<Vec<_>>().join(",")
}

fn row(job: &TrackJob, query: &Query) -> serde_json::Value {
    let (url, _) = query.page(0);
    let filter = query.filter.as_deref();
    json!({
        "series": query.series.id().to_string(),
        "axes": query.series.axes,
        "exit_country": filter.and_then(|filter| filter.country.as_ref()),
        "exit_tags": filter.map_or(&[][..], |filter| &filter.tags),
        "pages_least": least(job),
        "pages_most": query.most,
        "url": url.as_str(),
    })
}

/// What a run takes by what the queries of the last month took; nothing when there were none.
fn experience(
    job: &TrackJob,
    args: &TrackPlanArgs,
    line: &CommandLine,
    environment: &Environment,
) -> Result<String, Error> {
    let settings = settings_of_run(job, &[], line, environment)?;
    let (named, set) = (&args.file.state, &settings.args.run.state);
    let state = state_of(named.as_ref(), set.as_ref(), environment);
    let Some(state) = state.filter(|state| state.exists()) else {
        return Ok(String::new());
    };
    let month_ago = millis(SystemTime::now()) - MONTH;
    let history = History::open_existing(&state)?;
    // Of two files that give their jobs one name, the one knows nothing of the other.
    let owner = history.owner(&job.name)?;
    let owner = owner.and_then(|owner| fs::canonicalize(owner).ok());
    if owner.is_some_and(|owner| fs::canonicalize(&job.path).ok() != Some(owner)) {
        return Ok(String::new());
    }
    let visits = history.visits(&job.name, month_ago)?;
    if visits.is_empty() {
        return Ok(String::new());
    }
    let places = job.plan().places as f64 / visits.len() as f64;
    let whole = |of: fn(&Visit) -> u64| {
        let all: u64 = visits.iter().map(|kept| of(&kept.visit)).sum();
        all as f64 * places
    };
    let mut text = format!(
        "\nas in the last 30 days: {:.0} requests with retries, {} of pages",
        whole(|visit| visit.attempts.into()),
        bytes(whole(|visit| visit.bytes) as u64)
    );
    let cost = whole(|visit| visit.cost) / 1e6;
    if cost > 0.0 {
        text.push_str(&format!(", cost {}", money(cost)));
    }
    Ok(text)
}

/// What a run comes to when every page is answered at once.
fn totals(job: &TrackJob) -> String {
    let plan = job.plan();
    let requests = if plan.least == plan.most {
        plan.most.to_string()
    } else {
        format!("{} to {}", plan.least, plan.most)
    };
    let retries = match job.schedule.max_requests {
        Some(most) => format!("with retries {most} at most"),
        None => "retries not counted".to_owned(),
    };
    format!("{}, {requests} requests a run, {retries}", size(job))
}
