//! Going on where an earlier check ended.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Problem};

/// What of a row tells whose it is.
#[derive(Deserialize)]
struct Row {
    proxy: String,
    /// The label where `proxy` has credentials.
    label: Option<String>,
    verdict: String,
}

/// Labels of the proxies that have a row in `file`; what is torn at its end is cut off, and it stands at its end.
///
/// # Errors
/// A line that is no row of a check; the file cannot be read or cut.
pub(super) fn scan(file: &mut File, path: &Path) -> Result<HashSet<String>, Error> {
    let failed = |action| move |error| Error::io(action, path, error);
    let mut reader = BufReader::new(&mut *file);
    let mut done = HashSet::new();
    let (mut line, mut number, mut whole) = (Vec::new(), 0u64, 0u64);
    loop {
        line.clear();
        let read = reader
            .read_until(b'\n', &mut line)
            .map_err(failed("read"))?;
        if line.last() != Some(&b'\n') {
            break;
        }
        number += 1;
        whole += read as u64;
        let row: Row = serde_json::from_slice(&line).map_err(|_| {
            Problem::new("not a row of a check")
                .at(format!("{}:{number}", path.display()))
                .hint("--resume goes on with a JSONL file of `check`; choose another -o, or --overwrite")
        })?;
        // What nobody could say then may be said now.
        if row.verdict != "unknown" {
            done.insert(row.label.unwrap_or(row.proxy));
        }
    }
    file.set_len(whole).map_err(failed("write"))?;
    file.seek(SeekFrom::End(0)).map_err(failed("write"))?;
    Ok(done)
}
