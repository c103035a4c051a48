//! Scores: real exchanges through the lab, judged and settled as a run does it, on a clock of the test's own.
//!
//! The clock only moves between requests, so two scores of one moment differ only if something was charged or credited.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method};
use proxywheel::ban::{Judge, Seen};
use proxywheel::egress::{Egress, Outgoing, SocketEgress};
use proxywheel::lab::{Fault, HostPlan, Lab, ProxySpec};
use proxywheel::outcome::{Blame, Outcome, Verdict};
use proxywheel::pool::{
    Ask, Avoid, Demand, HostIdx, Pool, ProbeResult, ProxyIdx, Settings, Settlement,
};
use proxywheel::proxy::Scheme;
use rand::SeedableRng;
use rand::rngs::StdRng;
use url::Url;

use crate::wire_stack::Stack;

/// Proxies of each scheme in a pool.
const EACH: u32 = 3;
/// Answers through each proxy before anything goes wrong.
const PROVEN_BY: u32 = 4;

struct Bench {
    stack: Stack,
    egress: SocketEgress,
    judge: Judge,
    pool: Pool,
    members: Vec<ProxyIdx>,
    hosts: Vec<String>,
    rng: StdRng,
    now: Instant,
    patience: Duration,
}

impl Bench {
    /// HTTP and SOCKS5 proxies, all READY and proven on a host of their own; `first` is what is wrong with the first.
    async fn start(first: &[Fault]) -> Self {
        let mut spec = ProxySpec::new(Scheme::Http);
        spec.faults = first.to_vec();
        let builder = Lab::builder()
            .http1_only()
            .proxy(spec)
            .perfect(EACH - 1)
            .proxies(EACH, ProxySpec::new(Scheme::Socks5));
        let stack = Stack::start(builder);
        stack.lab.set_faults(0, Vec::new());
        let egress = SocketEgress::new(stack.settings().egress).unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        #[expect(clippy::disallowed_methods, reason = "only differences to it are used")]
        let now = Instant::now();
        let proxies: Vec<_> = stack.lab.proxies().into_iter().map(Arc::new).collect();
        let pool = Pool::new(proxies.clone(), Settings::default(), now, &mut rng);
        let members = proxies.iter().map(|proxy| pool.find(proxy.id()).unwrap());
        let mut bench = Bench {
            members: members.collect(),
            egress,
            judge: Judge::new(&Default::default()).unwrap(),
            pool,
            hosts: Vec::new(),
            rng,
            now,
            patience: Duration::from_secs(10),
            stack,
        };
        bench.probe_all();
        for _ in 0..PROVEN_BY {
            for scheme in ["http", "https"] {
                for at in 0..bench.members.len() {
                    let verdict = bench.fetch(at, &format!("{scheme}://good.test/")).await;
                    assert_eq!(verdict.blame, Blame::Nobody);
                }
            }
        }
        bench.stack.lab.set_faults(0, first.to_vec());
        bench
    }

    /// Makes everybody READY; what probes find out is not the matter here.
    fn probe_all(&mut self) {
        let demand = Demand {
            slots: 100,
            idle: 100,
            probing: 0,
            probe_limit: 100,
            waiting: true,
            work_left: None,
            last_pick_failed: true,
        };
        while let Some(lease) = self.pool.next_probe(demand, self.now, &mut self.rng) {
            let alive = ProbeResult::Alive {
                connect: Duration::from_millis(5),
                handshake: None,
            };
            self.pool
                .settle_probe(lease, alive, self.now, &mut self.rng);
        }
    }

    fn host(&mut self, url: &Url) -> HostIdx {
        let name = url[..url::Position::BeforePath].to_owned();
        let known = self.hosts.iter().position(|host| *host == name);
        let number = known.unwrap_or_else(|| {
            self.hosts.push(name);
            self.hosts.len() - 1
        });
        HostIdx(number as u32)
    }

    /// One attempt through member `at`: lease, send, judge, settle.
    async fn fetch(&mut self, at: usize, url: &str) -> Verdict {
        self.now += Duration::from_millis(10);
        let url = Url::parse(url).unwrap();
        let avoid = Avoid::default();
        let https = url.scheme() == "https";
        let ask = Ask {
            host: self.host(&url),
            tunnel: https,
            avoid: &avoid,
            filter: None,
            pinned: Some(self.members[at]),
            endgame: false,
            proven_first: false,
        };
        let lease = self
            .pool
            .lease(&ask, self.now, &mut self.rng, &mut |_| true)
            .unwrap_or_else(|refusal| panic!("{url} through {at}: {refusal:?}"));
        let method = Method::GET;
        let exchange = self
            .egress
            .send(Outgoing {
                proxy: &lease.proxy,
                method: &method,
                url: &url,
                headers: &HeaderMap::new(),
                body: &Bytes::new(),
                session: None,
                connect_timeout: Duration::from_secs(5),
                deadline: tokio::time::Instant::now() + self.patience,
                least_filesize: 0,
                clearance: None,
                traffic: None,
                elsewhere: false,
                tunnel: false,
            })
            .await;
        let seen = Seen {
            url: &url,
            method: &method,
            https,
            follows: false,
            now: None,
        };
        let verdict = self.judge.classify(&seen, &exchange);
        let report = Settlement {
            blame: verdict.blame,
            latency: Duration::from_millis(5),
            retry_after: verdict.retry_after,
            for_rate: verdict.outcome == Outcome::RateLimited,
            compared: false,
            connect: None,
            kind: exchange.result.err().map(|fault| (fault.phase, fault.kind)),
        };
        self.pool.settle(lease, &report, self.now);
        verdict
    }

