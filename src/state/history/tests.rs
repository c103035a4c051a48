//! The history, by what a caller sees of it.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::observation::{self, Validators};

const DAY: i64 = 24 * 3600 * 1000;

fn series(query: &str, target: &str) -> Series {
    Series {
        job: "serp".into(),
        axes: [("query".into(), query.into())].into(),
        target: Some(target.into()),
    }
}

fn ranked(at: i64, position: u32) -> Observation {
    Observation {
        state: observation::State::Ranked,
        position: Some(position),
        absolute: Some(position + 2),
        lower_bound: position > 50,
        url: Some("https://me.test/a".into()),
        title: Some("A \"title\"".into()),
        results: Some(100),
        pages: (1, 3),
        why: None,
        ..Observation::unknown(at, "")
    }
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    (folder, path)
}

fn open(path: &Path) -> History {
    let opened = History::open(path).expect("opens");
    assert_eq!(opened.aside, None);
    opened.history
}

/// One run that sees this of one series, at the given time.
fn day(history: &mut History, of: &Series, seen: Observation) {
    let run = history.begin("serp", seen.at).expect("begun");
    let end = seen.at + 1000;
    let new = history.record(&run, of.query(), &[(of.clone(), seen)], None);
    assert!(new.expect("written"));
    history.end(&run, end).expect("ended");
}

#[test]
fn what_a_run_has_of_a_series_is_never_counted_twice() {
    let (_folder, path) = folder();
    let (me, you) = (series("shoes", "me"), series("shoes", "you"));
    let visit = Visit {
        host: "https://engine.test".into(),
        pages: 2,
        attempts: 5,
        blocked: 3,
        bytes: 123_456,
        cost: 1_500,
        elapsed: 2_000,
        country: Some("de".into()),
        proxy: None,
        validators: Validators {
            url: Some("https://engine.test/?q=shoes".into()),
            etag: Some("\"v1\"".into()),
            modified: None,
        },
    };
    let run = {
        let mut history = open(&path);
        let run = history.begin("serp", DAY).expect("begun");
        let seen = [(me.clone(), ranked(DAY + 5, 3))];
        let new = history.record(&run, me.query(), &seen, Some(&visit));
        assert!(new.expect("written"));
        run
    };
    // The process was killed here; the next one goes on.
    let mut history = open(&path);
    let unfinished = history.unfinished("serp").expect("read").expect("one");
    assert_eq!((&unfinished.id, unfinished.began), (&run, DAY));
    assert_eq!(unfinished.observed, HashSet::from([me.id()]));
    assert_eq!(history.unfinished("other").expect("read"), None);
    let again = [
        (me.clone(), ranked(DAY + 9, 8)),
        (you.clone(), ranked(DAY + 9, 70)),
    ];
    let more = Visit {
        attempts: 99,
        ..visit.clone()
    };
    let mut record = || history.record(&run, me.query(), &again, Some(&more));
    assert!(record().expect("written"), "the other target is new");
    assert!(!record().expect("written"));
    history.end(&run, DAY + 99).expect("ended");
    assert_eq!(history.unfinished("serp").expect("read"), None);

    let kept = history.since("serp", 0).expect("read");
    let expected = [
        (me.id(), run.clone(), ranked(DAY + 5, 3)),
        (you.id(), run.clone(), ranked(DAY + 9, 70)),
    ];
    assert_eq!(kept, expected);
    let visits = history.visits("serp", 0).expect("read");
    let expected = KeptVisit {
        query: me.query(),
        run: run.clone(),
        at: DAY + 5,
        visit,
    };
    assert_eq!(visits, [expected]);
    assert_eq!(history.series("serp").expect("read"), [me, you]);
    assert_eq!(history.jobs().expect("read"), ["serp".into()]);
    let runs = history.runs("serp", DAY).expect("read");
    assert_eq!(runs[0].ended, Some(DAY + 99));
    assert_eq!(runs[0].complete, Some(true));
}

