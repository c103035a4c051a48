//! A judge that goes away while proxies are on their way to it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep};
use url::Url;

use super::{answered, check_by, opened, signed};
use crate::check::{Report, Verdict};
use crate::echo::{self, Key};
use crate::egress::{Egress, Outgoing, ProbeReport};
use crate::exchange::Exchange;
use crate::job::HostKey;
use crate::proxy::Proxy;

const MS: Duration = Duration::from_millis(1);

/// Half the way to the judge and back takes half the latency, a millisecond on the direct path. Who gets there while it is down is told so: by
/// the proxy with 502.
struct Outage {
    key: Key,
    start: Instant,
    /// In milliseconds since the start.
    down: Range<u32>,
    /// Of the requests through proxies, one after the other; the last for all that come later.
    latencies: Vec<u32>,
    asked: AtomicU32,
}

impl Outage {
    fn is_down(&self) -> bool {
        let at = u32::try_from(self.start.elapsed().as_millis()).expect("a short test");
        self.down.contains(&at)
    }

    fn answer(&self, url: &Url) -> Vec<u8> {
        let (_, nonce) = url.query_pairs().next().expect("a nonce");
        if url.path() == "/canary" {
            return echo::canary(&nonce).into_bytes();
        }
        signed(url, nonce.into_owned(), &self.key)
    }
}

impl Egress for Outage {
    async fn probe(&self, _: Arc<Proxy>, _: Option<HostKey>, _: Duration) -> ProbeReport {
        opened()
    }

    async fn send(&self, outgoing: Outgoing<'_>) -> Exchange {
        let latency = match outgoing.proxy.is_direct() {
            true => MS,
            false => {
                let asked = self.asked.fetch_add(1, Ordering::Relaxed) as usize;
                MS * self.latencies[asked.min(self.latencies.len() - 1)]
            }
        };
        sleep(latency / 2).await;
        let down = self.is_down();
        sleep(latency / 2).await;
        let (status, bytes) = match down {
            true => (StatusCode::BAD_GATEWAY, Vec::new()),
            false => (StatusCode::OK, self.answer(outgoing.url)),
        };
        answered(status, bytes)
    }
}

/// Checks as many proxies as there are latencies, all at once.
async fn check(down: Range<u32>, latencies: &[u32]) -> Vec<Report> {
    let egress = Outage {
        key: Key::generate().unwrap(),
        start: Instant::now(),
        down,
        latencies: latencies.to_vec(),
        asked: AtomicU32::new(0),
    };
    let proxies = latencies.len() as u16;
    check_by(egress, proxies, |_| {}).await
}

fn verdicts(reports: &[Report]) -> Vec<(Verdict, &'static str)> {
    reports
        .iter()
        .map(|report| (report.verdict, report.reason()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_somebody_else_does_not_prove_that_the_judge_was_up_when_it_failed() {
    // The second is served before the judge goes away; the first gets there after that.
    let reports = check(40..u32::MAX, &[100, 20, 4]).await;
    let of = verdicts(&reports);
    assert_eq!(of.len(), 3);
    assert!(
        !of.iter().any(|(verdict, _)| *verdict == Verdict::Dead),
        "{of:?}"
    );
    assert!(of.contains(&(Verdict::Unknown, "judge_down")), "{of:?}");
    assert!(
        of.iter().any(|(verdict, _)| *verdict == Verdict::Alive),
        "{of:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_failed_in_an_outage_that_is_over_is_asked_again() {
    // One comes back while the judge is still away, the other later.
    let reports = check(40..150, &[86, 280, 4]).await;
    let of = verdicts(&reports);
    assert_eq!(of, [(Verdict::Alive, "ok"); 3]);
}
