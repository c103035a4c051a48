//! `check` from cron: what has changed, and a list that stays up to date.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use insta::assert_snapshot;
use proxywheel::lab::{Fault, HostPlan, Lab, ProxySpec};
use proxywheel::proxy::Scheme;
use serde_json::{Value, json};

use crate::check::{Scene, rows, steady};
use crate::mmdb::{country, mmdb};
use crate::running::until;
use crate::shown;

/// Five proxies, of which the fourth refuses us.
fn scene() -> Scene {
    let http = || ProxySpec::new(Scheme::Http);
    Scene::new(
        Lab::builder()
            .proxies(3, http())
            .proxy(http().fault(Fault::Auth407))
            .proxy(http()),
    )
}

const CRON: [&str; 4] = ["--diff", "rows.jsonl", "-o", "rows.jsonl"];

fn read(path: &Path) -> Vec<Value> {
    rows(&fs::read(path).expect("the rows"))
}

/// Rewrites the rows as if an earlier check had found something else.
fn pretend(path: &Path, change: impl Fn(u64, &mut Value)) {
    let mut text = String::new();
    for mut row in read(path) {
        let seq = row["seq"].as_u64().expect("a place");
        change(seq, &mut row);
        text.push_str(&format!("{row}\n"));
    }
    fs::write(path, text).expect("written");
}

fn changes(rows: &[Value]) -> BTreeMap<u64, Value> {
    let of = |row: &Value| {
        (
            row["seq"].as_u64().expect("a place"),
            row["changes"].clone(),
        )
    };
    rows.iter().map(of).collect()
}

#[test]
fn a_proxy_that_speaks_something_else_than_listed_is_compared_as_it_is_listed() {
    let scene = Scene::new(Lab::builder().proxies(2, ProxySpec::new(Scheme::Socks5)));
    let list = fs::read_to_string(scene.path("list.txt")).expect("a list");
    fs::write(scene.path("list.txt"), list.replace("socks5://", "http://")).expect("written");
    let cron = [&CRON[..], &["--detect", "-q"]].concat();
    scene.check(&cron);
    let found: Vec<_> = read(&scene.path("rows.jsonl"))
        .iter()
        .map(|row| (row["scheme"].clone(), row["verdict"].clone()))
        .collect();
    assert_eq!(found, [(); 2].map(|()| (json!("socks5"), json!("alive"))));
    assert_eq!(shown(&scene.check(&cron)), "exit 0\n");
    let resumed = scene.check(&["-o", "rows.jsonl", "--resume", "--detect"]);
    let said = shown(&resumed);
    assert!(said.contains("2 proxies have a row already"), "{said}");
    assert!(said.contains("0 of 0 proxies"), "{said}");
}

