//! Judges an exchange: what came back, who is to blame, and which rule says so.
//!
//! # Order of evaluation
//! 1. A refused CONNECT is the proxy's own answer; a fault without an answer is judged by its phase.
//! 2. Where the proxy could have written the answer (plain http forwarded by an HTTP proxy, unverified TLS): pages of proxies
//!    and their vendors. An answer through verified TLS never matches these; plain http through SOCKS or from the target
//!    itself only those of tampering. `Via` tells what was only passed on (`relay.rs`).
//! 3. Statements of the edge that decide alone, on every status: headers, challenge URLs, redirects to them.
//! 4. The user's rules: status, header, redirect, regex over the decoded text.
//! 5. Pages that show by their structure what they are; then weak evidence, added up (`score.rs`).
//! 6. `--accept` and the status. Then, for accepted answers, whether the body is whole, `--must-match`, and what is expected of it.
//!
//! # What it does not do
//! Edge presence ([`Judge::edge`]) never makes a verdict: most good pages come from behind a CDN. A 403 that shows no block is the target's own answer, and whether other exits are told the same is
//! not visible from one exchange: [`Hosts`], [`agreed`] and [`in_place_of`] weigh answers together. Nothing here reads a clock, and only [`Hosts`] keeps state.

mod attributes;
mod brief;
mod build;
mod class;
mod condition;
mod edge;
mod evidence;
mod expect;
mod explain;
mod fault;
mod finder;
mod glance;
mod header_index;
mod host;
mod own;
mod page;
mod phrases;
mod rarity;
mod relay;
pub mod retry_after;
mod rule;
mod runs;
mod scan;
mod score;
mod short;
mod status;
mod table;
mod titles;
mod triggers;
mod url_index;
mod user;
mod view;
mod words;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, Method};
use url::Url;

use crate::error::Problem;
use crate::exchange::{Exchange, ProxyReply, Response, Truncation};
use crate::outcome::{Ban, Blame, Fault, FaultKind, Outcome, StatusSet, Verdict};
use crate::text;

pub use self::explain::{Explained, RuleInfo, Seems, source_of};
pub use self::host::{
    BLOCKS_CLIENT, Hosts, Page, agreed, agreed_on_certificate, differing, in_place_of, is_compared,
};
pub use self::own::own_words;

use self::expect::{Expectations, Unmet};
use self::own::{Off, PAGE_EMPTY};
use self::rule::Rule;
use self::score::Score;
use self::table::{Group, Signals, Table};
use self::user::{Fired, UserRules};
use self::view::View;

/// A rule file of the user's, read already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFile {
    /// What it is called in messages.
    pub name: String,
    /// TOML, as in `src/ban/rules`.
    pub text: String,
}

/// The user's own rules beside the built-in table.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Rule files; their rules are asked before the built-in ones and take the place of those with the same id.
    pub rules: Vec<RuleFile>,
    /// Ids of rules that are not asked; `family.*` is all of a family.
    pub no_rule: Vec<String>,
    /// Statuses that are an answer; everything else that no rule explains is `http_error`.
    pub accept: StatusSet,
    /// Statuses that mean this proxy is banned.
    pub ban_status: StatusSet,
    /// Regexes over the decoded body that mean a ban.
    pub ban_regex: Vec<String>,
    /// `Name` or `Name: regex` over response headers that mean a ban.
    pub ban_header: Vec<String>,
    /// Regexes over redirect targets that mean a ban.
    pub ban_redirect: Vec<String>,
    /// Every accepted text body has to match all of these.
    pub must_match: Vec<String>,
    /// No accepted text body may match any of these.
    pub must_not_match: Vec<String>,
    /// Words that every accepted body has to contain.
    pub expect_text: Vec<String>,
    /// CSS selectors that have to find something in every accepted body.
    pub expect_selector: Vec<String>,
    /// Content types of which an accepted body has to have one; `image/*` is any of a kind. Empty for any.
    pub expect_type: Vec<String>,
    /// JSON pointers that have to find something in every accepted body.
    pub expect_json: Vec<String>,
    /// Smallest accepted body, in bytes.
    pub min_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            rules: Vec::new(),
            no_rule: Vec::new(),
            accept: StatusSet::EMPTY.with(200, 299),
            ban_status: StatusSet::EMPTY,
            ban_regex: Vec::new(),
            ban_header: Vec::new(),
            ban_redirect: Vec::new(),
            must_match: Vec::new(),
            must_not_match: Vec::new(),
            expect_text: Vec::new(),
            expect_selector: Vec::new(),
            expect_type: Vec::new(),
            expect_json: Vec::new(),
            min_bytes: 0,
        }
    }
}

