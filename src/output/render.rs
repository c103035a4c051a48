//! Records in, chunks of rows out.
//!
//! A record is made on the task of the engine, and its row is made there too where that blocks nobody: in another thread every
//! line of it would come from a cold cache, and be given back to an allocator that is elsewhere. The rows of a moment go to the
//! thread that writes together, so that one wake-up and one `write` serve many.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::again::Waiting;
use super::body;
use super::chunk::Chunk;
use super::encode::Encoder;
use super::fields::{BodyView, Row};
use super::write_out::WriteOut;
use super::{Attempts, BodyMode};
use crate::outcome::Finished;

/// Records taken from the channel at a time.
pub(super) const BATCH: usize = 256;
/// Bytes that are handed on without waiting for more.
pub(super) const FULL: usize = 256 * 1024;
/// Longest wait of a row for others. Nobody notices 5 ms.
const GATHER: Duration = Duration::from_millis(5);

/// What the thread that writes gets.
pub(super) enum Parcel {
    Rows(Chunk),
    /// That was all. Without it the task has not come to its end.
    End,
}

/// Makes rows.
pub(super) struct Renderer {
    encoder: Encoder,
    body: BodyMode,
    write_out: Option<(WriteOut, Encoder)>,
    /// Jobs whose new rows take the place of older ones.
    waiting: Waiting,
}

impl Renderer {
    /// `write_out` is the `-w` format.
    pub(super) fn new(
        encoder: Encoder,
        body: BodyMode,
        write_out: Option<WriteOut>,
        attempts: Attempts,
        waiting: Waiting,
    ) -> Self {
        Renderer {
            encoder,
            body,
            write_out: write_out.map(|format| (format, Encoder::jsonl(attempts))),
            waiting,
        }
    }

    pub(super) fn body(&self) -> BodyMode {
        self.body
    }

    pub(super) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Adds the row of a record whose body was `saved` under this path, if it was.
    pub(super) fn push(&mut self, finished: Finished, saved: Option<String>, chunk: &mut Chunk) {
        let Finished {
            mut record,
            body,
            more,
        } = finished;
        let view = match saved {
            Some(path) => BodyView::Path(path),
            None => body::view(&mut record, &body, self.body),
        };
        let row = Row {
            record: &record,
            body: view,
        };
        let again = self.waiting.take(record.id);
        // A job that was not seen through this time either: the row that is there says as much, or more.
        let is_news = record.outcome.is_final() || !again;
        if is_news {
            self.encoder.row(&row, again, &mut chunk.bytes);
        }
        if let Some((format, json)) = &self.write_out {
            format.render(&row, json, &mut chunk.aside);
        }
        // The body is in the first row only: the others differ in their fields, and bodies are large.
        for (fields, number) in more.into_iter().zip(2..) {
            record.fields = Some(fields);
            record.row = Some(number);
            let row = Row {
                record: &record,
                body: BodyView::None,
            };
            self.encoder.row(&row, again, &mut chunk.bytes);
        }
        // One mark for all of them: they are written and cut together.
        chunk.mark_row();
    }

    /// Renders all records until their channel is closed, or nobody takes the rows any more.
    pub(super) async fn run(mut self, mut records: mpsc::Receiver<Finished>, mut way: Way) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut chunk = Chunk::default();
        let mut gathered = pin!(sleep(GATHER));
        loop {
            let taken = tokio::select! {
                biased;
                taken = records.recv_many(&mut batch, BATCH) => taken,
                () = &mut gathered, if !chunk.is_empty() => {
                    if way.hand_over(&mut chunk).await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            if taken == 0 {
                break;
            }
            if chunk.is_empty() {
                gathered.as_mut().reset(Instant::now() + GATHER);
            }
            for finished in batch.drain(..) {
                self.push(finished, None, &mut chunk);
            }
            if chunk.bytes.len() >= FULL && way.hand_over(&mut chunk).await.is_err() {
                return;
            }
        }
        if way.hand_over(&mut chunk).await.is_ok() {
            // Whoever does not take it has said why.
            let _ = way.parcels.send(Parcel::End).await;
        }
    }
}

/// Nobody takes rows any more.
struct Gone;

/// To the thread that writes, and back.
pub(super) struct Way {
    pub(super) parcels: mpsc::Sender<Parcel>,
    /// Chunks that were written: their room is used again.
    pub(super) spare: mpsc::Receiver<Chunk>,
}

impl Way {
    async fn hand_over(&mut self, chunk: &mut Chunk) -> Result<(), Gone> {
        if chunk.is_empty() {
            return Ok(());
        }
        let next = self.spare.try_recv().unwrap_or_default();
        let parcel = Parcel::Rows(std::mem::replace(chunk, next));
        self.parcels.send(parcel).await.map_err(|_| Gone)
    }
}
