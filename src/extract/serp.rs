//! Pages of results: what they say when they show none.
//!
//! A page without results is one of two things: the site's own word that there are none, or a page that shows something else (a block,
//! a consent wall, a shell that wants scripts, a new layout). Only the first is an observation. So it has to be proved.

use super::page::Page;
use super::source::Source;

/// What a page of results came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has results.
    Results,
    /// It says that there are none.
    NoResults,
    /// It has none and does not say so: nothing is known.
    Unknown,
}

impl State {
    /// The word in the field `state`.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Results => "results",
            State::NoResults => "no_results",
            State::Unknown => "unknown",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [State::Results, State::NoResults, State::Unknown]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// Fields that every row of such a page has, before its own.
pub(super) const FIELDS: [&str; 2] = ["state", "position"];

/// What is known of pages of results: `kind = "serp"` of a profile, or [`Settings::container`](super::Settings::container) and the like.
#[derive(Debug, Default)]
pub(super) struct Serp {
    /// Something that every page of results has and no other.
    pub(super) container: Option<Source>,
    /// What is there when the site says that it has found nothing.
    pub(super) no_results: Option<Source>,
}

impl Serp {
    pub(super) fn state(&self, page: &Page<'_>, rows: usize) -> State {
        let is_there =
            |source: &Option<Source>| source.as_ref().map(|source| source.is_there(page));
        if rows > 0 {
            State::Results
        } else if is_there(&self.no_results) == Some(true)
            && is_there(&self.container) != Some(false)
        {
            State::NoResults
        } else {
            State::Unknown
        }
    }
}
