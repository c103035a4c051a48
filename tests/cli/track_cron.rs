//! A job from cron: one run at a time, as often as it is asked for and no more, and nothing left undone by one that was stopped.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use proxywheel::lab::{Asked, Lab, ProxySpec, Shown};
use proxywheel::observation::State;
use proxywheel::proxy::Scheme;
use proxywheel::state::{History, TrackRun};

use crate::readme::blocks;
use crate::running::{Running, until};
use crate::track_engine::Scene;

const DOCS: &str = include_str!("../../docs/track.md");
const QUERIES: u32 = 30;

/// Thirty queries of one page, four at a time.
pub(crate) const JOB: &str = r#"
kind = "rank"
url = "http://engine.test/search?q={query}&cc=de&page={page}"

[matrix]
query = { file = "keywords.txt" }

[extract]
profile = "engine.toml"

[[target]]
name = "me"
host = "me.test"

[fetch]
proxy-file = ["proxies.txt"]
concurrency = 4
no-hedge = true
retry = 0
max-proxies-per-url = 1
"#;

/// A scene with [`JOB`] and `more` as its job, through proxies of this pace.
pub(crate) fn scene(
    pace: [u64; 2],
    more: &str,
    truth: fn(u32, &str, u32) -> Option<u32>,
    obstacle: fn(&Asked, u32, u32, u32) -> Option<Shown>,
) -> Scene {
    let [low, high] = pace.map(Duration::from_millis);
    let slow = ProxySpec::new(Scheme::Http).latency(low, high);
    let scene = Scene::of(Lab::builder().proxies(8, slow), truth, obstacle);
    scene.write("job.toml", &format!("{JOB}{more}"));
    let keywords: Vec<String> = (0..QUERIES).map(|n| format!("keyword {n}")).collect();
    scene.write("keywords.txt", &keywords.join("\n"));
    scene
}

fn always(query: u32, _: &str, _: u32) -> Option<u32> {
    Some(query % 10 + 1)
}

pub(crate) fn free(_: &Asked, _: u32, _: u32, _: u32) -> Option<Shown> {
    None
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn run(scene: &Scene, words: &str, hours: i64) -> (Option<i32>, String) {
    let words = format!("run job.toml --state state.db --progress none {words}");
    let output = scene.track(&words, hours).output().expect("runs");
    (output.status.code(), said(&output))
}

fn start(scene: &Scene) -> Running {
    let words = "run job.toml --state state.db --progress none";
    let mut command = scene.track(words, 0);
    Running::start(command.stdout(Stdio::null()))
}

/// The runs of the job, each with its observations.
fn runs(scene: &Scene) -> Vec<(TrackRun, u32)> {
    let history = History::open_existing(&scene.folder.path().join("state.db")).expect("a state");
    let seen = history.since("job", 0).expect("read");
    let of = |run: &TrackRun| seen.iter().filter(|(_, id, _)| *id == run.id).count() as u32;
    let runs = history.runs("job", 0).expect("read");
    runs.into_iter()
        .map(|run| (of(&run), run))
        .map(|(n, run)| (run, n))
        .collect()
}

/// The command of the crontab that a page shows, as cron runs it: in the home directory and with a shell.
pub(crate) fn from_cron(page: &str, home: &Path) -> Command {
    let tables = blocks(page, "crontab");
    let mut lines = tables.iter().flat_map(|table| table.lines());
    let line = lines.find(|line| line.contains("track run"));
    let mut rest = line.expect("a crontab with a run");
    for _ in 0..5 {
        let (_, more) = rest.split_once(' ').expect("five fields of time");
        rest = more.trim_start();
    }
    assert!(!rest.contains('%'), "cron makes line breaks of it: {rest}");
    from_home(rest, home)
}

/// A script in the home directory of somebody who has nothing but this program.
pub(crate) fn from_home(script: &str, home: &Path) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_proxywheel"));
    let folder = program.parent().expect("a folder").display();
    let mut command = Command::new("/bin/sh");
    command.args(["-e", "-c", script]).current_dir(home);
    command.env_clear().env("HOME", home);
    command.env("PATH", format!("{folder}:/usr/bin:/bin"));
    command.stdin(Stdio::null());
    command
}

#[test]
fn the_crontab_line_is_quiet_and_never_runs_twice_at_once() {
    let scene = scene([80, 120], "", always, free);
    let home = scene.folder.path();
    symlink(".", home.join("serp")).expect("a folder of the job");
    scene.write("serp.toml", &scene.read("job.toml"));
    let mut first = Running::start(from_cron(DOCS, home).stdout(Stdio::piped()));
    until("a request", || scene.requests() > 0);
    let second = from_cron(DOCS, home).output().expect("sh");
    assert_eq!((second.status.code(), &*said(&second)), (Some(0), ""));
    let words = "run serp.toml -q --progress none";
    let third = scene
        .track(words, 0)
        .env("HOME", home)
        .output()
        .expect("runs");
    assert_eq!(third.status.code(), Some(75), "{}", said(&third));
    assert!(
        said(&third).contains("in use by another run") && said(&third).contains("--lock wait=10m"),
        "{}",
        said(&third)
    );
    assert!(first.is_running(), "they ran at the same time");
    assert_eq!(first.wait().code(), Some(0));
    assert_eq!(first.said(), "");
    assert_eq!(
        scene.requests(),
        u64::from(QUERIES),
        "nothing was asked twice"
    );
}

