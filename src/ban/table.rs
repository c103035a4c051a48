//! The table: rules compiled so that an ordinary page costs next to nothing.
//!
//! Conditions are shared between rules and answered first, each at most once, into a set of bits; rules then only read
//! bits. When no bit is set, which is the fate of an ordinary page, no rule is looked at. The body is searched in one
//! pass for all long markers, and only where a rule could use it: on error statuses that some body rule names, and on a
//! success only after a glance (`glance.rs`) has seen one of the texts that block pages served as 200 cannot do without.
//! Short markers come last (`short.rs`): they are looked for only where a rule hangs on them.

use std::ops::Range;

use super::class::Layer;
use super::condition::{Spec, TextMatch};
use super::evidence;
use super::finder::Finder;
use super::header_index::{HeaderIndex, split_header};
use super::page::Page;
use super::phrases::Phrases;
use super::rule::Rule;
use super::scan::{Scan, WEIGHED, WEIGHED_ON_THE_WAY};
use super::score::Score;
use super::short::ShortMarkers;
use super::titles::Titles;
use super::triggers::Triggers;
use super::url_index::UrlIndex;
use super::view::{Kind, View};
use crate::text;

/// Upper bound of distinct conditions; the bits live on the stack.
pub(super) const MOST_CONDITIONS: usize = 1536;

/// Successes above this, in bytes, are not read: of those, structure alone counts.
const READ_ON_SUCCESS: usize = 50_000;

/// The rules and their conditions.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) rules: Vec<Rule>,
    pub(super) triggers: Triggers,
    pub(super) specs: Vec<Spec>,
    /// The conditions that read the body.
    pub(super) in_body: Conditions,
    pub(super) headers: HeaderIndex<u16>,
    pub(super) titles: Titles,
    pub(super) reasons: Vec<(TextMatch, u16)>,
    pub(super) urls: UrlIndex<u16>,
    pub(super) locations: UrlIndex<u16>,
    pub(super) markers: Finder,
    pub(super) marker_ids: Vec<u16>,
    pub(super) short_markers: ShortMarkers,
    /// The conditions that name captchas.
    pub(super) widgets: Vec<u16>,
    pub(super) phrases: Phrases,
    pub(super) scan: Scan,
    pub(super) groups: [Range<usize>; 3],
}

/// The parts of the table, in the order in which they are asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Group {
    /// Answers of the forward proxy.
    Proxy,
    /// Statements of the edge that decide alone.
    Star,
    /// Everything else the edge or the site prints.
    Rest,
}

/// A set of conditions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Conditions {
    bits: [u64; MOST_CONDITIONS / 64],
}

impl Conditions {
    pub(super) fn add(&mut self, id: u16) {
        self.bits[usize::from(id / 64)] |= 1 << (id % 64);
    }

    pub(super) fn remove(&mut self, id: u16) {
        self.bits[usize::from(id / 64)] &= !(1 << (id % 64));
    }

    pub(super) fn has(&self, id: u16) -> bool {
        self.bits[usize::from(id / 64)] & (1 << (id % 64)) != 0
    }
}

/// Which conditions hold.
#[derive(Debug, Default)]
pub(super) struct Signals {
    holding: Conditions,
    some: bool,
    /// What a suspect page says.
    pub(super) page: Option<Box<Page>>,
}

impl Signals {
    pub(super) fn set(&mut self, id: u16) {
        self.holding.add(id);
        self.some = true;
    }

    pub(super) fn has(&self, id: u16) -> bool {
        self.holding.has(id)
    }

    /// The conditions that hold.
    pub(super) fn ids(&self) -> impl Iterator<Item = u16> + '_ {
        (0u16..).zip(&self.holding.bits).flat_map(|(word, bits)| {
            let mut left = *bits;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as u16)?;
                left &= left - 1;
                Some(64 * word + bit)
            })
        })
    }
}

impl Table {
    /// Answers every condition that could matter for this answer.
    pub(super) fn signals(&self, view: &View<'_>) -> Signals {
        let mut signals = Signals::default();
        self.headers.each(view.headers, |id| signals.set(id));
        if let Some(url) = view.url {
            self.urls.each(url, |id| signals.set(id));
        }
        if let Some(location) = &view.location {
            self.urls.each(location, |id| signals.set(id));
            self.locations.each(location, |id| signals.set(id));
        }
        if !view.reason.is_empty() {
            for (pattern, id) in &self.reasons {
                if pattern.matches(view.reason.as_bytes()) {
                    signals.set(*id);
                }
            }
        }
        if self.has_to_scan(view) {
            self.scan_body(view, &mut signals);
        }
        signals
    }

    /// True when the whole pass over the body could tell something; false for an ordinary page.
    pub(super) fn has_to_scan(&self, view: &View<'_>) -> bool {
        self.scan.wants(view)
    }

    fn scan_body(&self, view: &View<'_>, signals: &mut Signals) {
        let (head, tail) = view.windows();
        for window in [head, tail] {
            self.markers
                .which(window, |marker, _| signals.set(self.marker_ids[marker]));
        }
        if let Some(title) = text::title(view.content_type, head) {
            self.titles.each(&title, |id| signals.set(id));
        }
        if is_read(view) {
            let mut page = Page::read(view.content_type, view.kind, view.body);
            page.heard = self.phrases.hear(&page.text, |id| signals.set(id));
            signals.page = Some(Box::new(page));
        }
        self.short_markers.answer(&self.rules, view, signals);
    }

