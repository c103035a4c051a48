//! What one writes first: every rule in turn, every condition a regex over the body.

use regex::bytes::{Regex, RegexBuilder};
use toml::Value;

use crate::pages::Page;

const FILES: [&str; 5] = [
    include_str!("../../src/ban/rules/proxy.toml"),
    include_str!("../../src/ban/rules/gateway.toml"),
    include_str!("../../src/ban/rules/filter.toml"),
    include_str!("../../src/ban/rules/edge.toml"),
    include_str!("../../src/ban/rules/site.toml"),
];

/// Bytes from the beginning that are searched, as the real rules have it.
const WINDOW: usize = 32 * 1024;

pub(crate) struct Naive {
    rules: Vec<Vec<Regex>>,
}

impl Naive {
    pub(crate) fn new() -> Self {
        let mut rules = Vec::new();
        for file in FILES {
            let file: Value = toml::from_str(file).expect("a rule file");
            for rule in file["rule"].as_array().expect("rules") {
                let lists = ["all", "any"]
                    .iter()
                    .filter_map(|key| rule.get(key)?.as_array());
                let texts = lists.flatten().filter_map(|condition| {
                    let table = condition.as_table()?;
                    let text = table
                        .get("body")
                        .or(table.get("text"))
                        .or(table.get("title"))?;
                    Some(text.as_str()?.trim_start_matches(['^', '=']))
                });
                let compiled = texts.map(|text| {
                    let literal = regex::escape(text);
                    RegexBuilder::new(&literal)
                        .case_insensitive(true)
                        .build()
                        .expect("a literal")
                });
                rules.push(compiled.collect());
            }
        }
        Naive { rules }
    }

    /// Number of the first rule of which all conditions are in the body.
    pub(crate) fn first(&self, page: &Page) -> Option<usize> {
        let body = page.body();
        let window = &body[..body.len().min(WINDOW)];
        self.rules
            .iter()
            .position(|rule| !rule.is_empty() && rule.iter().all(|regex| regex.is_match(window)))
    }
}
