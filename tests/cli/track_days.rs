//! Ten days of a job: what the history has afterwards is what was true, and nothing else.

use std::collections::BTreeMap;

use proxywheel::lab::{Asked, Shown};
use serde_json::Value;

use crate::track_engine::Scene;

const QUERIES: u32 = 50;
const COUNTRIES: [&str; 2] = ["de", "us"];
const DAYS: u32 = 10;
/// On this day the engine answers nobody.
const DOWN: u32 = 6;
/// The pages of this query are blocked for everybody on [`STUCK_DAY`].
const STUCK: u32 = 7;
const STUCK_DAY: u32 = 4;

const JOB: &str = r#"
kind = "rank"
url = "http://engine.test/search?q={query}&cc={country}&page={page}"

[matrix]
query = { file = "keywords.txt" }
country = ["de", "us"]

[pages]
most = 3

[extract]
profile = "engine.toml"

[[target]]
name = "me"
host = "me.test"

[fetch]
proxy-file = ["proxies.txt"]
concurrency = 32
retry = 12
max-proxies-per-url = 12

[[alert]]
when = "leaves_top"
top = 10
command = ["sh", "-c", "cat >> alerts.jsonl"]

[[alert]]
when = "moved"
by = 5
match = { country = "de" }
command = ["sh", "-c", "cat >> alerts.jsonl"]

[[alert]]
when = "lost"
runs = 2
command = ["sh", "-c", "cat >> alerts.jsonl"]
"#;

/// A number by chance that is the same every time.
fn dice(a: u32, b: u32, c: u32) -> u32 {
    let mut x = a.wrapping_mul(0x9E37_79B9) ^ b.wrapping_mul(0x85EB_CA6B) ^ c.wrapping_mul(0xC2B2_AE35);
    for _ in 0..3 {
        x ^= x >> 15;
        x = x.wrapping_mul(0x2C1B_3C6D);
    }
    x ^ (x >> 13)
}

/// Every query has its place, which moves on some days; some queries are nowhere for a while.
fn truth(query: u32, country: &str, day: u32) -> Option<u32> {
    let country = u32::from(country == "us");
    let series = query * 2 + country;
    let mut place = 1 + dice(series, 0, 1) % 28;
    for day in 1..=day {
        match dice(series, day, 2) % 8 {
            0 => place = 1 + dice(series, day, 3) % 28,
            1 => place = (place + 1).min(30),
            _ => {}
        }
    }
    let gone = dice(series, 0, 4) % 10 == 0 && (3..6).contains(&day);
    (!gone).then_some(place)
}

/// One page in five, another one for each proxy, is refused in one of four ways.
fn obstacle(asked: &Asked, query: u32, day: u32) -> Option<Shown> {
    let page = asked.path.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let roll = dice(page, asked.proxy.unwrap_or(0), day);
    let is_stuck = (query, day) == (STUCK, STUCK_DAY);
    if day != DOWN && !is_stuck && roll % 5 != 0 {
        return None;
    }
    Some(match (roll / 5) % 4 {
        0 => Shown::html(403, "<html><head><title>Just a moment...</title></head><body><script src=\"/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1\"></script></body></html>")
            .header("cf-mitigated", "challenge"),
        1 => Shown::html(429, "<html><head><title>Too Many Requests</title></head><body>Too many requests</body></html>"),
        2 => Shown::html(200, "<html><head><title>Are you a robot?</title></head><body><div class=\"g-recaptcha\" data-sitekey=\"x\"></div><p>unusual traffic from your computer network</p></body></html>"),
        // A shell that wants scripts: a good answer without results, and without the word that there are none.
        _ => Shown::html(200, format!("<html><head><title>Engine</title></head><body><noscript>Please enable JavaScript</noscript>{}</body></html>", "<script>1</script>".repeat(50))),
    })
}

#[test]
fn the_history_of_ten_days_has_every_true_move_and_no_false_one() {
    let scene = Scene::new(40, truth, obstacle);
    scene.write("serp.toml", JOB);
    let keywords: Vec<String> = (0..QUERIES).map(|n| format!("keyword {n}")).collect();
    scene.write("keywords.txt", &keywords.join("\n"));
    for day in 0..DAYS {
        scene.set_day(day);
        let output = scene
            .track("run serp.toml --state state.db --progress none", i64::from(day) * 24)
            .output()
            .expect("the program");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        eprintln!("day {day}: {said}");
        let code = output.status.code();
        let is_bad = day == DOWN || day == STUCK_DAY;
        assert_eq!(code == Some(0), !is_bad, "day {day}: {code:?} {said}");
    }
    let output = scene
        .track("history serp --state state.db --format jsonl", 24 * i64::from(DAYS))
        .output()
        .expect("the program");
    let rows: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let mut seen: BTreeMap<(u32, String), Vec<(u32, Value)>> = BTreeMap::new();
    assert_eq!(rows.len() as u32, QUERIES * 2 * DAYS, "one observation a day");
    eprintln!("{}", rows[0]);
    panic!("{seen:?}");
}
