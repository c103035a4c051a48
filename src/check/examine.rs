//! All there is to find out about one proxy, cheapest first: a dead one costs one connect.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::timeout;
use url::Url;

use super::anonymity;
use super::crowd::{Place, SILENCE};
use super::findings::{Findings, Local, answers};
use super::headers::{Changed, Rewrites};
use super::judges::Family;
use super::look::{Canary, Context, Look, Way};
use super::report::Report;
use super::verdict::{Trouble, Verdict};
use crate::egress::Egress;
use crate::outcome::Phase;
use crate::proxy::{Proxy, Scheme};

/// The one port to which every proxy that opens tunnels does.
const HTTPS: u16 = 443;
/// Schemes that are tried by `--detect`, in this order.
const DETECTED: [Scheme; 4] = [Scheme::Http, Scheme::Socks5, Scheme::Socks4a, Scheme::Https];

impl<E: Egress> Context<E> {
    /// Examines a proxy, and with `detect` what else its address speaks.
    pub(super) async fn examine(
        &self,
        seq: u64,
        proxy: Arc<Proxy>,
        place: &Place<'_>,
    ) -> Result<Report, Local> {
        let mut report = self.examine_as(seq, proxy.clone(), place).await?;
        if !self.settings.detect || self.judges.is_empty() || is_unreachable(&report) {
            return Ok(report);
        }
        for scheme in DETECTED.map(|scheme| self.judges.provable(scheme)) {
            if scheme == proxy.scheme() || same_protocol(scheme, proxy.scheme()) {
                continue;
            }
            let other = Proxy::new(
                scheme,
                proxy.host(),
                proxy.port(),
                proxy.credentials().cloned(),
            )
            .with_labels(proxy.labels().clone());
            if report.verdict.works() {
                let way = match self.judges.of_kind(false).next() {
                    Some(_) => Way::Plain,
                    None => Way::Tls,
                };
                if let Look::Passed { .. } = self.look(Family::Main, &other, way, 0).await {
                    report.protocols.push(scheme);
                }
            } else {
                let found = self.examine_as(seq, Arc::new(other), place).await?;
                // To refuse in a protocol is to speak it, which is more than nothing.
                let refuses = report.verdict == Verdict::Dead && answers(found.verdict);
                if found.verdict.works() || refuses {
                    report = found;
                    report.listed = proxy.clone();
                }
            }
        }
        Ok(report)
    }

    async fn examine_as(
        &self,
        seq: u64,
        proxy: Arc<Proxy>,
        place: &Place<'_>,
    ) -> Result<Report, Local> {
        let mut found = Findings::new(seq, proxy);
        if self.judges.is_empty() {
            self.by_targets(&mut found, |_| true).await?;
        } else {
            self.by_judges(&mut found, place).await?;
        }
        Ok(found.close())
    }

    async fn by_judges(&self, found: &mut Findings, place: &Place<'_>) -> Result<(), Local> {
        let turn = usize::try_from(found.report.seq).unwrap_or(0);
        let mut family = Family::Main;
        let mut working = self.ways(found, family, place).await?;
        if working.is_empty() && found.may_lack_a_family() && self.judges.has_other() {
            family = Family::Other;
            let unknown = found.unknown;
            working = self.ways(found, family, place).await?;
            // What the main judges have said of it stays, whatever has become of these.
            found.unknown = unknown;
        }
        if working.is_empty() {
            return self.by_https_targets(found).await;
        }
        if let Some((number, way)) = found.plain_judge {
            let canary = self.canary(&found.report.proxy, number, way).await;
            if way == Way::Plain {
                self.headers(found, number, canary.as_ref());
            }
            found.report.tampering = canary
                .and_then(|canary| canary.tampering)
                .or_else(|| found.report.rewrites.as_ref()?.answer.as_ref()?.tampering());
        }
        if let Some((number, Way::Plain)) = found.plain_judge {
            found.report.dns = self.dns(&found.report.proxy).await;
            if found.report.tunnels.is_none() {
                found.report.tunnels = self.opens_tunnel(&found.report.proxy, number).await;
            }
        }
        let done = usize::try_from(found.report.ok()).unwrap_or(usize::MAX);
        let samples = self.settings.samples as usize;
        for extra in done..samples.max(done) {
            let way = working[extra % working.len()];
            let proxy = &found.report.proxy;
            let look = self.look(family, proxy, way, turn + extra).await;
            found.take(way, look)?;
        }
        match family {
            Family::Main => self.other_family(found, &working, turn).await,
            Family::Other => found.report.ipv4 = Some(false),
        }
        found.compare_exits(&self.judges.own());
        self.by_targets(found, |_| false).await
    }

