//! Pieces of tables.

use super::escape::{clipped, escape, link};
use super::figures::{date, number};
use super::grid::Track;
use super::spark;
use super::standing::Step;
use crate::observation::State;

/// Longest text of a value in its cell, in characters.
const VALUE: usize = 120;

/// The row of a keyword of a target; `at` is the number of its series in the data.
pub(super) fn keyword(track: &Track<'_>, at: usize) -> String {
    let best = match track.best {
        Some((place, when)) => format!("<td title=\"{}\">{place}</td>", date(when)),
        None => "<td></td>".to_owned(),
    };
    let label = match (track.cells.iter().flatten().count(), track.best) {
        (count, Some((best, _))) => format!("course over {count} runs, best {best}"),
        (count, None) => format!("course over {count} runs, never seen"),
    };
    let steps: String = track
        .steps
        .iter()
        .map(|step| change(*step, Good::More))
        .collect();
    format!(
        "<tr data-i=\"{at}\">{}<td class=\"c\">{}</td>{}{best}{steps}{}</tr>\n",
        name(track),
        spark::places(&track.cells, &label),
        place(track),
        address(track),
    )
}

/// The row of a value that is watched.
pub(super) fn value(track: &Track<'_>, at: usize) -> String {
    let text = track.current.and_then(|current| current.value.as_deref());
    let shown = escape(&clipped(text.unwrap_or_default(), VALUE));
    let number = track.current.and_then(|current| current.number);
    let key = number.map(|number| format!(" data-v=\"{number}\""));
    let steps: String = track
        .steps
        .iter()
        .map(|step| change(*step, Good::None))
        .collect();
    format!(
        "<tr data-i=\"{at}\">{}<td class=\"c\">{}</td><td class=\"val\"{}>{shown}{}</td>{steps}</tr>\n",
        name(track),
        spark::numbers(&track.cells, "course of the value"),
        key.unwrap_or_default(),
        stale(track),
    )
}

/// The cell that names the row.
fn name(track: &Track<'_>) -> String {
    let (name, others) = track.name();
    let others = match others.as_str() {
        "" => String::new(),
        others => format!(" <small>{}</small>", escape(others)),
    };
    let name = escape(name);
    format!("<th scope=\"row\"><bdi class=\"n\">{name}</bdi>{others}</th>")
}

/// The place that is known last: empty where there is none.
fn place(track: &Track<'_>) -> String {
    let stale = stale(track);
    let Some(current) = track.current else {
        return format!("<td class=\"now\">{stale}</td>");
    };
    match (current.state, current.position) {
        (State::Ranked, Some(at)) if current.lower_bound => {
            format!("<td class=\"now\" data-v=\"{at}\">≥\u{a0}{at}{stale}</td>")
        }
        (State::Ranked, Some(at)) => format!("<td class=\"now\" data-v=\"{at}\">{at}{stale}</td>"),
        (State::NoResults, _) => {
            format!("<td class=\"now\" data-v=\"\"><small>no results</small>{stale}</td>")
        }
        _ => format!("<td class=\"now\" data-v=\"\"><small>not in depth</small>{stale}</td>"),
    }
}

/// What is said when the last run knows nothing.
fn stale(track: &Track<'_>) -> String {
    if track.last.state.is_good() {
        return String::new();
    }
    let what = match track.current {
        Some(current) => format!("known {}", date(current.at)),
        None => "not known yet".to_owned(),
    };
    let why = track
        .last
        .why
        .as_deref()
        .unwrap_or(track.last.state.as_str());
    let why = escape(&clipped(why, VALUE));
    format!("<small class=\"stale\" title=\"{why}\">{what}</small>")
}

/// Where the result leads, with its title.
fn address(track: &Track<'_>) -> String {
    let current = track.current.filter(|current| current.position.is_some());
    let Some(url) = current.and_then(|current| current.url.as_deref()) else {
        return "<td class=\"u\"></td>".to_owned();
    };
    let title = current.and_then(|current| current.title.as_deref());
    let title = title.map(|title| {
        format!(
            "<small><bdi>{}</bdi></small>",
            escape(&clipped(title, VALUE))
        )
    });
    format!(
        "<td class=\"u\">{}{}</td>",
        link(url),
        title.unwrap_or_default()
    )
}

/// Which direction is the better one.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Good {
    More,
    None,
}

/// The cell of a change: places gained have a plus.
fn change(step: Step, good: Good) -> String {
    let class = match (good, sign(step)) {
        (Good::None, _) | (_, 0) => "",
        (_, 1..) => " class=\"up\"",
        _ => " class=\"down\"",
    };
    let weight = step.weight();
    match step {
        Step::Untold => "<td></td>".to_owned(),
        Step::Same => "<td class=\"same\" data-v=\"0\">=</td>".to_owned(),
        Step::Number(by) => format!("<td data-v=\"{by}\">{}</td>", signed(by)),
        Step::Text => "<td data-v=\"\"><small>other text</small></td>".to_owned(),
        _ => format!("<td{class} data-v=\"{weight}\">{}</td>", told(step)),
    }
}

/// A change of places in a word: `+3`, `≥ +3`, `new`, `out`.
pub(super) fn told(step: Step) -> String {
    match step {
        Step::Places { gain, at_least, .. } => {
            let least = if at_least { "≥\u{a0}" } else { "" };
            format!("{least}{}", signed(gain as f64))
        }
        Step::Entered { .. } => "new".to_owned(),
        Step::Left { .. } => "out".to_owned(),
        _ => String::new(),
    }
}

fn sign(step: Step) -> i64 {
    step.weight().signum()
}

/// With a true minus, which is as broad as the plus.
fn signed(by: f64) -> String {
    let size = number(by.abs());
    if by < 0.0 {
        format!("−{size}")
    } else {
        format!("+{size}")
    }
}
