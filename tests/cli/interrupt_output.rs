//! Outputs that stop taking rows: full devices, size limits, readers that go away.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use proxywheel::lab::Lab;

use crate::running::{Rig, Running, urls};

#[test]
fn a_full_device_ends_the_run_and_is_named() {
    let rig = Rig::new(Lab::builder().perfect(2), &urls(20, "/page/"));
    let (code, said) = rig.run("-i urls.txt -o /dev/full --stats stats.json");
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.starts_with("error: cannot write /dev/full: No space left on device (os error 28)\n"),
        "{said}"
    );
    assert!(said.contains("exit     3 output_failed"), "{said}");
    assert!(said.contains(", the last of them without a row"), "{said}");
    let stats = fs::read_to_string(rig.path("stats.json")).expect("stats");
    assert!(
        stats.contains(r#""finish_reason": "output_failed""#),
        "{stats}"
    );
}

/// A file that may grow to 32 kB takes the rows that fit; the rest comes once there is room.
fn keeps_what_fits(output: &str) {
    let wanted = urls(60, "/page/");
    let rig = Rig::new(Lab::builder().perfect(2), &wanted);
    // Handled, the signal becomes an error of the write, as a full disk is one. Units are 512 bytes.
    let limits = "ulimit -f 64";
    let mut limited = rig.fetch_under(limits, &format!("-i urls.txt -o {output} --body inline"));
    let mut running = Running::start(&mut limited);
    assert_eq!(running.wait().code(), Some(3), "{}", running.said());
    let said = running.said();
    assert!(
        said.starts_with(&format!("error: cannot write {output}: File too large")),
        "{said}"
    );
    assert!(
        said.ends_with(
            "hint: once the file can be written again, the same command with --resume goes on\n"
        ),
        "{said}"
    );
    // The array's bracket may have found no room; rows are whole in any case.
    if !output.ends_with(".json") {
        let kept = rig.rows(output).len();
        assert!((1..60).contains(&kept), "{kept} rows");
    }
    let (code, said) = rig.run(&format!("-i urls.txt -o {output} --body inline --resume"));
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("torn"), "only whole rows were left: {said}");
    let mut inputs: Vec<String> = rig.rows(output).into_iter().map(|row| row.input).collect();
    inputs.sort_unstable();
    let mut all = wanted;
    all.sort_unstable();
    assert_eq!(inputs, all);
}

#[test]
fn a_jsonl_that_cannot_grow_keeps_what_fits() {
    keeps_what_fits("out.jsonl");
}

#[test]
fn a_csv_that_cannot_grow_keeps_what_fits() {
    keeps_what_fits("out.csv");
}

#[test]
fn a_json_array_that_cannot_grow_keeps_what_fits() {
    keeps_what_fits("out.json");
}

#[test]
fn a_reader_that_has_had_enough_is_no_error() {
    let rig = Rig::new(Lab::builder().perfect(2), &urls(300, "/page/"));
    let mut command = rig.fetch("-i urls.txt -o - -j 4");
    let mut running = Running::start(command.stdout(Stdio::piped()));
    let stdout = running.child().stdout.take().expect("stdout");
    let mut line = String::new();
    let mut reader = BufReader::new(stdout);
    reader.read_line(&mut line).expect("a row");
    drop(reader);
    assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
    assert_eq!(running.wait().code(), Some(0), "{}", running.said());
    let said = running.said();
    assert!(said.contains("exit     0 reader_gone"), "{said}");
    assert!(
        !said.contains("error:") && !said.contains("hint:"),
        "{said}"
    );
    assert!(rig.requests() < 300, "and the rest is not fetched");
}

#[test]
fn records_go_on_when_the_reader_of_write_out_has_gone() {
    let rig = Rig::new(Lab::builder().perfect(2), &urls(100, "/page/"));
    let mut command = rig.fetch("-i urls.txt -o out.jsonl -w %{url}\\n");
    let mut running = Running::start(command.stdout(Stdio::piped()));
    drop(running.child().stdout.take());
    assert_eq!(running.wait().code(), Some(0), "{}", running.said());
    assert_eq!(rig.rows("out.jsonl").len(), 100);
}

#[test]
fn a_limit_of_open_files_that_makes_the_run_wait_is_told() {
    let rig = Rig::new(Lab::builder().perfect(2), &urls(100, "/page/"));
    let (code, said) = rig.run_under("ulimit -n 64", "-i urls.txt -o out.jsonl -j 50");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with(
            "warning: 64 open files are all the system allows, too few for 52 connections at once\n\
             hint: lower -j and --probe-concurrency, or raise the limit, which ulimit -Hn tells, to 116\n"
        ),
        "{said}"
    );
}

#[test]
fn a_limit_of_open_files_that_few_urls_never_meet_is_not_told() {
    let rig = Rig::new(Lab::builder().perfect(2), &urls(3, "/page/"));
    let (code, said) = rig.run_under("ulimit -n 128", "-i urls.txt -o out.jsonl -j 5000");
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn counters_that_cannot_be_written_are_an_error_after_the_run() {
    let rig = Rig::new(Lab::builder().perfect(1), &urls(3, "/page/"));
    let (code, said) = rig.run("-i urls.txt -o out.jsonl --stats /dev/full");
    assert_eq!(code, Some(3), "{said}");
    assert_eq!(
        said.lines().last(),
        Some("error: cannot write /dev/full: No space left on device (os error 28)")
    );
    assert!(said.contains("  exit     3 io\n"), "{said}");
    assert_eq!(rig.rows("out.jsonl").len(), 3);

    // No file may grow: the rows go to standard output.
    let words = "-i urls.txt -o - --stats stats.json";
    let mut limited = rig.fetch_under("trap '' XFSZ; ulimit -f 0", words);
    let mut running = Running::start(limited.stdout(Stdio::piped()));
    assert_eq!(running.wait().code(), Some(3), "{}", running.said());
    let said = running.said();
    assert!(said.contains("  exit     3 io\n"), "{said}");
    assert!(!rig.path("stats.json.tmp").exists(), "{said}");
}