    /// The first looks at judges of this family: in which ways the proxy brought the answer.
    async fn ways(
        &self,
        found: &mut Findings,
        family: Family,
        place: &Place<'_>,
    ) -> Result<Vec<Way>, Local> {
        let [plain, tls] = self.first(found, family, place).await;
        let mut working = Vec::new();
        let mut lost = 0;
        for (way, looks) in [(Way::Plain, plain), (Way::Tls, tls)] {
            let Some(looks) = looks else { continue };
            let failed = found.report.failed;
            let Some(may) = found.take_all(way, looks)? else {
                found.unknown = true;
                continue;
            };
            match way.is_https() {
                true => found.report.tunnels = Some(may),
                false => found.report.forwards = Some(may),
            }
            if may {
                working.push(way);
                lost += found.report.failed - failed;
            }
        }
        let no_tls = self.judges.of(family, true).next().is_none();
        let refused = found.troubles.last().filter(|_| working.is_empty());
        if no_tls
            && found.report.proxy.scheme().is_http()
            && refused.is_some_and(|trouble| trouble.says_no() || trouble.hangs_up())
            && self.in_tunnel(found, family).await?
        {
            working.push(Way::Tunnel);
        }
        if !working.is_empty() {
            // What one way does not offer is no loss of the other.
            found.report.failed = lost;
        }
        Ok(working)
    }

    /// Whether one that refused a plain request brings the same answer in a tunnel.
    async fn in_tunnel(&self, found: &mut Findings, family: Family) -> Result<bool, Local> {
        let turn = usize::try_from(found.report.seq).unwrap_or(0);
        let proxy = &found.report.proxy;
        let looks = self.first_look(family, proxy, Way::Tunnel, turn).await;
        let is_lost = failure(&looks).is_some_and(Trouble::is_lost_in_tunnel);
        match found.take_all(Way::Tunnel, looks)? {
            Some(true) => {
                found.report.tunnels = Some(true);
                return Ok(true);
            }
            Some(false) if is_lost && found.troubles.iter().any(Trouble::is_odd_answer) => {
                found.report.tunnels = Some(true);
                found.forwards_nothing();
            }
            Some(false) if self.are_at_https(family) => found.report.tunnels = Some(false),
            Some(false) => {}
            None => found.unknown = true,
        }
        Ok(false)
    }

    /// Some plain judge is at the port to which tunnels are opened everywhere. To refuse one to another says nothing.
    fn are_at_https(&self, family: Family) -> bool {
        let mut hosts = self
            .judges
            .of(family, false)
            .filter_map(|number| self.judges.get(number).host());
        hosts.any(|host| host.port == HTTPS)
    }

    /// Whether the exit of one that works has the other family, too. That it has not is no loss.
    async fn other_family(&self, found: &mut Findings, working: &[Way], turn: usize) {
        for way in working {
            let numbers: Vec<_> = self.judges.of(Family::Other, way.is_https()).collect();
            let Some(number) = numbers.get(turn % numbers.len().max(1)) else {
                continue;
            };
            // A machine without the family has no such judge on the direct path, and nobody could say whose fault a failure is.
            if !self.judges.get(*number).seems_up() {
                continue;
            }
            match self.ask(&found.report.proxy, *number, *way).await {
                Look::Passed { echo, .. } => {
                    found.exit(echo.client);
                    return;
                }
                Look::Failed(trouble) if trouble.says_no_way() => found.report.ipv6 = Some(false),
                // Lost on the way, or somebody else's answer: as good as not asked.
                Look::Failed(_) | Look::NoJudge(_) => {}
            }
        }
    }

