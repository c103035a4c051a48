//! The table `[fetch]` of a job file as a layer.

use std::ffi::OsString;
use std::path::Path;

use toml::de::DeValue;

use super::catalog::{Catalog, find_in};
use super::file::File;
use super::layer::Layer;
use crate::error::Problem;

/// Settings that a job makes elsewhere or not at all, and what does instead.
const NOT_OF_JOBS: [(&str, &str); 28] = [
    ("input", "what is asked is said by url and [matrix]"),
    ("input-format", "what is asked is said by url and [matrix]"),
    ("url-column", "what is asked is said by url and [matrix]"),
    ("sitemap-since", "what is asked is said by url and [matrix]"),
    ("select", "put it into [extract]"),
    ("rows", "put it into [extract]"),
    ("extract", "put it into [extract], as profile"),
    ("sticky", "put it into [pages], as sticky = true"),
    ("output", "put it into [output], as observations"),
    ("format", "the suffix of observations in [output] says it"),
    ("fields", "observations have the fields they have"),
    ("append", "observations are always appended"),
    ("overwrite", "observations are always appended"),
    (
        "resume",
        "an unfinished run goes on by itself, see resume_within in [schedule]",
    ),
    (
        "retry-failed",
        "what is unknown is asked again by the next run",
    ),
    ("csv-raw", "observations have their own form"),
    ("headers", "observations have their own form"),
    ("attempts", "observations have their own form"),
    ("body", "put pages = \"blocked\" or \"all\" into [output]"),
    ("save-dir", "put it into [output], as pages_dir"),
    ("write-out", "observations have their own form"),
    (
        "stats",
        "hooks get the run in numbers, see on_success in [hooks]",
    ),
    (
        "no-state",
        "the history is in the state; state names another one",
    ),
    ("progress", FLAG_OF_RUN),
    ("quiet", FLAG_OF_RUN),
    ("verbose", FLAG_OF_RUN),
    ("log-format", FLAG_OF_RUN),
    ("color", FLAG_OF_RUN),
];

/// What is said of the terminal is said of the whole command.
const FLAG_OF_RUN: &str = "it is a flag of track run itself, before any --";

/// Settings that name a file; in a job file it is relative to the folder of that.
const PATHS: [&str; 7] = [
    "proxy-file",
    "presets",
    "proxy-cacert",
    "cacert",
    "rules",
    "state",
    "record",
];

/// What does instead of a setting that a job makes elsewhere or not at all; `None` for one that it takes from `fetch`.
pub fn instead_in_job(setting: &str) -> Option<&'static str> {
    let found = NOT_OF_JOBS.iter().find(|(name, _)| *name == setting);
    found.map(|(_, instead)| *instead)
}

/// Reads the table `fetch` of a job file; its keys are those of [`super::from_file`]. Files it names are beside the job file.
///
/// # Errors
/// As [`super::from_file`], and for settings that a job makes elsewhere: all of them in one.
pub fn from_job_file(path: &Path, text: &str, catalog: &Catalog) -> Result<Layer, Problem> {
    let file = File { path, text };
    let document = file.parse()?;
    let mut layer = Layer::default();
    let table = document.get_ref().get("fetch").map(toml::Spanned::get_ref);
    let Some(DeValue::Table(table)) = table else {
        return Ok(layer);
    };
    let mut table: Vec<_> = table.iter().collect();
    table.sort_by_key(|(key, _)| key.span().start);
    let mut problems = Vec::new();
    for (key, value) in table {
        let read = || {
            let Some((setting, negated)) = find_in(&catalog.settings, key.get_ref()) else {
                return Err(file.unknown(key, catalog));
            };
            if let Some(instead) = instead_in_job(&setting.name) {
                let what = format!("{} is no setting of a job", setting.name);
                let place = file.place(key.span().start);
                return Err(Problem::new(what).at(place).hint(instead));
            }
            Ok((setting, negated, file.entry(setting, key, value)?))
        };
        let (setting, negated, mut entry) = match read() {
            Ok(read) => read,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        if PATHS.contains(&setting.name.as_str()) {
            for value in &mut entry.values {
                value.text = beside(path, &value.text);
            }
        }
        layer.set(setting, negated, entry);
    }
    let within = "[fetch] of the job file";
    match Problem::of_all(problems, within, path.display().to_string()) {
        Some(problem) => Err(problem),
        None => Ok(layer),
    }
}

/// What a file of this name is called from where the program runs; `-` and addresses are no files.
fn beside(job: &Path, named: &OsString) -> OsString {
    let text = named.to_string_lossy();
    match job.parent() {
        Some(folder) if text != "-" && !text.contains("://") => folder.join(named).into(),
        _ => named.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::tests::sample;
    use super::super::layer::Merged;
    use super::*;

    #[test]
    fn only_the_table_of_fetch_counts_and_its_files_are_beside_the_job() {
        let read = |text: &str| from_job_file(Path::new("jobs/a.toml"), text, &sample());
        let layer =
            read("rate = 'x'\n[other]\nrate = 3\n[fetch]\nrate = '2/s'\n").expect("a layer");
        assert_eq!(Merged::of([layer]).render(&sample()), ["--rate=2/s"]);
        let problem = read("[fetch]\n\nraet = 1").expect_err("unknown");
        assert_eq!(problem.place.as_deref(), Some("jobs/a.toml:3"));
        let problem = read("[fetch]\nraet = 1\nresume = true\nrate = '1/s'\nreta = 1");
        let problem = problem.expect_err("three").what;
        for line in ["3 things", "a.toml:2: ", "a.toml:3: ", "a.toml:5: "] {
            assert!(problem.contains(line), "{problem}");
        }
        let problem = read("[fetch]\nresume = true").expect_err("not of jobs");
        assert!(
            problem
                .hint
                .is_some_and(|hint| hint.contains("resume_within"))
        );
        let here = |named: &str| beside(Path::new("jobs/a.toml"), &named.into());
        assert_eq!(here("p.txt"), "jobs/p.txt");
        assert_eq!(here("/p.txt"), "/p.txt");
        assert_eq!(here("-"), "-");
        assert_eq!(here("https://h.test/l"), "https://h.test/l");
    }
}
