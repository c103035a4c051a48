//! One request to one judge, or to one of the user's URLs, through one proxy.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::time::Instant;
use url::Url;

use super::Settings;
use super::dns::Domain;
use super::headers;
use super::judges::{Family, Judges};
use super::nonce::Nonces;
use super::report::{Target, Times};
use super::tamper::{self, Tampering};
use super::verdict::{Trouble, Verdict, trouble};
use crate::ban::{self, Seen};
use crate::echo::{self, Echo, NoEcho};
use crate::egress::{Egress, Outgoing};
use crate::exchange::Exchange;
use crate::job::shown;
use crate::outcome::Outcome;
use crate::proxy::Proxy;

/// What all looks of a run share.
pub(super) struct Context<E> {
    pub(super) egress: E,
    pub(super) judges: Judges,
    /// Where names are made up; `None` when nobody wants to know, or it leads nowhere.
    pub(super) domain: Option<Domain>,
    pub(super) rules: ban::Judge,
    pub(super) nonces: Nonces,
    pub(super) settings: Settings,
}

/// How a judge's answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From a plain judge, as the proxy's protocol has it: HTTP proxies forward the request.
    Plain,
    /// From an https judge.
    Tls,
    /// From a plain judge, in a tunnel of an HTTP proxy.
    Tunnel,
}

impl Way {
    /// Of which kind the judges are.
    pub(super) fn is_https(self) -> bool {
        self == Way::Tls
    }
}

/// What a look has seen.
pub(super) enum Look {
    /// The judge's own answer.
    Passed {
        echo: Box<Echo>,
        times: Times,
        judge: usize,
    },
    /// The proxy's doing.
    Failed(Trouble),
    /// The judges do not answer, whoever asks.
    NoJudge(Trouble),
}

/// What has come of the canary page.
pub(super) struct Canary {
    /// Changes to the page itself.
    pub(super) tampering: Option<Tampering>,
    /// The headers it came with.
    pub(super) headers: Vec<(String, String)>,
}

/// So long an outage of the judges is waited out; after that the answer is that nobody can say.
const OUTAGE: Duration = Duration::from_secs(3);

impl<E: Egress> Context<E> {
    /// Asks a judge of this family through `proxy`. `turn` says which; others take its place while it is down.
    pub(super) async fn look(&self, family: Family, proxy: &Proxy, way: Way, turn: usize) -> Look {
        let numbers: Vec<usize> = self.judges.of(family, way.is_https()).collect();
        loop {
            let from = turn % numbers.len().max(1);
            let in_turn = numbers[from..].iter().chain(&numbers[..from]).copied();
            let mut why = Trouble::new(
                Verdict::Unknown,
                "judge_down",
                None,
                "no judge answers on the direct path",
            );
            for number in in_turn.filter(|number| self.judges.get(*number).seems_up()) {
                match self.ask(proxy, number, way).await {
                    Look::NoJudge(trouble) => why = trouble,
                    seen => return seen,
                }
            }
            let mut back = false;
            for number in &numbers {
                let up = self
                    .judges
                    .is_up(*number, Instant::now(), &self.egress, &self.nonces);
                back |= up.await.is_ok();
            }
            let outage = |number: &usize| self.judges.get(*number).outage();
            if !back && numbers.iter().filter_map(outage).max() >= Some(OUTAGE) {
                return Look::NoJudge(why);
            }
        }
    }

    pub(super) async fn ask(&self, proxy: &Proxy, number: usize, way: Way) -> Look {
        let judge = self.judges.get(number);
        let (began, nonce) = (Instant::now(), self.nonces.next());
        let url = judge.at("echo", &nonce);
        let headers = self.judges.headers();
        let exchange = self.send(proxy, way, &url, headers, began, &nonce).await;
        let ended = Instant::now();
        let read = || {
            let answer = exchange.result.as_ref().ok();
            answer.map(|response| Echo::read(&response.body.bytes, judge.key().as_ref()))
        };
        let mut echo = read();
        // A judge that was started anew signs with another key: the direct path tells.
        if let Some(Err(NoEcho::WrongKey)) = echo {
            let asked = self
                .judges
                .is_up(number, Instant::now(), &self.egress, &self.nonces);
            if asked.await.is_ok() {
                echo = read();
            }
        }
        let no_echo = match echo {
            Some(Ok(echo)) if echo.nonce.as_deref() == Some(&*nonce) => {
                judge.has_answered(began);
                let times = Times {
                    phases: exchange.phases,
                    total: ended - began,
                };
                return Look::Passed {
                    echo: Box::new(echo),
                    times,
                    judge: number,
                };
            }
            Some(Ok(_)) => {
                return Look::Failed(Trouble::new(
                    Verdict::Hostile,
                    "stale",
                    None,
                    "an old answer of the judge, to another question",
                ));
            }
            Some(Err(why)) => Some(why),
            None => None,
        };
        let seen = Seen {
            url: &url,
            method: &Method::GET,
            https: judge.is_https(),
            follows: false,
            now: Some(SystemTime::now()),
        };
        let sentence = self.rules.classify(&seen, &exchange);
        let trouble = trouble(&exchange, &sentence, no_echo, judge.key().is_some());
        if !trouble.may_be_the_judge() {
            return Look::Failed(trouble);
        }
        let up = self.judges.is_up(number, ended, &self.egress, &self.nonces);
        match up.await.and_then(|()| judge.stayed_up(began)) {
            Ok(()) => Look::Failed(trouble),
            Err(why) => Look::NoJudge(Trouble::new(
                Verdict::Unknown,
                "judge_down",
                None,
                format!("the judge does not answer on the direct path either: {why}"),
            )),
        }
    }

