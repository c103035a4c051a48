//! What answers say together, though each by itself says nothing: blocks that look like pages, and hosts that refuse this client.
//!
//! - **The same body again and again** through one proxy, for different URLs of a host, while others are given other bodies and nobody
//!   else is given this one: that proxy is shown a block that looks like a page. A site whose pages are all alike (one shell for every
//!   URL, one "not found") shows them to everybody, and is left alone.
//! - **Nearly all exits challenged** and nobody served: the host dislikes this client, not these addresses. Going on would spend every
//!   proxy of the pool on it.
//! - **The same refusal of one URL from several exits**, the last of which the host serves otherwise, is the answer of the target: it
//!   costs no further pair ([`agreed`]).
//!
//! Memory is bounded: the hosts and, in each, the proxies looked at longest ago are forgotten first. Nothing reads a clock.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::job::JobId;
use crate::outcome::{Attempt, Ban, Blame, Outcome, Verdict};

/// The rule by which nothing more is asked of a host ([`Hosts::gives_up`]).
pub const BLOCKS_CLIENT: &str = "host.blocks_client";

/// Different URLs with the same body through one proxy from which it is no chance.
const SAME_BODY: u8 = 3;
/// Other bodies that others have to have been given by then.
const OTHER_BODIES: usize = 3;
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
    clock: u64,
}

#[derive(Debug, Default)]
struct Host {
    seen: u64,
    /// Through each proxy lately: its last body, the last URL, and for how many different URLs in a row it was the same.
    pages: Vec<Through>,
    /// Exits that were challenged, and whether anybody was served.
    challenged: Vec<u32>,
    others: usize,
    served: bool,
}

#[derive(Debug)]
struct Through {
    proxy: u32,
    body: u64,
    url: JobId,
    urls: u8,
}

/// One answer, by numbers.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Number of the host.
    pub host: u32,
    /// Number of the proxy.
    pub proxy: u32,
    /// Beginning of the hash of its body.
    pub body: u64,
    /// What was asked.
    pub url: JobId,
}

impl Hosts {
    /// Notes an answer, and changes its verdict where answers together say more than it does.
    pub fn weigh(&mut self, page: Page, verdict: Verdict) -> Verdict {
        let host = self.host(page.host);
        if verdict.outcome != Outcome::Ok {
            host.note(page.proxy, &verdict);
            return verdict;
        }
        host.served = true;
        if !host.repeats(page) {
            return verdict;
        }
        Verdict {
            outcome: Outcome::Banned,
            blame: Blame::Pair,
            ban: Some(ban(
                "host.same_body",
                "soft_block",
                "the same body for different URLs, to this proxy alone",
            )),
            retry_after: None,
        }
    }

    /// Why nothing more should be asked of a host; `None` as a rule.
    pub fn gives_up(&self, host: u32) -> Option<Verdict> {
        let host = self.of.get(&host)?;
        let exits = host.challenged.len();
        let most = exits * 100 >= (exits + host.others) * CHALLENGED_PERCENT;
        if host.served || exits < CHALLENGED || !most {
            return None;
        }
        let evidence = format!("{exits} exits were challenged and none was served");
        Some(Verdict {
            ban: Some(ban(BLOCKS_CLIENT, "block_client", &evidence)),
            ..Verdict::new(Outcome::Banned, Blame::Target)
        })
    }

    fn host(&mut self, number: u32) -> &mut Host {
        self.clock += 1;
        if self.of.len() >= MOST_HOSTS && !self.of.contains_key(&number) {
            let oldest = self.of.iter().min_by_key(|(_, host)| host.seen);
            if let Some(oldest) = oldest.map(|(number, _)| *number) {
                self.of.remove(&oldest);
            }
        }
        let host = self.of.entry(number).or_default();
        host.seen = self.clock;
        host
    }
}

impl Host {
    fn note(&mut self, proxy: u32, verdict: &Verdict) {
        let class = verdict.ban.as_ref().map_or("", |ban| &*ban.class);
        if !matches!(
            class,
            "challenge_js" | "challenge_captcha" | "block_client" | "js_required"
        ) {
            self.others = (self.others + 1).min(MOST_EACH);
        } else if self.challenged.len() < MOST_EACH && !self.challenged.contains(&proxy) {
            self.challenged.push(proxy);
        }
    }

