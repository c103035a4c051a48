//! Sentences that block pages say, in the languages they are said in.

use std::ops::Range;

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

/// All phrases, and whatever else is looked for among the words of a page: found in one pass.
#[derive(Debug)]
pub(super) struct Phrases {
    finder: Finder,
    /// What each text stands for.
    of: Vec<Word>,
    specs: Vec<PhraseSpec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// A condition of rules.
    Condition(u16),
    Phrase(u16),
    /// What only those name who talk of blocks.
    Talk,
}

/// What a page says that is looked for.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Phrases by number, each once, in the order in which they are said, and where.
    phrases: Vec<(u16, Range<usize>)>,
    /// It is a text about blocks: it names at least two of the things that only those name who talk of them.
    pub(super) talk: bool,
}

/// A phrase that a page says.
#[derive(Debug)]
pub(super) struct Said<'a> {
    pub(super) text: &'a str,
    pub(super) spec: &'a PhraseSpec,
}

impl Phrases {
    /// `conditions`: what rules ask of the words of a page.
    pub(super) fn new(
        specs: Vec<PhraseSpec>,
        talk: &[String],
        conditions: Vec<(String, u16)>,
    ) -> Result<Self, String> {
        let texts = specs.iter().flat_map(|spec| &spec.texts);
        if let Some(text) = texts
            .clone()
            .find(|text| text.is_empty() || !is_small(text) || text.contains("  "))
        {
            return Err(format!(
                "the phrase {text:?} is not in lower case with single spaces"
            ));
        }
        let mut all: Vec<String> = texts.cloned().collect();
        let mut of: Vec<Word> = (0u16..)
            .zip(&specs)
            .flat_map(|(number, spec)| std::iter::repeat_n(Word::Phrase(number), spec.texts.len()))
            .collect();
        for text in talk {
            all.push(text.clone());
            of.push(Word::Talk);
        }
        for (text, id) in conditions {
            all.push(text);
            of.push(Word::Condition(id));
        }
        Ok(Phrases {
            finder: Finder::new(all),
            of,
            specs,
        })
    }

    /// What `text` says; `holds` is called for each condition.
    pub(super) fn hear(&self, text: &str, mut holds: impl FnMut(u16)) -> Heard {
        let mut heard = Heard::default();
        let mut talk = None;
        self.finder
            .each(text.as_bytes(), |found, range| match self.of[found] {
                Word::Condition(id) => holds(id),
                Word::Talk => heard.talk |= *talk.get_or_insert(found) != found,
                Word::Phrase(number) => {
                    if !heard.phrases.iter().any(|(seen, _)| *seen == number) {
                        heard.phrases.push((number, range));
                    }
                }
            });
        heard
    }

    /// The phrases that were heard in `text`. `filters`: also what only a filter on the way would say.
    pub(super) fn said<'a>(&'a self, text: &'a str, heard: &Heard, filters: bool) -> Vec<Said<'a>> {
        let said = heard.phrases.iter().map(|(number, range)| Said {
            text: &text[range.clone()],
            spec: &self.specs[usize::from(*number)],
        });
        said.filter(|said| filters || said.spec.layer != Layer::Proxy)
            .collect()
    }
}

/// True for a text without large letters.
fn is_small(text: &str) -> bool {
    if text.is_ascii() {
        !text.bytes().any(|byte| byte.is_ascii_uppercase())
    } else {
        text == text.to_lowercase()
    }
}
