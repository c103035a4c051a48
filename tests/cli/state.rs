//! What one fetch learns, the next begins with; and whatever becomes of the file, the fetch goes on.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use proxywheel::lab::{Fault, Lab, Mix, ProxySpec};
use proxywheel::proxy::Scheme;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::proxywheel;
use crate::running::{Rig, Running, until, urls};

/// A list as one finds them: one proxy in eight serves, and most of the others accept connections.
fn hostile() -> Mix {
    Mix {
        perfect: 12,
        refuse: 16,
        hang: 8,
        reset: 12,
        garbage: 12,
        foreign: 12,
        empty: 12,
        truncate: 12,
        ..Mix::default()
    }
}

/// Counters of the run that wrote this file.
fn counters(rig: &Rig, name: &str) -> (u64, u64, u64) {
    let text = fs::read_to_string(rig.path(name)).expect("counters");
    let counters: Value = serde_json::from_str(&text).expect("JSON");
    let number = |key: &str| counters[key].as_u64().expect("a number");
    (
        number("urls/ok"),
        number("attempts/total"),
        number("probes/total"),
    )
}

/// What this query finds, one text a row. Opened by itself, as any other reader would.
fn query(path: &Path, sql: &str) -> Vec<String> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let connection = connection.expect("the database opens");
    let mut select = connection.prepare(sql).expect("the tables are there");
    let rows = select.query_map([], |row| {
        let value: rusqlite::types::Value = row.get(0)?;
        Ok(match value {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        })
    });
    rows.expect("rows").map(|row| row.expect("a row")).collect()
}

fn state(rig: &Rig, words: &str) -> (Option<i32>, String, String) {
    let mut command = proxywheel();
    command.current_dir(rig.directory.path()).arg("state");
    let output = command
        .args(words.split_whitespace())
        .output()
        .expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn the_second_fetch_needs_at_most_sixty_percent_of_the_first() {
    let rig = Rig::new(Lab::builder().seed(11).mix(&hostile()), &urls(40, "/page/"));
    let fetch = |more: &str| {
        let words = "-i urls.txt -o out.jsonl --overwrite --must-match <title> --connect-timeout 2s -m 3s --retry 9 \
            --max-proxies-per-url 60 --seed 1";
        let (code, said) = rig.run(&format!("{words} {more}"));
        assert_eq!(code, Some(0), "{said}");
    };
    fetch("--no-state --stats without.json");
    fetch("--state night.db --stats first.json");
    fetch("--state night.db --stats second.json");
    let (ok, attempts, probes) = counters(&rig, "without.json");
    let (again, fewer, fewer_probes) = counters(&rig, "second.json");
    assert_eq!((ok, again), (40, 40));
    let told = format!("{attempts} attempts, {probes} probes; then {fewer} and {fewer_probes}");
    assert!(fewer * 10 <= attempts * 6, "{told}");
    assert!(
        (fewer + fewer_probes) * 10 <= (attempts + probes) * 6,
        "{told}"
    );

    let (code, top, _) = state(&rig, "top 12 --state night.db");
    assert_eq!(code, Some(0));
    let good: Vec<String> = rig
        .lab
        .proxies()
        .into_iter()
        .enumerate()
        .filter(|(n, _)| rig.lab.stats().proxies[*n].requests > 0)
        .map(|(_, proxy)| proxy.label().to_string())
        .collect();
    let first = top.lines().nth(1).expect("a best one");
    assert!(good.iter().any(|label| first.ends_with(label)), "{top}");
    let (_, shown, _) = state(&rig, "show --state night.db");
    assert!(
        shown.contains("40 URLs, 40 ok") && shown.contains(": done"),
        "{shown}"
    );
}

#[test]
fn a_state_that_cannot_be_used_costs_a_warning_and_not_the_run() {
    let rig = Rig::new(Lab::builder().perfect(2), &urls(3, "/page/"));
    let fetch = |state: &str| {
        rig.run(&format!(
            "-i urls.txt -o out.jsonl --overwrite --state {state}"
        ))
    };
    rig.write("garbage.db", "no database at all");
    let (code, said) = fetch("garbage.db");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("garbage.db.damaged-1: the state is damaged; it was set aside"),
        "{said}"
    );
    assert_eq!(
        fs::read_to_string(rig.path("garbage.db.damaged-1")).expect("kept"),
        "no database at all"
    );
    assert_eq!(
        query(&rig.path("garbage.db"), "SELECT count(*) FROM proxies"),
        ["2"]
    );

    let newer = Connection::open(rig.path("garbage.db")).expect("opens");
    newer.pragma_update(None, "user_version", 999).expect("set");
    drop(newer);
    let (code, said) = fetch("garbage.db");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("warning: nothing is remembered of this run: ")
            && said.contains("garbage.db: a later version of this program")
            && said.contains("3 ok"),
        "{said}"
    );

    fs::create_dir(rig.path("folder")).expect("made");
    for (path, why) in [
        ("folder", "cannot open"),
        ("urls.txt/state.db", "cannot create"),
    ] {
        let (code, said) = fetch(path);
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains("warning: nothing is remembered of this run: ") && said.contains(why),
            "{said}"
        );
        assert!(said.contains("3 ok"), "{said}");
    }
    assert!(rig.path("urls.txt").is_file());
}

