//! The file, by what a caller sees of it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use url::Url;

use super::*;
use crate::job::HostKey;
use crate::pool::{
    Health, Memory, Quota, Remembered, RememberedHost, RememberedLimit, RememberedPair,
    RememberedTier, Rest,
};
use crate::proxy::{Credentials, Proxy, Scheme};
use crate::secret::Secret;

const DAY: Duration = Duration::from_secs(24 * 3600);
const PASSWORD: &str = "canary-s3cret";

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep/state.db");
    (folder, path)
}

fn plain(n: u32) -> Arc<Proxy> {
    Arc::new(Proxy::new(Scheme::Http, &format!("10.0.0.{n}"), 80, None))
}

fn secret(n: u32) -> Arc<Proxy> {
    let credentials = Credentials {
        user: Secret::new(format!("{PASSWORD}-user-{n}")),
        password: Secret::new(PASSWORD),
    };
    Arc::new(Proxy::new(
        Scheme::Socks5,
        "gate.test",
        1080,
        Some(credentials),
    ))
}

fn host(name: &str) -> HostKey {
    HostKey::of(&Url::parse(name).expect("a URL")).expect("a host")
}

fn of(proxy: Arc<Proxy>, ok: u32) -> Remembered {
    let health = Health {
        successes: ok as f32,
        ok,
        latency: 0.25,
        capacity: 3.0,
        served_ago: Some(Duration::from_secs(5)),
        rests: Some(Duration::from_secs(30)),
        ..Health::default()
    };
    let age = Duration::ZERO;
    Remembered { proxy, health, age }
}

/// One proxy that has served.
fn one_proxy() -> Memory {
    Memory {
        proxies: vec![of(plain(1), 7)],
        ..Memory::default()
    }
}

fn refused(proxy: Arc<Proxy>, name: &str) -> RememberedPair {
    RememberedPair {
        proxy,
        host: host(name),
        rest: Some(Rest {
            level: 2,
            ends_in: Duration::from_secs(600),
            forgotten_in: Duration::from_secs(4200),
        }),
    }
}

/// One run that learns this.
fn run(path: &Path, memory: Memory, now: SystemTime) {
    let state = State::open(path).expect("opens").state;
    let keeper = state.keep(Vec::new(), now).expect("starts");
    keeper.saves().blocking_send(memory).expect("taken");
    keeper.finish(Some(RunEnd::default())).expect("written");
}

fn recall(path: &Path, list: &[Arc<Proxy>], now: SystemTime) -> Memory {
    let opened = State::open(path).expect("opens");
    assert_eq!(opened.aside, None);
    opened.state.recall(list, now).expect("read").memory
}

fn now() -> SystemTime {
    SystemTime::now()
}

#[test]
fn what_a_run_has_learned_the_next_is_told() {
    let (_folder, path) = folder();
    let list = [plain(1), secret(1), secret(2), plain(2)];
    let memory = Memory {
        proxies: vec![of(plain(1), 7), of(secret(1), 9)],
        pairs: vec![
            refused(secret(1), "https://shop.test"),
            refused(plain(1), "http://a.test:81"),
        ],
        hosts: vec![RememberedHost {
            host: host("https://shop.test"),
            wait: Duration::from_secs(60),
            level: 3,
        }],
        limits: vec![RememberedLimit {
            host: host("https://shop.test"),
            quota: Some(Quota {
                window: Duration::from_secs(60),
                uses: 30,
            }),
            rate: Some(12.5),
            age: Duration::ZERO,
        }],
        tiers: vec![RememberedTier {
            host: host("https://shop.test"),
            tier: 1,
            exits: 4,
            age: Duration::ZERO,
        }],
    };
    run(&path, memory.clone(), now());
    let mut told = recall(&path, &list, now());
    told.proxies.sort_by_key(|one| one.health.ok);
    let oks: Vec<_> = told
        .proxies
        .iter()
        .map(|one| (one.proxy.id(), one.health.ok))
        .collect();
    assert_eq!(oks, [(plain(1).id(), 7), (secret(1).id(), 9)]);
    let health = Health {
        served_ago: None,
        ..told.proxies[0].health
    };
    assert_eq!(
        health,
        Health {
            served_ago: None,
            ..memory.proxies[0].health
        }
    );
    assert!(
        told.proxies[0]
            .health
            .served_ago
            .is_some_and(|ago| ago.as_secs() == 5)
    );
    assert!(
        told.proxies
            .iter()
            .all(|one| one.age < Duration::from_secs(60))
    );
    assert_eq!(told.pairs.len(), 2);
    let rest = told.pairs[0].rest.expect("it stands");
    assert!(
        rest.level == 2 && (540..=600).contains(&rest.ends_in.as_secs()),
        "{rest:?}"
    );
    assert_eq!(told.hosts[0].host, host("https://shop.test"));
    let limit = RememberedLimit {
        age: Duration::ZERO,
        ..told.limits[0].clone()
    };
    assert_eq!(limit, memory.limits[0]);
    let tier = RememberedTier {
        age: Duration::ZERO,
        ..told.tiers[0].clone()
    };
    assert_eq!(tier, memory.tiers[0]);

    // Refuted.
    let refuted = RememberedLimit {
        quota: None,
        rate: None,
        ..memory.limits[0].clone()
    };
    run(
        &path,
        Memory {
            limits: vec![refuted],
            ..Memory::default()
        },
        now(),
    );
    assert_eq!(recall(&path, &list, now()).limits, []);

    // Lifted, and over by itself.
    let lifted = RememberedPair {
        rest: None,
        ..refused(secret(1), "https://shop.test")
    };
    run(
        &path,
        Memory {
            pairs: vec![lifted],
            ..Memory::default()
        },
        now(),
    );
    assert_eq!(recall(&path, &list, now()).pairs.len(), 1);
    let later = recall(&path, &list, now() + Duration::from_secs(4300));
    assert_eq!((later.pairs.len(), later.hosts.len()), (0, 0));
}