    /// What the proxy gives away in headers, and does to them. In a tunnel it can do neither.
    fn headers(&self, found: &mut Findings, number: usize, canary: Option<&Canary>) {
        let sent = self.judges.sent(number);
        if !found.report.proxy.scheme().is_http() || sent.is_empty() {
            return;
        }
        let (level, proof) = anonymity::level(&sent, &found.seen, &self.judges.own());
        found.report.anonymity = Some(level);
        found.report.headers = proof;
        let page = self.judges.page(number);
        found.report.rewrites = Some(Rewrites {
            request: Changed::between(&sent, &found.seen),
            answer: page
                .zip(canary)
                .map(|(page, canary)| Changed::between(&page, &canary.headers)),
        });
    }

    /// The first looks, of both kinds if there are judges of both. One that cannot be reached costs one connect; one that is
    /// silent is asked the other way meanwhile.
    async fn first(
        &self,
        found: &Findings,
        family: Family,
        place: &Place<'_>,
    ) -> [Option<Vec<Look>>; 2] {
        let proxy = &found.report.proxy;
        let turn = usize::try_from(found.report.seq).unwrap_or(0);
        let has = |https| self.judges.of(family, https).next().is_some();
        let both = has(false) && has(true);
        if !both {
            let way = match (has(false), has(true)) {
                (true, _) => Way::Plain,
                (_, true) => Way::Tls,
                _ => return [None, None],
            };
            let looks = self.first_look(family, proxy, way, turn).await;
            if matches!(looks.last(), Some(Look::Passed { .. })) {
                place.let_others_begin().await;
            }
            return match way.is_https() {
                true => [None, Some(looks)],
                false => [Some(looks), None],
            };
        }
        let mut plain = pin!(self.first_look(family, proxy, Way::Plain, turn));
        let mut tunnel = pin!(self.first_look(family, proxy, Way::Tls, turn));
        if let Ok(looks) = timeout(SILENCE, &mut plain).await {
            if is_unreached(&looks) {
                return [Some(looks), None];
            }
            place.let_others_begin().await;
            return [Some(looks), Some(tunnel.await)];
        }
        tokio::select! {
            looks = &mut plain => {
                let other = match is_unreached(&looks) {
                    true => None,
                    false => Some(tunnel.await),
                };
                [Some(looks), other]
            }
            looks = &mut tunnel => [Some(plain.await), Some(looks)],
        }
    }

    /// A look at what nothing is known of yet, and a second one when the first was lost.
    async fn first_look(&self, family: Family, proxy: &Proxy, way: Way, turn: usize) -> Vec<Look> {
        let ask = || self.look(family, proxy, way, turn);
        twice_if_lost(ask, |look| failure(std::slice::from_ref(look))).await
    }

    /// Whether it opens a tunnel to this plain judge. To refuse one says nothing: many proxies open them to port 443 alone.
    async fn opens_tunnel(&self, proxy: &Arc<Proxy>, number: usize) -> Option<bool> {
        let mut host = self.judges.get(number).host()?;
        host.https = true;
        let (port, timeout) = (host.port, self.settings.connect_timeout);
        let report = self.egress.probe(proxy.clone(), Some(host), timeout).await;
        match report.result {
            Ok(()) => Some(true),
            Err(_) if port != HTTPS => None,
            Err(_) => Some(false),
        }
    }

