//! A scripted egress on tokio's paused clock: no sockets, and every send is on record.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use proxywheel::ban::Judge;
use proxywheel::egress::{Egress, Outgoing, ProbeReport, Traffic};
use proxywheel::engine::{self, Control, Keeping, Plan};
use proxywheel::exchange::{Body, Exchange, Phases, Response};
use proxywheel::input::StreamSource;
use proxywheel::job::{HostKey, Job, RequestSpec};
use proxywheel::metrics::{Binding, PoolCounts, Snapshot, Summary, Wait};
use proxywheel::outcome::{Fault, FaultKind, Finished, Phase};
use proxywheel::proxy::{Proxy, Scheme};
use proxywheel::{ban, limit, pool, retry};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// What a send is answered with, after so long.
pub(crate) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
        after: Duration,
    },
    Fault {
        phase: Phase,
        kind: FaultKind,
        sent: bool,
        after: Duration,
    },
}

impl Reply {
    pub(crate) fn status(status: u16) -> Reply {
        Reply::Answer {
            status,
            headers: Vec::new(),
            body: "<p>a page</p>".into(),
            after: Duration::from_millis(100),
        }
    }

    /// What goes wrong behind TLS comes after the request.
    pub(crate) fn fault(phase: Phase, kind: FaultKind) -> Reply {
        Reply::Fault {
            phase,
            kind,
            sent: phase > Phase::Tls,
            after: Duration::from_millis(50),
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        if let Reply::Answer { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }

    pub(crate) fn body(mut self, page: &str) -> Reply {
        if let Reply::Answer { body, .. } = &mut self {
            page.clone_into(body);
        }
        self
    }

    pub(crate) fn after(mut self, wait: Duration) -> Reply {
        match &mut self {
            Reply::Answer { after, .. } | Reply::Fault { after, .. } => *after = wait,
        }
        self
    }
}

/// One send as the far side saw it.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) at: Instant,
    pub(crate) proxy: u16,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) method: http::Method,
    pub(crate) authorization: bool,
    pub(crate) elsewhere: bool,
}

type Script = Box<dyn Fn(&Outgoing<'_>, u16, usize) -> Reply + Send + Sync>;

/// Answers by script; `probe` says which proxies are alive.
pub(crate) struct World {
    pub(crate) hits: Arc<Mutex<Vec<Hit>>>,
    /// When and with whom probes made handshakes that make the proxy connect.
    pub(crate) handshakes: Arc<Mutex<Vec<(Instant, String)>>>,
    /// Bytes that went through the proxies.
    pub(crate) bytes: Arc<AtomicU64>,
    script: Script,
    alive: Box<dyn Fn(u16) -> bool + Send + Sync>,
    reach: Reach,
    down: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

type Reach = Box<dyn Fn(&HostKey) -> Result<(), (Phase, FaultKind)> + Send + Sync>;

impl World {
    /// `script` gets the request, the proxy's number and how often this URL has been asked before.
    pub(crate) fn new(
        script: impl Fn(&Outgoing<'_>, u16, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        World {
            hits: Arc::default(),
            handshakes: Arc::default(),
            bytes: Arc::default(),
            script: Box::new(script),
            alive: Box::new(|_| true),
            reach: Box::new(|_| Ok(())),
            down: Box::new(|_| false),
        }
    }

    /// What the handshake of a live proxy towards a host comes to.
    pub(crate) fn reach(
        mut self,
        reach: impl Fn(&HostKey) -> Result<(), (Phase, FaultKind)> + Send + Sync + 'static,
    ) -> Self {
        self.reach = Box::new(reach);
        self
    }

    pub(crate) fn alive(mut self, alive: impl Fn(u16) -> bool + Send + Sync + 'static) -> Self {
        self.alive = Box::new(alive);
        self
    }

    /// Hosts that no proxy reaches: handshakes with them are refused, by probes and requests alike.
    pub(crate) fn down(mut self, down: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.down = Box::new(down);
        self
    }
}

impl Egress for World {
    async fn probe(
        &self,
        proxy: Arc<Proxy>,
        host: Option<HostKey>,
        _connect_timeout: Duration,
    ) -> ProbeReport {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let refused = || Fault::new(Phase::Connect, FaultKind::Refused, "connection refused");
        let alive = (self.alive)(proxy.port());
        let (Some(host), true) = (host, alive) else {
            return ProbeReport {
                result: if alive { Ok(()) } else { Err(refused()) },
                phases: Phases {
                    connect: Some(Duration::from_millis(20)),
                    ..Phases::default()
                },
                connect_reply: None,
                bytes: 0,
            };
        };
        if host.https {
            let at = Instant::now();
            let mut handshakes = self.handshakes.lock().expect("handshakes");
            handshakes.push((at, host.host.to_string()));
        }
        let bytes = if host.https { HANDSHAKE_BYTES } else { 0 };
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let phases = Phases {
            connect: Some(Duration::from_millis(20)),
            proxy_handshake: host.https.then_some(Duration::from_millis(10)),
            ..Phases::default()
        };
        let result = if (self.down)(&host.host) {
            Err(unreached())
        } else {
            (self.reach)(&host).map_err(|(phase, kind)| Fault::new(phase, kind, "scripted"))
        };
        ProbeReport {
            result,
            phases,
            connect_reply: None,
            bytes,
        }
    }

    async fn send(&self, outgoing: Outgoing<'_>) -> Exchange {
        let number = outgoing.proxy.port();
        let path = outgoing.url.path().to_owned();
        let before = {
            let mut hits = self.hits.lock().expect("hits");
            let before = hits.iter().filter(|hit| hit.path == path).count();
            hits.push(Hit {
                at: Instant::now(),
                proxy: number,
                host: outgoing.url.host_str().unwrap_or_default().to_owned(),
                path,
                method: outgoing.method.clone(),
                elsewhere: outgoing.elsewhere,
                authorization: outgoing.headers.contains_key(http::header::AUTHORIZATION),
            });
            before
        };
        if (self.down)(outgoing.url.host_str().unwrap_or_default()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Exchange::unsent(unreached(), Phases::default());
        }
        match (self.script)(&outgoing, number, before) {
            Reply::Answer {
                status,
                headers,
                body,
                after,
            } => {
                let mut wire = Wire::of(self, &outgoing);
                wire.bytes = REQUEST_BYTES;
                tokio::time::sleep(after).await;
                wire.bytes += body.len() as u64;
                let https = outgoing.url.scheme() == "https";
                Exchange {
                    verified: https,
                    forwarded: !https,
                    ..answer(status, headers, body)
                }
            }
            Reply::Fault {
                phase,
                kind,
                sent,
                after,
            } => {
                let mut wire = Wire::of(self, &outgoing);
                wire.bytes = if sent { REQUEST_BYTES } else { 0 };
                tokio::time::sleep(after).await;
                let fault = Fault::new(phase, kind, "scripted");
                Exchange {
                    sent,
                    verified: phase > Phase::Tls && outgoing.url.scheme() == "https",
                    ..Exchange::unsent(fault, Phases::default())
                }
            }
        }
    }
}

/// Bytes of every request, and of what comes with an answer beside its body.
pub(crate) const REQUEST_BYTES: u64 = 200;

/// Bytes of a handshake with an `https` target.
const HANDSHAKE_BYTES: u64 = 100;

/// Counts the bytes of one send, also when it is called back.
struct Wire<'a> {
    bytes: u64,
    all: &'a AtomicU64,
    traffic: Option<&'a Traffic>,
}

impl<'a> Wire<'a> {
    fn of(world: &'a World, outgoing: &Outgoing<'a>) -> Self {
        Wire {
            bytes: 0,
            all: &world.bytes,
            traffic: outgoing.traffic,
        }
    }
}

impl Drop for Wire<'_> {
    fn drop(&mut self) {
        self.all.fetch_add(self.bytes, Ordering::Relaxed);
        if let Some(traffic) = self.traffic {
            traffic.add(self.bytes, false);
        }
    }
}

