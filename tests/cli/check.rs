//! `check` as people and scripts run it, against a lab.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use insta::assert_snapshot;
use proxywheel::lab::{Builder, Fault, HostPlan, Lab, ProxySpec};
use proxywheel::proxy::Scheme;
use serde_json::Value;
use tempfile::TempDir;

use crate::running::until;
use crate::{proxywheel, shown};

/// A lab, and a folder with its list and its authority.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) folder: TempDir,
}

impl Scene {
    pub(crate) fn new(builder: Builder) -> Self {
        let lab = Lab::spawn_thread(builder).expect("a lab");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("list.txt"), lab.proxy_list()).expect("a list");
        fs::write(folder.path().join("ca.pem"), lab.ca_pem()).expect("an authority");
        Scene { lab, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Connections to proxies so far, and requests that arrived anywhere.
    pub(crate) fn asked(&self) -> u64 {
        let stats = self.lab.stats();
        stats.proxy_total().connections + stats.host_total().requests
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = proxywheel();
        command
            .current_dir(self.folder.path())
            .args([
                "check",
                "list.txt",
                "--cacert",
                "ca.pem",
                "--proxy-cacert",
                "ca.pem",
            ])
            .args(["--connect-timeout", "500ms", "-m", "2s"])
            .args([
                "--judge",
                &self.lab.judge_url(false),
                "--judge",
                &self.lab.judge_url(true),
            ])
            .args(words);
        command
    }

    pub(crate) fn check(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("runs")
    }
}

pub(crate) fn rows(bytes: &[u8]) -> Vec<Value> {
    let lines = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).expect("a row"))
        .collect()
}

fn mixed() -> Builder {
    let http = || ProxySpec::new(Scheme::Http);
    Lab::builder()
        .proxy(http())
        .proxy(ProxySpec::new(Scheme::Socks5).credentials("me", "pa:ss/w%rd"))
        .proxy(http().fault(Fault::LeakHeader))
        .proxy(http().fault(Fault::InjectScript))
        .proxy(http().fault(Fault::Refuse))
        .proxy(http().fault(Fault::Auth407))
        .proxy(http().fault(Fault::ForeignPage))
}

/// What differs from run to run: ports, ids, times.
pub(crate) fn steady(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, with) in [
        (r"127\.1\.0\.(\d+):\d+#[0-9a-f]{6}", "127.1.0.$1:PORT#ID"),
        // How many of the steps of the median have anybody in them is a matter of the machine's load.
        (r"(?m)^ *<? *\d* ?(ms|slower) +#+ \d+$\n?", ""),
        (r" +\d+ ms ", " N ms "),
        (r"in \d+\.\d s", "in N s"),
        (r"127\.0\.0\.3:\d+", "127.0.0.3:PORT"),
        // A port that is reset at once may be met connecting, or with the first bytes.
        (r"reset in (connect|tls|headers)", "reset in PHASE"),
    ] {
        let regex = regex::Regex::new(pattern).expect("a pattern");
        text = regex.replace_all(&text, with).into_owned();
    }
    text
}

#[test]
fn the_table_says_what_each_proxy_is_and_why() {
    let scene = Scene::new(mixed());
    let output = scene.check(&["--format", "table", "--sort", "list", "--samples", "2"]);
    assert_snapshot!(steady(&shown(&output)));
}

