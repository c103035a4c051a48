//! The share of keywords within the first places, over time.

use super::figures::{date, share};
use super::grid::{Grid, Track};
use super::standing;

/// Places that count as within, one line each.
pub(super) const TOPS: [u32; 4] = [1, 3, 10, 20];
/// Units of the drawing, which is stretched to the room there is.
const WIDTH: i64 = 1000;
const HEIGHT: i64 = 100;
/// What the scale ends with: the least of them that is enough. Half of each can be said in a short figure.
const SCALES: [f64; 9] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0];
/// A run that knows of fewer than half as many as the runs just before it asked for says nothing of the whole.
const BEFORE: usize = 3;

/// Shares of one target, for each of [`TOPS`] and each run.
pub(super) struct Shares([Vec<Option<f64>>; TOPS.len()]);

impl Shares {
    pub(super) fn of(tracks: &[Track<'_>], runs: usize) -> Self {
        let asked: Vec<usize> = (0..runs)
            .map(|run| tracks.iter().filter(|one| one.cells[run].is_some()).count())
            .collect();
        Shares(TOPS.map(|top| {
            let share = |run: usize| {
                let seen = tracks.iter().filter_map(|track| track.cells[run]);
                let (within, known) = standing::share(seen, top)?;
                let usual = asked[run.saturating_sub(BEFORE)..=run].iter().max()?;
                let is_whole = known as usize * 2 >= *usual;
                is_whole.then(|| f64::from(within) / f64::from(known))
            };
            (0..runs).map(share).collect()
        }))
    }

    /// The last that is known, of the first `top` places.
    pub(super) fn now(&self, top: u32) -> Option<f64> {
        let place = TOPS.iter().position(|one| *one == top)?;
        last(&self.0[place])
    }
}

fn last(line: &[Option<f64>]) -> Option<f64> {
    line.iter().rev().flatten().next().copied()
}

/// The drawing with its legend. What it says in numbers is in the legend, so it needs no description.
pub(super) fn drawn(grid: &Grid<'_>, shares: &Shares) -> String {
    let Shares(lines) = shares;
    let greatest = lines
        .iter()
        .flatten()
        .flatten()
        .copied()
        .fold(0.0, f64::max);
    let scale = SCALES.into_iter().find(|scale| greatest <= *scale);
    let scale = scale.unwrap_or(1.0);
    let mut html =
        String::from("<div class=\"plot\"><svg preserveAspectRatio=\"none\" aria-hidden=\"true\" ");
    html.push_str(&format!("viewBox=\"0 0 {WIDTH} {HEIGHT}\"><path class=\"g\" d=\"M0 0h{WIDTH}M0 50h{WIDTH}M0 100h{WIDTH}\"/>"));
    for (at, line) in lines.iter().enumerate() {
        let path = path(grid, line, scale);
        if !path.is_empty() {
            html.push_str(&format!("<path class=\"t t{at}\" d=\"{path}\"/>"));
        }
    }
    html.push_str("</svg><ol class=\"y\" aria-hidden=\"true\">");
    for part in [1.0, 0.5, 0.0] {
        html.push_str(&format!("<li>{}</li>", share(scale * part)));
    }
    html.push_str("</ol></div>");
    let (first, last_run) = (grid.runs.first(), grid.runs.last());
    if let (Some(first), Some(last_run)) = (first, last_run) {
        let (from, to) = (date(first.at), date(last_run.at));
        html.push_str(&format!(
            "<p class=\"x\"><span>{from}</span><span>{to}</span></p>"
        ));
    }
    html.push_str("<ul class=\"legend\">");
    for (at, (line, top)) in lines.iter().zip(TOPS).enumerate() {
        let now = last(line).map(share).unwrap_or_else(|| "not known".into());
        let first = line.iter().flatten().next().copied();
        let was = first
            .filter(|_| line.iter().flatten().count() > 1)
            .map(|first| format!(" <small>was {}</small>", share(first)));
        html.push_str(&format!(
            "<li><svg viewBox=\"0 0 16 8\" aria-hidden=\"true\"><path class=\"t t{at}\" d=\"M1 4h14\"/></svg> Top {top} <b>{now}</b>{}</li>",
            was.unwrap_or_default()
        ));
    }
    html.push_str("</ul>");
    html
}

/// By time, with a gap where nothing is known.
fn path(grid: &Grid<'_>, line: &[Option<f64>], scale: f64) -> String {
    let at = |run: usize| grid.runs[run].at;
    let Some(end) = line.len().checked_sub(1) else {
        return String::new();
    };
    let breadth = (at(end) - at(0)).max(1);
    let mut path = String::new();
    let mut is_down = false;
    for (run, share) in line.iter().enumerate() {
        let Some(share) = share else {
            is_down = false;
            continue;
        };
        // A clock that was set back may put a run before the first.
        let x = (WIDTH * (at(run) - at(0)) / breadth).clamp(0, WIDTH);
        let y = HEIGHT as f64 * (1.0 - share / scale);
        let is_alone = !is_down && line.get(run + 1).is_none_or(Option::is_none);
        let dot = if is_alone { "h0" } else { "" };
        path.push_str(&format!(
            "{}{x} {y:.1}{dot}",
            if is_down { 'L' } else { 'M' }
        ));
        is_down = true;
    }
    path
}