/// A proxy's word that it cannot connect to the target.
fn unreached() -> Fault {
    Fault::new(
        Phase::Handshake,
        FaultKind::Rejected(5),
        "connection refused",
    )
}

fn answer(status: u16, headers: Vec<(&'static str, String)>, body: String) -> Exchange {
    let mut map = HeaderMap::new();
    map.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("text/html"),
    );
    for (name, value) in headers {
        let value = HeaderValue::from_str(&value).expect("a header value");
        map.append(HeaderName::from_static(name), value);
    }
    let size_wire = body.len() as u64;
    let body = Body {
        bytes: Bytes::from(body),
        size_wire,
        truncated: None,
        broken: None,
    };
    let response = Response {
        status: StatusCode::from_u16(status).expect("a status"),
        version: Version::HTTP_11,
        headers: map,
        body,
    };
    Exchange {
        result: Ok(response),
        sent: true,
        ..Exchange::unsent(
            Fault::new(Phase::Headers, FaultKind::Closed, ""),
            Phases::default(),
        )
    }
}

/// A run to be: world, members, settings.
pub(crate) struct Setup {
    pub(crate) world: World,
    pub(crate) proxies: u16,
    pub(crate) limits: limit::Settings,
    pub(crate) retry: retry::Settings,
    pub(crate) pool: pool::Settings,
    pub(crate) engine: engine::Settings,
    pub(crate) keeping: Option<Keeping>,
}

impl Setup {
    pub(crate) fn new(world: World, proxies: u16) -> Self {
        Setup {
            world,
            proxies,
            limits: limit::Settings::default(),
            retry: retry::Settings::default(),
            pool: pool::Settings::default(),
            engine: engine::Settings {
                seed: Some(7),
                ..engine::Settings::default()
            },
            keeping: None,
        }
    }

    pub(crate) fn concurrency(mut self, most: u32) -> Self {
        self.limits.concurrency = NonZeroU32::new(most).expect("not zero");
        self
    }
}

