//! A judge that dies in the middle of a check: nobody is blamed, and everybody is told.

use std::fs;
use std::process::Command;
use std::time::Duration;

use proxywheel::lab::{Lab, ProxySpec};
use proxywheel::proxy::Scheme;
use serde_json::Value;

use crate::check::{Scene, rows};
use crate::judge::Judge;
use crate::proxywheel;
use crate::running::{Running, until};

/// Proxies in the list.
const ALL: usize = 40;

/// A check of 40 good proxies by this judge only.
fn check(scene: &Scene, address: &str, words: &str) -> Command {
    let mut command = proxywheel();
    command.current_dir(scene.folder.path());
    command.args([
        "check",
        "list.txt",
        "--no-state",
        "-m",
        "2s",
        "-o",
        "out.jsonl",
    ]);
    command.args(["--judge", &format!("http://{address}/")]);
    command.args(words.split_whitespace());
    command
}

fn written(scene: &Scene) -> Vec<Value> {
    rows(&fs::read(scene.path("out.jsonl")).unwrap_or_default())
}

/// Rows with this verdict and reason.
fn count(rows: &[Value], verdict: &str, reason: &str) -> usize {
    let rows = rows.iter();
    rows.filter(|row| row["verdict"] == verdict && row["reason"] == reason)
        .count()
}

/// Starts a check, kills its judge once six proxies are alive, and waits: the exit code and what was said.
fn orphaned(scene: &Scene, words: &str) -> (Option<i32>, String) {
    let judge = Judge::start(scene.folder.path(), "--listen 127.0.0.1:0 --key judge.key");
    let mut running = Running::start(&mut check(scene, &judge.address, words));
    until("six rows", || written(scene).len() >= 6);
    judge.kill();
    (running.wait().code(), running.said())
}

fn scene() -> Scene {
    let ms = Duration::from_millis;
    let proxy = ProxySpec::new(Scheme::Http).latency(ms(20), ms(40));
    Scene::new(Lab::builder().proxies(ALL as u32, proxy))
}

#[test]
fn a_judge_that_dies_is_named_and_no_proxy_is_dead_for_it() {
    let scene = scene();
    let (code, said) = orphaned(&scene, "-j 2");
    let rows = written(&scene);
    let (alive, unknown) = (
        count(&rows, "alive", "ok"),
        count(&rows, "unknown", "judge_down"),
    );
    assert_eq!(
        (code, rows.len(), alive + unknown),
        (Some(6), ALL, ALL),
        "{said}"
    );
    assert!(alive >= 6 && unknown > 0);
    for told in [
        format!("{alive} alive, {unknown} unknown"),
        format!("not judged: {unknown} of 40, because no judge answered (judge_down)"),
        format!("why not: judge_down {unknown}"),
        "hint: once a judge answers, the same with --resume asks only them again".into(),
    ] {
        assert!(said.contains(&told), "{told}: {said}");
    }
    // Again with a judge, and only for them.
    let judge = Judge::start(scene.folder.path(), "--listen 127.0.0.1:0 --key judge.key");
    let mut running = Running::start(&mut check(&scene, &judge.address, "--resume"));
    assert_eq!(running.wait().code(), Some(0), "{}", running.said());
    assert!(
        running
            .said()
            .contains(&format!("{alive} proxies have a row already"))
    );
    assert!(
        running
            .said()
            .contains(&format!("{unknown} of {unknown} proxies"))
    );
    assert_eq!(count(&written(&scene), "alive", "ok"), ALL);
}

#[test]
fn the_summary_for_programs_names_it_too() {
    let scene = scene();
    let (code, said) = orphaned(&scene, "-j 2 --summary json --min-alive 1");
    let unknown = count(&written(&scene), "unknown", "judge_down");
    let summary: Value = serde_json::from_str(&said).expect("one object");
    assert_eq!(code, Some(6));
    assert_eq!(summary["exit_code"], 6);
    assert_eq!(summary["finish_reason"], "judge_down");
    for key in ["unjudged", "reason/judge_down", "verdict/unknown"] {
        assert_eq!(summary[key], unknown, "{key}: {said}");
    }
    assert_eq!(summary["verdict/dead"], 0, "{said}");
    assert_eq!(summary["no_judge"], false);

    // From the start: nothing is written, and what was there stays.
    let before = written(&scene);
    let mut running = Running::start(&mut check(
        &scene,
        "127.0.0.1:1",
        "--overwrite --summary json -q",
    ));
    assert_eq!(running.wait().code(), Some(6));
    let summary: Value = serde_json::from_str(&running.said()).expect("one object");
    let told = (
        &summary["finish_reason"],
        &summary["unjudged"],
        &summary["checked"],
    );
    assert_eq!(told, (&"no_judge".into(), &ALL.into(), &0.into()));
    assert_eq!(before.len(), ALL);
    assert_eq!(written(&scene), before);
}

#[test]
fn a_quiet_check_names_a_judge_that_does_not_answer_though_another_does() {
    let scene = Scene::new(Lab::builder().perfect(1));
    let output = scene.check(&["-q", "--judge", "http://127.0.0.1:1/"]);
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    let told = "error: http://127.0.0.1:1/: it does not answer directly: ";
    assert!(said.starts_with(told), "{said}");
}
