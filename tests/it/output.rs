//! The writer and its file: locking, modes, forms, full disks and readers that go away.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use proxywheel::error::Error;
use proxywheel::job::{Job, RequestSpec};
use proxywheel::outcome::{BodyField, Finished, Outcome, Record, Timing, UnixMillis};
use proxywheel::output::{self, BodyMode, Format, Mode, Settings, Writer, WriterHandle, Written};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// A finished fetch of `http://a/SEQ`, title and body as given.
pub(crate) fn finished(seq: u64, outcome: Outcome, title: &str, body: &'static str) -> Finished {
    let job = Job::new(
        seq,
        &format!("http://a/{seq}"),
        Arc::new(RequestSpec::default()),
    );
    let record = Record {
        v: 1,
        id: job.id,
        seq,
        input: job.input,
        url: None,
        final_url: None,
        method: job.request.method.clone(),
        tag: None,
        outcome,
        ok: outcome == Outcome::Ok,
        status: Some(200),
        http_version: Some("1.1"),
        content_type: Some("text/html".into()),
        charset: None,
        etag: None,
        last_modified: None,
        proxy: None,
        proxy_connect_status: None,
        exit_ip: None,
        attempts: 1,
        proxies_tried: 1,
        attempt_log: Vec::new(),
        ban: None,
        edge: None,
        error: None,
        redirects: Vec::new(),
        timing: Timing::default(),
        started_at: None,
        finished_at: UnixMillis(0),
        size_wire: None,
        size_body: None,
        truncated: None,
        cost: None,
        body_sha256: None,
        title: Some(title.into()),
        fields: None,
        row: None,
        rows: None,
        headers: None,
        body: BodyField::None,
        resumed: false,
    };
    Finished {
        record: Box::new(record),
        body: Bytes::from_static(body.as_bytes()),
        more: Vec::new(),
    }
}

pub(crate) fn settings(path: &Path, mode: Mode) -> Settings {
    Settings {
        path: Some(path.to_owned()),
        format: Format::of(Some(path)),
        mode,
        ..Settings::default()
    }
}

/// Starts a writer beside a test that blocks.
pub(crate) fn start(writer: Writer) -> Result<WriterHandle, Error> {
    static ROWS: LazyLock<Runtime> = LazyLock::new(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()
            .expect("a runtime")
    });
    let _within = ROWS.enter();
    writer.start()
}

/// Opens, writes and closes.
pub(crate) fn write(
    settings: Settings,
    records: impl IntoIterator<Item = Finished>,
) -> Result<Written, Error> {
    let handle = start(output::open(settings)?.writer)?;
    for record in records {
        if handle.sender.blocking_send(record).is_err() {
            break;
        }
    }
    handle.join()
}

fn rows(count: u64) -> impl Iterator<Item = Finished> {
    (0..count).map(|seq| finished(seq, Outcome::Ok, "t", "<p>é</p>"))
}

#[test]
fn a_second_run_on_the_same_output_is_locked_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.jsonl");
    let first = output::open(settings(&path, Mode::New)).unwrap();
    for mode in [Mode::New, Mode::Append, Mode::Overwrite, Mode::Resume] {
        let error = output::open(settings(&path, mode)).unwrap_err();
        assert!(
            matches!(&error, Error::Locked { path: p, .. } if *p == path),
            "{error:?}"
        );
    }
    drop(first);
    output::open(settings(&path, Mode::New)).unwrap();
    // Devices are shared by nature.
    let null = Path::new("/dev/null");
    let _one = output::open(settings(null, Mode::New)).unwrap();
    output::open(settings(null, Mode::New)).unwrap();
}

#[test]
fn an_output_with_content_is_touched_only_on_request() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.csv");
    // What mktemp leaves is not content.
    fs::write(&path, "").unwrap();
    write(settings(&path, Mode::New), rows(2)).unwrap();
    let two = fs::read_to_string(&path).unwrap();

    let error = write(settings(&path, Mode::New), rows(1)).unwrap_err();
    assert!(matches!(error, Error::Usage(_)), "{error:?}");
    assert!(error.hint().unwrap().contains("--resume"));
    assert_eq!(fs::read_to_string(&path).unwrap(), two);

    let written = write(settings(&path, Mode::Append), rows(1)).unwrap();
    assert_eq!(written.records, 1);
    let three = fs::read_to_string(&path).unwrap();
    assert!(three.starts_with(&two));
    assert_eq!(three.matches("seq,id").count(), 1, "one header");
    assert_eq!(three.lines().count(), 4);

    write(settings(&path, Mode::Overwrite), rows(1)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);

    // Other columns than those of the file.
    let mut other = settings(&path, Mode::Append);
    other.tag_columns = vec!["q".to_owned()];
    let error = write(other, rows(1)).unwrap_err().to_string();
    assert!(
        error.contains("other columns") && error.contains("out.csv:1"),
        "{error}"
    );
}

#[test]
fn a_json_array_is_valid_after_every_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.json");
    for (mode, count, total) in [
        (Mode::New, 0, 0),
        (Mode::Append, 0, 0),
        (Mode::Append, 2, 2),
        (Mode::Append, 1, 3),
        (Mode::Resume, 0, 3),
        (Mode::Overwrite, 1, 1),
    ] {
        write(settings(&path, mode), rows(count)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let array: Vec<Value> = serde_json::from_str(&text).expect(&text);
        assert_eq!(array.len(), total, "{mode:?}: {text}");
    }
}

