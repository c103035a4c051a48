//! The cases: what is checked, and what it is held to.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use proxywheel::check::Verdict;
use serde_json::Value;

use crate::common::measure::{self, Cost};
use crate::crowd::{self, CONNECT_TIMEOUT, MAX_TIME, Sort};
use crate::served::Served;

struct Case {
    name: &'static str,
    count: usize,
    concurrency: u32,
    /// Largest wall clock over the time the silent entries hold their places, `None` where a plain number is the bound.
    ratio: Option<f64>,
    /// Largest wall clock, seconds.
    seconds: Option<f64>,
    /// Largest peak resident size, megabytes.
    peak_mb: u64,
}

const CASES: [Case; 3] = [
    Case {
        name: "mixed",
        count: 2000,
        concurrency: 500,
        ratio: Some(1.15),
        seconds: None,
        peak_mb: 100,
    },
    Case {
        name: "mostly-dead",
        count: 10_000,
        concurrency: 500,
        ratio: None,
        seconds: Some(120.0),
        peak_mb: 100,
    },
    Case {
        name: "desert",
        count: 100_000,
        concurrency: 512,
        ratio: None,
        seconds: None,
        peak_mb: 100,
    },
];

/// The entries of a case; both processes know them by its name and size.
pub(crate) fn sorts(case: &str, count: usize) -> Vec<Sort> {
    match case {
        "mixed" => crowd::crowd(count, 70, 10),
        "mostly-dead" => crowd::crowd(count, 90, 3),
        _ => crowd::desert(count),
    }
}

/// Runs the cases whose name contains `filter`; `full` measures, else a small version only checks the answers.
pub(crate) fn all(full: bool, filter: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut failed = Vec::new();
    for case in CASES.iter().filter(|case| case.name.contains(filter)) {
        let count = if full { case.count } else { 60 };
        let sorts = sorts(case.name, count);
        let served = Served::start(case.name, count, folder.path());
        let connects = connect(case, &served);
        let cost = check(case, &served, folder.path());
        verify(&sorts, &folder.path().join("out.jsonl"));
        if full {
            report(case, &sorts, &connects, &cost, &mut failed);
        }
    }
    assert!(failed.is_empty(), "above the bound: {}", failed.join("; "));
    println!("check: every verdict was the right one");
}

fn connect(case: &Case, served: &Served) -> Cost {
    let me = std::env::current_exe().expect("this program");
    let command = [
        me.to_string_lossy().into_owned(),
        "connect".to_owned(),
        served.list.to_string_lossy().into_owned(),
        case.concurrency.to_string(),
    ];
    let cost = measure::run(&command, None);
    assert_eq!(cost.code, 0, "the loop has failed");
    cost
}

fn check(case: &Case, served: &Served, folder: &Path) -> Cost {
    let seconds = |time: Duration| format!("{}s", time.as_secs());
    let mut command = vec![
        env!("CARGO_BIN_EXE_proxywheel").to_owned(),
        "check".to_owned(),
    ];
    let text = |path: &Path| path.to_string_lossy().into_owned();
    command.extend([
        text(&served.list),
        "-o".to_owned(),
        text(&folder.join("out.jsonl")),
        "--overwrite".to_owned(),
        "-q".to_owned(),
        // What is found out of a lab is of no use to anybody.
        "--no-state".to_owned(),
        "-j".to_owned(),
        case.concurrency.to_string(),
        "--cacert".to_owned(),
        text(&served.ca),
        "--proxy-cacert".to_owned(),
        text(&served.ca),
        "--connect-timeout".to_owned(),
        seconds(CONNECT_TIMEOUT),
        "-m".to_owned(),
        seconds(MAX_TIME),
        "--seed".to_owned(),
        "1".to_owned(),
    ]);
    for judge in served.judges() {
        command.extend(["--judge".to_owned(), judge.to_owned()]);
    }
    let cost = measure::run(&command, None);
    assert_eq!(cost.code, 0, "the check has failed");
    cost
}

/// Every entry has one row, and its verdict is the truth.
fn verify(sorts: &[Sort], rows: &Path) {
    let text = std::fs::read_to_string(rows).expect("the rows");
    let mut verdicts = HashMap::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).expect("a row");
        let seq = row["seq"].as_u64().expect("a number") as usize;
        let earlier = verdicts.insert(seq, row);
        assert!(earlier.is_none(), "{seq} has two rows");
    }
    assert_eq!(verdicts.len(), sorts.len(), "an entry has no row");
    let wrong: Vec<String> = sorts
        .iter()
        .enumerate()
        .filter(|(seq, sort)| verdicts[seq]["verdict"] != sort.verdict.as_str())
        .map(|(seq, sort)| format!("{:?} {} {}", sort.spec, sort.verdict, verdicts[&seq]))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} are wrong, the first: {}",
        wrong.len(),
        wrong[0]
    );
}

fn report(case: &Case, sorts: &[Sort], connects: &Cost, cost: &Cost, failed: &mut Vec<String>) {
    let count = sorts.len() as f64;
    let waits: Duration = sorts.iter().map(|sort| sort.waits).sum();
    let least = waits.as_secs_f64() / f64::from(case.concurrency);
    let wall = cost.wall_us as f64 / 1e6;
    let (ours, floor) = (cost.cpu_us as f64 / count, connects.cpu_us as f64 / count);
    let peak = cost.peak_kb / 1024;
    let alive = sorts
        .iter()
        .filter(|sort| sort.verdict == Verdict::Alive)
        .count();
    println!(
        "{}: {} entries, {alive} alive: {wall:.2} s beside {least:.2} s of silence over {} places ({:.2}); {ours:.0} µs CPU an entry beside {floor:.0} \
         for a connect; peak {peak} MB",
        case.name,
        sorts.len(),
        case.concurrency,
        wall / least,
    );
    let slow = case.ratio.is_some_and(|ratio| wall > ratio * least)
        || case.seconds.is_some_and(|seconds| wall > seconds);
    if slow || peak > case.peak_mb {
        failed.push(case.name.to_owned());
    }
}
