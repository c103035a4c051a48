//! The engine behind [`Client::fetch`].

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::{CHANNEL, Client};
use crate::engine::Control;
use crate::error::Error;
use crate::input::StreamSource;
use crate::job::Job;
use crate::outcome::Finished;

pub(super) type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Finished>>>>;

/// The engine behind [`Client::fetch`]. Ends when the client is dropped, because its input ends.
#[derive(Debug)]
pub(super) struct Single {
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) control: mpsc::Sender<Control>,
    pub(super) next: AtomicU64,
    pub(super) waiting: Waiting,
}

impl Single {
    pub(super) fn start(client: &Client) -> Result<Self, Error> {
        let (jobs, input) = mpsc::channel::<Job>(CHANNEL);
        let (out, mut records) = mpsc::channel::<Finished>(CHANNEL);
        let waiting = Waiting::default();
        let running = client.start(StreamSource::of(input), out)?;
        let control = running.control.clone();
        let replies = waiting.clone();
        tokio::spawn(async move {
            while let Some(done) = records.recv().await {
                let reply = lock(&replies).remove(&done.record.seq);
                if let Some(reply) = reply {
                    // Whoever asked may have gone away.
                    let _ = reply.send(done);
                }
            }
            // The run is over: whoever still waits gets an error.
            lock(&replies).clear();
            running.join().await
        });
        Ok(Single {
            jobs,
            control,
            next: AtomicU64::new(0),
            waiting,
        })
    }

    /// Has the record of job `seq` sent to `reply` for as long as the answer lives.
    pub(super) fn expect(&self, seq: u64, reply: oneshot::Sender<Finished>) -> Asked<'_> {
        lock(&self.waiting).insert(seq, reply);
        Asked {
            waiting: &self.waiting,
            seq,
        }
    }
}

/// Somebody waits for a record; dropped with the future that does.
pub(super) struct Asked<'a> {
    waiting: &'a Waiting,
    seq: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        lock(self.waiting).remove(&self.seq);
    }
}

pub(super) fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Finished>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
