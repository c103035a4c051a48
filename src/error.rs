//! The one error type of the library.
//!
//! A failed fetch is a value ([`crate::outcome::Record`]), never an [`Error`]. An `Error` means that the *run* cannot start
//! or go on. Variants are split by what the caller can do about them, which is also how exit codes are chosen.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a run cannot start or cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's settings or input are wrong; nothing was done. Exit code 2.
    #[error(transparent)]
    Usage(#[from] Problem),
    /// Reading or writing a file failed, or an address cannot be listened on. Exit code 3.
    #[error("cannot {action} {path}")]
    Io {
        /// What was attempted, a verb: `read`, `write`, `create`, `listen on`.
        action: &'static str,
        /// The file, or address, as the user named it.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The pool holds no usable proxy. Exit code 6.
    #[error(transparent)]
    NoProxy(Problem),
    /// Another run holds the lock on the same output, or the one that was asked for. Exit code 75.
    #[error("{path} is in use by another run{}", process(*.holder))]
    Locked {
        /// The contested file.
        path: PathBuf,
        /// The process that has it, where the file says so.
        holder: Option<u32>,
        /// What helps.
        hint: &'static str,
    },
    /// The run that was asked has ended, and takes no more jobs: the word is that of
    /// [`FinishReason`](crate::metrics::FinishReason), such as `deadline` or `max_requests`, or `runtime_gone`. Exit code 7.
    #[error("the run has ended: {0}")]
    Ended(&'static str),
    /// A promise this program makes to itself was broken. Exit code 1.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// An I/O failure on `path`; `action` is a verb such as `read`.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Error::Io {
            action,
            path: path.as_ref().to_owned(),
            source,
        }
    }

    /// The `hint:` line for the person at the terminal, if there is one.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Usage(problem) | Error::NoProxy(problem) => problem.hint.as_deref(),
            Error::Locked { hint, .. } => Some(hint),
            Error::Io { action, source, .. } => io_hint(action, source.kind()),
            Error::Ended(_) | Error::Internal(_) => None,
        }
    }
}

fn process(holder: Option<u32>) -> String {
    holder.map_or_else(String::new, |holder| format!(" (process {holder})"))
}

/// What helps against the failures that people cause.
fn io_hint(action: &str, kind: io::ErrorKind) -> Option<&'static str> {
    match (action, kind) {
        ("create" | "write", io::ErrorKind::NotFound) => Some("create its directory first"),
        ("listen on", io::ErrorKind::AddrInUse) => {
            Some("another program listens there: end it, or choose another port")
        }
        ("listen on", io::ErrorKind::AddrNotAvailable) => Some(
            "this machine does not have that address; 0.0.0.0 or [::] instead is every one it has",
        ),
        ("listen on", io::ErrorKind::PermissionDenied) => {
            Some("ports below 1024 need CAP_NET_BIND_SERVICE: give it, or choose another port")
        }
        (_, io::ErrorKind::NotFound) => Some("check the path"),
        (_, io::ErrorKind::PermissionDenied) => {
            Some("check the permissions of the file and of its directory")
        }
        ("create", io::ErrorKind::AlreadyExists) => Some("a file has that name: choose another"),
        (_, io::ErrorKind::IsADirectory) => Some("name a file in it"),
        ("fetch", _) => Some("check the address, or save the list and name the file"),
        _ => None,
    }
}

/// One clear complaint: what is wrong, where, and what would fix it.
///
/// Texts are lower case without a full stop. The hint is something that can be pasted or done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, naming the thing and the value.
    pub what: String,
    /// Where it was found: `proxies.txt:12:8`, `--rate`, `PROXYWHEEL_RATE`.
    pub place: Option<String>,
    /// What the reader can do about it.
    pub hint: Option<String>,
}

/// Problems that [`Problem::of_all`] tells; a file of another kind would have hundreds.
const SHOWN: usize = 20;

impl Problem {
    /// A complaint without place or hint.
    pub fn new(what: impl Into<String>) -> Self {
        Problem {
            what: what.into(),
            place: None,
            hint: None,
        }
    }

    /// Names where it was found.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Says what would fix it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Several as one, so that whoever corrects something corrects it once; `None` when there are none. Told as being wrong `within`
    /// this, which is at `place`.
    pub fn of_all(
        mut problems: Vec<Problem>,
        within: &str,
        place: impl Into<String>,
    ) -> Option<Self> {
        if problems.len() <= 1 {
            return problems.pop();
        }
        let mut what = format!("{} things are wrong in {within}:", problems.len());
        for problem in problems.iter().take(SHOWN) {
            what.push_str(&format!("\n  {problem}"));
            if let Some(hint) = &problem.hint {
                what.push_str(&format!("\n    hint: {hint}"));
            }
        }
        if problems.len() > SHOWN {
            what.push_str(&format!("\n  and {} more", problems.len() - SHOWN));
        }
        Some(Problem::new(what).at(place))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for Problem {}