    fn repeats(&mut self, page: Page) -> bool {
        let at = self
            .pages
            .iter()
            .position(|through| through.proxy == page.proxy);
        let mut through = match at {
            Some(at) => self.pages.remove(at),
            None => Through {
                proxy: page.proxy,
                body: page.body,
                url: page.url,
                urls: 1,
            },
        };
        if at.is_some() && through.body != page.body {
            through.urls = 1;
        } else if through.url != page.url {
            through.urls = through.urls.saturating_add(1);
        }
        (through.body, through.url) = (page.body, page.url);
        let again = through.urls >= SAME_BODY;
        let shared = again && self.pages.iter().any(|other| other.body == page.body);
        let others = if again && !shared { self.bodies() } else { 0 };
        if self.pages.len() >= MOST_EACH {
            self.pages.remove(0);
        }
        self.pages.push(through);
        again && !shared && others >= OTHER_BODIES
    }

    /// Different bodies that others were given.
    fn bodies(&self) -> usize {
        let mut bodies: Vec<u64> = self.pages.iter().map(|through| through.body).collect();
        bodies.sort_unstable();
        bodies.dedup();
        bodies.len()
    }
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
    let same = earlier
        .iter()
        .filter(|attempt| attempt.rule.as_ref() == Some(&ban.rule));
    if same.count() + 1 >= AGREE {
        verdict.blame = Blame::Target;
    }
    verdict
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
mod tests {
    use super::*;

    fn ok() -> Verdict {
        Verdict::new(Outcome::Ok, Blame::Nobody)
    }

    fn page(proxy: u32, url: u64, body: u64) -> Page {
        Page {
            host: 1,
            proxy,
            body,
            url: JobId::of(&http::Method::GET, &url.to_string(), b""),
        }
    }

    #[test]
    fn one_body_for_all_urls_to_one_proxy_alone_is_a_block() {
        let mut hosts = Hosts::default();
        for n in 0..5 {
            assert_eq!(
                hosts.weigh(page(10 + n, 100 + u64::from(n), u64::from(n)), ok()),
                ok()
            );
        }
        assert_eq!(hosts.weigh(page(1, 1, 77), ok()), ok());
        assert_eq!(hosts.weigh(page(1, 2, 77), ok()), ok());
        assert_eq!(
            hosts.weigh(page(1, 2, 77), ok()),
            ok(),
            "the same URL again proves nothing"
        );
        let verdict = hosts.weigh(page(1, 3, 77), ok());
        assert_eq!(
            (verdict.outcome, verdict.blame),
            (Outcome::Banned, Blame::Pair)
        );
        assert_eq!(
            hosts.weigh(page(1, 4, 78), ok()),
            ok(),
            "it is served again"
        );
    }

    #[test]
    fn a_site_whose_pages_are_all_alike_is_left_alone() {
        let mut hosts = Hosts::default();
        for n in 0..400 {
            let shell = hosts.weigh(page(n % 20, u64::from(n), 5), ok());
            assert_eq!(shell, ok(), "one shell for every URL");
        }
        let mut hosts = Hosts::default();
        for n in 0..400u32 {
            // A page of its own for every other URL, the rest is not there.
            let body = if n % 2 == 0 { 5 } else { 1000 + u64::from(n) };
            assert_eq!(
                hosts.weigh(page(n / 2 % 20, u64::from(n), body), ok()),
                ok()
            );
        }
    }

    #[test]
    fn a_host_that_challenges_everybody_is_given_up_and_one_that_serves_somebody_is_not() {
        let challenged = || Verdict {
            ban: Some(ban("x.y", "challenge_js", "")),
            ..Verdict::new(Outcome::Banned, Blame::Pair)
        };
        let mut hosts = Hosts::default();
        for proxy in 0..9 {
            for _ in 0..5 {
                hosts.weigh(page(proxy, 1, 1), challenged());
            }
        }
        assert_eq!(hosts.gives_up(1), None, "nine exits");
        hosts.weigh(page(9, 1, 1), challenged());
        let verdict = hosts.gives_up(1).expect("ten exits");
        assert_eq!(
            (verdict.outcome, verdict.blame),
            (Outcome::Banned, Blame::Target)
        );
        assert_eq!(hosts.gives_up(2), None);
        hosts.weigh(page(11, 2, 2), ok());
        assert_eq!(hosts.gives_up(1), None, "somebody was served");
    }

    #[test]
    fn memory_is_bounded() {
        let mut hosts = Hosts::default();
        for n in 0..20_000u32 {
            hosts.weigh(
                Page {
                    host: n,
                    ..page(n, n.into(), n.into())
                },
                ok(),
            );
            hosts.weigh(page(n, n.into(), n.into()), ok());
        }
        assert_eq!(hosts.of.len(), MOST_HOSTS);
        assert!(hosts.of[&1].pages.len() <= MOST_EACH);
    }
}
