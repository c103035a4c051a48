//! Jobs from files: what each line becomes, and when.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use proxywheel::error::{Error, Problem};
use proxywheel::input::{
    self, InputFormat, JobSource, ReaderSource, Settings, Source, StreamSource,
};
use proxywheel::job::{DoneSet, Job};

fn from(path: &Path) -> Settings {
    Settings {
        files: vec![Source::File(path.to_owned())],
        ..Settings::default()
    }
}

async fn all(mut source: impl JobSource) -> Vec<Job> {
    let mut jobs = Vec::new();
    while let Some(batch) = source.next().await {
        let batch = batch.unwrap();
        assert!((1..=input::BATCH).contains(&batch.len()));
        jobs.extend(batch);
    }
    jobs
}

fn file(name: &str, content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, content).unwrap();
    (directory, path)
}

#[tokio::test]
async fn every_line_of_text_is_a_job_or_a_comment() {
    let mut text =
        b"\xef\xbb\xbfhttp://a/1\r\n\r\n  # comment\nhttp://a/caf\xe9\nnot a url\n".to_vec();
    text.extend_from_slice(b"http://a/");
    text.extend(std::iter::repeat_n(b'x', 1_000_000));
    text.extend_from_slice(b"\n http://a/2");
    let (_directory, path) = file("urls.txt", text);
    let mut settings = from(&path);
    settings.urls = vec!["http://argument/".to_owned()];
    let jobs = all(input::open(settings, DoneSet::default()).unwrap()).await;

    let inputs: Vec<_> = jobs
        .iter()
        .map(|job| job.input.chars().take(20).collect::<String>())
        .collect();
    assert_eq!(
        inputs,
        [
            "http://argument/",
            "http://a/1",
            "http://a/caf\u{fffd}",
            "not a url",
            "http://a/xxxxxxxxxxx",
            "http://a/2"
        ]
    );
    let seqs: Vec<_> = jobs.iter().map(|job| job.seq).collect();
    assert_eq!(seqs, [0, 1, 2, 3, 4, 5]);
    let why = |at: usize| jobs[at].target.as_ref().unwrap_err().0.to_string();
    assert!(why(2).contains("UTF-8"));
    assert!(why(3).contains("absolute"));
    assert_eq!(why(4), "line longer than 64 kB");
    assert_eq!(jobs[4].input.chars().count(), 200);
    assert!(jobs[0].target.is_ok() && jobs[1].target.is_ok() && jobs[5].target.is_ok());
}

#[tokio::test]
async fn done_jobs_are_skipped_as_often_as_they_are_done() {
    let urls = ["http://a/1", "http://a/2", "http://a/1", "http://a/1"];
    let (_directory, path) = file("urls.txt", urls.join("\n"));
    let mut done = DoneSet::default();
    for url in &urls[..3] {
        done.insert(Job::new(0, url, Arc::default()).id);
    }
    let source = input::open(from(&path), done.clone()).unwrap();
    let skipped = source.skipped();
    let jobs = all(source).await;
    // Positions are those of the input, not of what is left of it.
    assert_eq!((jobs.len(), jobs[0].seq), (1, 3));
    assert_eq!(skipped.load(Ordering::Relaxed), 3);

    let jobs = urls.map(|url| Job::new(0, url, Arc::default()));
    let source = StreamSource::new(Ready(jobs.into())).skipping(done);
    let skipped = source.skipped();
    assert_eq!(all(source).await.len(), 1);
    assert_eq!(skipped.load(Ordering::Relaxed), 3);
}

/// A stream that is always ready.
struct Ready(std::collections::VecDeque<Job>);

impl futures_core::Stream for Ready {
    type Item = Job;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Job>> {
        std::task::Poll::Ready(self.0.pop_front())
    }
}

