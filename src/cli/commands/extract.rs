//! `extract`: expressions and profiles tried on saved pages.

use std::path::Path;

use super::{Failure, flags, read};
use crate::cli::Environment;
use crate::cli::args::{
    ExtractCommand, ExtractCommandArgs, ExtractShowArgs, ExtractTestArgs, profile_file,
};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::error::{Error, Problem};
use crate::extract::{
    Extractor, FieldTrace, RowsTrace, Settings, Step, Trace, built_in, built_in_names,
};
use crate::metrics::Snapshot;

/// Runs the command below `extract` that the line names.
pub(super) fn run(environment: &Environment, early: &Printer) -> Result<Exit, Failure> {
    let (args, global) =
        flags::<ExtractCommandArgs>(environment).map_err(|error| (early.clone(), error))?;
    let printer = Printer::new(&global, environment);
    let done = match &args.command {
        ExtractCommand::Test(args) => test(args, &printer),
        ExtractCommand::Show(args) => show(args, &printer),
    };
    done.map(|()| Exit::DONE).map_err(|error| (printer, error))
}

/// Fewer answers than this without a field may all be such that have none.
const ENOUGH: u64 = 5;

/// Warns of fields that no answer of a run had: a site that has changed must not look like empty cells.
pub(super) fn warn_of_blind(totals: &Snapshot, printer: &Printer) {
    let fields = totals.fields.iter().filter(|(_, found)| **found == 0);
    let names: Vec<&str> = fields.map(|(name, _)| &**name).collect();
    if totals.looked_at < ENOUGH || names.is_empty() {
        return;
    }
    printer.warn(
        &Problem::new(format!(
            "none of {} answers had {}",
            totals.looked_at,
            names.join(", ")
        ))
        .hint("save some with --body file --save-dir pages: proxywheel extract test tells why"),
    );
}

fn show(args: &ExtractShowArgs, printer: &Printer) -> Result<(), Error> {
    let Some(name) = &args.name else {
        let names: Vec<&str> = built_in_names().collect();
        return printer.data(&format!("{}\n", names.join("\n")));
    };
    let profile = built_in(name).ok_or_else(|| {
        let names: Vec<&str> = built_in_names().collect();
        Problem::new(format!("there is no profile {name:?}"))
            .hint(format!("there are {}", names.join(", ")))
    })?;
    printer.data(&profile.text)
}

fn test(args: &ExtractTestArgs, printer: &Printer) -> Result<(), Error> {
    let settings = Settings {
        select: args.select.clone(),
        rows: args.rows.clone(),
        profile: match &args.profile {
            Some(name) => Some(profile_file(name, "--profile", &mut read)?),
            None => None,
        },
        ..Settings::default()
    };
    if settings.is_empty() {
        return Err(Problem::new("nothing is to be extracted")
            .hint("add --profile FILE, or --select 'price=.price::text|number'")
            .into());
    }
    let extractor = Extractor::new(&settings)?;
    for path in &args.pages {
        let body = read(path)?;
        let trace = extractor.trace(kind_of(path), &body, Some(&args.url));
        printer.data(&shown(path, &trace))?;
    }
    Ok(())
}

/// The type a file of this name has; what has none is taken for what it looks like.
fn kind_of(path: &Path) -> Option<&'static str> {
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    match suffix.unwrap_or_default().to_ascii_lowercase().as_str() {
        "json" => Some("application/json"),
        "html" | "htm" => Some("text/html"),
        _ => None,
    }
}

/// Values shown of one field; the rest is counted.
const VALUES: usize = 5;
/// Letters of a value.
const LETTERS: usize = 70;

fn shown(path: &Path, trace: &Trace) -> String {
    let mut text = format!("{}:", path.display());
    match &trace.rows {
        Some(rows) => text.push_str(&shown_rows(rows)),
        None => text.push('\n'),
    }
    if let Some(state) = trace.state {
        text.push_str(&format!("  state {}\n", state.as_str()));
    }
    let many = trace.rows.is_some();
    for field in &trace.fields {
        text.push_str(&shown_field(field, many));
    }
    text
}

fn shown_rows(rows: &RowsTrace) -> String {
    let count = rows.places.len() - rows.dropped.len();
    let mut text = format!(" {count} rows");
    let lines: Vec<&str> = rows
        .places
        .iter()
        .take(VALUES)
        .flatten()
        .map(String::as_str)
        .collect();
    if let (Some(first), true) = (lines.first(), count > 0) {
        text.push_str(&format!(", the first match at {first}"));
    }
    text.push('\n');
    match rows.dropped.len() {
        0 => {}
        1 => text.push_str(
            "  1 more match lacks a required field
",
        ),
        more => text.push_str(&format!(
            "  {more} more matches lack a required field
"
        )),
    }
    if rows.places.is_empty() {
        text.push_str(&format!(
            "  nothing matches: {}\n",
            shown_steps(&rows.steps)
        ));
    }
    text
}

fn shown_field(field: &FieldTrace, many: bool) -> String {
    let FieldTrace {
        name,
        expression,
        found,
        steps,
        why,
    } = field;
    let mut text = format!("  {name} = {expression}\n");
    if let Some(why) = why {
        text.push_str(&format!("    null: {why}\n"));
        if steps.len() > 1 {
            text.push_str(&format!("    {}\n", shown_steps(steps)));
        }
        return text;
    }
    for (row, found) in found.iter().enumerate().take(VALUES) {
        let mut value = found.value.to_string();
        if let Some((at, _)) = value.char_indices().nth(LETTERS) {
            value.truncate(at);
            value.push('…');
        }
        let row = if many {
            format!("row {}, ", row + 1)
        } else {
            String::new()
        };
        let place = match (&found.place, found.matched) {
            (Some(place), 1) => place.clone(),
            (Some(place), matched) => format!("{place}, the first of {matched}"),
            (None, 0) => "nothing".to_owned(),
            (None, 1) => "1 match".to_owned(),
            (None, matched) => format!("{matched} matches"),
        };
        text.push_str(&format!("    {row}{place}: {value}\n"));
    }
    if found.len() > VALUES {
        let nulls = found.iter().filter(|found| found.value.is_null()).count();
        text.push_str(&format!(
            "    … {} rows in all, {nulls} of them null\n",
            found.len()
        ));
    }
    text
}

/// `.result 12, .result .price 0`
fn shown_steps(steps: &[Step]) -> String {
    let steps: Vec<String> = steps
        .iter()
        .map(|Step { part, matched }| format!("{part} {matched}"))
        .collect();
    steps.join(", ")
}
