//! Every built-in rule against its own examples: what it has to recognise, and what it must not take for a block.

use super::{ask, exchange, judge, refusal, rule};
use crate::ban::class::Layer;
use crate::ban::rule::{Fixture, Phase as RulePhase};
use crate::ban::table::Table;
use crate::outcome::Outcome;

#[test]
fn every_rule_knows_its_own_page_and_no_block_in_its_counterexample() {
    let judge = judge(|_| {});
    let run = |layer: Layer, fixture: &Fixture| {
        let body = format!("{}{}", fixture.body, "x ".repeat(fixture.pad / 2));
        let default = if layer == Layer::Proxy && !fixture.connect {
            "http://a.example/page"
        } else {
            "https://a.example/page"
        };
        let url = fixture.url.as_deref().unwrap_or(default);
        let exchange = if fixture.connect {
            refusal(fixture.status, &fixture.reason, &fixture.headers, &body)
        } else {
            exchange(
                fixture.status,
                &fixture.headers,
                &body,
                url.starts_with("https"),
            )
        };
        ask(&judge, url, false, &exchange)
    };
    let specs = Table::specs_for_tests();
    let mut wrong = Vec::new();
    for (layer, spec) in &specs {
        if spec.hit.is_empty() || spec.miss.is_empty() {
            wrong.push(format!("{} has no fixtures", spec.id));
        }
        for fixture in &spec.hit {
            let verdict = run(*layer, fixture);
            let (outcome, blame) = spec.class.sentence(*layer);
            let blamed = spec.phase == Some(RulePhase::Connect) || verdict.blame == blame;
            if rule(&verdict) != Some(&*spec.id) || verdict.outcome != outcome || !blamed {
                wrong.push(format!("{} misses {fixture:?}: {verdict:?}", spec.id));
            }
        }
        for fixture in &spec.miss {
            let verdict = run(*layer, fixture);
            // Another rule may know it, if only as something else than a block.
            let blocked = !matches!(verdict.outcome, Outcome::Ok | Outcome::HttpError);
            if blocked || rule(&verdict) == Some(&*spec.id) {
                wrong.push(format!("{} hits {fixture:?}: {verdict:?}", spec.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(specs.len() > 100, "only {} rules", specs.len());
}
