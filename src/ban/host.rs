//! What answers say together, though each by itself says nothing: blocks that look like pages, and hosts that refuse this client.
//!
//! - **The same body again and again** through one proxy, for different URLs of a host, while more others are given another body for
//!   each URL: that proxy is shown a block that looks like a page. Where each is given the same for every URL the pages are all alike,
//!   also those that name the visitor, and where somebody is given this one between others ("not found") it is one of the pages: such
//!   sites are left alone.
//! - **The same title again and again** in the same manner, over pages that are a fifth of what others are given: a block that names
//!   the time or the request, or a shell without its contents. The title alone proves nothing, many sites have but one.
//! - **Short pages again and again** in the same manner, whatever they are called: each below a fifth of the running median of the host,
//!   while nobody else was given a short one last. It takes more of them, because some sites have short pages side by side. Lengths are
//!   those of bodies: to measure what a reader sees would cost every good page as much as its verdict.
//! - **Nearly all exits challenged** and nobody served: the host dislikes this client, not these addresses. Going on would spend every
//!   proxy of the pool on it. **All exits refused**, in whatever manner, and never another answer: the host serves none of this
//!   list, or the user expects what no page has. To wait until the bans end would only have them said again.
//! - **The same refusal of one URL from several exits**, the last of which the host serves otherwise, is the answer of the target: it
//!   costs no further pair ([`agreed`]). So is the same fault of its certificate ([`agreed_on_certificate`]).
//! - **A bare refusal of a URL, or a page of nothing, where another exit is served** was a block of the first exit ([`differing`]).
//!
//! Memory is bounded: the hosts and, in each, the proxies looked at longest ago are forgotten first. Nothing reads a clock.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::own::{Off, PAGE_EMPTY};
use crate::job::JobId;
use crate::outcome::{Attempt, Ban, Blame, Charge, Fault, FaultKind, Outcome, Phase, Verdict};
use crate::proxy::ProxyId;

/// The rule by which nothing more is asked of a host ([`Hosts::gives_up`]).
pub const BLOCKS_CLIENT: &str = "host.blocks_client";

/// The rules by which pages are refused that look unlike those of others.
const SAME_BODY: &str = "host.same_body";
const SAME_TITLE: &str = "host.same_title";
const SHORT_PAGES: &str = "host.short";

/// Words of a filter on the way, on a page that nothing else tells from others.
const FILTER_WORDS: &str = "score.proxy_policy";

/// What the log says of a refusal that other exits did not meet ([`differing`]).
const DIFFERS: &str = "host.differs";

/// Different URLs in a row with the same body, or title, through one proxy from which it is no chance.
const SAME: u8 = 3;
/// Others that have to have been given a body for each URL by then, or titles that they have to have been given.
const OTHERS: usize = 3;
/// So many times shorter than the median of what others are given is short.
const SHORT: u32 = 5;
/// Different URLs in a row with short pages, through one proxy, from which it is no chance.
const SHORTS: u8 = 5;
/// Other proxies that have to have been given long ones.
const SERVED_LONG: usize = 5;
/// Share by which a page moves the running median towards its own length: after some twenty it follows.
const STEP: f32 = 0.1;
/// Distinct exits that have to have been challenged before a host is given up.
const CHALLENGED: usize = 10;
/// Share of exits, in percent, that have to have been challenged.
const CHALLENGED_PERCENT: usize = 80;
/// Exits that have to say the same of one URL; the last one is not charged.
const AGREE: usize = 3;
/// Hosts remembered.
const MOST_HOSTS: usize = 4096;
/// Proxies and bodies remembered for each.
const MOST_EACH: usize = 64;

/// What is remembered of the hosts of a run.
#[derive(Debug, Default)]
pub struct Hosts {
    of: HashMap<u32, Host, RandomState>,
    titles: RandomState,
    clock: u64,
    /// Members of the pool that may serve, or are not known yet.
    exits: usize,
    /// Rules that the user has taken out.
    off: Off,
}

