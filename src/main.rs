//! The `proxywheel` program.

use std::process::ExitCode;

use proxywheel::cli::{Environment, run};

fn main() -> ExitCode {
    run(&Environment::of_process())
}
