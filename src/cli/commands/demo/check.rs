//! Holds the rows of a demo against what the sites sent, and tells what is worth a look.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::Deserialize;
use url::Url;

use super::SITES;
use crate::error::Error;
use crate::lab::Origin;
use crate::text::Sha256;

/// As much of a row as is looked at.
#[derive(Debug, Deserialize)]
struct Row {
    input: String,
    outcome: String,
    body_sha256: Option<String>,
    attempt_log: Vec<Attempt>,
}

#[derive(Debug, Deserialize)]
struct Attempt {
    proxy: String,
    outcome: String,
    status: Option<u16>,
    rule: Option<String>,
    error: Option<Cause>,
}

#[derive(Debug, Deserialize)]
struct Cause {
    message: String,
}

/// True when the file is empty or holds nothing but rows of a demo; a torn last row is a demo that was killed.
///
/// # Errors
/// The file cannot be read.
pub(super) fn is_of_a_demo(path: &Path) -> Result<bool, Error> {
    let failed = |error| Error::io("read", path, error);
    let mut lines = BufReader::new(File::open(path).map_err(failed)?);
    let mut line = Vec::new();
    let mut is_first = true;
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return Ok(true);
        }
        let is_torn = line.last() != Some(&b'\n') && !is_first;
        let row = serde_json::from_slice::<Row>(&line);
        let is_ours = row.is_ok_and(|row| is_of_a_site(&row.input));
        if !is_ours && !is_torn {
            return Ok(false);
        }
        is_first = false;
    }
}

fn is_of_a_site(url: &str) -> bool {
    SITES.iter().any(|(site, _)| {
        url.strip_prefix(site)
            .is_some_and(|path| path.starts_with('/'))
    })
}

/// What the rows of a demo come to.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: usize,
    ok: usize,
    /// What must not be: a page that is not the site's, a URL without or with two rows.
    broken: Vec<String>,
    /// Proxies that gave something else than the page, with what they gave.
    wrong: BTreeMap<String, String>,
    /// Proxies that a site has banned.
    banned: BTreeSet<String>,
    hardest: Option<Row>,
}

impl Report {
    /// Reads the rows back and compares them with `urls` and with what the sites sent.
    ///
    /// # Errors
    /// The file cannot be read, or a line is no row.
    pub(super) fn of_file(path: &Path, urls: impl Iterator<Item = String>) -> Result<Self, Error> {
        let failed = |error| Error::io("read", path, error);
        let mut rows_of: HashMap<String, u32> = urls.map(|url| (url, 0)).collect();
        let mut report = Report::default();
        for line in BufReader::new(File::open(path).map_err(failed)?).lines() {
            let row: Row = serde_json::from_str(&line.map_err(failed)?)
                .map_err(|error| Error::Internal(format!("a row cannot be read back: {error}")))?;
            match rows_of.get_mut(&row.input) {
                Some(count) => *count += 1,
                None => report
                    .broken
                    .push(format!("{} was not asked for", row.input)),
            }
            report.take(row);
        }
        for (url, count) in rows_of {
            if count != 1 {
                report.broken.push(format!("{url} has {count} rows"));
            }
        }
        report.broken.sort();
        Ok(report)
    }

    fn take(&mut self, row: Row) {
        self.rows += 1;
        if row.outcome == "ok" {
            self.ok += 1;
            if row.body_sha256.as_deref() != Some(&*sent(&row.input)) {
                self.broken.push(format!(
                    "{} is ok with a body the site did not send",
                    row.input
                ));
            }
        }
        for attempt in &row.attempt_log {
            if matches!(&*attempt.outcome, "corrupt" | "tls_error") {
                self.wrong.insert(attempt.proxy.clone(), attempt.told());
            } else if attempt.outcome == "banned" {
                self.banned.insert(attempt.proxy.clone());
            }
        }
        // One that was taken back because another was faster is no failure.
        let tries = |row: &Row| {
            let counts = |attempt: &&Attempt| attempt.outcome != "cancelled";
            row.attempt_log.iter().filter(counts).count()
        };
        if self
            .hardest
            .as_ref()
            .is_none_or(|hardest| tries(hardest) < tries(&row))
        {
            self.hardest = Some(row);
        }
    }

    /// What was checked and what is worth a look, without a final line break.
    pub(super) fn render(&self, path: &Path) -> String {
        let file = path.display();
        let mut text = format!(
            "\nchecked: {} rows in {file}, each URL once; each of the {} ok pages is what its site sent",
            self.rows, self.ok
        );
        if !self.broken.is_empty() {
            text = format!("\nchecked: {} rows in {file} are wrong", self.broken.len());
        }
        if !self.wrong.is_empty() {
            let _ = write!(
                text,
                "\nproxies that gave wrong answers: {}",
                self.wrong.len()
            );
            for (proxy, what) in &self.wrong {
                let _ = write!(text, "\n  {proxy:<34} {what}");
            }
        }
        if !self.banned.is_empty() {
            let _ = write!(text, "\nproxies banned by a site: {}", self.banned.len());
        }
        if let Some(row) = self
            .hardest
            .as_ref()
            .filter(|row| row.attempt_log.len() > 1)
        {
            let _ = write!(text, "\nhardest to get: {}", row.input);
            for attempt in &row.attempt_log {
                let _ = write!(text, "\n  {:<34} {}", attempt.proxy, attempt.told());
            }
        }
        let _ = write!(
            text,
            "\nlook next:\
             \n  one row, all of it       head -n 1 {file} | jq .\
             \n  what took some attempts  jq -c 'select(.attempts > 1) | [.url, .attempts]' {file}\
             \n  what a ban looks like    jq -c '.attempt_log[] | select(.outcome == \"banned\")' {file}\
             \n  the same with your list  proxywheel fetch --help"
        );
        text
    }

    /// # Errors
    /// A row is wrong.
    pub(super) fn verdict(&self) -> Result<(), Error> {
        match self.broken.first() {
            None => Ok(()),
            Some(first) => Err(Error::Internal(format!(
                "{first}; {} such rows in all",
                self.broken.len()
            ))),
        }
    }
}

impl Attempt {
    /// The attempt in a few words.
    fn told(&self) -> String {
        let mut text = self.outcome.clone();
        if let Some(status) = self.status {
            let _ = write!(text, " {status}");
        }
        match (&self.rule, &self.error) {
            (Some(rule), _) => _ = write!(text, " by {rule}"),
            (None, Some(error)) => _ = write!(text, ": {}", error.message),
            (None, None) => {}
        }
        text
    }
}

/// Digest of the page the site has at `url`.
fn sent(url: &str) -> String {
    let url = Url::parse(url).ok();
    let (host, path) = url.as_ref().map_or(("", ""), |url| {
        (url.host_str().unwrap_or_default(), url.path())
    });
    Sha256::of(&Origin::expected_body(host, path)).to_string()
}
