//! From rule files to the table.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;
use serde::Deserialize;

use super::brief;
use super::class::Layer;
use super::condition::{Spec, TextMatch};
use super::finder::Finder;
use super::header_index::HeaderIndex;
use super::own;
use super::phrases::{PhraseSpec, Phrases};
use super::rule::{DECIDES, KindSpec, Rule, RuleSpec};
use super::scan::Scan;
use super::short::{self, ShortMarkers};
use super::table::{Conditions, Group, MOST_CONDITIONS, Table, group};
use super::titles::Titles;
use super::triggers::Triggers;
use super::url_index::UrlIndex;
use super::{RuleFile, Settings};
use crate::error::Problem;
use crate::outcome::StatusSet;

/// The rules that come with the program, in the order of the questions.
pub(super) const FILES: [(Layer, &str, &str); 9] = [
    (Layer::Proxy, "proxy.toml", include_str!("rules/proxy.toml")),
    (
        Layer::Proxy,
        "gateway.toml",
        include_str!("rules/gateway.toml"),
    ),
    (
        Layer::Proxy,
        "filter.toml",
        include_str!("rules/filter.toml"),
    ),
    (
        Layer::Proxy,
        "country.toml",
        include_str!("rules/country.toml"),
    ),
    (Layer::Edge, "edge.toml", include_str!("rules/edge.toml")),
    (Layer::Edge, "site.toml", include_str!("rules/site.toml")),
    (Layer::Edge, "wall.toml", include_str!("rules/wall.toml")),
    (Layer::Edge, "waf.toml", include_str!("rules/waf.toml")),
    (
        Layer::Edge,
        "phrases.toml",
        include_str!("rules/phrases.toml"),
    ),
];

/// One rule file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) rule: Vec<RuleSpec>,
    #[serde(default)]
    phrase: Vec<PhraseSpec>,
    /// What texts about blocks name, in lower case.
    #[serde(default)]
    talk: Vec<String>,
    /// Body markers of captchas that ordinary pages carry as well.
    #[serde(default)]
    widgets: Vec<String>,
}

impl Table {
    /// The rules that come with the program. They are constants of it: a broken file is a broken build, which the tests
    /// of this module refuse.
    fn built_in() -> &'static Arc<Table> {
        static TABLE: LazyLock<Arc<Table>> = LazyLock::new(|| {
            let settings = Settings::default();
            Arc::new(Table::assemble(&settings).expect("the built-in rules are well formed"))
        });
        &TABLE
    }

    /// The built-in rules, without those the user has taken out, behind those of the user.
    ///
    /// # Errors
    /// A file that is no rule file, or a rule to take out that there is not.
    pub(super) fn new(settings: &Settings) -> Result<Arc<Table>, Problem> {
        if settings.rules.is_empty() && settings.no_rule.is_empty() {
            return Ok(Arc::clone(Table::built_in()));
        }
        Table::assemble(settings).map(Arc::new)
    }

    fn assemble(settings: &Settings) -> Result<Table, Problem> {
        let mut specs: Vec<(Layer, RuleSpec)> = Vec::new();
        let mut phrases = Vec::new();
        let mut widgets = Vec::new();
        let mut talk = Vec::new();
        for RuleFile { name, text } in &settings.rules {
            let file = parse(text).map_err(|problem| problem.at(name.clone()))?;
            specs.extend(file.rule.into_iter().map(|rule| (rule.layer, rule)));
            phrases.extend(file.phrase);
            widgets.extend(file.widgets);
            talk.extend(file.talk);
        }
        let theirs: HashSet<String> = specs.iter().map(|(_, rule)| rule.id.clone()).collect();
        for (layer, name, text) in FILES {
            let file = match brief::read(text) {
                Some(file) => file,
                None => parse(text).map_err(|problem| problem.at(name))?,
            };
            for rule in file.rule {
                // A rule of the user's takes the place of the built-in one with its id.
                if !theirs.contains(&rule.id) {
                    specs.push((layer, rule));
                }
            }
            phrases.extend(file.phrase);
            widgets.extend(file.widgets);
            talk.extend(file.talk);
        }
        for id in &settings.no_rule {
            let before = specs.len();
            specs.retain(|(_, rule)| !own::means(id, &rule.id));
            if specs.len() == before && !own::all().any(|rule| own::means(id, rule.id)) {
                return Err(Problem::new(format!("there is no rule {id:?}"))
                    .at("--no-rule")
                    .hint("proxywheel rules list has all ids"));
            }
        }
        // Stable: inside a group the order of the file is the order of the questions.
        specs.sort_by_key(|(layer, rule)| group(*layer, rule.star) as usize);
        Builder::default()
            .build(&specs, &theirs, phrases, &widgets, &talk)
            .map_err(|what| match settings.rules.last() {
                Some(file) => Problem::new(what).at(file.name.clone()),
                None => Problem::new(what),
            })
    }
}

