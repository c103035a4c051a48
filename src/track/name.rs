//! The name of a job, which its history is kept under.

use std::path::Path;

/// The name that a job file gives its job, else the file's own name without its ending; `None` for a path without one.
pub fn job_name(path: &Path, text: &str) -> Option<String> {
    let given = toml::from_str::<toml::Table>(text).ok();
    let given = given.as_ref().and_then(|table| table.get("name")?.as_str());
    let stem = || path.file_stem().and_then(|stem| stem.to_str());
    given.or_else(stem).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_called_as_its_file_says_or_as_its_file() {
        let path = Path::new("jobs/shoes.toml");
        let name = |text| job_name(path, text).expect("a name");
        assert_eq!(name("name = 'serp'"), "serp");
        assert_eq!(name("kind = 'rank'"), "shoes");
        assert_eq!(name("not [toml"), "shoes");
    }
}
