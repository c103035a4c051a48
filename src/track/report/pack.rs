//! What the script of the page draws from: a year of five hundred keywords in a few hundred kilobytes.
//!
//! A series is a text of what each run saw, with commas between: a place (`3`), one that is a lower bound (`~53`), `n` not in depth,
//! `r` no results, `m` missing, `u` unknown, `s` a value that is a text, nothing where it was not looked at; a number where numbers
//! are watched. `x4` after it: so many runs in a row.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::escape::clipped;
use super::figures::number;
use super::grid::{Grid, Track};
use crate::observation::{Observation, State};

/// Longest text of a value in the page, in characters.
const VALUE: usize = 160;
/// Most changes of addresses and of texts that are kept of a series, the last ones.
const CHANGES: usize = 40;

/// Everything, as one value.
pub(super) fn data(grid: &Grid<'_>) -> Value {
    let mut addresses = Addresses::default();
    let ranks = grid.targets.iter().flat_map(|(_, tracks)| tracks);
    let series: Vec<Value> = ranks
        .chain(&grid.values)
        .map(|track| series(track, &mut addresses))
        .collect();
    // Minutes: the first as it is, the others as what came after the one before.
    let mut before = 0;
    let runs = grid.runs.iter().map(|run| {
        let minute = run.at.div_euclid(60_000);
        let step = minute - before;
        before = minute;
        step
    });
    json!({
        "runs": runs.collect::<Vec<_>>(),
        "series": series,
        "urls": addresses.all,
    })
}

fn series<'a>(track: &Track<'a>, addresses: &mut Addresses<'a>) -> Value {
    let tokens = track
        .cells
        .iter()
        .map(|cell| cell.map_or(String::new(), token));
    let mut object = json!({ "p": packed(tokens) });
    let urls = steps(track, |one| one.url.as_deref());
    if !urls.is_empty() {
        let urls = urls
            .iter()
            .map(|(at, url)| json!([at, addresses.number(url)]));
        object["u"] = urls.collect();
    }
    if track.series.target.is_none() {
        object["k"] = json!(1);
        let texts = steps(track, |one| one.value.as_deref());
        let texts = texts
            .iter()
            .map(|(at, text)| json!([at, clipped(text, VALUE)]));
        object["t"] = texts.collect();
    }
    object
}

fn token(one: &Observation) -> String {
    match (one.state, one.position, one.number) {
        (State::Ranked, Some(at), _) if one.lower_bound => format!("~{at}"),
        (State::Ranked, Some(at), _) => at.to_string(),
        (State::Seen, _, Some(value)) => number(value),
        (State::Seen, ..) => "s".to_owned(),
        (State::NotInDepth, ..) => "n".to_owned(),
        (State::NoResults, ..) => "r".to_owned(),
        (State::Missing, ..) => "m".to_owned(),
        (State::Unknown | State::Ranked, ..) => "u".to_owned(),
    }
}

fn packed(tokens: impl Iterator<Item = String>) -> String {
    let mut runs: Vec<(String, u32)> = Vec::new();
    for token in tokens {
        match runs.last_mut() {
            Some((last, count)) if *last == token => *count += 1,
            _ => runs.push((token, 1)),
        }
    }
    let words = runs.into_iter().map(|(token, count)| match count {
        1 => token,
        count => format!("{token}x{count}"),
    });
    words.collect::<Vec<_>>().join(",")
}

/// The runs in which a text became another one, the last ones.
fn steps<'a>(
    track: &Track<'a>,
    text: impl Fn(&'a Observation) -> Option<&'a str>,
) -> Vec<(usize, &'a str)> {
    let mut steps: Vec<(usize, &str)> = Vec::new();
    for (at, one) in track.cells.iter().enumerate() {
        if let Some(text) = one.and_then(&text)
            && steps.last().is_none_or(|(_, last)| *last != text)
        {
            steps.push((at, text));
        }
    }
    steps.split_off(steps.len().saturating_sub(CHANGES))
}

/// Each address once.
#[derive(Default)]
struct Addresses<'a> {
    all: Vec<String>,
    numbers: HashMap<&'a str, usize>,
}

impl<'a> Addresses<'a> {
    fn number(&mut self, address: &'a str) -> usize {
        *self.numbers.entry(address).or_insert_with(|| {
            self.all.push(address.to_owned());
            self.all.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_as_it_is_is_written_once() {
        let tokens = ["3", "3", "3", "", "", "u", "~53", "3"].map(str::to_owned);
        assert_eq!(packed(tokens.into_iter()), "3x3,x2,u,~53,3");
    }
}
