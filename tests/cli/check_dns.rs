//! Names at the exit, as people ask for them.

use insta::assert_snapshot;
use proxywheel::lab::Lab;

use crate::check::{Scene, rows};
use crate::{proxywheel, shown};

#[test]
fn a_domain_that_leads_nowhere_is_told_with_the_entry_that_is_missing() {
    let scene = Scene::new(Lab::builder().perfect(1));
    let output = scene.check(&["--dns-domain", "exit.test", "--format", "jsonl"]);
    assert_eq!(rows(&output.stdout)[0]["dns"], "not_tested");
    let told = String::from_utf8_lossy(&output.stderr);
    let warning: Vec<_> = told.lines().take(2).collect();
    let made_up = regex::Regex::new("[0-9a-f]{16}").expect("a pattern");
    assert_snapshot!(made_up.replace_all(&warning.join("\n"), "NONCE"), @r"
    warning: --dns-domain exit.test: names made up below it lead to no judge, so none was asked for: cannot look up NONCE.exit.test (dns in dns)
    hint: give its zone an entry for all names: *.exit.test A <address of the http judge>
    ");
}

#[test]
fn rows_table_and_summary_say_what_came_of_names() {
    let scene = Scene::new(Lab::builder().perfect(2));
    // Without a control nobody asks for the names here, where they do not exist.
    let words = [
        "--dns-domain",
        "*.exit.test",
        "--no-control",
        "--sort",
        "list",
    ];
    let output = scene.check(&[&words[..], &["--format", "jsonl"]].concat());
    let dns: Vec<_> = rows(&output.stdout)
        .iter()
        .map(|row| row["dns"].clone())
        .collect();
    assert_eq!(dns, ["resolved", "resolved"]);
    let words = [
        "--dns-domain",
        "exit.example",
        "--no-control",
        "--sort",
        "list",
    ];
    let output = scene.check(&[&words[..], &["--format", "table"]].concat());
    let text = shown(&output);
    assert_eq!(text.matches("names: failed").count(), 2, "{text}");
    assert!(text.contains("names at the exit: failed 2"), "{text}");
}

#[test]
fn what_is_no_domain_or_has_no_judge_is_refused() {
    let run = |words: &[&str]| {
        let output = proxywheel()
            .args(["check", "-x", "http://127.0.0.1:1"])
            .args(words)
            .output()
            .expect("runs");
        shown(&output)
    };
    let judge = ["--judge", "https://127.0.0.1:1/"];
    assert_snapshot!(run(&[&judge[..], &["--dns-domain", "exit.test"]].concat()), @r"
    exit 2
    -- stderr
    error: --dns-domain: made-up names are asked for by plain http, and there is no judge for that
    hint: name one with --judge http://HOST/
    ");
    assert_snapshot!(run(&[&judge[..], &["--dns-domain", "192.0.2.1"]].concat()), @r#"
    exit 2
    -- stderr
    error: --dns-domain: not a domain: "192.0.2.1"
    hint: write a name such as exit.example.com
    "#);
    assert_snapshot!(run(&[&judge[..], &["--dns-domain", "exit.test:80"]].concat()), @r#"
    exit 2
    -- stderr
    error: --dns-domain: not a domain: "exit.test:80"
    hint: write a name such as exit.example.com
    "#);
}
