//! What a robots.txt says to one crawler, by RFC 9309.
//!
//! Written here because the reason is a part of the answer: a row names the line that keeps its URL from being fetched, and the
//! crates that parse these files answer yes or no. Lines are read leniently, as by the large search engines: a missing colon or a
//! misspelt `Disallow` still counts, because whoever wrote it meant to forbid something.
//!
//! # What it does not do
//! It fetches nothing and reads no clock. `noindex`, `Host` and other lines of search engines mean nothing here.

mod agent;
mod line;
mod pattern;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use url::Url;

pub use self::agent::product_token;

use self::line::{Key, Lines};
use self::pattern::Pattern;

/// Bytes of a file that are read; RFC 9309, section 2.5, asks for no less.
pub const MOST_BYTES: usize = 500 * 1024;
/// No file is believed when it asks for more time between two requests.
pub const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// Characters of a line that are shown as a reason.
const SHOWN_CHARS: usize = 120;

/// The rules of one file for one crawler.
#[derive(Debug, Clone, Default)]
pub struct Robots {
    /// In the order of the file.
    rules: Vec<Rule>,
    delay: Option<Duration>,
}

#[derive(Debug, Clone)]
struct Rule {
    allows: bool,
    pattern: Pattern,
    /// From 1.
    line: u32,
}

/// The line that forbids a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden {
    /// Its number, from 1.
    pub line: u32,
    /// What it says, as `Disallow: /search`; long ones are cut.
    pub text: Box<str>,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "robots.txt line {}: {}", self.line, self.text)
    }
}

/// What the groups of a file say that hold for one kind of crawler.
#[derive(Default)]
struct Share {
    is_named: bool,
    robots: Robots,
}

impl Robots {
    /// The rules of the file `text` for the crawler with this product token. Only the first [`MOST_BYTES`] count; nothing is an
    /// error.
    pub fn parse(text: &[u8], token: &str) -> Self {
        let (mut ours, mut all) = (Share::default(), Share::default());
        // Whom the group at hand is for, and whether its names are complete.
        let (mut for_us, mut for_all, mut in_rules) = (false, false, false);
        for (number, key, value) in Lines::new(text) {
            match key {
                Key::UserAgent => {
                    if std::mem::take(&mut in_rules) {
                        (for_us, for_all) = (false, false);
                    }
                    for_us |= agent::names(value, token);
                    for_all |= agent::names_all(value);
                    ours.is_named |= for_us;
                }
                Key::Allow | Key::Disallow => {
                    in_rules = true;
                    let Some(pattern) = Pattern::new(value) else {
                        continue;
                    };
                    let rule = Rule {
                        allows: key == Key::Allow,
                        pattern,
                        line: number,
                    };
                    if for_us {
                        ours.robots.rules.push(rule);
                    } else if for_all {
                        all.robots.rules.push(rule);
                    }
                }
                // No rule by the letter; but who writes one before the next name means the group to end here.
                Key::CrawlDelay => {
                    in_rules = true;
                    let delay = seconds(value);
                    if for_us {
                        ours.robots.delay = ours.robots.delay.max(delay);
                    }
                    if for_all {
                        all.robots.delay = all.robots.delay.max(delay);
                    }
                }
                Key::Sitemap => {}
            }
        }
        let mut robots = if ours.is_named { ours } else { all }.robots;
        robots.rules.shrink_to_fit();
        robots
    }

    /// The line that forbids `url`; `None` when it may be fetched. The longest rule that matches decides, `Allow` between equals.
    pub fn forbids(&self, url: &Url) -> Option<Forbidden> {
        if self.rules.is_empty() || url.path() == "/robots.txt" {
            return None;
        }
        let path = pattern::normal_path(url);
        let mut best: Option<&Rule> = None;
        for rule in &self.rules {
            let beats = best.is_none_or(|best| {
                let (own, other) = (rule.pattern.weight(), best.pattern.weight());
                own > other || (own == other && rule.allows && !best.allows)
            });
            if beats && rule.pattern.matches(&path) {
                best = Some(rule);
            }
        }
        let rule = best.filter(|rule| !rule.allows)?;
        let value: String = rule.pattern.to_string();
        let shown: String = value.chars().take(SHOWN_CHARS).collect();
        Some(Forbidden {
            line: rule.line,
            text: format!("Disallow: {shown}").into(),
        })
    }

    /// The time the file asks for between two requests, as it says it: see [`LONGEST_DELAY`].
    pub fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// Bytes it holds, about.
    pub fn size(&self) -> usize {
        let rules = self.rules.iter();
        size_of::<Robots>()
            + rules
                .map(|rule| size_of::<Rule>() + rule.pattern.weight())
                .sum::<usize>()
    }
}

/// The sitemaps that a robots.txt names, for whomever: the values of its `Sitemap` lines, as they stand.
pub fn sitemaps(text: &[u8]) -> impl Iterator<Item = String> {
    Lines::new(text)
        .filter(|(_, key, _)| *key == Key::Sitemap)
        .map(|(_, _, value)| String::from_utf8_lossy(value).into_owned())
}

/// A number of seconds, fractions too; nothing else.
fn seconds(value: &[u8]) -> Option<Duration> {
    let number: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(number)
        .ok()
        .filter(|delay| !delay.is_zero())
}
