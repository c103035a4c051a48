//! When a body is worth reading.
//!
//! Nearly every answer is an ordinary page, and of those nothing should be paid for but a glance. An error is read when some rule
//! reads bodies of its status and size. A success is read only after the glance has seen one of the texts that block pages
//! served as 200 cannot do without: few for pages of any size, more for small ones, because soft words are weighed on small pages
//! only. What is no page (JSON, XML, plain text) is glanced at for the rules alone that name its kind.

use super::class::Layer;
use super::condition::Spec;
use super::glance::{Builder, Glance};
use super::phrases::PhraseSpec;
use super::rule::{KindSpec, RuleSpec};
use super::runs::SHORTEST;
use super::view::{Kind, View};
use crate::outcome::StatusSet;

/// Page sizes, in bytes, by which errors are told apart.
const SIZES: [usize; 3] = [5_000, 20_000, usize::MAX];
/// Successes above this, in bytes, are judged by structure only: soft words in a long page are talk.
pub(super) const WEIGHED: usize = 12_000;
/// The same of what somebody on the way may have written: providers put a notice into the frame of their own site.
pub(super) const WEIGHED_ON_THE_WAY: usize = 30_000;
/// Where a page names its charset (the HTML standard's prescan).
const META_WINDOW: usize = 1024;

/// When the body has to be searched.
#[derive(Debug)]
pub(super) struct Scan {
    /// Error statuses for which some rule reads a body of this size: of any answer, and where only the target can have written it.
    statuses: [[StatusSet; SIZES.len()]; 2],
    /// Successes that are pages.
    pages: Successes,
    /// Other successes that can be read.
    others: Successes,
    /// Rules about successes that name no text long enough to be looked for.
    #[cfg(test)]
    pub(super) blind: Vec<String>,
}

/// Which answers with a 2xx have to be searched.
#[derive(Debug, Default)]
struct Successes {
    /// Texts without which no rule can fire.
    glance: Glance,
    /// The largest for which some rule has no text long enough to be looked for, as rules of the user's may: of any answer, and
    /// where only the target can have written it. In bytes.
    always: [usize; 2],
}

impl Successes {
    fn worth(&self, view: &View<'_>) -> bool {
        let length = view.body.len();
        let (head, tail) = view.windows();
        let by_proxy = !view.verified;
        self.glance.sees(head, length, by_proxy)
            || self.glance.sees(tail, length, by_proxy)
            || length <= self.always[1]
            || (by_proxy && length <= self.always[0])
    }
}

impl Scan {
    /// What has to be looked for on behalf of these rules and phrases.
    pub(super) fn new(
        specs: &[(Layer, RuleSpec)],
        phrases: &[PhraseSpec],
        widgets: &[String],
    ) -> Result<Scan, String> {
        let none = || [const { StatusSet::EMPTY }; SIZES.len()];
        let mut scan = Scan {
            statuses: [none(), none()],
            pages: Successes::default(),
            others: Successes::default(),
            #[cfg(test)]
            blind: Vec::new(),
        };
        let mut texts = Builder::default();
        let mut others = Builder::default();
        for (layer, rule) in specs {
            scan.add(*layer, rule, &mut texts, &mut others)?;
        }
        for phrase in phrases.iter().filter(|phrase| phrase.success) {
            for text in phrase.texts.iter().flat_map(|text| in_a_page(text)) {
                let by_proxy = phrase.layer == Layer::Proxy;
                // On a long page only what says it alone is worth a reading.
                let longest = if by_proxy && phrase.points > 1 {
                    WEIGHED_ON_THE_WAY
                } else {
                    WEIGHED
                };
                // Shorter ones only add to what has drawn attention.
                texts.add(text.as_bytes(), longest, by_proxy);
            }
        }
        for marker in widgets {
            texts.add(marker.as_bytes(), WEIGHED, false);
        }
        scan.pages.glance = texts.build()?;
        scan.others.glance = others.build()?;
        Ok(scan)
    }