#[test]
fn the_state_is_where_the_settings_say_or_nowhere() {
    let rig = Rig::new(Lab::builder().perfect(1), &urls(1, "/page/"));
    let home = rig.path("home");
    let fetch = |variables: &[(&str, &Path)], words: &str| {
        let mut command = rig.fetch(&format!("-i urls.txt -o out.jsonl --overwrite {words}"));
        command.envs(variables.iter().copied()).env("HOME", &home);
        let mut run = Running::start(&mut command);
        assert_eq!(run.wait().code(), Some(0), "{}", run.said());
    };
    let own = home.join(".local/state/proxywheel/state.db");
    fetch(&[], "--no-state");
    fetch(&[("PROXYWHEEL_NO_STATE", Path::new("1"))], "");
    assert!(!home.exists());
    let elsewhere = rig.path("xdg");
    fetch(&[("XDG_STATE_HOME", &elsewhere)], "");
    assert!(elsewhere.join("proxywheel/state.db").exists() && !home.exists());
    let named = rig.path("named.db");
    fetch(&[("PROXYWHEEL_STATE", &named)], "");
    assert!(named.exists() && !home.exists());
    rig.write("cron.toml", "no-state = true\n");
    fetch(&[], "--config cron.toml");
    assert!(!home.exists());
    fetch(&[], "--config cron.toml --state flag.db");
    assert!(rig.path("flag.db").exists() && !home.exists());
    fetch(&[], "");
    assert!(own.exists());
    let demo = proxywheel()
        .args(["demo", "-o"])
        .arg(rig.path("demo.jsonl"))
        .env("HOME", rig.path("demo"))
        .output();
    assert!(demo.expect("runs").status.success() && !rig.path("demo").exists());
}

#[test]
fn an_interrupted_fetch_has_saved_what_it_learned() {
    let mut wanted = urls(6, "/page/");
    wanted.push("http://slow.test/delay/4000".into());
    let rig = Rig::new(Lab::builder().perfect(3), &wanted);
    for signals in [1, 2] {
        let (output, file) = (format!("{signals}.jsonl"), format!("{signals}.db"));
        let words = format!("-i urls.txt -o {output} --state {file} -m 600");
        let mut run = Running::start(&mut rig.fetch(&words));
        until("six rows", || {
            let text = fs::read_to_string(rig.path(&output)).unwrap_or_default();
            text.lines().count() == 6
        });
        for _ in 0..signals {
            run.signal("INT");
            until("the drain", || run.said().contains("finishing"));
        }
        assert_eq!(run.wait().code(), Some(130), "{}", run.said());
        let path = rig.path(&file);
        let ok = query(&path, "SELECT sum(ok) FROM proxies");
        let ok: u64 = ok[0].parse().expect("a number");
        assert!(ok >= 6, "{ok}");
        assert_eq!(query(&path, "SELECT reason FROM runs"), ["interrupted"]);
    }
}

