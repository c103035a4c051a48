//! What the user expects of an accepted answer: proof of content, the strongest evidence there is, both ways.
//!
//! A 200 without what every page of the site has is a block that nobody has a rule for. The pair is charged, not the proxy: it has
//! carried the answer. Nobody is charged for a page that cannot be looked into.

use scraper::Selector;
use serde_json::Value;

use super::Settings;
use super::user::{Fired, fired};
use super::view::View;
use crate::error::Problem;
use crate::text;

/// `--expect-text --expect-selector --expect-type --expect-json --min-bytes`.
#[derive(Debug)]
pub(super) struct Expectations {
    texts: Vec<String>,
    selectors: Vec<(String, Selector)>,
    types: Vec<String>,
    pointers: Vec<String>,
    min_bytes: u64,
}

/// An expectation that an answer does not fulfil.
#[derive(Debug)]
pub(super) enum Unmet {
    /// It is not there.
    Missing(Fired),
    /// Whether it is there is not known: the page is made such that it is not parsed.
    Unparsed(Fired),
}

impl Expectations {
    pub(super) fn new(settings: &Settings) -> Result<Self, Problem> {
        let mut selectors = Vec::new();
        for text in &settings.expect_selector {
            let selector = Selector::parse(text).map_err(|_| {
                Problem::new(format!("invalid CSS selector {text:?}"))
                    .at("--expect-selector")
                    .hint("write it as in a style sheet, such as '#results li' or 'a[href^=\"/item/\"]'")
            })?;
            selectors.push((text.clone(), selector));
        }
        if let Some(pointer) = settings
            .expect_json
            .iter()
            .find(|pointer| !is_pointer(pointer))
        {
            return Err(Problem::new(format!("invalid JSON pointer {pointer:?}"))
                .at("--expect-json")
                .hint("it begins with /, such as /items/0/price"));
        }
        Ok(Expectations {
            texts: settings.expect_text.clone(),
            selectors,
            types: settings.expect_type.clone(),
            pointers: settings.expect_json.clone(),
            min_bytes: settings.min_bytes,
        })
    }

    /// The first expectation that an answer with a body does not fulfil; the cheap ones are asked first.
    pub(super) fn unmet(&self, view: &View<'_>) -> Option<Unmet> {
        let missing = |rule, evidence| fired(rule, evidence).map(Unmet::Missing);
        let size = view.body.len() as u64;
        if size < self.min_bytes {
            return missing(
                "min_bytes",
                format!("{size} bytes, {} expected", self.min_bytes),
            );
        }
        if !self.types.is_empty() {
            let essence = view.content_type.and_then(|value| value.split(';').next());
            let essence = essence.unwrap_or_default().trim();
            if !self.types.iter().any(|expected| is_type(essence, expected)) {
                let expected = self.types.join(" or ");
                return missing(
                    "expect_type",
                    format!("type {essence:?}, {expected} expected"),
                );
            }
        }
        if self.texts.is_empty() && self.selectors.is_empty() && self.pointers.is_empty() {
            return None;
        }
        let body = match text::is_text(view.content_type, view.body) {
            true => text::decode(view.content_type, view.body),
            false => Default::default(),
        };
        if let Some(lacking) = self
            .texts
            .iter()
            .find(|expected| !body.contains(&***expected))
        {
            return missing("expect_text", format!("nowhere {lacking:?}"));
        }
        if !self.pointers.is_empty() {
            let value: Value = text::json(&body).unwrap_or_default();
            let there =
                |pointer: &str| value.pointer(pointer).is_some_and(|found| !found.is_null());
            if let Some(lacking) = self.pointers.iter().find(|pointer| !there(pointer)) {
                return missing("expect_json", format!("nothing at {lacking}"));
            }
        }
        if !self.selectors.is_empty() {
            let page = match text::parse(&body) {
                Ok(page) => page,
                Err(why) => return fired("expect_selector", why.to_owned()).map(Unmet::Unparsed),
            };
            let mut selectors = self.selectors.iter();
            let lacking = selectors.find(|(_, selector)| page.select(selector).next().is_none());
            if let Some((text, _)) = lacking {
                return missing("expect_selector", format!("no element is {text}"));
            }
        }
        None
    }
}

/// `text/html` is itself, `image/*` any of its kind.
fn is_type(essence: &str, expected: &str) -> bool {
    match expected.strip_suffix('*') {
        Some(kind) => essence
            .get(..kind.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(kind)),
        None => essence.eq_ignore_ascii_case(expected),
    }
}

