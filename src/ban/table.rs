//! The built-in table: rules compiled so that an ordinary page costs next to nothing.
//!
//! Conditions are shared between rules and answered first, each at most once, into a set of bits; rules then only read
//! bits. When no bit is set, which is the fate of an ordinary page, no rule is looked at. The body is searched in one
//! pass for all markers, and only where a rule could use it: on error statuses that some body rule names, and on a
//! success only after a vectorised search has found one of the few texts that block pages served as 200 cannot do
//! without.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::packed;
use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::class::Layer;
use super::condition::{Spec, TextMatch};
use super::evidence;
use super::header_index::{HeaderIndex, split_header};
use super::rule::{DECIDES, Rule, RuleSpec};
use super::url_index::UrlIndex;
use super::view::{Kind, View};
use crate::outcome::StatusSet;
use crate::text;

const FILES: [(Layer, &str); 4] = [
    (Layer::Proxy, include_str!("rules/proxy.toml")),
    (Layer::Proxy, include_str!("rules/gateway.toml")),
    (Layer::Edge, include_str!("rules/edge.toml")),
    (Layer::Edge, include_str!("rules/site.toml")),
];

/// Upper bound of distinct conditions; the bits live on the stack.
const MOST_CONDITIONS: usize = 512;
/// Page sizes, in bytes, up to which the same texts are searched for.
const SIZES: [usize; 3] = [5_000, 20_000, usize::MAX];
/// Length of the text searched for first on successes: long enough to be rare, short enough to be compared in a register.
const ANCHOR: usize = 12;
/// A rarer beginning may cost some of that length, down to this; shorter ones turn up inside ordinary words.
const SHORTEST_ANCHOR: usize = 10;
/// Buckets of the vectorised search.
const BUCKETS: usize = 8;

/// The rules and their conditions.
#[derive(Debug)]
pub(super) struct Table {
    rules: Vec<Rule>,
    specs: Vec<Spec>,
    /// The conditions that read the body.
    in_body: Signals,
    headers: HeaderIndex<u16>,
    titles: Vec<(TextMatch, u16)>,
    reasons: Vec<(TextMatch, u16)>,
    urls: UrlIndex<u16>,
    locations: UrlIndex<u16>,
    markers: AhoCorasick,
    marker_ids: Vec<u16>,
    /// Per layer: proxy rules are not asked where the proxy cannot have written the answer.
    scan: [Scan; 2],
    groups: [Range<usize>; 3],
}

/// When the body has to be searched.
#[derive(Debug)]
struct Scan {
    /// Error statuses for which some rule reads the body.
    statuses: StatusSet,
    /// Texts without which no rule can fire on a 2xx page, by the size of the page: most rules are about small pages, and
    /// the larger a page is the less is left to search for.
    anchors: [Anchors; SIZES.len()],
}

impl Scan {
    fn anchors_for(&self, length: usize) -> &Anchors {
        let size = SIZES.iter().position(|limit| length <= *limit);
        &self.anchors[size.unwrap_or(SIZES.len() - 1)]
    }
}

#[derive(Debug)]
enum Anchors {
    None,
    Packed(packed::Searcher),
    /// Machines without the vector instructions.
    Plain(AhoCorasick),
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

/// Which conditions hold.
#[derive(Debug, Default)]
pub(super) struct Signals {
    bits: [u64; MOST_CONDITIONS / 64],
    some: bool,
}

impl Signals {
    fn set(&mut self, id: u16) {
        self.bits[usize::from(id / 64)] |= 1 << (id % 64);
        self.some = true;
    }

    fn has(&self, id: u16) -> bool {
        self.bits[usize::from(id / 64)] & (1 << (id % 64)) != 0
    }
}

impl Table {
    /// The rules that come with the program. They are constants of it: a broken file is a broken build, which the tests
    /// of this module refuse.
    pub(super) fn built_in() -> &'static Table {
        static TABLE: LazyLock<Table> =
            LazyLock::new(|| Table::parse(&FILES).expect("the built-in rules are well formed"));
        &TABLE
    }