#[test]
fn after_the_clock_was_set_back_nobody_rests_for_longer_than_was_asked() {
    let (_folder, path) = folder();
    let memory = Memory {
        pairs: vec![refused(plain(1), "https://shop.test")],
        hosts: vec![RememberedHost {
            host: host("https://shop.test"),
            wait: Duration::from_secs(60),
            level: 1,
        }],
        ..Memory::default()
    };
    run(&path, memory.clone(), now());
    let told = recall(&path, &[plain(1)], now() - Duration::from_secs(120));
    assert_eq!(told.pairs[0].rest, memory.pairs[0].rest);
    assert_eq!(told.hosts[0].wait, memory.hosts[0].wait);
    // By how much it went back nobody knows.
    let back = now() - Duration::from_secs(3600);
    let told = recall(&path, &[plain(1)], back);
    assert_eq!((told.pairs.len(), told.hosts.len()), (0, 0));
    // The next run does not leave them in the way of what it learns.
    run(&path, Memory::default(), back);
    let told = recall(&path, &[plain(1)], now());
    assert_eq!((told.pairs.len(), told.hosts.len()), (0, 0));
}

#[test]
fn a_file_of_the_first_version_is_brought_up_to_this_one_with_all_it_knows() {
    let (_folder, path) = folder();
    run(&path, one_proxy(), now());
    let file = Connection::open(&path).expect("opens");
    let back = "ALTER TABLE proxies DROP COLUMN rests; DROP TABLE limits; DROP TABLE tiers; DROP TABLE series; DROP TABLE track_runs;
        DROP TABLE observations; DROP TABLE visits; DROP TABLE told; DROP TABLE outbox; DROP TABLE track_jobs; DROP TABLE texts; PRAGMA user_version = 1;";
    file.execute_batch(back).expect("made old");
    drop(file);
    let told = recall(&path, &[plain(1)], now());
    assert_eq!(told.proxies[0].health.ok, 7);
    assert_eq!(told.proxies[0].health.rests, None);
    run(&path, told, now());
}

#[test]
fn no_byte_of_the_file_tells_a_user_or_a_password() {
    let (_folder, path) = folder();
    let memory = Memory {
        proxies: (1..50).map(|n| of(secret(n), n)).collect(),
        pairs: (1..50)
            .map(|n| refused(secret(n), "https://shop.test"))
            .collect(),
        hosts: Vec::new(),
        limits: Vec::new(),
        tiers: Vec::new(),
    };
    run(&path, memory, now());
    let folder = path.parent().expect("a folder");
    for entry in fs::read_dir(folder).expect("readable") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("readable");
        let found = |needle: &[u8]| bytes.windows(needle.len()).any(|piece| piece == needle);
        assert!(!found(PASSWORD.as_bytes()));
        // Nor the identity as it is everywhere, from which a short password could be looked up.
        assert!((1..50).all(|n| !found(&secret(n).id().as_u64().to_be_bytes())));
    }
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).expect("there"));
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn of_two_observations_the_later_wins_in_whatever_order_they_come() {
    for early_first in [true, false] {
        let (_folder, path) = folder();
        let mut early = of(plain(1), 3);
        early.age = Duration::from_secs(100);
        let late = of(plain(1), 8);
        let order = if early_first {
            [early, late]
        } else {
            [late, early]
        };
        // Both writers are open at once, as those of two processes.
        let open = || {
            let state = State::open(&path).expect("opens").state;
            state.keep(Vec::new(), now()).expect("starts")
        };
        let keepers = [open(), open()];
        for (keeper, one) in keepers.into_iter().zip(order) {
            let memory = Memory {
                proxies: vec![one],
                ..Memory::default()
            };
            keeper.saves().blocking_send(memory).expect("taken");
            keeper.finish(None).expect("written");
        }
        let told = recall(&path, &[plain(1)], now()).proxies;
        assert_eq!(
            (told.len(), told[0].health.ok),
            (1, 8),
            "early first: {early_first}"
        );
    }
}

