//! Rank and change monitoring: jobs that are run again and again, and what they find compared with what was found before.
//!
//! Pure: pages come in as extracted rows, observations go out. The command line runs the job and keeps what it finds. The one thing
//! that is read here is the [`job`] file, with the files it names.

pub mod change;
pub mod job;
pub mod walk;
