//! Who is told of a run, and how: programs and addresses get each alert until it has arrived, and nobody hears of what is as it was.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use proxywheel::lab::{Asked, Lab, Shown};
use ring::hmac;
use serde_json::Value;

use crate::running::{Running, until};
use crate::track_cron::{JOB, free};
use crate::track_engine::Scene;

/// A request that came in: path, signature, body.
type Got = (String, Option<String>, String);

/// A server that answers with these statuses, one after the other, then with 200.
struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<Got>>>,
    statuses: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let receiver = Receiver {
            port: listener.local_addr().expect("an address").port(),
            got: Arc::default(),
            statuses: Arc::default(),
        };
        let (got, statuses) = (receiver.got.clone(), receiver.statuses.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.expect("a connection"));
                let mut line = String::new();
                stream.read_line(&mut line).expect("a request line");
                let path = line.split(' ').nth(1).expect("a path").to_owned();
                let (mut length, mut signature) = (0, None);
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).expect("a header");
                    let Some((name, value)) = line.trim_end().split_once(": ") else {
                        break;
                    };
                    match name.to_ascii_lowercase().as_str() {
                        "content-length" => length = value.parse().expect("a length"),
                        "x-proxywheel-signature" => signature = Some(value.to_owned()),
                        "content-type" => assert_eq!(value, "application/json"),
                        _ => {}
                    }
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).expect("a body");
                let body = String::from_utf8(body).expect("UTF-8");
                got.lock().expect("no panic").push((path, signature, body));
                let mut statuses = statuses.lock().expect("no panic");
                let status = if statuses.is_empty() {
                    200
                } else {
                    statuses.remove(0)
                };
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                stream.get_mut().write_all(answer.as_bytes()).expect("sent");
            }
        });
        receiver
    }

    /// The next requests are answered so.
    fn answers(&self, statuses: &[u16]) {
        *self.statuses.lock().expect("no panic") = statuses.to_vec();
    }

    /// What came in since the last look.
    fn take(&self) -> Vec<Got> {
        std::mem::take(&mut *self.got.lock().expect("no panic"))
    }
}

/// The first keyword moves every second day, the second never.
fn moving(query: u32, _: &str, day: u32) -> Option<u32> {
    Some(query + 1 + if query == 0 { 5 * (day / 2) } else { 0 })
}

/// On the last day nobody gets anything.
fn down(_: &Asked, _: u32, day: u32, _: u32) -> Option<Shown> {
    (day == 99).then(|| Shown::html(429, "<title>Too many requests</title>"))
}

fn scene(more: &str, obstacle: fn(&Asked, u32, u32, u32) -> Option<Shown>) -> Scene {
    let scene = Scene::of(Lab::builder().perfect(4), moving, obstacle);
    scene.write("job.toml", &format!("{JOB}{more}"));
    scene.write("keywords.txt", "keyword 0\nkeyword 1\n");
    scene
}

/// Runs the job on a day; exit code, standard output and standard error.
fn run(scene: &Scene, day: u32, flags: &str) -> (Option<i32>, String, String) {
    scene.set_day(day);
    let words = format!("run job.toml --state state.db --progress none {flags}");
    let mut track = scene.track(&words, i64::from(day) * 24);
    let output = track.env("KEY", "s3cret").output().expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

const LINE: &str = "keyword 0 · me: moved from 1 to 6\n";

#[test]
fn a_webhook_is_signed_and_gets_every_alert_until_it_has_arrived_and_others_get_it_once() {
    let receiver = Receiver::start();
    let port = receiver.port;
    let more = format!(
        "[[alert]]\nwhen = \"moved\"\nby = 5\nwebhook = \"http://127.0.0.1:{port}/a/token\"\nsecret = \"${{KEY}}\"\n\
         command = [\"sh\", \"-c\", \"cat >> told.jsonl\"]\n"
    );
    let scene = scene(&more, free);
    assert_eq!(
        run(&scene, 0, "-q"),
        (Some(0), String::new(), String::new())
    );
    let quiet = run(&scene, 1, "-q --exit-on-change");
    assert_eq!(quiet, (Some(0), String::new(), String::new()), "as it was");
    assert_eq!(receiver.take(), []);

    // The server is out for the whole of a run: the program is told, the address is not.
    receiver.answers(&[500, 503, 500]);
    let (code, out, err) = run(&scene, 2, "-q --exit-on-change");
    assert_eq!((code, &*out), (Some(10), LINE));
    assert!(err.contains("an alert did not arrive: 127.0.0.1"), "{err}");
    assert!(!err.contains("token") && !err.contains("s3cret"), "{err}");
    let tried = receiver.take();
    assert_eq!(tried.len(), 3, "{tried:?}");
    assert!(tried.iter().all(|each| *each == tried[0]), "{tried:?}");

    // Nothing is new in the next one, which is when it arrives, at the second try.
    receiver.answers(&[500]);
    let (code, out, err) = run(&scene, 3, "-q --exit-on-change");
    assert_eq!((code, &*out, &*err), (Some(0), "", ""));
    let arrived = receiver.take();
    assert_eq!(arrived.len(), 2, "{arrived:?}");
    assert_eq!(arrived[1], tried[0], "the same as before");
    let (path, signature, body) = &arrived[1];
    assert_eq!(path, "/a/token");
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"s3cret");
    let mut expected = "sha256=".to_owned();
    for byte in hmac::sign(&key, body.as_bytes()).as_ref() {
        write!(expected, "{byte:02x}").expect("written");
    }
    assert_eq!(signature.as_deref(), Some(&*expected));
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["job"], "job");
    let [event] = &body["events"].as_array().expect("events")[..] else {
        panic!("one event: {body}");
    };
    let word = |key: &str| event[key].as_str().expect(key);
    assert_eq!((word("when"), word("target")), ("moved", "me"));
    assert_eq!(word("text"), LINE.trim_end());
    assert_eq!(event["series"]["query"], "keyword 0");
    assert_eq!(event["before"]["position"], 1);
    assert_eq!(event["after"]["position"], 6);

    assert_eq!(
        run(&scene, 3, "-q"),
        (Some(0), String::new(), String::new())
    );
    assert_eq!(receiver.take(), [], "it has arrived");
    let told = scene.read("told.jsonl");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(serde_json::from_str::<Value>(&told).expect("JSON"), body);
}

