//! A year of a job, the same at every call: ranks that wander, pages that are blocked, a day when everything was down, a price.

use std::collections::BTreeMap;

use proxywheel::observation::{Observation, Series, State, Visit};
use proxywheel::state::{KeptVisit, RunId, TrackRun};
use proxywheel::track::report::Material;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const DAY: i64 = 24 * 3600 * 1000;
/// 2025-01-01 06:00 UTC.
const BEGIN: i64 = 1_735_711_200_000;
/// Results that the job looks at.
const DEPTH: u32 = 50;
const WORDS: [&[&str]; 3] = [
    &[
        "running",
        "trail",
        "waterproof",
        "light",
        "winter",
        "cheap",
        "wide",
        "red",
        "vegan",
        "used",
    ],
    &[
        "shoes", "boots", "sandals", "socks", "jackets", "tents", "poles", "gloves", "packs",
        "lamps",
    ],
    &["", "for men", "for women", "for kids", "sale"],
];

fn series(query: &str, target: Option<&str>) -> Series {
    let axes = [("query", query), ("country", "de")];
    Series {
        job: "outdoor".into(),
        axes: axes.map(|(axis, value)| (axis.into(), value.into())).into(),
        target: target.map(Into::into),
    }
}

/// So many keywords, observed once a day for so many days.
pub(crate) fn material(keywords: usize, days: usize, targets: &[&str]) -> Material {
    let mut chance = StdRng::seed_from_u64(6);
    let mut material = Material {
        job: "outdoor".into(),
        now: BEGIN + days as i64 * DAY,
        since: BEGIN,
        ..Material::default()
    };
    let names: Vec<String> = (0..keywords).map(name).collect();
    for query in &names {
        let all = targets.iter().map(|target| series(query, Some(target)));
        material.series.extend(all);
    }
    let prices: Vec<Series> = ["trail shoes", "down jacket", "tent for two"]
        .map(|query| series(query, None))
        .into();
    material.series.extend(prices.iter().cloned());
    let mut places: Vec<f64> = (0..keywords * targets.len())
        .map(|_| chance.random_range(1.0..70.0))
        .collect();
    let mut price = 129.9;
    for day in 0..days {
        let run = run(day, &mut chance);
        let down = day % 120 == 77;
        if chance.random_bool(0.06) {
            price = (price * chance.random_range(0.9..1.1) * 10.0_f64).round() / 10.0;
        }
        for (at, query) in names.iter().enumerate() {
            let blocked = down || chance.random_bool(0.05);
            for (number, target) in targets.iter().enumerate() {
                let place = &mut places[at * targets.len() + number];
                if chance.random_bool(0.3) {
                    *place = (*place * chance.random_range(0.85..1.17)).clamp(1.0, 90.0);
                }
                let series = series(query, Some(target));
                let one = if blocked {
                    Observation::unknown(run.started, "soft_block cf_challenge")
                } else {
                    rank(run.started, *place as u32, query, target, &mut chance)
                };
                material
                    .observations
                    .push((series.id(), run.id.clone(), one));
            }
            material
                .visits
                .push(visit(query, &run, blocked, &mut chance));
        }
        for series in &prices {
            let one = seen(run.started, price);
            material
                .observations
                .push((series.id(), run.id.clone(), one));
        }
        material.runs.push(run);
    }
    material
}

fn name(number: usize) -> String {
    let [first, second, third] = WORDS;
    let words = [
        first[number % 10],
        second[number / 10 % 10],
        third[number / 100 % 5],
    ];
    let again = number / 500;
    let mut name = words.join(" ").trim().to_owned();
    if again > 0 {
        name.push_str(&format!(" {again}"));
    }
    name
}

fn run(day: usize, chance: &mut StdRng) -> TrackRun {
    let started = BEGIN + day as i64 * DAY + chance.random_range(0..600_000);
    TrackRun {
        id: RunId(format!("run-{day}").into()),
        started,
        ended: Some(started + chance.random_range(600_000..1_500_000)),
        complete: Some(true),
    }
}

fn rank(at: i64, place: u32, query: &str, target: &str, chance: &mut StdRng) -> Observation {
    let nowhere = Observation {
        state: State::NotInDepth,
        results: Some(DEPTH),
        pages: (5, 5),
        why: None,
        ..Observation::unknown(at, "")
    };
    if place > DEPTH {
        return nowhere;
    }
    let path = query.replace(' ', "-");
    let page = if place.is_multiple_of(7) { "blog/" } else { "" };
    Observation {
        state: State::Ranked,
        position: Some(place),
        lower_bound: chance.random_bool(0.01),
        absolute: Some(place + 2),
        url: Some(format!("https://www.{target}/{page}{path}").into()),
        title: Some(format!("{query}: all of them at {target}").into()),
        pages: (place.div_ceil(10), 5),
        ..nowhere
    }
}

fn seen(at: i64, price: f64) -> Observation {
    Observation {
        state: State::Seen,
        value: Some(format!("{price:.2} EUR").into()),
        number: Some(price),
        pages: (1, 1),
        why: None,
        ..Observation::unknown(at, "")
    }
}

fn visit(query: &str, run: &TrackRun, blocked: bool, chance: &mut StdRng) -> KeptVisit {
    let attempts = chance.random_range(3..6) + if blocked { 8 } else { 0 };
    KeptVisit {
        query: series(query, None).id(),
        run: run.id.clone(),
        at: run.started,
        visit: Visit {
            host: "https://search.example".into(),
            pages: 3,
            attempts,
            blocked: if blocked { attempts } else { attempts / 5 },
            bytes: u64::from(attempts) * 64_000,
            cost: u64::from(attempts) * 210,
            elapsed: 4_000,
            country: Some("de".into()),
            ..Visit::default()
        },
    }
}

/// A job of which every text tries to be more than a text.
pub(crate) fn hostile() -> Material {
    let script = "<script>alert(1)</script>";
    let mut material = material(1, 3, &["</script><img src=x onerror=alert(1)>"]);
    material.job = script.into();
    let mut axes = BTreeMap::new();
    axes.insert(
        "query".into(),
        format!("\"><svg onload=alert(1)>{script}").into(),
    );
    axes.insert("<b>".into(), "<!--".into());
    for (number, one) in material.series.iter_mut().enumerate() {
        one.job = script.into();
        one.axes.clone_from(&axes);
        one.axes.insert("n".into(), number.to_string().into());
    }
    let ids: Vec<_> = material.series.iter().map(Series::id).collect();
    for (number, (id, _, one)) in material.observations.iter_mut().enumerate() {
        *id = ids[number % ids.len()];
        one.url = Some("javascript:alert(document.domain)".into());
        one.title = Some(format!("{script}\u{202e}<style>*{{display:none}}").into());
        one.why = Some("'\"><script>".into());
        if one.state == State::Seen {
            one.value = Some(format!("</script>{script}<!-- {number}").into());
            one.number = None;
        }
    }
    for kept in &mut material.visits {
        kept.visit.host = format!("https://a.test/{script}").into();
    }
    material
}
