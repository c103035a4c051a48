//! Bodies made to take up memory: what the real program needs for them is bounded.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use proxywheel::lab::Lab;

use crate::proxywheel;
use crate::running::{Rig, Running, until};

/// What the program takes before any body, unoptimised, with room to spare.
const PROGRAM_KB: u64 = 40_000;
const MEGABYTE_KB: u64 = 1024;

#[test]
fn a_body_of_markers_takes_no_more_than_twice_its_size() {
    const SIZE: usize = 10 << 20;
    for part in [
        "captcha-delivery.com _cf_chl_opt verify you are human <p>your ip has been blocked ",
        "<a",
        "&#38;",
        "\u{130}",
        "\0\u{e9}",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let page = part.repeat(SIZE / part.len());
        fs::write(folder.path().join("page.html"), page).expect("written");
        // The second file is read when somebody writes to it: by then the first has been judged.
        let made = Command::new("mkfifo")
            .arg(folder.path().join("last.html"))
            .status();
        assert!(made.expect("mkfifo").success());
        let mut command = proxywheel();
        command.current_dir(folder.path()).stdout(Stdio::null());
        let mut running = Running::start(command.args([
            "rules",
            "explain",
            "--status",
            "403",
            "page.html",
            "last.html",
        ]));
        let mut last = fs::OpenOptions::new()
            .write(true)
            .open(folder.path().join("last.html"))
            .expect("somebody reads");
        let peak = running.peak();
        last.write_all(b"<html>a page</html>").expect("written");
        drop(last);
        assert_eq!(running.wait().code(), Some(0), "{}", running.said());
        let most = PROGRAM_KB + 2 * 10 * MEGABYTE_KB;
        assert!(peak < most, "{peak} kB for 10 MB of {part:?}");
    }
}

#[test]
fn bombs_take_no_more_than_the_largest_body() {
    let rig = Rig::new(Lab::builder().perfect(4), &[]);
    let mut command = rig.fetch("-i - -o out.jsonl -j 4 --no-state --retry 0 --max-filesize 10M");
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let mut pipe = running.child().stdin.take().expect("stdin");
    for number in 0..4 {
        writeln!(pipe, "http://site{number}.test/bomb?mb=1024").expect("written");
    }
    let rows = || fs::read_to_string(rig.path("out.jsonl")).unwrap_or_default();
    until("all rows", || rows().lines().count() == 4);
    let peak = running.peak();
    drop(pipe);
    running.wait();
    assert!(
        rig.rows("out.jsonl")
            .iter()
            .all(|row| row.outcome == "too_large")
    );
    // Four at a time, and a buffer that grows has half as much beside it for a moment.
    let most = PROGRAM_KB + 4 * 2 * 10 * MEGABYTE_KB;
    assert!(peak < most, "{peak} kB for four bombs of 1 GB");
}
