//! The history of a job: what of it is listed, what is told as a change, and the page.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use insta::assert_snapshot;
use proxywheel::observation::{Observation, Series, State, Visit};
use proxywheel::state::{History, millis};
use serde_json::Value;
use tempfile::TempDir;

use crate::{proxywheel, shown};

const DAY: i64 = 24 * 3600 * 1000;

fn series(query: &str, target: Option<&str>) -> Series {
    let axes = [("query", query), ("country", "de")];
    Series {
        job: "serp".into(),
        axes: axes.map(|(axis, value)| (axis.into(), value.into())).into(),
        target: target.map(Into::into),
    }
}

fn seen(state: State) -> Observation {
    Observation {
        state,
        pages: (1, 1),
        results: Some(10),
        why: None,
        ..Observation::unknown(0, "")
    }
}

fn at(position: u32) -> Observation {
    Observation {
        position: Some(position),
        url: Some("https://me.test/shoes".into()),
        title: Some("=cmd|' /C calc'!A0".into()),
        ..seen(State::Ranked)
    }
}

fn price(value: &str, number: f64) -> Observation {
    Observation {
        value: Some(value.into()),
        number: Some(number),
        ..seen(State::Seen)
    }
}

/// A state with a run for each of `days`, at noon so many days ago.
struct Kept {
    folder: TempDir,
    history: History,
}

impl Kept {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.db");
        let history = History::open(&path).expect("opens").history;
        Kept { folder, history }
    }

    fn run(&mut self, days_ago: i64, seen: &[(Series, Observation)]) {
        let now = millis(SystemTime::now()) - days_ago * DAY;
        let run = self.history.begin("serp", now).expect("begun");
        let seen: Vec<_> = seen
            .iter()
            .map(|(of, one)| {
                (
                    of.clone(),
                    Observation {
                        at: now,
                        ..one.clone()
                    },
                )
            })
            .collect();
        let visit = Visit {
            host: "https://engine.test".into(),
            pages: 1,
            attempts: 4,
            blocked: 1,
            ..Visit::default()
        };
        for one in &seen {
            let query = one.0.query();
            let one = std::slice::from_ref(one);
            self.history
                .record(&run, query, one, Some(&visit))
                .expect("written");
        }
        self.history.end(&run, now + 60_000).expect("ended");
    }

    fn told(&self, words: &str) -> String {
        let mut command = proxywheel();
        command.current_dir(self.folder.path()).arg("track");
        command.args(words.split(' ')).args(["--state", "state.db"]);
        let text = shown(&command.output().expect("runs"));
        let folder = self.folder.path().display().to_string();
        dateless(&text).replace(&folder, "FOLDER")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("readable")
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.folder.path()).join(name)
    }
}

/// Times are those of the test's day.
fn dateless(text: &str) -> String {
    let pattern = regex::Regex::new(r"\d{4}-\d\d-\d\d \d\d:\d\d").expect("a pattern");
    pattern.replace_all(text, "DATE").into_owned()
}

fn shoes() -> Kept {
    let mut kept = Kept::new();
    let (shoes, boots) = (series("shoes", Some("me")), series("boots", Some("me")));
    let lamp = series("lamp", None);
    let nowhere = seen(State::NotInDepth);
    let blocked = Observation::unknown(0, "soft_block cf_challenge");
    for (days_ago, seen) in [
        (40, [at(9), at(3), price("20.00", 20.0)]),
        (9, [at(5), nowhere.clone(), price("15.00", 15.0)]),
        (2, [at(4), at(8), price("15.00", 15.0)]),
        (1, [at(4), blocked.clone(), price("12.50", 12.5)]),
        (0, [blocked, at(7), seen(State::Missing)]),
    ] {
        let of = [&shoes, &boots, &lamp].map(Clone::clone);
        let seen: Vec<_> = of.into_iter().zip(seen).collect();
        kept.run(days_ago, &seen);
    }
    kept
}

