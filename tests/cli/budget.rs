//! Money over sockets: the caps against the lab's own count of bytes, and what is left for `--resume`.

use std::collections::BTreeSet;
use std::fs;

use proxywheel::lab::{BanStyle, Errors, HostPlan, Lab};
use serde_json::Value;

use crate::proxywheel;
use crate::running::{Rig, Row};

/// In money for a byte.
const PRICE: f64 = 100e-9;

fn stats(rig: &Rig) -> Value {
    let text = fs::read_to_string(rig.path("stats.json")).expect("counters");
    serde_json::from_str(&text).expect("JSON")
}

fn carried(rig: &Rig) -> f64 {
    rig.lab.stats().proxy_total().bytes_wire as f64
}

/// Pages of 5 to 20 kB, half of them inside TLS.
fn urls(count: usize) -> Vec<String> {
    let page = |n: usize| {
        let scheme = if n.is_multiple_of(2) { "http" } else { "https" };
        let size = 5_000 + n * 7_919 % 15_000;
        format!("{scheme}://h{}.test/page/{n}?size={size}", n % 6)
    };
    (0..count).map(page).collect()
}

fn assert_near(found: f64, wanted: f64, share: f64, what: &str) {
    let off = (found / wanted - 1.0).abs();
    assert!(off <= share, "{what}: {found} for {wanted}");
}

#[test]
fn a_cap_of_one_stops_within_two_percent_and_the_same_command_goes_on() {
    let flaky = HostPlan {
        errors: Some(Errors {
            percent: 10,
            status: 500,
        }),
        ..HostPlan::default()
    };
    let builder = Lab::builder().seed(5).perfect(12).host("h3.test", flaky);
    let wanted = urls(1500);
    let rig = Rig::new(builder, &wanted);
    rig.write("ca.pem", rig.lab.ca_pem());
    let words = "-i urls.txt -o out.jsonl --no-state --cacert ca.pem --stats stats.json -j 16 --max-fail 100% --resume";

    let capped = format!("{words} --price 100/GB --max-cost 1.00");
    let (code, said) = rig.run(&capped);
    assert_eq!(code, Some(7), "{said}");
    assert_near(carried(&rig) * PRICE, 1.0, 0.02, "money spent");
    let counted = stats(&rig);
    let bytes = counted["bytes/proxy/total"].as_f64().expect("bytes");
    assert_near(bytes, carried(&rig), 0.01, "bytes in the ledger");
    let cost = |part: &str| counted[format!("cost/{part}")].as_f64().expect("money");
    assert_near(cost("total"), bytes * PRICE, 1e-6, "money in the ledger");
    let parts = cost("useful") + cost("retry") + cost("probe");
    assert_near(parts, cost("total"), 1e-6, "its parts");
    assert!(cost("retry") > 0.0 && cost("probe") > 0.0);
    assert_eq!(counted["finish_reason"], "max_cost");

    let first = rig.rows("out.jsonl");
    assert!(first.iter().all(|row| row.outcome != "skipped"), "{said}");
    let left = wanted.len() - first.len();
    assert!(left > 100, "{left} URLs are left");
    let told = counted["urls/left"].as_f64().expect("a count");
    assert_near(told, left as f64, 0.1, "URLs left");
    assert!(said.contains("--max-cost is reached"), "{said}");
    assert!(said.contains("--resume"), "{said}");

    let (code, said) = rig.run(&format!("{words} --price 100/GB"));
    assert_eq!(code, Some(0), "{said}");
    let rows = rig.rows("out.jsonl");
    let ids: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!((rows.len(), ids.len()), (wanted.len(), wanted.len()));
    let inputs: BTreeSet<&str> = rows.iter().map(|row: &Row| row.input.as_str()).collect();
    assert_eq!(inputs.len(), wanted.len());
}

#[test]
fn a_cap_on_money_without_a_price_is_a_mistake_that_is_named() {
    let rig = Rig::new(Lab::builder().perfect(1), &urls(1));
    let (code, said) = rig.run("-i urls.txt -o out.jsonl --no-state --max-cost 1");
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("--max-cost: no proxy of the list has a price"),
        "{said}"
    );
    assert!(
        said.contains("hint: ") && said.contains("--price 3.5/GB"),
        "{said}"
    );
    assert_eq!(rig.requests(), 0);
}