#[derive(Debug, Default)]
struct Host {
    seen: u64,
    /// Through each proxy lately.
    pages: Vec<Through>,
    /// Bodies that were given to somebody between others lately: pages of the site, however often they are given.
    passing: VecDeque<u64>,
    /// Exits that were challenged, and whether anybody was served.
    challenged: Vec<u32>,
    others: usize,
    served: bool,
    /// Exits that were refused in any manner, and whether anybody met anything else.
    refused: Vec<u32>,
    answered: bool,
    /// Length of a page in the middle of all, bytes; moves a step with every page. 0 before the first.
    median: f32,
    /// Other proxies may yet be served.
    spared: bool,
    /// Exits that were refused again and again, each after its ban had ended.
    worn_out: usize,
    /// Nothing more is asked of it, as long as nothing speaks against that.
    given_up: bool,
}

/// The last page through a proxy, and what it has in common with those before it.
#[derive(Debug)]
struct Through {
    proxy: u32,
    url: JobId,
    body: u64,
    /// Hash of the title; `None` for a page without one.
    title: Option<u64>,
    size: u32,
    /// For how many different URLs in a row the body was the same.
    bodies: u8,
    /// For how many different URLs in a row it was another than the one before.
    changes: u8,
    /// For how many the title was the same.
    titles: u8,
    /// Largest of the pages with that title.
    largest: u32,
    /// For how many different URLs in a row the page was short.
    shorts: u8,
}

/// What is the same again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Same {
    Body,
    /// Over short pages.
    Title,
    Length,
}

/// One answer, mostly by numbers.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Number of the host.
    pub host: u32,
    /// Number of the proxy.
    pub proxy: u32,
    /// Beginning of the hash of its body.
    pub body: u64,
    /// Its title.
    pub title: Option<&'a str>,
    /// Length of its body, bytes.
    pub size: u64,
    /// What was asked, whoever asked.
    pub url: JobId,
    /// Asked in a session: the pages of one account may well be alike, and nobody else is given them.
    pub in_session: bool,
}

impl Hosts {
    /// Nothing is known, and nothing is said by the rules that are `off`.
    pub(super) fn without(off: Off) -> Self {
        Hosts {
            off,
            ..Hosts::default()
        }
    }

    /// Notes an answer and its verdict; gives another verdict where answers together say more than that one.
    pub fn weigh(&mut self, page: Page<'_>, verdict: &Verdict) -> Option<Verdict> {
        let title = page.title.map(|title| self.titles.hash_one(title));
        let host = self.host(page.host);
        if verdict.outcome != Outcome::Ok {
            host.note(page.proxy, verdict);
            return None;
        }
        host.served = true;
        if page.in_session {
            return None;
        }
        let (rule, evidence) = match host.repeats(page, title)? {
            Same::Body => (
                SAME_BODY,
                "the same body for different URLs, where others are given one for each",
            ),
            Same::Title => (
                SAME_TITLE,
                "the same title for different URLs, to this proxy alone, over much less than others are given",
            ),
            Same::Length => (
                SHORT_PAGES,
                "much less than others are given, for different URLs in a row, to this proxy alone",
            ),
        };
        (!self.off.has(rule)).then(|| Verdict {
            outcome: Outcome::Banned,
            blame: Blame::Pair,
            ban: Some(ban(rule, "soft_block", evidence)),
            retry_after: None,
        })
    }

    /// Whether a host is not given up although it challenges every exit, because there are others of another kind.
    pub fn spare(&mut self, host: u32, spared: bool) {
        self.host(host).spared = spared;
    }

    /// The exits that were refused in any manner, as long as they are too few to show by their number that the host refuses
    /// everybody.
    pub fn few_refused(&self, host: u32) -> Option<&[u32]> {
        let refused = self.of.get(&host).map_or(&[][..], |host| &host.refused);
        (refused.len() < CHALLENGED).then_some(refused)
    }

    /// So many exits were refused again whenever their bans had ended.
    pub fn wear_out(&mut self, host: u32, exits: usize) {
        self.host(host).worn_out = exits;
    }

    /// How many members of the pool may serve, or are not known yet.
    pub fn know_exits(&mut self, exits: usize) {
        self.exits = exits;
    }

    /// Why nothing more is asked of a host; `None` as a rule.
    pub fn gives_up(&self, host: u32) -> Option<Verdict> {
        let given_up = self.of.get(&host).is_some_and(|host| host.given_up);
        given_up.then(|| self.suspects(host)).flatten()
    }