    /// One that brings none of the judges' answers may still open tunnels, to port 443 alone: what the user's https pages tell, which
    /// nobody on the way can make.
    async fn by_https_targets(&self, found: &mut Findings) -> Result<(), Local> {
        let is_https = |url: &Url| url.scheme() == "https";
        let may = found.troubles.iter().any(Trouble::says_no);
        if !may || found.report.tunnels == Some(false) || !self.settings.urls.iter().any(is_https) {
            return Ok(());
        }
        let (failed, troubles) = (found.report.failed, found.troubles.len());
        self.by_targets(found, is_https).await?;
        if found.report.times.is_empty() {
            // What refuses these as well is what the judges have shown it to be, unless it has shown worse.
            let told = found.troubles.split_off(troubles);
            let is_worse =
                |trouble: &Trouble| matches!(trouble.verdict, Verdict::Hostile | Verdict::Auth);
            found.troubles.extend(told.into_iter().filter(is_worse));
        } else {
            found.report.failed -= failed;
            found.report.tunnels = Some(true);
        }
        Ok(())
    }

    /// Asks for the user's own URLs, each once. Where no judge tells, those that count are what a proxy is judged by, in samples.
    async fn by_targets(
        &self,
        found: &mut Findings,
        counts: impl Fn(&Url) -> bool,
    ) -> Result<(), Local> {
        let urls = &self.settings.urls;
        let samples = self.settings.samples as usize;
        let again = urls.iter().filter(|url| counts(url)).cycle();
        let more = samples.saturating_sub(urls.len());
        let proxy = found.report.proxy.clone();
        for (turn, url) in urls.iter().chain(again.take(more)).enumerate() {
            let ask = || self.target(&proxy, url);
            let results = match turn < urls.len() {
                true => {
                    let seen = twice_if_lost(ask, |(_, result)| result.as_ref().err()).await;
                    let (mut targets, results): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
                    found.report.targets.extend(targets.pop());
                    results
                }
                false => vec![ask().await.1],
            };
            if !counts(url) {
                continue;
            }
            for result in results {
                match result {
                    Ok(times) => found.report.times.push(times),
                    Err(trouble) if trouble.reason == "local" => return Err(Local(trouble)),
                    Err(trouble) => {
                        found.report.failed += 1;
                        found.troubles.push(trouble);
                    }
                }
            }
            let nothing_yet = found.report.times.is_empty();
            let unreached = found.troubles.last().is_some_and(Trouble::is_unreached);
            if nothing_yet && (unreached || turn + 1 >= urls.len()) {
                break;
            }
        }
        Ok(())
    }
}

/// Asks, and a second time when a proxy that was reached broke off the first, as one that works does now and then. Two in a row are the
/// word on it. None gets a second try that nobody listens for, or that was silent: a list of such would take twice as long.
async fn twice_if_lost<T, F: Future<Output = T>>(
    ask: impl Fn() -> F,
    failure: impl Fn(&T) -> Option<&Trouble>,
) -> Vec<T> {
    let first = ask().await;
    let second = match failure(&first) {
        Some(trouble) if trouble.is_loss() && trouble.reason != "timeout" => Some(ask().await),
        _ => None,
    };
    [first].into_iter().chain(second).collect()
}

/// Why the last of these looks failed, if it did.
fn failure(looks: &[Look]) -> Option<&Trouble> {
    match looks.last() {
        Some(Look::Failed(trouble)) => Some(trouble),
        _ => None,
    }
}

fn is_unreached(looks: &[Look]) -> bool {
    failure(looks).is_some_and(Trouble::is_unreached)
}

/// Spellings of one protocol: names are always resolved at the exit.
fn same_protocol(a: Scheme, b: Scheme) -> bool {
    let socks = |scheme| match scheme {
        Scheme::Socks5 | Scheme::Socks5h => 5,
        Scheme::Socks4 | Scheme::Socks4a => 4,
        _ => 0,
    };
    socks(a) != 0 && socks(a) == socks(b)
}

/// Nobody listens there: no other protocol does either.
fn is_unreachable(report: &Report) -> bool {
    report.verdict == Verdict::Unknown
        || report.trouble.as_ref().is_some_and(|trouble| {
            report.verdict == Verdict::Dead
                && matches!(trouble.phase, Some(Phase::Dns | Phase::Connect))
        })
}
