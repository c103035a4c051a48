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
    let written: [Written<'_>; 5] = [
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
    apart(&written, read(resolved))?;
    match &resolved.stats {
        Some(path) => stats::check(path),
        None => Ok(()),
    }
}

/// A file that is written: its flag, what it is, what the others call it, an example, and where it is.
pub(in crate::cli::commands) type Written<'a> = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'a Option<PathBuf>,
);

/// Each file that is written is none of those `taken`, and no other that is written.
///
/// # Errors
/// The first that is.
pub(in crate::cli::commands) fn apart(
    written: &[Written<'_>],
    mut taken: Vec<(&'static str, PathBuf)>,
) -> Result<(), Problem> {
    for (flag, what, to_others, example, path) in written {
        let Some(path) = path else {
            continue;
        };
        if path.as_os_str() == "-" {
            return Err(Problem::new(
                "- is no file, and nothing but records is written to standard output",
            )
            .at(*flag)
            .hint(format!("{flag} {example}")));
        }
        let Some(place) = place(path) else {
            continue;
        };
        if let Some((other, _)) = taken.iter().find(|(_, taken)| *taken == place) {
            return Err(Problem::new(format!(
                "the {what} of the run and {other} need a file each"
            ))
            .at(*flag)
            .hint(format!("{flag} {example}")));
        }
        taken.push((to_others, place));
    }
    Ok(())
}

/// The files among these proxy lists.
pub(in crate::cli::commands) fn lists(
    lists: &[ListSource],
) -> impl Iterator<Item = (&'static str, PathBuf)> {
    lists.iter().filter_map(|list| match list {
        ListSource::File(path) => Some(("--proxy-file", place(path)?)),
        ListSource::Stdin | ListSource::Url(_) => None,
    })
}

/// What is read, by the flag that names it.
fn read(resolved: &Resolved) -> Vec<(&'static str, PathBuf)> {
    let inputs = resolved.input.files.iter();
    inputs
        .filter_map(|source| match source {
            Source::File(path) | Source::Sitemap(path) => Some(("--input", place(path)?)),
            Source::Stdin | Source::SitemapAt(_) => None,
        })
        .chain(lists(&resolved.proxies.lists))
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
