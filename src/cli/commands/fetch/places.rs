//! The files a run names, looked at before anything is opened: each one written has a place of its own.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::{folder_of, stats};
use crate::config::{ListSource, Resolved};
use crate::error::{Error, Problem};
use crate::input::Source;

/// Nobody wants to lose a list to its own results, or to learn after a night that the counters had no place.
///
/// # Errors
/// A file that is written is one that is read, or is written twice; the counters cannot be written.
pub(super) fn check(resolved: &Resolved) -> Result<(), Error> {
    let lock = resolved.start.lock.as_ref().map(|lock| lock.path.clone());
    let written = [
        (
            "--output",
            "results",
            "its results",
            "out.jsonl",
            &resolved.output.path,
        ),
        (
            "--stats",
            "counters",
            "--stats",
            "run.json",
            &resolved.stats,
        ),
        (
            "--record",
            "record",
            "--record",
            "run.jsonl",
            &resolved.record,
        ),
        ("--state", "state", "--state", "state.db", &resolved.state),
        ("--lock", "lock", "--lock", "run.lock", &lock),
    ];
    let mut taken = read(resolved);
    for (flag, what, to_others, example, path) in written {
        let Some(path) = path else {
            continue;
        };
        if path.as_os_str() == "-" {
            return Err(Problem::new(
                "- is no file, and nothing but records is written to standard output",
            )
            .at(flag)
            .hint(format!("{flag} {example}"))
            .into());
        }
        let Some(place) = place(path) else {
            continue;
        };
        if let Some((other, _)) = taken.iter().find(|(_, taken)| *taken == place) {
            return Err(Problem::new(format!(
                "the {what} of the run and {other} need a file each"
            ))
            .at(flag)
            .hint(format!("{flag} {example}"))
            .into());
        }
        taken.push((to_others, place));
    }
    match &resolved.stats {
        Some(path) => stats::check(path),
        None => Ok(()),
    }
}

/// What is read, by the flag that names it.
fn read(resolved: &Resolved) -> Vec<(&'static str, PathBuf)> {
    let inputs = resolved.input.files.iter().map(|source| match source {
        Source::File(path) | Source::Sitemap(path) => ("--input", Some(path)),
        Source::Stdin | Source::SitemapAt(_) => ("--input", None),
    });
    let lists = resolved.proxies.lists.iter().map(|list| match list {
        ListSource::File(path) => ("--proxy-file", Some(path)),
        ListSource::Stdin | ListSource::Url(_) => ("--proxy-file", None),
    });
    inputs
        .chain(lists)
        .filter_map(|(flag, path)| Some((flag, place(path?)?)))
        .collect()
}

/// The file that a name leads to; `None` for devices and pipes, which keep nothing.
fn place(path: &Path) -> Option<PathBuf> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => None,
        Ok(_) => fs::canonicalize(path).ok(),
        // Not there yet.
        Err(_) => {
            let folder = fs::canonicalize(folder_of(path)).ok()?;
            Some(folder.join(path.file_name()?))
        }
    }
}
