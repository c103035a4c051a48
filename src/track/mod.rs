//! Rank and change monitoring: jobs that are run again and again, and what they find compared with what was found before.
//!
//! Pure: pages come in as extracted rows, observations go out. The command line runs the job and keeps what it finds. The one thing
//! that is read here is the [`job`] file, with the files it names.
//!
//! What is where: `job` the file, `course` a run of it, `walk` the pages of one query, `target` whose a result is, `change` and `clean` values
//! that are watched, `alert` what is worth telling, `compare` what changed since earlier runs, `report` the page to look at.

pub mod alert;
pub mod change;
mod clean;
pub mod compare;
pub mod course;
pub mod job;
pub mod name;
pub mod report;
mod target;
pub mod walk;
