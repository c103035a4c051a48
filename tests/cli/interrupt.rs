//! Ctrl-C, SIGTERM, and two runs at once.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use proxywheel::lab::{Fault, Lab};

use crate::running::{Rig, Running, until, urls};

/// A run of slow pages that has begun, none of which is done.
fn under_way(rig: &Rig, output: &str) -> Running {
    let words = format!("-i urls.txt -o {output} -j 8 --proxy-concurrency 8");
    let running = Running::start(&mut rig.fetch(&words));
    until("requests", || rig.requests() >= 8);
    running
}

/// One signal ends the run after what is in flight; nothing of it is lost or asked for again.
fn drains(signal: &str, code: i32, output: &str) {
    let wanted = urls(40, "/delay/700?");
    let rig = Rig::new(Lab::builder().perfect(4), &wanted);
    let mut running = under_way(&rig, output);
    running.signal(signal);
    assert_eq!(running.wait().code(), Some(code), "{}", running.said());
    let said = running.said();
    assert!(said.contains("finishing what is in flight"), "{said}");
    assert!(said.contains("--resume goes on"), "{said}");

    let rows = rig.rows(output);
    assert_eq!(rows.len() as u64, rig.requests(), "a row for each request");
    assert!(rows.len() < wanted.len(), "it did not run to its end");
    assert!(rows.iter().all(|row| row.outcome == "ok"), "{rows:?}");

    let (code, said) = rig.run(&format!("-i urls.txt -o {output} -j 40 --resume"));
    assert_eq!(code, Some(0), "{said}");
    let mut inputs: Vec<String> = rig.rows(output).into_iter().map(|row| row.input).collect();
    inputs.sort_unstable();
    let mut all = wanted;
    all.sort_unstable();
    assert_eq!(inputs, all);
    assert_eq!(rig.requests(), 40, "nothing was fetched twice");
}

#[test]
fn the_first_interrupt_drains_and_resume_finishes_the_job() {
    drains("INT", 130, "out.jsonl");
}

#[test]
fn a_termination_drains_too_and_closes_the_array() {
    drains("TERM", 143, "out.json");
}

/// Two signals end the run although nothing that is in flight will ever be answered.
fn stops(signal: &str, code: i32, output: &str) {
    let mut wanted = urls(6, "/page/a");
    wanted.extend(urls(10, "/delay/1?"));
    let rig = Rig::new(Lab::builder().perfect(1), &wanted[..6]);
    let (done, said) = rig.run(&format!("-i urls.txt -o {output}"));
    assert_eq!(done, Some(0), "{said}");
    rig.write("urls.txt", &wanted.join("\n"));
    rig.lab.set_faults(0, vec![Fault::HangAfterConnect]);
    let before = rig.lab.stats().proxies[0].requests;
    let words = format!("-i urls.txt -o {output} -m 600 --resume");
    let mut running = Running::start(&mut rig.fetch(&words));
    until("requests", || rig.lab.stats().proxies[0].requests > before);
    running.signal(signal);
    until("the drain", || running.said().contains("finishing"));
    assert!(running.is_running(), "it waits for what is in flight");
    running.signal(signal);
    assert_eq!(running.wait().code(), Some(code), "{}", running.said());
    assert_eq!(rig.rows(output).len(), 6);

    rig.lab.set_faults(0, vec![]);
    let (done, said) = rig.run(&words);
    assert_eq!(done, Some(0), "{said}");
    assert_eq!(rig.rows(output).len(), wanted.len());
}

#[test]
fn the_second_interrupt_stops_at_once_and_leaves_a_whole_file() {
    stops("INT", 130, "out.csv");
}

#[test]
fn the_second_termination_stops_at_once_and_says_so() {
    stops("TERM", 143, "out.json");
}

#[test]
fn a_run_that_still_waits_for_its_list_can_be_interrupted() {
    let rig = Rig::new(Lab::builder().perfect(1), &[]);
    let mut command = rig.fetch("--proxy-file - -o out.jsonl http://a.test/page/1");
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let mut pipe = running.child().stdin.take().expect("stdin");
    // It has its handlers once it has read what it cannot use yet.
    pipe.write_all(b"127.0.0.1:9\n").expect("written");
    until("handlers", || catches(running.id(), 15));
    running.signal("TERM");
    assert_eq!(running.wait().code(), Some(143), "{}", running.said());
    assert!(!running.said().contains("--resume"), "{}", running.said());
    assert!(!rig.path("out.jsonl").exists());
    drop(pipe);
}

/// True once the process has a handler of its own for this signal.
fn catches(process: u32, signal: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("status");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = u64::from_str_radix(mask.expect("SigCgt").trim(), 16).expect("hexadecimal");
    mask >> (signal - 1) & 1 == 1
}

#[test]
fn a_second_run_on_the_same_output_leaves_it_alone() {
    let mut wanted = urls(3, "/page/");
    wanted.push("http://slow.test/delay/60000".into());
    let rig = Rig::new(Lab::builder().perfect(2), &wanted);
    let mut first = Running::start(&mut rig.fetch("-i urls.txt -o out.jsonl -m 600"));
    until("three rows", || {
        let text = fs::read_to_string(rig.path("out.jsonl")).unwrap_or_default();
        text.lines().count() == 3
    });
    let before = fs::read(rig.path("out.jsonl")).expect("output");
    let asked = rig.requests();
    for mode in ["", "--resume", "--append", "--overwrite"] {
        let (code, said) = rig.run(&format!("-i urls.txt -o out.jsonl {mode}"));
        assert_eq!(code, Some(75), "{mode}: {said}");
        assert_eq!(
            said,
            "error: out.jsonl is in use by another run\n\
             hint: wait for the other run to end, or choose another --output\n",
        );
    }
    assert_eq!(fs::read(rig.path("out.jsonl")).expect("output"), before);
    assert_eq!(rig.requests(), asked, "and fetches nothing");
    first.signal("INT");
    first.signal("INT");
    first.wait();
    let (code, said) = rig.run("-i urls.txt -o out.jsonl --resume -m 1 --retry 0");
    // Three of four are there.
    assert_eq!(code, Some(4), "the lock goes with its run: {said}");
}

#[test]
fn an_unread_output_does_not_keep_a_run_from_stopping() {
    let wanted: Vec<String> = urls(400, "/page/")
        .into_iter()
        .map(|url| format!("{url}?size=20000"))
        .collect();
    let rig = Rig::new(Lab::builder().perfect(4), &wanted);
    let mut command = rig.fetch("-i urls.txt -o - --body inline");
    let mut running = Running::start(command.stdout(Stdio::piped()));
    // Nobody reads: the pipe takes 64 kB, then the writer waits.
    until("requests", || rig.requests() > 20);
    running.signal("INT");
    until("the drain", || running.said().contains("finishing"));
    running.signal("INT");
    let asked = Instant::now();
    let code = running.wait().code();
    assert_eq!(code, Some(130), "{}", running.said());
    assert!(asked.elapsed() < Duration::from_secs(30));
    assert!(running.said().contains("a pipe has to be read"));
}