    /// From now on nothing more is asked of a suspect.
    pub fn give_up(&mut self, host: u32) {
        self.host(host).given_up = true;
    }

    /// Why nothing more should be asked of a host, once those have come back that were sent before this was so: a page takes
    /// longer than a refusal, so the first that come are refusals even where half of the exits are served.
    pub fn suspects(&self, host: u32) -> Option<Verdict> {
        let host = self.of.get(&host)?;
        let exits = host.challenged.len();
        let most = exits * 100 >= (exits + host.others) * CHALLENGED_PERCENT;
        let refused = host.refused.len();
        let evidence = if host.served || host.spared || self.off.has(BLOCKS_CLIENT) {
            return None;
        } else if exits >= CHALLENGED && most {
            format!("{exits} exits were challenged and none was served")
        } else if !host.answered && host.worn_out >= self.exits.max(1) {
            format!("{refused} exits were refused again and again and none was served")
        } else if !host.answered && refused >= self.exits.clamp(CHALLENGED, MOST_EACH) {
            format!("{refused} exits were refused and none was served")
        } else {
            return None;
        };
        Some(Verdict {
            ban: Some(ban(BLOCKS_CLIENT, "block_client", &evidence)),
            ..Verdict::new(Outcome::Banned, Blame::Target)
        })
    }

    fn host(&mut self, number: u32) -> &mut Host {
        self.clock += 1;
        if self.of.len() >= MOST_HOSTS && !self.of.contains_key(&number) {
            // Half of them at once: looking for the oldest each time would cost every new host as much.
            let mut seen: Vec<u64> = self.of.values().map(|host| host.seen).collect();
            let (_, median, _) = seen.select_nth_unstable(MOST_HOSTS / 2);
            self.of.retain(|_, host| host.seen >= *median);
        }
        let host = self.of.entry(number).or_default();
        host.seen = self.clock;
        host
    }
}

impl Host {
    fn note(&mut self, proxy: u32, verdict: &Verdict) {
        let class = verdict.ban.as_ref().map_or("", |ban| &*ban.class);
        let is_refused = (verdict.outcome, verdict.blame) == (Outcome::Banned, Blame::Pair);
        if is_refused && self.refused.len() < MOST_EACH && !self.refused.contains(&proxy) {
            self.refused.push(proxy);
        }
        // What a proxy says in its own name is no word of the host's. A wall before some URLs or a limit of a rate is no
        // refusal of an exit.
        self.answered |= !is_refused && !matches!(verdict.blame, Blame::Proxy(_) | Blame::Local);
        if !matches!(
            class,
            "challenge_js" | "challenge_captcha" | "block_client" | "js_required"
        ) {
            self.others = (self.others + 1).min(MOST_EACH);
        } else if self.challenged.len() < MOST_EACH && !self.challenged.contains(&proxy) {
            self.challenged.push(proxy);
        }
    }

    /// Notes a page; gives what it has in common with those before it, where that is a block.
    fn repeats(&mut self, page: Page<'_>, title: Option<u64>) -> Option<Same> {
        let size = u32::try_from(page.size).unwrap_or(u32::MAX);
        let at = self
            .pages
            .iter()
            .position(|through| through.proxy == page.proxy);
        let now = Through {
            proxy: page.proxy,
            url: page.url,
            body: page.body,
            title,
            size,
            bodies: 1,
            changes: 0,
            titles: 1,
            largest: size,
            shorts: u8::from((size as f32) < self.median / SHORT as f32),
        };
        self.follow(size);
        let now = match at.map(|at| self.pages.remove(at)) {
            Some(last) => {
                self.pass(&now, &last);
                now.after(&last)
            }
            None => now,
        };
        let same = self.only_this_one(&now);
        if self.pages.len() >= MOST_EACH {
            self.pages.remove(0);
        }
        self.pages.push(now);
        same
    }

    /// Notes the body of `last` where it was no block by [`SAME`], because another page came after it.
    fn pass(&mut self, now: &Through, last: &Through) {
        if last.body == now.body || last.bodies >= SAME {
            return;
        }
        self.passing.retain(|body| *body != last.body);
        if self.passing.len() >= MOST_EACH {
            self.passing.pop_front();
        }
        self.passing.push_back(last.body);
    }

