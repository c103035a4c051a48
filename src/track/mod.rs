//! Rank and change monitoring: jobs that are run again and again, and what they find compared with what was found before.
//!
//! Pure: pages come in as extracted rows, observations go out. The command line runs the job and keeps what it finds.

pub mod change;
pub mod compare;
pub mod name;
pub mod report;
pub mod walk;