/// What a run left behind.
pub(crate) struct Outcomes {
    pub(crate) rows: Vec<Finished>,
    pub(crate) hits: Vec<Hit>,
    pub(crate) summary: Summary,
    pub(crate) took: Duration,
    /// That went through the proxies.
    pub(crate) bytes: u64,
    /// Where the members stood, at every snapshot.
    pub(crate) pools: Vec<PoolCounts>,
    /// What bound, likewise.
    pub(crate) bound: Vec<(Option<Binding>, Wait)>,
}

/// One proxy per number; each in its own /24 so that no retry is kept from any of them.
pub(crate) fn members(count: u16) -> Vec<Arc<Proxy>> {
    (1..=count)
        .map(|n| {
            Arc::new(Proxy::new(
                Scheme::Http,
                &format!("10.{}.{}.1", n / 250, n % 250),
                n,
                None,
            ))
        })
        .collect()
}

pub(crate) fn jobs(urls: impl IntoIterator<Item = String>) -> Vec<Job> {
    let request = Arc::new(RequestSpec::default());
    let each = urls.into_iter().enumerate();
    each.map(|(seq, url)| Job::new(seq as u64, &url, request.clone()))
        .collect()
}

/// Runs the jobs to the end.
pub(crate) async fn run(setup: Setup, jobs: Vec<Job>) -> Outcomes {
    run_with(setup, jobs, async |_| ()).await
}

/// Runs the jobs over a list of the test's own.
pub(crate) async fn run_of(setup: Setup, list: Vec<Arc<Proxy>>, jobs: Vec<Job>) -> Outcomes {
    run_over(setup, list, jobs, async |_| ()).await
}

/// Runs the jobs while `meanwhile` holds the controls.
pub(crate) async fn run_with(
    setup: Setup,
    jobs: Vec<Job>,
    meanwhile: impl AsyncFnOnce(mpsc::Sender<Control>),
) -> Outcomes {
    let list = members(setup.proxies);
    run_over(setup, list, jobs, meanwhile).await
}

async fn run_over(
    setup: Setup,
    list: Vec<Arc<Proxy>>,
    jobs: Vec<Job>,
    meanwhile: impl AsyncFnOnce(mpsc::Sender<Control>),
) -> Outcomes {
    run_stream(setup, list, Jobs(jobs.into_iter()), meanwhile).await
}

/// Runs jobs that come when they come.
pub(crate) async fn run_stream(
    setup: Setup,
    list: Vec<Arc<Proxy>>,
    jobs: impl futures_core::Stream<Item = Job> + Send + 'static,
    meanwhile: impl AsyncFnOnce(mpsc::Sender<Control>),
) -> Outcomes {
    let began = Instant::now();
    let hits = setup.world.hits.clone();
    let bytes = setup.world.bytes.clone();
    let plan = Plan {
        egress: setup.world,
        proxies: list,
        judge: Arc::new(Judge::new(&ban::Settings::default()).expect("the rules compile")),
        pool: setup.pool,
        limits: setup.limits,
        retry: setup.retry,
        engine: setup.engine,
        keeping: setup.keeping,
        events: None,
    };
    let (out, mut records) = mpsc::channel(64);
    let (control, commands) = mpsc::channel(4);
    let (publish, mut progress) = watch::channel(Snapshot::default());
    let source = StreamSource::new(jobs);
    let engine = engine::run(plan, source, out, commands, publish);
    let collect = async {
        let mut rows = Vec::new();
        while let Some(row) = records.recv().await {
            rows.push(row);
        }
        rows
    };
    let watch = async {
        let (mut pools, mut bound) = (Vec::new(), Vec::new());
        while progress.changed().await.is_ok() {
            let now = progress.borrow_and_update();
            pools.push(now.pool);
            bound.push((now.binding, now.wait.clone()));
        }
        (pools, bound)
    };
    let ((summary, input), rows, (), (pools, bound)) =
        tokio::join!(engine, collect, meanwhile(control), watch);
    input.expect("the input is a list");
    let hits = hits.lock().expect("hits").clone();
    Outcomes {
        rows,
        hits,
        summary,
        took: began.elapsed(),
        bytes: bytes.load(Ordering::Relaxed),
        pools,
        bound,
    }
}

/// Jobs out of a channel.
pub(crate) struct Given(pub(crate) mpsc::Receiver<Job>);

impl futures_core::Stream for Given {
    type Item = Job;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Job>> {
        self.0.poll_recv(cx)
    }
}

struct Jobs(std::vec::IntoIter<Job>);

impl futures_core::Stream for Jobs {
    type Item = Job;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Job>> {
        std::task::Poll::Ready(self.0.next())
    }
}

/// Greatest number of hits within any half-open window of `width`, per key.
pub(crate) fn densest<K: std::hash::Hash + Eq>(
    hits: &[Hit],
    width: Duration,
    key: impl Fn(&Hit) -> K,
) -> usize {
    let mut by_key: HashMap<K, Vec<Instant>> = HashMap::new();
    for hit in hits {
        by_key.entry(key(hit)).or_default().push(hit.at);
    }
    by_key
        .values()
        .flat_map(|times| {
            (0..times.len()).map(|i| {
                times[i..]
                    .iter()
                    .take_while(|at| **at < times[i] + width)
                    .count()
            })
        })
        .max()
        .unwrap_or(0)
}
