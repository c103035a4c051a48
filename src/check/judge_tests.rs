//! Judges that are started anew, with another key, or go away while proxies are on their way to them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};
use tokio::sync::{mpsc, watch};
use url::Url;

use crate::ban;
use crate::check::{Plan, Progress, Report, Settings, Verdict, run};
use crate::echo::{self, Echo, Key};
use crate::egress::{Egress, Outgoing, ProbeReport};
use crate::exchange::{Body, Exchange, Phases, Response};
use crate::job::HostKey;
use crate::proxy::{Proxy, Scheme};

#[path = "loss_tests.rs"]
mod losses;
#[path = "outage_tests.rs"]
mod outage;
#[path = "tunnel_tests.rs"]
mod tunnels;

/// The answer of a judge with this key.
fn signed(url: &Url, nonce: String, key: &Key) -> Vec<u8> {
    let echo = Echo {
        v: echo::VERSION,
        client: IpAddr::from([192, 0, 2, 1]),
        https: false,
        http: "1".into(),
        method: "GET".into(),
        target: url.path().into(),
        headers: Vec::new(),
        nonce: Some(nonce),
        resumed_from: None,
        at_ms: 0,
        key: key.public().to_base64(),
    };
    echo.signed(key)
}

fn answered(status: StatusCode, bytes: Vec<u8>) -> Exchange {
    Exchange::answered(
        Response {
            status,
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            body: Body {
                bytes: Bytes::from(bytes),
                ..Body::default()
            },
        },
        false,
    )
}

fn opened() -> ProbeReport {
    ProbeReport {
        result: Ok(()),
        phases: Phases::default(),
        connect_reply: None,
        bytes: 0,
    }
}

/// Checks so many proxies, all at once.
async fn check_by(
    egress: impl Egress,
    proxies: u16,
    change: impl FnOnce(&mut Settings),
) -> Vec<Report> {
    let mut plan = Plan {
        egress,
        rules: ban::Judge::new(&ban::Settings::default()).unwrap(),
        settings: Settings {
            judges: vec!["http://judge.test/".parse().unwrap()],
            samples: 1,
            seed: Some(7),
            ..Settings::default()
        },
    };
    change(&mut plan.settings);
    let proxy = |number| Arc::new(Proxy::new(Scheme::Http, "192.0.2.1", 8080 + number, None));
    let (out, mut reports) = mpsc::channel(usize::from(proxies));
    let (progress, _) = watch::channel(Progress::default());
    let (_stop, stopped) = watch::channel(false);
    run(
        plan,
        (0..proxies).map(proxy).collect(),
        out,
        progress,
        stopped,
    )
    .await;
    let mut all = Vec::new();
    while let Some(report) = reports.recv().await {
        all.push(report);
    }
    all
}

/// The judge signs its first answer on the direct path with one key and everything later with another.
struct Restarted {
    keys: [Key; 2],
    is_new: AtomicBool,
    /// The proxy brings the answer to another question, which the new judge has signed.
    replays: bool,
}

impl Restarted {
    fn answer(&self, direct: bool, url: &Url) -> Vec<u8> {
        let (_, nonce) = url.query_pairs().next().expect("a nonce");
        if url.path() == "/canary" {
            return echo::canary(&nonce).into_bytes();
        }
        let nonce = match self.replays && !direct {
            true => "5fA3".to_owned(),
            false => nonce.into_owned(),
        };
        let is_new = match direct {
            true => self.is_new.swap(true, Ordering::Relaxed),
            false => true,
        };
        let key = &self.keys[usize::from(is_new)];
        signed(url, nonce, key)
    }
}

impl Egress for Restarted {
    async fn probe(&self, _: Arc<Proxy>, _: Option<HostKey>, _: Duration) -> ProbeReport {
        opened()
    }

    async fn send(&self, outgoing: Outgoing<'_>) -> Exchange {
        // On a clock that stands still every answer would be as old as the question.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let bytes = self.answer(outgoing.proxy.is_direct(), outgoing.url);
        answered(StatusCode::OK, bytes)
    }
}

async fn check(replays: bool) -> Report {
    let egress = Restarted {
        keys: [(); 2].map(|()| Key::generate().unwrap()),
        is_new: AtomicBool::new(false),
        replays,
    };
    check_by(egress, 1, |_| {}).await.remove(0)
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_the_new_key_of_a_judge_counts_and_has_to_be_the_one_asked_for() {
    let honest = check(false).await;
    assert_eq!(
        (honest.verdict, honest.ok()),
        (Verdict::Alive, 1),
        "{honest:?}"
    );
    let replayed = check(true).await;
    assert_eq!(
        (replayed.verdict, replayed.reason()),
        (Verdict::Hostile, "stale")
    );
}