#[test]
fn the_last_is_what_was_written_last_though_the_clock_was_set_back() {
    let (_folder, path) = folder();
    let mut history = open(&path);
    let me = series("shoes", "me");
    day(&mut history, &me, ranked(10 * DAY, 1));
    day(&mut history, &me, ranked(20 * DAY, 2));
    day(&mut history, &me, ranked(20 * DAY - 3_600_000, 3));
    let unknown = Observation::unknown(20 * DAY + 1, "soft_block cf_challenge");
    day(&mut history, &me, unknown.clone());
    let position = |found: Result<Option<Observation>, Error>| {
        found.expect("read").and_then(|found| found.position)
    };
    assert_eq!(history.last(me.id()).expect("read"), Some(unknown));
    assert_eq!(position(history.last_good(me.id())), Some(3));
    assert_eq!(position(history.certain_before(me.id(), 20 * DAY)), Some(3));
    assert_eq!(position(history.certain_before(me.id(), 19 * DAY)), Some(1));
    assert_eq!(position(history.certain_before(me.id(), 9 * DAY)), None);
    let recent = history.recent(me.id(), 3).expect("read");
    let positions: Vec<_> = recent.iter().map(|one| one.position).collect();
    assert_eq!(positions, [None, Some(3), Some(2)]);
    // Nor does giving back room, after which rows of other tables may have other numbers.
    let state = State::open_existing(&path).expect("opens");
    state.vacuum().expect("written");
    assert_eq!(position(history.last_good(me.id())), Some(3));
}

#[test]
fn a_run_that_was_given_up_is_not_gone_on_with_and_what_it_saw_stays() {
    let (_folder, path) = folder();
    let mut history = open(&path);
    let me = series("shoes", "me");
    let run = history.begin("serp", DAY).expect("begun");
    let seen = [(me.clone(), ranked(DAY, 4))];
    history
        .record(&run, me.query(), &seen, None)
        .expect("written");
    history.abandon(&run).expect("written");
    history.end(&run, DAY + 1).expect("nothing to write");
    assert_eq!(history.unfinished("serp").expect("read"), None);
    let given_up = &history.runs("serp", 0).expect("read")[0];
    assert_eq!((given_up.complete, given_up.ended), (Some(false), None));
    let last = history.last_good(me.id()).expect("read");
    assert_eq!(last.and_then(|last| last.position), Some(4));
    let nobody = RunId("20260301T060000Z-000000".into());
    assert!(history.record(&nobody, me.query(), &seen, None).is_err());
}

#[test]
fn what_was_told_of_is_not_told_again() {
    let (_folder, path) = folder();
    let (me, you) = (series("shoes", "me"), series("shoes", "you"));
    let mut history = open(&path);
    day(&mut history, &me, ranked(DAY, 2));
    day(&mut history, &me, ranked(DAY + 1, 3));
    let untold = history.untold("serp").expect("read");
    assert_eq!(untold.len(), 2);
    history
        .judged("serp", Some(untold[0].0), [("hook", "{}".to_owned())])
        .expect("written");
    let letters = history.outbox("serp").expect("read");
    assert_eq!((letters.len(), &*letters[0].channel), (1, "hook"));
    day(&mut history, &you, ranked(DAY + 2, 9));
    let ids: Vec<_> = history
        .untold("serp")
        .expect("read")
        .into_iter()
        .map(|(_, id)| id)
        .collect();
    assert_eq!(ids, [me.id(), you.id()]);
    let places = |seq| {
        let mut back = history.look_back().expect("prepared");
        let seen = back
            .until(me.id(), seq, (10, 1), &["no_rows"])
            .expect("read");
        seen.iter().map(|one| one.position).collect::<Vec<_>>()
    };
    assert_eq!(places(untold[0].0), [Some(2)]);
    assert_eq!(places(untold[1].0), [Some(2), Some(3)]);
    history.arrived([letters[0].seq]).expect("written");
    history.judged("serp", Some(i64::MAX), []).expect("written");
    assert!(history.outbox("serp").expect("read").is_empty());
    assert!(history.untold("serp").expect("read").is_empty());
}

