//! A check that is killed: what was printed stays, and the state tells the same as the rows.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use proxywheel::lab::{Fault, Lab, ProxySpec};
use proxywheel::proxy::Scheme;
use serde_json::Value;

use crate::check::{Scene, rows};
use crate::running::{under, until};
use crate::state::assert_whole;
use crate::{proxywheel, shown};

/// Rows by what `key` says.
fn by(key: &str, rows: Vec<Value>) -> BTreeMap<String, Value> {
    let mut map = BTreeMap::new();
    for row in rows {
        let name = row[key].as_str().expect("a name").to_owned();
        assert!(map.insert(name, row).is_none(), "a row twice");
    }
    map
}

fn state(scene: &Scene, command: &str) -> Vec<u8> {
    let output = proxywheel()
        .current_dir(scene.folder.path())
        .args(["state", command, "--state", "state.db"])
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", shown(&output));
    output.stdout
}

/// What the state knows, by label. Of each there is a row that says the same.
fn remembered(scene: &Scene, printed: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut known = rows(&state(scene, "export"));
    known.retain(|row| row["kind"] == "proxy");
    let known = by("label", known);
    for (label, known) in &known {
        let row = printed.get(label).expect("a row of each that is known");
        let is_hostile = row["verdict"] == "hostile";
        let ok = if is_hostile {
            0.0
        } else {
            row["ok"].as_f64().expect("a number")
        };
        let told = (&known["successes"], &known["ok"], &known["condemned"]);
        let expected = (&ok.into(), &(ok as u64).into(), &is_hostile.into());
        assert_eq!(told, expected, "{label}: {row}");
    }
    known
}

#[test]
fn a_limit_of_open_files_is_told_by_what_is_left_to_check() {
    let scene = Scene::new(Lab::builder().perfect(20));
    let command = scene.command(&["-o", "out.jsonl", "--resume"]);
    for is_told in [true, false] {
        let mut limited = under("ulimit -n 128", &command);
        let output = limited.output().expect("runs");
        let said = shown(&output);
        assert!(output.status.success(), "{said}");
        assert_eq!(
            said.contains("are all the system allows"),
            is_told,
            "{said}"
        );
    }
}

#[test]
fn a_killed_check_loses_no_row_and_the_state_says_what_the_rows_say() {
    let http = || ProxySpec::new(Scheme::Http);
    let ms = Duration::from_millis;
    // So many that fifty runs do not come to the end of them, however slow the machine makes the writes they wait for.
    let scene = Scene::new(
        Lab::builder()
            .proxies(600, http().latency(ms(10), ms(60)))
            .proxies(120, http().fault(Fault::Refuse))
            .proxies(80, http().fault(Fault::InjectScript)),
    );
    let (file, database, wal) = (
        scene.path("out.jsonl"),
        scene.path("state.db"),
        scene.path("state.db-wal"),
    );
    let whole = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    // The log begins anew with each run.
    let written = || fs::metadata(&wal).map_or(0, |log| log.len());
    let words = ["-o", "out.jsonl", "--resume", "--state", "state.db"];
    let (mut printed, mut known) = (BTreeMap::new(), BTreeMap::new());
    for kill in 0..50u64 {
        assert_eq!(written(), 0);
        let mut running = scene
            .command(&[&words[..], &["-j", "2"]].concat())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        match kill % 10 {
            // Between rows, so that the state is behind them.
            0 | 2 | 5 | 7 => until("rows", || {
                let now = fs::read(&file).map_or(0, |bytes| whole(&bytes));
                now > printed.len() + kill as usize / 10
            }),
            // In the first write: the run begins.
            1 | 4 | 6 => until("a write", || written() > 0),
            // In the second one: what the state had not heard of, and when there is nothing what was found in a second.
            _ => {
                until("a write", || written() > 0);
                // The log is written from its beginning again when its end has been taken over: its length alone tells nothing.
                let touched = || fs::metadata(&wal).and_then(|log| log.modified()).ok();
                let first = touched();
                until("another write", || touched() != first);
            }
        }
        assert!(
            running.try_wait().expect("a child").is_none(),
            "it has ended by itself"
        );
        running.kill().expect("killed");
        running.wait().expect("ended");

        let bytes = fs::read(&file).expect("the file");
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        let now = by("proxy", rows(&bytes[..end.map_or(0, |at| at + 1)]));
        for (label, row) in &printed {
            assert_eq!(now.get(label), Some(row), "a row is lost or has changed");
        }
        printed = now;
        assert_whole(&database);
        let now = remembered(&scene, &printed);
        assert!(
            known.keys().all(|label| now.contains_key(label)),
            "forgotten"
        );
        known = now;
        if kill % 10 == 9 {
            state(&scene, "show");
            state(&scene, "top");
        }
        // What a torn write leaves behind.
        fs::write(&file, [&bytes[..], b"{\"v\":1,\"pro"].concat()).expect("written");
    }
    let last = scene.check(&words);
    assert!(last.status.success(), "{}", shown(&last));
    let all = by("proxy", rows(&fs::read(&file).expect("the file")));
    for (label, row) in &printed {
        assert_eq!(all.get(label), Some(row), "a row is lost or has changed");
    }
    let count = |verdict: &str| all.values().filter(|row| row["verdict"] == verdict).count();
    assert_eq!(
        (count("alive"), count("dead"), count("hostile")),
        (600, 120, 80)
    );
    // Also of those whose row was there before a kill, and the state not yet written.
    assert_eq!(remembered(&scene, &all).len(), 800);
}
