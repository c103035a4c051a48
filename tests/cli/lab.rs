//! Rehearsals: a scenario fetched from by the real program, and one left running for another.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;

use crate::running::{Running, until};
use crate::{proxywheel, shown};

/// Half of the proxies are dead or lie, and a site bans some.
const SCENARIO: &str = "\
title = \"a small one\"
urls = 120
proxies = 30
concurrency = 20
probe-concurrency = 20
page-kb = 2

[[group]]
name = \"refusing\"
share = 0.4
behaves = \"refuses\"

[[group]]
name = \"tampering\"
share = 0.1
behaves = \"tampers\"
noticed = 1
answer = { median-s = 0.01, between = 0, within = 0, least-s = 0 }

[[group]]
name = \"good\"
share = 0.5
answer = { median-s = 0.05, least-s = 0 }
connect = { median-s = 0.01, lost-syn = 0 }
price = { per-request = 0.5 }

[[host]]

[[host]]
banned = 0.2
";

#[test]
fn a_rehearsal_tells_what_it_took_and_what_an_oracle_needs() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("small.toml"), SCENARIO).expect("written");
    let words = "lab run small.toml -- -o out.jsonl --retry 5";
    let output = proxywheel()
        .current_dir(directory.path())
        .args(words.split(' '))
        .output()
        .expect("runs");
    let told = shown(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let rows = fs::read_to_string(directory.path().join("out.jsonl")).expect("records");
    assert_eq!(rows.lines().count(), 120);
    assert!(
        rows.lines().all(|row| row.contains("\"ok\":true")),
        "{rows}"
    );
    let figures = |name: &str| -> Vec<f64> {
        let line = told.lines().find(|line| line.starts_with(name));
        let words = line.expect(name)[name.len()..].split_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    };
    assert_eq!(figures("pages"), [120.0, 120.0], "{told}");
    assert_eq!(figures("to dead proxies"), [0.0, 0.0], "{told}");
    let refused = figures("refused by sites");
    assert!(refused[0] > 0.0 && refused[1] == 0.0, "{told}");
    let [ours, oracle] = figures("cost")[..] else {
        panic!("no two costs: {told}");
    };
    assert!(ours > oracle && oracle >= 60.0, "{told}");
}

#[test]
fn a_rehearsal_takes_neither_urls_nor_proxies_from_elsewhere() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("small.toml"), SCENARIO).expect("written");
    fs::write(directory.path().join("bad.toml"), "title = 1\n").expect("written");
    for (words, complaint) in [
        ("lab run small.toml -- -x direct", "are the scenario's"),
        (
            "lab run small.toml -- http://example.com/",
            "are the scenario's",
        ),
        ("lab run small.toml -- --no-such-flag", "--no-such-flag"),
        ("lab run bad.toml", "bad.toml:1: title: "),
        ("lab serve none.toml", "cannot read none.toml"),
    ] {
        let output = proxywheel()
            .current_dir(directory.path())
            .args(words.split(' '))
            .output()
            .expect("runs");
        let told = shown(&output);
        assert!(told.contains(complaint), "{words}: {told}");
        assert!(matches!(output.status.code(), Some(2 | 3)), "{told}");
    }
}

#[test]
fn a_served_scenario_is_there_for_any_client_until_a_signal() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    fs::write(path("small.toml"), SCENARIO).expect("written");
    let list = fs::File::create(path("proxies.txt")).expect("created");
    let mut lab = Running::start(
        proxywheel()
            .current_dir(directory.path())
            .args(["lab", "serve", "small.toml"])
            .stdout(Stdio::from(list)),
    );
    until("the lab listens", || lab.said().contains("h1.test"));
    let mut proxies = String::new();
    let mut file = fs::File::open(path("proxies.txt")).expect("a list");
    file.read_to_string(&mut proxies).expect("text");
    assert_eq!(proxies.lines().count(), 30);
    let words = "fetch --no-state --proxy-file proxies.txt -o out.jsonl http://h0.test/7";
    let output = proxywheel()
        .current_dir(directory.path())
        .args(words.split(' '))
        .args(["--must-match", "<title>/7 at h0.test"])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    lab.signal("TERM");
    assert_eq!(lab.wait().code(), Some(0));
    assert!(
        lab.said().contains("requests, 0 of them refused"),
        "{}",
        lab.said()
    );
}
