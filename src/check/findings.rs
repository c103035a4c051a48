//! What is found out about one proxy, look by look, and the verdict that it comes to.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::anonymity::Anonymity;
use super::look::{Look, Way};
use super::measure::score;
use super::report::Report;
use super::verdict::{Trouble, Verdict};
use crate::outcome::{Phase, UnixMillis};
use crate::proxy::Proxy;

/// A larger part of lost samples makes a proxy unstable.
const LOSS_MAX: f64 = 0.25;

/// This machine failed: nothing was found out.
pub(super) struct Local(pub(super) Trouble);

/// What is being put together.
pub(super) struct Findings {
    pub(super) report: Report,
    pub(super) troubles: Vec<Trouble>,
    /// Some question could not be asked.
    pub(super) unknown: bool,
    /// The plain judge that was reached first, in which way, and the headers it saw.
    pub(super) plain_judge: Option<(usize, Way)>,
    pub(super) seen: Vec<(String, String)>,
}

impl Findings {
    pub(super) fn new(seq: u64, proxy: Arc<Proxy>) -> Self {
        Findings {
            report: Report::empty(seq, proxy),
            troubles: Vec::new(),
            unknown: false,
            plain_judge: None,
            seen: Vec::new(),
        }
    }

    /// Takes in one look; `None` when nobody can say.
    pub(super) fn take(&mut self, way: Way, look: Look) -> Result<Option<bool>, Local> {
        match look {
            Look::Passed { echo, times, judge } => {
                self.report.times.push(times);
                self.exit(echo.client);
                if !way.is_https() && self.plain_judge.is_none() {
                    self.plain_judge = Some((judge, way));
                    self.seen = echo.headers;
                }
                Ok(Some(true))
            }
            Look::Failed(trouble) if trouble.reason == "local" => Err(Local(trouble)),
            Look::Failed(trouble) if trouble.verdict != Verdict::Unknown => {
                self.report.failed += 1;
                self.troubles.push(trouble);
                Ok(Some(false))
            }
            Look::Failed(trouble) | Look::NoJudge(trouble) => {
                self.troubles.push(trouble);
                Ok(None)
            }
        }
    }

    /// Takes in looks one after the other; what the last of them says.
    pub(super) fn take_all(&mut self, way: Way, looks: Vec<Look>) -> Result<Option<bool>, Local> {
        let mut told = None;
        for look in looks {
            told = self.take(way, look)?;
        }
        Ok(told)
    }

    /// It came out here.
    pub(super) fn exit(&mut self, ip: IpAddr) {
        let exit = ip.to_canonical();
        match exit {
            IpAddr::V4(_) => self.report.ipv4 = Some(true),
            IpAddr::V6(_) => self.report.ipv6 = Some(true),
        }
        if !self.report.exits.contains(&exit) {
            self.report.exits.push(exit);
        }
    }

    /// One that comes out at an address of our own hides nobody, whatever it does to headers.
    pub(super) fn compare_exits(&mut self, own: &BTreeSet<IpAddr>) {
        if let Some(ip) = self.report.exits.iter().find(|ip| own.contains(ip)) {
            self.troubles.push(Trouble::new(
                Verdict::Alive,
                "own_address",
                None,
                format!("the judge saw our own address, {ip}"),
            ));
            self.report.anonymity = Some(Anonymity::Transparent);
        }
    }

    /// Nothing else came of it than that it has no way there, which is what one says whose exit lacks the family of the judge.
    pub(super) fn may_lack_a_family(&self) -> bool {
        // That it does not offer the other way says nothing of where it gets.
        let is_open = |trouble: &Trouble| {
            trouble.says_no_way() || matches!(trouble.reason, "no_tunnel" | "no_forward")
        };
        self.troubles.iter().any(Trouble::says_no_way) && self.troubles.iter().all(is_open)
    }

