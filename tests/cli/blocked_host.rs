//! A host that challenges every exit: the run does not spend the pool on it, and says so.

use std::collections::BTreeMap;
use std::fs;

use proxywheel::lab::{BanStyle, Builder, Fault, HostPlan, Lab, ProxySpec};
use proxywheel::proxy::Scheme;
use serde_json::Value;

use crate::running::Rig;

const PROXIES: usize = 16;

/// Every exit gets a captcha from `wall.test`; the other hosts serve everybody.
fn lab() -> Builder {
    let wall = HostPlan {
        banned_percent: 100,
        banned_style: BanStyle::Captcha,
        ..HostPlan::default()
    };
    Lab::builder()
        .perfect(PROXIES as u32)
        .host("wall.test", wall)
}

fn pages(host: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("http://{host}/page/{number}"))
        .collect()
}

fn rows(rig: &Rig) -> Vec<Value> {
    let text = fs::read_to_string(rig.path("out.jsonl")).expect("records");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("every line parses"))
        .collect()
}

/// By host: how often each outcome.
fn outcomes(rows: &[Value]) -> BTreeMap<(&str, &str), usize> {
    let mut outcomes = BTreeMap::new();
    for row in rows {
        let url = row["url"].as_str().expect("a URL");
        let host = if url.contains("wall") {
            "wall"
        } else {
            "plain"
        };
        let outcome = row["outcome"].as_str().expect("an outcome");
        *outcomes.entry((host, outcome)).or_default() += 1;
    }
    outcomes
}

#[test]
fn the_only_host_is_given_up_after_some_exits_and_the_code_says_blocked() {
    let rig = Rig::new(lab(), &pages("wall.test", 80));
    let (code, said) = rig.run("-i urls.txt -o out.jsonl -j 8 --no-state --stats stats.json");
    assert_eq!(code, Some(8), "{said}");
    let rows = rows(&rig);
    assert_eq!(outcomes(&rows), [(("wall", "banned"), 80)].into());
    let stopped = rows
        .iter()
        .filter(|row| row["ban"]["rule"] == "host.blocks_client");
    let stopped = stopped.count();
    assert!(stopped > 40, "{stopped} were not asked for:\n{said}");
    assert!(rig.requests() < 40, "{} requests", rig.requests());
    let told = format!("given up, {stopped} not asked for");
    assert!(said.contains(&told), "{said}");
    let hint = "hint: http://wall.test refuses every exit, so nothing more was asked of it";
    assert!(said.contains(hint), "{said}");
    let stats = fs::read_to_string(rig.path("stats.json")).expect("written");
    let stats: Value = serde_json::from_str(&stats).expect("JSON");
    assert_eq!(stats["finish_reason"], "blocked");
    assert_eq!(stats["site/http://wall.test/not_asked"], stopped);
}

#[test]
fn a_host_that_is_given_up_does_not_hold_up_another() {
    let mut urls = pages("wall.test", 60);
    urls.extend(pages("plain.test", 60));
    let rig = Rig::new(lab(), &urls);
    let (code, said) = rig.run("-i urls.txt -o out.jsonl -j 8 --no-state");
    assert_eq!(code, Some(8), "{said}");
    let rows = rows(&rig);
    let expected = [(("plain", "ok"), 60), (("wall", "banned"), 60)];
    assert_eq!(outcomes(&rows), expected.into(), "{said}");
    let wall = rig.lab.stats().hosts["wall.test"].requests;
    assert!(wall < 40, "{wall} requests");

    // Whom a host serves is not told to go away because of the others.
    let some = HostPlan {
        banned_percent: 80,
        banned_style: BanStyle::Captcha,
        ..HostPlan::default()
    };
    let lab = Lab::builder()
        .perfect(PROXIES as u32)
        .host("wall.test", some);
    let rig = Rig::new(lab, &pages("wall.test", 60));
    let (code, said) = rig.run("-i urls.txt -o out.jsonl -j 8 --no-state");
    assert!(!said.contains("given up"), "{said}");
    assert!(matches!(code, Some(0 | 8)), "{said}");
    let served = outcomes(&self::rows(&rig)).get(&("wall", "ok")).copied();
    assert!(served > Some(40), "{served:?}: {said}");
}

#[test]
fn a_host_that_has_for_nobody_what_is_expected_is_given_up_instead_of_asked_until_the_bans_end() {
    let rig = Rig::new(
        Lab::builder()
            .perfect(PROXIES as u32)
            .proxies(8, ProxySpec::new(Scheme::Http).fault(Fault::Refuse)),
        &pages("shop.test", 60),
    );
    let (code, said) =
        rig.run("-i urls.txt -o out.jsonl -j 8 --no-state --expect-text nowhere-to-be-found");
    assert_eq!(code, Some(8), "{said}");
    assert_eq!(outcomes(&rows(&rig)), [(("plain", "banned"), 60)].into());
    assert!(rig.requests() < 60, "{} requests", rig.requests());
    assert!(said.contains("no answer passes --expect-text"), "{said}");
}
