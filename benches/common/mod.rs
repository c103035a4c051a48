//! What benchmarks of whole processes share.

pub(crate) mod lab;
pub(crate) mod measure;

/// What is wanted: to measure (`--bench`) or only to check the answers, and of which cases; `first` is the first word.
pub(crate) fn wanted(
    first: Option<&str>,
    arguments: impl Iterator<Item = String>,
) -> (bool, String) {
    let words: Vec<String> = first
        .map(str::to_owned)
        .into_iter()
        .chain(arguments)
        .collect();
    let full = words.iter().any(|word| word == "--bench");
    let filter = words.into_iter().find(|word| !word.starts_with("--"));
    (full, filter.unwrap_or_default())
}
