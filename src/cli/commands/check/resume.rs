//! Going on where an earlier check ended.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use super::earlier;
use crate::check::Verdict;
use crate::error::Error;

/// Labels of the proxies that have a row in `file`; what is torn at its end is cut off, and it stands at its end.
///
/// # Errors
/// A line that is no row of a check; the file cannot be read or cut.
pub(super) fn scan(file: &mut File, path: &Path) -> Result<HashSet<String>, Error> {
    let mut done = HashSet::new();
    let hint = "--resume goes on with a JSONL file of `check`; choose another -o, or --overwrite";
    let whole = earlier::rows(&mut *file, path, hint, |row| {
        // What nobody could say then may be said now.
        if row.verdict != Verdict::Unknown {
            done.insert(row.known().0);
        }
    })?;
    let failed = |error| Error::io("write", path, error);
    file.set_len(whole).map_err(failed)?;
    file.seek(SeekFrom::End(0)).map_err(failed)?;
    Ok(done)
}
