//! What a fetch costs: `proxywheel fetch` as a whole process beside a bare hyper loop over the same proxies.
//!
//! The lab runs in a process of its own. Every figure is user + system time of the whole process divided by the number of
//! fetches, so start-up, parsing, choosing, classifying and writing are in it. Runs alternate, the median counts, and every
//! body is checked on both sides. Method, machine and bias: `benches/README.md`.
//!
//! `cargo bench --bench engine` runs all cases; `cargo bench --bench engine -- http` only those whose name contains the word.
//! Under `cargo test` a small version of each case checks the answers and measures nothing.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod bare;
mod cases;
#[path = "../common/mod.rs"]
mod common;
mod plan;
mod serve;

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("measure") => common::measure::child(arguments),
        Some("serve") => serve::child(arguments),
        Some("bare") => cases::bare_child(arguments),
        first => {
            let (full, filter) = common::wanted(first, arguments);
            cases::all(full, &filter);
        }
    }
}
