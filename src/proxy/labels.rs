//! What follows an entry: labels (`country=us weight=2`), or the country and remarks that published lists append.

use super::parse::words;
use super::reject::{Flaw, Reason};
use super::{Labels, Price, Rotation, country, price};

/// Largest `sessions=`: a mistyped number must not fill the memory.
pub(super) const MAX_SESSIONS: u32 = 100_000;

/// Labels of one entry as they are read.
#[derive(Debug, Default)]
pub(super) struct Marks<'a> {
    pub(super) labels: Labels,
    /// The country as written, for `{country}`: providers differ in case.
    pub(super) country: Option<&'a str>,
    /// `sessions=`, at least 1, and where it stands.
    pub(super) sessions: Option<(u32, usize)>,
    rotation_given: bool,
    tier_given: bool,
}

impl<'a> Marks<'a> {
    /// Sets one label by name. `at` is the place of the value.
    pub(super) fn set(&mut self, key: &str, value: &'a str, at: usize) -> Result<(), Flaw> {
        let flaw = |reason| Flaw::new(at, reason);
        let repeated = match key {
            "country" => self.country.is_some(),
            "tier" => self.tier_given,
            "weight" => self.labels.weight.is_some(),
            "rotation" => self.rotation_given,
            "sessions" => self.sessions.is_some(),
            _ => false,
        };
        if repeated {
            return Err(flaw(Reason::RepeatedLabel));
        }
        match key {
            "country" => {
                if value.len() != 2 || !value.bytes().all(|b| b.is_ascii_alphabetic()) {
                    return Err(flaw(Reason::BadCountry));
                }
                self.country = Some(value);
                self.labels.country = Some(value.to_ascii_lowercase().into());
            }
            "tag" | "tags" => {
                for tag in value.split(',') {
                    if tag.is_empty() {
                        return Err(flaw(Reason::BadTag));
                    }
                    self.labels.tags.push(tag.into());
                }
            }
            "cost" => {
                let cost: Price = value.parse().map_err(|_| flaw(Reason::BadCost))?;
                // Once a byte and once a request.
                let so_far = self.labels.cost;
                let both = so_far.map_or(Some(cost), |so_far| so_far.with(cost));
                self.labels.cost = Some(both.ok_or(flaw(Reason::RepeatedLabel))?);
            }
            "tier" => {
                self.labels.tier = price::tier_of(value).ok_or(flaw(Reason::BadTier))?;
                self.tier_given = true;
            }
            "weight" => {
                let weight = value
                    .parse()
                    .ok()
                    .filter(|w: &f32| w.is_finite() && *w > 0.0);
                self.labels.weight = Some(weight.ok_or(flaw(Reason::BadWeight))?);
            }
            "rotation" => {
                self.labels.rotation = match value {
                    "fixed" => Rotation::Fixed,
                    "per_connection" | "per-connection" => Rotation::PerConnection,
                    _ => return Err(flaw(Reason::BadRotation)),
                };
                self.rotation_given = true;
            }
            "sessions" => {
                let sessions = value
                    .parse()
                    .ok()
                    .filter(|n| (1..=MAX_SESSIONS).contains(n));
                self.sessions = Some((sessions.ok_or(flaw(Reason::BadSessions))?, at));
            }
            _ => return Err(flaw(Reason::UnknownLabel)),
        }
        Ok(())
    }

    /// `rotation=`, where it is given.
    pub(super) fn rotation(&self) -> Option<Rotation> {
        self.rotation_given.then_some(self.labels.rotation)
    }

    /// Sets the country from a word of a published list, unless a label has set it: a claim, not a setting.
    pub(super) fn claim_country(&mut self, code: &'static str) {
        if self.country.is_none() {
            self.country = Some(code);
            self.labels.country = Some(code.into());
        }
    }

    /// Reads what follows an entry. Remarks are passed over only after a bare address (`address_only`): behind credentials
    /// they may be a password with a blank in it.
    pub(super) fn read(
        &mut self,
        text: &'a str,
        at: usize,
        address_only: bool,
    ) -> Result<(), Flaw> {
        let mut words = words(text).peekable();
        while let Some((word, word_at)) = words.next() {
            if let Some((key, value)) = label(word) {
                self.set(key, value, at + word_at + key.len() + 1)?;
                continue;
            }
            let mut end = word_at + word.len();
            let mut only_symbols = true;
            while let Some((next, next_at)) = words.next_if(|(next, _)| label(next).is_none()) {
                end = next_at + next.len();
                only_symbols &= !next.starts_with(char::is_alphanumeric);
            }
            let run = &text[word_at..end];
            let tail_of_password =
                !address_only && run.len() == 2 && word.to_ascii_uppercase() != word;
            if let Some(code) = country::code(run).filter(|_| !tail_of_password) {
                self.claim_country(code);
            } else if address_only
                && only_symbols
                && let Some(code) = flagged_country(word)
            {
                self.claim_country(code);
            } else if !(address_only && is_remark(word)) {
                return Err(Flaw::new(at + word_at, Reason::Trailing));
            }
        }
        Ok(())
    }

    /// Reads place columns up to the first label: `United States::California`, `Peru`. Returns the length read.
    pub(super) fn place(
        &mut self,
        text: &'a str,
        at: usize,
        separator: &str,
    ) -> Result<usize, Flaw> {
        let end = words(text)
            .find(|(word, word_at)| *word_at > 0 && label(word).is_some())
            .map_or(text.len(), |(_, word_at)| word_at);
        let first = text[..end].split(separator).next().unwrap_or("").trim();
        match country::code(first) {
            Some(code) => self.claim_country(code),
            None if is_unknown(first) => {}
            None => return Err(Flaw::new(at, Reason::MissingPassword)),
        }
        Ok(end)
    }
}

/// `key=value` with a name in front; `=>` is none.
fn label(word: &str) -> Option<(&str, &str)> {
    let (key, value) = word.split_once('=')?;
    let is_name = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    is_name.then_some((key, value))
}

/// `US` or `US-H-S!`, upper case: a country with the flags of a published list.
fn flagged_country(word: &str) -> Option<&'static str> {
    let code = word.get(..2)?;
    let bounded = word.len() == 2 || word.as_bytes()[2] == b'-';
    let upper = code.bytes().all(|b| b.is_ascii_uppercase());
    if bounded && upper {
        country::code(code)
    } else {
        None
    }
}

/// A remark begins with a symbol: `=> failure`, `- elite`, `(12 ms)`.
fn is_remark(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_punctuation() && !matches!(c, '"' | '\'' | '$' | '{'))
        && !word.contains('@')
}

/// What lists write for a country they do not know.
fn is_unknown(text: &str) -> bool {
    text.is_empty()
        || ["-", "none", "unknown", "null", "n/a"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word))
}
