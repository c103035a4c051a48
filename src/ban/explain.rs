//! Why a verdict is what it is, for people and for tuning rules offline.

use super::build::FILES;
use super::class::Layer;
use super::rule::Source;
use super::table::Group;
use super::view::View;
use super::{Judge, Seen, evidence, own, score};
use crate::exchange::Exchange;
use crate::outcome::Verdict;

/// A rule in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleInfo<'a> {
    /// `family.what`.
    pub id: &'a str,
    /// Who answers with what it describes.
    pub vendor: Option<&'a str>,
    /// The verdict class.
    pub class: &'static str,
    /// True for answers written by the proxy or its vendor.
    pub by_proxy: bool,
    /// Decides alone, on every status, before the user's rules.
    pub star: bool,
    /// Where the fact is from: `vendor`, `code`, `captures`, `general`.
    pub source: &'static str,
}

/// A verdict with all its reasons, the unused ones too.
#[derive(Debug)]
pub struct Explained<'a> {
    /// The verdict that a fetch would come to.
    pub verdict: Verdict,
    /// Which CDN, WAF or front end its headers speak of.
    pub edge: Option<&'static str>,
    /// Every rule that describes the answer, in the order of the questions, with what it saw.
    pub rules: Vec<(RuleInfo<'a>, Box<str>)>,
    /// The parts of the score of weak evidence, with their points.
    pub score: Vec<(String, i32)>,
    /// What the score comes to.
    pub seems: Seems,
}

/// What a score comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seems {
    /// Nothing to weigh, or too little.
    Content,
    /// Nearly a block; of no effect.
    Suspect,
    /// A block.
    Block,
}

impl Judge {
    /// The rules in the order in which they are asked, and what the program says by itself behind them.
    pub fn rules(&self) -> impl Iterator<Item = RuleInfo<'_>> {
        let own = own::all().filter(|rule| !self.off.has(rule.id));
        self.table.rules.iter().map(info).chain(own)
    }

    /// Judges as [`Judge::classify`] does, and tells everything that was found.
    pub fn explain(&self, request: &Seen<'_>, exchange: &Exchange) -> Explained<'_> {
        let verdict = self.classify(request, exchange);
        let mut explained = Explained {
            verdict,
            edge: None,
            rules: Vec::new(),
            score: Vec::new(),
            seems: Seems::Content,
        };
        let view = match (&exchange.result, exchange.connect_reply.as_deref()) {
            (Ok(response), _) => {
                View::of_response(request, response, exchange.verified, exchange.forwarded)
            }
            (Err(_), Some(reply)) => View::of_reply(Some(request.url), reply, request.now),
            (Err(_), None) => return explained,
        };
        explained.edge = self.edge(view.headers);
        let signals = self.table.signals(&view);
        let groups: &[Group] = match (view.connect, view.verified) {
            (true, _) => &[Group::Proxy],
            (_, true) => &[Group::Star, Group::Rest],
            (_, false) => &[Group::Proxy, Group::Star, Group::Rest],
        };
        for group in groups {
            for rule in self.table.all(*group, &view, &signals) {
                let seen = evidence::clip(&self.table.evidence(rule, &view, &signals));
                explained.rules.push((info(rule), seen));
            }
        }
        if let Some(score) = self.table.score(&view, &signals, true) {
            explained.seems = match score.points {
                score::BLOCK.. => Seems::Block,
                score::SUSPECT.. => Seems::Suspect,
                _ => Seems::Content,
            };
            explained.score = score.parts;
        }
        explained
    }
}

/// The rule with this id as its built-in file has it, TOML with its examples.
pub fn source_of(id: &str) -> Option<&'static str> {
    let line = format!("id = \"{id}\"");
    FILES.iter().find_map(|(_, _, text)| {
        let mut at = 0;
        for block in text.split_inclusive("\n\n") {
            let start = at;
            at += block.len();
            let Some(head) = block.find("[[rule]]") else {
                continue;
            };
            if block.lines().any(|each| each == line) {
                return Some(text[start + head..at].trim_end());
            }
        }
        None
    })
}

fn info(rule: &super::Rule) -> RuleInfo<'_> {
    RuleInfo {
        id: &rule.id,
        vendor: rule.vendor.as_deref(),
        class: rule.class.as_str(),
        by_proxy: rule.layer == Layer::Proxy,
        star: rule.star,
        source: match rule.source {
            Source::Vendor => "vendor",
            Source::Code => "code",
            Source::Captures => "captures",
            Source::General => "general",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ban::Settings;

    #[test]
    fn every_rule_can_be_shown_as_its_file_has_it() {
        let judge = Judge::new(&Settings::default()).expect("valid settings");
        for rule in judge.table.rules.iter().map(info) {
            let source = source_of(rule.id).unwrap_or_else(|| panic!("{} is not found", rule.id));
            assert_eq!(source.matches("[[rule]]").count(), 1, "{source}");
            assert!(source.contains("hit = "), "{source}");
        }
    }
}