    fn scores(&self) -> Vec<Option<u8>> {
        let score = |idx: &ProxyIdx| self.pool.score(*idx, self.now);
        self.members.iter().map(score).collect()
    }

    /// `url` through every member, `rounds` times; the score of nobody may move on the way.
    async fn all_fail_unmoved(&mut self, url: &str, rounds: usize) {
        let before = self.scores();
        assert!(
            before.iter().all(|score| score.is_some_and(|it| it > 70)),
            "{before:?}"
        );
        for round in 0..rounds {
            for at in 0..self.members.len() {
                let verdict = self.fetch(at, url).await;
                assert!(
                    matches!(verdict.blame, Blame::Target | Blame::Unknown),
                    "{url} through {at}: {verdict:?}"
                );
                assert_eq!(self.scores(), before, "{url} through {at}, round {round}");
            }
        }
        let counts = self.pool.counts(self.now);
        assert_eq!(
            counts.ready as usize,
            self.members.len(),
            "{url}: {counts:?}"
        );
    }
}

#[tokio::test]
async fn no_error_page_of_a_target_changes_a_score() {
    let mut bench = Bench::start(&[]).await;
    for scheme in ["http", "https"] {
        for status in [400, 401, 403, 404, 410, 500, 502, 503, 504] {
            let url = format!("{scheme}://pages.test/status/{status}");
            bench.all_fail_unmoved(&url, 2).await;
        }
    }
}

#[tokio::test]
async fn no_outage_of_a_target_changes_a_score_neither_before_it_ends_nor_after() {
    for scheme in ["http", "https"] {
        let mut bench = Bench::start(&[]).await;
        let unknown = HostPlan {
            unknown: true,
            ..HostPlan::default()
        };
        for (host, plan) in [("down.test", HostPlan::down()), ("nowhere.test", unknown)] {
            bench.stack.lab.set_host(host, plan);
            let url = format!("{scheme}://{host}/");
            bench.all_fail_unmoved(&url, 4).await;
            bench.stack.lab.set_host(host, HostPlan::default());
            // The answer that ends it is to the credit of the one who brings it; nobody else is touched.
            let before = bench.scores();
            let last = bench.members.len() - 1;
            assert_eq!(bench.fetch(last, &url).await.blame, Blame::Nobody);
            assert_eq!(bench.scores()[..last], before[..last], "{url}");
        }
    }
}

#[tokio::test]
async fn no_target_that_hangs_up_or_talks_nonsense_changes_a_score() {
    let mut bench = Bench::start(&[]).await;
    for page in ["reset", "close", "garbage", "truncate", "header-flood"] {
        bench
            .all_fail_unmoved(&format!("http://{page}.test/{page}"), 2)
            .await;
    }
}

#[tokio::test]
async fn no_target_that_never_answers_changes_a_score() {
    let mut bench = Bench::start(&[]).await;
    bench.patience = Duration::from_millis(300);
    bench.all_fail_unmoved("http://hang.test/hang", 1).await;
}

#[tokio::test]
async fn a_hundred_dead_targets_among_good_ones_change_no_score_for_the_worse() {
    let mut bench = Bench::start(&[]).await;
    for n in 0..100 {
        let dead = format!("dead{n}.test");
        bench.stack.lab.set_host(&dead, HostPlan::down());
        let before = bench.scores();
        let at = n % bench.members.len();
        let verdict = bench.fetch(at, &format!("http://{dead}/")).await;
        assert_eq!(verdict.blame, Blame::Unknown);
        assert_eq!(bench.scores(), before, "{dead}");
        bench.fetch(at, "http://good.test/").await;
        assert!(bench.scores()[at] >= before[at]);
    }
    assert_eq!(bench.pool.counts(bench.now).ready, 2 * EACH);
}

#[tokio::test]
async fn a_proxy_that_fails_where_others_are_answered_loses_its_score_and_nobody_else_does() {
    let mut bench = Bench::start(&[Fault::Reset]).await;
    let before = bench.scores();
    for _ in 0..3 {
        let verdict = bench.fetch(0, "http://good.test/").await;
        assert_eq!(verdict.blame, Blame::Unknown);
        assert_eq!(
            bench.fetch(1, "http://good.test/").await.blame,
            Blame::Nobody
        );
    }
    let after = bench.scores();
    assert!(
        after[0] < before[0].map(|score| score / 2),
        "{before:?} {after:?}"
    );
    assert!(after[1] >= before[1]);
    assert_eq!(after[2..], before[2..]);
    assert_eq!(bench.pool.counts(bench.now).quarantined, 1);
}

#[tokio::test]
async fn a_proxy_that_shows_its_own_certificate_where_others_show_the_targets_is_hostile() {
    let mut bench = Bench::start(&[Fault::TlsIntercept]).await;
    bench.egress = SocketEgress::new(bench.stack.settings().egress).unwrap();
    let verdict = bench.fetch(0, "https://good.test/").await;
    assert_eq!(verdict.blame, Blame::Unknown, "one exchange cannot tell");
    assert_eq!(
        bench.fetch(1, "https://good.test/").await.blame,
        Blame::Nobody
    );
    assert_eq!(bench.pool.counts(bench.now).quarantined, 1);
    // A probe sees nothing of it and frees it; the second time is the last.
    bench.now += Duration::from_secs(600);
    bench.probe_all();
    for _ in 0..2 {
        bench.fetch(1, "https://good.test/").await;
    }
    bench.fetch(0, "https://good.test/").await;
    bench.fetch(1, "https://good.test/").await;
    let counts = bench.pool.counts(bench.now);
    assert_eq!((counts.quarantined, counts.retired), (0, 1), "{counts:?}");
}
