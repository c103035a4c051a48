//! The paths that a request can take through the program, each gone with a few requests to the judges.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use url::Url;

use super::broken::{Broken, Manner};
use super::finding::{Finding, Read, Reply, What, examine};
use super::judge::Judge;
use super::place::{Path, Place, Target, Via};
use super::run::{Ask, Back, run};
use super::table::{Applies, Row};
use crate::check::{Nonces, Report};
use crate::client::Settings;
use crate::egress::Lookups;
use crate::error::Error;
use crate::job::RequestSpec;
use crate::proxy::{Proxy, Scheme};

/// Proxies of each transport that the program's own paths are gone through with. What they have in common is the program; what is
/// peculiar to one was looked for when each was checked by itself.
const MEMBERS: usize = 8;
/// Times that a path is gone again until a request has met a broken proxy first.
const ROUNDS: usize = 3;

/// A proxy that works, and for what.
pub(super) struct Member {
    proxy: Arc<Proxy>,
    forwards: bool,
    tunnels: bool,
}

impl Member {
    /// The first few of each transport that have answered.
    pub(super) fn choose(reports: &[Report]) -> Vec<Member> {
        let mut counts: BTreeMap<Via, usize> = BTreeMap::new();
        let working = reports.iter().filter(|report| report.ok() > 0);
        working
            .filter(|report| {
                let count = counts.entry(Via::of(report.proxy.scheme())).or_default();
                *count += 1;
                *count <= MEMBERS
            })
            .map(|report| Member {
                proxy: report.proxy.clone(),
                forwards: report.forwards == Some(true),
                tunnels: report.tunnels == Some(true),
            })
            .collect()
    }

    fn via(&self) -> Via {
        Via::of(self.proxy.scheme())
    }

    fn can(&self, target: Target) -> bool {
        match target {
            Target::Http => self.forwards,
            Target::Https => self.tunnels,
            Target::Upgrade | Target::Any => self.forwards && self.tunnels,
        }
    }
}

/// A test in progress.
pub(super) struct Paths<'a> {
    pub(super) judges: &'a [Judge],
    pub(super) own: BTreeSet<IpAddr>,
    pub(super) members: Vec<Member>,
    pub(super) settings: Settings,
    pub(super) request: Arc<RequestSpec>,
    pub(super) nonces: &'a Nonces,
    /// Requests of a kind through each proxy.
    pub(super) samples: usize,
    pub(super) rows: Vec<Row>,
    pub(super) findings: Vec<Finding>,
    /// Requests for which no proxy was found.
    pub(super) unserved: usize,
}