#[test]
fn cron_is_told_what_has_changed_and_nothing_when_nothing_has() {
    let scene = scene();
    // With credentials rows have a list entry in place of the label.
    let first = scene.check(&[&CRON[..], &["--with-credentials"]].concat());
    assert!(
        first.status.success() && first.stdout.is_empty(),
        "{}",
        shown(&first)
    );
    assert!(String::from_utf8_lossy(&first.stderr).contains("no rows in rows.jsonl yet"));
    assert!(
        read(&scene.path("rows.jsonl"))
            .iter()
            .all(|row| row["changes"].is_null())
    );

    let quiet = [&CRON[..], &["-q", "--exit-on-change"]].concat();
    assert_eq!(shown(&scene.check(&quiet)), "exit 0\n");

    // The first dies, the fourth comes back, the third leaves the list, a sixth joins it.
    scene.lab.set_faults(0, vec![Fault::Refuse]);
    scene.lab.set_faults(3, vec![]);
    let list = fs::read_to_string(scene.path("list.txt")).expect("a list");
    let kept = list.lines().enumerate().filter(|(at, _)| *at != 2);
    let mut list: String = kept.map(|(_, line)| format!("{line}\n")).collect();
    list.push_str("http://127.1.0.250:9\n");
    fs::write(scene.path("list.txt"), list).expect("written");
    let changed = scene.check(&quiet);
    assert_snapshot!(steady(&shown(&changed)), @r"
    exit 10
    -- stdout
    http://127.1.0.1:PORT#ID  died: alive, now dead (reset)
    http://127.1.0.4:PORT#ID  revived: auth, now alive
    http://127.1.0.250:PORT#ID  new: dead (connect_refused)
    http://127.1.0.3:PORT#ID  gone: was alive
    ");
    let rows = read(&scene.path("rows.jsonl"));
    let expected = [
        json!(["died"]),
        json!([]),
        json!(["revived"]),
        json!([]),
        json!(["new"]),
    ];
    assert_eq!(changes(&rows), (0..).zip(expected).collect());
    let died = rows.iter().find(|row| row["seq"] == 0).expect("the first");
    assert_eq!(
        (&died["verdict"], &died["before"]["verdict"]),
        (&json!("dead"), &json!("alive"))
    );

    assert_eq!(shown(&scene.check(&quiet)), "exit 0\n");
}

#[test]
fn exits_countries_levels_and_times_are_compared() {
    let scene = scene();
    let file = |code| mmdb("GeoLite2-Country", &[("127.1.0.0/16", country(code))]);
    fs::write(scene.path("countries.mmdb"), file("DE")).expect("written");
    let words = [&CRON[..], &["--geoip", "countries.mmdb"]].concat();
    scene.check(&words);
    fs::write(scene.path("countries.mmdb"), file("FR")).expect("written");
    pretend(&scene.path("rows.jsonl"), |seq, row| match seq {
        0 => row["exits"] = json!(["192.0.2.1"]),
        1 => row["anonymity"] = json!("transparent"),
        2 => row["latency_ms"]["total"]["p50"] = json!(9000.0),
        // Nobody could say it last time; it is what was known before that counts.
        3 => {
            row["verdict"] = json!("unknown");
            row["before"] = json!({"verdict": "alive", "p50_ms": 1.0, "exits": [], "countries": [], "anonymity": null});
        }
        _ => row["countries"] = json!([null]),
    });
    let output = scene.check(&[&words[..], &["--summary", "json"]].concat());
    let summary: Value = serde_json::from_slice(&output.stderr).expect("a summary");
    let counts = [
        "exit",
        "country",
        "anonymity",
        "quicker",
        "died",
        "new",
        "gone",
    ];
    let counts: Vec<_> = counts
        .iter()
        .map(|word| summary[format!("change/{word}")].as_u64())
        .collect();
    assert_eq!(counts, [1, 3, 1, 1, 1, 0, 0].map(Some));
    let seen = changes(&read(&scene.path("rows.jsonl")));
    let expected = [
        json!(["exit", "country"]),
        json!(["country", "anonymity"]),
        json!(["quicker", "country"]),
        json!(["died"]),
        json!([]),
    ];
    assert_eq!(seen, (0..).zip(expected).collect());
    assert!(
        String::from_utf8_lossy(&output.stdout)
            .contains("exit: 192.0.2.1, now 127.1.0.1; country: de, now fr")
    );
}

#[test]
fn a_table_shows_what_has_changed_and_what_is_gone() {
    let scene = scene();
    scene.check(&["-o", "rows.jsonl"]);
    scene.lab.set_faults(2, vec![Fault::Refuse]);
    let list = fs::read_to_string(scene.path("list.txt")).expect("a list");
    let list: String = list
        .lines()
        .take(4)
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(scene.path("list.txt"), list).expect("written");
    let words = ["--diff", "rows.jsonl", "--format", "table"];
    assert_snapshot!(steady(&shown(&scene.check(&words))));
    scene.check(&["-o", "rows.jsonl", "--overwrite"]);
    assert_eq!(
        shown(&scene.check(&[&words[..], &["-q"]].concat())),
        "exit 0\n"
    );
}

#[test]
fn a_check_that_does_not_come_to_its_end_leaves_the_file_as_it_was() {
    let scene = scene();
    scene.check(&CRON);
    let before = fs::read(scene.path("rows.jsonl")).expect("the rows");
    let same = || assert!(fs::read(scene.path("rows.jsonl")).expect("the rows") == before);
    // Four are done at once, the last one never.
    scene.lab.set_faults(4, vec![Fault::HangAfterAccept]);
    for signal in ["-KILL", "-TERM"] {
        let asked = scene.asked();
        let mut command = scene.command(&CRON);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let running = command.spawn().expect("starts");
        // Those that work have been asked for everything.
        until("requests", || scene.asked() >= asked + 20);
        send(signal, running.id());
        let output = running.wait_with_output().expect("ended");
        let code = (signal == "-TERM").then_some(143);
        assert_eq!(output.status.code(), code, "{}", shown(&output));
        assert!(output.stdout.is_empty(), "{}", shown(&output));
        same();
    }
    scene.lab.set_host("127.0.0.3", HostPlan::down());
    assert_eq!(scene.check(&CRON).status.code(), Some(6));
    same();
}

fn send(signal: &str, process: u32) {
    let sent = std::process::Command::new("kill")
        .args([signal, &process.to_string()])
        .status();
    assert!(sent.expect("kill").success());
}

#[test]
fn a_watch_keeps_a_whole_list_up_to_date_until_a_signal() {
    let scene = scene();
    let path = scene.path("rows.jsonl");
    let words = ["--watch", "300ms", "-o", "rows.jsonl", "--no-control", "-q"];
    // What a watch before this one has left.
    fs::write(&path, "{}\n").expect("written");
    let mut command = scene.command(&words);
    let running = command.stdout(Stdio::piped()).spawn().expect("starts");
    // Whoever reads never sees a part of a list.
    let wait = |length: usize, is_so: &dyn Fn(&[Value]) -> bool| {
        until("the rows of a round", || {
            let rows = fs::read(&path)
                .map(|bytes| rows(&bytes))
                .unwrap_or_default();
            assert!([1, 5, length].contains(&rows.len()), "{} rows", rows.len());
            rows.len() == length && is_so(&rows)
        });
    };
    let verdict = |rows: &[Value], seq: usize| rows[seq]["verdict"].clone();
    wait(5, &|rows| verdict(rows, 0) == "alive");
    scene.lab.set_faults(0, vec![Fault::Refuse]);
    wait(5, &|rows| verdict(rows, 0) == "dead");
    scene.lab.set_faults(0, vec![]);
    wait(5, &|rows| verdict(rows, 0) == "alive");
    let list = fs::read_to_string(scene.path("list.txt")).expect("a list");
    let (_, list) = list.split_once('\n').expect("lines");
    fs::write(scene.path("next"), list).expect("written");
    fs::rename(scene.path("next"), scene.path("list.txt")).expect("replaced");
    wait(4, &|_| true);
    send("-TERM", running.id());
    let output = running.wait_with_output().expect("ended");
    let text = shown(&output);
    assert!(output.status.success(), "{text}");
    let told: Vec<_> = ["died: alive", "revived: dead, now alive", "gone: was alive"]
        .iter()
        .map(|word| text.find(word).expect(word))
        .collect();
    assert!(told.is_sorted(), "{text}");
}

#[test]
fn flags_that_do_not_go_together_say_what_does() {
    let scene = scene();
    fs::write(scene.path("rows.jsonl"), "{}\n").expect("written");
    let mut text = String::new();
    for words in [
        &["--diff", "nowhere.jsonl"][..],
        &CRON,
        &["--exit-on-change"],
        &["--watch", "10m"],
        &["--watch", "10m", "-o", "list.txt"],
        &["-o", "./list.txt", "--overwrite"],
        &["--watch", "10m", "-o", "rows.jsonl", "--min-alive", "3"],
        &[
            "--diff",
            "rows.jsonl",
            "-o",
            "rows.jsonl",
            "--format",
            "csv",
        ],
        &["--diff", "rows.jsonl", "-o", "./rows.jsonl", "--alive"],
        &["--diff", "rows.jsonl", "-o", "more.jsonl", "--resume"],
    ] {
        text.push_str(&format!(
            "{}\n{}\n",
            words.join(" "),
            shown(&scene.check(words))
        ));
    }
    assert_eq!(scene.asked(), 0, "somebody was asked");
    assert_snapshot!(text);
}