#[test]
fn contradicting_settings_are_refused_before_anything_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.jsonl");
    let base = || settings(&path, Mode::New);
    let cases = [
        (
            "--resume",
            Settings {
                path: None,
                mode: Mode::Resume,
                ..base()
            },
        ),
        (
            "--write-out",
            Settings {
                path: None,
                write_out: Some("x".into()),
                ..base()
            },
        ),
        (
            "--write-out",
            Settings {
                write_out: Some("%{nope}".into()),
                ..base()
            },
        ),
        (
            "--retry-failed",
            Settings {
                retry_failed: true,
                ..base()
            },
        ),
        (
            "--body file",
            Settings {
                body: BodyMode::File,
                ..base()
            },
        ),
        (
            "--fields",
            Settings {
                fields: Some(vec!["nope".into()]),
                ..base()
            },
        ),
    ];
    for (place, settings) in cases {
        let Error::Usage(problem) = output::open(settings).unwrap_err() else {
            panic!("{place}: not a usage error");
        };
        assert_eq!(problem.place.as_deref(), Some(place));
        assert!(problem.hint.is_some(), "{problem}");
        assert!(!path.exists());
    }
    let error = output::open(settings(directory.path(), Mode::New)).unwrap_err();
    assert!(error.to_string().contains("directory"), "{error}");
}

#[test]
fn body_files_are_there_before_their_rows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.jsonl");
    let settings = Settings {
        body: BodyMode::File,
        save_dir: Some(directory.path().join("pages")),
        ..settings(&path, Mode::New)
    };
    let handle = start(output::open(settings).unwrap().writer).unwrap();
    let mut receipts = handle.receipts.clone();
    handle
        .sender
        .blocking_send(finished(0, Outcome::Ok, "t", "<p>"))
        .unwrap();
    // Once it counts, both the row and its file are there, though the writer still runs.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime
        .block_on(receipts.wait_for(|receipt| receipt.written == 1))
        .unwrap();
    let row: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let file = row["body_path"].as_str().unwrap();
    assert_eq!(fs::read(file).unwrap(), b"<p>");
    assert_eq!(handle.join().unwrap().records, 1);
}

#[test]
fn a_full_device_stops_the_run_with_an_io_error() {
    let opened = output::open(settings(Path::new("/dev/full"), Mode::New)).unwrap();
    let handle = start(opened.writer).unwrap();
    let mut row = rows(1);
    handle.sender.blocking_send(row.next().unwrap()).unwrap();
    // Senders learn of it; nothing waits for ever.
    while handle
        .sender
        .blocking_send(finished(1, Outcome::Ok, "t", ""))
        .is_ok()
    {}
    assert_eq!(handle.receipts.borrow().written, 0);
    let error = handle.join().unwrap_err();
    let Error::Io { path, source, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(path, Path::new("/dev/full"));
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
}

/// Runs this test again as a child that may not write files beyond 64 kB, which looks like a disk that fills up.
#[test]
fn a_disk_that_fills_up_leaves_whole_rows() {
    const CHILD: &str = "PROXYWHEEL_TEST_FULL_DISK";
    const NAME: &str = "output::a_disk_that_fills_up_leaves_whole_rows";
    if let Some(path) = std::env::var_os(CHILD) {
        let error = write(settings(&PathBuf::from(path), Mode::New), rows(5000)).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error:?}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for name in ["out.jsonl", "out.json", "out.csv"] {
        let path = directory.path().join(name);
        let status = Command::new("sh")
            .args([
                "-c",
                "trap '' XFSZ; ulimit -f 128; exec \"$0\" --exact \"$1\"",
            ])
            .arg(std::env::current_exe().unwrap())
            .arg(NAME)
            .env(CHILD, &path)
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
        let before = fs::read_to_string(&path).unwrap();
        assert!(before.len() > 10_000, "{name}: {} bytes", before.len());
        match name {
            "out.jsonl" => {
                for line in before.lines() {
                    serde_json::from_str::<Value>(line).expect(line);
                }
                assert!(before.ends_with('\n'));
            }
            "out.json" => {
                serde_json::from_str::<Vec<Value>>(&before)
                    .expect("closed though the disk is full");
            }
            _ => assert!(before.ends_with('\n')),
        }
        let opened = output::open(settings(&path, Mode::Resume)).unwrap();
        assert_eq!(opened.repaired.cut_bytes, 0, "{name}");
        assert_eq!(opened.repaired.rows as usize, opened.done.len());
    }
}

#[test]
fn a_reader_that_goes_away_is_a_normal_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe.jsonl");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let reader = std::thread::spawn({
        let path = path.clone();
        move || {
            let mut some = [0; 100];
            fs::File::open(path).unwrap().read_exact(&mut some).unwrap();
        }
    });
    let written = write(
        settings(&path, Mode::New),
        (0..).map(|seq| finished(seq, Outcome::Ok, "t", "")),
    );
    reader.join().unwrap();
    assert!(written.unwrap().reader_gone);
}
