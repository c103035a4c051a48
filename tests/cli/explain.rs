//! What was decided, told so that nobody has to know how it is decided.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use insta::assert_snapshot;
use proxywheel::lab::{Fault, Lab, ProxySpec};
use proxywheel::proxy::Scheme;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::running::Rig;
use crate::{proxywheel, shown};

const MINUTE: i64 = 60_000;

/// Times, the addresses of a lab and whatever takes a while: they differ from run to run.
const FILTERS: [(&str, &str); 6] = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "[time]"),
    (r"127\.\d+\.\d+\.\d+:\d+#[0-9a-f]+", "[proxy]"),
    (r"127\.\d+\.\d+\.\d+:\d+", "[proxy]"),
    (r"\d+ ms", "[ms]"),
    (r"/page/\d+", "/page/N"),
    (r"\(row \d+\)", "(row N)"),
];

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).expect("a time")
}

/// A directory with a state that knows four proxies and two hosts.
fn remembered() -> TempDir {
    let now = now();
    let proxy = |id: u64, more: Value| {
        let mut row = json!({
            "kind": "proxy", "id": format!("{id:016x}"), "label": format!("http://10.0.0.{id}:8080#00000{id}"), "open": true,
            "successes": 18.0, "failures": 1.0, "latency": 0.42, "base": 0.4, "capacity": 3.0, "ok": 42, "tampered": 0,
            "level": 0, "unreached": 0, "condemned": false, "no_tunnel": false, "no_forward": false,
            "served": now - 5 * MINUTE, "observed": now - 4 * MINUTE, "seen": now,
        });
        for (key, value) in more.as_object().expect("an object") {
            row[key] = value.clone();
        }
        row
    };
    let pair = |id: u64, host: &str, level: u8, until: i64| {
        json!({
            "kind": "pair", "proxy": format!("{id:016x}"), "host": host, "level": level, "until": until,
            "expires": until + 60 * MINUTE, "observed": now - 4 * MINUTE,
        })
    };
    let lines = [
        json!({"kind": "state", "v": 1, "salt": "5a".repeat(32)}),
        proxy(1, json!({})),
        proxy(2, json!({})),
        proxy(
            3,
            json!({
                "successes": 2.0, "failures": 9.0, "ok": 7, "level": 2, "rests": now + 12 * MINUTE + 500,
                "served": now - 180 * MINUTE, "no_tunnel": true,
            }),
        ),
        proxy(
            4,
            json!({"successes": 0.0, "ok": 0, "served": null, "latency": 0.0, "unreached": 2}),
        ),
        pair(2, "https://shop.test", 2, now + 10 * MINUTE + 500),
        pair(3, "https://shop.test", 0, now - 2 * MINUTE),
        json!({
            "kind": "host", "host": "https://shop.test", "level": 3, "until": now + 4 * MINUTE + 500, "observed": now,
        }),
        json!({
            "kind": "limit", "host": "https://shop.test", "window": 60.0, "uses": 30, "rate": 12.25,
            "observed": now - 5 * MINUTE,
        }),
    ];
    let directory = tempfile::tempdir().expect("a directory");
    let lines = lines.map(|line| line.to_string()).join("\n");
    fs::write(directory.path().join("export.jsonl"), lines).expect("written");
    let import = "state import export.jsonl --state state.db";
    let output = proxywheel()
        .current_dir(directory.path())
        .args(import.split(' '))
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", shown(&output));
    directory
}

fn explain(directory: &std::path::Path, words: &str) -> String {
    let output = proxywheel()
        .current_dir(directory)
        .arg("explain")
        .args(words.split(' '))
        .output()
        .expect("runs");
    shown(&output)
}

#[test]
fn a_healthy_proxy_a_banned_pair_one_in_quarantine_and_a_stopped_host() {
    let directory = remembered();
    let told = |what: &str| explain(directory.path(), &format!("{what} --state state.db"));
    insta::with_settings!({filters => FILTERS}, {
        assert_snapshot!("healthy_proxy", told("10.0.0.1:8080"));
        assert_snapshot!("banned_pair", told("http://10.0.0.2:8080#000002"));
        assert_snapshot!("quarantined_proxy", told("http://10.0.0.3:8080"));
        assert_snapshot!("never_reached_proxy", told("#000004"));
        assert_snapshot!("stopped_host", told("shop.test"));
        assert_snapshot!("unknown_name", told("http://user:canary-s3cret@nowhere.test:80"));
    });
    for what in ["https://shop.test", "https://shop.test/page/7"] {
        assert_eq!(told(what), told("shop.test"), "{what}");
    }
}

