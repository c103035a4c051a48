//! The file at the end: whole rows or nothing.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::thread::park_timeout;
use std::time::Duration;

use super::again::Settling;
use super::chunk::Chunk;
use super::open::Earlier;
use super::target;
use crate::error::Error;

/// Wait for a pipe that somebody else made non-blocking.
const PIPE_FULL: Duration = Duration::from_millis(1);

/// Why writing ended early.
pub(super) enum Stop {
    /// EPIPE.
    ReaderGone,
    Failed(Error),
}

/// The file, and what was written to it.
pub(super) struct Sink {
    file: File,
    pub(super) path: PathBuf,
    regular: bool,
    /// Nothing has been written to it, so header or bracket are due.
    pub(super) new: bool,
    /// Rows of this run.
    pub(super) rows: u64,
    /// Bytes of this run, separators and header included.
    pub(super) bytes: u64,
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
            rows: 0,
            bytes: 0,
        })
    }

    /// Writes the rows of `chunk`. On failure the file is cut back to the last whole row.
    pub(super) fn write(&mut self, chunk: &Chunk) -> Result<(), Stop> {
        let bytes = &chunk.bytes;
        let mut written = 0;
        let mut failure = None;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
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
        for &(end, is_row) in chunk.ends.iter().take_while(|(end, _)| *end <= written) {
            whole = end;
            self.rows += u64::from(is_row);
        }
        self.bytes += whole as u64;
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

    /// Tries once to write `tail`, the end of an array, all of it or nothing.
    pub(super) fn close_after_failure(&mut self, tail: &[u8]) {
        if !self.regular || tail.is_empty() || (self.new && self.bytes == 0) {
            return;
        }
        if let Ok(metadata) = self.file.metadata()
            && !matches!(self.file.write(tail), Ok(count) if count == tail.len())
        {
            let _ = target::cut(&self.file, metadata.len());
        }
    }

    /// Takes out the rows that newer ones replace; returns what is left of those that were to be. `tail` ends the file.
    pub(super) fn settle(&mut self, settling: &Settling, tail: &[u8]) -> Result<Earlier, Error> {
        let (settled, left) = settling.run(&self.path, &self.file, tail)?;
        if let Some(file) = settled {
            self.file = file;
        }
        Ok(left)
    }

    /// Makes what is written survive a power cut.
    pub(super) fn sync(&mut self) -> Result<(), Stop> {
        if !self.regular {
            return Ok(());
        }
        self.file
            .sync_data()
            .map_err(|error| Stop::Failed(Error::io("write", &self.path, error)))
    }
}

/// Standard output, when it takes the `-w` lines.
pub(super) struct Aside {
    /// `None` once its reader went away: the records go on.
    file: Option<File>,
}

impl Aside {
    pub(super) fn new(file: File) -> Self {
        Aside { file: Some(file) }
    }

    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), Stop> {
        let result = match &mut self.file {
            Some(file) => file.write_all(lines),
            None => Ok(()),
        };
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
