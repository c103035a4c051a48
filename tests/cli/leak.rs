//! `check --leak` against a lab: clean where nothing leaks, and whoever leaks is named.

use std::fs;
use std::process::Output;

use insta::assert_snapshot;
use proxywheel::lab::{Builder, Fault, HostPlan, Lab, ProxySpec};
use proxywheel::proxy::Scheme;
use serde_json::Value;

use crate::check::{Scene, rows};
use crate::judge::Judge;
use crate::{proxywheel, shown};

fn clean() -> Builder {
    let schemes = [Scheme::Http, Scheme::Https, Scheme::Socks4, Scheme::Socks5];
    let lab = Lab::builder().http1_only();
    schemes
        .into_iter()
        .fold(lab, |lab, scheme| lab.proxies(2, ProxySpec::new(scheme)))
}

/// What differs from run to run: how requests are spread.
fn steady(text: &str) -> String {
    let regex = regex::Regex::new(r" +\d+/\d+ ").expect("a pattern");
    let text = regex.replace_all(text, |found: &regex::Captures<'_>| {
        format!("{:>1$}", "N/N ", found[0].len())
    });
    let regex = regex::Regex::new(r"127\.1\.0\.(\d+):\d+#[0-9a-f]{6}").expect("a pattern");
    regex.replace_all(&text, "127.1.0.$1:PORT#ID").into_owned()
}

/// The findings about the proxy with this number, as `what: detail`.
fn about(output: &Output, number: u32) -> Vec<String> {
    let host = format!("127.1.0.{number}:");
    let rows = rows(&output.stdout);
    let findings = rows.iter().filter(|row| row["kind"] == "finding");
    findings
        .filter(|row| row["proxy"].as_str().expect("a label").contains(&host))
        .map(|row| format!("{}: {}", text(row, "what"), text(row, "detail")))
        .collect()
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().expect("text")
}

#[test]
fn every_path_through_every_transport_is_clean_where_nothing_leaks() {
    let scene = Scene::new(clean());
    let output = scene.check(&["--leak", "--format", "table"]);
    assert_snapshot!(steady(&shown(&output)));
}

/// Asserts that the path of `row` is not clean in `column`, for requests through http proxies.
fn assert_marked(output: &Output, path: &str, column: &str) {
    let rows = rows(&output.stdout);
    let marked = rows
        .iter()
        .filter(|row| row["path"] == path && row[column] == true);
    let verdicts: Vec<_> = marked.map(|row| text(row, "verdict")).collect();
    assert!(
        !verdicts.is_empty() && verdicts.iter().all(|word| *word == "not_clean"),
        "{}",
        shown(output)
    );
}

#[test]
fn a_proxy_that_tells_our_address_is_named_with_the_header() {
    let leaks = ProxySpec::new(Scheme::Http).fault(Fault::LeakHeader);
    let scene = Scene::new(clean().proxy(leaks));
    let output = scene.check(&["--leak", "--format", "jsonl"]);
    assert_eq!(output.status.code(), Some(4), "{}", shown(&output));
    let told = "own_address: X-Forwarded-For: 127.0.0.1".to_owned();
    assert_eq!(about(&output, 9), [told]);
    assert_marked(&output, "alone", "own_address");
    assert_marked(&output, "request", "headers");
    assert!((1..9).all(|number| about(&output, number).is_empty()));
}

#[test]
fn a_proxy_that_injects_a_script_and_one_that_breaks_tls_are_named_with_what_they_did() {
    let http = || ProxySpec::new(Scheme::Http);
    let scene = Scene::new(
        clean()
            .proxy(http().fault(Fault::InjectScript))
            .proxy(http().fault(Fault::TlsIntercept)),
    );
    let output = scene.check(&["--leak", "--format", "jsonl"]);
    assert_eq!(output.status.code(), Some(4), "{}", shown(&output));
    let [injected, intercepted] = [9, 10].map(|number| about(&output, number).join("\n"));
    assert!(
        injected.starts_with("tampering: tampered: ")
            && injected.contains("script src=\"http://ads.injected.test/"),
        "{injected}"
    );
    assert!(
        intercepted.starts_with("tampering: tls_intercepted: "),
        "{intercepted}"
    );
    assert_marked(&output, "alone", "tampered");
}

#[test]
fn a_pool_with_direct_in_it_shows_our_address_and_looks_up_names() {
    // A judge that is named, which the lab's proxies reach as well as this machine does.
    let scene = Scene::new(Lab::builder().perfect(2));
    let list = format!("{}direct\n", scene.lab.proxy_list());
    fs::write(scene.path("list.txt"), list).expect("a list");
    let judge = Judge::start(scene.folder.path(), "--listen 127.0.0.1:0");
    let url = format!(
        "http://{}/",
        judge.address.replace("127.0.0.1", "localhost")
    );
    let output = proxywheel()
        .current_dir(scene.folder.path())
        .args(["check", "list.txt", "--leak", "--format", "jsonl"])
        .args(["--judge", &url])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(4), "{}", shown(&output));
    let rows = rows(&output.stdout);
    let of = |via: &str| {
        rows.iter()
            .find(|row| row["path"] == "request" && row["via"] == via)
            .unwrap_or_else(|| panic!("no row of {via}: {}", shown(&output)))
    };
    assert_eq!(of("direct")["own_address"], true);
    assert_eq!(of("direct")["names"], true);
    assert_eq!(of("http")["own_address"], false);
    assert_eq!(of("http")["names"], false);
    assert_eq!(of("http")["verdict"], "clean");
}

#[test]
fn without_a_judge_or_a_proxy_that_works_nothing_is_claimed() {
    let refusing = ProxySpec::new(Scheme::Http).fault(Fault::Refuse);
    let scene = Scene::new(Lab::builder().proxy(refusing));
    let output = scene.check(&["--leak"]);
    assert_eq!(output.status.code(), Some(6));
    assert!(output.stdout.is_empty(), "{}", shown(&output));
    scene.lab.set_host("127.0.0.3", HostPlan::down());
    let output = scene.check(&["--leak"]);
    assert_eq!(output.status.code(), Some(6));
    assert!(output.stdout.is_empty(), "{}", shown(&output));
}

#[test]
fn flags_that_would_leave_something_out_are_refused() {
    let run = |words: &[&str]| {
        let output = proxywheel()
            .args(["check", "list.txt", "--leak"])
            .args(words)
            .output()
            .expect("runs");
        shown(&output)
    };
    assert_snapshot!(run(&[]), @r"
    exit 2
    -- stderr
    error: check: there is nothing to ask the proxies for
    hint: name a judge with --judge URL (`proxywheel judge` serves one), or a target with --url URL
    ");
    assert_snapshot!(run(&["--judge", "http://127.0.0.1:1/", "-k"]), @r"
    exit 2
    -- stderr
    error: --leak cannot be combined with --insecure
    ");
    assert_snapshot!(run(&["--judge", "http://127.0.0.1:1/", "--format", "csv"]), @r"
    exit 2
    -- stderr
    error: --format: --leak has no rows of this form
    hint: use --format table or --format jsonl
    ");
}
