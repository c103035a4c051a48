//! `track history`: observations as rows.

use std::collections::HashMap;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::kept::{chosen, found, minute, open, plain};
use crate::cli::Environment;
use crate::cli::args::{HistoryFormat, TrackHistoryArgs};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::settings::CommandLine;
use crate::error::Error;
use crate::observation::{Observation, Series, SeriesId, State};
use crate::outcome::UnixMillis;
use crate::state::{RunId, millis};

/// Columns of the CSV, and keys of the JSON, in this order.
pub(super) const COLUMNS: [&str; 20] = [
    "v",
    "job",
    "series",
    "name",
    "axes",
    "target",
    "run",
    "at",
    "state",
    "position",
    "lower_bound",
    "absolute",
    "url",
    "title",
    "value",
    "number",
    "results",
    "pages_read",
    "pages_asked",
    "why",
];

/// Version of the rows.
const VERSION: u32 = 1;

/// Prints what was observed.
pub(super) fn run(
    args: &TrackHistoryArgs,
    line: &CommandLine,
    environment: &Environment,
    printer: &Printer,
) -> Result<Exit, Error> {
    let (history, job) = open(&args.kept, line, environment)?;
    let series = chosen(&history, &job, &args.of)?;
    let since = millis(SystemTime::now() - args.since.0);
    let by_id: HashMap<SeriesId, &Series> = series.iter().map(|one| (one.id(), one)).collect();
    let all = history.since(&job, since)?;
    let rows = all
        .iter()
        .filter_map(|(id, run, one)| Some((*by_id.get(id)?, run, one)));
    let text = match args.format {
        HistoryFormat::Table => table(rows),
        HistoryFormat::Jsonl => jsonl(rows),
        HistoryFormat::Csv => csv(rows, true)?,
    };
    printer.data(&text)?;
    if all.is_empty() {
        printer.note(&format!(
            "nothing was observed of {job} within {}",
            args.since
        ));
    }
    Ok(Exit::DONE)
}

/// A row: whose it is, of which run, and what was seen.
pub(super) type Row<'a> = (&'a Series, &'a RunId, &'a Observation);

/// A block for each series, in the order they come up in.
fn table<'a>(rows: impl Iterator<Item = Row<'a>>) -> String {
    let mut blocks: Vec<(&Series, Vec<&Observation>)> = Vec::new();
    let mut places: HashMap<SeriesId, usize> = HashMap::new();
    for (series, _, one) in rows {
        let place = *places.entry(series.id()).or_insert_with(|| {
            blocks.push((series, Vec::new()));
            blocks.len() - 1
        });
        blocks[place].1.push(one);
    }
    let mut text = String::new();
    for (at, (series, seen)) in blocks.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        text.push_str(&plain(&series.to_string(), 200));
        if let Some(target) = &series.target {
            text.push_str(&format!("  {}", plain(target, 80)));
        }
        text.push_str(&format!("  [{}]\n", series.id()));
        for one in seen {
            let what = match one.state {
                State::Unknown => one.why.as_deref(),
                _ => one.url.as_deref(),
            };
            let what = plain(what.unwrap_or_default(), 100);
            let line = format!("  {}  {:>12}  {what}", minute(one.at), found(one));
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

/// The values of [`COLUMNS`].
fn values((series, run, one): Row<'_>) -> [Value; 20] {
    let is_ranked = one.state == State::Ranked;
    [
        json!(VERSION),
        json!(series.job),
        json!(series.id().to_string()),
        json!(series.to_string()),
        json!(series.axes),
        json!(series.target),
        json!(run.0),
        json!(UnixMillis(one.at)),
        json!(one.state.as_str()),
        json!(one.position),
        json!(is_ranked.then_some(one.lower_bound)),
        json!(one.absolute),
        json!(one.url),
        json!(one.title),
        json!(one.value),
        json!(one.number),
        json!(one.results),
        json!(one.pages.0),
        json!(one.pages.1),
        json!(one.why),
    ]
}

/// One object for each row.
pub(super) fn jsonl<'a>(rows: impl Iterator<Item = Row<'a>>) -> String {
    let mut text = String::new();
    for row in rows {
        let keys = COLUMNS.iter().map(|key| (*key).to_owned());
        let object: serde_json::Map<_, _> = keys.zip(values(row)).collect();
        text.push_str(&Value::Object(object).to_string());
        text.push('\n');
    }
    text
}

/// One record for each row, below a header if that is wanted.
pub(super) fn csv<'a>(rows: impl Iterator<Item = Row<'a>>, header: bool) -> Result<String, Error> {
    let broken = |why: String| Error::Internal(format!("cannot write a row: {why}"));
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    if header {
        writer
            .write_record(COLUMNS)
            .map_err(|error| broken(error.to_string()))?;
    }
    for row in rows {
        let cells = values(row).map(|value| match value {
            Value::Null => String::new(),
            Value::String(text) => guarded(text),
            other => other.to_string(),
        });
        writer
            .write_record(&cells)
            .map_err(|error| broken(error.to_string()))?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| broken(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| broken(error.to_string()))
}

/// Spreadsheets run a cell that starts like this as a formula, and titles and addresses come from strangers.
fn guarded(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text
    }
}
