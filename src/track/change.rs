//! Values that are watched: when a new one counts, and what is different.

use similar::{ChangeTag, TextDiff};

use super::job::Threshold;
use crate::observation::{Observation, State};
use crate::text::beginning;

/// When a new value counts as a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steadiness {
    /// Observations in a row that have to say so, at least 1.
    pub runs: u32,
    /// Smaller differences between numbers count as none.
    pub threshold: Option<Threshold>,
}

impl Default for Steadiness {
    fn default() -> Self {
        Steadiness {
            runs: 1,
            threshold: None,
        }
    }
}

/// The change that the last of `seen` makes, as the value before and the value now. `seen` is in the order of time; only values that
/// were read count.
///
/// The value before is the one of the last change that counted, so that a price that creeps is told of when it has come far enough,
/// and one that is back before it counted is not told of at all.
pub fn change<'a>(
    seen: impl IntoIterator<Item = &'a Observation>,
    rule: &Steadiness,
) -> Option<(&'a Observation, &'a Observation)> {
    let mut values = seen
        .into_iter()
        .filter(|observation| observation.state == State::Seen);
    let mut settled = values.next()?;
    let mut pending: Option<(&Observation, u32)> = None;
    let mut told = None;
    for value in values {
        told = None;
        if rule.is_same(settled, value) {
            pending = None;
            continue;
        }
        let runs = match pending {
            Some((other, runs)) if rule.is_same(other, value) => runs + 1,
            _ => 1,
        };
        pending = Some((value, runs));
        if runs >= rule.runs {
            told = Some((settled, value));
            settled = value;
            pending = None;
        }
    }
    told
}

impl Steadiness {
    fn is_same(&self, old: &Observation, new: &Observation) -> bool {
        if old.value == new.value {
            return true;
        }
        let (Some(before), Some(after)) = (old.number, new.number) else {
            return false;
        };
        // The same number in another form is the same value.
        let Some(threshold) = self.threshold else {
            return before == after;
        };
        let step = (after - before).abs();
        match threshold {
            Threshold::Amount(least) => step < least,
            // From nothing every step is a change.
            Threshold::Ratio(least) => {
                step == 0.0 || (before != 0.0 && step / before.abs() < least)
            }
        }
    }
}

/// Longest text that is compared line by line; of longer ones the beginning is.
const COMPARED: usize = 256 * 1024;

/// Lines that went and came, each with its sign, at most `most` of them; then how many more there are.
pub fn diff(old: &str, new: &str, most: usize) -> String {
    let (old, new) = (beginning(old, COMPARED), beginning(new, COMPARED));
    let diff = TextDiff::configure()
        .timeout(std::time::Duration::from_millis(500))
        .diff_lines(old, new);
    let mut text = String::new();
    let mut more = 0;
    let changes = diff.iter_all_changes().filter_map(|change| {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => return None,
        };
        Some((sign, change.value().trim_end_matches(['\n', '\r'])))
    });
    for (at, (sign, line)) in changes.enumerate() {
        if at < most {
            text.push(sign);
            text.push_str(line);
            text.push('\n');
        } else {
            more += 1;
        }
    }
    if more > 0 {
        text.push_str(&format!("and {more} more lines\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(texts: &[&str]) -> Vec<Observation> {
        let one = |text: &&str| match *text {
            "?" => Observation::unknown(0, "timeout"),
            text => Observation {
                state: State::Seen,
                value: Some(text.into()),
                number: text.parse().ok(),
                ..Observation::unknown(0, "")
            },
        };
        texts.iter().map(one).collect()
    }

    fn told(texts: &[&str], runs: u32, threshold: Option<Threshold>) -> Option<String> {
        let seen = values(texts);
        let rule = Steadiness { runs, threshold };
        change(&seen, &rule).map(|(old, new)| {
            let text = |one: &Observation| one.value.clone().unwrap_or_default();
            format!("{}>{}", text(old), text(new))
        })
    }

    #[test]
    fn a_change_is_told_once_when_it_has_stayed_long_enough() {
        assert_eq!(told(&["a"], 1, None), None, "the first value is no change");
        assert_eq!(told(&["a", "b"], 1, None).as_deref(), Some("a>b"));
        assert_eq!(told(&["a", "b", "b"], 1, None), None, "told before");
        assert_eq!(told(&["a", "b"], 2, None), None);
        assert_eq!(told(&["a", "b", "b"], 2, None).as_deref(), Some("a>b"));
        assert_eq!(told(&["a", "b", "a", "a"], 2, None), None, "it came back");
        assert_eq!(told(&["a", "b", "c"], 2, None), None);
        assert_eq!(told(&["9.9", "9.90"], 1, None), None, "the same number");
    }

    #[test]
    fn what_is_not_known_changes_nothing() {
        assert_eq!(told(&["a", "?", "a"], 1, None), None);
        assert_eq!(told(&["a", "?"], 1, None), None);
        assert_eq!(told(&["a", "b", "?", "b"], 2, None).as_deref(), Some("a>b"));
    }

    #[test]
    fn a_price_that_creeps_is_told_of_when_it_has_come_far_enough() {
        let five = Some(Threshold::Ratio(0.05));
        assert_eq!(told(&["100", "103"], 1, five), None);
        assert_eq!(
            told(&["100", "103", "106"], 1, five).as_deref(),
            Some("100>106")
        );
        let ten = Some(Threshold::Amount(10.0));
        assert_eq!(told(&["100", "91"], 1, ten), None);
        assert_eq!(told(&["100", "90"], 1, ten).as_deref(), Some("100>90"));
        assert_eq!(
            told(&["100", "sold out"], 1, ten).as_deref(),
            Some("100>sold out")
        );
    }

    #[test]
    fn a_diff_shows_what_went_and_came() {
        assert_eq!(diff("a\nb\nc\n", "a\nB\nc\nd\n", 10), "-b\n+B\n+d\n");
        assert_eq!(diff("a\nb\n", "", 1), "-a\nand 1 more lines\n");
        assert_eq!(diff("same", "same", 5), "");
    }
}
