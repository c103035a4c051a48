//! Scenarios: a job against a simulated list of proxies, written in a file, with what it has to come to.
//!
//! [`Scenario::parse`] reads one. [`World`] is its truth: for a seed it says who is what and when, and what becomes of each
//! request. [`oracle`] tells how long the job would take if all that were known, which is the measure for any scheduler.
//! [`play`] drives a [`Chooser`], a simple rule for the choice of proxies, through the same world.
//!
//! Nothing here has sockets or a clock: time is an argument. What the program's own scheduler makes of a scenario is measured
//! by `tests/sim` and `benches/scenarios`, which put its engine in front of a world.
//!
//! # The file
#![doc = include_str!("scenario.md")]

mod expect;
mod format;
mod oracle;
mod parse;
mod play;
mod quantity;
mod rolls;
#[cfg(test)]
mod tests;
mod world;

pub use expect::{Expect, Figures, Metric, Range};
pub use format::{
    BanRule, Behaviour, Capacity, Churn, Connect, Group, Host, Limit, Price, Scenario, Span,
    Spread, Tail,
};
pub use oracle::oracle;
pub use play::{Ask, Choice, Chooser, play};
pub use quantity::{Positive, Seconds, Share};
pub use world::{End, Fate, Patience, Tally, World};