#[test]
fn a_page_that_stays_as_it_is_costs_its_size_once() {
    let (_folder, path) = folder();
    let mut history = open(&path);
    let page = series("page", "me");
    let texts: Vec<String> = (0..4)
        .map(|n| format!("{n}{}", "x".repeat(1 << 20)))
        .collect();
    let course = [0, 0, 1, 0, 0, 1, 1, 1];
    for (at, text) in (0..).zip(course) {
        let seen = Observation {
            state: observation::State::Seen,
            value: Some(texts[text].as_str().into()),
            ..ranked(at * DAY, 1)
        };
        day(&mut history, &page, seen);
    }
    let all = history.since("serp", 0).expect("read");
    let values = all.iter().map(|(_, _, one)| one.value.as_deref());
    let expected = course.iter().map(|text| Some(texts[*text].as_str()));
    assert!(values.eq(expected), "each reads as it was");
    assert_eq!(
        history.last(page.id()).expect("read").as_ref(),
        Some(&all[7].2)
    );
    drop(history);
    let size = fs::metadata(&path).expect("a file").len();
    assert!((2 << 20..3 << 20).contains(&size), "{size}");
}

#[test]
fn what_is_old_is_forgotten_but_for_what_later_ones_are_compared_with() {
    let (_folder, path) = folder();
    let mut history = open(&path);
    let (me, you) = (series("shoes", "me"), series("shoes", "you"));
    let page = series("page", "me");
    for at in 0..4 {
        let text = "x".repeat(1 << 20);
        let seen = Observation {
            value: Some(format!("{at}{text}").into()),
            ..ranked(at * DAY, 1)
        };
        day(&mut history, &page, seen);
        day(&mut history, &me, ranked(at * DAY, 2));
    }
    day(&mut history, &you, ranked(0, 3));
    day(&mut history, &you, Observation::unknown(DAY, "timeout"));
    day(&mut history, &you, Observation::unknown(2 * DAY, "timeout"));
    let told = history.untold("serp").expect("read").pop().expect("one").0;
    history.judged("serp", Some(told), []).expect("written");

    assert_eq!(history.forget("other", None).expect("written"), 0);
    assert_eq!(history.forget("serp", Some(3 * DAY)).expect("written"), 7);
    let days = |history: &History, of: &Series| -> Vec<i64> {
        let seen = history.recent(of.id(), 9).expect("read");
        seen.iter().map(|one| one.at / DAY).collect()
    };
    assert_eq!(days(&history, &page), [3]);
    assert_eq!(days(&history, &me), [3]);
    assert_eq!(days(&history, &you), [2, 0]);
    assert_eq!(history.runs("serp", 0).expect("read").len(), 4);
    // Who comes after is judged all the same.
    day(&mut history, &me, ranked(4 * DAY, 5));
    assert_eq!(history.untold("serp").expect("read").len(), 1);
    let texts = "SELECT count(*) FROM texts";
    let count = |history: &History| -> i64 {
        let counted = history.connection.query_row(texts, [], |row| row.get(0));
        counted.expect("read")
    };
    assert_eq!(count(&history), 1, "those that nothing names are gone");

    assert_eq!(history.forget("serp", None).expect("written"), 5);
    assert!(history.jobs().expect("read").is_empty());
    assert!(history.series("serp").expect("read").is_empty());
    assert_eq!(count(&history), 0);
}

#[test]
fn who_looks_back_sees_what_tells_something() {
    let (_folder, path) = folder();
    let mut history = open(&path);
    let me = series("shoes", "me");
    let unknown = |day, why: &str| Observation::unknown(day * DAY, why);
    day(&mut history, &me, ranked(0, 7));
    day(&mut history, &me, ranked(DAY, 8));
    day(&mut history, &me, unknown(2, "timeout"));
    day(&mut history, &me, unknown(3, "no_rows"));
    day(&mut history, &me, unknown(4, "timeout"));
    day(&mut history, &me, ranked(5 * DAY, 9));
    for gone in 6..9 {
        day(&mut history, &me, unknown(gone, "gone"));
    }
    let untold = history.untold("serp").expect("read");
    let mut back = history.look_back().expect("prepared");
    let mut days = |at: usize, most| {
        let seen = back.until(me.id(), untold[at].0, most, &["no_rows", "gone"]);
        let days = seen.expect("read").into_iter().map(|one| one.at / DAY);
        days.collect::<Vec<_>>()
    };
    assert_eq!(days(4, (10, 10)), [0, 1, 3, 4]);
    assert_eq!(days(5, (1, 1)), [1, 3, 5]);
    assert_eq!(days(5, (1, 0)), [1, 5]);
    // What was unknown for long does not hide what was known before it.
    assert_eq!(days(7, (2, 1)), [1, 5, 6, 7]);
    assert_eq!(days(8, (1, 2)), [5, 6, 7, 8]);
    assert_eq!(days(8, (1, 1)), [5, 7, 8]);
}

