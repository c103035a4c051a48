//! The `proxywheel` program.

fn main() {}
