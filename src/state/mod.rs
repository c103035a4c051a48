//! What was learned about proxies and what tracking jobs saw ([`History`]), kept between runs: one SQLite file, embedded.
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::time::SystemTime;
//! use proxywheel::client::Client;
//! use proxywheel::engine::Keeping;
//! use proxywheel::state::State;
//!
//! # fn example(list: Vec<Arc<proxywheel::proxy::Proxy>>) -> Result<(), proxywheel::error::Error> {
//! let opened = State::open("state.db".as_ref())?;
//! let remembered = opened.state.recall(&list, SystemTime::now())?;
//! let keeper = opened.state.keep(remembered.unseen, SystemTime::now())?;
//! let client = Client::builder()
//!     .proxies(list)
//!     .build()?
//!     .keeping(Keeping { memory: remembered.memory.into(), saves: keeper.saves() });
//! // ... runs of the client ...
//! keeper.finish(None)?;
//! # Ok(())
//! # }
//! ```
//!
//! - **One writer.** [`Keeper`] is a thread that takes the snapshots of a run and writes each in one transaction; the run never
//!   waits for a disk. Reading is done before it begins.
//! - **Several processes.** WAL and a patient lock let them share the file. Rows are merged by identity: the later observation
//!   wins.
//! - **No secret.** A proxy is named by its redacted label and by a keyed hash of its identity (`identity`); the file can be
//!   read by its owner only.
//! - **No reason to fail a run.** A damaged file is set aside ([`Aside`]) and a new one begun; one of a newer version stays as it is,
//!   and the run goes without.
//!
//! What evidence is worth after a while is the pool's business ([`crate::pool::Health`]); here it is kept with its time.

mod aside;
mod history;
mod identity;
mod lookup;
mod open;
mod recall;
mod rows;
mod save;
mod schema;
mod survey;
mod transfer;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;

use crate::error::Error;
use identity::Salt;

pub use aside::Aside;
pub use history::{
    History, KeptVisit, KnownSeries, Letter, LookBack, OpenRun, OpenedHistory, RunId, TrackRun,
};
pub use lookup::{KnownHost, is_named};
pub use open::Opened;
pub use recall::Recalled;
pub use rows::{HostRow, Id, LimitRow, PairRow, ProxyRow, RunRow, TierRow};
pub use survey::{Forgotten, Survey};
pub use transfer::Imported;
pub use writer::{Keeper, RunEnd};

/// Identities that no list has named for so long are forgotten.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// What was observed later than this after now, it was by a clock that has been set back since: nobody can tell how much of a
/// time is over, so refusals and waits of that clock are forgotten. A clock that is put right by seconds costs nothing.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// The open file.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    connection: Connection,
    salt: Salt,
}

impl State {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, action: &'static str) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = self.path.clone();
        move |error| open::io_error(action, &path, error)
    }
}

/// Milliseconds since 1970, as all times of the file are; 0 for times before.
pub fn millis(at: SystemTime) -> i64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Time from one moment of the file to a later one; zero when the order is reversed, as after a clock was set back.
pub fn gap(from: i64, to: i64) -> Duration {
    Duration::from_millis(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}

/// A moment so much later.
fn after(at: i64, time: Duration) -> i64 {
    at.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

/// A moment so much earlier.
fn before(at: i64, time: Duration) -> i64 {
    at.saturating_sub(after(0, time)).max(0)
}
