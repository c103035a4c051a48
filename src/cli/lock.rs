//! One run at a time: a lock file between processes.
//!
//! The kernel holds the lock, so it is gone when the process is, however that ended; the file stays, because to remove it would
//! let two runs hold two files of one name. It holds the number of the process, for who is told that it is taken.
//!
//! # What it does not do
//! It protects from other runs that ask for the same lock, not from anybody else who writes what they write.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::config::{LockSettings, WhenHeld};
use crate::error::{Error, Problem};

/// While it waits, a run asks again this often.
const AGAIN: Duration = Duration::from_millis(100);
/// Digits of a process number, and more.
const MOST_DIGITS: u64 = 20;

/// Held until it is dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "to be open is what it does")] File);

impl Lock {
    /// Takes the lock, or waits for it as the settings say; `None` when another run has it and that is fine. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Locked`] when another run has it; [`Error::Io`] when there can be no such file.
    pub async fn take(settings: &LockSettings) -> Result<Option<Lock>, Error> {
        let until = match settings.when_held {
            WhenHeld::Wait(time) => Instant::now() + time,
            WhenHeld::Fail | WhenHeld::Skip => Instant::now(),
        };
        let mut is_told = false;
        loop {
            match Lock::try_take(&settings.path) {
                Err(Error::Locked { .. }) if settings.when_held == WhenHeld::Skip => {
                    return Ok(None);
                }
                Err(held @ Error::Locked { .. }) if Instant::now() < until => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::info!("waiting: {held}");
                    }
                    sleep_until((Instant::now() + AGAIN).min(until)).await;
                }
                taken => return taken.map(Some),
            }
        }
    }

    /// Takes the lock if it is free, creating its file.
    ///
    /// # Errors
    /// As [`Lock::take`]; [`Error::Usage`] for a file that holds something else, which would be lost.
    pub fn try_take(path: &Path) -> Result<Lock, Error> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options
            .open(path)
            .map_err(|error| Error::io("create", path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked {
                    path: path.to_owned(),
                    holder: holder(&mut file),
                    hint: "--lock wait=10m waits for it to end, --lock skip leaves it at that",
                });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path, error)),
        }
        let found = file
            .metadata()
            .map_err(|error| Error::io("read", path, error))?;
        if found.len() > 0 && holder(&mut file).is_none() {
            return Err(Problem::new("the file is no lock: it holds something else")
                .at(path.display().to_string())
                .hint("name a file of its own, as in --lock run.lock")
                .into());
        }
        let mut note = || {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "{}", std::process::id())
        };
        note().map_err(|error| Error::io("write", path, error))?;
        Ok(Lock(file))
    }
}

/// Who has the lock, or had it, if its file says so and nothing else.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(MOST_DIGITS).read_to_string(&mut text).ok()?;
    if text.len() as u64 == MOST_DIGITS {
        return None;
    }
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_holds_something_else_is_refused_and_stays_as_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("urls.txt");
        for content in [
            "http://a.test/\n",
            "12\n34\n",
            "1\n                     http://a.test/",
        ] {
            std::fs::write(&path, content).expect("written");
            let error = Lock::try_take(&path).expect_err("refused").to_string();
            assert!(error.contains("urls.txt: the file is no lock"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), content);
        }
        for lock in ["", "4711\n"] {
            std::fs::write(&path, lock).expect("written");
            drop(Lock::try_take(&path).expect("a lock that is free"));
        }
    }

    #[tokio::test]
    async fn one_has_it_and_the_others_do_as_they_are_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("run.lock");
        let settings = |when_held| LockSettings {
            path: path.clone(),
            when_held,
        };
        let ours = Lock::try_take(&path).expect("free");
        let skipped = Lock::take(&settings(WhenHeld::Skip)).await;
        assert!(skipped.expect("no failure").is_none());
        for when_held in [WhenHeld::Fail, WhenHeld::Wait(Duration::from_millis(150))] {
            let refused = Lock::take(&settings(when_held)).await.expect_err("taken");
            let process = format!("(process {})", std::process::id());
            assert!(refused.to_string().contains(&process), "{refused}");
        }
        let waiting = settings(WhenHeld::Wait(Duration::from_secs(60)));
        let mut waiting = std::pin::pin!(Lock::take(&waiting));
        let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(early.is_err(), "it waits");
        drop(ours);
        assert!(waiting.await.expect("no failure").is_some());
    }
}
