//! The tables, and how a file is told to be ours.

use rusqlite::{
    Connection, OptionalExtension as _, Result, Transaction, TransactionBehavior, params,
};

use super::identity::Salt;

/// `PRAGMA application_id` of the file: "pxyw".
pub(super) const APPLICATION: i64 = 0x7078_7977;
/// `PRAGMA user_version`: a file with a greater one is left to the program that wrote it.
pub(super) const VERSION: i64 = 7;

/// Times are milliseconds since 1970. `id` and `proxy` are [`super::Id`].
const TABLES: &str = "
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE proxies (
    id         INTEGER PRIMARY KEY,
    label      TEXT    NOT NULL, -- scheme://host:port#k
    open       INTEGER NOT NULL, -- without credentials
    successes  REAL    NOT NULL, -- requests, as they weighed at `observed`
    failures   REAL    NOT NULL,
    latency    REAL    NOT NULL, -- seconds of a success, 0 before the first
    base       REAL    NOT NULL,
    capacity   REAL    NOT NULL,
    ok         INTEGER NOT NULL,
    tampered   INTEGER NOT NULL,
    level      INTEGER NOT NULL,
    unreached  INTEGER NOT NULL, -- runs in a row
    condemned  INTEGER NOT NULL,
    no_tunnel  INTEGER NOT NULL,
    no_forward INTEGER NOT NULL,
    served     INTEGER,          -- last valid answer
    rests      INTEGER,          -- end of the quarantine at `observed`
    observed   INTEGER NOT NULL, -- when all this was so
    seen       INTEGER NOT NULL  -- last time in a list, to a day
) STRICT;
CREATE TABLE pairs (
    proxy    INTEGER NOT NULL,
    host     TEXT    NOT NULL,
    level    INTEGER NOT NULL,
    until    INTEGER NOT NULL, -- end of the cooldown
    expires  INTEGER NOT NULL, -- good standing without a word
    observed INTEGER NOT NULL,
    PRIMARY KEY (proxy, host)
) STRICT, WITHOUT ROWID;
CREATE TABLE hosts (
    host     TEXT PRIMARY KEY,
    level    INTEGER NOT NULL,
    until    INTEGER NOT NULL, -- asked everybody to wait
    observed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE limits (
    host     TEXT PRIMARY KEY,
    window   REAL,             -- seconds
    uses     INTEGER,          -- of one exit within the window
    rate     REAL,             -- of everybody, a second
    observed INTEGER NOT NULL
) STRICT;
CREATE TABLE runs (
    id       INTEGER PRIMARY KEY,
    started  INTEGER NOT NULL,
    ended    INTEGER,          -- none while it runs, or when it was killed
    urls     INTEGER,
    ok       INTEGER,
    failed   INTEGER,
    attempts INTEGER,
    probes   INTEGER,
    proxies  INTEGER,
    worked   INTEGER,
    reason   TEXT,
    exit     INTEGER
) STRICT;
";

/// What tracking jobs saw ([`super::history`]). `seq` is the order in which rows were written, which the clock may not be.
const HISTORY: &str = "
CREATE TABLE series (
    id     INTEGER PRIMARY KEY, -- SeriesId
    job    TEXT    NOT NULL,
    axes   TEXT    NOT NULL,    -- JSON object
    target TEXT,
    query  INTEGER NOT NULL     -- SeriesId of the same place without a target
) STRICT;
CREATE INDEX series_of_job ON series (job);
CREATE TABLE track_runs (
    seq      INTEGER PRIMARY KEY,
    id       TEXT    NOT NULL UNIQUE,
    job      TEXT    NOT NULL,
    started  INTEGER NOT NULL,
    ended    INTEGER,
    complete INTEGER            -- none while it runs or when it was killed, 0 given up, 1 ended
) STRICT;
CREATE INDEX track_runs_of_job ON track_runs (job);
CREATE TABLE observations (
    seq         INTEGER PRIMARY KEY,
    series      INTEGER NOT NULL,
    run         INTEGER NOT NULL, -- `seq` of the run
    at          INTEGER NOT NULL,
    state       TEXT    NOT NULL,
    position    INTEGER,          -- from 1
    lower_bound INTEGER NOT NULL,
    absolute    INTEGER,
    url         TEXT,
    title       TEXT,
    value       TEXT,
    number      REAL,
    results     INTEGER,
    pages_read  INTEGER NOT NULL,
    pages_asked INTEGER NOT NULL,
    why         TEXT,
    UNIQUE (series, run)
) STRICT;
CREATE INDEX observations_of_series ON observations (series);
CREATE INDEX observations_of_run ON observations (run);
CREATE TABLE visits (
    seq      INTEGER PRIMARY KEY,
    query    INTEGER NOT NULL,    -- SeriesId without a target
    run      INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    host     TEXT    NOT NULL,
    pages    INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    blocked  INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    cost     INTEGER NOT NULL,    -- millionths of the unit of money
    elapsed  INTEGER NOT NULL,
    country  TEXT,
    proxy    TEXT,                -- without credentials
    etag     TEXT,                -- validators of the last page
    modified TEXT,
    UNIQUE (query, run)
) STRICT;
CREATE INDEX visits_of_run ON visits (run);
CREATE INDEX visits_of_query ON visits (query);
CREATE TABLE told (
    job TEXT PRIMARY KEY,
    seq INTEGER NOT NULL          -- observations up to this one have been judged and alerted of
) STRICT, WITHOUT ROWID;
";

/// Which hosts have to be served from another tier of the list than the lowest.
const TIERS: &str = "
CREATE TABLE tiers (
    host     TEXT PRIMARY KEY,
    tier     INTEGER NOT NULL, -- 0 for one that has come back to the lowest
    exits    INTEGER NOT NULL, -- of the tier below, banned in a row before
    observed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Alerts that are due and have not arrived yet ([`super::history`]).
const OUTBOX: &str = "
CREATE TABLE outbox (
    seq     INTEGER PRIMARY KEY,
    job     TEXT NOT NULL,
    channel TEXT NOT NULL, -- stands for where it goes, without any secret of it
    event   TEXT NOT NULL  -- JSON object
) STRICT;
CREATE INDEX outbox_of_job ON outbox (job);
";

/// Which file a job is read from, so that two of one name do not share a history, and which address a version of a page belongs to.
const OWNERS: &str = "
CREATE TABLE track_jobs (
    job  TEXT PRIMARY KEY,
    path TEXT NOT NULL
) STRICT, WITHOUT ROWID;
ALTER TABLE visits ADD COLUMN url TEXT; -- that etag and modified are of
";

/// Long values of observations, each once however often it was seen: a page that stays as it is must not cost its size every day.
const TEXTS: &str = "
CREATE TABLE texts (
    id     INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE, -- SHA-256
    text   TEXT NOT NULL
) STRICT;
ALTER TABLE observations ADD COLUMN text INTEGER; -- in place of `value`
";

/// From each earlier version, the first first, to the one after it.
const UPGRADES: [&str; VERSION as usize - 1] = [
    "
ALTER TABLE proxies ADD COLUMN rests INTEGER;
CREATE TABLE limits (
    host     TEXT PRIMARY KEY,
    window   REAL,
    uses     INTEGER,
    rate     REAL,
    observed INTEGER NOT NULL
) STRICT;
",
    HISTORY,
    TIERS,
    OUTBOX,
    OWNERS,
    TEXTS,
];

/// What a file turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing in it yet.
    Empty,
    /// Ours, of this version.
    Ours,
    /// Ours, and this many versions have come since the first.
    Older(usize),
    /// Ours, written by a later version of the program.
    Newer,
    /// A database of some other program.
    Foreign,
}

/// Tells what a file is. Inside a transaction: another process may be making it just now.
pub(super) fn kind(connection: &Transaction<'_>) -> Result<Kind> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application, version) {
        (0, 0) if tables == 0 => Kind::Empty,
        (APPLICATION, VERSION) => Kind::Ours,
        (APPLICATION, version @ 1..VERSION) => Kind::Older(version as usize - 1),
        (APPLICATION, version) if version > VERSION => Kind::Newer,
        _ => Kind::Foreign,
    })
}