    /// Its odd answer was that of a proxy for tunnels.
    pub(super) fn forwards_nothing(&mut self) {
        self.troubles.retain(|trouble| !trouble.is_odd_answer());
        self.troubles.push(Trouble::new(
            Verdict::Policy,
            "no_forward",
            Some(Phase::Headers),
            "forwards no plain requests",
        ));
    }

    pub(super) fn close(mut self) -> Report {
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
        if ok == 0 && self.troubles.iter().any(Trouble::is_odd_answer) {
            // Who answers no request as a proxy does is none, and this is how such a one says it of tunnels.
            self.troubles
                .retain(|trouble| trouble.reason != "no_tunnel");
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
            // That some question could not be asked is none of its doing.
            match loss > LOSS_MAX {
                true => (Unstable, worst(&[Dead, Auth, Policy])),
                false => (Alive, worst(&[Alive, Dead, Auth, Policy])),
            }
        } else if self.unknown && !self.troubles.iter().any(Trouble::is_final) {
            (Unknown, worst(&[Unknown]))
        } else {
            match worst(&[Auth, Policy, Dead, Unknown]) {
                Some(trouble) => (trouble.verdict, Some(trouble)),
                None => (Unknown, None),
            }
        };
        if report.verdict == Auth {
            // Behind a closed door nobody knows what there is.
            (report.forwards, report.tunnels) = (None, None);
        }
        if report.verdict.works() || report.verdict == Hostile || answers(report.verdict) {
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

/// It refuses, in its own protocol.
pub(super) fn answers(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Auth | Verdict::Policy)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::report::Times;
    use crate::exchange::Phases;
    use crate::proxy::Scheme;

    /// The report of a proxy whose plain request failed so, if it did, while the https judge was down.
    fn beside_a_judge_that_is_down(plain: Option<Trouble>) -> Report {
        let proxy = Proxy::new(Scheme::Http, "192.0.2.1", 8080, None);
        let mut found = Findings::new(0, Arc::new(proxy));
        match plain {
            Some(trouble) => assert!(found.take(Way::Plain, Look::Failed(trouble)).is_ok()),
            None => found.report.times.push(Times {
                phases: Phases::default(),
                total: Duration::ZERO,
            }),
        }
        let down = Trouble::new(Verdict::Unknown, "judge_down", None, "no judge answers");
        assert!(found.take(Way::Tls, Look::NoJudge(down)).is_ok());
        found.unknown = true;
        found.close()
    }

    #[test]
    fn who_comes_out_at_our_own_address_hides_nobody() {
        let own = BTreeSet::from([IpAddr::from([192, 0, 2, 7])]);
        for (last, level) in [(7, Some(Anonymity::Transparent)), (8, None)] {
            let proxy = Proxy::new(Scheme::Socks5, "192.0.2.1", 1080, None);
            let mut found = Findings::new(0, Arc::new(proxy));
            found.exit(IpAddr::from([192, 0, 2, last]));
            found.compare_exits(&own);
            assert_eq!(found.report.anonymity, level);
        }
    }

    #[test]
    fn what_proves_itself_is_not_hidden_by_a_judge_that_is_down() {
        let failed = |verdict, reason| {
            let trouble = Trouble::new(verdict, reason, Some(Phase::Headers), reason);
            let report = beside_a_judge_that_is_down(Some(trouble));
            (report.verdict, report.reason())
        };
        let auth = failed(Verdict::Auth, "auth");
        assert_eq!(auth, (Verdict::Auth, "auth"));
        let other = failed(Verdict::Dead, "not_a_proxy");
        assert_eq!(other, (Verdict::Dead, "not_a_proxy"));
        // These may well bring the other judge's answer.
        for (verdict, reason) in [(Verdict::Dead, "timeout"), (Verdict::Policy, "no_forward")] {
            assert_eq!(failed(verdict, reason), (Verdict::Unknown, "judge_down"));
        }
        let alive = beside_a_judge_that_is_down(None);
        assert_eq!((alive.verdict, alive.trouble), (Verdict::Alive, None));
    }
}
