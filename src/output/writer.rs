//! The writer thread: rows in, a file out.
//!
//! One thread writes, because a row must not be mixed with another and because writing blocks. Rows without bodies come ready
//! made from a task of the run ([`super::render`]); where a body has to be decoded, encoded or saved first, the records come as
//! they are and the thread does that too. What is written counts in the [`Receipt`]; nothing else does.

use std::panic::resume_unwind;
use std::thread::{Builder, JoinHandle, park_timeout};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::BodyMode;
use super::again::Settling;
use super::body::BodyStore;
use super::chunk::Chunk;
use super::open::Earlier;
use super::render::{BATCH, FULL, Parcel, Renderer, Way};
use super::sink::{Aside, Sink, Stop};
use crate::error::Error;
use crate::job::Receipt;
use crate::outcome::Finished;
use crate::text::Sha256;

/// Records that may wait for the writer; then the engine waits.
const CHANNEL: usize = 1024;
/// The same when every record carries its body, which may be 10 MB.
const CHANNEL_WITH_BODIES: usize = 64;
/// Chunks of rows that may wait.
const CHUNKS: usize = 4;
/// Rest of the thread after a write when it makes the rows itself, so that the next `write` and the next wake-up serve many.
const GATHER: Duration = Duration::from_millis(5);
/// Shortest time between two `fdatasync`.
const SYNC: Duration = Duration::from_secs(1);

/// An output that is open and locked, not yet written; see [`super::open()`].
pub struct Writer {
    sink: Sink,
    /// What the file lacks before the first row.
    before: Chunk,
    renderer: Renderer,
    bodies: Option<BodyStore>,
    aside: Option<Aside>,
    settling: Option<Settling>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("path", &self.sink.path)
            .field("format", &self.renderer.encoder().format())
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
    /// Rows of earlier runs that were to be replaced and were not: nothing newer has come of their jobs.
    pub left: Earlier,
}

impl Writer {
    pub(super) fn new(
        sink: Sink,
        mut before: Chunk,
        renderer: Renderer,
        bodies: Option<BodyStore>,
        aside: Option<Aside>,
        settling: Option<Settling>,
    ) -> Self {
        if sink.new {
            renderer.encoder().begin(&mut before.bytes);
            before.mark();
        }
        Writer {
            sink,
            before,
            renderer,
            bodies,
            aside,
            settling,
        }
    }

    /// Starts the thread, and the task that makes the rows for it.
    ///
    /// # Errors
    /// [`Error::Io`] when no thread can be started.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self) -> Result<WriterHandle, Error> {
        let Writer {
            sink,
            before,
            renderer,
            bodies,
            aside,
            settling,
        } = self;
        let (progress, receipts) = watch::channel(Receipt::default());
        let mut after = Chunk::default();
        renderer.encoder().end(&mut after.bytes);
        after.mark();
        let (sender, rows) = if renderer.body() == BodyMode::None {
            let (sender, records) = mpsc::channel(CHANNEL);
            let (parcels, made) = mpsc::channel(CHUNKS);
            let (written, spare) = mpsc::channel(CHUNKS);
            tokio::spawn(renderer.run(records, Way { parcels, spare }));
            (sender, Rows::Made { made, written })
        } else {
            let (sender, records) = mpsc::channel(CHANNEL_WITH_BODIES);
            let rows = Rows::ToMake {
                records,
                batch: Vec::with_capacity(BATCH),
                renderer: Box::new(renderer),
                bodies,
                failed: None,
            };
            (sender, rows)
        };
        let writing = Writing {
            sink,
            aside,
            progress,
            synced: Instant::now(),
            settling,
        };
        let thread = Builder::new()
            .name("output".to_owned())
            .spawn(move || writing.run(rows, &before, &after))
            .map_err(|error| Error::io("start", "the output thread", error))?;
        Ok(WriterHandle {
            sender,
            receipts,
            thread,
        })
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
    /// Re-raises a panic of the thread, which panics itself when the task that makes the rows has gone without a word.
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

/// Where the thread has its rows from.
enum Rows {
    Made {
        made: mpsc::Receiver<Parcel>,
        /// Takes chunks back that were written.
        written: mpsc::Sender<Chunk>,
    },
    ToMake {
        records: mpsc::Receiver<Finished>,
        batch: Vec<Finished>,
        renderer: Box<Renderer>,
        bodies: Option<BodyStore>,
        /// A body that could not be saved; the rows before its own are written first.
        failed: Option<Error>,
    },
}

impl Rows {
    /// Waits for the next rows; `None` at the end. `chunk` was written.
    fn next(&mut self, mut chunk: Chunk) -> Result<Option<Chunk>, Stop> {
        chunk.clear();
        match self {
            Rows::Made { made, written } => {
                // There is no room for more of them than are ever under way at once.
                let _ = written.try_send(chunk);
                match made.blocking_recv() {
                    Some(Parcel::Rows(chunk)) => Ok(Some(chunk)),
                    Some(Parcel::End) => Ok(None),
                    None => panic!("the task that makes the rows is gone"),
                }
            }
            Rows::ToMake {
                records,
                batch,
                renderer,
                bodies,
                failed,
            } => {
                if let Some(error) = failed.take() {
                    return Err(Stop::Failed(error));
                }
                if records.blocking_recv_many(batch, BATCH) == 0 {
                    return Ok(None);
                }
                for finished in batch.drain(..) {
                    match save(bodies.as_mut(), &finished) {
                        Ok(saved) => renderer.push(finished, saved, &mut chunk),
                        Err(error) => {
                            *failed = Some(error);
                            break;
                        }
                    }
                }
                Ok(Some(chunk))
            }
        }
    }

