//! The cases: what runs beside what, and the bound each ratio is held to.

use std::net::SocketAddr;
use std::path::Path;

use crate::bare;
use crate::common::measure::{self, Cost};
use crate::plan::{Plan, SITE, path};
use crate::serve::Served;

/// Paired runs of each case; the medians count. On a virtual machine one run differs from the next by a third.
const RUNS: usize = 15;

struct Case {
    name: &'static str,
    proxies: u32,
    urls: u64,
    https: bool,
    /// Extra flags of `fetch`.
    flags: &'static [&'static str],
    fetches_per_turn: u32,
    fetches_per_connection: u32,
    /// Largest allowed ratio of CPU per fetch, ours over the loop's.
    ratio: f64,
    /// Largest allowed peak resident size, megabytes.
    peak_mb: u64,
}

const CASES: &[Case] = &[
    Case {
        name: "http, 100 proxies",
        proxies: 100,
        urls: 20_000,
        https: false,
        flags: &[],
        fetches_per_turn: 1,
        fetches_per_connection: u32::MAX,
        ratio: 1.6,
        peak_mb: 60,
    },
    Case {
        name: "https through CONNECT, 100 proxies",
        proxies: 100,
        urls: 20_000,
        https: true,
        flags: &[],
        fetches_per_turn: 1,
        fetches_per_connection: u32::MAX,
        ratio: 1.8,
        peak_mb: 60,
    },
    Case {
        name: "http, 10,000 proxies, round-robin",
        proxies: 10_000,
        urls: 20_000,
        https: false,
        flags: &["--rotate", "round-robin"],
        fetches_per_turn: 2,
        fetches_per_connection: 2,
        ratio: 2.5,
        peak_mb: 120,
    },
];

/// `--rotate best` over 10,000 proxies against our own figure over 100.
const LARGE_POOL_RATIO: f64 = 1.3;

/// Runs the cases whose name contains `filter`; `full` measures, else a small version only checks the answers.
pub(crate) fn all(full: bool, filter: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut small_pool = None;
    let mut failed = Vec::new();
    for case in CASES.iter().filter(|case| case.name.contains(filter)) {
        let figures = paired(case, full, folder.path());
        if case.name.starts_with("http, 100 ") {
            small_pool = Some(figures.ours);
        }
        report(case, &figures, full, &mut failed);
    }
    let large = Case {
        name: "http, 10,000 proxies, best",
        proxies: 10_000,
        ratio: LARGE_POOL_RATIO,
        peak_mb: 120,
        ..CASES[0]
    };
    if large.name.contains(filter) {
        let served = Served::start(scaled(large.proxies, full), folder.path());
        let ours = median(&large, full, |run| {
            fetch(&large, full, &served, folder.path(), run)
        });
        let small = small_pool.unwrap_or(ours);
        let figures = Figures { bare: small, ours };
        report(&large, &figures, full, &mut failed);
    }
    assert!(failed.is_empty(), "above the bound: {}", failed.join("; "));
    println!("engine: every body was the right one");
}

#[derive(Clone, Copy)]
struct Figures {
    bare: Median,
    ours: Median,
}

#[derive(Clone, Copy)]
struct Median {
    cpu_us: f64,
    wall_us: f64,
    peak_mb: u64,
}

fn scaled(count: u32, full: bool) -> u32 {
    if full { count } else { count.min(200) }
}

fn urls(case: &Case, full: bool) -> u64 {
    if full { case.urls } else { 400 }
}

fn paired(case: &Case, full: bool, folder: &Path) -> Figures {
    let served = Served::start(scaled(case.proxies, full), folder);
    let mut bare_costs = Vec::new();
    let mut our_costs = Vec::new();
    for run in 0..if full { RUNS } else { 1 } {
        bare_costs.push(bare_run(case, full, &served));
        our_costs.push(fetch(case, full, &served, folder, run));
    }
    let count = urls(case, full) as f64;
    Figures {
        bare: median_of(&bare_costs, count),
        ours: median_of(&our_costs, count),
    }
}

fn median(case: &Case, full: bool, mut each: impl FnMut(usize) -> Cost) -> Median {
    let costs: Vec<Cost> = (0..if full { RUNS } else { 1 }).map(&mut each).collect();
    median_of(&costs, urls(case, full) as f64)
}

