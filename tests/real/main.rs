//! The program against real proxies: squid, tinyproxy, privoxy, haproxy, dante and microsocks, with nginx as the target, and
//! nginx, Apache, Varnish and haproxy as targets that fail.
//!
//! Simulated proxies behave as their author understood the protocol; these behave as they do. Every test starts the servers it
//! needs on free loopback ports, runs `proxywheel fetch` as a user would, and reads the rows, the exit code and the log of the
//! origin; those of `check.rs` ask what `proxywheel check` finds out about each. The target is called `origin.test`, a name that
//! only the proxies can resolve, and the proxies leave through [`rig::EXIT`], so that a request that did not come through a proxy
//! would show in the origin's log.
//!
//! The programs are Debian packages, installed by `tests/run`; one that is missing fails its tests by name.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "the rig waits for real processes and shows their logs when a test fails"
)]

mod check;
mod dante;
mod edges;
mod haproxy;
mod judged;
mod microsocks;
mod nginx;
mod odd;
mod own;
mod privoxy;
mod rig;
mod run;
mod scenario;
mod squid;
mod squid_errors;
mod squid_pages;
mod tinyproxy;
mod tls;
mod told;
mod watch;
