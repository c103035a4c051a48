//! A million URLs of a hundred hosts through ten thousand proxies: does memory stay bounded, and the time of a decision flat?

use std::time::Duration;

use proxywheel::lab::scenario::Scenario;

use super::measure::run::{How, go, runtime};

const URLS: u32 = 1_000_000;
const HOSTS: usize = 100;

/// Four in five are dead; hosts ban as in w8.
fn scenario() -> Scenario {
    let host = "[[host]]\nban = { requests = 60, window-s = 60, lasts-s = 600 }\n";
    let text = format!(
        "title = \"a million URLs\"
        urls = {URLS}
        proxies = 10_000
        concurrency = 1000
        probe-concurrency = 500
        [[group]]
        name = \"refusing\"
        share = 0.6
        behaves = \"refuses\"
        [[group]]
        name = \"black holes\"
        share = 0.2
        behaves = \"black-hole\"
        [[group]]
        name = \"good\"
        share = 0.2
        {}",
        host.repeat(HOSTS)
    );
    Scenario::parse("scale", &text).expect("a scenario")
}

/// Prints a line for each tenth of the run.
pub(crate) fn run() {
    let scenario = scenario();
    let (mut last, mut lines) = (cpu(), Vec::new());
    let mut on_row = |rows: u32| {
        if rows.is_multiple_of(URLS / 10) {
            let now = cpu();
            let micros = (now - last).as_secs_f64() * 1e6 / f64::from(URLS / 10);
            lines.push((rows, micros, resident("VmRSS")));
            println!(
                "{rows:>9} URLs: {micros:>6.1} us of CPU a URL, {} MB",
                lines[lines.len() - 1].2
            );
            last = now;
        }
    };
    let how = How {
        on_row: Some(&mut on_row),
        ..How::default()
    };
    let figures = runtime().block_on(go(&scenario, 1, Duration::from_secs(100_000), how));
    println!(
        "{} fetched in {:.0} s of the world, {:.3} requests each, {} refused; peak {} MB",
        figures.successes,
        figures.makespan.as_secs_f64(),
        super::per_success(&figures, figures.tally.requests),
        figures.tally.blocked,
        resident("VmHWM")
    );
    assert_eq!((figures.successes, figures.lost), (URLS, 0));
}

/// What this process has used of processors, in hundredths of a second.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may have spaces; the times are the twelfth and thirteenth field behind it.
    let rest = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(10 * ticks)
}

/// A line of the system's account of this process, in MB.
fn resident(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kb = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kb.unwrap_or(0) / 1024
}