    fn parse(files: &[(Layer, &str)]) -> Result<Table, String> {
        let mut specs = Vec::new();
        for (layer, text) in files {
            let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
            specs.extend(file.rule.into_iter().map(|rule| (*layer, rule)));
        }
        // Stable: inside a group the order of the file is the order of the questions.
        specs.sort_by_key(|(layer, rule)| group(*layer, rule.star) as usize);
        Builder::default().build(&specs)
    }

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
        let scan = &self.scan[usize::from(view.verified)];
        if view.body.is_empty() || view.kind == Kind::Other {
            return false;
        }
        if !(200..=299).contains(&view.status) {
            return scan.statuses.contains(view.status);
        }
        let (head, tail) = view.windows();
        match scan.anchors_for(view.body.len()) {
            // Nothing but a page is ever blamed for its text when it came with success.
            _ if view.kind != Kind::Html => false,
            Anchors::None => false,
            Anchors::Packed(searcher) => {
                searcher.find(head).is_some() || searcher.find(tail).is_some()
            }
            Anchors::Plain(automaton) => automaton.is_match(head) || automaton.is_match(tail),
        }
    }

    fn scan_body(&self, view: &View<'_>, signals: &mut Signals) {
        let (head, tail) = view.windows();
        for window in [head, tail] {
            for found in self.markers.find_overlapping_iter(window) {
                signals.set(self.marker_ids[found.pattern().as_usize()]);
            }
        }
        if let Some(title) = text::title(view.content_type, head) {
            for (pattern, id) in &self.titles {
                if pattern.matches(title.as_bytes()) {
                    signals.set(*id);
                }
            }
        }
    }

    /// The first rule of the group that describes this answer.
    pub(super) fn first(&self, group: Group, view: &View<'_>, signals: &Signals) -> Option<&Rule> {
        // Rules without conditions speak of statuses, and never of success.
        if !signals.some && (200..=299).contains(&view.status) {
            return None;
        }
        self.rules[self.groups[group as usize].clone()]
            .iter()
            .find(|rule| {
                let legible = rule.kind.is_none_or(|kind| kind.admits(view.kind));
                rule.fires(view, |id| {
                    signals.has(id) && (legible || !self.in_body.has(id))
                })
            })
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
            Spec::Url(_) | Spec::Location(_) => match &view.location {
                Some(location) => Some(format!("redirect to {}", evidence::url(location))),
                None => view.url.map(evidence::url),
            },
        }
    }
}

fn group(layer: Layer, star: bool) -> Group {
    match layer {
        Layer::Proxy => Group::Proxy,
        Layer::Edge if star => Group::Star,
        Layer::Edge => Group::Rest,
    }
}

#[derive(Debug, serde::Deserialize)]
struct File {
    rule: Vec<RuleSpec>,
}

#[derive(Debug, Default)]
struct Builder {
    specs: Vec<Spec>,
    numbers: HashMap<Spec, u16>,
}

impl Builder {
    fn build(mut self, specs: &[(Layer, RuleSpec)]) -> Result<Table, String> {
        let mut rules: Vec<Rule> = Vec::with_capacity(specs.len());
        for (layer, spec) in specs {
            if rules.iter().any(|rule| *rule.id == *spec.id) {
                return Err(format!("rule {}: the id is taken", spec.id));
            }
            rules.push(self.rule(*layer, spec)?);
        }
        if self.specs.len() > MOST_CONDITIONS {
            return Err(format!("more than {MOST_CONDITIONS} conditions"));
        }
        let mut table = Table {
            rules: Vec::new(),
            headers: HeaderIndex::new(),
            titles: Vec::new(),
            reasons: Vec::new(),
            urls: UrlIndex::new(),
            locations: UrlIndex::new(),
            markers: AhoCorasick::new([""; 0]).map_err(|error| error.to_string())?,
            marker_ids: Vec::new(),
            scan: [
                scan(specs, &[Layer::Proxy, Layer::Edge])?,
                scan(specs, &[Layer::Edge])?,
            ],
            groups: [Group::Proxy, Group::Star, Group::Rest].map(|wanted| {
                let before = |group: Group| {
                    rules
                        .iter()
                        .filter(|rule| {
                            (self::group(rule.layer, rule.star) as usize) < group as usize
                        })
                        .count()
                };
                let within =
                    |rule: &&Rule| self::group(rule.layer, rule.star) as usize == wanted as usize;
                let start = before(wanted);
                start..start + rules.iter().filter(within).count()
            }),
            specs: Vec::new(),
            in_body: Signals::default(),
        };
        let mut markers = Vec::new();
        for (id, spec) in (0u16..).zip(&self.specs) {
            if spec.reads_body() {
                table.in_body.set(id);
            }
            match spec {
                Spec::Header(text) => table.headers.add_header(text, id),
                Spec::Cookie(text) => table.headers.add_cookie(text, id),
                Spec::Title(text) => table.titles.push((TextMatch::parse(text), id)),
                Spec::Reason(text) => table.reasons.push((TextMatch::parse(text), id)),
                Spec::Url(text) => table.urls.add(text, id),
                Spec::Location(text) => table.locations.add(text, id),
                Spec::Body(text) => {
                    markers.push(text.as_str());
                    table.marker_ids.push(id);
                }
            }
        }
        table.markers = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(markers)
            .map_err(|error| error.to_string())?;
        table.rules = rules;
        table.specs = self.specs;
        Ok(table)
    }