    /// What weak evidence adds up to, for an answer that was suspect enough to be read.
    ///
    /// `filters`: somebody on the way may have written it.
    pub(super) fn score(&self, view: &View<'_>, signals: &Signals, filters: bool) -> Option<Score> {
        let page = signals.page.as_deref()?;
        // Nothing but a page is ever blamed for its words when it came with success.
        if view.is_success() && view.kind != Kind::Html {
            return None;
        }
        let long = view.is_success() && view.body.len() > WEIGHED;
        if long && (view.verified || !filters || view.body.len() > WEIGHED_ON_THE_WAY) {
            return None;
        }
        let widget = self.widgets.iter().find(|id| signals.has(**id));
        let widget = widget.and_then(|id| self.specs[usize::from(*id)].literal());
        let score = Score::of(view, page, &self.phrases, widget, filters);
        // A long page is weighed for the word of a filter alone.
        score.filter(|score| !long || score.layer == Layer::Proxy)
    }

    /// The first rule of the group that describes this answer.
    pub(super) fn first<'a>(
        &'a self,
        group: Group,
        view: &View<'_>,
        signals: &Signals,
    ) -> Option<&'a Rule> {
        // Rules without conditions speak of statuses, and never of success.
        if !signals.some && view.is_success() {
            return None;
        }
        let group = &self.groups[group as usize];
        let fires = |number: &u16| {
            let rule = &self.rules[usize::from(*number)];
            group.contains(&usize::from(*number))
                && self.fires(rule, view, signals)
                && !self.is_quoted(rule, view, signals)
        };
        let first = self.triggers.of(signals).filter(fires).min();
        first.map(|number| &self.rules[usize::from(number)])
    }

    fn fires(&self, rule: &Rule, view: &View<'_>, signals: &Signals) -> bool {
        let legible = rule.reads(view);
        rule.fires(view, |id| {
            signals.has(id) && (legible || !self.in_body.has(id))
        })
    }

    /// True where a page of its site has in it what the rule looks for, as manuals and articles about walls do. A title that the
    /// rule knows settles it; statements that decide alone, the word of a filter on the way and the user's rules are never quotes.
    fn is_quoted(&self, rule: &Rule, view: &View<'_>, signals: &Signals) -> bool {
        let weak = rule.layer == Layer::Edge && !rule.star && !rule.own;
        let titled =
            |id: &u16| matches!(self.specs[usize::from(*id)], Spec::Title(_)) && signals.has(*id);
        weak && view.is_success()
            && signals.page.as_ref().is_some_and(|page| page.is_content())
            && !rule.all.iter().chain(&rule.any).any(titled)
    }

    /// All rules of the group that describe this answer.
    pub(super) fn all<'a, 'v>(
        &'a self,
        group: Group,
        view: &'v View<'v>,
        signals: &'v Signals,
    ) -> impl Iterator<Item = &'a Rule> + use<'a, 'v>
    where
        'a: 'v,
    {
        self.rules[self.groups[group as usize].clone()]
            .iter()
            .filter(move |rule| self.fires(rule, view, signals))
    }

    /// What the rule saw, for people: the strongest of its conditions that holds.
    pub(super) fn evidence(&self, rule: &Rule, view: &View<'_>, signals: &Signals) -> String {
        let mut holding = rule
            .all
            .iter()
            .chain(&rule.any)
            .filter(|&&id| signals.has(id));
        let told = holding.find_map(|&id| self.show(&self.specs[usize::from(id)], view));
        told.unwrap_or_else(|| {
            let phase = if view.connect {
                "CONNECT answered "
            } else {
                "status "
            };
            format!("{phase}{} {}", view.status, view.reason)
        })
    }

    fn show(&self, spec: &Spec, view: &View<'_>) -> Option<String> {
        match spec {
            Spec::Header(spec) => {
                let (name, text) = split_header(spec);
                let pattern = TextMatch::parse(text);
                let (name, value) = view.headers.iter().find(|(header, value)| {
                    let same = match name.strip_suffix('*') {
                        Some(prefix) => header.as_str().starts_with(prefix),
                        None => header.as_str() == name,
                    };
                    same && pattern.matches(value.as_bytes())
                })?;
                Some(evidence::header(name, value.as_bytes()))
            }
            Spec::Cookie(name) => Some(format!("set-cookie: {name}")),
            Spec::Title(_) => Some(format!(
                "title: {}",
                text::title(view.content_type, view.body)?
            )),
            Spec::Reason(_) => Some(format!("{} {}", view.status, view.reason)),
            Spec::Body(marker) => Some(format!("body: {marker}")),
            Spec::Text(words) => Some(format!("text: {words}")),
            Spec::Url(_) | Spec::Location(_) => match &view.location {
                Some(location) => Some(format!("redirect to {}", evidence::url(location))),
                None => view.url.map(evidence::url),
            },
        }
    }
}

/// True for answers whose words matter: missing pages and redirects say nothing that their status does not.
fn is_read(view: &View<'_>) -> bool {
    matches!(view.kind, Kind::Html | Kind::Text)
        && !matches!(view.status, 300..=399 | 404 | 410 | 416)
        && (!view.is_success() || view.body.len() <= READ_ON_SUCCESS)
}

pub(super) fn group(layer: Layer, star: bool) -> Group {
    match layer {
        Layer::Proxy => Group::Proxy,
        Layer::Edge if star => Group::Star,
        Layer::Edge => Group::Rest,
    }
}
