//! What rules ask of titles, all of it answered together.
//!
//! Only a title with the words of a condition in it is compared with the condition: where they stand is looked at last.

use super::condition::TextMatch;
use super::finder::Finder;

/// Texts of conditions, with the numbers of the conditions.
#[derive(Debug, Default)]
pub(super) struct Titles {
    finder: Finder,
    /// By number in the finder.
    of: Vec<(TextMatch, u16)>,
    /// Those that any title will do for.
    any: Vec<u16>,
}

impl Titles {
    pub(super) fn new<'a>(conditions: impl Iterator<Item = (&'a str, u16)>) -> Self {
        let mut titles = Titles::default();
        let mut all = Vec::new();
        for (text, id) in conditions {
            let words = text.strip_prefix(['^', '=']).unwrap_or(text);
            if words.is_empty() && !text.starts_with('=') {
                titles.any.push(id);
            } else {
                all.push(words.to_owned());
                titles.of.push((TextMatch::parse(text), id));
            }
        }
        titles.finder = Finder::new(all);
        titles
    }

    /// Tells `holds` each condition that is true of this title; some twice.
    pub(super) fn each(&self, title: &str, mut holds: impl FnMut(u16)) {
        self.any.iter().for_each(|id| holds(*id));
        self.finder.which(title.as_bytes(), |text, _| {
            let (pattern, id) = &self.of[text];
            if matches!(pattern, TextMatch::Part(_)) || pattern.matches(title.as_bytes()) {
                holds(*id);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_on_a_title_is_answered_as_if_it_were_alone() {
        let conditions = [
            "",
            "^",
            "captcha",
            "^captcha",
            "=captcha",
            "CAPTCHA PAGE",
            "^captcha page of",
            "=403",
            "Доступ запрещен",
            "=доступ запрещен",
        ];
        let titles = Titles::new(conditions.into_iter().zip(0..));
        for title in [
            "x",
            "Captcha",
            " captcha ",
            "A captcha page",
            "Captcha page of a site",
            "Error 403",
            "403",
            "Доступ запрещен",
            "доступ запрещен",
        ] {
            let mut seen = Vec::new();
            titles.each(title, |id| seen.push(id));
            seen.sort_unstable();
            seen.dedup();
            let alone = (0u16..)
                .zip(conditions)
                .filter(|(_, text)| TextMatch::parse(text).matches(title.as_bytes()));
            assert_eq!(
                seen,
                alone.map(|(id, _)| id).collect::<Vec<_>>(),
                "{title:?}"
            );
        }
    }
}
