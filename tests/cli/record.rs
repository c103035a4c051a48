//! A run is recorded as it decides, and played again with other strategies.

use std::fs;

use proxywheel::lab::{BanRule, BanStyle, Fault, HostPlan, Lab, ProxySpec};
use proxywheel::proxy::Scheme;
use serde_json::Value;

use crate::running::{Rig, urls};
use crate::{proxywheel, shown};

const URLS: u64 = 240;

/// Sixteen proxies of which four refuse, with credentials, and a site that bans.
fn rig() -> Rig {
    let good = ProxySpec::new(Scheme::Http).credentials("user", "canary-s3cret");
    let plan = HostPlan {
        ban: Some(BanRule {
            requests: 6,
            window_ms: 60_000,
            lasts_ms: 60_000,
            style: BanStyle::Forbidden,
        }),
        ..HostPlan::default()
    };
    let builder = Lab::builder()
        .proxies(12, good.clone())
        .proxies(4, good.fault(Fault::Refuse))
        .host("site1.test", plan);
    Rig::new(builder, &urls(URLS as usize, "/page/"))
}

fn replay(rig: &Rig, words: &str) -> (String, String) {
    let output = proxywheel()
        .current_dir(rig.directory.path())
        .args(["lab", "replay"])
        .args(words.split(' '))
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", shown(&output));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (text(output.stdout), text(output.stderr))
}

#[test]
fn a_record_adds_up_to_the_run_and_its_replay_to_the_record() {
    let rig = rig();
    let words = "-i urls.txt -o out.jsonl --no-state -j 8 --record run.jsonl --seed 5";
    let (code, said) = rig.run(words);
    assert!(matches!(code, Some(0 | 4 | 8)), "{said}");
    let text = fs::read_to_string(rig.path("run.jsonl")).expect("a record");
    assert!(!text.contains("canary-s3cret") && !text.contains("/page/"));
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count() as u64;
    let (head, end) = (&lines[0], &lines[lines.len() - 1]);
    assert_eq!((&head["kind"], &head["seed"]), (&"run".into(), &5.into()));
    assert_eq!(end["kind"], "end");
    assert_eq!((end["urls"].as_u64(), of("proxy")), (Some(URLS), 16));
    assert_eq!(end["attempts"].as_u64(), Some(of("attempt")));
    assert_eq!(end["probes"].as_u64(), Some(of("probe")));
    let rows = fs::read_to_string(rig.path("out.jsonl")).expect("rows");
    let rows: Vec<Value> = rows
        .lines()
        .map(|row| serde_json::from_str(row).expect("JSON"))
        .collect();
    let attempts: u64 = rows.iter().filter_map(|row| row["attempts"].as_u64()).sum();
    assert_eq!(attempts, of("attempt"));
    let ok = rows.iter().filter(|row| row["ok"] == true).count() as u64;
    assert_eq!(end["ok"].as_u64(), Some(ok));

    let output = proxywheel()
        .current_dir(rig.directory.path())
        .args(["explain", "site1.test", "--from", "run.jsonl"])
        .output()
        .expect("runs");
    let told = shown(&output);
    for part in [
        "host site1.test\n  in run.jsonl: ",
        " banned",
        "; kept from the host for ",
    ] {
        assert!(output.status.success() && told.contains(part), "{told}");
    }

    let words = "run.jsonl --rotate random --rotate round-robin";
    let (table, said) = replay(&rig, words);
    assert_eq!(
        table,
        replay(&rig, words).0,
        "the same seed, the same table"
    );
    let names: Vec<&str> = table
        .lines()
        .skip(1)
        .map(|line| line[..22].trim_end())
        .collect();
    assert_eq!(
        names,
        [
            "recorded best",
            "model best",
            "model random",
            "model round-robin"
        ]
    );
    for line in table.lines().skip(1) {
        let numbers: Vec<u64> = line[22..]
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        let [pages, lost, attempts, waste, refused, _probes] = numbers[..] else {
            panic!("{line}");
        };
        assert_eq!(pages + lost, URLS, "{line}");
        assert_eq!(pages + waste, attempts, "{line}");
        assert!(refused <= waste, "{line}");
        if line.starts_with("recorded") {
            assert_eq!((pages, attempts), (ok, of("attempt")), "{line}");
        }
    }
    for part in [
        "of 16 proxies were asked, 12 have served",
        "http://site1.test bans a proxy",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn what_is_no_record_is_not_replayed_and_a_torn_one_is() {
    let rig = rig();
    let words = "-i urls.txt -o out.jsonl --no-state -j 8 --record run.jsonl";
    rig.run(words);
    let text = fs::read_to_string(rig.path("run.jsonl")).expect("a record");
    rig.write("torn.jsonl", &text[..text.len() * 2 / 3]);
    let (_, said) = replay(&rig, "torn.jsonl");
    assert!(said.contains("the record breaks off after"), "{said}");
    for (file, complaint) in [
        ("urls.txt", "urls.txt:1: "),
        ("out.jsonl", "out.jsonl:1: "),
        ("none.jsonl", "cannot read none.jsonl"),
    ] {
        let output = proxywheel()
            .current_dir(rig.directory.path())
            .args(["lab", "replay", file])
            .output()
            .expect("runs");
        let told = shown(&output);
        assert!(
            told.contains(complaint) && !output.status.success(),
            "{told}"
        );
    }
    let (code, said) = rig.run("-i urls.txt -o same.jsonl --no-state --record same.jsonl");
    assert!(
        code == Some(2) && said.contains("need a file each"),
        "{said}"
    );
}
