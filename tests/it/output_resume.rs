//! Resuming: whatever a crash leaves is repaired, anything else is refused and left alone.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proxywheel::error::Error;
use proxywheel::outcome::{Finished, Outcome};
use proxywheel::output::{self, Format, Mode, Repair, Settings};
use serde_json::Value;

use crate::output::{finished, settings, start, write};

/// Titles that need every kind of care.
const TITLES: [&str; 4] = [
    "plain",
    "quote \" comma , \n line\r\n",
    "=1+1",
    "{\"v\":1}\n]",
];

fn row(seq: u64) -> Finished {
    finished(seq, Outcome::Ok, TITLES[seq as usize % TITLES.len()], "")
}

/// Short rows, so that every byte can be tried.
fn short(path: &Path, mode: Mode) -> Settings {
    let fields = ["id", "outcome", "title"].map(str::to_owned);
    Settings {
        fields: Some(fields.into()),
        ..settings(path, mode)
    }
}

/// The ids of a finished output; panics on a row that does not parse.
fn ids(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let of = |row: &Value| row["id"].as_str().expect("an id").to_owned();
    match Format::of(Some(path)) {
        Format::Jsonl => {
            assert!(text.is_empty() || text.ends_with('\n'));
            let rows = text
                .lines()
                .map(|line| serde_json::from_str(line).expect(line));
            rows.map(|row| of(&row)).collect()
        }
        Format::Json => {
            let rows: Vec<Value> = serde_json::from_str(&text).expect(&text);
            rows.iter().map(of).collect()
        }
        Format::Csv => {
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let at = reader
                .headers()
                .unwrap()
                .iter()
                .position(|name| name == "id")
                .unwrap();
            let rows = reader.records().map(|row| row.expect(&text));
            rows.map(|row| row[at].to_owned()).collect()
        }
    }
}

/// A finished output of `count` rows, and the offsets from which on each row is whole.
fn whole(path: &Path, count: u64) -> (Vec<u8>, Vec<usize>) {
    write(short(path, Mode::Overwrite), (0..count).map(row)).unwrap();
    let all = fs::read(path).unwrap();
    let ends = (1..=count)
        .map(|rows| {
            write(short(path, Mode::Overwrite), (0..rows).map(row)).unwrap();
            let length = fs::read(path).unwrap().len();
            match Format::of(Some(path)) {
                // The row without its line feed is whole.
                Format::Jsonl => length - 1,
                // Without `\n]\n`.
                Format::Json => length - 3,
                // Only the line feed says that the last cell is.
                Format::Csv => length,
            }
        })
        .collect();
    (all, ends)
}

/// Resumes `path`, runs the jobs it lacks, and checks the result.
fn resume_and_finish(path: &Path, count: u64, kept: usize) -> Repair {
    let opened = output::open(short(path, Mode::Resume)).unwrap();
    assert_eq!(opened.repaired.rows as usize, kept);
    assert_eq!(opened.done.len(), kept);
    let (mut done, repaired) = (opened.done, opened.repaired);
    let handle = start(opened.writer).unwrap();
    for record in (0..count).map(row) {
        if !done.take(record.record.id) {
            handle.sender.blocking_send(record).unwrap();
        }
    }
    handle.join().unwrap();
    let ids = ids(path);
    assert_eq!(ids.len(), count as usize);
    let distinct: HashSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    repaired
}

