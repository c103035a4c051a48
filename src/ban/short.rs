//! Markers too short for the pass over the body, looked for one by one.
//!
//! Nearly all of them are tags, which every page has, and say nothing by themselves: they tell a rule whose other conditions hold
//! already that the page is content after all. So none is looked for before a rule hangs on it, and most pages are searched for none
//! of them.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::class::Layer;
use super::condition::Spec;
use super::rarity::rarity;
use super::rule::Rule;
use super::runs::SHORTEST;
use super::table::{Conditions, Signals};
use super::view::View;

/// True for a marker that is looked for here.
pub(super) fn is_short(marker: &str) -> bool {
    marker.len() < SHORTEST
}

/// The short markers, and who asks for them.
#[derive(Debug, Default)]
pub(super) struct ShortMarkers {
    conditions: Conditions,
    texts: HashMap<u16, Text, RandomState>,
    /// Numbers of the rules with such a marker.
    rules: Vec<u16>,
}

/// One text.
#[derive(Debug)]
pub(super) struct Text {
    /// In small letters.
    bytes: Box<[u8]>,
    /// Which of them ordinary pages have least.
    rarest: usize,
}

impl ShortMarkers {
    pub(super) fn new(rules: &[Rule], specs: &[Spec]) -> Self {
        let mut all = ShortMarkers::default();
        for (id, spec) in (0u16..).zip(specs) {
            if let Spec::Body(text) = spec
                && is_short(text)
            {
                all.conditions.add(id);
                all.texts.insert(id, Text::new(text.as_bytes()));
            }
        }
        let has_one = |rule: &Rule| rule.conditions().any(|id| all.conditions.has(id));
        let asking = (0u16..).zip(rules).filter(|(_, rule)| has_one(rule));
        all.rules = asking.map(|(number, _)| number).collect();
        all
    }

    /// Answers those that a rule hangs on, when all others are answered.
    pub(super) fn answer(&self, rules: &[Rule], view: &View<'_>, signals: &mut Signals) {
        let mut open = self.conditions;
        for number in &self.rules {
            let rule = &rules[usize::from(*number)];
            // Of a layer that cannot have written the answer nothing is asked.
            let asked = match rule.layer {
                Layer::Proxy => !view.verified,
                Layer::Edge => !view.connect,
            };
            if !asked || !rule.reads(view) {
                continue;
            }
            for id in rule.conditions() {
                if !open.has(id) {
                    continue;
                }
                if !rule.may_fire(view, |id| (!open.has(id)).then(|| signals.has(id))) {
                    break;
                }
                open.remove(id);
                let (head, tail) = view.windows();
                let text = &self.texts[&id];
                if text.is_in(head) || text.is_in(tail) {
                    signals.set(id);
                }
            }
        }
    }
}

impl Text {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let bytes = bytes.to_ascii_lowercase();
        let rarest = (0..bytes.len()).rev().max_by_key(|at| rarity(bytes[*at]));
        Text {
            bytes: bytes.into(),
            rarest: rarest.unwrap_or(0),
        }
    }

    /// Letters of ASCII count the same in both cases.
    pub(super) fn is_in(&self, part: &[u8]) -> bool {
        let Some(rarest) = self.bytes.get(self.rarest) else {
            return true;
        };
        memchr::memchr2_iter(*rarest, rarest.to_ascii_uppercase(), part).any(|at| {
            let there = at.checked_sub(self.rarest);
            let there = there.and_then(|start| part.get(start..start + self.bytes.len()));
            there.is_some_and(|found| found.eq_ignore_ascii_case(&self.bytes))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ban::RuleFile;
    use crate::ban::tests::{ask, exchange, judge};

    proptest::proptest! {
        #[test]
        fn a_text_is_in_a_part_that_contains_it_in_any_case(text in "[a<A]{1,4}", part in "[aA<]{0,12}") {
            let there = part.to_lowercase().contains(&text.to_lowercase());
            proptest::prop_assert_eq!(Text::new(text.as_bytes()).is_in(part.as_bytes()), there);
        }
    }

    #[test]
    fn short_markers_count_wherever_a_rule_names_them() {
        let text = r#"
            [[rule]]
            id = "own.short"
            class = "block_ip"
            when = { status = "403" }
            all = [{ body = "one" }, { header = "x-wall" }]
            any = [{ body = "two" }, { body = "three" }, { body = "a longer marker" }]
            least = 2
            none = [{ body = "four" }]
            source = "general"
            weight = 9
        "#;
        let file = RuleFile {
            name: "own.toml".into(),
            text: text.into(),
        };
        let judge = judge(|settings| settings.rules = vec![file.clone()]);
        for (header, body, fires) in [
            ("x-wall: 1", "<p>One two THREE</p>", true),
            ("x-wall: 1", "<p>one three, A longer marker</p>", true),
            ("x-wall: 1", "<p>one, a longer marker</p>", false),
            ("x-wall: 1", "<p>two three</p>", false),
            ("x-wall: 1", "<p>one two three four</p>", false),
            ("x-other: 1", "<p>one two three</p>", false),
        ] {
            let lines = [header.to_owned(), "content-type: text/html".to_owned()];
            let answer = exchange(403, &lines, body, true);
            let verdict = ask(&judge, "https://shop.example/", true, &answer);
            let rule = verdict.ban.as_ref().map(|ban| &*ban.rule);
            assert_eq!(
                rule == Some("own.short"),
                fires,
                "{header} {body} {verdict:?}"
            );
        }
    }
}
