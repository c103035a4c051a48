//! The product's first impression: a rehearsal that delivers every page, checked from outside.

#![expect(
    clippy::disallowed_methods,
    reason = "a real program is waited for in real time"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use proxywheel::lab::Origin;
use proxywheel::text::Sha256;
use serde_json::Value;
use url::Url;

use crate::{proxywheel, shown};

/// What the demo promises on any machine people have.
const LIMIT: Duration = Duration::from_secs(30);

fn demo(directory: &Path) -> Command {
    let mut command = proxywheel();
    command.arg("demo").current_dir(directory);
    command
}

fn rows(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("an output");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn six_hundred_pages_come_back_as_the_sites_sent_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let started = Instant::now();
    let output = demo(directory.path()).output().expect("runs");
    let took = started.elapsed();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(took < LIMIT, "took {took:?}\n{told}");
    assert!(output.stdout.is_empty(), "stdout is for data");

    let rows = rows(&directory.path().join("demo.jsonl"));
    assert_eq!(rows.len(), 600);
    let urls: BTreeSet<&str> = rows
        .iter()
        .filter_map(|row| row["input"].as_str())
        .collect();
    assert_eq!(urls.len(), 600, "each URL once");
    let hosts: BTreeSet<String> = urls
        .iter()
        .filter_map(|url| Url::parse(url).ok()?.host_str().map(str::to_owned))
        .collect();
    assert_eq!(hosts.len(), 3);
    for row in &rows {
        assert_eq!(row["outcome"], "ok", "{row}");
        let url = Url::parse(row["url"].as_str().expect("a URL")).expect("a URL");
        let sent = Origin::expected_body(url.host_str().expect("a host"), url.path());
        assert_eq!(row["body_sha256"], Sha256::of(&sent).to_string(), "{row}");
    }
    assert!(
        rows.iter().any(|row| row["attempts"].as_u64() > Some(1)),
        "the pool was too good to show anything"
    );

    assert!(told.contains("600 of 600 URLs in "), "{told}");
    assert!(
        told.contains("600 rows in demo.jsonl, each URL once"),
        "{told}"
    );
    assert!(told.contains("proxies that gave wrong answers: "), "{told}");
    assert!(told.contains("look next:"), "{told}");
    let left: Vec<_> = fs::read_dir(directory.path())
        .expect("a directory")
        .collect();
    assert_eq!(left.len(), 1, "nothing but the output is left: {left:?}");
}

#[test]
fn only_the_file_of_an_earlier_demo_is_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("demo.jsonl");
    let earlier =
        r#"{"input":"http://shop.test/page/1","outcome":"ok","body_sha256":null,"attempt_log":[]}"#;
    for foreign in [
        "my own notes\n".to_owned(),
        "not even a line".to_owned(),
        r#"{"input":"http://example.com/","outcome":"ok","attempt_log":[]}"#.to_owned(),
        format!("{earlier}\nand a note\n"),
    ] {
        fs::write(&path, &foreign).expect("writes");
        let output = demo(directory.path()).output().expect("runs");
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{foreign}: {told}");
        assert!(
            told.contains("hint: write elsewhere with -o FILE"),
            "{told}"
        );
        assert_eq!(fs::read_to_string(&path).expect("reads"), foreign);
    }
    // A demo that was killed in the middle of a row.
    fs::write(&path, format!("{earlier}\n{{\"v\":1,\"inp")).expect("writes");
    let output = demo(directory.path()).output().expect("runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(rows(&path).len(), 600);
}

#[test]
fn what_cannot_be_checked_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = demo(directory.path())
        .args(["-o", "-"])
        .output()
        .expect("runs");
    insta::assert_snapshot!(shown(&output), @r"
    exit 2
    -- stderr
    error: --output: the demo reads its records back, which standard output does not allow
    hint: name a file: -o demo.jsonl
    ");
    let output = demo(directory.path())
        .args(["--config", "x.toml"])
        .output()
        .expect("runs");
    insta::assert_snapshot!(shown(&output), @r"
    exit 2
    -- stderr
    error: --config: demo reads no configuration
    hint: drop --config; proxywheel config show tells what a file changes
    ");
}

/// Ctrl-C in the middle ends the demo as it ends any run, with whole rows.
#[cfg(unix)]
#[test]
fn an_interrupted_demo_leaves_whole_rows() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("demo.jsonl");
    let child = demo(directory.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let deadline = Instant::now() + LIMIT;
    while fs::metadata(&path).map_or(0, |metadata| metadata.len()) == 0 {
        assert!(Instant::now() < deadline, "no row came");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    let killed = Command::new("kill").args(["-INT", &pid]).status();
    assert!(killed.expect("kill runs").success());
    let output = child.wait_with_output().expect("ends");
    // On a quick machine the last row may have been written before the signal came.
    let code = output.status.code();
    assert!(
        matches!(code, Some(130 | 0)),
        "{code:?} {}",
        stderr(&output)
    );
    rows(&path);
}