#[test]
fn a_file_cut_at_any_byte_is_taken_up_again() {
    const ROWS: u64 = 5;
    let directory = tempfile::tempdir().unwrap();
    for name in ["out.jsonl", "out.json", "out.csv"] {
        let path = directory.path().join(name);
        let (all, ends) = whole(&path, ROWS);
        for cut in 0..=all.len() {
            fs::write(&path, &all[..cut]).unwrap();
            let kept = ends.iter().filter(|end| **end <= cut).count();
            let repaired = resume_and_finish(&path, ROWS, kept);
            if cut == all.len() {
                assert_eq!(
                    repaired.cut_bytes, 0,
                    "{name}: a whole file needs no repair"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn garbage_after_whole_rows_is_cut(
        name in prop::sample::select(vec!["out.jsonl", "out.json", "out.csv"]),
        rows in 1_u64..6,
        cut in 0.0..1.0_f64,
        garbage in prop_oneof![
            Just(vec![0; 4096]),
            Just(b"{\"id\":\"0".to_vec()),
            Just(b"\xff\xfe\xc3".to_vec()),
            "x[ -~]{0,40}\n?".prop_map(|text| text.replace('"', "'").into_bytes()),
        ],
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        let (all, ends) = whole(&path, rows);
        // Garbage that sticks to a row without its separator spoils that row; `,⏎` and `⏎` are the separators of the array.
        let clear = |at: usize| match Format::of(Some(&path)) {
            Format::Jsonl => ends[at] + 1,
            Format::Json => ends[at] + if at + 1 < ends.len() { 2 } else { 1 },
            Format::Csv => ends[at],
        };
        // Behind the first row: before it nothing tells a torn output from a stranger's file.
        let cut = clear(0) + ((all.len() - clear(0)) as f64 * cut) as usize;
        let kept = (0..ends.len()).filter(|at| clear(*at) <= cut).count();
        let mut bytes = all[..cut].to_vec();
        // In CSV, half a cell with other text and a line feed behind it is a cell: no crash does that, and nobody could tell.
        let garbage = match Format::of(Some(&path)) {
            Format::Csv => garbage.trim_ascii_end(),
            _ => &garbage,
        };
        bytes.extend_from_slice(garbage);
        fs::write(&path, &bytes).unwrap();
        resume_and_finish(&path, rows, kept);
    }
}

#[test]
fn damage_before_the_last_row_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    for (name, line, damage) in [
        ("out.jsonl", 2, "}\n{"),
        ("out.json", 3, "}\n{"),
        ("out.csv", 2, "\""),
        ("out.csv", 2, ","),
    ] {
        let path = directory.path().join(name);
        let (all, ends) = whole(&path, 5);
        // In the middle of the second row, but for CSV in the first, whose cells are plain.
        let at = if name == "out.csv" {
            ends[0] - 3
        } else {
            ends[0] + 20
        };
        let mut bytes = all.clone();
        bytes.splice(at..at, damage.bytes());
        fs::write(&path, &bytes).unwrap();
        let error = output::open(short(&path, Mode::Resume)).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Usage(_)), "{name}: {text}");
        assert!(
            text.contains(&format!("{name}:{line}")) && text.contains("byte"),
            "{text}"
        );
        assert_eq!(fs::read(&path).unwrap(), bytes, "{name} is unchanged");
    }
}

#[test]
fn a_file_of_another_kind_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["out.jsonl", "out.json", "out.csv"] {
        for content in [
            "http://a/\nhttp://b/\n",
            "http://a/",
            "{\"a\":1}\n",
            "[1,2]",
            "a,b\n1,2\n",
        ] {
            let path = directory.path().join(name);
            fs::write(&path, content).unwrap();
            for mode in [Mode::Resume, Mode::Append] {
                // A line that is an object may well be somebody's row to append to.
                if (name, content, mode) == ("out.jsonl", "{\"a\":1}\n", Mode::Append) {
                    continue;
                }
                let error = output::open(short(&path, mode)).unwrap_err();
                assert!(
                    matches!(error, Error::Usage(_)),
                    "{name} {content:?}: {error:?}"
                );
                assert!(error.hint().is_some());
                assert_eq!(fs::read_to_string(&path).unwrap(), content);
            }
        }
    }
}

/// Ids and outcomes of a JSONL, JSON or CSV output that has no mark left, sorted.
fn outcomes(path: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(path).unwrap();
    let mut rows: Vec<(String, String)> = match Format::of(Some(path)) {
        Format::Csv => {
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let cells = reader.records().map(|row| row.expect(&text));
            cells.map(|row| (row[0].into(), row[1].into())).collect()
        }
        _ => {
            let rows = text.lines().filter(|line| !matches!(*line, "[" | "]"));
            let rows = rows.map(|line| serde_json::from_str::<Value>(line.trim_end_matches(',')));
            let of = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
            rows.map(|row| row.expect(&text))
                .map(|row| (of(&row, "id"), of(&row, "outcome")))
                .collect()
        }
    };
    let marks = text.lines().any(|line| line.starts_with([' ', '"']));
    assert!(!marks, "{text}");
    rows.sort();
    rows
}

/// Jobs 1 and 2 are named twice.
const EARLIER: [(u64, Outcome); 8] = [
    (0, Outcome::Ok),
    (1, Outcome::HttpError),
    (2, Outcome::Ok),
    (1, Outcome::Banned),
    (3, Outcome::Skipped),
    (2, Outcome::ProxyError),
    (4, Outcome::Timeout),
    (5, Outcome::Ok),
];

fn earlier() -> impl Iterator<Item = Finished> {
    EARLIER
        .map(|(seq, outcome)| finished(seq, outcome, "a \"b\",\nc", ""))
        .into_iter()
}

fn expected(rows: &[(u64, Outcome)]) -> Vec<(String, String)> {
    let id = |seq| row(seq).record.id.to_string();
    let mut rows: Vec<_> = rows
        .iter()
        .map(|(seq, outcome)| (id(*seq), outcome.to_string()))
        .collect();
    rows.sort();
    rows
}