    /// Rests until more rows may have come, if the rows come one by one.
    fn rest(&self, written: usize) {
        if let Rows::ToMake { records, .. } = self
            && written < FULL
            && records.is_empty()
            && !records.is_closed()
        {
            park_timeout(GATHER);
        }
    }
}

/// Saves the body in a file of its own, if that is asked for; returns where it is.
fn save(bodies: Option<&mut BodyStore>, finished: &Finished) -> Result<Option<String>, Error> {
    let Some(store) = bodies else {
        return Ok(None);
    };
    let record = &finished.record;
    // Records that a library makes itself may lack it.
    let digest = record
        .body_sha256
        .unwrap_or_else(|| Sha256::of(&finished.body));
    let kind = record.content_type.as_deref();
    store.save(record.id, digest, kind, &finished.body)
}

/// The thread's own.
struct Writing {
    sink: Sink,
    aside: Option<Aside>,
    progress: watch::Sender<Receipt>,
    synced: Instant,
    /// What is due after the last row.
    settling: Option<Settling>,
}

impl Writing {
    fn run(mut self, mut rows: Rows, before: &Chunk, after: &Chunk) -> Result<Written, Error> {
        let ended = self.write_all(&mut rows, before, after);
        // Senders learn of a failure by the closed channel.
        drop(rows);
        if ended.is_err() {
            // What the file lacks when cut back to whole rows is a closing bracket, for which there mostly is room.
            self.sink.close_after_failure(&after.bytes);
        }
        let mut written = Written {
            records: self.sink.rows,
            bytes: self.sink.bytes,
            ..Written::default()
        };
        match ended {
            Ok(()) => {
                if let Some(settling) = &self.settling {
                    written.left = self.sink.settle(settling, &after.bytes)?;
                }
                Ok(written)
            }
            Err(Stop::ReaderGone) => {
                written.reader_gone = true;
                Ok(written)
            }
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn write_all(&mut self, rows: &mut Rows, before: &Chunk, after: &Chunk) -> Result<(), Stop> {
        self.write(before)?;
        let mut chunk = Chunk::default();
        while let Some(next) = rows.next(chunk)? {
            self.write(&next)?;
            if self.synced.elapsed() >= SYNC {
                self.sink.sync()?;
                self.synced = Instant::now();
            }
            rows.rest(next.bytes.len());
            chunk = next;
        }
        self.write(after)?;
        self.sink.sync()
    }

    fn write(&mut self, chunk: &Chunk) -> Result<(), Stop> {
        let written = self.sink.write(chunk);
        if self.progress.borrow().written != self.sink.rows {
            self.progress.send_replace(Receipt {
                written: self.sink.rows,
            });
        }
        written?;
        match &mut self.aside {
            Some(aside) => aside.write(&chunk.aside),
            None => Ok(()),
        }
    }
}
