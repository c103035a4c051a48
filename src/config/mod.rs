//! One shape for every setting, three spellings: a flag, a key of a TOML file, a `PROXYWHEEL_*` variable.
//!
//! Every source is first read as raw text (`name -> values, origin`, a [`Layer`]). Layers are merged, later ones replacing
//! earlier ones: file < environment < flag. The merged text is then rendered as one command line and parsed once by the
//! command-line parser, so that all sources share one validation and one set of error texts, and an error can name the line,
//! variable or flag it came from. Which names exist is told by a [`Catalog`], which the face derives from its flags; this
//! module knows no flag by name but those of the groups in which one setting displaces another, and those that several commands
//! share.
//!
//! The result is [`Resolved`]: the mechanisms' own settings sections, checked as a whole.
//!
//! Not done here: parsing of proxy lists, of regexes and of job files but for their table of settings. Their own modules do that and
//! name their own places.

mod catalog;
mod environment;
mod file;
mod job_file;
mod layer;
mod lists;
mod redact;
mod request;
mod resolved;
mod show;
mod start;

pub use crate::nearest::nearest;
pub use crate::units::{Size, Span};
pub use catalog::{Catalog, Kind, Setting};
pub use environment::{PREFIX, Variables, from_environment};
pub use file::{from_file, state_file, user_file};
pub use job_file::{from_job_file, instead_in_job};
pub use layer::{Entry, Layer, Merged, Origin, RawValue};
pub use lists::Lists;
pub use redact::redact;
pub use request::{Data, DataKind, RequestParts};
pub use resolved::{Least, ListSource, MaxFail, ProxySources, Resolved, Streams};
pub use show::shown;
pub use start::{LockSettings, Start, WhenHeld};
