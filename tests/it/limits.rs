//! The four rates as the targets see them, over real sockets and in real time, each binding once.
//!
//! All four limits hold in every run; hosts and proxies are numbered so that one of them is the tightest. A share of the
//! answers is a 500 and a share of the URLs redirects, so that retries and redirect hops are among what is counted, and half of
//! the hosts are https, so that connections take their time.
//!
//! Lab, client and a ticker share one thread. When the machine takes the thread away for a while, what has happened meanwhile
//! is seen late; the ticker tells how late at most, and a request counts as seen too early only when that does not explain it.
//! A request passes through the thread several times before the host sees it (client, proxy, host, TLS), and a tick may come
//! between: so it is not the last tick alone that counts, but all the time that was taken shortly before.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use proxywheel::client::Client;
use proxywheel::engine::Control;
use proxywheel::job::{Job, RequestSpec};
use proxywheel::lab::{Errors, Hit, HostPlan, Lab, ProxySpec};
use proxywheel::metrics::FinishReason;
use proxywheel::proxy::Scheme;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::{Interval, interval, sleep};

const SECOND: Duration = Duration::from_secs(1);
/// How long each run is watched.
const RUN: Duration = Duration::from_secs(10);
/// What a rate is reached after: until it has answered once, a proxy gets one request at a time, whatever its rate.
const WARM_UP: Duration = Duration::from_secs(2);
/// The least share of a binding rate that has to be used.
const REACHED: f64 = 0.95;

const GLOBAL: usize = 50;
const HOST: usize = 10;
const PROXY: usize = 2;
const PAIR: usize = 1;

/// Longest time that a request is on its way, as far as the thread runs.
const ON_THE_WAY: Duration = Duration::from_millis(30);
/// A gap between ticks that the timer's own grain explains.
const TICK: Duration = Duration::from_millis(3);

/// The times at which this thread had a look at everything, a millisecond apart if the machine lets it.
struct Ticker {
    seen: Arc<Mutex<Vec<Instant>>>,
    task: JoinHandle<()>,
}

impl Ticker {
    fn start() -> Self {
        let seen = Arc::new(Mutex::new(vec![now()]));
        let ticks = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                sleep(Duration::from_millis(1)).await;
                ticks.lock().unwrap().push(now());
            }
        });
        Ticker { seen, task }
    }

    fn stop(self) -> Ticks {
        self.task.abort();
        Ticks(std::mem::take(&mut *self.seen.lock().unwrap()))
    }
}

/// What a [`Ticker`] has seen.
struct Ticks(Vec<Instant>);

impl Ticks {
    /// When something that was noticed at `at` can have happened at the earliest.
    fn earliest(&self, at: Instant) -> Instant {
        let after = self.0.partition_point(|tick| *tick < at);
        let (mut ran, mut earliest) = (Duration::ZERO, self.0[after.saturating_sub(1)]);
        for ticks in self.0[..after].windows(2).rev() {
            let gap = ticks[1] - ticks[0];
            ran += gap.min(TICK);
            if ran > ON_THE_WAY {
                break;
            }
            if gap > TICK {
                earliest -= gap;
            }
        }
        earliest
    }

    /// The time within a span for which the thread did not run, but for moments that do not matter.
    fn stalled(&self, from: Instant, to: Instant) -> Duration {
        let within = |at: &&[Instant]| at[0] >= from && at[1] <= to;
        let gaps = self.0.windows(2).filter(within).map(|at| at[1] - at[0]);
        gaps.filter(|gap| *gap > Duration::from_millis(25)).sum()
    }