/// What was asked for in the hop that is judged.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The URL of this hop.
    pub url: &'a Url,
    /// The method of this hop.
    pub method: &'a Method,
    /// The scheme of `url` is https: the request went through a tunnel.
    pub https: bool,
    /// A redirect will be followed, so its status is not the last word; only where it leads is judged.
    pub follows: bool,
    /// The wall clock when the answer came, for what says "until" without a `Date` beside it; `None` for saved answers.
    pub now: Option<SystemTime>,
}

/// Judges exchanges. Cheap to share, holds no state.
#[derive(Debug)]
pub struct Judge {
    user: UserRules,
    expected: Expectations,
    table: Arc<Table>,
    off: Off,
}

impl Judge {
    /// Compiles the user's rules.
    ///
    /// # Errors
    /// An invalid or oversized regex, an invalid header name, a broken rule file, an unknown rule id; the problem names the flag
    /// or file, and the position.
    pub fn new(settings: &Settings) -> Result<Judge, Problem> {
        Ok(Judge {
            user: UserRules::new(settings)?,
            expected: Expectations::new(settings)?,
            table: Table::new(settings)?,
            off: Off::new(&settings.no_rule),
        })
    }

    /// What weighs the answers of a run together, by the same rules.
    pub fn hosts(&self) -> Hosts {
        Hosts::without(self.off.clone())
    }

    /// Judges one hop: the answer to `request`, or its failure.
    pub fn classify(&self, request: &Seen<'_>, exchange: &Exchange) -> Verdict {
        match &exchange.result {
            Ok(response) => self.answer(request, response, exchange),
            Err(fault) => match exchange.connect_reply.as_deref() {
                Some(reply) => self.refusal(&View::of_reply(Some(request.url), reply, request.now)),
                None => {
                    let mut verdict = fault::judge(fault);
                    if exchange.verified && matches!(fault.kind, FaultKind::Http2(_)) {
                        // Whoever is on the way can cut a connection, and cannot say anything within it.
                        verdict.blame = Blame::Target;
                    }
                    verdict
                }
            },
        }
    }

    /// The same for what is no page: a robots.txt or a sitemap. What the user says of pages does not count, but for bans.
    pub fn classify_errand(&self, request: &Seen<'_>, exchange: &Exchange) -> Verdict {
        match &exchange.result {
            Ok(response) => self.any_answer(request, response, exchange, |_, view| {
                if !view.is_success() {
                    return self.refused(view);
                }
                cut_short(response).unwrap_or_else(|| good(view))
            }),
            Err(_) => self.classify(request, exchange),
        }
    }

    /// Judges a probe that failed, as [`Judge::classify`] judges an exchange that did; `now` as [`Seen::now`].
    pub fn classify_probe(
        &self,
        (fault, reply): (&Fault, Option<&ProxyReply>),
        now: Option<SystemTime>,
    ) -> Verdict {
        match reply {
            Some(reply) => self.refusal(&View::of_reply(None, reply, now)),
            None => fault::judge(fault),
        }
    }

