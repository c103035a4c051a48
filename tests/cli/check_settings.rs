//! Settings of `check` and `judge` from file and variables: what they share with `fetch`, and what they do not.

use std::fs;
use std::process::{Command, Output};

use insta::assert_snapshot;
use proxywheel::lab::{HostPlan, Lab, ProxySpec};
use proxywheel::proxy::Scheme;

use crate::check::{Scene, rows};
use crate::judge::Judge;
use crate::{proxywheel, shown};

/// Three proxies, and a file that names everything they need, for `fetch` and for `check`.
fn scene() -> Scene {
    let scene = Scene::new(Lab::builder().proxies(3, ProxySpec::new(Scheme::Http)));
    let (plain, tls) = (scene.lab.judge_url(false), scene.lab.judge_url(true));
    let text = format!(
        "judge = ['{plain}', '{tls}']\nrate = '100/s'\n[fetch]\nproxy-file = 'list.txt'\ncacert = 'ca.pem'\n\
         state = 'one.db'\nformat = 'json'\noutput = 'fetched.json'\noverwrite = true\n[check]\nsamples = 2\n"
    );
    fs::write(scene.path("c.toml"), text).expect("written");
    scene
}

fn run(scene: &Scene, words: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command: Command = proxywheel();
    command.current_dir(scene.folder.path());
    command.args(words).args(["--config", "c.toml"]);
    command.envs(variables.iter().copied());
    command.output().expect("runs")
}

#[test]
fn one_file_sends_fetch_and_check_to_one_list_and_one_state() {
    let scene = scene();
    let checked = run(&scene, &["check", "-q"], &[]);
    assert!(checked.status.success(), "{}", shown(&checked));
    let checked = rows(&checked.stdout);
    assert_eq!(checked.len(), 3);
    for row in &checked {
        assert_eq!((&row["verdict"], &row["ok"]), (&"alive".into(), &2.into()));
    }
    assert!(
        !scene.path("fetched.json").exists(),
        "that is where fetch writes"
    );
    let fetched = run(&scene, &["fetch", "http://shop.test/page/1", "-q"], &[]);
    assert!(fetched.status.success(), "{}", shown(&fetched));
    let state = run(&scene, &["state", "export"], &[]);
    let state = rows(&state.stdout);
    let count = |kind: &str| state.iter().filter(|row| row["kind"] == kind).count();
    assert_eq!((count("proxy"), count("run")), (3, 2), "{state:?}");
    assert!(scene.path("one.db").exists());
}

#[test]
fn variables_and_flags_come_after_the_file_and_a_list_on_the_line_replaces_its_lists() {
    let scene = scene();
    let list = fs::read_to_string(scene.path("list.txt")).expect("a list");
    let lines: Vec<&str> = list.lines().collect();
    fs::write(scene.path("two.txt"), lines[..2].join("\n")).expect("written");
    fs::write(scene.path("one.txt"), lines[2]).expect("written");
    let count = |words: &[&str], variables: &[(&str, &str)]| {
        let output = run(&scene, &[&["check", "-q"], words].concat(), variables);
        assert!(output.status.success(), "{}", shown(&output));
        rows(&output.stdout).len()
    };
    let two = ("PROXYWHEEL_PROXY_FILE", "two.txt");
    // Those are for `fetch`.
    let others = [two, ("PROXYWHEEL_OUTPUT", "o"), ("PROXYWHEEL_RATE", "1")];
    assert_eq!(count(&[], &others), 2);
    assert_eq!(count(&["one.txt"], &others), 1);
    assert_eq!(count(&["--proxy-file", "one.txt"], &others), 1);
    assert_eq!(count(&["-x", lines[0]], &others), 1);
    assert_eq!(count(&["two.txt", "--proxy-file", "one.txt"], &others), 3);
    assert!(!scene.path("o").exists());
    count(&[], &[("PROXYWHEEL_STATE", "two.db")]);
    count(&["--state", "three.db"], &[("PROXYWHEEL_NO_STATE", "1")]);
    assert!(scene.path("two.db").exists() && scene.path("three.db").exists());
}

#[test]
fn any_or_all_of_the_targets() {
    let scene = scene();
    scene.lab.set_host("news.test", HostPlan::down());
    let count = |words: &[&str], any: &str| {
        let urls = [
            "--url",
            "http://shop.test/page/1",
            "--url",
            "http://news.test/page/1",
        ];
        let words = [&["check", "-q", "--alive"][..], &urls, words].concat();
        let output = run(&scene, &words, &[("PROXYWHEEL_ANY", any)]);
        assert!(output.status.success(), "{}", shown(&output));
        rows(&output.stdout).len()
    };
    assert_eq!((count(&[], "0"), count(&["--all"], "0")), (0, 0));
    assert_eq!((count(&["--any"], "0"), count(&[], "1")), (3, 3));
    assert_eq!(count(&["--all"], "1"), 0);
    let both = run(&scene, &["check", "--any", "--all"], &[]);
    assert_snapshot!(shown(&both), @r"
    exit 2
    -- stderr
    error: --any cannot be combined with --all
    ");
}

#[test]
fn bad_settings_are_placed_and_what_is_for_others_is_not_looked_at() {
    let scene = scene();
    let check = &["check"][..];
    let nowhere = &["check", "-x", "h.example:1", "--country", "de"][..];
    let judge = &["judge"][..];
    let mut text = String::new();
    for (file, words, variable) in [
        ("rate = 10\n[check]\nsamples = 0\n", check, ""),
        ("[check]\nsampels = 3\n", check, ""),
        ("[fetch]\nproxy-scheme = 'gopher'\n", check, ""),
        (
            "judge = 'http://j.example/'\n[check]\nexit-on-change = true\n",
            check,
            "",
        ),
        ("", nowhere, "PROXYWHEEL_JUDGE=http://j.example/"),
        ("", nowhere, "PROXYWHEEL_JUDGE=j.example"),
        ("", nowhere, "PROXYWHEEL_JUGDE=j.example"),
        ("", judge, "PROXYWHEEL_LISTEN=here"),
        ("[judge]\nclient-rate = 50\n", judge, ""),
    ] {
        fs::write(scene.path("c.toml"), file).expect("written");
        let variable = variable.split_once('=');
        let output = run(&scene, words, variable.as_slice());
        text.push_str(&format!("{file}{variable:?}\n{}\n", shown(&output)));
    }
    assert_snapshot!(text);
}

#[test]
fn a_judge_takes_its_addresses_from_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "[judge]\nlisten = ['127.0.0.1:0']\nkey = 'judge.key'\n";
    fs::write(folder.path().join("judge.toml"), text).expect("written");
    let judge = Judge::start(folder.path(), "--config judge.toml");
    assert!(judge.address.starts_with("127.0.0.1:"));
    assert!(folder.path().join("judge.key").exists());
}
