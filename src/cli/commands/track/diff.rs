//! `track diff`: what changed, one line each.

use serde_json::{Value, json};

use super::kept::{chosen, minute, open, plain};
use crate::cli::Environment;
use crate::cli::args::{HistoryFormat, TrackDiffArgs};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::settings::CommandLine;
use crate::error::{Error, Problem};
use crate::observation::{Observation, Series};
use crate::outcome::UnixMillis;
use crate::state::History;
use crate::track::change;
use crate::track::compare::{Against, Change, changes, has_stopped, is_base};

/// Lines of a text that are shown of its difference.
const LINES: usize = 12;
/// Longest value that is shown on the line of its change, in characters.
const SHORT: usize = 60;
/// Series that a warning names.
const NAMED: usize = 3;

/// Prints what changed.
pub(super) fn run(
    args: &TrackDiffArgs,
    line: &CommandLine,
    environment: &Environment,
    printer: &Printer,
) -> Result<Exit, Error> {
    let (history, job) = open(&args.kept, line, environment)?;
    let mut text = String::new();
    let mut stopped = Vec::new();
    for series in chosen(&history, &job, &args.of)? {
        if let [now, then] = &history.recent(series.id(), 2)?[..]
            && has_stopped(then, now)
        {
            stopped.push(plain(&series.to_string(), SHORT));
        }
        let Some((then, now)) = pair(&history, &series, args.against)? else {
            continue;
        };
        for change in changes(&then, &now) {
            match args.format {
                HistoryFormat::Jsonl => {
                    text.push_str(&row(&series, &change, &then, &now).to_string());
                    text.push('\n');
                }
                _ => text.push_str(&told(&series, &change, &then)),
            }
        }
    }
    printer.data(&text)?;
    warn_of(&stopped, printer);
    Ok(if args.exit_on_change && !text.is_empty() {
        Exit::new(10, "changed")
    } else {
        Exit::DONE
    })
}

/// The observation that is compared, with which; `None` where there are not both.
fn pair(
    history: &History,
    series: &Series,
    against: Against,
) -> Result<Option<(Observation, Observation)>, Error> {
    let id = series.id();
    let Some(now) = history.last_good(id)? else {
        return Ok(None);
    };
    let then = if against == Against::Last {
        // What the run before found was told then: of this one nothing is known.
        if !history.last(id)?.is_some_and(|last| last.state.is_good()) {
            return Ok(None);
        }
        let mut certain = history.recent_certain(id, 2)?.into_iter();
        // The first of them is `now` itself, unless that is none of them.
        certain.nth(usize::from(is_base(&now)))
    } else {
        history.certain_before(id, against.until(&now))?
    };
    Ok(then.map(|then| (then, now)))
}

fn told(series: &Series, change: &Change<'_>, then: &Observation) -> String {
    let name = plain(&series.to_string(), SHORT);
    let target = series.target.as_deref().map(|target| plain(target, 40));
    let target = target.unwrap_or_default();
    let mut below = String::new();
    let words = match *change {
        Change::Entered { at } => format!("entered at {at}"),
        Change::Left { from } => format!("left, was at {from}"),
        Change::Moved { from, to, at_least } => {
            let (way, by) = if to < from {
                ("up", from - to)
            } else {
                ("down", to - from)
            };
            let least = if at_least { "at least " } else { "" };
            format!("{from} -> {to}, {way} {least}{by}")
        }
        Change::Url { from, to } => format!("address {} -> {}", plain(from, 200), plain(to, 200)),
        Change::Value { from, to, by } if is_short(from) && is_short(to) => {
            let by = by.map(|by| format!(", {}", difference(by, then.number)));
            let by = by.unwrap_or_default();
            format!("{} -> {}{by}", plain(from, SHORT), plain(to, SHORT))
        }
        Change::Value { from, to, .. } => {
            for line in change::diff(from, to, LINES).lines() {
                below.push_str(&format!("    {}\n", plain(line, 200)));
            }
            "the text is another".to_owned()
        }
    };
    let since = minute(then.at);
    let target = if target.is_empty() {
        target
    } else {
        format!("  {target}")
    };
    format!("{name}{target}  {words}  (since {since})\n{below}")
}

fn is_short(value: &str) -> bool {
    !value.contains('\n') && value.chars().count() <= SHORT
}

/// `-2.5, -25.3 %`.
fn difference(by: f64, before: Option<f64>) -> String {
    // As short as the digits of the two numbers allow.
    let by = (by * 1e6).round() / 1e6;
    match before.filter(|before| *before != 0.0) {
        Some(before) => format!("{by:+}, {:+.1} %", by / before.abs() * 100.0),
        None => format!("{by:+}"),
    }
}

fn row(series: &Series, change: &Change<'_>, then: &Observation, now: &Observation) -> Value {
    let (from, to) = match *change {
        Change::Entered { at } => (Value::Null, json!(at)),
        Change::Left { from } => (json!(from), Value::Null),
        Change::Moved { from, to, .. } => (json!(from), json!(to)),
        Change::Url { from, to } => (json!(from), json!(to)),
        Change::Value { from, to, .. } => (json!(from), json!(to)),
    };
    let by = match *change {
        Change::Value { by, .. } => json!(by),
        _ => json!(change.gain()),
    };
    json!({
        "v": 1,
        "job": series.job,
        "series": series.id().to_string(),
        "name": series.to_string(),
        "axes": series.axes,
        "target": series.target,
        "change": change.word(),
        "from": from,
        "to": to,
        "by": by,
        "at_least": matches!(change, Change::Moved { at_least: true, .. }),
        "then": UnixMillis(then.at),
        "now": UnixMillis(now.at),
        "url": now.url,
    })
}

fn warn_of(stopped: &[String], printer: &Printer) {
    if stopped.is_empty() {
        return;
    }
    let count = stopped.len();
    let mut names = stopped[..count.min(NAMED)].join("; ");
    if count > NAMED {
        names.push_str(&format!("; and {} more", count - NAMED));
    }
    let pages = match count {
        1 => "a page that is good".to_owned(),
        _ => format!("{count} pages that are good"),
    };
    let problem = Problem::new(format!(
        "the selector finds nothing any more on {pages}: {names}"
    ));
    let hint = "proxywheel extract test PAGE shows what selectors find on a saved page";
    printer.warn(&problem.hint(hint));
}
