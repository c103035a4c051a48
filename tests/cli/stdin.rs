//! Standard input: as it comes, empty, closed, a terminal, endless.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use insta::assert_snapshot;
use proxywheel::lab::Lab;

use crate::running::{Rig, Running, until, urls};

/// Rows in a file that may be in the middle of a line.
fn lines(rig: &Rig) -> usize {
    let bytes = fs::read(rig.path("out.jsonl")).unwrap_or_default();
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

#[test]
fn urls_are_fetched_as_they_come() {
    let rig = Rig::new(Lab::builder().perfect(1), &[]);
    let mut command = rig.fetch("-i - -o out.jsonl");
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let mut pipe = running.child().stdin.take().expect("stdin");
    for (number, url) in urls(3, "/page/").into_iter().enumerate() {
        writeln!(pipe, "{url}").expect("written");
        until("its row", || lines(&rig) == number + 1);
    }
    assert!(running.is_running(), "the pipe is still open");
    drop(pipe);
    assert_eq!(running.wait().code(), Some(0), "{}", running.said());
    assert_eq!(rig.rows("out.jsonl").len(), 3);
}

#[test]
fn an_empty_or_closed_input_ends_at_once_and_says_why() {
    let rig = Rig::new(Lab::builder().perfect(1), &[]);
    let program = env!("CARGO_BIN_EXE_proxywheel");
    for redirection in ["</dev/null", "<&-"] {
        let line = format!(
            "exec {program} fetch -i - --proxy-file proxies.txt -o out.jsonl --overwrite {redirection}"
        );
        let mut command = Command::new("sh");
        command
            .args(["-c", &line])
            .env_clear()
            .current_dir(rig.directory.path());
        let mut running = Running::start(&mut command);
        assert_eq!(running.wait().code(), Some(0), "{}", running.said());
        let said = running.said();
        let (warning, summary) = said.split_once('\n').expect("two lines");
        assert_eq!(warning, "warning: the input holds no URLs");
        assert!(summary.starts_with("0 of 0 URLs in "), "{said}");
        assert!(
            summary.ends_with(" s: 0 ok, 0 failed\n  exit     0 done\n"),
            "{said}"
        );
    }
    assert_eq!(fs::read(rig.path("out.jsonl")).expect("output"), b"");
}

#[test]
fn a_list_can_be_piped_in() {
    let rig = Rig::new(Lab::builder().perfect(3), &[]);
    let url = "http://a.test/page/1";
    let mut command = rig.fetch("--proxy-file - -o out.jsonl");
    let list = fs::File::open(rig.path("proxies.txt")).expect("list");
    let mut running = Running::start(command.arg(url).stdin(list));
    assert_eq!(running.wait().code(), Some(0), "{}", running.said());
    assert_eq!(rig.rows("out.jsonl")[0].outcome, "ok");
    let (code, said) = rig.run("--proxy-file - -o none.jsonl http://a.test/");
    assert_eq!(code, Some(2));
    assert_snapshot!(said, @r"
    error: standard input: the proxy list is empty
    hint: write one proxy a line: host:port, host:port:user:password or scheme://user:password@host:port
    ");
}

/// What is said when standard input is a terminal: the program runs under `script`, which gives it one.
#[test]
fn a_terminal_is_not_waited_for() {
    let rig = Rig::new(Lab::builder().perfect(1), &[]);
    let program = env!("CARGO_BIN_EXE_proxywheel");
    for (words, flag) in [
        ("--proxy-file proxies.txt -i -", "-i -"),
        ("--proxy-file - http://a.test/", "--proxy-file -"),
        (
            "--proxy-file proxies.txt -d @- http://a.test/",
            "@- in the request",
        ),
    ] {
        let line = format!("{program} fetch --color never {words}");
        let output = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .current_dir(rig.directory.path())
            .stdin(Stdio::null())
            .output()
            .expect("script of bsdutils");
        let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        assert_eq!(output.status.code(), Some(2), "{said}");
        let error = format!("error: {flag}: standard input is a terminal\nhint: pipe something in");
        assert!(said.contains(&error), "{said}");
    }
}

/// Highest memory of a run over so many lines from a pipe, in kB.
fn peak(rig: &Rig, count: usize) -> u64 {
    let mut command = rig.fetch("-i - -o out.jsonl --overwrite -j 16 --fields input,outcome");
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let mut pipe = running.child().stdin.take().expect("stdin");
    let feeder = std::thread::spawn(move || {
        let mut text = String::new();
        for number in 0..count {
            text.clear();
            // One in forty is fetched, so that an unoptimised program gets there.
            if number % 40 == 0 {
                let _ = writeln!(text, "http://site{}.test/page/{number}", number % 50);
            } else {
                let _ = writeln!(text, "ftp://site{number}.test/page/{number}");
            }
            pipe.write_all(text.as_bytes()).expect("written");
        }
        // Kept open until the peak has been read.
        pipe
    });
    until("all rows", || lines(rig) == count);
    let pipe = feeder.join().expect("no panic");
    let peak = running.peak();
    drop(pipe);
    running.wait();
    peak
}

#[test]
fn a_long_input_takes_no_more_memory_than_a_short_one() {
    let rig = Rig::new(Lab::builder().perfect(10), &[]);
    let short = peak(&rig, 5_000);
    let long = peak(&rig, 200_000);
    assert!(
        long < short + 6 * 1024,
        "{short} kB for 5,000 lines, {long} kB for 200,000"
    );
}