#[test]
fn only_what_is_known_to_have_changed_is_told() {
    let kept = shoes();
    // Shoes: the last run knows nothing. Boots: a blocked run lies between. The lamp: a selector is broken, which is no change.
    assert_snapshot!(kept.told("diff serp --exit-on-change"), @r"
    exit 10
    -- stdout
    boots · de  me  8 -> 7, up 1  (since DATE)
    -- stderr
    warning: the selector finds nothing any more on a page that is good: lamp · de
    hint: proxywheel extract test PAGE shows what selectors find on a saved page
    ");
    assert_snapshot!(kept.told("diff --against 7d"), @r"
    exit 0
    -- stdout
    shoes · de  me  5 -> 4, up 1  (since DATE)
    boots · de  me  entered at 7  (since DATE)
    lamp · de  15.00 -> 12.50, -2.5, -16.7 %  (since DATE)
    -- stderr
    warning: the selector finds nothing any more on a page that is good: lamp · de
    hint: proxywheel extract test PAGE shows what selectors find on a saved page
    ");
    assert_snapshot!(kept.told("diff -q --against 30d --series SHOES"), @r"
    exit 0
    -- stdout
    shoes · de  me  9 -> 4, up 5  (since DATE)
    ");
    let unchanged = kept.told("diff -q --series lamp --exit-on-change");
    assert_eq!(unchanged, "exit 0\n", "a missing value is no change");
    let lines = kept.told("diff -q --format jsonl --series boots");
    let line = lines
        .lines()
        .find(|line| line.starts_with('{'))
        .expect("a line");
    let row: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(row["change"], "moved");
    assert_eq!([&row["from"], &row["to"], &row["by"]], [8, 7, 1]);
}

#[test]
fn a_row_without_a_place_has_an_empty_cell() {
    let kept = shoes();
    assert_snapshot!(kept.told("history serp --since 3d"), @r"
    exit 0
    -- stdout
    shoes · de  me  [4a27bc855e802014]
      DATE             4  https://me.test/shoes
      DATE             4  https://me.test/shoes
      DATE       unknown  soft_block cf_challenge

    boots · de  me  [962a72165ec3e25c]
      DATE             8  https://me.test/shoes
      DATE       unknown  soft_block cf_challenge
      DATE             7  https://me.test/shoes

    lamp · de  [3d0978102a6e369c]
      DATE         15.00
      DATE         12.50
      DATE       missing
    ");
    let rows = kept.told("history --format jsonl --target me --since 3d");
    let rows: Vec<Value> = rows
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let positions: Vec<_> = rows.iter().map(|row| row["position"].as_u64()).collect();
    let expected = [Some(4), Some(8), Some(4), None, None, Some(7)];
    assert_eq!(positions, expected);
    assert!(rows[0]["at"].as_str().is_some_and(|at| at.ends_with('Z')));
    assert!(rows[3]["lower_bound"].is_null());
    let csv = kept.told("history --format csv --series shoes --since 3d");
    assert!(
        csv.contains(",ranked,4,false,,https://me.test/shoes,'=cmd|"),
        "{csv}"
    );
    assert!(
        csv.contains(",unknown,,,,,,,,,0,0,soft_block cf_challenge"),
        "{csv}"
    );
}

#[test]
fn a_job_is_found_by_its_name_its_file_or_because_it_is_the_only_one() {
    let kept = shoes();
    fs::create_dir(kept.path("jobs")).expect("made");
    fs::write(kept.path("jobs/ranks.toml"), "name = 'serp'\n").expect("written");
    let all = kept.told("history serp");
    assert_eq!(kept.told("history"), all);
    assert_eq!(kept.told("history jobs/ranks.toml"), all);
    assert_eq!(kept.told("history jobs/serp.toml"), all);
    kept.history.begin("other", 0).expect("begun");
    assert_snapshot!(kept.told("diff"), @r"
    exit 2
    -- stderr
    error: FOLDER/state.db: the state has several jobs
    hint: name one: other, serp
    ");
    assert_snapshot!(kept.told("diff nobody"), @r#"
    exit 2
    -- stderr
    error: FOLDER/state.db: no run of the job "nobody" was kept
    hint: name one: other, serp
    "#);
    assert_snapshot!(kept.told("history serp --target you"), @r#"
    exit 2
    -- stderr
    error: serp has no target "you"
    hint: proxywheel track history lists all series with their targets
    "#);
    fs::remove_file(kept.path("state.db")).expect("removed");
    assert_snapshot!(kept.told("diff"), @r"
    exit 2
    -- stderr
    error: state.db: there is no state yet
    hint: fetch writes it; --state FILE names another one
    ");
}

#[test]
fn a_page_is_written_as_a_whole_and_shows_what_is_known_last() {
    let kept = shoes();
    let said = kept.told("report serp --html serp.html --since 60d");
    assert!(said.starts_with("exit 0\n-- stderr\nserp.html: "), "{said}");
    let page = kept.read("serp.html");
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    // Of shoes the last run knows nothing: the place before, with its date, and no change against it.
    let row = page
        .lines()
        .find(|line| line.contains("<tr") && line.contains(">shoes<"))
        .expect("a row");
    assert!(
        row.contains("data-v=\"4\">4<small class=\"stale\""),
        "{row}"
    );
    assert!(
        row.contains("<td></td><td class=\"up\" data-v=\"1\">+1</td>"),
        "{row}"
    );
    assert!(!kept.path("serp.html.tmp").exists());
    let lost = kept.told("report serp --html missing/serp.html");
    assert!(lost.starts_with("exit 3\n"), "{lost}");
}