    /// Which CDN, WAF or front end these headers speak of. Never a verdict.
    pub fn edge(&self, headers: &HeaderMap) -> Option<&'static str> {
        edge::presence(headers)
    }

    /// A tunnel that the proxy refused.
    fn refusal(&self, view: &View<'_>) -> Verdict {
        let signals = self.table.signals(view);
        match self.table.first(Group::Proxy, view, &signals) {
            Some(rule) => self.by_rule(rule, view, &signals),
            None => {
                let mut verdict = status::connect(view);
                verdict.ban = verdict.ban.filter(|ban| !self.off.has(&ban.rule));
                verdict
            }
        }
    }

    /// A status that is not accepted.
    fn refused(&self, view: &View<'_>) -> Verdict {
        let verdict = status::refused(view);
        let is_off = |ban: &Ban| self.off.has(&ban.rule);
        if verdict.ban.as_deref().is_some_and(is_off) {
            // It is the answer of the target then, as other statuses are.
            return Verdict {
                retry_after: verdict.retry_after,
                ..Verdict::new(Outcome::HttpError, Blame::Target)
            };
        }
        verdict
    }

    fn answer(&self, request: &Seen<'_>, response: &Response, exchange: &Exchange) -> Verdict {
        self.any_answer(request, response, exchange, |status, view| {
            if !self.user.accept.contains(status) {
                return self.refused(view);
            }
            self.accepted(request, response, view)
        })
    }

    /// `unblocked` judges what is no block, by its status and the rest of it.
    fn any_answer(
        &self,
        request: &Seen<'_>,
        response: &Response,
        exchange: &Exchange,
        unblocked: impl FnOnce(u16, &View<'_>) -> Verdict,
    ) -> Verdict {
        if let Some(fault) = &response.body.broken
            && fault.kind != FaultKind::Decode
        {
            // Framing and TLS are of the connection, and whoever breaks them may have written the rest as well.
            return fault::judge(fault);
        }
        let verified = exchange.verified;
        let view = View::of_response(request, response, verified, exchange.forwarded);
        let signals = self.table.signals(&view);
        let ask = |group| self.table.first(group, &view, &signals);
        let proxy = if verified { None } else { ask(Group::Proxy) };
        // What only carries bytes writes no error pages, but it can put something else in their place.
        let writes = exchange.forwarded || request.https;
        let proxy = proxy.filter(|rule| writes || rule.class == class::Class::ProxyTamper);
        if let Some(rule) = proxy.or_else(|| ask(Group::Star)) {
            return self.by_rule(rule, &view, &signals);
        }
        if let Some(fired) = self.user_ban(&view) {
            return by_user(fired, Outcome::Banned, Blame::Pair, &view);
        }
        if let Some(rule) = ask(Group::Rest) {
            return self.by_rule(rule, &view, &signals);
        }
        if request.follows && view.location.is_some() {
            return good(&view);
        }
        if let Some(score) = self.blocked_by_score(&view, &signals, writes) {
            return by_score(&score, &view);
        }
        unblocked(view.status, &view)
    }

    /// Weak evidence, where it is enough. A plain 429 is what its status says, whatever words it says it with.
    fn blocked_by_score(&self, view: &View<'_>, signals: &Signals, writes: bool) -> Option<Score> {
        let score = self.table.score(view, signals, writes)?;
        let counts = view.status != 429 || !matches!(score.class, class::Class::BlockRule);
        (score.points >= score::BLOCK && counts && !self.off.has(&score.rule())).then_some(score)
    }

    /// An accepted status: is the body whole, and is it what the user expects?
    fn accepted(&self, request: &Seen<'_>, response: &Response, view: &View<'_>) -> Verdict {
        if let Some(verdict) = cut_short(response) {
            return verdict;
        }
        // Whoever gets a page has one, and "no content" in its place is easily said. The answer to other methods may be just that.
        let bodiless = match view.status {
            304 => true,
            204 | 205 => *request.method != Method::GET,
            _ => *request.method == Method::HEAD,
        };
        if self.user.reads_accepted_bodies()
            && !bodiless
            && text::is_text(view.content_type, view.body)
        {
            let body = text::decode(view.content_type, view.body);
            if let Some(fired) = self.user.forbidden_text(&body) {
                // The user has described a page that must not be: this exit is shown something else than the content.
                return by_user(fired, Outcome::Corrupt, Blame::Pair, view);
            }
            if let Some(fired) = self.user.missing_text(&body) {
                // Absence proves less: a soft ban, a tampering proxy, and a page that has changed look alike.
                return by_user(fired, Outcome::Corrupt, Blame::Unknown, view);
            }
        }
        if is_empty_page(request.method, view) && !self.off.has(PAGE_EMPTY) {
            return empty(view);
        }
        if bodiless {
            return good(view);
        }
        match self.expected.unmet(view) {
            None => good(view),
            Some(Unmet::Missing(fired)) => {
                let mut verdict = by_user(fired, Outcome::Banned, Blame::Pair, view);
                if let Some(ban) = &mut verdict.ban {
                    ban.class = "soft_block".into();
                }
                verdict
            }
            Some(Unmet::Unparsed(fired)) => by_user(fired, Outcome::HttpError, Blame::Target, view),
        }
    }

    fn user_ban(&self, view: &View<'_>) -> Option<Fired> {
        self.user.bans_head(view).or_else(|| {
            if self.user.reads_every_body() && text::is_text(view.content_type, view.body) {
                self.user
                    .bans_body(&text::decode(view.content_type, view.body))
            } else {
                None
            }
        })
    }

    fn by_rule(&self, rule: &Rule, view: &View<'_>, signals: &Signals) -> Verdict {
        let (outcome, mut blame) = rule.class.sentence(rule.layer);
        if rule.class == class::Class::ProxyNoTunnel {
            blame = status::no_tunnel(view);
        }
        let by_vendor = rule.layer == class::Layer::Proxy && !view.connect;
        if let (true, Blame::Proxy(_), Some(vendor)) = (by_vendor, blame, &rule.vendor)
            && relay::is_signed_by_another(view.headers, vendor)
        {
            // The proxy next to us is another: a parent of it wrote this, or the target shows a copy.
            blame = Blame::Pair;
        }
        if rule.class == class::Class::OriginError && !status::is_from_beyond(view) {
            blame = Blame::Unknown;
        }
        let evidence = self.table.evidence(rule, view, signals);
        Verdict {
            outcome,
            blame,
            ban: Some(Box::new(Ban {
                rule: rule.id.clone(),
                class: rule.class.as_str().into(),
                vendor: rule.vendor.clone(),
                confidence: rule.confidence,
                evidence: evidence::clip(&evidence),
            })),
            retry_after: retry_after::wait(view.status, view.headers, view.now),
        }
    }
}

