//! Opening the file, whatever state it is in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::State;
use super::aside::{Aside, set_aside, with_suffix};
use super::identity::Salt;
use super::schema::{self, Kind};
use crate::error::{Error, Problem};

/// How long one process waits for another that writes: longer than any of our transactions, short enough not to look hung.
const PATIENCE: Duration = Duration::from_secs(5);

/// An open file, and the one that had to go first.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub state: State,
    /// What was there before and could not be used.
    pub aside: Option<Aside>,
}

/// Why a file could not be opened.
enum Trouble {
    Damaged,
    Other(Error),
}

impl State {
    /// Opens the file, or begins one; folders on the way to it are made. A damaged file is set aside.
    ///
    /// # Errors
    /// The file cannot be created or written, a later version of the program has written it, or it is something else: a database
    /// of another program, a list named by mistake.
    pub fn open(path: &Path) -> Result<Opened, Error> {
        // SQLite gives some names a meaning of their own, `:memory:` for one; none of them is absolute.
        let path = &std::path::absolute(path).map_err(|error| Error::io("open", path, error))?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, error))?;
        }
        match attach(path) {
            Ok(state) => return Ok(Opened { state, aside: None }),
            Err(Trouble::Other(error)) => return Err(error),
            Err(Trouble::Damaged) if is_something_else(path) => {
                return Err(Problem::new("the file is no state")
                    .at(path.display().to_string())
                    .hint("name another file with --state FILE, or use --no-state")
                    .into());
            }
            Err(Trouble::Damaged) => {}
        }
        // Of two processes that find it unusable one sets it aside; the other then finds a new one.
        let _guard = lock_folder(path).map_err(|error| Error::io("lock", path, error))?;
        let (state, aside) = match attach(path) {
            Ok(state) => (Ok(state), None),
            Err(Trouble::Damaged) => {
                let aside = set_aside(path).map_err(|error| Error::io("rename", path, error))?;
                (attach(path), Some(aside))
            }
            Err(trouble) => (Err(trouble), None),
        };
        match state {
            Ok(state) => Ok(Opened { state, aside }),
            Err(Trouble::Other(error)) => Err(error),
            Err(Trouble::Damaged) => {
                let why = io::Error::other("the new file cannot be used either");
                Err(Error::io("open", path, why))
            }
        }
    }

    /// Opens a file that has to be there, without setting anything aside.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub fn open_existing(path: &Path) -> Result<State, Error> {
        let absolute = std::path::absolute(path).map_err(|error| Error::io("open", path, error))?;
        if !absolute.exists() {
            return Err(Problem::new("there is no state yet")
                .at(path.display().to_string())
                .hint("fetch writes it; --state FILE names another one")
                .into());
        }
        attach(&absolute).map_err(|trouble| match trouble {
            Trouble::Other(error) => error,
            Trouble::Damaged => Problem::new("the file is damaged or no state")
                .at(path.display().to_string())
                .hint("the next fetch sets it aside and begins a new one")
                .into(),
        })
    }
}

/// Opens the file without moving it; to be read only where it must not be written, so that what it knows is of use all the same.
/// Whoever writes it then is told.
fn attach(path: &Path) -> Result<State, Trouble> {
    match attach_writable(path) {
        Err(Trouble::Other(error)) if is_forbidden(&error) => {
            attach_read_only(path).map_err(|_| Trouble::Other(error))
        }
        attached => attached,
    }
}

fn is_forbidden(error: &Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let Error::Io { source, .. } = error else {
        return false;
    };
    matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem)
}

