//! Ten days of a job: what the history has afterwards is what was true, and nothing else.

use std::collections::BTreeMap;

use proxywheel::lab::{Asked, Shown};
use proxywheel::observation::{Observation, Series, SeriesId, State};
use proxywheel::state::History;
use serde_json::Value;

use crate::track_engine::Scene;

const QUERIES: u32 = 50;
const DAYS: u32 = 10;
/// On this day the engine answers nobody.
const DOWN: u32 = 6;
/// The pages of this query are blocked for everybody on [`STUCK_DAY`].
const STUCK: u32 = 7;
const STUCK_DAY: u32 = 4;

const JOB: &str = r#"
kind = "rank"
url = "http://engine.test/search?q={query}&cc={country}&page={page}"

[matrix]
query = { file = "keywords.txt" }
country = ["de", "us"]

[pages]
most = 3

[extract]
profile = "engine.toml"

[[target]]
name = "me"
host = "me.test"

[fetch]
proxy-file = ["proxies.txt"]
concurrency = 32
retry = 12
max-proxies-per-url = 12

[[alert]]
when = "leaves_top"
top = 10
command = ["sh", "-c", "cat >> alerts.jsonl"]

[[alert]]
when = "moved"
by = 5
match = { country = "de" }
command = ["sh", "-c", "cat >> alerts.jsonl"]

[[alert]]
when = "lost"
runs = 2
command = ["sh", "-c", "cat >> alerts.jsonl"]
"#;

/// A number by chance that is the same every time.
fn dice(a: u32, b: u32, c: u32) -> u32 {
    let mut x =
        a.wrapping_mul(0x9E37_79B9) ^ b.wrapping_mul(0x85EB_CA6B) ^ c.wrapping_mul(0xC2B2_AE35);
    for _ in 0..3 {
        x ^= x >> 15;
        x = x.wrapping_mul(0x2C1B_3C6D);
    }
    x ^ (x >> 13)
}

/// Every query has its place, which moves on some days; some queries are nowhere for a while.
fn truth(query: u32, country: &str, day: u32) -> Option<u32> {
    let country = u32::from(country == "us");
    let series = query * 2 + country;
    let mut place = 1 + dice(series, 0, 1) % 28;
    for day in 1..=day {
        match dice(series, day, 2) % 8 {
            0 => place = 1 + dice(series, day, 3) % 28,
            1 => place = (place + 1).min(30),
            _ => {}
        }
    }
    let gone = dice(series, 0, 4).is_multiple_of(10) && (3..6).contains(&day);
    (!gone).then_some(place)
}

