//! The reader thread: files in, batches of jobs out.
//!
//! Parsing is on a thread of its own because reading blocks, and because it then costs the engine nothing. The look-ahead is
//! bounded by jobs, not bytes: [`LOOK_AHEAD`] batches, whatever the input holds.
//!
//! A batch that is not full is sent before the thread blocks in `read`, so that a slow pipe (`tail -f urls | …`) is fetched as
//! it comes. The reader of a file cannot know when `read` will block, so [`Tap`] sits below every buffer and flushes there.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::error::{Error, Problem};
use crate::job::{DoneSet, Job, RequestSpec};

use super::csv::{self, Table};
use super::outlook::Outlook;
use super::{BATCH, InputFormat, JobSource, Settings, Source, jsonl, text};

/// Batches read ahead: about a thousand jobs.
const LOOK_AHEAD: usize = 1024 / BATCH;
/// Bytes asked of the system at a time.
const BUFFER: usize = 64 * 1024;

type Parcel = Result<Vec<Job>, Error>;

/// Inputs that are open and understood, not yet read; see [`super::prepare`].
pub struct Prepared {
    urls: Vec<String>,
    inputs: Vec<Input>,
    batch: Arc<Mutex<Batch>>,
    receiver: Receiver<Parcel>,
    request: Arc<RequestSpec>,
}

/// One open file.
struct Input {
    place: String,
    body: Body,
}

enum Body {
    Text(BufReader<Tap>),
    Jsonl(BufReader<Tap>),
    Csv(Box<Table<Tap>>),
}

impl Prepared {
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        if settings.urls.is_empty() && settings.files.is_empty() {
            return Err(Problem::new("nothing to fetch: no URL and no input file")
                .hint("name URLs as arguments, or a file with -i urls.txt (-i - reads stdin)")
                .into());
        }
        let stdin = settings.files.iter().filter(|file| **file == Source::Stdin);
        if stdin.count() > 1 {
            return Err(Problem::new("standard input can be read only once")
                .at("-i -")
                .into());
        }
        let (sender, receiver) = channel(LOOK_AHEAD);
        let sizes = settings.files.iter().map(Source::size);
        let batch = Arc::new(Mutex::new(Batch {
            sender,
            jobs: Vec::new(),
            seq: 0,
            pushed: 0,
            consumed: 0,
            outlook: Arc::new(Outlook::new(sizes.sum())),
            done: DoneSet::default(),
            skipped: Arc::default(),
        }));
        let mut inputs = Vec::with_capacity(settings.files.len());
        for source in &settings.files {
            let tap = Tap {
                inner: open_source(source)?,
                batch: batch.clone(),
                left: None,
            };
            let place = source.to_string();
            let body = match settings.format.unwrap_or_else(|| source.format()) {
                InputFormat::Text => Body::Text(BufReader::with_capacity(BUFFER, tap)),
                InputFormat::Jsonl => Body::Jsonl(BufReader::with_capacity(BUFFER, tap)),
                InputFormat::Csv => {
                    let wanted = settings.url_column.as_deref();
                    let tap = Tap {
                        left: Some(ROW_BUDGET),
                        ..tap
                    };
                    Body::Csv(Box::new(Table::new(tap, &place, wanted)?))
                }
            };
            inputs.push(Input { place, body });
        }
        Ok(Prepared {
            urls: settings.urls,
            inputs,
            batch,
            receiver,
            request: settings.request,
        })
    }

    /// The columns of the CSV inputs that become `tag`, each once, in order: what a CSV output can name in its header.
    pub fn tag_columns(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for input in &self.inputs {
            if let Body::Csv(table) = &input.body {
                for name in table.tag_columns() {
                    if !names.iter().any(|known| known == name) {
                        names.push(name.to_owned());
                    }
                }
            }
        }
        names
    }

    /// Starts the thread; jobs in `done` are skipped and counted.
    ///
    /// # Errors
    /// [`Error::Io`] when no thread can be started.
    pub fn start(self, done: DoneSet) -> Result<ReaderSource, Error> {
        let Prepared {
            urls,
            inputs,
            batch,
            receiver,
            request,
        } = self;
        let (skipped, outlook) = {
            let mut batch = lock(&batch);
            batch.done = done;
            (batch.skipped.clone(), batch.outlook.clone())
        };
        let thread = Builder::new()
            .name("input".to_owned())
            .spawn(move || read_all(urls, inputs, &batch, &request))
            .map_err(|error| Error::io("start", "the input thread", error))?;
        Ok(ReaderSource {
            receiver,
            skipped,
            outlook,
            given: 0,
            thread: Some(thread),
        })
    }
}