    fn rule(&mut self, layer: Layer, spec: &RuleSpec) -> Result<Rule, String> {
        let fail = |what: &str| Err(format!("rule {}: {what}", spec.id));
        let conditions = || spec.all.iter().chain(&spec.any).chain(&spec.none);
        let reads_body = conditions().any(Spec::reads_body);
        let status = match &spec.when.status {
            Some(text) => match text.parse::<StatusSet>() {
                Ok(set) => Some(set),
                Err(problem) => return fail(&problem.to_string()),
            },
            None if reads_body => return fail("title and body need a status"),
            None if conditions().next().is_none() => return fail("it says nothing"),
            None => None,
        };
        let weight = spec.weight.unwrap_or(spec.source.weight());
        if weight < DECIDES && !spec.star {
            return fail("its weight is too small to decide alone");
        }
        Ok(Rule {
            id: spec.id.as_str().into(),
            vendor: spec.vendor.clone(),
            class: spec.class,
            layer,
            star: spec.star,
            confidence: if spec.star {
                1.0
            } else {
                f32::from(weight.min(10)) / 10.0
            },
            phase: spec.phase,
            status,
            max_bytes: spec.when.max_bytes.unwrap_or(usize::MAX),
            kind: reads_body.then_some(spec.when.kind),
            default_port: spec.when.default_port,
            all: self.intern(&spec.all),
            any: self.intern(&spec.any),
            least: spec.least,
            none: self.intern(&spec.none),
        })
    }

    fn intern(&mut self, specs: &[Spec]) -> Vec<u16> {
        let number = |spec: &Spec| {
            *self.numbers.entry(spec.clone()).or_insert_with(|| {
                self.specs.push(spec.clone());
                (self.specs.len() - 1) as u16
            })
        };
        specs.iter().map(number).collect()
    }
}

/// When a body has to be searched on behalf of the rules of these layers.
fn scan(specs: &[(Layer, RuleSpec)], layers: &[Layer]) -> Result<Scan, String> {
    let mut statuses = StatusSet::EMPTY;
    let mut texts: [Vec<&str>; SIZES.len()] = Default::default();
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
        let needed = rule.all.iter().find_map(Spec::literal);
        let mut smaller = 0;
        for (size, texts) in SIZES.iter().zip(&mut texts) {
            if longest > smaller {
                match needed {
                    Some(needed) => texts.push(anchor(needed)),
                    None => texts.extend(rule.any.iter().filter_map(Spec::literal).map(anchor)),
                }
            }
            smaller = *size;
        }
    }
    let [small, medium, large] = texts;
    Ok(Scan {
        statuses,
        anchors: [search_for(small)?, search_for(medium)?, search_for(large)?],
    })
}

fn search_for(mut texts: Vec<&str>) -> Result<Anchors, String> {
    texts.sort_unstable();
    texts.dedup();
    if texts.is_empty() {
        return Ok(Anchors::None);
    }
    let texts = dealt(&texts);
    let packed = packed::Config::new()
        .match_kind(packed::MatchKind::LeftmostFirst)
        .builder()
        .extend(&texts)
        .build();
    match packed {
        Some(searcher) => Ok(Anchors::Packed(searcher)),
        None => AhoCorasick::new(&texts)
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
impl Table {
    /// Every rule with its layer and fixtures.
    pub(super) fn specs_for_tests() -> Vec<(Layer, RuleSpec)> {
        FILES
            .iter()
            .flat_map(|(layer, text)| {
                let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("{error}"));
                file.rule.into_iter().map(|rule| (*layer, rule))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_rule(body: &str) -> Result<Table, String> {
        let text =
            format!("[[rule]]\nid = \"x\"\nclass = \"block_ip\"\nsource = \"general\"\n{body}");
        Table::parse(&[(Layer::Edge, &text)])
    }

    #[test]
    fn rules_that_cannot_work_are_refused() {
        for (body, why) in [
            ("", "says nothing"),
            ("any = [{ body = \"x\" }]", "need a status"),
            ("weight = 3\nany = [{ header = \"x\" }]", "too small"),
            (
                "when = { status = \"9\" }\nany = [{ header = \"x\" }]",
                "status list",
            ),
            ("any = [{ smell = \"x\" }]", "smell"),
        ] {
            let error = one_rule(body).expect_err(body);
            assert!(error.contains(why), "{body}: {error}");
        }
    }

    #[test]
    fn an_anchor_is_the_rare_part_of_its_marker() {
        assert_eq!(anchor("the number is 1234 of many"), "1234 of many");
        assert_eq!(anchor("see _cf_chl_opt"), "_cf_chl_opt");
        assert_eq!(anchor("abc"), "abc");
    }
}
