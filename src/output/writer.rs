//! The writer thread: records in, whole rows out.
//!
//! One thread encodes and writes, because a row must not be mixed with another and because the engine has better things to
//! do. It gathers: rows are written together when the channel is empty or the buffer is full, then it rests for a few
//! milliseconds so that the next `write` and the next wake-up serve many rows, not one. What is written counts in the
//! [`Receipt`]; nothing else does.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread::{Builder, JoinHandle, park_timeout};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::body::{self, BodyStore};
use super::encode::Encoder;
use super::fields::{BodyView, Row};
use super::target;
use super::write_out::WriteOut;
use super::{Attempts, BodyMode};
use crate::error::Error;
use crate::job::Receipt;
use crate::outcome::Finished;

/// Records that may wait for the writer; then the engine waits.
const CHANNEL: usize = 1024;
/// The same when every record carries its body, which may be 10 MB.
const CHANNEL_WITH_BODIES: usize = 64;
/// Records taken from the channel at a time.
const BATCH: usize = 256;
/// Bytes that are written without waiting for more.
const BUFFER: usize = 256 * 1024;
/// Rest after a write. At 50,000 records a second this is 250 rows per wake-up; nobody notices 5 ms.
const GATHER: Duration = Duration::from_millis(5);
/// Shortest time between two `fdatasync`.
const SYNC: Duration = Duration::from_secs(1);
/// Wait for a pipe that somebody else made non-blocking.
const PIPE_FULL: Duration = Duration::from_millis(1);

/// An output that is open and locked, not yet written; see [`super::open()`].
pub struct Writer {
    sink: Sink,
    encoder: Encoder,
    body: BodyMode,
    bodies: Option<BodyStore>,
    aside: Option<Aside>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("path", &self.sink.path)
            .field("format", &self.encoder.format())
            .finish_non_exhaustive()
    }
}

/// A running writer.
#[derive(Debug)]
pub struct WriterHandle {
    /// Takes the records; waits when the writer is behind; fails once the writer has stopped, and [`WriterHandle::join`] says why.
    pub sender: mpsc::Sender<Finished>,
    /// How much has been written.
    pub receipts: watch::Receiver<Receipt>,
    thread: JoinHandle<Result<Written, Error>>,
}

/// What a writer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Records written by this run.
    pub records: u64,
    /// Bytes written by this run, separators and header included.
    pub bytes: u64,
    /// The reader of the pipe went away, which ends the run and is not an error.
    pub reader_gone: bool,
}

