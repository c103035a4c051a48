//! Observations by series and run.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Material;
use super::standing::{COMPARED, Step, best, current, step};
use crate::observation::Visit;
use crate::observation::{Observation, Series, SeriesId};
use crate::state::RunId;

/// A run that is shown.
pub(super) struct Run {
    /// When it began.
    pub(super) at: i64,
    /// When it ended, if it did.
    pub(super) ended: Option<i64>,
    /// Whether it came to its end.
    pub(super) complete: Option<bool>,
    /// Queries of which something came to be known, and all that were asked.
    pub(super) queries: (u64, u64),
    /// What its visits took together.
    pub(super) took: Took,
}

/// Totals of visits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Took {
    pub(super) pages: u64,
    pub(super) attempts: u64,
    pub(super) blocked: u64,
    pub(super) bytes: u64,
    pub(super) cost: u64,
}

impl Took {
    pub(super) fn add(&mut self, visit: &Visit) {
        self.pages += u64::from(visit.pages);
        self.attempts += u64::from(visit.attempts);
        self.blocked += u64::from(visit.blocked);
        self.bytes += visit.bytes;
        self.cost += visit.cost;
    }
}

/// A series with all that is shown of it.
pub(super) struct Track<'a> {
    pub(super) series: &'a Series,
    /// What each run that is shown saw of it.
    pub(super) cells: Vec<Option<&'a Observation>>,
    /// The last observation of all.
    pub(super) last: &'a Observation,
    /// The last good one.
    pub(super) current: Option<&'a Observation>,
    /// The best place within what is shown, and when.
    pub(super) best: Option<(u32, i64)>,
    /// What became of it, against each of [`COMPARED`].
    pub(super) steps: [Step; COMPARED.len()],
}

impl Track<'_> {
    /// What it is called by: its query, else its first axis; and the other axes.
    pub(super) fn name(&self) -> (&str, String) {
        let axes = &self.series.axes;
        let first = axes.get_key_value("query").or_else(|| axes.iter().next());
        let Some((first, name)) = first else {
            return (&self.series.job, String::new());
        };
        let others = axes.iter().filter(|(axis, _)| *axis != first);
        let others: Vec<&str> = others.map(|(_, value)| &**value).collect();
        (name, others.join(" · "))
    }
}

/// What one host did.
#[derive(Default)]
pub(super) struct Host {
    pub(super) took: Took,
    /// Share of blocked requests in each run that is shown, where there were any.
    pub(super) rates: Vec<Option<f64>>,
}

/// Everything a page shows.
pub(super) struct Grid<'a> {
    pub(super) material: &'a Material,
    pub(super) runs: Vec<Run>,
    /// Ranks, by target in the order of their first series.
    pub(super) targets: Vec<(&'a str, Vec<Track<'a>>)>,
    /// Values that are watched.
    pub(super) values: Vec<Track<'a>>,
    pub(super) hosts: BTreeMap<&'a str, Host>,
}

impl<'a> Grid<'a> {
    pub(super) fn of(material: &'a Material) -> Self {
        let mut seen: HashMap<SeriesId, Vec<(&RunId, &Observation)>> = HashMap::new();
        let mut busy: HashSet<&RunId> = HashSet::new();
        for (id, run, one) in &material.observations {
            seen.entry(*id).or_default().push((run, one));
            busy.insert(run);
        }
        busy.extend(material.visits.iter().map(|kept| &kept.run));
        let shown = material.runs.iter();
        let shown: Vec<_> = shown
            .filter(|run| run.started >= material.since && busy.contains(&run.id))
            .collect();
        let places: HashMap<&RunId, usize> = shown
            .iter()
            .enumerate()
            .map(|(at, run)| (&run.id, at))
            .collect();
        let runs = shown.iter().map(|run| Run {
            at: run.started,
            ended: run.ended,
            complete: run.complete,
            queries: (0, 0),
            took: Took::default(),
        });
        let mut grid = Grid {
            material,
            runs: runs.collect(),
            targets: Vec::new(),
            values: Vec::new(),
            hosts: BTreeMap::new(),
        };
        grid.count_queries(&seen, &places);
        grid.count_visits(&places);
        for series in &material.series {
            let Some(seen) = seen.get(&series.id()) else {
                continue;
            };
            let Some(track) = track(series, seen, &places) else {
                continue;
            };
            let Some(target) = series.target.as_deref() else {
                grid.values.push(track);
                continue;
            };
            match grid.targets.iter_mut().find(|(name, _)| *name == target) {
                Some((_, tracks)) => tracks.push(track),
                None => grid.targets.push((target, vec![track])),
            }
        }
        grid
    }

    /// A query is known when anything of it is, whatever the number of its targets.
    fn count_queries(
        &mut self,
        seen: &HashMap<SeriesId, Vec<(&RunId, &Observation)>>,
        places: &HashMap<&RunId, usize>,
    ) {
        let mut known: HashMap<(usize, SeriesId), bool> = HashMap::new();
        for series in &self.material.series {
            let query = series.query();
            for (run, one) in seen.get(&series.id()).into_iter().flatten() {
                if let Some(&place) = places.get(run) {
                    *known.entry((place, query)).or_default() |= one.state.is_good();
                }
            }
        }
        for ((place, _), is_known) in known {
            let (good, all) = &mut self.runs[place].queries;
            *good += u64::from(is_known);
            *all += 1;
        }
    }

    fn count_visits(&mut self, places: &HashMap<&RunId, usize>) {
        let runs = self.runs.len();
        let mut by_run: BTreeMap<&str, Vec<Took>> = BTreeMap::new();
        for kept in &self.material.visits {
            let Some(&place) = places.get(&kept.run) else {
                continue;
            };
            self.runs[place].took.add(&kept.visit);
            let host = by_run.entry(&kept.visit.host);
            host.or_insert_with(|| vec![Took::default(); runs])[place].add(&kept.visit);
        }
        for (name, runs) in by_run {
            let host = self.hosts.entry(name).or_default();
            for run in runs {
                host.took.pages += run.pages;
                host.took.attempts += run.attempts;
                host.took.blocked += run.blocked;
                host.took.bytes += run.bytes;
                host.took.cost += run.cost;
                let rate = run.blocked as f64 / run.attempts as f64;
                host.rates.push((run.attempts > 0).then_some(rate));
            }
        }
    }
}

/// `None` for a series of which nothing is shown.
fn track<'a>(
    series: &'a Series,
    seen: &[(&'a RunId, &'a Observation)],
    places: &HashMap<&RunId, usize>,
) -> Option<Track<'a>> {
    let mut cells = vec![None; places.len()];
    for (run, one) in seen {
        if let Some(&place) = places.get(run) {
            cells[place] = Some(*one);
        }
    }
    let shown: Vec<&Observation> = cells.iter().flatten().copied().collect();
    if shown.is_empty() {
        return None;
    }
    let all: Vec<&Observation> = seen.iter().map(|(_, one)| *one).collect();
    Some(Track {
        series,
        cells,
        last: all.last()?,
        current: current(&all),
        best: best(&shown),
        steps: COMPARED.map(|against| step(&all, against)),
    })
}
