//! What a CONNECT to a plain judge says of a proxy, where there is no other judge.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::{answered, check_by, opened, signed};
use crate::check::{Report, Verdict};
use crate::echo::{self, Key};
use crate::egress::{Egress, Outgoing, ProbeReport};
use crate::exchange::{Exchange, Phases};
use crate::job::HostKey;
use crate::outcome::{Fault, FaultKind, Phase};
use crate::proxy::Proxy;

/// A proxy that forwards or does not, and what it says to CONNECT to the judge's port: nothing when it opens the tunnel.
struct Ways {
    key: Key,
    forwards: bool,
    refuses: Option<u16>,
}

impl Ways {
    fn refusal(&self) -> Option<Fault> {
        let refused = |status| Fault::new(Phase::Handshake, FaultKind::Rejected(status), "refused");
        self.refuses.map(refused)
    }
}

impl Egress for Ways {
    async fn probe(&self, _: Arc<Proxy>, _: Option<HostKey>, _: Duration) -> ProbeReport {
        ProbeReport {
            result: self.refusal().map_or(Ok(()), Err),
            ..opened()
        }
    }

    async fn send(&self, outgoing: Outgoing<'_>) -> Exchange {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let is_https = outgoing.url.scheme() == "https";
        if is_https {
            return answered(StatusCode::OK, b"a page".to_vec());
        }
        if let (true, Some(fault)) = (outgoing.tunnel, self.refusal()) {
            return Exchange::unsent(fault, Phases::default());
        }
        if !self.forwards && !outgoing.tunnel && !outgoing.proxy.is_direct() {
            return answered(StatusCode::METHOD_NOT_ALLOWED, Vec::new());
        }
        let (_, nonce) = outgoing.url.query_pairs().next().expect("a nonce");
        let bytes = match outgoing.url.path() {
            "/canary" => echo::canary(&nonce).into_bytes(),
            _ => signed(outgoing.url, nonce.into_owned(), &self.key),
        };
        answered(StatusCode::OK, bytes)
    }
}

async fn check(forwards: bool, refuses: Option<u16>, urls: &[&str]) -> Report {
    let ways = Ways {
        key: Key::generate().unwrap(),
        forwards,
        refuses,
    };
    let urls = urls.iter().map(|url| url.parse().unwrap()).collect();
    let reports = check_by(ways, 1, |settings| settings.urls = urls);
    reports.await.remove(0)
}

fn told(report: &Report) -> (Verdict, &'static str, Option<bool>, Option<bool>) {
    let (forwards, tunnels) = (report.forwards, report.tunnels);
    (report.verdict, report.reason(), forwards, tunnels)
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_refused_to_a_port_that_is_not_of_https_says_nothing() {
    let report = check(true, Some(403), &[]).await;
    assert_eq!(told(&report), (Verdict::Alive, "ok", Some(true), None));
    assert_eq!(check(true, None, &[]).await.tunnels, Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_for_tunnels_alone_is_judged_in_one() {
    let report = check(false, None, &[]).await;
    let alive = (Verdict::Alive, "ok", Some(false), Some(true));
    assert_eq!(told(&report), alive, "{report:?}");
    assert_eq!((report.ok(), report.failed), (1, 0));
    // Where it opens none to the judge's port, pages by https tell, and those that are not are no loss of its own.
    let urls = ["http://shop.test/", "https://shop.test/"];
    let report = check(false, Some(403), &urls).await;
    assert_eq!(told(&report), alive, "{report:?}");
    assert_eq!((report.ok(), report.failed), (1, 0));
    let targets: Vec<_> = report.targets.iter().map(|target| target.ok).collect();
    assert_eq!(targets, [false, true]);
    let report = check(false, Some(403), &[]).await;
    let refuses = (Verdict::Policy, "policy", Some(false), None);
    assert_eq!(told(&report), refuses);
    // This is how servers that are no proxies answer.
    let report = check(false, Some(405), &[]).await;
    let dead = (Verdict::Dead, "not_a_proxy", Some(false), None);
    assert_eq!(told(&report), dead);
}