#[test]
fn the_summary_counts_the_lines_that_are_no_proxy_of_their_own() {
    let scene = Scene::new(Lab::builder().proxies(2, ProxySpec::new(Scheme::Http)));
    let list = scene.lab.proxy_list();
    fs::write(
        scene.path("list.txt"),
        format!("{list}\n{list}\nsocks9://no\n"),
    )
    .expect("a list");
    let output = scene.check(&["--samples", "1"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let line = "\nof the list: 2 duplicate lines, 1 rejected line\n";
    assert!(said.contains(line), "{said}");
    let output = scene.check(&["--samples", "1", "--summary", "json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let summary: Value = serde_json::from_str(said.lines().last().expect("a line")).expect("json");
    let count = |name: &str| summary[format!("list/{name}")].as_u64();
    let counts = ["lines", "proxies", "duplicates", "rejected"].map(count);
    assert_eq!(counts, [Some(5), Some(2), Some(2), Some(1)], "{said}");
}

#[test]
fn a_table_of_cells_has_what_an_object_has() {
    let scene = Scene::new(mixed());
    let words = |format| {
        let url = "http://shop.test/page/1";
        let words = ["--sort", "list", "--samples", "1", "--url", url, "-q"];
        scene.check(&[&words[..], &["--with-credentials", "--format", format]].concat())
    };
    let objects = rows(&words("jsonl").stdout);
    let csv = words("csv").stdout;
    let mut table = csv::Reader::from_reader(&csv[..]);
    let names = table.headers().expect("a head").clone();
    let object = objects[0].as_object().expect("an object");
    let nested = ["v", "latency_ms", "before"];
    for key in object.keys().filter(|key| !nested.contains(&key.as_str())) {
        assert!(names.iter().any(|name| name == key), "{key}");
    }
    let column = |name: &str| names.iter().position(|each| each == name).expect("there");
    for (row, object) in table.records().zip(&objects) {
        let row = row.expect("a row");
        assert_eq!(
            row[column("proxy")],
            object["proxy"],
            "credentials included"
        );
        assert_eq!(row[column("label")], object["label"]);
        let target = object["targets"][0]["outcome"].as_str().unwrap_or_default();
        assert_eq!(&row[column("targets")], target);
    }
}

#[test]
fn a_check_ends_when_nobody_reads_its_rows_any_more() {
    let scene = Scene::new(Lab::builder().proxies(300, ProxySpec::new(Scheme::Http)));
    let mut command = scene.command(&["-j", "2", "--samples", "1", "--summary", "json"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().expect("stdout"));
    reader.read_line(&mut line).expect("a row");
    drop(reader);
    let output = child.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let summary: Value = serde_json::from_str(said.lines().last().expect("a line")).expect("json");
    assert_eq!(summary["finish_reason"], "reader_gone", "{said}");
    assert!(summary["checked"].as_u64() < Some(300), "{said}");
}

#[test]
fn the_list_that_comes_out_is_one_that_fetch_takes() {
    let scene = Scene::new(mixed());
    let list = scene.check(&["--format", "txt", "-q"]);
    assert!(
        list.status.success() && list.stderr.is_empty(),
        "{}",
        shown(&list)
    );
    assert_eq!(String::from_utf8_lossy(&list.stdout).lines().count(), 3);
    let rows = scene.check(&["--format", "jsonl", "--alive", "--with-credentials", "-q"]);
    assert_eq!(String::from_utf8_lossy(&rows.stdout).lines().count(), 3);
    for list in [list.stdout, rows.stdout] {
        fs::write(scene.path("good"), list).expect("written");
        let fetched = proxywheel()
            .current_dir(scene.folder.path())
            .args([
                "fetch",
                "http://shop.test/page/1",
                "--proxy-file",
                "-",
                "-q",
                "--strict",
                "--rotate",
                "round-robin",
            ])
            .args(["http://shop.test/page/2", "http://shop.test/page/3"])
            .stdin(fs::File::open(scene.path("good")).expect("the list"))
            .output()
            .expect("runs");
        assert!(fetched.status.success(), "{}", shown(&fetched));
    }
    let without = scene.check(&["--format", "jsonl", "-q"]);
    let text = String::from_utf8_lossy(&without.stdout);
    assert!(
        !text.contains("pa:ss") && !text.contains("pa%3Ass"),
        "{text}"
    );
}

#[test]
fn proxies_for_tunnels_alone_that_a_plain_judge_was_reached_through_serve_a_fetch() {
    let for_tunnels = ProxySpec::new(Scheme::Http).fault(Fault::NoForward);
    let scene = Scene::new(Lab::builder().proxies(2, for_tunnels));
    let run = |words: &[&str], input: Stdio| {
        let output = proxywheel()
            .current_dir(scene.folder.path())
            .args(words)
            .args(["--state", "state.db", "--cacert", "ca.pem", "-q"])
            .stdin(input)
            .output()
            .expect("runs");
        assert!(output.status.success(), "{}", shown(&output));
        output.stdout
    };
    let judge = scene.lab.judge_url(false);
    let check = ["check", "list.txt", "--judge", &judge];
    let list = run(&[&check[..], &["--format", "txt"]].concat(), Stdio::null());
    assert_eq!(String::from_utf8_lossy(&list).lines().count(), 2);
    fs::write(scene.path("good"), list).expect("written");
    let good = fs::File::open(scene.path("good")).expect("the list");
    let url = "https://shop.test/page/1";
    let fetched = run(&["fetch", url, "--proxy-file", "-"], good.into());
    assert_eq!(rows(&fetched)[0]["attempts"], 1);
}

#[test]
fn filters_order_and_the_least_that_has_to_live() {
    let scene = Scene::new(mixed());
    let labels = |words: &[&str]| -> Vec<String> {
        let output = scene.check(words);
        rows(&output.stdout)
            .iter()
            .map(|row| {
                row["proxy"]
                    .as_str()
                    .expect("a label")
                    .split('#')
                    .next()
                    .expect("one")
                    .to_owned()
            })
            .collect()
    };
    assert_eq!(labels(&["--anonymity", "elite"]).len(), 2);
    assert_eq!(labels(&["--anonymity", "anonymous"]).len(), 2);
    assert_eq!(labels(&["--protocol", "socks5"]).len(), 1);
    assert_eq!(labels(&["--min-score", "1", "--limit", "1"]).len(), 1);
    let listed = labels(&["--sort", "list"]);
    let order: Vec<_> = listed
        .iter()
        .map(|label| {
            label
                .split("127.1.0.")
                .nth(1)
                .and_then(|rest| rest.chars().next())
        })
        .collect();
    assert_eq!(order, "1234567".chars().map(Some).collect::<Vec<_>>());
    for (least, code) in [("3", 0), ("4", 6), ("40%", 0), ("50%", 6)] {
        let output = scene.check(&["--min-alive", least, "-q"]);
        assert_eq!(output.status.code(), Some(code), "{least}");
    }
    let one = scene.check(&["--min-alive", "4", "-q", "-o", "out.jsonl"]);
    assert_snapshot!(shown(&one), @r"
    exit 6
    -- stderr
    error: too few proxies are alive for --min-alive: 3 of 7
    ");
    let again = ["--resume", "-o", "out.jsonl", "-q", "--min-alive"];
    for (least, code) in [("3", 0), ("50%", 6)] {
        let output = scene.check(&[&again[..], &[least]].concat());
        assert_eq!(
            output.status.code(),
            Some(code),
            "{least}: {}",
            shown(&output)
        );
    }
    let target = scene.check(&[
        "--url",
        "http://shop.test/page/1",
        "--must-match",
        "nowhere",
        "--alive",
    ]);
    assert!(target.stdout.is_empty(), "{}", shown(&target));
}

#[test]
fn without_judges_nothing_is_said_of_anybody() {
    let scene = Scene::new(mixed());
    scene.lab.set_host("127.0.0.3", HostPlan::down());
    let output = scene.check(&[]);
    assert_eq!(output.status.code(), Some(6));
    assert!(output.stdout.is_empty());
    assert_snapshot!(steady(&shown(&output)));
}

#[test]
fn bad_input_names_the_thing_the_place_and_the_fix() {
    let run = |words: &[&str]| {
        let output = proxywheel()
            .arg("check")
            .args(words)
            .output()
            .expect("runs");
        shown(&output)
    };
    assert_snapshot!(run(&["list.txt"]), @r"
    exit 2
    -- stderr
    error: check: there is nothing to ask the proxies for
    hint: name a judge with --judge URL (`proxywheel judge` serves one), or a target with --url URL
    ");
    assert_snapshot!(run(&["nowhere.txt", "--judge", "http://127.0.0.1:1/"]), @r"
    exit 3
    -- stderr
    error: cannot read nowhere.txt: No such file or directory (os error 2)
    hint: check the path
    ");
    assert_snapshot!(run(&["-x", "http://127.0.0.1:1", "--judge", "judge.example.com"]), @r"
    exit 2
    -- stderr
    error: --judge: not a URL: relative URL without a base
    hint: write it as http://host/ or https://host/path
    ");
    assert_snapshot!(run(&["-x", "http://127.0.0.1:1", "--judge", "http://127.0.0.1:1/", "--format", "xml"]), @r#"
    exit 2
    -- stderr
    error: --format: unknown value "xml"
    hint: the words are table, jsonl, csv, txt
    "#);
    let scene = Scene::new(Lab::builder().perfect(1));
    fs::write(scene.path("out.jsonl"), "{}\n").expect("written");
    assert_snapshot!(shown(&scene.check(&["-o", "out.jsonl"])), @r"
    exit 2
    -- stderr
    error: out.jsonl: the output exists already
    hint: use --overwrite, --resume, or another -o
    ");
    assert_snapshot!(shown(&scene.check(&["-o", "out.jsonl", "--resume"])), @r"
    exit 2
    -- stderr
    error: out.jsonl:1: not a row of a check
    hint: --resume goes on with a JSONL file of `check`; choose another -o, or --overwrite
    ");
    fs::write(scene.path("list.txt"), "# nothing\n").expect("written");
    assert_snapshot!(shown(&scene.check(&[])), @r"
    exit 2
    -- stderr
    error: list.txt: the proxy list is empty
    hint: write one proxy a line: host:port, host:port:user:password or scheme://user:password@host:port
    ");
}

#[test]
fn two_checks_do_not_write_one_file() {
    let scene = Scene::new(Lab::builder().proxies(
        20,
        ProxySpec::new(Scheme::Http).fault(Fault::HangAfterAccept),
    ));
    let mut first = scene
        .command(&["-o", "out.csv", "-j", "1"])
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    // The head is written once the file is its own.
    let file = scene.path("out.csv");
    until("the head", || {
        fs::read(&file).is_ok_and(|bytes| !bytes.is_empty())
    });
    let second = scene.check(&["-o", "out.csv", "--overwrite"]);
    first.kill().expect("killed");
    first.wait().expect("ended");
    assert_eq!(second.status.code(), Some(75), "{}", shown(&second));
}

#[test]
fn what_a_check_has_learned_is_where_the_next_fetch_begins() {
    let scene = Scene::new(mixed());
    let output = scene.check(&["--state", "state.db", "-q"]);
    assert!(output.status.success(), "{}", shown(&output));
    let known = || {
        let export = proxywheel()
            .current_dir(scene.folder.path())
            .args(["state", "export", "--state", "state.db"])
            .output()
            .expect("runs");
        let mut known = rows(&export.stdout);
        known.retain(|row| row["kind"] == "proxy");
        known
    };
    assert_eq!(known().len(), 7);
    let fetched = proxywheel()
        .current_dir(scene.folder.path())
        .args([
            "fetch",
            "--proxy-file",
            "list.txt",
            "--state",
            "state.db",
            "-q",
        ])
        .args((0..20).map(|n| format!("http://shop.test/page/{n}")))
        .output()
        .expect("runs");
    assert!(fetched.status.success(), "{}", shown(&fetched));
    for row in rows(&fetched.stdout) {
        assert_eq!(
            row["attempts"], 1,
            "no attempt met one that is dead or lies: {row}"
        );
    }
    // While nobody can say, nothing that is known changes.
    scene.lab.set_host("127.0.0.3", HostPlan::down());
    let output = scene.check(&["--state", "state.db", "-q"]);
    assert_eq!(output.status.code(), Some(6));
    let after = known();
    assert_eq!(after.len(), 7);
    let good = after.iter().filter(|row| row["ok"].as_u64() > Some(0));
    assert_eq!(good.count(), 3, "{after:?}");
}
