//! A text as it is compared from run to run.

use std::collections::HashSet;

use super::job::{Clean, Watch};

impl Watch {
    /// The text with what is no change taken out, by the rules of the job.
    pub fn cleaned(&self, text: &str) -> String {
        let is_kept = |line: &&str| !self.ignore.iter().any(|rule| rule.is_match(line));
        let mut text: String = text.lines().filter(is_kept).collect::<Vec<_>>().join("\n");
        for step in &self.clean {
            text = match step {
                Clean::Collapse => collapsed(&text),
                Clean::Remove(rule) => rule.replace_all(&text, "").into_owned(),
                Clean::Sort => {
                    let mut lines: Vec<&str> = text.lines().collect();
                    lines.sort_unstable();
                    lines.join("\n")
                }
                Clean::Unique => {
                    let mut seen = HashSet::new();
                    let lines: Vec<&str> = text.lines().filter(|line| seen.insert(*line)).collect();
                    lines.join("\n")
                }
            };
        }
        text.trim().to_owned()
    }
}

/// Runs of blanks as one, no empty lines.
fn collapsed(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use regex::Regex;

    use super::*;

    #[test]
    fn what_is_no_change_is_taken_out_in_the_order_of_the_job() {
        let rule = |text| Regex::new(text).expect(text);
        let watch = |clean: Vec<Clean>| Watch {
            field: None,
            clean,
            ignore: vec![rule("^Updated")],
            threshold: None,
            runs: NonZeroU32::MIN,
        };
        let text = "b  1\nUpdated 12:03\n\na\nb 1\n";
        assert_eq!(watch(vec![]).cleaned(text), "b  1\n\na\nb 1");
        let all = vec![
            Clean::Collapse,
            Clean::Remove(rule(" [0-9]")),
            Clean::Unique,
            Clean::Sort,
        ];
        assert_eq!(watch(all).cleaned(text), "a\nb");
    }
}
