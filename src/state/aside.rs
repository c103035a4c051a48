//! Files that cannot be used are set aside, never deleted and never overwritten.
//!
//! `state.db` becomes `state.db.damaged-1` (or `-2`, the first that is free); its `-wal` and `-shm` go with it, so that it opens
//! under its new name as it would have under the old. What a later version of the program has written is not damaged, and stays.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Problem;

/// A file that was set aside: no database, or not a whole one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Its new name.
    pub to: PathBuf,
}

impl Aside {
    /// What happened, and what is missing from now on.
    pub fn problem(&self) -> Problem {
        let what = "what was known of proxies and the history of tracking jobs went with it";
        Problem::new(format!(
            "the state is damaged; it was set aside and a new one begun: {what}"
        ))
        .at(self.to.display().to_string())
    }
}

/// Files that belong to a database, by what is added to its name.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Renames the file and what belongs to it.
pub(super) fn set_aside(path: &Path) -> io::Result<Aside> {
    let to = (1..)
        .map(|number: u32| with_suffix(path, &format!(".damaged-{number}")))
        .find(|name| !name.exists())
        .ok_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists))?;
    fs::rename(path, &to)?;
    for suffix in COMPANIONS {
        match fs::rename(with_suffix(path, suffix), with_suffix(&to, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(Aside { to })
}

/// The path with something added to its last name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
