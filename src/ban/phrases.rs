//! Sentences that block pages say, in the languages they are said in.

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use serde::Deserialize;

use super::class::{Class, Layer};

/// One `[[phrase]]` of `rules/phrases.toml`: ways to say the same thing. However many of them a page uses, it counts once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PhraseSpec {
    /// What a page that says so is.
    pub(super) class: Class,
    /// 1 for what ordinary pages say as well.
    pub(super) points: u8,
    /// True where it is looked for on successes too.
    #[serde(default)]
    pub(super) success: bool,
    /// `proxy` for what filters on the way say: not asked where nobody on the way can speak.
    #[serde(default)]
    pub(super) layer: Layer,
    /// Who speaks so.
    #[serde(default)]
    pub(super) vendor: Option<Box<str>>,
    /// Lower case, one space between words.
    pub(super) texts: Vec<String>,
}

/// All phrases, found in one pass.
#[derive(Debug)]
pub(super) struct Phrases {
    finder: AhoCorasick,
    /// For each text the number of its phrase.
    of: Vec<u16>,
    specs: Vec<PhraseSpec>,
    talk: AhoCorasick,
}

/// A phrase that a page says.
#[derive(Debug)]
pub(super) struct Said<'a> {
    pub(super) text: &'a str,
    pub(super) spec: &'a PhraseSpec,
}

impl Phrases {
    pub(super) fn new(specs: Vec<PhraseSpec>, talk: &[String]) -> Result<Self, String> {
        let texts = specs.iter().flat_map(|spec| &spec.texts);
        if let Some(text) = texts
            .clone()
            .find(|text| text.is_empty() || **text != text.to_lowercase() || text.contains("  "))
        {
            return Err(format!(
                "the phrase {text:?} is not in lower case with single spaces"
            ));
        }
        let finder = finder(texts)?;
        let of = (0u16..)
            .zip(&specs)
            .flat_map(|(number, spec)| std::iter::repeat_n(number, spec.texts.len()))
            .collect();
        let talk = self::finder(talk)?;
        Ok(Phrases {
            finder,
            of,
            specs,
            talk,
        })
    }

    /// What `text` says, each phrase once. `filters`: also what only a filter on the way would say.
    pub(super) fn said<'a>(&'a self, text: &'a str, filters: bool) -> Vec<Said<'a>> {
        let mut seen: Vec<u16> = Vec::new();
        let mut said = Vec::new();
        for found in self.finder.find_overlapping_iter(text) {
            let number = self.of[found.pattern().as_usize()];
            let spec = &self.specs[usize::from(number)];
            if seen.contains(&number) || (spec.layer == Layer::Proxy && !filters) {
                continue;
            }
            seen.push(number);
            said.push(Said {
                text: &text[found.range()],
                spec,
            });
        }
        said
    }

    /// True for a text about blocks: it names at least two of the things that only those name who talk of them.
    pub(super) fn is_talk(&self, text: &str) -> bool {
        let mut found = self.talk.find_iter(text).map(|found| found.pattern());
        let first = found.next();
        found.any(|other| Some(other) != first)
    }
}

fn finder<'a>(texts: impl IntoIterator<Item = &'a String>) -> Result<AhoCorasick, String> {
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(texts)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use crate::ban::build::{FILES, parse};

    /// As in the middle of a sentence, at its beginning, and in a heading.
    fn spellings(text: &str) -> [String; 2] {
        let mut letters = text.chars();
        let first = letters.next().into_iter().flat_map(char::to_uppercase);
        [text.to_owned(), first.chain(letters).collect()]
    }

    #[test]
    fn every_sentence_that_is_looked_for_on_successes_has_a_stem() {
        let file = FILES.iter().find(|(_, name, _)| *name == "phrases.toml");
        let file = parse(file.expect("embedded").2).expect("well formed");
        let stems: Vec<&String> = file.stems.iter().chain(&file.filter_stems).collect();
        let mut without = Vec::new();
        for text in file
            .phrase
            .iter()
            .filter(|phrase| phrase.success)
            .flat_map(|phrase| &phrase.texts)
        {
            let names = [
                "ip",
                "ddos",
                "agcom",
                "internet sehat",
                "internet positif",
                "trust",
                "polizia",
                "guardia",
                "monopoli",
                "stop",
                "rkn.gov.ru",
                "warning.or.kr",
            ];
            // Names are written in capitals wherever they stand.
            let exempt = !text.is_ascii() || names.iter().any(|name| text.contains(name));
            if !exempt
                && spellings(text)
                    .iter()
                    .any(|text| !stems.iter().any(|stem| text.contains(&***stem)))
            {
                without.push(text.clone());
            }
        }
        assert!(without.is_empty(), "no stem in {without:#?}");
    }
}
