//! Whose history it is: two job files may give their jobs one name, and each would be compared with what the other saw.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Problem};
use crate::state::History;
use crate::track::job::TrackJob;
use crate::track::name::job_name;

/// Takes the history of this name for the job's file, unless it is that of another file that has a job of this name still: each would
/// be compared with what the other saw. A file that has moved goes on with its history, and so does one behind a link that leads
/// elsewhere since (`current -> releases/42`): files are known by the path that they were named by.
pub(super) fn claim(job: &TrackJob, history: &History, folder: &Path) -> Result<(), Error> {
    let failed = |source| Error::io("find", &job.path, source);
    let path = std::path::absolute(folder.join(&job.path)).map_err(failed)?;
    let owner = history.owner(&job.name)?;
    if owner.as_ref() == Some(&path) {
        return Ok(());
    }
    if let Some(owner) = owner {
        let real = fs::canonicalize(&path).ok();
        if real.is_some() && real == fs::canonicalize(&owner).ok() {
            // Of two paths of one file that through a link stays when the other does not.
            return match real.as_ref() == Some(&path) {
                true => Ok(()),
                false => history.give_to(&job.name, &path),
            };
        }
        if may_have_job(&owner, &job.name) {
            return Err(refused(job, &owner));
        }
    }
    history.give_to(&job.name, &path)
}

fn refused(job: &TrackJob, owner: &Path) -> Error {
    let what = format!(
        "the history of {:?} is that of another job file: {}",
        job.name,
        owner.display()
    );
    Problem::new(what)
        .at(job.path.display().to_string())
        .hint(format!(
            "add a line such as name = \"{}-2\" to one of them; if this is the same job and has moved, remove the other file; \
             if a link leads to it, name it by a path through the link",
            job.name
        ))
        .into()
}

/// The folder that we are in, by the path that the user went there: `cd /srv/app/current` stays that wherever the link leads. A
/// `PWD` that is another folder is left behind by somebody.
pub(super) fn folder_as_named(pwd: Option<&OsString>) -> PathBuf {
    let named = pwd.map(PathBuf::from).filter(|named| {
        let real = |path: &Path| fs::canonicalize(path).ok();
        let here = real(Path::new("."));
        named.is_absolute() && here.is_some() && real(named) == here
    });
    named.unwrap_or_default()
}

/// False when there is no file here, or one that calls its job otherwise. One that cannot be read, or that somebody is writing just
/// now, may have the job still, and its history would be lost to it.
fn may_have_job(path: &Path, name: &str) -> bool {
    match fs::read_to_string(path) {
        Ok(text) => job_name(path, &text).is_none_or(|other| other == name),
        Err(error) => !matches!(
            error.kind(),
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_is_gone_or_calls_its_job_otherwise_has_the_job_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("old.toml");
        for (text, may) in [
            ("name = 'serp'", true),
            ("name = 'other'", false),
            ("kind = 'rank'", false),
            ("name = 'other'\nurl = \"half writ", true),
            ("name = 3", true),
        ] {
            fs::write(&path, text).expect("written");
            assert_eq!(may_have_job(&path, "serp"), may, "{text}");
        }
        assert!(!may_have_job(&folder.path().join("none.toml"), "serp"));
        assert!(!may_have_job(&path.join("below.toml"), "serp"));
        assert!(!may_have_job(folder.path(), "serp"));
    }
}
