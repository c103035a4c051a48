//! Tests with real files, sockets and time.

mod input;
mod lab;
mod output;
mod output_resume;