impl Writer {
    pub(super) fn new(
        sink: Sink,
        encoder: Encoder,
        body: BodyMode,
        bodies: Option<BodyStore>,
        aside: Option<Aside>,
    ) -> Self {
        Writer {
            sink,
            encoder,
            body,
            bodies,
            aside,
        }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// [`Error::Io`] when no thread can be started.
    pub fn start(self) -> Result<WriterHandle, Error> {
        let waiting = if self.body == BodyMode::None {
            CHANNEL
        } else {
            CHANNEL_WITH_BODIES
        };
        let (sender, receiver) = mpsc::channel(waiting);
        let (progress, receipts) = watch::channel(Receipt::default());
        let thread = Builder::new()
            .name("output".to_owned())
            .spawn(move || self.run(receiver, progress))
            .map_err(|error| Error::io("start", "the output thread", error))?;
        Ok(WriterHandle {
            sender,
            receipts,
            thread,
        })
    }

    fn run(
        mut self,
        mut receiver: mpsc::Receiver<Finished>,
        progress: watch::Sender<Receipt>,
    ) -> Result<Written, Error> {
        let ended = self.write_all(&mut receiver, &progress);
        // Senders learn of a failure by the closed channel.
        drop(receiver);
        if ended.is_err() {
            // What the file lacks when cut back to whole rows is a closing bracket, for which there mostly is room.
            self.sink.buffer.clear();
            self.encoder.end(&mut self.sink.buffer);
            self.sink.close_after_failure();
        }
        let written = |reader_gone| Written {
            records: self.sink.rows,
            bytes: self.sink.bytes,
            reader_gone,
        };
        match ended {
            Ok(()) => Ok(written(false)),
            Err(Stop::ReaderGone) => Ok(written(true)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn write_all(
        &mut self,
        receiver: &mut mpsc::Receiver<Finished>,
        progress: &watch::Sender<Receipt>,
    ) -> Result<(), Stop> {
        if self.sink.new {
            self.encoder.begin(&mut self.sink.buffer);
            self.sink.mark();
        }
        self.flush(progress)?;
        let mut synced = Instant::now();
        let mut batch = Vec::with_capacity(BATCH);
        while receiver.blocking_recv_many(&mut batch, BATCH) > 0 {
            for finished in batch.drain(..) {
                if let Err(error) = self.push(finished) {
                    // The rows before this one are whole.
                    self.flush(progress)?;
                    return Err(Stop::Failed(error));
                }
                if self.sink.buffer.len() >= BUFFER {
                    self.flush(progress)?;
                }
            }
            if receiver.is_empty() {
                self.flush(progress)?;
                if synced.elapsed() >= SYNC {
                    self.sink.sync()?;
                    synced = Instant::now();
                }
                if !receiver.is_closed() {
                    park_timeout(GATHER);
                }
            }
        }
        self.encoder.end(&mut self.sink.buffer);
        self.sink.mark();
        self.flush(progress)?;
        self.sink.sync()
    }

    fn push(&mut self, finished: Finished) -> Result<(), Error> {
        let Finished { mut record, body } = finished;
        let view = match &mut self.bodies {
            Some(store) => store
                .save(record.id, record.content_type.as_deref(), &body)?
                .map_or(BodyView::None, BodyView::Path),
            None => body::view(&mut record, &body, self.body),
        };
        let row = Row {
            record: &record,
            body: view,
        };
        self.encoder.row(&row, &mut self.sink.buffer);
        self.sink.mark_row();
        if let Some(aside) = &mut self.aside {
            aside.push(&row);
        }
        Ok(())
    }

    fn flush(&mut self, progress: &watch::Sender<Receipt>) -> Result<(), Stop> {
        let flushed = self.sink.flush();
        if progress.borrow().written != self.sink.rows {
            progress.send_replace(Receipt {
                written: self.sink.rows,
            });
        }
        flushed?;
        match &mut self.aside {
            Some(aside) => aside.flush(),
            None => Ok(()),
        }
    }
}

impl WriterHandle {
    /// Closes this handle's sender and waits for the last row to be written. Blocks until every clone of the sender is gone
    /// too, so an async caller does this in `spawn_blocking`.
    ///
    /// # Errors
    /// [`Error::Io`] for a full disk or a failing device; the file has been cut back to its last whole row.
    ///
    /// # Panics
    /// Re-raises a panic of the thread.
    pub fn join(self) -> Result<Written, Error> {
        let WriterHandle { sender, thread, .. } = self;
        drop(sender);
        thread.thread().unpark();
        match thread.join() {
            Ok(ended) => ended,
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// Why writing ended early.
pub(super) enum Stop {
    /// EPIPE.
    ReaderGone,
    Failed(Error),
}

/// The file, and what is to be written to it.
pub(super) struct Sink {
    file: File,
    path: PathBuf,
    regular: bool,
    /// Nothing has been written to it, so header or bracket are due.
    new: bool,
    buffer: Vec<u8>,
    /// Ends in the buffer of what may stand alone, each with whether it is a row.
    ends: Vec<(usize, bool)>,
    rows: u64,
    bytes: u64,
}

impl Sink {
    pub(super) fn new(file: File, path: PathBuf, new: bool) -> Result<Self, Error> {
        let metadata = file
            .metadata()
            .map_err(|error| Error::io("write", &path, error))?;
        Ok(Sink {
            regular: metadata.is_file(),
            file,
            path,
            new,
            buffer: Vec::new(),
            ends: Vec::new(),
            rows: 0,
            bytes: 0,
        })
    }

    /// Gives the last row of the file the line feed it lacks.
    pub(super) fn finish_line(&mut self) {
        self.buffer.push(b'\n');
        self.mark();
    }

    fn mark(&mut self) {
        self.ends.push((self.buffer.len(), false));
    }

    fn mark_row(&mut self) {
        self.ends.push((self.buffer.len(), true));
    }

    /// Writes the buffer. On failure the file is cut back to the last whole row and the buffer is empty.
    fn flush(&mut self) -> Result<(), Stop> {
        let mut written = 0;
        let mut failure = None;
        while written < self.buffer.len() {
            match self.file.write(&self.buffer[written..]) {
                Ok(0) => {
                    failure = Some(ErrorKind::WriteZero.into());
                    break;
                }
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => park_timeout(PIPE_FULL),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let mut whole = 0;
        for &(end, is_row) in self.ends.iter().take_while(|(end, _)| *end <= written) {
            whole = end;
            self.rows += u64::from(is_row);
        }
        self.bytes += whole as u64;
        self.buffer.clear();
        self.ends.clear();
        let Some(error) = failure else {
            return Ok(());
        };
        if self.regular && written > whole {
            // Whoever resumes repairs what this cannot.
            if let Ok(metadata) = self.file.metadata() {
                let torn = (written - whole) as u64;
                let _ = target::cut(&self.file, metadata.len().saturating_sub(torn));
            }
        }
        if error.kind() == ErrorKind::BrokenPipe {
            return Err(Stop::ReaderGone);
        }
        Err(Stop::Failed(Error::io("write", &self.path, error)))
    }

    /// Tries once to write the end of an array, all of it or nothing.
    fn close_after_failure(&mut self) {
        let tail = std::mem::take(&mut self.buffer);
        if !self.regular || tail.is_empty() || (self.new && self.bytes == 0) {
            return;
        }
        if let Ok(metadata) = self.file.metadata()
            && !matches!(self.file.write(&tail), Ok(count) if count == tail.len())
        {
            let _ = target::cut(&self.file, metadata.len());
        }
    }

    /// Makes what is written survive a power cut.
    fn sync(&mut self) -> Result<(), Stop> {
        if !self.regular {
            return Ok(());
        }
        self.file
            .sync_data()
            .map_err(|error| Stop::Failed(Error::io("write", &self.path, error)))
    }
}

/// The `-w` lines on standard output.
pub(super) struct Aside {
    format: WriteOut,
    json: Encoder,
    buffer: Vec<u8>,
    /// `None` once its reader went away: the records go on.
    file: Option<File>,
}

impl Aside {
    pub(super) fn new(format: WriteOut, attempts: Attempts, file: File) -> Self {
        Aside {
            format,
            json: Encoder::jsonl(attempts),
            buffer: Vec::new(),
            file: Some(file),
        }
    }

    fn push(&mut self, row: &Row<'_>) {
        if self.file.is_some() {
            self.format.render(row, &self.json, &mut self.buffer);
        }
    }

    fn flush(&mut self) -> Result<(), Stop> {
        let result = match &mut self.file {
            Some(file) => file.write_all(&self.buffer),
            None => Ok(()),
        };
        self.buffer.clear();
        match result {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.file = None;
                Ok(())
            }
            Err(error) => Err(Stop::Failed(Error::io("write", "standard output", error))),
        }
    }
}