    /// Fetches the canary page of a plain judge. `None` when it did not come: that is a matter of the samples.
    pub(super) async fn canary(&self, proxy: &Proxy, number: usize, way: Way) -> Option<Canary> {
        let (began, nonce) = (Instant::now(), self.nonces.next());
        let url = self.judges.get(number).at("canary", &nonce);
        let headers = self.judges.headers();
        let exchange = self.send(proxy, way, &url, headers, began, &nonce).await;
        let response = exchange.result.ok()?;
        if response.status != 200 || response.body.truncated.is_some() {
            return None;
        }
        Some(Canary {
            tampering: tamper::changed(&echo::canary(&nonce), &response.body.bytes),
            headers: headers::of_answer(&response.headers),
        })
    }

    /// Fetches one of the user's URLs.
    pub(super) async fn target(
        &self,
        proxy: &Proxy,
        url: &Url,
    ) -> (Target, Result<Times, Trouble>) {
        let (began, session) = (Instant::now(), self.nonces.next());
        let headers = &self.settings.headers;
        let exchange = self
            .send(proxy, Way::Plain, url, headers, began, &session)
            .await;
        let seen = Seen {
            url,
            method: &Method::GET,
            https: url.scheme() == "https",
            follows: false,
            now: Some(SystemTime::now()),
        };
        let sentence = self.rules.classify(&seen, &exchange);
        let ok = sentence.outcome == Outcome::Ok;
        let target = Target {
            url: shown(url).into(),
            ok,
            status: exchange
                .result
                .as_ref()
                .ok()
                .map(|response| response.status.as_u16()),
            outcome: sentence.outcome.as_str(),
        };
        let times = Times {
            phases: exchange.phases,
            total: began.elapsed(),
        };
        let result = if ok {
            Ok(times)
        } else {
            Err(of_target(&exchange, &sentence))
        };
        (target, result)
    }

    pub(super) async fn send(
        &self,
        proxy: &Proxy,
        way: Way,
        url: &Url,
        headers: &HeaderMap,
        began: Instant,
        session: &str,
    ) -> Exchange {
        let session: Arc<str> = session.into();
        self.egress
            .send(Outgoing {
                proxy,
                method: &Method::GET,
                url,
                headers,
                body: &Bytes::new(),
                elsewhere: false,
                tunnel: way == Way::Tunnel,
                session: Some(&session),
                connect_timeout: self.settings.connect_timeout,
                deadline: began + self.settings.max_time,
                least_filesize: 0,
                clearance: None,
                traffic: None,
            })
            .await
    }
}

/// A URL of the user's that was not answered as expected: without a judge the target's own words are all there is.
fn of_target(exchange: &Exchange, sentence: &crate::outcome::Verdict) -> Trouble {
    let trouble = trouble(exchange, sentence, None, false);
    let Ok(response) = &exchange.result else {
        return trouble;
    };
    let is_page = trouble.verdict == Verdict::Unknown && response.body.broken.is_none();
    let message = match (sentence.outcome, &sentence.ban) {
        (Outcome::Banned | Outcome::RateLimited, _) => "the target refuses it".into(),
        // A page that `--must-match` or another rule of the user's does not want.
        (_, Some(ban)) if is_page => format!("{}: {}", ban.rule, ban.evidence),
        (outcome, _) if is_page || outcome == Outcome::HttpError => {
            format!("status {}", response.status.as_u16())
        }
        _ => return trouble,
    };
    let reason = sentence.outcome.as_str();
    Trouble::new(Verdict::Policy, reason, trouble.phase, message)
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