#[test]
fn two_fetches_share_one_state() {
    let rig = Rig::new(Lab::builder().perfect(6), &urls(60, "/delay/40?"));
    let start = |output: &str| {
        Running::start(&mut rig.fetch(&format!("-i urls.txt -o {output} --state state.db -j 4")))
    };
    let mut runs = [start("a.jsonl"), start("b.jsonl"), start("c.jsonl")];
    for run in &mut runs {
        assert_eq!(run.wait().code(), Some(0), "{}", run.said());
        assert!(!run.said().contains("warning"), "{}", run.said());
    }
    let path = rig.path("state.db");
    assert_eq!(query(&path, "SELECT count(*) FROM proxies"), ["6"]);
    assert_eq!(
        query(&path, "SELECT reason FROM runs"),
        ["done", "done", "done"]
    );
}

/// The database opens and is whole, and no proxy is in it twice.
pub(crate) fn assert_whole(path: &Path) {
    assert_eq!(query(path, "PRAGMA integrity_check"), ["ok"]);
    let twice = "SELECT label FROM proxies GROUP BY label HAVING count(*) > 1";
    assert_eq!(query(path, twice), Vec::<String>::new());
}

#[test]
fn a_kill_at_any_moment_leaves_a_whole_state() {
    let good = ProxySpec::new(Scheme::Http);
    let builder = Lab::builder()
        .proxies(60, good.clone())
        .proxies(20, good.fault(Fault::Reset));
    let rig = Rig::new(builder, &urls(4000, "/delay/20?"));
    let path = rig.path("state.db");
    let wal = rig.path("state.db-wal");
    let written = || fs::metadata(&wal).map_or(0, |found| found.len());
    let touched = || fs::metadata(&wal).ok()?.modified().ok();
    // A fetch writes when it begins and a second later.
    for round in 0..6 {
        let words = "-i urls.txt -o out.jsonl --overwrite --state state.db -j 16";
        let mut last = touched();
        let mut run = Running::start(&mut rig.fetch(words));
        for _ in 0..=round % 2 {
            until("a write", || touched() != last || !run.is_running());
            last = touched();
        }
        assert!(run.kill(), "{}", run.said());
        assert_whole(&path);
    }
    // An import writes all the time it runs; each is killed a bit later than the one before, three times over.
    let mut lines =
        vec![serde_json::json!({"kind": "state", "v": 1, "salt": "5a".repeat(32)}).to_string()];
    let template = serde_json::json!({
        "kind": "proxy", "open": true, "successes": 1.5, "failures": 0.0, "latency": 0.2, "base": 0.1, "capacity": 2.0,
        "ok": 2, "tampered": 0, "level": 0, "unreached": 0, "condemned": false, "no_tunnel": false, "no_forward": false,
        "served": null, "seen": 4_000_000_000_000u64,
    });
    lines.extend((0..20_000u64).map(|n| {
        let mut row = template.clone();
        row["id"] = format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into();
        row["label"] = format!("http://10.1.{}.{}:80#{n:06x}", n / 250, n % 250).into();
        row["observed"] = (4_000_000_000_000u64 + n).into();
        row.to_string()
    }));
    rig.write("export.jsonl", &lines.join("\n"));
    for round in 0..44u64 {
        let import = |state: &str| {
            let mut command = proxywheel();
            command
                .current_dir(rig.directory.path())
                .stdout(Stdio::null());
            command.args(["state", "import", "export.jsonl", "--state", state]);
            command
        };
        let mut run = Running::start(&mut import("state.db"));
        let before = written();
        let enough = |now: u64| now >= before + 1 + round % 14 * 100_000;
        until("a write", || enough(written()) || !run.is_running());
        run.kill();
        assert_whole(&path);
    }
    assert_eq!(state(&rig, "show --state state.db").0, Some(0));
}
