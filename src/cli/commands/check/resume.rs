//! Going on where an earlier check ended.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use super::earlier;
use super::remember::Finding;
use crate::error::Error;

/// What the rows in `file` say, by label; what is torn at its end is cut off, and it stands at its end.
///
/// # Errors
/// A line that is no row of a check; the file cannot be read or cut.
pub(super) fn scan(file: &mut File, path: &Path) -> Result<HashMap<String, Finding>, Error> {
    let mut done = HashMap::new();
    let hint = "--resume goes on with a JSONL file of `check`; choose another -o, or --overwrite";
    let whole = earlier::rows(&mut *file, path, hint, |row| {
        // What nobody could say then may be said now.
        done.extend(row.finding());
    })?;
    let failed = |error| Error::io("write", path, error);
    file.set_len(whole).map_err(failed)?;
    file.seek(SeekFrom::End(0)).map_err(failed)?;
    Ok(done)
}