/// Reads one file; the problem names the line.
pub(super) fn parse(text: &str) -> Result<File, Problem> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| {
            let start = span.start.min(text.len());
            text.as_bytes()[..start]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count()
                + 1
        });
        let message = error
            .message()
            .lines()
            .next()
            .unwrap_or("not TOML")
            .to_owned();
        let problem = Problem::new(match line {
            Some(line) => format!("line {line}: {message}"),
            None => message,
        });
        problem.hint("proxywheel rules show ID prints a rule as an example")
    })
}

#[derive(Debug, Default)]
struct Builder {
    specs: Vec<Spec>,
    numbers: HashMap<Spec, u16, RandomState>,
}

impl Builder {
    fn build(
        mut self,
        specs: &[(Layer, RuleSpec)],
        theirs: &HashSet<String>,
        phrases: Vec<PhraseSpec>,
        widgets: &[String],
        talk: &[String],
    ) -> Result<Table, String> {
        let mut rules: Vec<Rule> = Vec::with_capacity(specs.len());
        let mut ids: HashSet<&str> = HashSet::with_capacity(specs.len());
        for (layer, spec) in specs {
            if !ids.insert(&spec.id) {
                return Err(format!("rule {}: the id is taken", spec.id));
            }
            let own = theirs.contains(&spec.id);
            rules.push(self.rule(*layer, spec, own)?);
        }
        let markers: Vec<Spec> = widgets.iter().cloned().map(Spec::Body).collect();
        let widget_ids = self.intern(&markers);
        if self.specs.len() > MOST_CONDITIONS {
            return Err(format!("more than {MOST_CONDITIONS} conditions"));
        }
        let texts = (0u16..)
            .zip(&self.specs)
            .filter_map(|(id, spec)| match spec {
                Spec::Text(text) => Some((text.clone(), id)),
                _ => None,
            });
        let texts = texts.collect();
        let mut table = Table {
            scan: Scan::new(specs, &phrases, widgets)?,
            triggers: Triggers::new(&rules, &self.specs),
            rules: Vec::new(),
            specs: Vec::new(),
            in_body: Conditions::default(),
            headers: HeaderIndex::new(),
            titles: Titles::default(),
            reasons: Vec::new(),
            urls: UrlIndex::new(),
            locations: UrlIndex::new(),
            markers: Finder::default(),
            marker_ids: Vec::new(),
            short_markers: ShortMarkers::new(&rules, &self.specs),
            widgets: widget_ids,
            phrases: Phrases::new(phrases, talk, texts)?,
            groups: [Group::Proxy, Group::Star, Group::Rest].map(|wanted| {
                let of = |rule: &Rule| group(rule.layer, rule.star) as usize;
                let start = rules
                    .iter()
                    .filter(|rule| of(rule) < wanted as usize)
                    .count();
                start
                    ..start
                        + rules
                            .iter()
                            .filter(|rule| of(rule) == wanted as usize)
                            .count()
            }),
        };
        let mut markers = Vec::new();
        for (id, spec) in (0u16..).zip(&self.specs) {
            if spec.reads_body() {
                table.in_body.add(id);
            }
            match spec {
                Spec::Header(text) => table.headers.add_header(text, id),
                Spec::Cookie(text) => table.headers.add_cookie(text, id),
                Spec::Reason(text) => table.reasons.push((TextMatch::parse(text), id)),
                Spec::Url(text) => table.urls.add(text, id),
                Spec::Location(text) => table.locations.add(text, id),
                Spec::Body(text) if short::is_short(text) => {}
                Spec::Body(text) => {
                    markers.push(text.clone());
                    table.marker_ids.push(id);
                }
                Spec::Title(_) | Spec::Text(_) => {}
            }
        }
        table.markers = Finder::new(markers);
        let titles = (0u16..)
            .zip(&self.specs)
            .filter_map(|(id, spec)| match spec {
                Spec::Title(text) => Some((text.as_str(), id)),
                _ => None,
            });
        table.titles = Titles::new(titles);
        table.rules = rules;
        table.specs = self.specs;
        Ok(table)
    }