    fn add(
        &mut self,
        layer: Layer,
        rule: &RuleSpec,
        pages: &mut Builder,
        others: &mut Builder,
    ) -> Result<(), String> {
        if !rule.all.iter().chain(&rule.any).any(Spec::reads_body) {
            return Ok(());
        }
        let by_proxy = layer == Layer::Proxy;
        let text = rule.when.status.as_deref().unwrap_or_default();
        let set: StatusSet = text
            .parse()
            .map_err(|error: crate::error::Problem| error.what)?;
        let longest = rule.when.max_bytes.unwrap_or(usize::MAX);
        for (verified, by_size) in self.statuses.iter_mut().enumerate() {
            if by_proxy && verified == 1 {
                continue;
            }
            for (at, statuses) in by_size.iter_mut().enumerate() {
                if at > 0 && longest <= SIZES[at - 1] {
                    continue;
                }
                *statuses = std::mem::replace(statuses, StatusSet::EMPTY).or(&set);
            }
        }
        if !(200..=299).any(|status| set.contains(status)) {
            return Ok(());
        }
        // One condition of `all` will do, that with the longest text; else any of `any`.
        let least = |spec: &&Spec| spelled(spec).iter().map(String::len).min().unwrap_or(0);
        let all = rule.all.iter().filter(|spec| least(spec) >= SHORTEST);
        let wanted: Vec<String> = match all.max_by_key(least) {
            Some(spec) => spelled(spec),
            None => rule.any.iter().flat_map(spelled).collect(),
        };
        let kind = rule.when.kind;
        let sets = [
            (kind.admits(Kind::Html), &mut self.pages, pages),
            (kind != KindSpec::Html, &mut self.others, others),
        ];
        for (_, successes, texts) in sets.into_iter().filter(|(admitted, ..)| *admitted) {
            let mut short = wanted.is_empty();
            for text in &wanted {
                short |= !texts.add(text.as_bytes(), longest, by_proxy);
            }
            if short {
                #[cfg(test)]
                self.blind.push(rule.id.clone());
                let always = &mut successes.always[usize::from(!by_proxy)];
                *always = (*always).max(longest);
            }
        }
        Ok(())
    }

    /// True when reading the body could tell something; false for an ordinary page.
    pub(super) fn wants(&self, view: &View<'_>) -> bool {
        if view.body.is_empty() || view.kind == Kind::Other {
            return false;
        }
        let length = view.body.len();
        if !view.is_success() {
            let size = SIZES.iter().position(|limit| length <= *limit);
            let size = size.unwrap_or(SIZES.len() - 1);
            return self.statuses[usize::from(view.verified)][size].contains(view.status);
        }
        if view.kind != Kind::Html {
            return self.others.worth(view);
        }
        self.pages.worth(view)
            || (length <= WEIGHED && in_another_charset(view) && !view.body.is_ascii())
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
        Spec::Title(text) => {
            let words = text.trim_start_matches(['^', '=']);
            // What stands beside a title makes a short one longer. One with a blank before it is not seen on pages too large to
            // be looked at for anything softer.
            match text.as_bytes().first() {
                Some(b'=') if words.len() < SHORTEST => vec![format!("{words}</title")],
                Some(b'^') if words.len() < SHORTEST => vec![format!("title>{words}")],
                _ => in_a_page(words),
            }
        }
        spec => spec.literal().map(str::to_owned).into_iter().collect(),
    }
}

/// A sentence as pages may spell it. Apostrophes have too many forms, so the longest piece without one; letters beyond ASCII
/// are not folded, so with a large one at the beginning too, and with large ones only.
fn in_a_page(text: &str) -> Vec<String> {
    let text = text
        .split('\'')
        .max_by_key(|piece| piece.len())
        .unwrap_or(text);
    let mut all = vec![text.to_owned()];
    if !text.is_ascii() {
        let first = text.chars().take(1).flat_map(char::to_uppercase);
        all.push(first.chain(text.chars().skip(1)).collect());
        all.push(text.to_uppercase());
        all.dedup();
    }
    all
}
