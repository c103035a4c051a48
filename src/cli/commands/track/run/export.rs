//! The file of observations that a job asks for (`[output] observations`): every row of the history once, however runs end.
//!
//! The file is its own journal. Its last whole row says up to which observation it goes; what a kill left of a torn row is cut off,
//! and whatever the history has after that is appended before a run is called ended. A file that is new or was moved away (as
//! logrotate does) begins with the run at hand. What is not done: a row is never looked for further up.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::history::{COLUMNS, csv, jsonl};
use crate::cli::folder_of;
use crate::error::{Error, Problem};
use crate::observation::{Series, SeriesId};
use crate::state::{History, RunId};
use crate::track::job::Observations;

/// The file, ready for more rows.
#[derive(Debug)]
pub(super) struct Export {
    path: PathBuf,
    csv: bool,
    file: File,
    /// Nothing is in it, not even a header.
    is_empty: bool,
    /// The last row.
    last: Option<(RunId, SeriesId)>,
}

impl Export {
    /// Opens the file, which is made when there is none, and cuts off a torn row. Only while no other run of the job is under way.
    ///
    /// # Errors
    /// It cannot be read or written, or holds something else.
    pub(super) fn open(output: &Observations) -> Result<Self, Error> {
        let path = &output.path;
        let failed = |source| Error::io("write", path, source);
        fs::create_dir_all(folder_of(path)).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let mut file = options.open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|source| Error::io("read", path, source))?;
        let end = whole(&bytes, output.csv);
        let last = last_row(&bytes[..end], output.csv).ok_or_else(|| other(path))?;
        if end < bytes.len() {
            // What is no row of ours and has no end is not ours to cut either.
            if end == 0 && !is_torn_beginning(&bytes, output.csv) {
                return Err(other(path));
            }
            file.set_len(end as u64)
                .and_then(|()| file.seek(SeekFrom::End(0)).map(drop))
                .map_err(failed)?;
        }
        Ok(Export {
            path: path.clone(),
            csv: output.csv,
            file,
            is_empty: end == 0,
            last,
        })
    }

    /// Appends what the history has and the file has not; `run` is the one at hand.
    ///
    /// # Errors
    /// The history cannot be read, or the file not be written.
    pub(super) fn catch_up(
        &mut self,
        job: &str,
        history: &History,
        run: &RunId,
    ) -> Result<(), Error> {
        let seq = match &self.last {
            Some((run, series)) => history.number_of(run, *series)?,
            None => None,
        };
        let all = history.after(job, seq, run)?;
        let Some((series, run, _)) = all.last() else {
            return Ok(());
        };
        let last = (run.clone(), *series);
        let series: HashMap<SeriesId, Series> = history
            .series(job)?
            .into_iter()
            .map(|one| (one.id(), one))
            .collect();
        let rows = all
            .iter()
            .filter_map(|(id, run, one)| Some((series.get(id)?, run, one)));
        let text = match self.csv {
            true => csv(rows, self.is_empty)?,
            false => jsonl(rows),
        };
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|source| Error::io("write", &self.path, source))?;
        self.is_empty = false;
        self.last = Some(last);
        Ok(())
    }
}

/// Where the last whole row ends.
fn whole(bytes: &[u8], csv: bool) -> usize {
    let mut end = 0;
    let mut is_quoted = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            // A quote within a text is written twice, which changes nothing.
            b'"' if csv => is_quoted = !is_quoted,
            b'\n' if !is_quoted => end = at + 1,
            _ => {}
        }
    }
    end
}

/// The run and the series of the last row; `Some(None)` where there is no row yet, `None` where it is something else.
fn last_row(bytes: &[u8], csv: bool) -> Option<Option<(RunId, SeriesId)>> {
    if bytes.is_empty() {
        return Some(None);
    }
    if !csv {
        let line = bytes.strip_suffix(b"\n")?;
        let line = line.rsplit(|byte| *byte == b'\n').next()?;
        let row: Value = serde_json::from_slice(line).ok()?;
        return place(row["run"].as_str()?, row["series"].as_str()?).map(Some);
    }
    let mut reader = ::csv::Reader::from_reader(bytes);
    let header = reader.headers().ok()?;
    if !header.iter().eq(COLUMNS) {
        return None;
    }
    let cell = |name: &str| COLUMNS.iter().position(|column| *column == name);
    let (run, series) = (cell("run")?, cell("series")?);
    match reader.into_records().last() {
        None => Some(None),
        Some(row) => {
            let row = row.ok()?;
            place(row.get(run)?, row.get(series)?).map(Some)
        }
    }
}

fn place(run: &str, series: &str) -> Option<(RunId, SeriesId)> {
    Some((RunId(run.into()), SeriesId::parse(series)?))
}

/// What a kill leaves of the first row, or of the header before it.
fn is_torn_beginning(bytes: &[u8], csv: bool) -> bool {
    let beginning = match csv {
        true => COLUMNS.join(","),
        false => "{\"v\":".to_owned(),
    };
    let length = beginning.len().min(bytes.len());
    bytes[..length] == beginning.as_bytes()[..length]
}

fn other(path: &Path) -> Error {
    Problem::new("the file holds something else than observations")
        .at(path.display().to_string())
        .hint("name another one under [output] observations, or move it away")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_ends_where_no_text_is_open() {
        assert_eq!(whole(b"a,\"x\ny\"\nb,\"to", true), 8);
        assert_eq!(whole(b"a,\"x \"\"y\n\"\"\"\nb", true), 13);
        assert_eq!(whole(b"{\"a\":\"1\"}\n{\"a\":\"", false), 10);
        assert_eq!(whole(b"no end", false), 0);
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [
            ("a.jsonl", "{\"url\":\"http://a.test/\"}\n"),
            ("b.jsonl", "notes without an end"),
            ("c.csv", "url,title\nhttp://a.test/,A\n"),
            ("d.csv", "url,ti"),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            let csv = name.ends_with("csv");
            let output = Observations {
                path: path.clone(),
                csv,
            };
            Export::open(&output).expect_err(name);
            assert_eq!(fs::read_to_string(&path).expect("read"), text, "{name}");
        }
    }
}
