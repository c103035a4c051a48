//! From text to a scenario, or to one complaint with its line.

use std::num::NonZeroU32;

use super::format::{Group, Host, Scenario};
use crate::error::Problem;

/// A file with more hosts than this is a mistake.
const MOST_HOSTS: usize = 1000;
/// What shares may add up to beside 1 for being written with few digits.
const ROUNDING: f64 = 1e-6;

impl Scenario {
    /// Reads a scenario; `path` is what the file is called in complaints.
    ///
    /// # Errors
    /// Not TOML, an unknown or missing key, a value that makes no sense: the first one, with its line.
    pub fn parse(path: &str, text: &str) -> Result<Scenario, Problem> {
        let mut scenario: Scenario = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            Problem::new(complaint(text, at, error.message()))
                .at(format!("{path}:{}", line(text, at)))
        })?;
        if scenario.hosts.is_empty() {
            scenario.hosts.push(Host::default());
        }
        scenario.check().map_err(|(key, what)| {
            // The first line of that key: arrays have many, and the text names which one is meant.
            let at = text
                .lines()
                .position(|line| line.trim_start().starts_with(key));
            let place = at.map_or(path.to_owned(), |at| format!("{path}:{}", at + 1));
            Problem::new(what).at(place)
        })?;
        Ok(scenario)
    }

    /// A complaint about what no single value is to blame for, and the key it belongs to.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let sum: f64 = self.groups.iter().map(|group| group.share.ratio()).sum();
        if (sum - 1.0).abs() > ROUNDING {
            return Err((
                "[[group]]",
                format!("the shares of the groups add up to {sum:.4}, not to 1"),
            ));
        }
        if self.hosts.len() > MOST_HOSTS {
            return Err(("[[host]]", format!("more than {MOST_HOSTS} hosts")));
        }
        if !(0.0..=1e6).contains(&self.page_kb) {
            return Err(("page-kb", format!("{} is not a size in kB", self.page_kb)));
        }
        self.groups.iter().try_for_each(Group::check)
    }

    /// Number of the host that URL `number` is on.
    pub fn host_of(&self, number: u32) -> usize {
        number as usize % self.hosts.len()
    }

    /// The same with a part of its URLs and of nothing else, for tests that cannot wait; never without one.
    #[must_use]
    pub fn with_urls(mut self, urls: NonZeroU32) -> Self {
        self.urls = urls;
        self
    }
}

impl Group {
    fn check(&self) -> Result<(), (&'static str, String)> {
        let name = &self.name;
        let sigmas = [
            ("answer", self.answer.between),
            ("answer", self.answer.within),
            ("connect", self.connect.between),
            ("connect", self.connect.within),
        ];
        for (key, sigma) in sigmas {
            // e^(4 * 3) is the difference between a second and two days.
            if !(0.0..=3.0).contains(&sigma) {
                return Err((key, format!("group {name}: {sigma} is not a sigma, 0 to 3")));
            }
        }
        if let Some(capacity) = self.capacity
            && capacity.from > capacity.to
        {
            let what = format!("group {name}: the least capacity is above the most");
            return Err(("capacity", what));
        }
        for price in [self.price.per_request, self.price.per_gb] {
            if !(0.0..=1e9).contains(&price) {
                return Err(("price", format!("group {name}: {price} is not a price")));
            }
        }
        Ok(())
    }
}

/// What is wrong at `offset`, beginning with the key whose value it is.
fn complaint(text: &str, offset: usize, message: &str) -> String {
    // Some are written over several lines, and some name our types.
    let what = message.trim().replace('\n', ", ");
    let what = match what.split_once(", expected struct ") {
        Some((what, _)) => format!("{what}, expected a table"),
        None => what,
    };
    let before = text.get(..offset).unwrap_or_default();
    let key = before.trim_end().strip_suffix('=').map(str::trim_end);
    let key = key.and_then(|key| key.rsplit(|c: char| !is_of_key(c)).next());
    match key {
        Some(key) => format!("{key}: {what}"),
        None => what,
    }
}

fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

fn line(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    1 + memchr::memchr_iter(b'\n', before).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "title = \"t\"\nurls = 10\nproxies = 4\nconcurrency = 2\n[[group]]\nname = \"good\"\nshare = 1\n";

    fn complaint(text: &str) -> String {
        Scenario::parse("s.toml", text)
            .expect_err("a complaint")
            .to_string()
    }

    #[test]
    fn what_is_not_written_is_a_good_proxy_and_one_host() {
        let scenario = Scenario::parse("s.toml", GOOD).expect("a scenario");
        assert_eq!(scenario.hosts, [Host::default()]);
        assert_eq!(scenario.groups[0].resets.ratio(), 0.02);
        assert_eq!(scenario.proxy_concurrency.get(), 4);
    }

    #[test]
    fn the_documented_file_is_a_scenario() {
        let text = include_str!("scenario.md");
        let file = text
            .split("```")
            .nth(1)
            .and_then(|part| part.strip_prefix("toml"));
        let scenario = Scenario::parse("scenario.md", file.expect("an example")).expect("valid");
        assert_eq!((scenario.groups.len(), scenario.hosts.len()), (2, 2));
    }

    #[test]
    fn a_complaint_names_file_line_and_key() {
        for (text, place, word) in [
            (GOOD.replace("urls", "uls"), "s.toml:2: ", "uls"),
            (GOOD.replace("urls = 10\n", ""), "s.toml:", "urls"),
            (
                GOOD.replace("share = 1", "share = 1.5"),
                "s.toml:7: ",
                "1.5",
            ),
            (
                GOOD.replace("share = 1", "share = 0.5"),
                "s.toml:5: ",
                "0.5",
            ),
            (format!("{GOOD}resets = -1"), "s.toml:8: resets: ", "-1"),
            (
                format!("{GOOD}tail = {{ share = 0.1 }}"),
                "s.toml:8: ",
                "adds-s",
            ),
            (
                format!("{GOOD}answer = {{ between = 9 }}"),
                "s.toml:8: ",
                "good",
            ),
            (format!("{GOOD}[[host]]\nlimit = 40"), "s.toml:9: ", "limit"),
            (
                format!("{GOOD}[[network-outage]]\nfrom-s = 9\nto-s = 2"),
                "s.toml:8: ",
                "from-s",
            ),
            (format!("{GOOD}[expect]\nratio = 1"), "s.toml:9: ", "ratio"),
            ("title = ".to_owned(), "s.toml:1: ", "string"),
        ] {
            let complaint = complaint(&text);
            assert!(complaint.starts_with(place), "{complaint}");
            assert!(complaint.contains(word), "{complaint}");
        }
    }
}