#[test]
fn a_failed_row_stays_until_there_is_a_newer_one() {
    use Outcome::{Banned, Cancelled, HttpError, Ok, ProxyError, Skipped, Timeout};
    let directory = tempfile::tempdir().unwrap();
    for name in ["out.jsonl", "out.json", "out.csv"] {
        let path = directory.path().join(name);
        let link = directory.path().join(format!("link-{name}"));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write(short(&path, Mode::New), earlier()).unwrap();

        // What was never attempted waits without being asked to.
        let opened = output::open(short(&link, Mode::Resume)).unwrap();
        let repaired = opened.repaired;
        assert_eq!((repaired.rows, repaired.waiting), (8, 1), "{name}");
        assert_eq!((opened.earlier.all(), opened.done.len()), (7, 5), "{name}");
        let written = start(opened.writer).unwrap().join().unwrap();
        assert_eq!(written.left.failed, 1, "{name}");
        assert_eq!(outcomes(&path), expected(&EARLIER), "{name}: nothing came");

        let retry = Settings {
            retry_failed: true,
            ..short(&link, Mode::Resume)
        };
        let opened = output::open(retry).unwrap();
        assert_eq!((opened.repaired.rows, opened.repaired.waiting), (8, 5));
        assert_eq!(opened.earlier.all(), 3, "{name}");
        let handle = start(opened.writer).unwrap();
        for (seq, outcome) in [
            (1, Ok),
            (2, Banned),
            (3, Skipped),
            (4, Cancelled),
            (9, Timeout),
        ] {
            let record = finished(seq, outcome, "x", "");
            handle.sender.blocking_send(record).unwrap();
        }
        let written = handle.join().unwrap();
        let left = (written.left.failed, written.left.blocked);
        assert_eq!((written.records, left), (5, (3, 1)), "{name}");
        let now = [
            (0, Ok),
            (1, Ok),
            (1, Banned),
            (2, Ok),
            (2, Banned),
            (3, Skipped),
            (4, Timeout),
            (5, Ok),
            (9, Timeout),
        ];
        assert_eq!(outcomes(&path), expected(&now), "{name}");
        assert!(!expected(&now).contains(&expected(&[(1, HttpError)])[0]));
        assert!(!expected(&now).contains(&expected(&[(2, ProxyError)])[0]));
        assert!(link.is_symlink() && !path.is_symlink());
    }
    let left = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 6, "no temporary file stays");
}

#[test]
fn a_run_that_retries_loses_and_doubles_nothing_wherever_it_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["out.jsonl", "out.json", "out.csv"] {
        let path = directory.path().join(name);
        let retry = Settings {
            retry_failed: true,
            ..short(&path, Mode::Resume)
        };
        write(short(&path, Mode::New), earlier()).unwrap();
        let before = fs::read(&path).unwrap().len();
        // The file just before the end of the run.
        let handle = start(output::open(retry.clone()).unwrap().writer).unwrap();
        for seq in [1, 3, 1] {
            let record = finished(seq, Outcome::Ok, "d,e", "");
            handle.sender.blocking_send(record).unwrap();
        }
        while handle.receipts.borrow().written < 3 {
            std::thread::yield_now();
        }
        let all = fs::read(&path).unwrap();
        handle.join().unwrap();
        let every = expected(&EARLIER.map(|(seq, _)| (seq, Outcome::Ok)));
        let ids = |rows: &[(String, String)]| -> Vec<String> {
            rows.iter().map(|row| row.0.clone()).collect()
        };
        assert_eq!(ids(&outcomes(&path)), ids(&every), "{name}");

        for cut in (before..=all.len()).rev().step_by(2) {
            fs::write(&path, &all[..cut]).unwrap();
            write(short(&path, Mode::Resume), []).unwrap();
            assert_eq!(ids(&outcomes(&path)), ids(&every), "{name} cut at {cut}");

            // Going on takes longer than opening.
            if cut % 5 != 0 {
                continue;
            }
            fs::write(&path, &all[..cut]).unwrap();
            let opened = output::open(retry.clone()).unwrap();
            let mut done = opened.done;
            let handle = start(opened.writer).unwrap();
            for (seq, _) in EARLIER {
                let record = finished(seq, Outcome::Ok, "f", "");
                if !done.take(record.record.id) {
                    handle.sender.blocking_send(record).unwrap();
                }
            }
            handle.join().unwrap();
            assert_eq!(outcomes(&path), every, "{name} cut at {cut}");
        }
    }
}

#[test]
fn a_url_named_twice_is_done_twice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.jsonl");
    write(settings(&path, Mode::New), [row(1), row(1)]).unwrap();
    let mut done = output::open(settings(&path, Mode::Resume)).unwrap().done;
    let id = row(1).record.id;
    assert_eq!(
        (done.len(), done.take(id), done.take(id), done.take(id)),
        (1, true, true, false)
    );
}
