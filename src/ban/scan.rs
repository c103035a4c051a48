//! When a body is worth reading.
//!
//! Nearly every answer is an ordinary page, and of those nothing should be paid for but a glance. An error is read when some rule
//! reads bodies of its status. A success is read only after a vectorised search has found one of the texts that block pages
//! served as 200 cannot do without: few texts for pages of any size, more for small ones, because soft words are weighed on
//! small pages only.

use std::cmp::Reverse;

use aho_corasick::AhoCorasick;
use aho_corasick::packed;

use super::class::Layer;
use super::condition::Spec;
use super::rule::RuleSpec;
use super::view::{Kind, View};
use crate::outcome::StatusSet;

/// Page sizes, in bytes, up to which the same texts are searched for.
const SIZES: [usize; 4] = [5_000, WEIGHED, 20_000, usize::MAX];
/// Successes above this, in bytes, are judged by structure only: soft words in a long page are talk.
pub(super) const WEIGHED: usize = 12_000;
/// Length of the text searched for first on successes: long enough to be rare, short enough to be compared in a register.
const ANCHOR: usize = 12;
/// A rarer beginning may cost some of that length, down to this; shorter ones turn up inside ordinary words.
const SHORTEST_ANCHOR: usize = 10;
/// Buckets of the vectorised search.
const BUCKETS: usize = 8;
/// Where a page names its charset (the HTML standard's prescan).
const META_WINDOW: usize = 1024;

/// Pieces of what small pages may say.
#[derive(Debug, Default)]
pub(super) struct Stems {
    pub(super) of_pages: Vec<String>,
    pub(super) of_filters: Vec<String>,
    /// What texts about blocks name.
    pub(super) talk: Vec<String>,
    /// Whole sentences of letters beyond ASCII.
    pub(super) foreign: Vec<String>,
}

/// When the body has to be searched.
#[derive(Debug)]
pub(super) struct Scan {
    /// Error statuses for which some rule reads the body.
    statuses: StatusSet,
    /// Texts without which no rule can fire on a 2xx page, by the size of the page: most rules are about small pages, and
    /// the larger a page is the less is left to search for.
    anchors: [Anchors; SIZES.len()],
    /// What filters on the way say.
    filters: Anchors,
    /// The texts of other scripts and of letters with accents: a page of plain letters has none of them.
    foreign: Anchors,
}

#[derive(Debug)]
enum Anchors {
    None,
    Packed(packed::Searcher),
    /// Machines without the vector instructions, and more texts than fit into them.
    Plain(AhoCorasick),
}

impl Anchors {
    fn found_in(&self, window: &[u8]) -> bool {
        match self {
            Anchors::None => false,
            Anchors::Packed(searcher) => searcher.find(window).is_some(),
            Anchors::Plain(automaton) => automaton.is_match(window),
        }
    }
}

impl Scan {
    /// What has to be looked for on behalf of the rules and phrases of these layers.
    pub(super) fn new(
        specs: &[(Layer, RuleSpec)],
        stems: &Stems,
        layers: &[Layer],
    ) -> Result<Scan, String> {
        let mut statuses = StatusSet::EMPTY;
        let mut texts: [Vec<String>; SIZES.len()] = Default::default();
        for (_, rule) in specs.iter().filter(|(layer, _)| layers.contains(layer)) {
            if !rule.all.iter().chain(&rule.any).any(Spec::reads_body) {
                continue;
            }
            let text = rule.when.status.as_deref().unwrap_or_default();
            let set: StatusSet = text
                .parse()
                .map_err(|error: crate::error::Problem| error.what)?;
            for status in (300..=999).filter(|status| set.contains(*status)) {
                statuses = statuses.with(status, status);
            }
            if !(200..=299).any(|status| set.contains(status)) {
                continue;
            }
            let longest = rule.when.max_bytes.unwrap_or(usize::MAX);
            let needed = rule.all.iter().find(|spec| spec.literal().is_some());
            let needed: Vec<String> = match needed {
                Some(spec) => spelled(spec),
                None => rule.any.iter().flat_map(spelled).collect(),
            };
            let mut smaller = 0;
            for (size, texts) in SIZES.iter().zip(&mut texts) {
                if longest > smaller {
                    texts.extend_from_slice(&needed);
                }
                smaller = *size;
            }
        }
        for (size, texts) in SIZES.iter().zip(&mut texts) {
            if *size <= WEIGHED {
                texts.extend_from_slice(&stems.of_pages);
            }
        }
        let [a, b, c, d] = texts;
        let filters = layers.contains(&Layer::Proxy);
        Ok(Scan {
            statuses,
            anchors: [
                search_for(a)?,
                search_for(b)?,
                search_for(c)?,
                search_for(d)?,
            ],
            filters: search_for(if filters {
                stems.of_filters.clone()
            } else {
                Vec::new()
            })?,
            foreign: search_for(
                stems
                    .foreign
                    .iter()
                    .flat_map(|text| in_a_page(text))
                    .collect(),
            )?,
        })
    }

    /// True when reading the body could tell something; false for an ordinary page.
    pub(super) fn wants(&self, view: &View<'_>) -> bool {
        if view.body.is_empty() || view.kind == Kind::Other {
            return false;
        }
        if !(200..=299).contains(&view.status) {
            return self.statuses.contains(view.status);
        }
        // Nothing but a page is ever blamed for its text when it came with success.
        if view.kind != Kind::Html {
            return false;
        }
        let (head, tail) = view.windows();
        let size = SIZES.iter().position(|limit| view.body.len() <= *limit);
        let anchors = &self.anchors[size.unwrap_or(SIZES.len() - 1)];
        anchors.found_in(head)
            || anchors.found_in(tail)
            || (view.body.len() <= WEIGHED && self.filters.found_in(view.body))
            || self.foreign_in(view)
    }