#[tokio::test]
async fn the_format_goes_by_suffix_or_by_name() {
    let (_jsonl, path) = file(
        "a.ndjson",
        "{\"url\":\"http://a/\",\"method\":\"head\"}\n\n{\"url\":1}\n",
    );
    let jobs = all(input::open(from(&path), DoneSet::default()).unwrap()).await;
    assert_eq!(jobs[0].request.method, "HEAD");
    assert!(jobs[1].target.is_err());

    let (_text, path) = file("a.list", "url,q\nhttp://a/,x\n");
    let settings = Settings {
        format: Some(InputFormat::Csv),
        ..from(&path)
    };
    let prepared = input::prepare(settings).unwrap();
    assert_eq!(prepared.tag_columns(), ["q"]);
    let jobs = all(prepared.start(DoneSet::default()).unwrap()).await;
    assert_eq!(jobs[0].tag.as_ref().unwrap()["q"], "x");
}

#[test]
fn inputs_that_cannot_be_read_are_refused_before_the_run() {
    let (directory, csv) = file("a.csv", "id,site\n1,http://a/\n");
    let refused = |settings: Settings| -> Problem {
        match input::prepare(settings).err() {
            Some(Error::Usage(problem)) => problem,
            other => panic!("{other:?}"),
        }
    };
    let missing = input::prepare(from(&directory.path().join("missing.txt")));
    match missing.err() {
        Some(error @ Error::Io { action: "read", .. }) => {
            assert!(error.to_string().ends_with("missing.txt") && error.hint().is_some());
        }
        other => panic!("{other:?}"),
    }
    assert!(refused(from(directory.path())).what.contains("directory"));
    let problem = refused(from(&csv));
    assert!(problem.what.contains("id, site"), "{problem}");
    assert!(problem.hint.unwrap().contains("--url-column"));
    assert!(
        refused(Settings::default())
            .what
            .contains("nothing to fetch")
    );
    let twice = Settings {
        files: vec![Source::Stdin, Source::Stdin],
        ..Settings::default()
    };
    assert!(refused(twice).what.contains("once"));
}

#[tokio::test]
async fn a_quote_that_is_never_closed_does_not_swallow_the_input() {
    let rows = "http://a/,x\n".repeat(200_000);
    let (_directory, path) = file(
        "a.csv",
        format!("url,q\nhttp://first/,1\n\"http://a/,2\n{rows}"),
    );
    let mut source = input::open(from(&path), DoneSet::default()).unwrap();
    let mut jobs = 0;
    let error = loop {
        match source.next().await.expect("an error before the end") {
            Ok(batch) => jobs += batch.len(),
            Err(error) => break error,
        }
    };
    assert_eq!(jobs, 1, "what was read before is still fetched");
    assert!(
        error.to_string().contains("a.csv:3: a row is longer"),
        "{error}"
    );
    assert!(source.next().await.is_none());
}

fn pipe() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    (directory, path)
}

#[tokio::test]
async fn a_slow_pipe_is_fetched_as_it_comes() {
    let (_directory, path) = pipe();
    let (go_on, wait) = mpsc::channel::<()>();
    let feeder = std::thread::spawn({
        let path = path.clone();
        move || {
            let mut pipe = fs::File::options().write(true).open(path).unwrap();
            pipe.write_all(b"http://a/1\nhttp://a/2\nhttp://a/")
                .unwrap();
            // The rest is held back until both jobs have arrived.
            wait.recv().unwrap();
            pipe.write_all(b"3\n").unwrap();
        }
    });
    let mut source = input::open(from(&path), DoneSet::default()).unwrap();
    let first = tokio::time::timeout(Duration::from_secs(20), source.next()).await;
    assert_eq!(
        first
            .expect("no batch while the pipe is open")
            .unwrap()
            .unwrap()
            .len(),
        2
    );
    go_on.send(()).unwrap();
    assert_eq!(all(source).await.len(), 1);
    feeder.join().unwrap();
}

#[tokio::test]
async fn dropping_the_source_ends_its_thread() {
    let (_directory, path) = pipe();
    let (ended, end) = mpsc::channel();
    std::thread::spawn({
        let path = path.clone();
        move || {
            let mut pipe = fs::File::options().write(true).open(path).unwrap();
            // For as long as there is somebody who reads.
            while pipe.write_all(b"http://a/\n").is_ok() {}
            ended.send(()).unwrap();
        }
    });
    let mut source: ReaderSource = input::open(from(&path), DoneSet::default()).unwrap();
    source.next().await.unwrap().unwrap();
    drop(source);
    end.recv_timeout(Duration::from_secs(20))
        .expect("the thread ended");
}
