//! The output file: opened, locked, and known to be the one its name stands for.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::error::{Error, Problem};

/// Openings tried when the file is replaced between its opening and its lock, as a resuming run does once.
const OPENINGS: u32 = 8;

/// What helps who finds the output in use.
const ELSEWHERE: &str = "wait for the other run to end, or choose another --output";

/// Opens `path` for reading and writing, creating it, and locks it when it is a regular file.
///
/// # Errors
/// [`Error::Locked`] when another run has it; [`Error::Usage`] for a directory; [`Error::Io`].
pub fn open_locked(path: &Path) -> Result<File, Error> {
    for _ in 0..OPENINGS {
        let file = open(path)?;
        let metadata = file
            .metadata()
            .map_err(|error| Error::io("read", path, error))?;
        if !metadata.is_file() {
            // Devices and pipes are shared by nature: a lock on /dev/null would shut out every other run.
            return Ok(file);
        }
        lock(&file, path)?;
        if is_at(&file, path) {
            return Ok(file);
        }
    }
    // Somebody replaces it over and over.
    Err(Error::Locked {
        path: path.to_owned(),
        holder: None,
        hint: ELSEWHERE,
    })
}

fn open(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    // A pipe opened for reading too would never report that its reader went away.
    let special = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
    let opened = options.clone().read(!special).open(path);
    let opened = match opened {
        // A file that may only be written can still be: reading is for --append and --resume.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => options.open(path),
        other => other,
    };
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::IsADirectory => Problem::new("the output is a directory")
            .at(path.display().to_string())
            .hint("name a file in it with -o")
            .into(),
        _ => Error::io("create", path, error),
    })
}

/// Takes the lock or says who cannot.
pub(super) fn lock(file: &File, path: &Path) -> Result<(), Error> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::Locked {
            path: path.to_owned(),
            holder: None,
            hint: ELSEWHERE,
        }),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", path, error)),
    }
}

/// True while `path` still names this file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// An open file cannot be replaced here.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// Cuts `file` to `length` and goes to its end.
pub(super) fn cut(mut file: &File, length: u64) -> io::Result<()> {
    file.set_len(length)?;
    file.seek(SeekFrom::End(0))?;
    Ok(())
}

/// A locked, empty file that will take the place of `path`.
pub struct Replacement {
    /// What is written into it is nowhere to be seen before [`Replacement::install`].
    pub file: File,
    temporary: PathBuf,
    real: PathBuf,
}

impl Replacement {
    /// Creates it beside `path`, with the same permissions. The caller holds the lock on `path`, so the name is free.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Locked`] when somebody writes it all the same.
    pub fn beside(path: &Path, original: &File) -> Result<Self, Error> {
        // A symbolic link goes on pointing where it did.
        let real = fs::canonicalize(path).map_err(|error| Error::io("read", path, error))?;
        let mut name = std::ffi::OsString::from(".");
        name.push(real.file_name().unwrap_or_default());
        name.push(".rewrite");
        let temporary = real.with_file_name(name);
        let create = || -> io::Result<File> {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(true);
            let file = options.open(&temporary)?;
            file.set_permissions(original.metadata()?.permissions())?;
            Ok(file)
        };
        let file = create().map_err(|error| Error::io("create", &temporary, error))?;
        lock(&file, path)?;
        Ok(Replacement {
            file,
            temporary,
            real,
        })
    }

    /// Makes it durable and puts it in place. It is locked before it has the name, so that no other run can slip in.
    ///
    /// # Errors
    /// [`Error::Io`]; `path` is then what it was.
    pub fn install(self) -> Result<File, Error> {
        let install = || -> io::Result<()> {
            self.file.sync_all()?;
            fs::rename(&self.temporary, &self.real)?;
            sync_directory(&self.real)
        };
        install().map_err(|error| Error::io("replace", &self.real, error))?;
        Ok(self.file)
    }

    /// Removes it again.
    pub fn discard(self) {
        // Left behind it does no harm: the next rewrite empties it.
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Standard output as a file of its own, so that writes are exactly the ones asked for.
pub(super) fn stdout() -> Result<File, Error> {
    #[cfg(unix)]
    let duplicate = {
        use std::os::fd::AsFd;
        io::stdout().as_fd().try_clone_to_owned().map(File::from)
    };
    #[cfg(windows)]
    let duplicate = {
        use std::os::windows::io::AsHandle;
        io::stdout()
            .as_handle()
            .try_clone_to_owned()
            .map(File::from)
    };
    duplicate.map_err(|error| Error::io("write", "standard output", error))
}
