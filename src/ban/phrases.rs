//! Sentences that block pages say, in the languages they are said in.

use serde::Deserialize;

use super::class::{Class, Layer};
use super::finder::Finder;

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
    finder: Finder,
    /// For each text the number of its phrase.
    of: Vec<u16>,
    specs: Vec<PhraseSpec>,
    talk: Finder,
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
        let finder = Finder::new(texts.cloned().collect());
        let of = (0u16..)
            .zip(&specs)
            .flat_map(|(number, spec)| std::iter::repeat_n(number, spec.texts.len()))
            .collect();
        let talk = Finder::new(talk.to_vec());
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
        self.finder.each(text.as_bytes(), |found, range| {
            let number = self.of[found];
            let spec = &self.specs[usize::from(number)];
            if seen.contains(&number) || (spec.layer == Layer::Proxy && !filters) {
                return;
            }
            seen.push(number);
            said.push(Said {
                text: &text[range],
                spec,
            });
        });
        said
    }

    /// True for a text about blocks: it names at least two of the things that only those name who talk of them.
    pub(super) fn is_talk(&self, text: &str) -> bool {
        let (mut first, mut several) = (None, false);
        self.talk.each(text.as_bytes(), |found, _| {
            several |= *first.get_or_insert(found) != found;
        });
        several
    }
}