#[test]
fn a_run_knows_of_each_series_the_last_and_the_last_good() {
    let (_folder, path) = folder();
    let mut history = open(&path);
    let (me, you) = (series("shoes", "me"), series("shoes", "you"));
    let page = Series {
        target: None,
        ..series("price", "")
    };
    day(&mut history, &me, ranked(DAY, 2));
    day(&mut history, &me, ranked(2 * DAY, 3));
    day(&mut history, &me, Observation::unknown(3 * DAY, "timeout"));
    day(&mut history, &you, Observation::unknown(DAY, "timeout"));
    let value = Observation {
        state: observation::State::Seen,
        ..Observation::unknown(DAY, "")
    };
    for etag in ["\"v1\"", "\"v2\""] {
        let run = history.begin("serp", DAY).expect("begun");
        let visit = Visit {
            validators: Validators {
                url: None,
                etag: Some(etag.into()),
                modified: None,
            },
            ..Visit::default()
        };
        let seen = [(page.clone(), value.clone())];
        let new = history.record(&run, page.query(), &seen, Some(&visit));
        assert!(new.expect("written"));
    }
    let known = history.known("serp").expect("read");
    assert_eq!(known.len(), 3);
    let (me, you, page) = (&known[&me.id()], &known[&you.id()], &known[&page.id()]);
    let unknown = observation::State::Unknown;
    assert_eq!((me.last, me.good), (unknown, Some((2 * DAY, Some(3)))));
    assert_eq!((you.last, you.good), (unknown, None));
    assert_eq!(
        (page.last, page.good),
        (observation::State::Seen, Some((DAY, None)))
    );
    assert_eq!(page.validators.etag.as_deref(), Some("\"v2\""));
    assert!(history.known("other").expect("read").is_empty());
}

#[test]
fn a_state_of_an_earlier_version_is_given_a_history() {
    const SIXTH: &str =
        "DROP TABLE texts; ALTER TABLE observations DROP COLUMN text; PRAGMA user_version = 6;";
    const FIFTH: &str =
        "DROP TABLE track_jobs; ALTER TABLE visits DROP COLUMN url; PRAGMA user_version = 5;";
    const FOURTH: &str = "DROP TABLE outbox; PRAGMA user_version = 4;";
    const THIRD: &str = "DROP TABLE tiers; PRAGMA user_version = 3;";
    const SECOND: &str =
        "DROP TABLE told; DROP TABLE visits; DROP TABLE observations; DROP TABLE track_runs; DROP TABLE series;
        PRAGMA user_version = 2;";
    const FIRST: &str =
        "ALTER TABLE proxies DROP COLUMN rests; DROP TABLE limits; PRAGMA user_version = 1;";
    for back in [
        &[SIXTH] as &[&str],
        &[SIXTH, FIFTH],
        &[SIXTH, FIFTH, FOURTH],
        &[SIXTH, FIFTH, FOURTH, THIRD],
        &[SIXTH, FIFTH, FOURTH, THIRD, SECOND],
        &[SIXTH, FIFTH, FOURTH, THIRD, SECOND, FIRST],
    ] {
        let (_folder, path) = folder();
        drop(State::open(&path).expect("made"));
        let file = Connection::open(&path).expect("opens");
        for step in back {
            file.execute_batch(step).expect("made old");
        }
        drop(file);
        let me = series("shoes", "me");
        day(&mut open(&path), &me, ranked(DAY, 2));
        assert!(open(&path).last_good(me.id()).expect("read").is_some());
    }
}

#[test]
fn a_damaged_file_takes_the_history_along_and_the_message_says_so() {
    let (_folder, path) = folder();
    day(&mut open(&path), &series("shoes", "me"), ranked(DAY, 2));
    let whole = fs::read(&path).expect("read");
    fs::write(&path, &whole[..whole.len() / 2]).expect("cut");
    let opened = History::open(&path).expect("goes on");
    assert!(opened.history.jobs().expect("read").is_empty());
    let message = opened.aside.expect("set aside").problem().to_string();
    assert!(message.contains("history of tracking jobs"), "{message}");
    assert!(message.contains("state.db.damaged-1"), "{message}");
}
