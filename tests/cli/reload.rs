//! Lists that change while a run goes on.

use std::process::Command;

use insta::assert_snapshot;
use proxywheel::lab::Lab;

use crate::running::{Rig, Running, until, urls};
use crate::{proxywheel, shown};

/// A run of a minute through proxy 0 alone, in a lab that has two.
fn through_the_first(words: &str) -> (Rig, Running) {
    let rig = Rig::new(Lab::builder().perfect(2), &urls(600, "/delay/200?"));
    rig.write("proxies.txt", &rig.lab.proxy_url(0));
    let words = format!("-i urls.txt -o out.jsonl -j 2 {words}");
    let running = Running::start(&mut rig.fetch(&words));
    until("the first proxy", || asked(&rig, 0) >= 3);
    (rig, running)
}

/// Requests that a proxy has had.
fn asked(rig: &Rig, proxy: usize) -> u64 {
    rig.lab.stats().proxies[proxy].requests
}

/// Stops a run and looks at its rows.
fn finish(rig: &Rig, running: &mut Running) {
    running.signal("INT");
    assert_eq!(running.wait().code(), Some(130), "{}", running.said());
    assert!(rig.rows("out.jsonl").iter().all(|row| row.outcome == "ok"));
}

/// The run goes on through the second proxy and leaves the first alone.
fn has_moved(rig: &Rig) {
    until("the second proxy", || asked(rig, 1) >= 3);
    let left = asked(rig, 0);
    let now = asked(rig, 1);
    until("more of the second", || asked(rig, 1) >= now + 6);
    assert_eq!(asked(rig, 0), left, "a removed proxy gets no more work");
}

#[test]
fn a_hangup_swaps_the_list_and_a_broken_list_is_not_taken() {
    let (rig, mut running) = through_the_first("");
    rig.write("proxies.txt", "no proxy here\n");
    running.signal("HUP");
    until("a warning", || running.said().contains("hint:"));
    assert_snapshot!(running.said(), @r"
    warning: the proxy list stays as it was: proxies.txt: no entry of the proxy list is a proxy:
      proxies.txt:1:3: no port, expected host:port
    hint: write one proxy a line: host:port, host:port:user:password or scheme://user:password@host:port
    ");
    let before = asked(&rig, 0);
    until("the old list in use", || asked(&rig, 0) >= before + 3);

    std::fs::remove_file(rig.path("proxies.txt")).expect("removed");
    running.signal("HUP");
    until("a reason", || {
        running
            .said()
            .contains("stays as it was: cannot read proxies.txt: No such file or directory")
    });

    rig.write("proxies.txt", &format!("oops\n{}", rig.lab.proxy_url(1)));
    running.signal("HUP");
    until("the note", || {
        running
            .said()
            .contains("proxy list read again: 1 proxy, 1 entry rejected")
    });
    has_moved(&rig);
    finish(&rig, &mut running);
}

#[test]
fn a_file_is_read_again_by_the_clock_without_a_word() {
    let (rig, mut running) = through_the_first("--proxy-refresh 1s");
    rig.write("proxies.txt", &rig.lab.proxy_url(1));
    has_moved(&rig);
    assert_eq!(running.said(), "");
    finish(&rig, &mut running);
}

#[test]
fn a_hangup_without_a_list_says_what_would_be_read() {
    let rig = Rig::new(Lab::builder().perfect(1), &urls(100, "/delay/200?"));
    let words = format!(
        "-i urls.txt -o out.jsonl -j 1 --proxy {}",
        rig.lab.proxy_url(0)
    );
    let mut running = Running::start(&mut rig.fetch(&words));
    until("requests", || rig.requests() > 0);
    running.signal("HUP");
    until("a warning", || running.said().contains("hint:"));
    assert_snapshot!(running.said(), @r"
    warning: there is no proxy list that could be read again
    hint: only lists of --proxy-file FILE or URL are
    ");
    finish(&rig, &mut running);
}

#[test]
fn rejected_lines_are_named_and_fatal_only_when_strict() {
    let rig = Rig::new(Lab::builder().perfect(1), &urls(2, "/page/"));
    let url = rig.lab.proxy_url(0);
    rig.write("mixed.txt", &format!("{url}\nnonsense\n{url}\n"));
    let (code, said) = rig.run("-i urls.txt -o out.jsonl --proxy-file mixed.txt");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with(
            "warning: mixed.txt:2:9: no port, expected host:port; the entry is skipped\n"
        ),
        "{said}"
    );
    assert!(
        said.contains("1 of 1 proxies served a page, 1 duplicate line, 1 rejected line"),
        "{said}"
    );
    let mut strict: Command = proxywheel();
    strict
        .current_dir(rig.directory.path())
        .args(["fetch", "--strict", "--proxy-file", "mixed.txt"])
        .args(["-o", "strict.jsonl", "http://a.test/"]);
    assert_snapshot!(shown(&strict.output().expect("runs")), @r"
    exit 2
    -- stderr
    error: mixed.txt: 1 entry of the proxy list rejected:
      mixed.txt:2:9: no port, expected host:port
    hint: correct them, or leave --strict out to skip them
    ");
    assert!(!rig.path("strict.jsonl").exists());
}