    fn foreign_in(&self, view: &View<'_>) -> bool {
        view.body.len() <= WEIGHED
            && !view.body.is_ascii()
            && (self.foreign.found_in(view.body) || in_another_charset(view))
    }
}

/// True for a page whose letters are not those of UTF-8, by its own words.
fn in_another_charset(view: &View<'_>) -> bool {
    let names = |bytes: &[u8]| {
        let at = memchr::memmem::find(bytes, b"charset=")?;
        let value = bytes[at + 8..].trim_ascii_start();
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.strip_prefix(b"'").unwrap_or(value);
        Some(
            !value
                .get(..3)
                .is_some_and(|name| name.eq_ignore_ascii_case(b"utf")),
        )
    };
    let labelled = view.content_type.and_then(|value| names(value.as_bytes()));
    let head = &view.body[..view.body.len().min(META_WINDOW)];
    labelled.or_else(|| names(head)).unwrap_or(false)
}

/// How the text of a condition may stand in the bytes of a page.
fn spelled(spec: &Spec) -> Vec<String> {
    match spec {
        Spec::Text(text) => in_a_page(text),
        spec => spec
            .literal()
            .map(|text| anchor(text).to_owned())
            .into_iter()
            .collect(),
    }
}

/// A piece of a sentence as pages spell it: with small letters, or each word with a capital. Apostrophes have too many forms.
fn in_a_page(text: &str) -> Vec<String> {
    let text = text
        .split('\'')
        .max_by_key(|piece| piece.len())
        .unwrap_or(text);
    let mut capital = true;
    let title: String = text
        .chars()
        .map(|c| {
            let shown = if capital {
                c.to_uppercase().next().unwrap_or(c)
            } else {
                c
            };
            capital = c == ' ';
            shown
        })
        .collect();
    // The first letter of a sentence may be large, so it is left out where enough is left.
    let second = text.chars().next().map_or(0, char::len_utf8);
    let mut all = if text.len() - second >= SHORTEST_ANCHOR {
        let rest = title.char_indices().nth(1).map_or(0, |(at, _)| at);
        vec![
            anchor(&text[second..]).to_owned(),
            anchor(&title[rest..]).to_owned(),
        ]
    } else {
        let first = text.chars().take(1).flat_map(char::to_uppercase);
        let sentence = first.chain(text.chars().skip(1)).collect();
        vec![text.to_owned(), title, sentence]
    };
    all.sort_unstable();
    all.dedup();
    all
}

fn search_for(mut texts: Vec<String>) -> Result<Anchors, String> {
    texts.sort_unstable();
    texts.dedup();
    if texts.is_empty() {
        return Ok(Anchors::None);
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let texts = dealt(&texts);
    let packed = packed::Config::new()
        .match_kind(packed::MatchKind::LeftmostFirst)
        .builder()
        .extend(&texts)
        .build();
    match packed {
        Some(searcher) => Ok(Anchors::Packed(searcher)),
        None => AhoCorasick::builder()
            .kind(Some(aho_corasick::AhoCorasickKind::DFA))
            .build(&texts)
            .map(Anchors::Plain)
            .map_err(|error| error.to_string()),
    }
}

/// The texts in an order that puts those with similar beginnings into one bucket of the vectorised search, which takes every
/// eighth text into the same. A bucket looks for all mixtures of its texts' first bytes: unlike texts in one bucket make for
/// false alarms everywhere (31 texts on an 8 kB page: 2.2 µs as sorted, 0.65 µs like this).
fn dealt<'a>(sorted: &[&'a str]) -> Vec<&'a str> {
    let depth = sorted.len().div_ceil(BUCKETS);
    (0..depth)
        .flat_map(|row| sorted.iter().skip(row).step_by(depth).copied())
        .collect()
}

/// The part of a marker that is rarest in ordinary pages, judged by its first four bytes, which is what the vectorised
/// search compares.
fn anchor(marker: &str) -> &str {
    let bytes = marker.as_bytes();
    let score = |start: usize| -> u32 { bytes[start..start + 4].iter().map(|b| rarity(*b)).sum() };
    let last = bytes.len().saturating_sub(SHORTEST_ANCHOR);
    let best = (0..=last)
        .filter(|start| marker.is_char_boundary(*start) && start + 4 <= bytes.len())
        .max_by_key(|start| (score(*start), Reverse(*start)));
    let start = best.unwrap_or(0);
    let mut end = (start + ANCHOR).min(bytes.len());
    while !marker.is_char_boundary(end) {
        end += 1;
    }
    &marker[start..end]
}

fn rarity(byte: u8) -> u32 {
    match byte {
        b'_' | b'!' | b'#' | b'|' | b'?' | b'@' => 4,
        b'A'..=b'Z' | b'0'..=b'9' => 3,
        b'j' | b'k' | b'q' | b'v' | b'x' | b'y' | b'z' | b'b' | b'w' => 2,
        b' ' | b'e' | b't' | b'a' | b's' | b'<' | b'>' | b'"' | b'/' | b'=' => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_the_rare_part_of_its_marker() {
        assert_eq!(anchor("the number is 1234 of many"), "1234 of many");
        assert_eq!(anchor("see _cf_chl_opt"), "_cf_chl_opt");
        assert_eq!(anchor("abc"), "abc");
    }

    #[test]
    fn a_sentence_is_found_however_it_begins() {
        for page in [
            "please verify you are human now",
            "Verify you are human",
            "Verify You Are Human",
        ] {
            let anchors = in_a_page("verify you are human");
            assert!(
                anchors.iter().any(|anchor| page.contains(anchor)),
                "{page}: {anchors:?}"
            );
        }
    }
}