/// On its first day the third keyword is refused to everybody, and on its second the fifth.
fn refused(_: &Asked, query: u32, day: u32, _: u32) -> Option<Shown> {
    let refused = [3, 5].get(day as usize) == Some(&query);
    refused.then(|| Shown::html(429, "<title>Too many requests</title>"))
}

#[test]
fn an_hourly_run_asks_once_a_day_and_what_failed_every_hour() {
    let scene = scene([1, 2], "[schedule]\nmin_age = \"20h\"\n", always, refused);
    let mut asked = Vec::new();
    for hour in [0, 1, 2, 3, 19, 20, 21, 22] {
        // On the second day nothing stands in the way.
        scene.set_day(if hour < 2 { 0 } else { 2 });
        let before = scene.requests();
        let (code, said) = run(&scene, "", hour);
        assert_eq!(code == Some(0), hour >= 2, "{hour}: {code:?} {said}");
        asked.push(scene.requests() - before);
    }
    // The one that failed is a day old two hours later than the others.
    assert_eq!(asked, [30, 1, 1, 0, 0, 29, 0, 1]);
}

#[test]
fn retrying_what_failed_asks_nothing_else() {
    let scene = scene([1, 2], "", always, refused);
    let asked = |day, words| {
        scene.set_day(day);
        let before = scene.requests();
        let (code, said) = run(&scene, words, 0);
        (code, scene.requests() - before, said)
    };
    let (code, count, said) = asked(0, "");
    assert_eq!((code, count), (Some(8), 30), "{said}");
    let (code, count, said) = asked(1, "--retry-failed");
    assert_eq!((code, count), (Some(0), 1), "{said}");
    let (code, count, said) = asked(1, "--retry-failed");
    assert_eq!((code, count), (Some(0), 0), "{said}");
}

#[test]
fn a_value_that_is_missing_is_a_failure_for_the_exit_code_and_for_a_retry() {
    let scene = scene([1, 2], "", always, free);
    scene.write(
        "job.toml",
        "kind = 'change'
        url = 'http://engine.test/search?q=keyword+1&cc=de&page=1'
        [extract]
        select = ['price=.price::text|number']
        [watch]
        field = 'price'
        [fetch]
        proxy-file = ['proxies.txt']",
    );
    let (code, said) = run(&scene, "", 0);
    assert_eq!(code, Some(5), "{said}");
    let before = scene.requests();
    let (code, said) = run(&scene, "-q --retry-failed", 0);
    assert_eq!(code, Some(5), "{said}");
    assert_eq!(scene.requests() - before, 1, "{said}");
    assert_eq!(said, "error: job: 1 query: 1 missing; exit 5 all_failed\n");
}

#[test]
fn what_a_signal_leaves_undone_is_done_by_the_next_run_also_by_one_that_only_retries() {
    for next in ["", "--retry-failed"] {
        let scene = scene([30, 60], "", always, free);
        // Known from before, so that a retry has no reason of its own to ask.
        assert_eq!(run(&scene, "", -24).0, Some(0));
        let before = scene.requests();
        let mut first = start(&scene);
        until("answers", || scene.requests() > before + 8);
        first.signal("TERM");
        assert_eq!(first.wait().code(), Some(143), "{}", first.said());
        let open = runs(&scene).pop().expect("a run");
        assert_eq!(open.0.complete, None);
        assert!((1..QUERIES).contains(&open.1), "{open:?}");
        let (code, said) = run(&scene, next, 0);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("going on with a run"), "{said}");
        let all = runs(&scene);
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!((all[1].0.complete, all[1].1), (Some(true), QUERIES));
        assert_eq!(scene.requests(), before + u64::from(QUERIES), "each once");
    }
}

#[test]
fn a_run_that_meets_its_deadline_says_so_and_the_next_goes_on() {
    let more = "[schedule]\ndeadline = \"1s\"\norder = \"listed\"\n";
    let scene = scene([250, 300], more, always, free);
    let mut codes = Vec::new();
    while codes.last() != Some(&Some(0)) {
        assert!(codes.len() < 20, "{codes:?}");
        let (code, said) = run(&scene, "", 0);
        assert!(matches!(code, Some(0 | 7)), "{code:?} {said}");
        codes.push(code);
    }
    assert!(codes.len() > 1, "the deadline was never met");
    let all = runs(&scene);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!((all[0].0.complete, all[0].1), (Some(true), QUERIES));
    let history = History::open_existing(&scene.folder.path().join("state.db")).expect("a state");
    let seen = history.since("job", 0).expect("read");
    let known = seen.iter().filter(|(_, _, one)| one.state == State::Ranked);
    assert_eq!(
        known.count() as u32,
        QUERIES,
        "a deadline makes nothing unknown"
    );
}
