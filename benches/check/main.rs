//! What a check costs: `proxywheel check` as a whole process over a lab that knows the truth.
//!
//! The lab runs in a process of its own. Every verdict is compared with the truth. The wall clock is held against the time that
//! silent entries hold their places, the CPU against a bare loop of connects. Method and bias: `benches/README.md`.
//!
//! `cargo bench --bench check` runs all cases; `cargo bench --bench check -- mixed` only those whose name contains the word. Under
//! `cargo test` a small version of each case checks the answers and measures nothing.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod cases;
#[path = "../common/mod.rs"]
mod common;
mod connect;
mod crowd;
mod served;

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("measure") => common::measure::child(arguments),
        Some("serve") => served::child(arguments),
        Some("connect") => connect::child(arguments),
        first => {
            let (full, filter) = common::wanted(first, arguments);
            cases::all(full, &filter);
        }
    }
}