    /// Asserts that `limit` is not exceeded by the requests noticed at these times, in whatever second.
    fn assert_kept(&self, times: &mut [Instant], limit: usize, what: &str) {
        times.sort_unstable();
        for window in times.windows(limit + 1) {
            let (first, last) = (self.earliest(window[0]), window[limit]);
            let seen = last - window[0];
            assert!(
                last - first >= SECOND,
                "{} requests {what} in {seen:?}, {limit} a second allowed",
                limit + 1
            );
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Jobs without end: some at once, then one per beat. The engine gets few more than it can send, because a job that is to be
/// tried again waits behind those of its host that are already there.
struct Endless<F> {
    seq: u64,
    at_once: u64,
    beat: Interval,
    make: F,
}

impl<F> Endless<F> {
    /// A feed for a run that can send `capacity` requests a second.
    fn new(capacity: usize, make: F) -> Self {
        // Redirects and retries are requests too: about 1.4 of them for each job.
        let beat = SECOND.div_f64(capacity as f64 * 0.85);
        Endless {
            seq: 0,
            at_once: capacity as u64 * 2,
            beat: interval(beat),
            make,
        }
    }
}

impl<F: FnMut(u64) -> Job + Unpin> Stream for Endless<F> {
    type Item = Job;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Job>> {
        if self.seq >= self.at_once {
            std::task::ready!(self.beat.poll_tick(cx));
        }
        let seq = self.seq;
        self.seq += 1;
        Poll::Ready(Some((self.make)(seq)))
    }
}

/// URL number `seq` of a crawl over `hosts` hosts: every fifth one redirects to its page.
fn url(seq: u64, hosts: u64) -> String {
    let host = seq % hosts;
    let scheme = if host.is_multiple_of(2) {
        "http"
    } else {
        "https"
    };
    let path = if (seq / hosts).is_multiple_of(5) {
        "redirect/1?n="
    } else {
        "page/"
    };
    format!("{scheme}://host{host}.test/{path}{seq}")
}

/// Crawls `hosts` hosts through `proxies` proxies for [`RUN`] and gives what the hosts saw.
async fn crawl(hosts: u64, proxies: u32, capacity: usize) -> (Vec<Hit>, Ticks) {
    let lab = Lab::builder()
        .seed(9)
        .every_host(HostPlan {
            errors: Some(Errors {
                percent: 15,
                status: 500,
            }),
            ..HostPlan::default()
        })
        .proxies(proxies - proxies / 2, ProxySpec::new(Scheme::Http))
        .proxies(proxies / 2, ProxySpec::new(Scheme::Socks5))
        .record_hits(10_000);
    let lab = lab.start().await.unwrap();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), lab.ca_pem()).unwrap();
    let rate = |count: usize| Some(format!("{count}/s").parse().unwrap());
    let client = Client::builder()
        .proxies(lab.proxies().into_iter().map(Arc::new))
        .configure(|settings| {
            let limits = &mut settings.limits;
            limits.concurrency = NonZeroU32::new(200).unwrap();
            limits.rate = rate(GLOBAL);
            limits.host_rate = rate(HOST);
            limits.proxy_rate = rate(PROXY);
            limits.pair_rate = rate(PAIR);
            settings.egress.cacert = Some(ca.path().to_owned());
            settings.engine.seed = Some(9);
        })
        .build()
        .unwrap();
    let request = Arc::new(RequestSpec::default());
    let jobs = Endless::new(capacity, move |seq| {
        Job::new(seq, &url(seq, hosts), request.clone())
    });
    let ticker = Ticker::start();
    run_until_stopped(&client, jobs).await;
    let (hits, ticks) = (lab.take_hits(), ticker.stop());
    assert_eq!(lab.stats().hits_dropped, 0);
    lab.stop().await;
    (hits, ticks)
}

/// Runs the jobs for as long as a measurement takes.
async fn run_until_stopped(client: &Client, jobs: impl Stream<Item = Job> + Send + 'static) {
    let mut run = client.run(jobs).unwrap();
    let control = run.control().clone();
    let stop = tokio::spawn(async move {
        sleep(RUN).await;
        control.send(Control::Stop(FinishReason::Interrupted)).await
    });
    while run.next().await.is_some() {}
    let _ = stop.await.unwrap();
    run.finish().await.unwrap();
}

/// Asserts that no second saw more than any of the four rates, and that requests of each `key` came at `rate` a second.
fn check<K: Eq + Hash + Debug>(
    (hits, ticks): (Vec<Hit>, Ticks),
    rate: usize,
    key: impl Fn(&Hit) -> K,
) {
    assert!(hits.iter().any(|hit| hit.path.starts_with("/redirect")));
    let mut asked: HashMap<_, u32> = HashMap::new();
    for hit in &hits {
        // Each of these is one URL; where redirects lead to is the same for all.
        if hit.path.starts_with("/page/") || hit.path.starts_with("/redirect/1") {
            *asked.entry((&hit.host, &hit.path)).or_default() += 1;
        }
    }
    let retried = asked.values().filter(|times| **times > 1).count();
    assert!(
        retried * 20 > asked.len(),
        "{retried} of {} URLs were tried again",
        asked.len()
    );

    for times in by(&hits, |_| ()).values_mut() {
        ticks.assert_kept(times, GLOBAL, "in all");
    }
    for (host, times) in &mut by(&hits, |hit| hit.host.clone()) {
        ticks.assert_kept(times, HOST, &format!("to {host}"));
    }
    for (proxy, times) in &mut by(&hits, |hit| hit.proxy) {
        ticks.assert_kept(times, PROXY, &format!("through {proxy:?}"));
    }
    for (pair, times) in &mut by(&hits, |hit| (hit.host.clone(), hit.proxy)) {
        ticks.assert_kept(times, PAIR, &format!("of {pair:?}"));
    }

    for (key, mut at) in by(&hits, key) {
        at.sort_unstable();
        let warm = at[0] + WARM_UP;
        at.retain(|at| *at >= warm);
        let (first, last) = (at[0], at[at.len() - 1]);
        let stalled = ticks.stalled(first, last);
        let reached = (at.len() - 1) as f64 / (last - first - stalled).as_secs_f64();
        let gaps: Vec<_> = at
            .windows(2)
            .map(|two| (two[1] - two[0]).as_millis())
            .collect();
        assert!(
            reached >= REACHED * rate as f64,
            "{key:?}: {reached:.2} a second of {rate}: {gaps:?} ms apart, stalled for {stalled:?}",
        );
    }
}

/// The times of the hits by what `key` says of them.
fn by<K: Eq + Hash>(hits: &[Hit], key: impl Fn(&Hit) -> K) -> HashMap<K, Vec<Instant>> {
    let mut times: HashMap<K, Vec<Instant>> = HashMap::new();
    for hit in hits {
        times.entry(key(hit)).or_default().push(hit.at);
    }
    times
}

#[tokio::test]
async fn the_global_rate_is_kept_and_reached() {
    let hits = crawl(8, 50, GLOBAL).await;
    check(hits, GLOBAL, |_| ());
}

#[tokio::test]
async fn the_rate_per_host_is_kept_and_reached() {
    let hits = crawl(2, 30, 2 * HOST).await;
    check(hits, HOST, |hit| hit.host.clone());
}

#[tokio::test]
async fn the_rate_per_proxy_is_kept_and_reached() {
    let hits = crawl(6, 4, 4 * PROXY).await;
    check(hits, PROXY, |hit| hit.proxy);
}

#[tokio::test]
async fn the_rate_per_pair_is_kept_and_reached() {
    let hits = crawl(1, 4, 4 * PAIR).await;
    check(hits, PAIR, |hit| (hit.host.clone(), hit.proxy));
}

/// A SOCKS5 proxy and the site behind it in one. Each connection is opened after a delay of its own, serves one request and is
/// closed. Gives the times at which requests arrived.
async fn slow_to_open(listener: tokio::net::TcpListener, arrived: Arc<Mutex<Vec<Instant>>>) {
    let mut number = 0u64;
    loop {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let arrived = arrived.clone();
        // 0 to 700 ms, without a pattern.
        let delay = Duration::from_millis(number * number * 37 % 8 * 100);
        number += 1;
        tokio::spawn(async move {
            let mut hello = [0; 3];
            tcp.read_exact(&mut hello).await?;
            tcp.write_all(&[5, 0]).await?;
            let mut wish = [0; 5];
            tcp.read_exact(&mut wish).await?;
            let mut rest = vec![0; usize::from(wish[4]) + 2];
            tcp.read_exact(&mut rest).await?;
            sleep(delay).await;
            tcp.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(tcp.read_u8().await?);
            }
            arrived.lock().unwrap().push(now());
            tcp.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
                .await?;
            std::io::Result::Ok(())
        });
    }
}

#[tokio::test]
async fn connections_that_open_slowly_do_not_bunch_requests() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let server = tokio::spawn(slow_to_open(listener, arrived.clone()));
    let client = Client::builder()
        .proxy(&format!("socks5://127.0.0.1:{port}"))
        .unwrap()
        .configure(|settings| settings.limits.pair_rate = Some("5/s".parse().unwrap()))
        .build()
        .unwrap();
    let request = Arc::new(RequestSpec::default());
    let jobs = Endless::new(5, move |seq| {
        Job::new(seq, &format!("http://a.test/{seq}"), request.clone())
    });
    let ticker = Ticker::start();
    run_until_stopped(&client, jobs).await;
    server.abort();
    let mut times = arrived.lock().unwrap().clone();
    ticker.stop().assert_kept(&mut times, 5, "of the pair");
    assert!(times.len() > 30, "{} requests", times.len());
}