/// Nothing wrong with it, though it may have been the last before a pause.
fn good(view: &View<'_>) -> Verdict {
    Verdict {
        retry_after: retry_after::exhausted(view.headers, view.now),
        ..Verdict::new(Outcome::Ok, Blame::Nobody)
    }
}

/// A page by its label that has nothing in it: some sites answer so instead of refusing. Empty lists, texts and pictures are content,
/// and so is nothing in reply to what was sent (hooks, forms).
fn is_empty_page(method: &Method, view: &View<'_>) -> bool {
    *method == Method::GET
        && view.status == 200
        && view.content_type.is_some()
        && view.kind == view::Kind::Html
        && view.body.trim_ascii().is_empty()
}

/// Scripts that have nothing to say answer so as well, and to everybody: it is the answer of the target unless another exit gets a
/// page ([`differing`]).
fn empty(view: &View<'_>) -> Verdict {
    Verdict {
        ban: Some(status::stock(
            PAGE_EMPTY,
            class::Class::Empty.as_str(),
            "200 with a page of no bytes",
        )),
        retry_after: retry_after::wait(view.status, view.headers, view.now),
        ..Verdict::new(Outcome::HttpError, Blame::Target)
    }
}

/// True when the verdict is that the page has nothing in it, of which an answer alone does not say whom it is meant for.
pub fn is_page_of_nothing(verdict: &Verdict) -> bool {
    let rule = verdict.ban.as_ref().map(|ban| &*ban.rule);
    rule == Some(PAGE_EMPTY)
}

fn by_score(score: &Score, view: &View<'_>) -> Verdict {
    let (outcome, blame) = score.class.sentence(score.layer);
    Verdict {
        outcome,
        blame,
        ban: Some(Box::new(Ban {
            rule: score.rule().into(),
            class: score.class.as_str().into(),
            vendor: score.vendor.clone(),
            confidence: score.confidence(),
            evidence: evidence::clip(&score.evidence),
        })),
        retry_after: retry_after::wait(view.status, view.headers, view.now),
    }
}

fn by_user(fired: Fired, outcome: Outcome, blame: Blame, view: &View<'_>) -> Verdict {
    Verdict {
        outcome,
        blame,
        ban: Some(Box::new(Ban {
            rule: fired.rule.into(),
            class: "user".into(),
            vendor: None,
            confidence: 1.0,
            evidence: evidence::clip(&fired.evidence),
        })),
        retry_after: retry_after::wait(view.status, view.headers, view.now),
    }
}

/// The verdict on a body that is not whole.
fn cut_short(response: &Response) -> Option<Verdict> {
    if let Some(fault) = &response.body.broken {
        return Some(fault::judge(fault));
    }
    Some(match response.body.truncated? {
        Truncation::Length => Verdict::new(Outcome::TooLarge, Blame::Target),
        Truncation::Time => Verdict::new(Outcome::Timeout, Blame::Unknown),
        Truncation::Disconnect => Verdict::new(Outcome::Corrupt, Blame::Unknown),
    })
}