/// The jobs of the arguments and files, read by a thread that ends when this is dropped (or when its `read` returns).
#[derive(Debug)]
pub struct ReaderSource {
    receiver: Receiver<Parcel>,
    skipped: Arc<AtomicU64>,
    outlook: Arc<Outlook>,
    /// Jobs handed over.
    given: u64,
    thread: Option<JoinHandle<()>>,
}

impl ReaderSource {
    /// Jobs left out because they are done; counts on while the source is in use elsewhere.
    pub fn skipped(&self) -> Arc<AtomicU64> {
        self.skipped.clone()
    }
}

impl JobSource for ReaderSource {
    async fn next(&mut self) -> Option<Parcel> {
        let parcel = self.receiver.recv().await;
        if parcel.is_none()
            && let Some(thread) = self.thread.take()
            // The sender is gone, so the thread is at its end; a panic there must not pass for the end of the input.
            && let Err(panic) = thread.join()
        {
            resume_unwind(panic);
        }
        if let Some(Ok(jobs)) = &parcel {
            self.given += jobs.len() as u64;
        }
        parcel
    }

    fn remaining(&self) -> Option<u64> {
        self.outlook.beyond(self.given)
    }
}

/// What the thread has parsed and not yet sent.
struct Batch {
    sender: Sender<Parcel>,
    jobs: Vec<Job>,
    /// Jobs so far, skipped ones included: the position in the input.
    seq: u64,
    /// Jobs so far without those, and the bytes of files that all of them were.
    pushed: u64,
    consumed: u64,
    outlook: Arc<Outlook>,
    done: DoneSet,
    skipped: Arc<AtomicU64>,
}

/// Nobody listens any more.
struct Gone;

impl Batch {
    fn push(&mut self, job: Job) -> Result<(), Gone> {
        self.seq += 1;
        if self.done.take(job.id) {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if self.jobs.capacity() == 0 {
            self.jobs.reserve_exact(BATCH);
        }
        self.jobs.push(job);
        self.pushed += 1;
        if self.jobs.len() < BATCH {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Gone> {
        self.outlook.note(self.consumed, self.pushed);
        if self.jobs.is_empty() {
            return Ok(());
        }
        let jobs = std::mem::take(&mut self.jobs);
        self.sender.blocking_send(Ok(jobs)).map_err(|_| Gone)
    }
}

/// Poisoned only by a panic of the one thread that uses it, which is re-raised elsewhere.
fn lock(batch: &Mutex<Batch>) -> MutexGuard<'_, Batch> {
    batch.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Flushes the batch before every read that may block, and bounds the bytes of one CSV row.
struct Tap {
    inner: Box<dyn Read + Send>,
    batch: Arc<Mutex<Batch>>,
    /// Bytes that may still be read for the row at hand; `None` without a bound.
    left: Option<u64>,
}

/// Bytes read for one CSV row: one buffer more than it may have, since the read that brings its end may bring more rows.
const ROW_BUDGET: u64 = csv::MAX_ROW + BUFFER as u64;

/// Text of the error for a CSV row that does not end.
const ROW_TOO_LONG: &str = "a row is longer than 1 MiB; is a quote never closed?";

impl Read for Tap {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if lock(&self.batch).flush().is_err() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if self.left == Some(0) {
            return Err(io::Error::other(ROW_TOO_LONG));
        }
        let count = self.inner.read(into)?;
        self.left = self.left.map(|left| left.saturating_sub(count as u64));
        Ok(count)
    }
}

fn open_source(source: &Source) -> Result<Box<dyn Read + Send>, Error> {
    match source {
        Source::Stdin => Ok(Box::new(io::stdin())),
        Source::File(path) => open_file(path),
    }
}

fn open_file(path: &Path) -> Result<Box<dyn Read + Send>, Error> {
    let file = File::open(path).map_err(|error| Error::io("read", path, error))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(Problem::new("the input is a directory")
            .at(path.display().to_string())
            .hint("name a file in it with -i")
            .into());
    }
    Ok(Box::new(file))
}

/// Why reading ended early.
enum Stop {
    Gone,
    Failed(Error),
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Stop::Gone
    }
}

