//! Several rows for an input: written, cut and resumed as one.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use proxywheel::error::Error;
use proxywheel::outcome::{Finished, Outcome};
use proxywheel::output::{self, Format, Mode, Settings};
use serde_json::{Map, Value, json};

use crate::output::{finished, settings, start, write};

/// Matches of each input.
const MATCHES: [u32; 5] = [1, 3, 0, 4, 2];

fn fields(number: u32) -> Map<String, Value> {
    let fields = json!({"n": number, "text": "a \"quoted\", \n text"});
    fields.as_object().cloned().expect("an object")
}

fn job(seq: u64) -> Finished {
    let matches = MATCHES[seq as usize];
    let mut made = finished(seq, Outcome::Ok, "t", "");
    made.record.rows = Some(matches);
    made.record.row = (matches > 0).then_some(1);
    made.record.fields = Some(fields(1));
    made.more = (2..=matches).map(fields).collect();
    made
}

fn short(path: &Path, mode: Mode) -> Settings {
    let names: &[&str] = match Format::of(Some(path)) {
        Format::Csv => &["id", "outcome", "row", "rows", "field.n", "field.text"],
        _ => &["id", "outcome", "row", "rows", "fields"],
    };
    Settings {
        fields: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        rows: true,
        ..settings(path, mode)
    }
}

/// The rows of an output, as id and number.
fn rows(path: &Path) -> Vec<(String, u32)> {
    let text = fs::read_to_string(path).unwrap();
    let of = |row: &Value| {
        let number = row["row"].as_u64().unwrap_or_default();
        (row["id"].as_str().expect("an id").to_owned(), number as u32)
    };
    match Format::of(Some(path)) {
        Format::Jsonl => text
            .lines()
            .map(|line| of(&serde_json::from_str(line).expect(line)))
            .collect(),
        Format::Json => {
            let rows: Vec<Value> = serde_json::from_str(&text).expect(&text);
            rows.iter().map(of).collect()
        }
        Format::Csv => {
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let rows = reader.records().map(|row| row.expect(&text));
            rows.map(|row| (row[0].to_owned(), row[2].parse().unwrap_or_default()))
                .collect()
        }
    }
}

/// Each input has all of its rows, one after the other, once.
fn assert_whole(path: &Path, what: &str) {
    let mut of_input: HashMap<String, Vec<u32>> = HashMap::new();
    let found = rows(path);
    for (id, row) in &found {
        of_input.entry(id.clone()).or_default().push(*row);
    }
    assert_eq!(of_input.len(), MATCHES.len(), "{what}");
    for (seq, matches) in (0..).zip(MATCHES) {
        let id = job(seq).record.id.to_string();
        let wanted: Vec<u32> = if matches == 0 {
            vec![0]
        } else {
            (1..=matches).collect()
        };
        assert_eq!(of_input[&id], wanted, "{what}: input {seq}");
    }
}

#[test]
fn inputs_with_many_rows_are_taken_up_again_wherever_the_file_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["out.jsonl", "out.json", "out.csv"] {
        let path = directory.path().join(name);
        let jobs = 0..MATCHES.len() as u64;
        write(short(&path, Mode::Overwrite), jobs.clone().map(job)).unwrap();
        assert_whole(&path, name);
        let all = fs::read(&path).unwrap();
        for cut in 0..=all.len() {
            fs::write(&path, &all[..cut]).unwrap();
            let opened = output::open(short(&path, Mode::Resume)).unwrap();
            let (mut done, repaired) = (opened.done, opened.repaired);
            let handle = start(opened.writer).unwrap();
            for record in jobs.clone().map(job) {
                if !done.take(record.record.id) {
                    handle.sender.blocking_send(record).unwrap();
                }
            }
            handle.join().unwrap();
            assert_whole(&path, &format!("{name} cut at {cut}"));
            if cut == all.len() {
                assert_eq!(repaired.cut_bytes, 0, "{name}");
            }
        }
    }
}

#[test]
fn an_input_that_lacks_a_row_in_the_middle_of_the_file_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.jsonl");
    write(short(&path, Mode::Overwrite), (0..5).map(job)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    // The third row of the second input.
    let lines: Vec<&str> = text.lines().collect();
    let without = [&lines[..3], &lines[4..]].concat().join("\n");
    fs::write(&path, &without).unwrap();
    let error = output::open(short(&path, Mode::Resume)).unwrap_err();
    assert!(matches!(error, Error::Usage(_)));
    let told = error.to_string();
    assert!(told.contains("out.jsonl:4: damaged row"), "{told}");
    assert!(
        told.contains("not row 3 of 3 of the input before it"),
        "{told}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), without);
}

#[test]
fn an_output_that_is_to_be_resumed_says_which_row_of_how_many() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.jsonl");
    let names = ["id", "outcome", "fields"].map(str::to_owned);
    let settings = Settings {
        fields: Some(names.into()),
        ..short(&path, Mode::Resume)
    };
    let error = output::open(settings).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("--fields: without row and rows"),
        "{error}"
    );
}