/// One page in five is refused to the first two who ask for it, in one of four ways; another one every day.
fn obstacle(asked: &Asked, query: u32, day: u32, before: u32) -> Option<Shown> {
    let page = asked.path.bytes().fold(0_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    let roll = dice(page, 5, day);
    if day == DOWN {
        return Some(Shown::html(
            503,
            "<html><head><title>Back soon</title></head><body>We are down for maintenance.</body></html>",
        ));
    }
    let is_stuck = (query, day) == (STUCK, STUCK_DAY);
    if !is_stuck && (!roll.is_multiple_of(5) || before > 1) {
        return None;
    }
    Some(match (roll / 5) % 4 {
        0 => Shown::html(403, "<html><head><title>Just a moment...</title></head><body><script src=\"/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1\"></script></body></html>")
            .header("cf-mitigated", "challenge"),
        1 => Shown::html(429, "<html><head><title>Too Many Requests</title></head><body>Too many requests</body></html>"),
        2 => Shown::html(200, "<html><head><title>Are you a robot?</title></head><body><div class=\"g-recaptcha\" data-sitekey=\"x\"></div><p>unusual traffic from your computer network</p></body></html>"),
        // A shell that wants scripts: a good answer without results, and without the word that there are none.
        _ => Shown::html(200, format!("<html><head><title>Engine</title></head><body><noscript>Please enable JavaScript</noscript>{}</body></html>", "<script>1</script>".repeat(50))),
    })
}

#[test]
fn the_history_of_ten_days_has_every_true_move_and_no_false_one() {
    let scene = Scene::new(400, truth, obstacle);
    scene.write("serp.toml", JOB);
    let keywords: Vec<String> = (0..QUERIES).map(|n| format!("keyword {n}")).collect();
    scene.write("keywords.txt", &keywords.join("\n"));
    for day in 0..DAYS {
        scene.set_day(day);
        // Nobody waits for one that is down.
        let flags = if day == DOWN { "-- --retry 1" } else { "" };
        let words = format!("run serp.toml --state state.db --progress none {flags}");
        let mut track = scene.track(&words, i64::from(day) * 24);
        let output = track.output().expect("the program");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code();
        let is_bad = day == DOWN || day == STUCK_DAY;
        assert_eq!(code == Some(0), !is_bad, "day {day}: {code:?} {said}");
    }
    let mut plan = scene.track("plan serp.toml --state state.db", 24 * i64::from(DAYS));
    let plan = plan.output().expect("the program");
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(plan.contains("as in the last 30 days: "), "{plan}");
    let history = History::open_existing(&scene.folder.path().join("state.db")).expect("a state");
    let series: BTreeMap<SeriesId, Series> = history
        .series("serp")
        .expect("read")
        .into_iter()
        .map(|one| (one.id(), one))
        .collect();
    assert_eq!(series.len() as u32, QUERIES * 2);
    let mut seen: BTreeMap<(u32, String), Vec<Observation>> = BTreeMap::new();
    for (id, _, one) in history.since("serp", 0).expect("read") {
        let axes = &series[&id].axes;
        let query = axes["query"].rsplit_once(' ').expect("a keyword").1;
        let key = (
            query.parse().expect("a number"),
            axes["country"].to_string(),
        );
        seen.entry(key).or_default().push(one);
    }
    let mut expected = Vec::new();
    for ((query, country), days) in &seen {
        assert_eq!(days.len() as u32, DAYS, "one observation a day");
        for (day, one) in (0..).zip(days) {
            let place = truth(*query, country, day);
            let is_known = day != DOWN && (*query, day) != (STUCK, STUCK_DAY);
            let (state, position) = match (is_known, place) {
                (false, _) => (State::Unknown, None),
                (true, Some(place)) => (State::Ranked, Some(place)),
                (true, None) => (State::NotInDepth, None),
            };
            assert_eq!(
                (one.state, one.position, one.lower_bound),
                (state, position, false),
                "query {query}, {country}, day {day}: {one:?}"
            );
        }
        expected.extend(alerts_due(*query, country));
    }
    let told = scene.read("alerts.jsonl");
    let told = told.lines().flat_map(|line| {
        let body: Value = serde_json::from_str(line).expect("JSON");
        body["events"].as_array().expect("events").clone()
    });
    let mut told: Vec<String> = told
        .map(|event| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let place = |value: &Value| value["position"].as_u64().unwrap_or(0);
            format!(
                "{} {} {} {}>{}",
                text(&event["when"]),
                text(&event["series"]["query"]),
                text(&event["series"]["country"]),
                place(&event["before"]),
                place(&event["after"])
            )
        })
        .collect();
    expected.sort();
    told.sort();
    assert_eq!(told, expected);
    assert!(
        expected.len() > 20,
        "the script moves too little to prove anything"
    );
}

/// The alerts that the truth of ten days asks for, 0 being nowhere.
fn alerts_due(query: u32, country: &str) -> Vec<String> {
    let known = (0..DAYS).filter(|day| *day != DOWN && (query, *day) != (STUCK, STUCK_DAY));
    let places: Vec<u32> = known
        .map(|day| truth(query, country, day).unwrap_or(0))
        .collect();
    let mut due = Vec::new();
    let mut tell = |when: &str, before: u32, after: u32| {
        due.push(format!("{when} keyword {query} {country} {before}>{after}"));
    };
    for (at, pair) in places.windows(2).enumerate() {
        let (before, after) = (pair[0], pair[1]);
        let is_top = |place: u32| (1..=10).contains(&place);
        if is_top(before) && !is_top(after) {
            tell("leaves_top", before, after);
        }
        if before > 0 && after > 0 && before.abs_diff(after) >= 5 && country == "de" {
            tell("moved", before, after);
        }
        // Two good runs in a row without it, and with it before.
        if at > 0 && before == 0 && after == 0 && places[at - 1] > 0 {
            tell("lost", places[at - 1], 0);
        }
    }
    due
}
