//! The name of a job, which its history is kept under.

use std::path::Path;

/// The name that a job file gives its job, else the file's own name without its ending; `None` where the file does not tell, because it
/// is no TOML or its name no text.
pub fn job_name(path: &Path, text: &str) -> Option<String> {
    let table: toml::Table = toml::from_str(text).ok()?;
    let name = match table.get("name") {
        Some(given) => given.as_str(),
        None => path.file_stem()?.to_str(),
    };
    name.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_called_as_its_file_says_or_as_its_file() {
        let path = Path::new("jobs/shoes.toml");
        let name = |text| job_name(path, text);
        assert_eq!(name("name = 'serp'").as_deref(), Some("serp"));
        assert_eq!(name("kind = 'rank'").as_deref(), Some("shoes"));
        assert_eq!(name("name = 'serp'\nnot [toml"), None);
        assert_eq!(name("name = 3"), None);
    }
}
