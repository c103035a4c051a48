//! All there is to find out about one proxy, cheapest first: a dead one costs one connect.

use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::timeout;

use super::anonymity;
use super::crowd::{Place, SILENCE};
use super::headers::{Changed, Rewrites};
use super::look::{Canary, Context, Look};
use super::measure::score;
use super::report::Report;
use super::verdict::{Trouble, Verdict};
use crate::egress::Egress;
use crate::outcome::{Phase, UnixMillis};
use crate::proxy::{Proxy, Scheme};

/// A larger part of lost samples makes a proxy unstable.
const LOSS_MAX: f64 = 0.25;

/// Schemes that are tried by `--detect`, in this order.
const DETECTED: [Scheme; 4] = [Scheme::Http, Scheme::Socks5, Scheme::Socks4a, Scheme::Https];

/// This machine failed: nothing was found out.
pub(super) struct Local(pub(super) Trouble);

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
            if works(report.verdict) {
                let https = self.judges.of_kind(false).next().is_none();
                if let Look::Passed { .. } = self.look(&other, https, 0).await {
                    report.protocols.push(scheme);
                }
            } else {
                let found = self.examine_as(seq, Arc::new(other), place).await?;
                // To refuse in a protocol is to speak it, which is more than nothing.
                let refuses = report.verdict == Verdict::Dead && answers(found.verdict);
                if works(found.verdict) || refuses {
                    report = found;
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
            self.by_targets(&mut found).await?;
        } else {
            self.by_judges(&mut found, place).await?;
        }
        Ok(found.close())
    }

    async fn by_judges(&self, found: &mut Findings, place: &Place<'_>) -> Result<(), Local> {
        let turn = usize::try_from(found.report.seq).unwrap_or(0);
        let [plain, tunnel] = self.first(&found.report.proxy, turn, place).await;
        let mut working = Vec::new();
        for (https, look) in [(false, plain), (true, tunnel)] {
            let Some(look) = look else { continue };
            let may = match found.take(https, look)? {
                Some(passed) => passed,
                None => {
                    found.unknown = true;
                    continue;
                }
            };
            match https {
                true => found.report.tunnels = Some(may),
                false => found.report.forwards = Some(may),
            }
            if may {
                working.push(https);
            }
        }
        if working.is_empty() {
            return Ok(());
        }
        // What one way does not offer is no loss of the other.
        found.report.failed = 0;
        if let Some(number) = found.plain_judge {
            let canary = self.canary(&found.report.proxy, number).await;
            self.headers(found, number, canary.as_ref());
            found.report.tampering = canary
                .and_then(|canary| canary.tampering)
                .or_else(|| found.report.rewrites.as_ref()?.answer.as_ref()?.tampering());
        }
        if found.plain_judge.is_some() {
            found.report.dns = self.dns(&found.report.proxy).await;
        }
        if found.report.tunnels.is_none() {
            self.tunnels(found).await;
        }
        let done = usize::try_from(found.report.ok()).unwrap_or(usize::MAX);
        let samples = self.settings.samples as usize;
        for extra in done..samples.max(done) {
            let https = working[extra % working.len()];
            let look = self.look(&found.report.proxy, https, turn + extra).await;
            found.take(https, look)?;
        }
        for url in &self.settings.urls {
            let (target, _) = self.target(&found.report.proxy, url).await;
            found.report.targets.push(target);
        }
        Ok(())
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
    async fn first(&self, proxy: &Proxy, turn: usize, place: &Place<'_>) -> [Option<Look>; 2] {
        let has = |https| self.judges.of_kind(https).next().is_some();
        let both = has(false) && has(true);
        if !both {
            let https = has(true);
            let look = self.look(proxy, https, turn).await;
            if matches!(look, Look::Passed { .. }) {
                place.let_others_begin().await;
            }
            return match https {
                true => [None, Some(look)],
                false => [Some(look), None],
            };
        }
        let mut plain = pin!(self.look(proxy, false, turn));
        let mut tunnel = pin!(self.look(proxy, true, turn));
        if let Ok(look) = timeout(SILENCE, &mut plain).await {
            if is_unreached(&look) {
                return [Some(look), None];
            }
            place.let_others_begin().await;
            return [Some(look), Some(tunnel.await)];
        }
        tokio::select! {
            look = &mut plain => {
                let other = match is_unreached(&look) {
                    true => None,
                    false => Some(tunnel.await),
                };
                [Some(look), other]
            }
            look = &mut tunnel => [Some(plain.await), Some(look)],
        }
    }

    /// Whether it opens a tunnel to a plain judge, where there is no other.
    async fn tunnels(&self, found: &mut Findings) {
        let Some(number) = found.plain_judge else {
            return;
        };
        if let Some(mut host) = self.judges.get(number).host() {
            host.https = true;
            let timeout = self.settings.connect_timeout;
            let proxy = found.report.proxy.clone();
            let report = self.egress.probe(proxy, Some(host), timeout).await;
            found.report.tunnels = Some(report.result.is_ok());
        }
    }

    /// Without judges the user's own URLs are what is asked for.
    async fn by_targets(&self, found: &mut Findings) -> Result<(), Local> {
        let urls = &self.settings.urls;
        let samples = (self.settings.samples as usize).max(urls.len());
        for (turn, url) in urls.iter().cycle().take(samples).enumerate() {
            let (target, result) = self.target(&found.report.proxy, url).await;
            if turn < urls.len() {
                found.report.targets.push(target);
            }
            match result {
                Ok(times) => found.report.times.push(times),
                Err(trouble) if trouble.reason == "local" => return Err(Local(trouble)),
                Err(trouble) => {
                    found.report.failed += 1;
                    found.troubles.push(trouble);
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

/// What is being put together.
struct Findings {
    report: Report,
    troubles: Vec<Trouble>,
    /// Some question could not be asked.
    unknown: bool,
    /// The plain judge that was reached first, and the headers it saw.
    plain_judge: Option<usize>,
    seen: Vec<(String, String)>,
}

impl Findings {
    fn new(seq: u64, proxy: Arc<Proxy>) -> Self {
        Findings {
            report: Report::empty(seq, proxy),
            troubles: Vec::new(),
            unknown: false,
            plain_judge: None,
            seen: Vec::new(),
        }
    }

    /// Takes in one look; `None` when the judges are down.
    fn take(&mut self, https: bool, look: Look) -> Result<Option<bool>, Local> {
        match look {
            Look::Passed { echo, times, judge } => {
                self.report.times.push(times);
                let exit = echo.client.to_canonical();
                if !self.report.exits.contains(&exit) {
                    self.report.exits.push(exit);
                }
                if !https && self.plain_judge.is_none() {
                    self.plain_judge = Some(judge);
                    self.seen = echo.headers;
                }
                Ok(Some(true))
            }
            Look::Failed(trouble) if trouble.reason == "local" => Err(Local(trouble)),
            Look::Failed(trouble) => {
                self.report.failed += 1;
                self.troubles.push(trouble);
                Ok(Some(false))
            }
            Look::NoJudge(trouble) => {
                self.troubles.push(trouble);
                Ok(None)
            }
        }
    }

    fn close(mut self) -> Report {
        let report = &mut self.report;
        report.checked_at = UnixMillis::from(SystemTime::now());
        let (ok, failed) = (report.ok(), report.failed);
        if let Some(tampering) = &report.tampering {
            self.troubles.push(Trouble::new(
                Verdict::Hostile,
                "tampered",
                Some(Phase::Body),
                match tampering.kind {
                    "header" => format!("it changed the headers of a page: {}", tampering.evidence),
                    _ => format!("it put into the page: {}", tampering.evidence),
                },
            ));
        }
        // The worst that it did says what it is; what it merely does not offer is no fault of one that works.
        let worst = |of: &[Verdict]| {
            let found = |verdict: &Verdict| {
                self.troubles
                    .iter()
                    .find(|trouble| trouble.verdict == *verdict)
                    .cloned()
            };
            of.iter().find_map(found)
        };
        use Verdict::{Alive, Auth, Dead, Hostile, Policy, Unknown, Unstable};
        (report.verdict, report.trouble) = if let Some(trouble) = worst(&[Hostile]) {
            (Hostile, Some(trouble))
        } else if ok > 0 {
            let loss = f64::from(failed) / f64::from(ok + failed);
            match worst(&[Dead, Auth, Policy, Unknown]) {
                trouble if loss > LOSS_MAX => (Unstable, trouble),
                trouble => (Alive, trouble),
            }
        } else if self.unknown {
            (Unknown, worst(&[Unknown]))
        } else {
            match worst(&[Auth, Policy, Dead]) {
                Some(trouble) => (trouble.verdict, Some(trouble)),
                None => (Unknown, None),
            }
        };
        if report.verdict == Auth {
            // Behind a closed door nobody knows what there is.
            (report.forwards, report.tunnels) = (None, None);
        }
        if works(report.verdict) || report.verdict == Hostile || answers(report.verdict) {
            report.protocols.push(report.proxy.scheme());
        }
        let median = report.latency().map(|latency| latency.p50);
        report.score = match report.verdict {
            Unknown => None,
            Alive | Unstable => Some(score(ok, failed, median)),
            _ => Some(0),
        };
        self.report
    }
}

fn is_unreached(look: &Look) -> bool {
    matches!(look, Look::Failed(trouble) if trouble.is_unreached())
}

fn works(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Alive | Verdict::Unstable)
}

/// It refuses, in its own protocol.
fn answers(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Auth | Verdict::Policy)
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
