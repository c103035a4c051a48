//! The history of a job as one page: a file that needs nothing else, to be opened, mailed, printed or put on a server.
//!
//! - **No outside resource.** Style and script are in the page, and a Content-Security-Policy allows these two by their hashes and
//!   nothing else: what a stranger's title smuggles in does not run, nor does the page ask anybody for anything.
//! - **Readable without the script.** Tables, courses and shares are drawn here; the script sorts, filters, and draws a large chart
//!   of a keyword when it is asked for one, from data that is packed into the page (`pack`).
//! - **Unknown is a gap**, never a place and never a loss.

mod chart;
mod escape;
mod figures;
mod grid;
mod pack;
mod page;
mod parts;
mod spark;
mod standing;

use crate::observation::{Observation, Series, SeriesId};
use crate::state::{KeptVisit, RunId, TrackRun};

/// What a page is made of.
#[derive(Debug, Clone, Default)]
pub struct Material {
    /// Name of the job.
    pub job: Box<str>,
    /// When the page is made, in milliseconds since 1970.
    pub now: i64,
    /// What it goes back to: earlier runs are compared with and not shown.
    pub since: i64,
    /// Every series of the job, in the order they are shown in.
    pub series: Vec<Series>,
    /// Its runs, in the order they were begun in.
    pub runs: Vec<TrackRun>,
    /// What they saw, in the order it was written in; from [`EARLIER_MS`] before `since` on, so that changes have something to be
    /// compared with.
    pub observations: Vec<(SeriesId, RunId, Observation)>,
    /// What they took.
    pub visits: Vec<KeptVisit>,
}

/// How much earlier than the first run shown observations are wanted: the longest comparison is 30 days, and a run may have
/// found nothing then.
pub const EARLIER_MS: i64 = 45 * 24 * 3600 * 1000;

/// The page.
pub fn html(material: &Material) -> String {
    page::page(&grid::Grid::of(material))
}