#[test]
fn a_url_is_told_attempt_by_attempt_from_the_results_of_its_fetch() {
    let banned = ProxySpec::new(Scheme::Http).fault(Fault::Reset);
    let builder = Lab::builder().proxies(1, banned).perfect(1);
    let pages: Vec<_> = (0..12)
        .map(|n| format!("http://site.test/page/{n}"))
        .collect();
    let rig = Rig::new(builder, &pages);
    let (code, said) =
        rig.run("-i urls.txt -o out.jsonl --attempts full --no-state -j 1 --rotate round-robin");
    assert_eq!(code, Some(0), "{said}");
    let rows = fs::read_to_string(rig.path("out.jsonl")).expect("rows");
    let retried = rows.lines().find(|row| row.contains("\"attempts\":2"));
    let row: Value = serde_json::from_str(retried.expect("a retry")).expect("JSON");
    let url = row["input"].as_str().expect("a URL");
    let told = explain(rig.directory.path(), &format!("{url} --from out.jsonl"));
    insta::with_settings!({filters => FILTERS}, {
        assert_snapshot!("url", told);
    });
    let bad = row["attempt_log"][0]["proxy"].as_str().expect("a label");
    let told = explain(rig.directory.path(), &format!("{bad} --from out.jsonl"));
    assert!(
        told.starts_with("exit 0") && told.contains("1 attempt through 1 proxy"),
        "{told}"
    );
    let (_, _) = rig.run("-i urls.txt -o short.jsonl --no-state");
    let told = explain(rig.directory.path(), &format!("{url} --from short.jsonl"));
    assert!(
        told.starts_with("exit 0") && told.contains("with fetch --attempts full"),
        "{told}"
    );
    let unseen = "http://site.test/page/99";
    let told = explain(rig.directory.path(), &format!("{unseen} --from out.jsonl"));
    let first = format!("url {unseen}: out.jsonl has no row of it; of its host:");
    let host = "\n\nhost http://site.test\n";
    assert!(told.contains(&first) && told.contains(host), "{told}");
    let told = explain(rig.directory.path(), "http://site.test/page/99 -i urls.txt");
    assert!(
        told.contains("exit 2") && told.contains("urls.txt:1: no row of a fetch"),
        "{told}"
    );
}

#[test]
fn with_why_each_decision_to_ask_about_has_a_line() {
    let banned = ProxySpec::new(Scheme::Http).fault(Fault::BanAfter {
        requests: 3,
        window_ms: 60_000,
    });
    let builder = Lab::builder().proxies(1, banned).perfect(1);
    let pages: Vec<_> = (0..20)
        .map(|n| format!("http://site.test/page/{n}"))
        .collect();
    let rig = Rig::new(builder, &pages);
    let words = "-i urls.txt -o out.jsonl --no-state -j 1 --rotate round-robin";
    let (code, said) = rig.run(&format!("{words} --why"));
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("attempt 1"))
        .collect();
    let [line] = lines[..] else {
        panic!("not one line of a failed attempt: {said}");
    };
    for part in [
        " s  http://site.test/page/",
        " through http://127.",
        ": banned 403 (rule ",
        "it saw: ",
        "; again at once, through another proxy if there is one",
        "; this proxy is kept from http://site.test for ",
    ] {
        assert!(line.contains(part), "{part:?} is not in {line}");
    }
    let attempts = |said: &str| said.matches(", attempt ").count();
    let (_, quiet) = rig.run(&format!("{words} --overwrite"));
    assert_eq!(attempts(&quiet), 0, "{quiet}");
    let (_, changes) = rig.run(&format!("{words} --overwrite -v"));
    assert_eq!(attempts(&changes), 1, "{changes}");
    let (_, all) = rig.run(&format!("{words} --overwrite -vv"));
    assert_eq!(attempts(&all), 21, "{all}");
    assert!(all.contains("probe of http://127."), "{all}");
}