    fn rule(&mut self, layer: Layer, spec: &RuleSpec, own: bool) -> Result<Rule, String> {
        let fail = |what: &str| Err(format!("rule {}: {what}", spec.id));
        let conditions = || spec.all.iter().chain(&spec.any).chain(&spec.none);
        let reads_body = conditions().any(Spec::reads_body);
        let status = match &spec.when.status {
            Some(text) => match text.parse::<StatusSet>() {
                Ok(set) => Some(set),
                Err(problem) => return fail(&problem.to_string()),
            },
            None if reads_body => return fail("title, body and text need a status"),
            None if conditions().next().is_none() => return fail("it says nothing"),
            None => None,
        };
        let data = matches!(spec.when.kind, KindSpec::Json | KindSpec::Xml);
        if data && conditions().any(|spec| matches!(spec, Spec::Text(_) | Spec::Title(_))) {
            return fail("title and text are of pages; of json and xml a rule reads the body");
        }
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
            own,
            source: spec.source,
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

#[cfg(test)]
impl Table {
    /// Every rule with its layer and fixtures.
    pub(super) fn specs_for_tests() -> Vec<(Layer, RuleSpec)> {
        FILES
            .iter()
            .flat_map(|(layer, _, text)| {
                let file = parse(text).unwrap_or_else(|problem| panic!("{problem}"));
                file.rule.into_iter().map(|rule| (*layer, rule))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<Arc<Table>, Problem> {
        Table::new(&Settings {
            rules: vec![RuleFile {
                name: "own.toml".into(),
                text: text.into(),
            }],
            ..Settings::default()
        })
    }

    #[test]
    fn rules_that_cannot_work_are_refused_with_their_place() {
        let head = "[[rule]]\nid = \"x\"\nclass = \"block_ip\"\nsource = \"general\"\n";
        for (body, why) in [
            ("", "says nothing"),
            ("any = [{ body = \"x\" }]", "need a status"),
            (
                "when = { status = \"200\", kind = \"json\" }\nany = [{ text = \"x\" }]",
                "of pages",
            ),
            ("weight = 3\nany = [{ header = \"x\" }]", "too small"),
            (
                "when = { status = \"9\" }\nany = [{ header = \"x\" }]",
                "status list",
            ),
            (
                "any = [{ smell = \"x\" }]",
                "line 5: unknown variant `smell`",
            ),
            ("colour = 3", "line 5: unknown field `colour`"),
        ] {
            let error = with(&format!("{head}{body}")).expect_err(body);
            assert_eq!(error.place.as_deref(), Some("own.toml"));
            assert!(error.what.contains(why), "{body}: {error}");
        }
    }

    #[test]
    fn every_built_in_rule_about_successes_has_a_text_to_look_for() {
        assert_eq!(Table::built_in().scan.blind, [""; 0]);
    }

    #[test]
    fn rules_are_taken_out_by_id_or_family_and_an_unknown_id_is_refused() {
        let without = |ids: &[&str]| {
            Table::new(&Settings {
                no_rule: ids.iter().map(ToString::to_string).collect(),
                ..Settings::default()
            })
        };
        let all = Table::built_in().rules.len();
        assert_eq!(without(&["queue-it"]).expect("known").rules.len(), all - 1);
        assert!(without(&["cloudflare.*"]).expect("known").rules.len() < all - 5);
        assert!(without(&["cloudflare.nothing"]).is_err());
    }
}