impl Paths<'_> {
    /// Goes all paths.
    ///
    /// # Errors
    /// This machine has no ports left, or a file of certificates cannot be read any more.
    pub(super) async fn go(&mut self) -> Result<(), Error> {
        self.through_all(Path::Request).await?;
        self.through_all(Path::Redirect).await?;
        self.retry().await?;
        self.no_proxy().await?;
        self.rows.push(Row {
            place: Place {
                path: Path::Hedge,
                target: Target::Any,
                via: Via::Any,
            },
            asked: 0,
            answered: 0,
            applies: Applies::default(),
        });
        self.rows.sort_by_key(|row| row.place);
        Ok(())
    }

    /// Which judge is asked for a target, and which answers in the end.
    fn pairs(&self, target: Target) -> Vec<(usize, usize)> {
        let of_kind = |https| {
            (0..self.judges.len()).filter(move |number| self.judges[*number].is_https() == https)
        };
        match target {
            Target::Http => of_kind(false).map(|number| (number, number)).collect(),
            Target::Https => of_kind(true).map(|number| (number, number)).collect(),
            Target::Upgrade => {
                let host = |number: usize| self.judges[number].base.host();
                let partner = |number| of_kind(true).find(|other| host(*other) == host(number));
                of_kind(false)
                    .filter_map(|number| Some((number, partner(number)?)))
                    .collect()
            }
            Target::Any => Vec::new(),
        }
    }

    fn ask(&self, path: Path, target: Target, turn: usize, apart: bool) -> Option<Ask> {
        let pairs = self.pairs(target);
        let (first, last) = *pairs.get(turn % pairs.len().max(1))?;
        let nonce = self.nonces.next();
        let url = match path {
            Path::Redirect => self.judges[first].redirect(&self.judges[last], &nonce),
            _ => self.judges[last].page(&nonce),
        };
        Some(Ask {
            url,
            nonce,
            judge: last,
            target,
            apart,
        })
    }

    /// `samples` requests for each of these members, one target after the other: were they to take turns, the members would take theirs
    /// in step with them.
    fn asks(
        &self,
        path: Path,
        members: &[&Member],
        targets: &BTreeSet<Target>,
        apart: bool,
    ) -> Vec<Ask> {
        let mut asks = Vec::new();
        for target in targets {
            let able = members.iter().filter(|member| member.can(*target)).count();
            let turns = 0..self.samples * able;
            asks.extend(turns.filter_map(|turn| self.ask(path, *target, turn, apart)));
        }
        asks
    }

    /// The settings of one run, and where it notes the names it looks up.
    fn settings(&self, exits: usize) -> (Settings, Lookups) {
        let lookups = Lookups::default();
        let mut settings = self.settings.clone();
        // No more at a time than there are exits: so cookies of earlier requests are there for later ones to send.
        let most = u32::try_from(exits).unwrap_or(u32::MAX);
        let most = NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN);
        settings.limits.concurrency = settings.limits.concurrency.min(most);
        settings.egress.lookups = Some(lookups.clone());
        (settings, lookups)
    }

    /// Requests through all members at once.
    async fn through_all(&mut self, path: Path) -> Result<(), Error> {
        let targets: &[Target] = match path {
            Path::Redirect => &[Target::Http, Target::Https, Target::Upgrade],
            _ => &[Target::Http, Target::Https],
        };
        self.gone(path, targets, |_| true, Vec::new()).await
    }

    /// Requests whose first proxy fails, for each transport by itself, so that each has some.
    async fn retry(&mut self) -> Result<(), Error> {
        let vias: BTreeSet<_> = self.members.iter().map(Member::via).collect();
        for via in vias {
            let broken = Broken::start(Manner::HangsUp).await?;
            let of_it = |member: &Member| member.via() == via;
            let count = self.members.iter().filter(|member| of_it(member)).count();
            // Twice as many as there are others, so that many a request meets one first.
            let broken_ones = broken.proxies(Scheme::Http, 2 * count).collect();
            let targets = [Target::Http, Target::Https];
            self.gone(Path::Retry, &targets, of_it, broken_ones).await?;
        }
        Ok(())
    }

    /// Goes a path to these targets through those members that `takes` takes, with `others` beside them in the pool. Again where a
    /// transport has had no turn: the pool chooses, and it has no reason to be fair.
    async fn gone(
        &mut self,
        path: Path,
        targets: &[Target],
        takes: impl Fn(&Member) -> bool,
        others: Vec<Arc<Proxy>>,
    ) -> Result<(), Error> {
        let members: Vec<_> = self.members.iter().filter(|member| takes(member)).collect();
        let exits = members.len();
        let mut pool: Vec<_> = members.iter().map(|member| member.proxy.clone()).collect();
        pool.extend(others);
        let mut wanted = BTreeSet::new();
        for target in targets {
            if !self.pairs(*target).is_empty() {
                let able = members.iter().filter(|member| member.can(*target));
                wanted.extend(able.map(|member| (*target, member.via())));
            }
        }
        let (settings, lookups) = self.settings(exits);
        let (mut missing, mut backs) = (wanted.clone(), Vec::new());
        for _ in 0..ROUNDS {
            let targets: BTreeSet<_> = missing.iter().map(|(target, _)| *target).collect();
            let mut asks = self.asks(path, &members, &targets, false);
            if path == Path::Request {
                // On connections of their own: TLS sessions could be resumed, if they were kept.
                asks.extend(self.asks(path, &members, &targets, true));
            }
            let (settings, request) = (settings.clone(), &self.request);
            let round = run(pool.clone(), settings, request, self.judges, asks).await?;
            for back in round.iter().filter(|back| counts(path, back.attempts)) {
                if let (Read::Echo(_), Some(proxy)) = (&back.read, &back.proxy) {
                    missing.remove(&(back.ask.target, Via::of(proxy.scheme())));
                }
            }
            backs.extend(round);
            if missing.is_empty() {
                break;
            }
        }
        self.take(path, exits, &wanted, backs);
        self.mark_names(&lookups, &pool, path);
        Ok(())
    }

    /// Requests without a usable proxy: to the judges, and to a listener of our own that would know.
    async fn no_proxy(&mut self) -> Result<(), Error> {
        let place = Place {
            path: Path::NoProxy,
            target: Target::Any,
            via: Via::Any,
        };
        let unwilling = Broken::start(Manner::Refuses).await?;
        let witness = Broken::start(Manner::HangsUp).await?;
        let of = |scheme| unwilling.proxies(scheme, self.samples);
        let pool: Vec<_> = of(Scheme::Http).chain(of(Scheme::Socks5h)).collect();
        let mut asks = Vec::new();
        for turn in 0..self.samples {
            for path in [Path::Request, Path::Redirect] {
                for target in [Target::Http, Target::Https, Target::Upgrade] {
                    asks.extend(self.ask(path, target, turn, false));
                }
            }
            for (scheme, target) in [("http", Target::Http), ("https", Target::Https)] {
                let nonce = self.nonces.next();
                let url = format!("{scheme}://{}/{nonce}", witness.address);
                // An address and a port make a URL.
                if let Ok(url) = Url::parse(&url) {
                    asks.push(Ask {
                        url,
                        nonce,
                        judge: usize::MAX,
                        target,
                        apart: false,
                    });
                }
            }
        }
        let (settings, lookups) = self.settings(pool.len());
        let backs = run(pool.clone(), settings, &self.request, self.judges, asks).await?;
        let answered = backs
            .iter()
            .filter(|back| !matches!(back.read, Read::Nothing))
            .count();
        let mut reached = |detail: String| {
            self.findings.push(Finding {
                proxy: "no proxy".into(),
                what: What::Reached,
                detail,
                place,
            });
        };
        if answered > 0 {
            reached(format!("{answered} requests were answered"));
        }
        if witness.connections() > 0 {
            reached(format!("{} came by themselves", witness.connections()));
        }
        self.rows.push(Row {
            place,
            asked: backs.len(),
            answered,
            applies: Applies {
                names: self.judges.iter().any(|judge| judge.name().is_some()),
                ..Applies::default()
            },
        });
        self.mark_names(&lookups, &pool, Path::NoProxy);
        Ok(())
    }

    /// Makes rows and findings of what came back.
    fn take(
        &mut self,
        path: Path,
        exits: usize,
        wanted: &BTreeSet<(Target, Via)>,
        backs: Vec<Back>,
    ) {
        let mut seen: BTreeMap<(Target, Via), (usize, usize)> =
            wanted.iter().map(|place| (*place, (0, 0))).collect();
        let mut replies = Vec::new();
        for back in backs {
            let Some(proxy) = back.proxy else {
                self.unserved += 1;
                continue;
            };
            let (target, via) = (back.ask.target, Via::of(proxy.scheme()));
            if counts(path, back.attempts) {
                let (asked, answered) = seen.entry((target, via)).or_default();
                *asked += 1;
                *answered += usize::from(matches!(back.read, Read::Echo(_)));
            }
            let judge = self.judges.get(back.ask.judge);
            replies.push(Reply {
                place: Place { path, target, via },
                nonce: back.ask.nonce,
                proxy,
                tried: back.tried,
                sent: judge.map_or(&[], |judge| &judge.sent),
                read: back.read,
            });
        }
        let carried = examine(&replies, &self.own, &mut self.findings);
        for ((target, via), (asked, answered)) in seen {
            let mut names = self.pairs(target).into_iter();
            self.rows.push(Row {
                place: Place { path, target, via },
                asked,
                answered,
                applies: Applies {
                    names: names.any(|(_, last)| self.judges[last].name().is_some()),
                    headers: true,
                    tampered: true,
                    // Where no cookie came back, nothing was shown about them.
                    cookies: exits > 1 && carried > 0,
                    tls: exits > 1 && target.is_inside_tls(),
                },
            });
        }
    }

    /// Judges whose names were looked up here for a member of `pool`; not where that is the member's own name.
    fn mark_names(&mut self, lookups: &Lookups, pool: &[Arc<Proxy>], path: Path) {
        for judge in self.judges {
            let Some(name) = judge.name() else {
                continue;
            };
            for proxy in pool.iter().filter(|proxy| proxy.host() != name) {
                if !lookups.has(proxy.id(), name) {
                    continue;
                }
                let (target, via) = match path {
                    Path::NoProxy => (Target::Any, Via::Any),
                    _ if judge.is_https() => (Target::Https, Via::of(proxy.scheme())),
                    _ => (Target::Http, Via::of(proxy.scheme())),
                };
                let place = Place { path, target, via };
                let detail = format!("{name} was looked up on this machine");
                self.findings
                    .push(Finding::new(What::Name, place, proxy, &detail));
            }
        }
    }
}

/// Those that met no broken proxy went the path of a plain request.
fn counts(path: Path, attempts: u32) -> bool {
    path != Path::Retry || attempts > 1
}
