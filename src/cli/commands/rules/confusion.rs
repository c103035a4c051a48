//! What the rules say beside what people say.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::input::saved::Label;
use crate::outcome::Verdict;

/// Kinds of answers, in the order of the table.
const KINDS: [&str; 8] = [
    "ok",
    "ban",
    "challenge",
    "rate-limit",
    "consent",
    "captive/tamper",
    "proxy-error",
    "origin-error",
];
/// Vendors that are nobody.
const NOBODY: [&str; 3] = ["none", "custom", "generic"];

/// Counts, and the answers that were judged otherwise.
#[derive(Debug, Default)]
pub(super) struct Confusion {
    /// By labelled and judged kind; what nobody can tell is apart.
    cells: BTreeMap<(String, &'static str), usize>,
    unsure: Tally,
    sure: Tally,
    wrong: Vec<Wrong>,
}

#[derive(Debug, Default)]
struct Tally {
    blocks: usize,
    found: usize,
    /// Of those found: the kind too, or one that is as fair.
    kind_right: usize,
    vendor_right: usize,
    ordinary: usize,
    false_blocks: usize,
    origin: usize,
    origin_right: usize,
}

#[derive(Debug)]
struct Wrong {
    what: &'static str,
    name: String,
    said: String,
    judged: String,
    unsure: bool,
}

impl Confusion {
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty() && self.unsure.blocks + self.unsure.ordinary + self.unsure.origin == 0
    }

    pub(super) fn add(&mut self, name: &str, label: &Label, verdict: &Verdict) {
        let judged = kind_of(verdict, label.status.unwrap_or(200));
        let block = |kind: &str| !matches!(kind, "ok" | "origin-error");
        let tally = if label.ambiguous {
            &mut self.unsure
        } else {
            *self.cells.entry((label.kind.clone(), judged)).or_default() += 1;
            &mut self.sure
        };
        let vendor = verdict.ban.as_ref().and_then(|ban| ban.vendor.as_deref());
        let rule = verdict.ban.as_ref().map_or("no rule", |ban| &*ban.rule);
        let mut wrong = |what| {
            self.wrong.push(Wrong {
                what,
                name: name.to_owned(),
                said: format!("{} {}", label.kind, label.vendor),
                judged: format!("{judged} {} ({rule})", vendor.unwrap_or("-")),
                unsure: label.ambiguous,
            });
        };
        let fair = label.kind == judged || label.accept.iter().any(|kind| kind == judged);
        match label.kind.as_str() {
            "ok" => {
                tally.ordinary += 1;
                if block(judged) && !fair {
                    tally.false_blocks += 1;
                    wrong("false block");
                }
            }
            "origin-error" => {
                tally.origin += 1;
                if !block(judged) || fair {
                    tally.origin_right += 1;
                } else {
                    wrong("false block of an origin error");
                }
            }
            _ => {
                tally.blocks += 1;
                if !block(judged) {
                    wrong("missed");
                    return;
                }
                tally.found += 1;
                tally.kind_right += usize::from(fair);
                let named = vendor.map_or(NOBODY.contains(&&*label.vendor), |vendor| {
                    vendor == label.vendor
                });
                tally.vendor_right += usize::from(named);
                if !named {
                    wrong("vendor");
                } else if !fair {
                    wrong("kind");
                }
            }
        }
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        let mut text = format!("{:<16}", "labelled, judged");
        for kind in KINDS {
            text.push_str(&format!("{kind:>15}"));
        }
        text.push('\n');
        let mut rows: Vec<&str> = self.cells.keys().map(|(kind, _)| kind.as_str()).collect();
        rows.sort_by_key(|kind| KINDS.iter().position(|each| each == kind));
        rows.dedup();
        for row in rows {
            text.push_str(&format!("{row:<16}"));
            for kind in KINDS {
                match self.cells.get(&(row.to_owned(), kind)) {
                    Some(count) => text.push_str(&format!("{count:>15}")),
                    None => text.push_str(&format!("{:>15}", ".")),
                }
            }
            text.push('\n');
        }
        for (tally, whose) in [
            (&self.sure, ""),
            (&self.unsure, ", of those nobody can tell"),
        ] {
            let lines = [
                ("block recall", tally.found, tally.blocks),
                ("kind right", tally.kind_right, tally.found),
                ("vendor right", tally.vendor_right, tally.found),
                ("false blocks", tally.false_blocks, tally.ordinary),
                ("origin errors kept", tally.origin_right, tally.origin),
            ];
            for (what, part, whole) in lines.into_iter().filter(|(_, _, whole)| *whole > 0) {
                let percent = share(part, whole) * 100.0;
                let what = format!("{what}{whose}");
                text.push_str(&format!("{what:<46} {percent:>6.1} %  {part} of {whole}\n"));
            }
        }
        for wrong in &self.wrong {
            let unsure = if wrong.unsure {
                ", nobody can tell"
            } else {
                ""
            };
            text.push_str(&format!(
                "{}{unsure}: {}: {}, judged {}\n",
                wrong.what, wrong.name, wrong.said, wrong.judged
            ));
        }
        text
    }

    /// For programs.
    pub(super) fn figures(&self) -> Value {
        let table: Vec<Value> = self
            .cells
            .iter()
            .map(|((said, judged), count)| json!({"labelled": said, "judged": judged, "count": count}))
            .collect();
        let sure = &self.sure;
        json!({
            "summary": {
                "blocks": sure.blocks, "found": sure.found, "recall": share(sure.found, sure.blocks),
                "kind_right": share(sure.kind_right, sure.found), "vendor_right": share(sure.vendor_right, sure.found),
                "ordinary": sure.ordinary, "false_blocks": sure.false_blocks,
                "false_block_rate": share(sure.false_blocks, sure.ordinary),
                "ambiguous": self.unsure.blocks + self.unsure.ordinary + self.unsure.origin,
                "table": table,
            }
        })
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// The kind of answer that a verdict means.
pub(super) fn kind_of(verdict: &Verdict, status: u16) -> &'static str {
    let ban = verdict.ban.as_deref();
    let own = if status >= 500 { "origin-error" } else { "ok" };
    match ban.map(|ban| (&*ban.class, &*ban.rule)) {
        None => own,
        Some((class, rule)) => match class {
            "challenge_js" | "challenge_captcha" | "js_required" => "challenge",
            "block_ip" | "block_geo" | "block_client" | "block_rule" | "user" | "soft_block" => {
                "ban"
            }
            "rate_limit" | "queue" => "rate-limit",
            "consent" => "consent",
            "proxy_tamper" => "captive/tamper",
            "proxy_policy" if rule.starts_with("filter.") || rule.starts_with("score.") => {
                "captive/tamper"
            }
            "proxy_policy" | "proxy_auth" | "proxy_error" | "proxy_timeout" | "proxy_no_exit"
            | "proxy_no_tunnel" => "proxy-error",
            "origin_error" | "edge_config" => "origin-error",
            _ => own,
        },
    }
}