fn median_of(costs: &[Cost], count: f64) -> Median {
    let middle = |value: fn(&Cost) -> u64| {
        let mut values: Vec<u64> = costs.iter().map(value).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    Median {
        cpu_us: middle(|cost| cost.cpu_us) as f64 / count,
        wall_us: middle(|cost| cost.wall_us) as f64 / count,
        peak_mb: costs.iter().map(|cost| cost.peak_kb).max().unwrap_or(0) / 1024,
    }
}

fn report(case: &Case, figures: &Figures, full: bool, failed: &mut Vec<String>) {
    if !full {
        println!("{}: answers are right", case.name);
        return;
    }
    let ratio = figures.ours.cpu_us / figures.bare.cpu_us;
    println!(
        "{}: {:.1} µs CPU per fetch beside {:.1}: ratio {ratio:.2} (bound {}); wall {:.1} µs beside {:.1}; \
         peak {} MB (bound {})",
        case.name,
        figures.ours.cpu_us,
        figures.bare.cpu_us,
        case.ratio,
        figures.ours.wall_us,
        figures.bare.wall_us,
        figures.ours.peak_mb,
        case.peak_mb,
    );
    if ratio > case.ratio || figures.ours.peak_mb > case.peak_mb {
        failed.push(case.name.to_owned());
    }
}

/// One run of the bare loop as a process of its own.
fn bare_run(case: &Case, full: bool, served: &Served) -> Cost {
    let me = std::env::current_exe().expect("this program");
    let mut command = vec![me.to_string_lossy().into_owned(), "bare".into()];
    command.push(served.list.to_string_lossy().into_owned());
    command.push(urls(case, full).to_string());
    command.push(case.fetches_per_turn.to_string());
    command.push(case.fetches_per_connection.to_string());
    if case.https {
        command.push(served.ca.to_string_lossy().into_owned());
    }
    let cost = measure::run(&command, None);
    assert_eq!(cost.code, 0, "the bare loop got a wrong body");
    cost
}

/// `bare LIST URLS TURN CONNECTION [CA]`: exits 0 when every body was right.
pub(crate) fn bare_child(mut arguments: impl Iterator<Item = String>) {
    let mut next = || arguments.next().expect("an argument");
    let list = std::fs::read_to_string(next()).expect("the list");
    let address = |line: &str| -> SocketAddr {
        line.trim_start_matches("http://")
            .parse()
            .expect("an address")
    };
    let plan = Plan {
        proxies: list.lines().map(address).collect(),
        urls: next().parse().expect("a number"),
        size: SIZE,
        fetches_per_turn: next().parse().expect("a number"),
        fetches_per_connection: next().parse().expect("a number"),
        ca: arguments
            .next()
            .map(|path| std::fs::read_to_string(path).expect("the authority")),
    };
    assert_eq!(bare::run(&plan), plan.urls, "right bodies");
}

/// Body size, bytes.
const SIZE: usize = 8192;

/// One run of the program itself; its rows are checked.
fn fetch(case: &Case, full: bool, served: &Served, folder: &Path, run: usize) -> Cost {
    let scheme = if case.https { "https" } else { "http" };
    let count = urls(case, full);
    let input = folder.join("urls.txt");
    let lines: String = (0..count)
        .map(|n| format!("{scheme}://{SITE}{}\n", path(n, SIZE)))
        .collect();
    std::fs::write(&input, lines).expect("the input");
    let output = folder.join(format!("out{run}.jsonl"));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut command: Vec<String> = vec![env!("CARGO_BIN_EXE_proxywheel").into(), "fetch".into()];
    command.extend([
        "-i".into(),
        text(&input),
        "--proxy-file".into(),
        text(&served.list),
    ]);
    command.extend([
        "-o".into(),
        text(&output),
        "--overwrite".into(),
        "-j".into(),
        "64".into(),
    ]);
    command.extend([
        "-q".into(),
        "--no-config".into(),
        // What is remembered of an earlier run would be of a lab that is gone.
        "--no-state".into(),
        "--progress".into(),
        "none".into(),
    ]);
    if case.https {
        command.extend(["--cacert".into(), text(&served.ca)]);
    }
    command.extend(case.flags.iter().map(|flag| (*flag).to_owned()));
    let cost = measure::run(&command, None);
    assert_eq!(cost.code, 0, "fetch failed in {}", case.name);
    check_rows(&output, count);
    cost
}

/// Every URL once, every body the right one by its hash.
fn check_rows(output: &Path, count: u64) {
    let text = std::fs::read_to_string(output).expect("the output");
    let mut seen = vec![false; count as usize];
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).expect("a row");
        let n = row["seq"].as_u64().expect("a position");
        assert!(
            !std::mem::replace(&mut seen[n as usize], true),
            "URL {n} twice"
        );
        assert_eq!(row["outcome"], "ok", "{row}");
        let body = crate::plan::expected_body(&path(n, SIZE));
        assert_eq!(row["body_sha256"], hex(&body), "body of URL {n}");
    }
    assert!(seen.iter().all(|seen| *seen), "a URL without a row");
}

fn hex(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