#[test]
fn a_signal_ends_the_telling_and_the_next_run_tells_the_rest() {
    let more = "[[alert]]\nwhen = \"moved\"\nby = 5\n\
        command = [\"sh\", \"-c\", \"echo $$ > pid; test -e slow && exec sleep 60; cat >> told.jsonl\"]\n";
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let scene = scene(more, free);
        assert_eq!(run(&scene, 0, "-q").0, Some(0));
        scene.write("slow", "");
        scene.set_day(2);
        let words = "run job.toml --state state.db --progress none -q";
        let mut running = Running::start(&mut scene.track(words, 48));
        until("a program", || scene.read("pid").ends_with('\n'));
        running.signal(signal);
        let begun = Instant::now();
        assert_eq!(running.wait().code(), Some(code), "{}", running.said());
        assert!(begun.elapsed() < Duration::from_secs(30), "{signal}");
        let said = running.said();
        assert!(said.contains("stopped by a signal"), "{said}");
        let program = format!("/proc/{}", scene.read("pid").trim());
        until("its end", || !Path::new(&program).exists());

        std::fs::remove_file(scene.folder.path().join("slow")).expect("removed");
        let (code, out, err) = run(&scene, 3, "-q");
        assert_eq!((code, &*out, &*err), (Some(0), "", ""));
        assert_eq!(scene.read("told.jsonl").lines().count(), 1, "{signal}");
    }
}

#[test]
fn hooks_hear_of_the_beginning_and_of_one_of_the_two_ends() {
    let receiver = Receiver::start();
    let port = receiver.port;
    let more = format!(
        "[hooks]\non_start = \"http://127.0.0.1:{port}/start\"\non_success = \"http://127.0.0.1:{port}/success\"\n\
         on_failure = [\"sh\", \"-c\", \"cat >> failed.jsonl; echo noise\"]\n"
    );
    let scene = scene(&more, down);
    let paths = || {
        let got = receiver.take();
        got.into_iter()
            .map(|(path, signature, body)| {
                assert_eq!(signature, None);
                (path, serde_json::from_str::<Value>(&body).expect("JSON"))
            })
            .collect::<Vec<_>>()
    };
    let (code, out, _) = run(&scene, 0, "-q");
    assert_eq!((code, &*out), (Some(0), ""));
    let [start, success] = &paths()[..] else {
        panic!("two");
    };
    assert_eq!((&*start.0, &start.1["queries"]), ("/start", &2.into()));
    assert_eq!((&*success.0, &success.1["exit"]), ("/success", &0.into()));
    assert_eq!(success.1["states"]["ranked"], 2);

    let (code, out, _) = run(&scene, 99, "-q");
    assert_eq!((code, &*out), (Some(8), ""), "what a hook says is no data");
    let told = paths();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, "/start");
    let failed: Value = serde_json::from_str(&scene.read("failed.jsonl")).expect("JSON");
    assert_eq!(
        (&failed["exit"], &failed["reason"]),
        (&8.into(), &"blocked".into())
    );

    // Before anything is asked: a job whose list is empty fails as well.
    scene.write("proxies.txt", "");
    let (code, _, err) = run(&scene, 99, "-q");
    assert_eq!(code, Some(2), "{err}");
    assert_eq!(paths().len(), 0, "it has not begun");
    assert_eq!(scene.read("failed.jsonl").lines().count(), 2);
}