/// Makes the tables unless another process has just done so.
pub(super) fn create(connection: &mut Connection, salt: &Salt) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if kind(&transaction)? == Kind::Empty {
        transaction.execute_batch(TABLES)?;
        transaction.execute_batch(HISTORY)?;
        transaction.execute_batch(TIERS)?;
        transaction.execute_batch(OUTBOX)?;
        transaction.execute_batch(OWNERS)?;
        transaction.execute_batch(TEXTS)?;
        set_salt(&transaction, salt)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}

/// Brings an older file up to this version unless another process has just done so.
pub(super) fn upgrade(connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Kind::Older(first) = kind(&transaction)? {
        for step in &UPGRADES[first..] {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}

/// The salt of the file, if it has one.
pub(super) fn salt(connection: &Connection) -> Result<Option<Salt>> {
    let bytes = connection
        .query_row("SELECT value FROM meta WHERE name = 'salt'", [], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(bytes.and_then(Salt::of))
}

pub(super) fn set_salt(connection: &Connection, salt: &Salt) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO meta (name, value) VALUES ('salt', ?1)";
    connection.execute(sql, params![salt.bytes()]).map(drop)
}

/// Looks at every page of every table, for a file that was cut or overwritten.
pub(super) fn inspect(connection: &Connection) -> Result<()> {
    for table in [
        "meta",
        "proxies",
        "pairs",
        "hosts",
        "limits",
        "tiers",
        "runs",
        "series",
        "track_runs",
        "observations",
        "visits",
        "outbox",
        "track_jobs",
        "texts",
    ] {
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?;
    }
    Ok(())
}
