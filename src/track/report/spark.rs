//! The course of a series on the breadth of a word.
//!
//! Places are on a logarithmic scale, the same in every row: from 2 to 1 is as far as from 20 to 10. Many runs share a column, of
//! which the last that knows something counts; a column of which nothing is known is a gap.

use crate::observation::{Observation, State};

/// Size of the drawing, in its own units: two to a CSS pixel.
const WIDTH: i64 = 240;
const HEIGHT: i64 = 56;
/// Kept free at the edges, for half a stroke.
const EDGE: i64 = 4;
/// Where places end, and where what is out of depth is marked.
const FLOOR: i64 = 46;
const OUT: i64 = 52;
/// Length of the mark of a lower bound.
const BOUND: i64 = 20;
/// Place at the floor; those further down are drawn there as well.
const LOWEST: f64 = 100.0;
/// Most columns: more cannot be told apart.
const COLUMNS: usize = 116;

/// What a column shows.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Point {
    Gap,
    At(f64),
    /// There or lower down.
    Bound(f64),
    Out,
}

/// The course of a rank, as an `svg` element.
pub(super) fn places(cells: &[Option<&Observation>], label: &str) -> String {
    let points = columns(cells, |one| match (one.state, one.position) {
        (State::Ranked, Some(at)) => {
            let share = f64::from(at.max(1)).ln() / LOWEST.ln();
            if one.lower_bound {
                Point::Bound(share.min(1.0))
            } else {
                Point::At(share.min(1.0))
            }
        }
        (State::NotInDepth | State::NoResults, _) => Point::Out,
        _ => Point::Gap,
    });
    drawn(&points, label)
}

/// The course of a number between its least and its greatest; nothing where there are no numbers.
pub(super) fn numbers(cells: &[Option<&Observation>], label: &str) -> String {
    let all = cells.iter().flatten().filter_map(|one| one.number);
    let (least, most) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), n| {
        (least.min(n), most.max(n))
    });
    if least > most {
        return String::new();
    }
    let breadth = most - least;
    let points = columns(cells, |one| match one.number {
        Some(number) if breadth > 0.0 => Point::At((most - number) / breadth),
        Some(_) => Point::At(0.5),
        None => Point::Gap,
    });
    drawn(&points, label)
}

/// The course of shares, 0 at the foot and 1 at the head.
pub(super) fn shares(shares: &[Option<f64>], label: &str) -> String {
    let count = shares.len();
    let point = |share: &Option<f64>| share.map_or(Point::Gap, |share| Point::At(1.0 - share));
    let all: Vec<Point> = shares.iter().map(point).collect();
    drawn(&squeezed(&all, count.min(COLUMNS)), label)
}

fn columns(cells: &[Option<&Observation>], point: impl Fn(&Observation) -> Point) -> Vec<Point> {
    let all: Vec<Point> = cells
        .iter()
        .map(|cell| cell.map_or(Point::Gap, &point))
        .collect();
    squeezed(&all, all.len().min(COLUMNS))
}

/// As many columns, each the last of its points that is none of a gap.
fn squeezed(all: &[Point], columns: usize) -> Vec<Point> {
    (0..columns)
        .map(|column| {
            let from = column * all.len() / columns;
            let to = (column + 1) * all.len() / columns;
            let known = all[from..to].iter().rev().find(|one| **one != Point::Gap);
            known.copied().unwrap_or(Point::Gap)
        })
        .collect()
}

fn drawn(points: &[Point], label: &str) -> String {
    let (mut line, mut bounds, mut out) = (Pen::default(), String::new(), Pen::default());
    let steps = points.len().saturating_sub(1).max(1) as i64;
    let y = |share: f64| EDGE + ((FLOOR - EDGE) as f64 * share).round() as i64;
    for (at, point) in points.iter().enumerate() {
        let x = EDGE + (WIDTH - 2 * EDGE) * at as i64 / steps;
        match *point {
            Point::At(share) => line.to(x, y(share)),
            Point::Bound(share) => {
                line.lift();
                let top = y(share);
                bounds.push_str(&format!("M{x} {top}v{}", BOUND.min(OUT - top)));
            }
            Point::Out => {
                line.lift();
                out.to(x, OUT);
            }
            Point::Gap => line.lift(),
        }
        if *point != Point::Out {
            out.lift();
        }
    }
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{label}\">"
    );
    for (class, path) in [("o", out.done()), ("b", bounds), ("l", line.done())] {
        if !path.is_empty() {
            svg.push_str(&format!("<path class=\"{class}\" d=\"{path}\"/>"));
        }
    }
    svg.push_str("</svg>");
    svg
}

/// Writes a path as short as it may be: relative, level stretches as one.
#[derive(Default)]
struct Pen {
    path: String,
    at: Option<(i64, i64)>,
    /// Level so far, not written yet.
    level: i64,
    /// Something follows the last move.
    is_drawn: bool,
}

impl Pen {
    fn to(&mut self, x: i64, y: i64) {
        let Some((was_x, was_y)) = self.at.replace((x, y)) else {
            self.path.push_str(&format!("M{x} {y}"));
            self.is_drawn = false;
            return;
        };
        self.is_drawn = true;
        if y == was_y {
            self.level += x - was_x;
            return;
        }
        self.flush();
        let gap = if y < was_y { "" } else { " " };
        self.path
            .push_str(&format!("l{}{gap}{}", x - was_x, y - was_y));
    }

    /// The next point begins a line of its own.
    fn lift(&mut self) {
        self.flush();
        if self.at.take().is_some() && !self.is_drawn {
            // A point alone: with round ends a line of no length is a dot.
            self.path.push_str("h0");
        }
    }

    fn flush(&mut self) {
        if self.level > 0 {
            self.path.push_str(&format!("h{}", self.level));
            self.level = 0;
        }
    }

    fn done(mut self) -> String {
        self.lift();
        self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: Option<u32>, state: State) -> Observation {
        Observation {
            position,
            state,
            ..Observation::unknown(0, "")
        }
    }

    #[test]
    fn an_unknown_run_is_a_gap_and_what_is_out_of_depth_a_mark_below() {
        let runs = [
            at(Some(1), State::Ranked),
            at(Some(1), State::Ranked),
            at(Some(100), State::Ranked),
            at(None, State::Unknown),
            at(Some(10), State::Ranked),
            at(None, State::NotInDepth),
        ];
        let cells: Vec<_> = runs.iter().map(Some).collect();
        let svg = places(&cells, "x");
        assert!(
            svg.contains("class=\"l\" d=\"M4 4h46l46 42M189 25h0\""),
            "{svg}"
        );
        assert!(svg.contains("class=\"o\" d=\"M236 52h0\""), "{svg}");
    }

    #[test]
    fn a_lower_bound_is_a_dashed_mark_and_not_part_of_the_line() {
        let bound = Observation {
            lower_bound: true,
            ..at(Some(10), State::Ranked)
        };
        let known = at(Some(10), State::Ranked);
        let svg = places(&[Some(&known), Some(&bound), None, Some(&known)], "x");
        assert!(svg.contains("class=\"b\" d=\"M81 25v20\""), "{svg}");
        assert!(svg.contains("class=\"l\" d=\"M4 25h0M236 25h0\""), "{svg}");
    }

    #[test]
    fn a_year_takes_no_more_room_than_there_are_columns() {
        let runs: Vec<_> = (0..365)
            .map(|day| at(Some(1 + day % 97), State::Ranked))
            .collect();
        let cells: Vec<_> = runs.iter().map(Some).collect();
        assert!(places(&cells, "x").len() < 900);
    }
}