#[test]
fn a_deadline_and_a_cap_on_requests_end_with_seven() {
    let rig = Rig::new(Lab::builder().perfect(4), &urls(400));
    rig.write("ca.pem", rig.lab.ca_pem());
    let words = "-i urls.txt -o out.jsonl --no-state --cacert ca.pem --overwrite --no-hedge";
    let (code, said) = rig.run(&format!("{words} --max-requests 100"));
    assert_eq!(code, Some(7), "{said}");
    assert!(rig.lab.stats().proxy_total().requests <= 100, "{said}");
    assert!(said.contains("--max-requests is reached"), "{said}");
    let (code, said) = rig.run(&format!("{words} --host-rate 2/s --deadline 1s"));
    assert_eq!(code, Some(7), "{said}");
    assert!(said.contains("exit     7 deadline"), "{said}");
}

/// Proxies of the lower tier; there are as many of the other.
const CHEAP: usize = 30;

/// 600 pages of three sites, one of which bans so many percent of the cheap exits; `all.txt` has both tiers, `dear.txt` one.
fn two_tiers(percent: u8) -> Rig {
    let wall = HostPlan {
        banned_percent: percent,
        banned_below: Some(CHEAP as u32),
        banned_style: BanStyle::Captcha,
        ..HostPlan::default()
    };
    let builder = Lab::builder().seed(11).perfect(2 * CHEAP as u32);
    let pages: Vec<String> = (0..600)
        .map(|n| format!("http://s{}.test/page/{n}?size=8000", n % 3))
        .collect();
    let rig = Rig::new(builder.host("s1.test", wall), &pages);
    let list = rig.lab.proxy_list();
    let lines = list.lines().enumerate();
    let tiered = lines.map(|(n, line)| format!("{line} tier={}\n", u8::from(n >= CHEAP)));
    let lines: Vec<String> = tiered.collect();
    rig.write("all.txt", &lines.concat());
    rig.write("dear.txt", &lines[CHEAP..].concat());
    rig
}

/// Fetches all, and gives what the lab's own count of bytes costs.
fn spent(rig: &Rig, words: &str) -> f64 {
    let (cheap, dear) = (0.5e-9, 8e-9);
    let before = rig.lab.stats();
    let (code, said) = rig.run(&format!(
        "-i urls.txt -o out.jsonl --overwrite -j 16 --price tier:0=0.5/GB --price tier:1=8/GB --stats stats.json {words}"
    ));
    assert_eq!(code, Some(0), "{said}");
    let after = rig.lab.stats();
    let carried = |n: usize| after.proxies[n].bytes_wire - before.proxies[n].bytes_wire;
    let price = |n: usize| if n < CHEAP { cheap } else { dear };
    let money: f64 = (0..2 * CHEAP).map(|n| carried(n) as f64 * price(n)).sum();
    let told = stats(rig)["cost/total"].as_f64().expect("money");
    assert_near(told, money, 0.01, "the ledger");
    money
}

#[test]
fn tiers_finish_the_job_for_a_part_of_what_the_expensive_one_takes() {
    for percent in [70, 100] {
        let rig = two_tiers(percent);
        let tiered = spent(&rig, "--proxy-file all.txt --no-state");
        let dear = spent(&rig, "--proxy-file dear.txt --no-state");
        assert!(tiered <= 0.6 * dear, "{percent} %: {tiered} of {dear}");
    }
}

#[test]
fn what_bans_have_shown_of_a_host_is_remembered_and_told() {
    let rig = two_tiers(100);
    let banned = || rig.lab.stats().hosts["s1.test"].banned;
    spent(&rig, "--proxy-file all.txt --state state.db");
    let first = banned();
    assert!(first >= 4, "{first} bans have shown it");
    spent(&rig, "--proxy-file all.txt --state state.db");
    let second = banned() - first;
    assert!(second <= 2, "{second} bans again");

    let mut explain = proxywheel();
    explain.current_dir(rig.directory.path());
    let told = explain.args(["explain", "host", "s1.test", "--state", "state.db"]);
    let told = told.output().expect("runs");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("tier      1 "), "{told}");
    assert!(
        told.contains("in a row of the tier below had been banned"),
        "{told}"
    );
}
