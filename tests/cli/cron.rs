//! What a run from cron waits for: its turn, and its time.

use proxywheel::lab::Lab;

use crate::proxywheel;
use crate::running::{Rig, Running, until, urls};

#[test]
fn a_run_under_way_keeps_the_next_one_out_until_it_has_ended_however_that_was() {
    let rig = Rig::new(Lab::builder().perfect(4), &urls(8, "/delay/600000?"));
    let mut first = Running::start(
        &mut rig.fetch("-i urls.txt -o first.jsonl -m 700 --no-state --lock run.lock"),
    );
    until("requests", || rig.requests() > 0);
    let before = rig.requests();

    let quick = "http://site0.test/page/1 -o second.jsonl --no-state --lock run.lock";
    let (code, said) = rig.run(&format!("{quick} --lock skip"));
    assert_eq!((code, &*said), (Some(0), ""), "quietly");
    for when in ["fail", "wait=200ms"] {
        let (code, said) = rig.run(&format!("{quick} --lock {when}"));
        assert_eq!(code, Some(75), "{when}: {said}");
        let process = format!("run.lock is in use by another run (process {})", first.id());
        assert!(said.contains(&process), "{when}: {said}");
    }
    assert!(!rig.path("second.jsonl").exists(), "nothing was opened");
    assert!(rig.requests() >= before, "{before}");

    let words = format!("{quick} --lock wait=60s -v");
    let mut waiting = Running::start(&mut rig.fetch(&words));
    until("the wait", || waiting.said().contains("waiting: run.lock"));
    assert!(first.kill(), "it was under way");
    assert_eq!(waiting.wait().code(), Some(0), "{}", waiting.said());
    assert_eq!(rig.rows("second.jsonl").len(), 1);
}

#[test]
fn a_run_that_waits_for_its_time_shows_it_and_ends_at_once_when_told() {
    let rig = Rig::new(Lab::builder().perfect(1), &urls(1, "/page/"));
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let words = "--proxy-file proxies.txt -i urls.txt -o out.jsonl --no-state --start-jitter 100d \
            --lock run.lock --seed 1 --progress log";
        let mut command = proxywheel();
        command.current_dir(rig.directory.path());
        command.arg("fetch").args(words.split_whitespace());
        let mut running = Running::start(&mut command);
        until("the wait", || running.said().contains("starts in"));
        running.signal(signal);
        assert_eq!(running.wait().code(), Some(code), "{}", running.said());
        assert!(!rig.path("out.jsonl").exists());
        assert!(!rig.path("run.lock").exists(), "the lock comes second");
    }
    let (code, said) = rig.run("-i urls.txt -o out.jsonl --no-state --start-jitter 50ms");
    assert_eq!(code, Some(0), "{said}");
}