fn read_all(
    urls: Vec<String>,
    inputs: Vec<Input>,
    batch: &Mutex<Batch>,
    request: &Arc<RequestSpec>,
) {
    let read = || -> Result<(), Stop> {
        for url in urls {
            let mut batch = lock(batch);
            let job = Job::new(batch.seq, url.trim(), request.clone());
            batch.push(job)?;
        }
        for input in inputs {
            read_input(input, batch, request)?;
        }
        Ok(lock(batch).flush()?)
    };
    if let Err(Stop::Failed(error)) = read() {
        let mut batch = lock(batch);
        // What was read before the failure is still good; nobody listening any more is no failure.
        if batch.flush().is_ok() {
            let _ = batch.sender.blocking_send(Err(error));
        }
    }
}

fn read_input(input: Input, batch: &Mutex<Batch>, request: &Arc<RequestSpec>) -> Result<(), Stop> {
    let Input { place, body } = input;
    match body {
        Body::Text(reader) => {
            read_lines(reader, &place, text::MAX_LINE, batch, |line, long, seq| {
                text::job(line, long, seq, request)
            })
        }
        Body::Jsonl(reader) => {
            read_lines(reader, &place, jsonl::MAX_LINE, batch, |line, long, seq| {
                jsonl::job(line, long, seq, request)
            })
        }
        Body::Csv(table) => read_table(*table, &place, batch, request),
    }
}

fn read_lines(
    mut reader: BufReader<Tap>,
    place: &str,
    limit: usize,
    batch: &Mutex<Batch>,
    parse: impl Fn(&[u8], bool, u64) -> Option<Job>,
) -> Result<(), Stop> {
    let mut line = Vec::new();
    let mut first = true;
    loop {
        let too_long = match text::read_line(&mut reader, &mut line, limit) {
            Ok(Some(too_long)) => too_long,
            Ok(None) => return Ok(()),
            Err(error) => return Err(stop(Error::io("read", place, error), batch)),
        };
        let content = match line.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if first => rest,
            _ => &line,
        };
        first = false;
        let mut batch = lock(batch);
        batch.consumed += line.len() as u64 + 1;
        if let Some(job) = parse(content, too_long, batch.seq) {
            batch.push(job)?;
        }
    }
}

fn read_table(
    mut table: Table<Tap>,
    place: &str,
    batch: &Mutex<Batch>,
    request: &Arc<RequestSpec>,
) -> Result<(), Stop> {
    let before = lock(batch).consumed;
    loop {
        let line = table.line();
        table.input_mut().left = Some(ROW_BUDGET);
        match table.advance() {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(_) if table.input_mut().left == Some(0) => {
                let problem = Problem::new(ROW_TOO_LONG).at(format!("{place}:{line}"));
                return Err(stop(problem.into(), batch));
            }
            Err(error) => return Err(stop(csv::read_error(error, place), batch)),
        }
        let mut batch = lock(batch);
        batch.consumed = before + table.position();
        let job = table.job(batch.seq, request);
        batch.push(job)?;
    }
}

/// An error of a read that failed only because nobody listens is no error.
fn stop(error: Error, batch: &Mutex<Batch>) -> Stop {
    if lock(batch).sender.is_closed() {
        Stop::Gone
    } else {
        Stop::Failed(error)
    }
}