#[test]
fn damaged_files_are_set_aside_under_the_first_free_name() {
    let (_folder, path) = folder();
    let full = || {
        let proxies = (1..200).map(|n| of(secret(n), n)).collect();
        run(
            &path,
            Memory {
                proxies,
                ..Memory::default()
            },
            now(),
        );
    };
    let set_aside = |name: &str| {
        let opened = State::open(&path).expect("goes on");
        let aside = opened.aside.expect("set aside");
        assert_eq!(aside.to, path.with_file_name(name));
        assert!(aside.to.exists());
        assert_eq!(opened.state.survey(1, now()).expect("read").proxies, 0);
    };
    full();
    fs::write(&path, "this was a state once").expect("written");
    set_aside("state.db.damaged-1");
    full();
    let whole = fs::read(&path).expect("read");
    fs::write(&path, &whole[..whole.len() / 2]).expect("cut");
    set_aside("state.db.damaged-2");
    full();
    // The first page says what the file is; the rest of it is noise.
    let mut bytes = fs::read(&path).expect("read");
    for (n, byte) in bytes.iter_mut().enumerate().skip(4096) {
        *byte = (n * 31 % 251) as u8;
    }
    fs::write(&path, bytes).expect("written");
    set_aside("state.db.damaged-3");
}

#[test]
fn a_file_that_must_not_be_written_is_read_all_the_same() {
    let (_folder, path) = folder();
    run(&path, one_proxy(), now());
    let folder = path.parent().expect("a folder");
    let open = || open::attach_read_only(&path).expect("opens");
    let known = |state: &State| {
        let told = state.recall(&[plain(1)], now()).expect("read").memory;
        told.proxies[0].health.ok
    };
    assert_eq!(known(&open()), 7);
    // Nothing was made beside it.
    assert_eq!(fs::read_dir(folder).expect("readable").count(), 1);
    let keeper = open().keep(Vec::new(), now()).expect("starts");
    let error = keeper.finish(None).expect_err("not written").to_string();
    assert!(error.contains("cannot write"), "{error}");
    // What another process has just written is seen.
    let writing = State::open(&path).expect("opens").state;
    let sql = "UPDATE proxies SET ok = 8";
    writing.connection.execute_batch(sql).expect("written");
    assert_eq!(known(&open()), 8);
}

#[cfg(unix)]
#[test]
fn an_empty_file_that_was_there_becomes_private() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, _) = folder();
    let path = folder.path().join("state.db");
    fs::write(&path, "").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
    State::open(&path).expect("opens");
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_a_later_version_has_written_is_left_alone() {
    let (_folder, path) = folder();
    let newer = State::open(&path).expect("opens").state.connection;
    newer
        .pragma_update(None, "user_version", schema::VERSION + 1)
        .expect("set");
    drop(newer);
    let before = fs::read(&path).expect("read");
    for opened in [State::open(&path).map(drop), History::open(&path).map(drop)] {
        let error = opened.expect_err("refused").to_string();
        assert!(error.contains("a later version of this program"), "{error}");
    }
    assert_eq!(fs::read(&path).expect("read"), before);
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let (_folder, path) = folder();
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let other = rusqlite::Connection::open(&path).expect("opens");
    other
        .execute_batch("CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')")
        .expect("made");
    drop(other);
    let before = fs::read(&path).expect("read");
    let error = State::open(&path).expect_err("refused");
    assert!(error.to_string().contains("another program"), "{error}");
    assert_eq!(fs::read(&path).expect("read"), before);
    let folder = path.parent().expect("a folder");
    assert_eq!(fs::read_dir(folder).expect("readable").count(), 1);
    // Nor is a list that was named by mistake moved away.
    let list = folder.join("urls.txt");
    fs::write(&list, "http://a.test/\n").expect("written");
    let error = State::open(&list).expect_err("refused");
    assert!(error.to_string().contains("no state"), "{error}");
    assert_eq!(fs::read(&list).expect("read"), b"http://a.test/\n");
    // A name that SQLite takes for something else is a file like any other; a folder is none.
    assert!(State::open(folder).is_err());
}

