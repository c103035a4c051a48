//! The `proxywheel` program.

use std::process::ExitCode;

use proxywheel::cli::{Environment, run};

/// Every fetch allocates some dozens of small objects; benches/README.md has what this saves beside the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(&Environment::of_process())
}