/// Of this version only: any other would have to be changed.
pub(super) fn attach_read_only(path: &Path) -> rusqlite::Result<State> {
    // What another process has written lately is in a file beside it, which SQLite shares with that process. Where there is none
    // SQLite would make it, unless it is told that nobody writes.
    let mut name = url::Url::from_file_path(path).map_err(|()| rusqlite::Error::InvalidQuery)?;
    if !with_suffix(path, "-wal").exists() {
        name.set_query(Some("immutable=1"));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let mut connection = Connection::open_with_flags(name.as_str(), flags)?;
    connection.busy_timeout(PATIENCE)?;
    if schema::kind(&connection.transaction()?)? != Kind::Ours {
        return Err(rusqlite::Error::InvalidQuery);
    }
    schema::inspect(&connection)?;
    let salt = schema::salt(&connection)?.ok_or(rusqlite::Error::InvalidQuery)?;
    Ok(State {
        path: path.to_owned(),
        connection,
        salt,
    })
}

fn attach_writable(path: &Path) -> Result<State, Trouble> {
    let other = |error: rusqlite::Error| trouble(path, error);
    create_private(path).map_err(|error| Trouble::Other(Error::io("open", path, error)))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(other)?;
    connection.busy_timeout(PATIENCE).map_err(other)?;
    let kind = connection
        .transaction()
        .and_then(|reading| schema::kind(&reading))
        .map_err(other)?;
    match kind {
        Kind::Ours => {}
        Kind::Older(_) => schema::upgrade(&mut connection).map_err(other)?,
        Kind::Empty => {
            let salt = Salt::random().ok_or_else(|| {
                let why = io::Error::other("the system has no random numbers");
                Trouble::Other(Error::io("create", path, why))
            })?;
            schema::create(&mut connection, &salt).map_err(other)?;
        }
        Kind::Newer => {
            let problem = Problem::new("a later version of this program has written the file")
                .at(path.display().to_string())
                .hint("use that version, or name another file with --state FILE");
            return Err(Trouble::Other(problem.into()));
        }
        Kind::Foreign => {
            let problem = Problem::new("the file is a database of another program")
                .at(path.display().to_string())
                .hint("name another file with --state FILE, or use --no-state");
            return Err(Trouble::Other(problem.into()));
        }
    }
    // Readers and the writer do not wait for each other, and what a crash of the machine may lose is the last snapshot. Where
    // a file system cannot do it, SQLite stays with what it can; when it is busy, another process is making the change.
    match connection.pragma_update(None, "journal_mode", "wal") {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
        changed => changed.map_err(other)?,
    }
    connection
        .pragma_update(None, "synchronous", "normal")
        .map_err(other)?;
    schema::inspect(&connection).map_err(other)?;
    let salt = schema::salt(&connection).map_err(other)?;
    Ok(State {
        path: path.to_owned(),
        connection,
        salt: salt.ok_or(Trouble::Damaged)?,
    })
}

/// True for a file that was named by mistake: neither its first bytes nor its name are those of a database.
fn is_something_else(path: &Path) -> bool {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let is_named_so = path
        .extension()
        .is_some_and(|suffix| suffix == "db" || suffix == "sqlite" || suffix == "sqlite3");
    let mut first = [0; MAGIC.len()];
    let begins = File::open(path).and_then(|mut file| file.read_exact(&mut first));
    let begins_so = begins.is_ok() && first == MAGIC;
    !is_named_so && !begins_so
}

/// Has the file exist, readable by its owner only if there is nothing in it yet; SQLite gives its companions the same mode.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        let found = file.metadata()?;
        if found.is_file() && found.len() == 0 {
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            // Another user's, which is as it was meant to be.
            let _ = file.set_permissions(private);
        }
    }
    drop(file);
    Ok(())
}

/// Held while a file is set aside. The lock is on the folder, so that no further file is left behind.
fn lock_folder(path: &Path) -> io::Result<File> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let folder = File::open(folder)?;
    folder.lock()?;
    Ok(folder)
}

fn trouble(path: &Path, error: rusqlite::Error) -> Trouble {
    if is_damage(&error) {
        Trouble::Damaged
    } else {
        Trouble::Other(io_error("open", path, error))
    }
}

/// True for what a whole file of ours never causes. `Unknown` is a table or column that is not there.
fn is_damage(error: &rusqlite::Error) -> bool {
    use ErrorCode::{DatabaseCorrupt, NotADatabase, Unknown};
    let code = error.sqlite_error_code();
    code.is_some_and(|code| matches!(code, DatabaseCorrupt | NotADatabase | Unknown))
}

/// SQLite's error as one about the file.
pub(super) fn io_error(action: &'static str, path: &Path, error: rusqlite::Error) -> Error {
    let path = PathBuf::from(path);
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => io::ErrorKind::PermissionDenied,
        Some(ErrorCode::DiskFull) => io::ErrorKind::StorageFull,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => io::ErrorKind::ResourceBusy,
        _ => io::ErrorKind::Other,
    };
    Error::io(action, path, io::Error::new(kind, error))
}
