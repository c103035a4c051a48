//! What a lost connection says of a proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep, sleep_until};

use super::{answered, check_by, opened, signed};
use crate::check::{Report, Verdict};
use crate::echo::{self, Key};
use crate::egress::{Egress, Outgoing, ProbeReport};
use crate::exchange::{Exchange, Phases};
use crate::job::HostKey;
use crate::outcome::{Fault, FaultKind, Phase};
use crate::proxy::Proxy;

/// A proxy that loses the first few requests so.
struct Losing {
    key: Key,
    fault: Fault,
    lost: usize,
    asked: Arc<AtomicUsize>,
}

impl Egress for Losing {
    async fn probe(&self, _: Arc<Proxy>, _: Option<HostKey>, _: Duration) -> ProbeReport {
        opened()
    }

    async fn send(&self, outgoing: Outgoing<'_>) -> Exchange {
        sleep(Duration::from_millis(1)).await;
        let direct = outgoing.proxy.is_direct();
        if !direct && self.asked.fetch_add(1, Ordering::Relaxed) < self.lost {
            if self.fault.kind == FaultKind::Timeout {
                sleep_until(outgoing.deadline).await;
            }
            return Exchange::unsent(self.fault.clone(), Phases::default());
        }
        if outgoing.url.scheme() == "https" {
            return answered(StatusCode::OK, b"a page".to_vec());
        }
        let (_, nonce) = outgoing.url.query_pairs().next().expect("a nonce");
        let bytes = match outgoing.url.path() {
            "/canary" => echo::canary(&nonce).into_bytes(),
            _ => signed(outgoing.url, nonce.into_owned(), &self.key),
        };
        answered(StatusCode::OK, bytes)
    }
}

/// The report, how often the proxy was asked, and how long it took. Without a judge a page is asked for.
async fn check(phase: Phase, kind: FaultKind, lost: usize, judge: bool) -> (Report, usize, u128) {
    let asked = Arc::new(AtomicUsize::new(0));
    let losing = Losing {
        key: Key::generate().unwrap(),
        fault: Fault::new(phase, kind, "lost"),
        lost,
        asked: asked.clone(),
    };
    let began = Instant::now();
    let reports = check_by(losing, 1, |settings| {
        if !judge {
            settings.judges.clear();
            settings.urls = vec!["https://shop.test/".parse().unwrap()];
        }
        settings.samples = 3;
        settings.max_time = Duration::from_secs(8);
    });
    let report = reports.await.remove(0);
    let asked = asked.load(Ordering::Relaxed);
    (report, asked, began.elapsed().as_secs().into())
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_loses_one_connection_is_not_dead() {
    for judge in [true, false] {
        for kind in [FaultKind::Reset, FaultKind::Closed] {
            let (report, _, _) = check(Phase::Headers, kind, 1, judge).await;
            assert_eq!(report.verdict, Verdict::Alive, "{report:?}");
            assert_eq!((report.ok(), report.failed), (3, 1));
            // Without a judge nobody has seen an exit.
            assert_eq!(report.rotates(), judge.then_some(false));
            assert!(report.targets.iter().all(|target| target.ok));
            let (report, _, _) = check(Phase::Headers, kind, 9, judge).await;
            assert_eq!(report.verdict, Verdict::Dead);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_silent_and_the_unreached_are_asked_once() {
    let (report, asked, seconds) = check(Phase::Headers, FaultKind::Timeout, 9, true).await;
    assert_eq!((report.verdict, asked, seconds), (Verdict::Dead, 1, 8));
    for kind in [FaultKind::Refused, FaultKind::Reset] {
        let (report, asked, _) = check(Phase::Connect, kind, 9, true).await;
        assert_eq!((report.verdict, asked), (Verdict::Dead, 1));
    }
}