fn is_pointer(text: &str) -> bool {
    text.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ban::tests::{ask, exchange, judge};
    use crate::ban::{Judge, Seen};
    use crate::outcome::{Blame, Outcome};
    use http::Method;
    use url::Url;

    #[test]
    fn a_page_that_would_hold_the_parser_is_not_accepted_and_costs_no_proxy() {
        let judge = judge(|s| s.expect_selector = vec!["#list".into()]);
        let page = format!("{}<ul id=list>", "<div>".repeat(20_000));
        let page = exchange(200, &["content-type: text/html"], &page, true);
        let verdict = ask(&judge, "https://a.example/", false, &page);
        assert_eq!(
            (verdict.outcome, verdict.blame),
            (Outcome::HttpError, Blame::Target)
        );
        let ban = verdict.ban.expect("a rule");
        assert!(ban.evidence.contains("too deep"), "{}", ban.evidence);
    }

    #[test]
    fn a_success_without_what_is_expected_is_a_soft_block_of_the_pair() {
        let html = "content-type: text/html; charset=utf-8";
        let json = "content-type: application/json";
        type Change = fn(&mut Settings);
        let cases: [(&str, Change, &str, &str, &str); 6] = [
            (
                "expect_text",
                |s| s.expect_text = vec!["Add to cart".into()],
                html,
                "<p>Add to cart</p>",
                "<p>add to cart?</p>",
            ),
            (
                "expect_selector",
                |s| s.expect_selector = vec!["#list > li".into()],
                html,
                "<ul id=list><li>a</ul>",
                "<ul><li>a</ul>",
            ),
            (
                "expect_type",
                |s| s.expect_type = vec!["text/*".into()],
                html,
                "<p>",
                "",
            ),
            (
                "expect_json",
                |s| s.expect_json = vec!["/items/0".into()],
                json,
                "{\"items\":[7]}",
                "{\"items\":[null]}",
            ),
            (
                "expect_json",
                |s| s.expect_json = vec!["/items/0".into()],
                json,
                "{\"items\":[7]}",
                "not JSON",
            ),
            ("min_bytes", |s| s.min_bytes = 4, json, "1234", "123"),
        ];
        for (rule, change, kind, good, bad) in cases {
            let judge = judge(change);
            let of = |kind: &str, body: &str| {
                ask(
                    &judge,
                    "https://a.example/",
                    false,
                    &exchange(200, &[kind], body, true),
                )
            };
            assert_eq!(of(kind, good).outcome, Outcome::Ok, "{rule}");
            let kind = if rule == "expect_type" { json } else { kind };
            let verdict = of(kind, bad);
            assert_eq!(
                (verdict.outcome, verdict.blame),
                (Outcome::Banned, Blame::Pair),
                "{rule}"
            );
            let ban = verdict.ban.expect("a rule");
            assert_eq!((&*ban.rule, &*ban.class), (rule, "soft_block"));
        }
        let judge = judge(|s| s.min_bytes = 4);
        let refused = ask(
            &judge,
            "https://a.example/",
            false,
            &exchange(404, &[html], "", true),
        );
        assert_eq!(
            refused.outcome,
            Outcome::HttpError,
            "only of accepted answers is something expected"
        );
    }

    #[test]
    fn no_content_is_not_what_is_expected_of_a_page() {
        let empty = exchange(204, &[] as &[&str], "", true);
        let outcome = |judge: &Judge, method| {
            let url = Url::parse("https://a.example/").expect("a URL");
            let request = Seen {
                url: &url,
                method,
                https: true,
                follows: false,
                now: None,
            };
            judge.classify(&request, &empty).outcome
        };
        type Change = fn(&mut Settings);
        let all: [(Change, Outcome); 6] = [
            (|s| s.min_bytes = 4, Outcome::Banned),
            (|s| s.expect_text = vec!["cart".into()], Outcome::Banned),
            (|s| s.expect_selector = vec!["p".into()], Outcome::Banned),
            (|s| s.expect_type = vec!["text/*".into()], Outcome::Banned),
            (|s| s.must_match = vec!["cart".into()], Outcome::Corrupt),
            (|_| (), Outcome::Ok),
        ];
        for (change, expected) in all {
            let judge = judge(change);
            assert_eq!(outcome(&judge, &Method::GET), expected);
            assert_eq!(outcome(&judge, &Method::DELETE), Outcome::Ok);
        }
    }

    #[test]
    fn what_can_never_be_found_is_refused() {
        for (place, settings) in [
            (
                "--expect-selector",
                Settings {
                    expect_selector: vec!["a[".into()],
                    ..Settings::default()
                },
            ),
            (
                "--expect-json",
                Settings {
                    expect_json: vec!["items".into()],
                    ..Settings::default()
                },
            ),
        ] {
            let problem = Expectations::new(&settings).expect_err(place);
            assert_eq!(problem.place.as_deref(), Some(place));
        }
    }
}
