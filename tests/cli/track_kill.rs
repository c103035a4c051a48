//! Runs that are killed at any moment, under a clock that is set back: every run has every observation once, and so has the file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use proxywheel::observation::{Series, SeriesId, State};
use proxywheel::state::History;
use serde_json::Value;

use crate::running::{Running, until};
use crate::track_cron::{free, scene};
use crate::track_engine::Scene;

const QUERIES: u64 = 30;
/// Requests under way at once, and answers that wait to be kept: a kill may lose these, and no others.
const AT_ONCE: u64 = 4 + 16 + 1;
const KILLS: u32 = 25;

/// A third of the keywords moves every day.
fn moving(query: u32, _: &str, day: u32) -> Option<u32> {
    let moves = (1..=day)
        .filter(|day| (query + day).is_multiple_of(3))
        .count() as u32;
    Some((query + 3 * moves) % 10 + 1)
}

const ALERT: &str = r#"
[output]
observations = "FILE"

[[alert]]
when = "moved"
by = 1
command = ["sh", "-c", "cat > told.$$"]
"#;

fn bodies(scene: &Scene) -> Vec<String> {
    let folder = fs::read_dir(scene.folder.path()).expect("a folder");
    let paths = folder.map(|entry| entry.expect("an entry").path());
    let told = paths.filter(|path| {
        let name = path.file_name().expect("a name").to_string_lossy();
        name.starts_with("told.")
    });
    told.filter_map(|path| fs::read_to_string(path).ok())
        .collect()
}

/// Starts a run and kills it: soon, after some requests, or while it tells of alerts. True when it was under way.
fn killed(scene: &Scene, kill: u32, words: &str, hours: i64) -> bool {
    let before = (scene.requests(), bodies(scene).len());
    let mut command = scene.track(words, hours);
    let mut running = Running::start(command.stdout(Stdio::null()));
    // By chance, and the same every time.
    let chance = u64::from(kill.wrapping_mul(2_654_435_761) >> 8);
    match kill % 5 {
        0 => {
            let moment = Instant::now() + Duration::from_millis(chance % 400);
            until("its moment", || Instant::now() >= moment);
        }
        4 => until("an alert", || {
            bodies(scene).len() > before.1 || !running.is_running()
        }),
        _ => until("requests", || {
            scene.requests() > before.0 + chance % (QUERIES - 1) || !running.is_running()
        }),
    }
    running.kill()
}

fn survive(file: &str) {
    let scene = scene([10, 30], &ALERT.replace("FILE", file), moving, free);
    let words = "run job.toml --state state.db --progress none";
    let mut asked = 0;
    let mut were_killed = 0;
    for kill in 0..KILLS {
        scene.set_day(kill);
        let hours = 24 * i64::from(kill);
        let before = scene.requests();
        were_killed += u32::from(killed(&scene, kill, words, hours));
        // What a power cut may leave of the last row.
        if kill % 3 == 0 && scene.read(file).ends_with('\n') {
            let torn = match file.ends_with("csv") {
                true => "1,job,\"two\nlines",
                false => "{\"v\":1,\"job\":\"",
            };
            scene.write(file, &(scene.read(file) + torn));
        }
        let back = i64::from(kill % 2);
        let output = scene.track(words, hours - back).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{kill}: {said}");
        let count = scene.requests() - before;
        asked += count;
        let runs = 1 + u64::from(count >= 2 * QUERIES);
        assert!(
            count <= runs * QUERIES + AT_ONCE,
            "{kill}: {count} requests"
        );
    }
    assert!(
        were_killed > KILLS * 2 / 3,
        "only {were_killed} were killed"
    );

    let history = History::open_existing(&scene.folder.path().join("state.db")).expect("a state");
    let runs = history.runs("job", 0).expect("read");
    assert!(
        runs.iter().all(|run| run.complete == Some(true)),
        "{runs:?}"
    );
    assert!(runs.len() >= KILLS as usize, "{}", runs.len());
    let all = history.since("job", 0).expect("read");
    assert_eq!(all.len() as u64, runs.len() as u64 * QUERIES);
    let visits = history.visits("job", 0).expect("read");
    assert_eq!(visits.len(), all.len());
    assert!(asked <= all.len() as u64 + u64::from(KILLS) * AT_ONCE);
    let mut kept = BTreeSet::new();
    let mut courses: BTreeMap<SeriesId, Vec<u32>> = BTreeMap::new();
    for (id, run, one) in &all {
        assert_eq!(one.state, State::Ranked, "{one:?}");
        assert!(
            kept.insert((run.to_string(), id.to_string())),
            "twice in {run}"
        );
        let course = courses.entry(*id).or_default();
        course.push(one.position.expect("a place"));
    }
    let series = history.series("job").expect("read");
    let names: HashMap<SeriesId, &Series> = series.iter().map(|one| (one.id(), one)).collect();
    let mut expected = Vec::new();
    for (id, course) in &courses {
        assert_eq!(course.len(), runs.len());
        let moves = course.windows(2).filter(|pair| pair[0] != pair[1]);
        expected.extend(moves.map(|pair| {
            (
                names[id].axes["query"].to_string(),
                u64::from(pair[0]),
                u64::from(pair[1]),
            )
        }));
    }
    assert!(expected.len() > 100, "{}", expected.len());

    let mut told: BTreeMap<String, (String, u64, u64)> = BTreeMap::new();
    let mut count = 0;
    for body in bodies(&scene) {
        // The program was being written to when the run was killed.
        let Ok(body) = serde_json::from_str::<Value>(&body) else {
            continue;
        };
        for event in body["events"].as_array().expect("events") {
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            let place = |value: &Value| value["position"].as_u64().expect("a place");
            let (before, after) = (place(&event["before"]), place(&event["after"]));
            told.insert(
                text(&event["id"]),
                (text(&event["series"]["query"]), before, after),
            );
            count += 1;
        }
    }
    // Each is told once, and a second time, under the same id, only when the run was killed while it told.
    let mut alerts: Vec<_> = told.into_values().collect();
    alerts.sort();
    expected.sort();
    assert_eq!(alerts, expected);
    assert!(
        count <= expected.len() + (KILLS as usize / 5) * QUERIES as usize,
        "{count}"
    );

    let text = scene.read(file);
    let rows: Vec<(String, String, String)> = match file.ends_with("csv") {
        true => {
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let names = reader.headers().expect("a header").clone();
            let at = |name| names.iter().position(|each| each == name).expect(name);
            let columns = [at("run"), at("series"), at("position")];
            let rows = reader.records().map(|row| row.expect("whole"));
            rows.map(|row| columns.map(|at| row[at].to_owned()).into())
                .collect()
        }
        false => text
            .lines()
            .map(|line| {
                let row: Value = serde_json::from_str(line).expect("whole");
                let text = |key: &str| row[key].as_str().expect(key).to_owned();
                (text("run"), text("series"), row["position"].to_string())
            })
            .collect(),
    };
    let in_order: Vec<_> = all
        .iter()
        .map(|(id, run, one)| {
            let place = one.position.expect("a place").to_string();
            (run.to_string(), id.to_string(), place)
        })
        .collect();
    assert_eq!(
        rows, in_order,
        "the file has each observation once, in order"
    );
}

#[test]
fn killed_runs_lose_nothing_and_nothing_is_seen_or_written_twice() {
    survive("positions.jsonl");
}

#[test]
fn a_table_of_observations_survives_kills_as_well() {
    survive("positions.csv");
}
