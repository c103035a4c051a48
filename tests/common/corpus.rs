//! Real pages, lists and robots.txt files, for all tests and benchmarks that read them where they are at hand.

use std::path::{Path, PathBuf};

/// `CORPUS_DIR`, else `../shared/corpus` beside the source; says so where it is not there.
#[expect(
    clippy::print_stderr,
    reason = "a test that could not look has to say so"
)]
pub(crate) fn at_hand() -> Option<PathBuf> {
    let place = std::env::var_os("CORPUS_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"),
        PathBuf::from,
    );
    let there = place.is_dir();
    if !there {
        eprintln!("skipped: no corpus at {}; set CORPUS_DIR", place.display());
    }
    there.then_some(place)
}
