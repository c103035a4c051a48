//! Verdicts that no rule file has: the program comes to them by the status, by weak evidence, or by many answers together. They have
//! ids like rules, and can be taken out like rules.

use super::explain::RuleInfo;

/// Id, class, and what it says.
const OWN: [(&str, &str, &str); 21] = [
    (
        "connect.auth",
        "proxy_auth",
        "the status of a refused CONNECT",
    ),
    (
        "connect.policy",
        "proxy_policy",
        "the status of a refused CONNECT",
    ),
    (
        "connect.no_tunnel",
        "proxy_no_tunnel",
        "the status of a refused CONNECT",
    ),
    (
        "connect.rate_limit",
        "rate_limit",
        "the status of a refused CONNECT",
    ),
    (
        "connect.error",
        "proxy_error",
        "the status of a refused CONNECT",
    ),
    ("score.challenge_captcha", "challenge_captcha", SCORE),
    ("score.challenge_js", "challenge_js", SCORE),
    ("score.block_client", "block_client", SCORE),
    ("score.block_geo", "block_geo", SCORE),
    ("score.block_ip", "block_ip", SCORE),
    ("score.block_rule", "block_rule", SCORE),
    ("score.proxy_policy", "proxy_policy", SCORE),
    ("score.rate_limit", "rate_limit", SCORE),
    (
        "status.407",
        "proxy_auth",
        "407 to a request that the proxy had to forward",
    ),
    ("status.429", "rate_limit", "429 without a word of whose"),
    (
        "status.quota",
        "rate_limit",
        "403 or 503 with headers by which no requests are left",
    ),
    (PAGE_EMPTY, "empty", "200 with a page of no bytes"),
    (
        "host.same_body",
        "soft_block",
        "the same page again and again to one proxy alone",
    ),
    (
        "host.same_title",
        "soft_block",
        "the same title again and again over short pages to one proxy alone",
    ),
    (
        "host.short",
        "soft_block",
        "short pages again and again to one proxy alone",
    ),
    (
        super::BLOCKS_CLIENT,
        "block_client",
        "nearly all exits are refused and none is served: the host is given up",
    ),
];

/// What the points of the evidence add up to.
const SCORE: &str = "weak evidence, added up; rules explain shows the points";

/// A page of nothing.
pub(super) const PAGE_EMPTY: &str = "page.empty";

/// All of them, as rules.
pub(super) fn all<'a>() -> impl Iterator<Item = RuleInfo<'a>> {
    OWN.into_iter().map(|(id, class, _)| RuleInfo {
        id,
        vendor: None,
        class,
        by_proxy: id.starts_with("connect."),
        star: false,
        source: "general",
    })
}

/// What the one with this id says.
pub fn own_words(id: &str) -> Option<&'static str> {
    let own = OWN.into_iter().find(|(own, ..)| *own == id);
    own.map(|(.., words)| words)
}

/// True when `wanted`, an id or `family.*`, means the rule `id`.
pub(super) fn means(wanted: &str, id: &str) -> bool {
    match wanted.strip_suffix(".*") {
        Some(family) => id.split('.').next() == Some(family),
        None => wanted == id,
    }
}

/// What the user has taken out.
#[derive(Debug, Clone, Default)]
pub(super) struct Off(Vec<String>);

impl Off {
    pub(super) fn new(ids: &[String]) -> Self {
        Off(ids.to_vec())
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.0.iter().any(|wanted| means(wanted, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ban::tests::{ask, exchange, judge};
    use crate::outcome::Outcome;

    /// Outcome and rule of an answer without what `no_rule` says.
    fn judged(status: u16, body: &'static str, no_rule: &str) -> (Outcome, Option<Box<str>>) {
        let judge = judge(|settings| settings.no_rule = vec![no_rule.to_owned()]);
        let exchange = exchange(status, &["content-type: text/html"], body, true);
        let verdict = ask(&judge, "https://site.example/", false, &exchange);
        (verdict.outcome, verdict.ban.map(|ban| ban.rule))
    }

    #[test]
    fn what_is_in_no_rule_file_is_taken_out_like_a_rule() {
        for rule in all() {
            judged(200, "", rule.id);
            assert!(own_words(rule.id).is_some());
        }
        let robot = "<title>Robot Check</title>Please verify you are a human. Access denied.";
        for (status, body, id, without) in [
            (200, "", "page.empty", Outcome::Ok),
            (429, "<p>no", "status.429", Outcome::HttpError),
            (403, robot, "score.*", Outcome::HttpError),
        ] {
            let (outcome, rule) = judged(status, body, "queue-it");
            let rule = rule.expect("a rule");
            assert!(means(id, &rule) && outcome != without, "{id}: {rule}");
            assert_eq!(judged(status, body, id), (without, None), "{id}");
        }
    }
}