    /// Whether this proxy is given one body for all URLs, of a host that gives others one for each.
    fn is_stuck(&self, now: &Through) -> bool {
        if now.bodies < SAME || self.passing.contains(&now.body) {
            return false;
        }
        let others = |is: fn(&Through, u64) -> bool| {
            let others = self.pages.iter();
            others.filter(|other| is(other, now.body)).count()
        };
        // A page of the site may come to all of them at once: the rest of the list is gone, say.
        let alike = others(|other, body| other.body == body);
        let comes = others(|other, body| other.body == body && other.changes > 0);
        let varied = others(|other, _| other.changes + 1 >= SAME);
        comes == 0 && varied >= OTHERS && varied > alike
    }

    /// What this proxy alone is given again and again; the other proxies are those in `pages`.
    fn only_this_one(&self, now: &Through) -> Option<Same> {
        let others = || self.pages.iter();
        if self.is_stuck(now) {
            return Some(Same::Body);
        }
        if now.shorts >= SHORTS && self.pages.len() >= SERVED_LONG {
            let limit = self.middle() / SHORT;
            if now.size < limit && !others().any(|other| other.size < limit) {
                return Some(Same::Length);
            }
        }
        if now.titles >= SAME
            && !others().any(|other| other.title == now.title)
            && distinct(others().filter_map(|other| other.title)) >= OTHERS
        {
            return (now.largest < self.middle() / SHORT).then_some(Same::Title);
        }
        None
    }

    /// Length in the middle of the last pages through other proxies, of which there are some.
    fn middle(&self) -> u32 {
        let mut sizes: Vec<u32> = self.pages.iter().map(|through| through.size).collect();
        sizes.sort_unstable();
        sizes[sizes.len() / 2]
    }

    /// Moves the running median a step towards this page.
    fn follow(&mut self, size: u32) {
        let size = size as f32;
        if self.median == 0.0 {
            self.median = size;
        } else if size > self.median {
            self.median = (self.median * (1.0 + STEP)).min(size);
        } else {
            self.median = (self.median * (1.0 - STEP)).max(size);
        }
    }
}

impl Through {
    /// Goes on with what the page before it has in common with this one.
    fn after(mut self, last: &Through) -> Self {
        let another = u8::from(self.url != last.url);
        if self.body == last.body {
            self.bodies = last.bodies.saturating_add(another);
        } else {
            self.changes = last.changes.saturating_add(another);
        }
        if self.title.is_some() && self.title == last.title {
            self.titles = last.titles.saturating_add(another);
            self.largest = self.largest.max(last.largest);
        }
        if self.shorts > 0 {
            self.shorts = last.shorts.saturating_add(another).max(1);
        }
        self
    }
}

/// How many different ones.
fn distinct(all: impl Iterator<Item = u64>) -> usize {
    let mut all: Vec<u64> = all.collect();
    all.sort_unstable();
    all.dedup();
    all.len()
}

/// The same verdict, charged to the target when enough other exits were refused the same URL by the same rule, and the host
/// `serves` this one otherwise: that is its answer, and costs no further pair. Exits that the host has never served may all be
/// banned.
pub fn agreed(mut verdict: Verdict, earlier: &[Attempt], serves: bool) -> Verdict {
    if !serves || verdict.blame != Blame::Pair || verdict.outcome != Outcome::Banned {
        return verdict;
    }
    let Some(ban) = &verdict.ban else {
        return verdict;
    };
    if count_same(ban, earlier) + 1 >= AGREE {
        verdict.blame = Blame::Target;
    }
    verdict
}

