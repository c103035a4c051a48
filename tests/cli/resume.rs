//! What an output holds is left out of the next run and nothing else is, after `kill -9` at any moment too.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proxywheel::lab::{Lab, ProxySpec};
use proxywheel::proxy::Scheme;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::running::{Rig, Running, urls};

const URLS: usize = 200;

/// Kills of one job before it is left to finish.
const KILLS_OF_A_JOB: u32 = 5;

fn seed() -> u64 {
    match std::env::var("PROXYWHEEL_TEST_SEED") {
        Ok(text) => text.parse().expect("PROXYWHEEL_TEST_SEED is a number"),
        Err(_) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |since| since.as_secs()),
    }
}

/// Kills runs `kills` times in all, resumes each time, and looks at every output that comes of it.
#[expect(clippy::print_stderr, reason = "the seed of a failure has to be seen")]
fn survives(output: &str, kills: u32) {
    let seed = seed();
    eprintln!("PROXYWHEEL_TEST_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let slow =
        ProxySpec::new(Scheme::Http).latency(Duration::from_millis(5), Duration::from_millis(40));
    // Bodies of several pages of memory make for writes that a kill can tear.
    let wanted: Vec<String> = urls(URLS, "/page/")
        .into_iter()
        .map(|url| format!("{url}?size=9000"))
        .collect();
    let rig = Rig::new(Lab::builder().seed(seed).proxies(6, slow), &wanted);
    let run = |mode: &str| {
        let words = format!("-i urls.txt -o {output} -j 8 --body inline {mode}");
        Running::start(&mut rig.fetch(&words))
    };
    let started = Instant::now();
    let mut whole = run("--overwrite");
    assert_eq!(whole.wait().code(), Some(0), "{}", whole.said());
    let length = started.elapsed();

    let mut killed = 0;
    let mut jobs = 0;
    while killed < kills {
        jobs += 1;
        assert!(
            jobs < kills * 3,
            "seed {seed}: runs end before they can be killed"
        );
        let mut mode = "--overwrite";
        for _ in 0..KILLS_OF_A_JOB.min(kills - killed) {
            let mut running = run(mode);
            std::thread::sleep(length.mul_f64(rng.random_range(0.0..0.4)));
            if !running.kill() {
                let code = running.wait().code();
                assert_eq!(code, Some(0), "seed {seed}: {}", running.said());
                break;
            }
            killed += 1;
            mode = "--resume";
        }
        let mut last = run("--resume");
        assert_eq!(last.wait().code(), Some(0), "seed {seed}: {}", last.said());

        let rows = rig.rows(output);
        assert_eq!(
            rows.len(),
            wanted.len(),
            "seed {seed}: a row for every input"
        );
        let ids: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids.len(), rows.len(), "seed {seed}: no id twice");
        let inputs: BTreeSet<&str> = rows.iter().map(|row| row.input.as_str()).collect();
        let all: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        assert_eq!(inputs, all, "seed {seed}");
        for row in &rows {
            assert_eq!(row.outcome, "ok", "seed {seed}: {row:?}");
            assert_eq!(row.body.len(), 9000, "seed {seed}: {}", row.input);
            let path = row.input.split(".test").nth(1).expect("a path");
            let path = path.split('?').next().expect("a path");
            assert!(row.body.contains(path), "seed {seed}: {}", row.input);
        }
    }
}

#[test]
fn what_was_there_counts_for_the_exit_code_and_the_summary() {
    let wanted = urls(10, "/page/");
    let mut missing = urls(4, "/status/404/");
    missing.extend(wanted.clone());
    let rig = Rig::new(Lab::builder().perfect(2), &missing);
    rig.write("half.txt", &missing[..7].join("\n"));
    let (code, said) = rig.run("-i half.txt -o out.jsonl");
    assert_eq!(code, Some(4), "{said}");
    let (code, said) = rig.run("-i urls.txt -o out.jsonl --resume");
    assert_eq!(code, Some(4), "four of all have failed: {said}");
    assert!(
        said.contains("7 ok, 0 failed (7 rows were there: 3 ok)"),
        "{said}"
    );
    let (code, said) = rig.run("-i urls.txt -o out.jsonl --resume --max-fail 30%");
    assert_eq!(code, Some(0), "four of fourteen: {said}");
    let (code, said) = rig.run("-i urls.txt -o out.jsonl --resume --retry-failed");
    assert_eq!(code, Some(4), "not all of them: {said}");
    assert!(said.contains("(10 rows were there: 10 ok)"), "{said}");
}

#[test]
fn failures_that_are_not_fetched_again_stay_and_count() {
    let mut wanted = urls(4, "/status/404/");
    wanted.extend(urls(6, "/page/"));
    let rig = Rig::new(Lab::builder().perfect(2), &wanted);
    rig.write("part.txt", &wanted[..2].join("\n"));
    rig.write("empty.txt", "");
    rig.run("-i urls.txt -o out.jsonl");
    for (again, asked) in [
        ("-i empty.txt", 0),
        ("-i part.txt", 2),
        ("-i urls.txt --max-requests 1", 1),
    ] {
        let before = rig.requests();
        let (code, said) = rig.run(&format!("{again} -o out.jsonl --resume --retry-failed"));
        assert!(rig.requests() - before >= asked, "{again}: {said}");
        let rows = rig.rows("out.jsonl");
        let failed = rows.iter().filter(|row| row.outcome == "http_error");
        assert_eq!((rows.len(), failed.count()), (10, 4), "{again}: {said}");
        assert_eq!(
            code,
            Some(if asked == 1 { 7 } else { 4 }),
            "{again}: {said}"
        );
    }
}

#[test]
fn thirty_kills_of_a_jsonl_run() {
    survives("out.jsonl", 30);
}

#[test]
fn ten_kills_of_a_csv_run() {
    survives("out.csv", 10);
}

#[test]
fn ten_kills_of_a_json_run() {
    survives("out.json", 10);
}

#[test]
fn rows_that_differ_in_their_tag_alone_are_gone_on_with_each_for_itself() {
    let rig = Rig::new(Lab::builder().perfect(2), &[]);
    let page = &urls(1, "/page/")[0];
    let names = ["alice", "bob", "carol"];
    let list: String = names.map(|name| format!("{page},{name}\n")).concat();
    rig.write("accounts.csv", &format!("url,account\n{list}"));
    let fetch = "-i accounts.csv -o out.jsonl --sticky tag:account";
    let (code, said) = rig.run(fetch);
    assert_eq!(code, Some(0), "{said}");

    // The page of the first account could not be had.
    let output = std::fs::read_to_string(rig.path("out.jsonl")).expect("output");
    let fail = |line: &str| match line.contains("alice") {
        true => line.replace(r#""outcome":"ok""#, r#""outcome":"timeout""#) + "\n",
        false => format!("{line}\n"),
    };
    rig.write("out.jsonl", &output.lines().map(fail).collect::<String>());
    let (code, said) = rig.run(&format!("{fetch} --resume --retry-failed"));
    assert_eq!(code, Some(0), "{said}");

    let output = std::fs::read_to_string(rig.path("out.jsonl")).expect("output");
    assert_eq!(output.lines().count(), names.len(), "{output}");
    for name in names {
        let tag = format!(r#""account":"{name}""#);
        assert_eq!(output.matches(&tag).count(), 1, "{name}: {output}");
    }
}