#[test]
fn who_is_not_listed_for_a_month_is_forgotten_and_who_is_stays() {
    let (_folder, path) = folder();
    let start = now() - 40 * DAY;
    let state = State::open(&path).expect("opens").state;
    let row = |n: u32| {
        let mut row = ProxyRow::of(
            &of(plain(n), n),
            state.salt.id(plain(n).id()),
            millis(start),
        );
        row.seen = millis(start);
        row
    };
    {
        let mut rows = save::Rows::new(&state.connection).expect("statements");
        assert!(rows.proxy(&row(1)).expect("written") && rows.proxy(&row(2)).expect("written"));
    }
    let mut at = start;
    while at < now() {
        let state = State::open(&path).expect("opens").state;
        let recalled = state.recall(&[plain(1)], at).expect("read");
        let keeper = state.keep(recalled.unseen, at).expect("starts");
        keeper.finish(None).expect("written");
        at += 10 * DAY;
    }
    let told = recall(&path, &[plain(1), plain(2)], now()).proxies;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].proxy.id(), plain(1).id());
    assert!(told[0].age >= 39 * DAY, "it was listed, not observed");
}

#[test]
fn an_export_fills_an_empty_state_and_what_can_be_told_of_another() {
    let (_one, from) = folder();
    let memory = Memory {
        proxies: vec![of(plain(1), 5), of(secret(1), 6)],
        pairs: vec![
            refused(plain(1), "http://a.test"),
            refused(secret(1), "http://a.test"),
        ],
        hosts: Vec::new(),
        limits: Vec::new(),
        tiers: Vec::new(),
    };
    run(&from, memory, now());
    let mut lines = Vec::new();
    let rows = State::open_existing(&from)
        .expect("opens")
        .export(&mut lines)
        .expect("written");
    assert_eq!(rows, 5, "two proxies, two pairs, a run");
    assert!(!String::from_utf8_lossy(&lines).contains(PASSWORD));
    let list = [plain(1), secret(1)];
    let import = |path: &Path| {
        let mut state = State::open(path).expect("opens").state;
        state.import(&mut &lines[..], "export").expect("taken")
    };

    let (_two, empty) = folder();
    assert_eq!(
        import(&empty),
        Imported {
            taken: 5,
            ..Imported::default()
        }
    );
    let told = recall(&empty, &list, now());
    assert_eq!((told.proxies.len(), told.pairs.len()), (2, 2));
    assert_eq!(
        import(&empty).older,
        1,
        "the run; equal rows are taken again"
    );

    let (_three, other) = folder();
    run(
        &other,
        Memory {
            proxies: vec![of(plain(9), 1)],
            ..Memory::default()
        },
        now(),
    );
    assert_eq!(import(&other).untold, 2);
    let told = recall(&other, &list, now());
    assert_eq!((told.proxies.len(), told.pairs.len()), (1, 1));
    assert_eq!(told.proxies[0].proxy.id(), plain(1).id());

    let mut state = State::open(&other).expect("opens").state;
    let broken = [&lines[..], b"{\"kind\":\"proxy\"}\n"].concat();
    let error = state
        .import(&mut &broken[..], "export")
        .expect_err("refused");
    assert!(error.to_string().starts_with("export:7: "), "{error}");
}

#[test]
fn what_is_named_is_forgotten_and_nothing_else() {
    let (_folder, path) = folder();
    let names = ["http://a.test", "https://a.test:8443", "https://ba.test"];
    let memory = Memory {
        proxies: (1..6).map(|n| of(plain(n), n)).collect(),
        pairs: names
            .iter()
            .flat_map(|name| [1, 2].map(|n| refused(plain(n), name)))
            .collect(),
        hosts: Vec::new(),
        limits: Vec::new(),
        tiers: Vec::new(),
    };
    run(&path, memory, now());
    let mut state = State::open_existing(&path).expect("opens");
    let mut forget = |what: &str| {
        let forgotten = state.forget(what).expect("written");
        (forgotten.proxies, forgotten.pairs)
    };
    assert_eq!(forget("a.test"), (0, 4), "both schemes and ports");
    assert_eq!(forget("*"), (0, 0));
    assert_eq!(forget("10.0.0.1:80"), (1, 1));
    let label = plain(2).label().to_string();
    assert_eq!(forget(&label), (1, 1));
    assert_eq!(forget(label.split('#').next().expect("an address")), (0, 0));
    let (_, digits) = label.split_once('#').expect("digits");
    assert_eq!(forget(&format!("#{digits}")), (0, 0), "it is gone already");
    let id = state.salt.id(plain(3).id()).to_string();
    assert_eq!(state.forget(&id).expect("written").proxies, 1);
    let best = state.top(1, now()).expect("read");
    assert_eq!(best[0].1.label, plain(5).label().to_string());
    let kept = state
        .forget_older(Duration::from_secs(3600), now())
        .expect("written");
    assert_eq!(kept, Forgotten::default());
    let all = state
        .forget_older(Duration::ZERO, now() + DAY)
        .expect("written");
    assert_eq!((all.proxies, all.runs), (2, 1));
    state.vacuum().expect("written");
}