/// The same verdict on a page that stands in place of the target's by its looks: a portal's, or a web server's own. Over plain http the
/// target may as well have written it. Through a proxy that `has_served` that is a matter of the two, one that never has is no proxy
/// in all likelihood, and what as many exits show for one URL as it takes to agree is the target's. Whoever breaks TLS is not meant.
/// So it is with the words of a filter: a forum is full of them, and they refuse no host that this proxy `has_reached` before.
pub fn in_place_of(
    mut verdict: Verdict,
    earlier: &[Attempt],
    has_served: bool,
    has_reached: bool,
) -> Verdict {
    let Some(ban) = &verdict.ban else {
        return verdict;
    };
    let own = match verdict.blame {
        Blame::Proxy(Charge::Tampered) if has_served => Blame::Pair,
        Blame::Proxy(Charge::Tampered) => Blame::Proxy(Charge::Broken),
        Blame::Proxy(Charge::Policy) if &*ban.rule != FILTER_WORDS => return verdict,
        Blame::Proxy(Charge::Policy) if has_reached => Blame::Pair,
        Blame::Proxy(Charge::Policy) => verdict.blame,
        _ => return verdict,
    };
    verdict.blame = match count_same(ban, earlier) + 1 >= AGREE {
        true => Blame::Target,
        false => own,
    };
    verdict
}

/// The same verdict on a certificate of the target that did not verify, charged to the target when others were shown one with the same
/// fault: a second opinion is enough on one that a known authority vouches for, for nobody else can make it. What nobody vouches for
/// takes as many exits as agree on a refusal, and is believed of those that have opened tunnels (`believed`), as long as there are any:
/// boxes that break TLS are many of a make.
pub fn agreed_on_certificate(
    mut verdict: Verdict,
    (fault, exit): (&Fault, ProxyId),
    earlier: &[Attempt],
    believed: bool,
) -> Verdict {
    let same = |attempt: &&Attempt| {
        let error = attempt.error.as_ref();
        error.is_some_and(|error| *error.message == *fault.message)
    };
    let mut exits: Vec<ProxyId> = earlier
        .iter()
        .filter(same)
        .map(|attempt| attempt.proxy.id())
        .collect();
    let agreed = match (fault.phase, fault.kind) {
        (Phase::Tls, FaultKind::OtherCertificate) => !exits.is_empty(),
        (Phase::Tls, FaultKind::Certificate) => {
            exits.push(exit);
            exits.sort_unstable();
            exits.dedup();
            believed && exits.len() >= AGREE
        }
        _ => false,
    };
    if agreed && verdict.blame == Blame::Unknown {
        verdict.blame = Blame::Target;
    }
    verdict
}

/// True for a page that is refused only because it looks unlike those of others, as those before it through this proxy did.
pub fn is_compared(verdict: &Verdict) -> bool {
    let ban = verdict.ban.as_ref();
    ban.is_some_and(|ban| matches!(&*ban.rule, SAME_BODY | SAME_TITLE | SHORT_PAGES))
}

/// Earlier attempts that the same rule has decided.
fn count_same(ban: &Ban, earlier: &[Attempt]) -> usize {
    let same = |attempt: &&Attempt| attempt.rule.as_ref() == Some(&ban.rule);
    earlier.iter().filter(same).count()
}

/// Of one URL that was served through `served` in the end: the other proxies through which it was refused without a word (401, 403, a page of
/// nothing, the end of the HTTP/2 stream; in whatever manner through one that `may_invent` its answers), which was not the target's answer
/// then. Their lines of the log say so from now on.
pub fn differing(
    log: &mut [Attempt],
    served: ProxyId,
    may_invent: impl Fn(ProxyId) -> bool,
) -> impl Iterator<Item = ProxyId> {
    let refused = log.iter_mut().filter(move |attempt| {
        let is_empty = attempt.rule.as_deref() == Some(PAGE_EMPTY);
        let bare = attempt.outcome == Outcome::HttpError
            && match attempt.status {
                _ if is_empty => true,
                Some(401 | 403) => true,
                Some(400..=499) => may_invent(attempt.proxy.id()),
                _ => false,
            };
        let http2 = FaultKind::Http2(0).as_str();
        let ended = attempt
            .error
            .as_ref()
            .is_some_and(|error| error.kind == http2);
        attempt.blame == Blame::Target && attempt.proxy.id() != served && (bare || ended)
    });
    refused.map(|attempt| {
        attempt.blame = Blame::Pair;
        attempt.rule = Some(DIFFERS.into());
        attempt.proxy.id()
    })
}

fn ban(rule: &str, class: &str, evidence: &str) -> Box<Ban> {
    Box::new(Ban {
        rule: rule.into(),
        class: class.into(),
        vendor: None,
        confidence: 0.8,
        evidence: evidence.into(),
    })
}

#[cfg(test)]
mod tests;
