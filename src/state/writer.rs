//! The writer: a thread that takes the snapshots of a run and writes each in one transaction.
//!
//! A thread and not a task, because SQLite blocks. The run hands a snapshot over when the last one has been taken and never
//! waits; the last snapshot of all is waited for by [`Keeper::finish`].

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use rusqlite::{Connection, Result, TransactionBehavior, params};
use tokio::sync::mpsc;

use super::identity::Salt;
use super::rows::{Id, RunRow};
use super::{State, millis, save, schema};
use crate::error::Error;
use crate::pool::Memory;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunEnd {
    /// URLs with a record.
    pub urls: u64,
    /// Of those, ok.
    pub ok: u64,
    /// Of those, not.
    pub failed: u64,
    /// Requests sent.
    pub attempts: u64,
    /// Probes.
    pub probes: u64,
    /// Proxies in the list.
    pub proxies: u64,
    /// Of those, that brought a valid answer.
    pub worked: u64,
    /// Why it ended, in a word.
    pub reason: String,
    /// What the process returns.
    pub exit: u8,
}

/// Writes for one run.
#[derive(Debug)]
pub struct Keeper {
    saves: mpsc::Sender<Memory>,
    /// Set before the last message.
    end: Arc<Mutex<Option<Option<RunEnd>>>>,
    thread: JoinHandle<Result<(), Error>>,
}

impl State {
    /// Starts the writer of a run. `unseen` is what [`State::recall`] has said of its list.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn keep(self, unseen: Vec<Id>, now: SystemTime) -> Result<Keeper, Error> {
        // One waits while one is written.
        let (saves, snapshots) = mpsc::channel(1);
        let end = Arc::default();
        let writer = Writer {
            end: Arc::clone(&end),
            started: millis(now),
            run: 0,
            unseen,
        };
        let path = self.path.clone();
        let thread = thread::Builder::new()
            .name("state".into())
            .spawn(move || writer.write(self, snapshots))
            .map_err(|error| Error::io("write", path, error))?;
        Ok(Keeper { saves, end, thread })
    }
}

impl Keeper {
    /// Takes the snapshots: for [`crate::engine::Keeping`].
    pub fn saves(&self) -> mpsc::Sender<Memory> {
        self.saves.clone()
    }

    /// Waits until everything is written, and notes how the run ended; `None` when there is nothing to note. Blocks.
    ///
    /// # Errors
    /// The file could not be written; nothing was written after that.
    ///
    /// # Panics
    /// Inside a task of a tokio runtime, which must not be blocked. Re-raises a panic of the writer.
    pub fn finish(self, end: Option<RunEnd>) -> Result<(), Error> {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        // A writer that has failed is not there to take it.
        let _ = self.saves.blocking_send(Memory::default());
        match self.thread.join() {
            Ok(written) => written,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// What the thread holds.
struct Writer {
    end: Arc<Mutex<Option<Option<RunEnd>>>>,
    started: i64,
    /// Row of the run.
    run: i64,
    unseen: Vec<Id>,
}

impl Writer {
    fn write(mut self, state: State, mut snapshots: mpsc::Receiver<Memory>) -> Result<(), Error> {
        let State {
            path,
            mut connection,
            mut salt,
        } = state;
        let failed = |error| super::open::io_error("write", &path, error);
        self.begin(&mut connection).map_err(failed)?;
        while let Some(memory) = snapshots.blocking_recv() {
            let end = self
                .end
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            self.save(&mut connection, &mut salt, &memory, end.as_ref())
                .map_err(failed)?;
            if end.is_some() {
                break;
            }
        }
        Ok(())
    }

    fn begin(&mut self, connection: &mut Connection) -> Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let begun = RunRow {
            started: self.started,
            ended: None,
            urls: None,
            ok: None,
            failed: None,
            attempts: None,
            probes: None,
            proxies: None,
            worked: None,
            reason: None,
            exit: None,
        };
        self.run = save::run(&transaction, &begun)?;
        let unseen = std::mem::take(&mut self.unseen);
        save::seen(&transaction, &unseen, self.started)?;
        save::prune(&transaction, self.started)?;
        transaction.commit()
    }

    /// One transaction.
    fn save(
        &self,
        connection: &mut Connection,
        salt: &mut Salt,
        memory: &Memory,
        end: Option<&Option<RunEnd>>,
    ) -> Result<()> {
        let now = millis(SystemTime::now());
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // An import into a file with nothing in it brings its own salt.
        if let Some(current) = schema::salt(&transaction)?
            && current.bytes() != salt.bytes()
        {
            *salt = current;
        }
        save::memory(&transaction, salt, memory, now)?;
        match end {
            None => {}
            Some(None) => {
                let sql = "UPDATE runs SET ended = ?2 WHERE id = ?1";
                transaction.execute(sql, params![self.run, now])?;
            }
            Some(Some(end)) => self.end(&transaction, end, now)?,
        }
        transaction.commit()
    }

    fn end(&self, connection: &Connection, end: &RunEnd, now: i64) -> Result<()> {
        connection
            .execute(
                "UPDATE runs SET ended = ?2, urls = ?3, ok = ?4, failed = ?5, attempts = ?6, probes = ?7, proxies = ?8,
                 worked = ?9, reason = ?10, exit = ?11 WHERE id = ?1",
                params![
                    self.run,
                    now,
                    signed(end.urls),
                    signed(end.ok),
                    signed(end.failed),
                    signed(end.attempts),
                    signed(end.probes),
                    signed(end.proxies),
                    signed(end.worked),
                    end.reason,
                    end.exit
                ],
            )
            .map(drop)
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
