//! Money over sockets: the caps against the lab's own count of bytes, and what is left for `--resume`.

use std::collections::BTreeSet;
use std::fs;

use proxywheel::lab::{BanStyle, Errors, HostPlan, Lab};
use serde_json::Value;

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

/// Fetches from three sites, one of which bans most of the cheap exits; what the lab's own count of bytes costs.
fn spent(words: &str, cheap: f64, dear: f64) -> (f64, String) {
    const CHEAP: u32 = 30;
    let wall = HostPlan {
        banned_percent: 70,
        banned_style: BanStyle::Captcha,
        ..HostPlan::default()
    };
    let builder = Lab::builder().seed(11).perfect(2 * CHEAP);
    let pages: Vec<String> = (0..600)
        .map(|n| format!("http://s{}.test/page/{n}?size=8000", n % 3))
        .collect();
    let rig = Rig::new(builder.host("s1.test", wall), &pages);
    let list = rig.lab.proxy_list();
    let tiered =
        |(n, line): (usize, &str)| format!("{line} tier={}\n", u8::from(n >= CHEAP as usize));
    let lines = list.lines().enumerate().map(tiered);
    let lines: Vec<String> = lines.collect();
    rig.write("all.txt", &lines.concat());
    rig.write("dear.txt", &lines[CHEAP as usize..].concat());
    let (code, said) = rig.run(&format!(
        "-i urls.txt -o out.jsonl -j 16 --price tier:0={cheap}/GB --price tier:1={dear}/GB --stats stats.json {words}"
    ));
    assert_eq!(code, Some(0), "{said}");
    let proxies = rig.lab.stats().proxies;
    let bytes = |from: usize, to: usize| {
        let carried = proxies[from..to].iter().map(|proxy| proxy.bytes_wire);
        carried.sum::<u64>() as f64 * 1e-9
    };
    let money = bytes(0, 30) * cheap + bytes(30, 60) * dear;
    let told = stats(&rig)["cost/total"].as_f64().expect("money");
    assert_near(told, money, 0.01, "the ledger");
    (money, said)
}

#[test]
fn tiers_finish_the_job_for_a_part_of_what_the_expensive_one_takes() {
    let (tiered, said) = spent("--proxy-file all.txt --no-state", 0.5, 8.0);
    let (dear, _) = spent("--proxy-file dear.txt --no-state", 0.5, 8.0);
    assert!(tiered <= 0.6 * dear, "{tiered} of {dear}: {said}");
}
