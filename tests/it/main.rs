//! Tests with real files, sockets and time.

mod input;
mod output;
mod output_resume;
