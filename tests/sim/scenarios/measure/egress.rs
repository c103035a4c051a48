//! A scenario's world as the path out of the engine: what sockets would have brought, on tokio's clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use proxywheel::egress::{Egress, Outgoing, ProbeReport};
use proxywheel::exchange::{Body, Exchange, Phases, Response};
use proxywheel::job::HostKey;
use proxywheel::lab::scenario::{End, Fate, Patience, Tally, World};
use proxywheel::outcome::{Fault, FaultKind, Phase};
use proxywheel::proxy::{Proxy, ProxyId, Scheme};
use tokio::time::Instant;

/// What every page has in it, and the fakes that nobody can tell: for `--must-match`.
pub(crate) const MARK: &str = "<!-- all of it -->";
/// What only fakes have.
const FAKE: &str = "buy this";

/// A world behind a lock, and the connections that probes have left open.
pub(crate) struct Simulated {
    state: Arc<Mutex<State>>,
    numbers: HashMap<ProxyId, usize>,
    began: Instant,
}

struct State {
    world: World,
    /// A probe's connection waits for the first request.
    open: Vec<bool>,
}

impl Simulated {
    /// The clock of the world begins now.
    pub(crate) fn new(world: World) -> (Self, Vec<Arc<Proxy>>) {
        let count = world.scenario().proxies.get() as usize;
        let list: Vec<_> = (0..count).map(member).collect();
        let numbers = list
            .iter()
            .enumerate()
            .map(|(number, proxy)| (proxy.id(), number));
        let simulated = Simulated {
            numbers: numbers.collect(),
            state: Arc::new(Mutex::new(State {
                world,
                open: vec![false; count],
            })),
            began: Instant::now(),
        };
        (simulated, list)
    }

    /// What has been asked of the world, to be read when the run is over.
    pub(crate) fn tally(&self) -> impl Fn() -> Tally + use<> {
        let state = self.state.clone();
        move || lock(&state).world.tally()
    }

    fn number(&self, proxy: &Proxy) -> usize {
        self.numbers[&proxy.id()]
    }
}

/// The request is over when this goes: with its answer, at its deadline, or because nobody waits for it any more.
struct UnderWay<'a> {
    state: &'a Mutex<State>,
    number: usize,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        lock(self.state).world.ended(self.number);
    }
}

impl Egress for Simulated {
    async fn probe(
        &self,
        proxy: Arc<Proxy>,
        _host: Option<HostKey>,
        connect_timeout: Duration,
    ) -> ProbeReport {
        let number = self.number(&proxy);
        let fate = lock(&self.state)
            .world
            .probe(number, self.began.elapsed(), connect_timeout);
        tokio::time::sleep(fate.after).await;
        // URLs are plain http, so nothing is asked of the proxy before the request.
        let result = match unconnected(fate.end) {
            Some(fault) => Err(fault),
            None => {
                lock(&self.state).open[number] = true;
                Ok(())
            }
        };
        ProbeReport {
            result,
            phases: phases(&fate),
            connect_reply: None,
        }
    }

    async fn send(&self, outgoing: Outgoing<'_>) -> Exchange {
        let number = self.number(outgoing.proxy);
        let patience = Patience {
            connect: outgoing.connect_timeout,
            whole: outgoing.deadline - Instant::now(),
        };
        let host = host_of(outgoing.url.host_str().expect("a host"));
        let fate = {
            let mut state = lock(&self.state);
            let open = std::mem::take(&mut state.open[number]);
            let now = self.began.elapsed();
            state.world.request(number, host, now, patience, open)
        };
        let _under_way = UnderWay {
            state: &self.state,
            number,
        };
        tokio::time::sleep(fate.after).await;
        exchange(&fate)
    }
}

/// Name of a scenario's host.
pub(crate) fn host_name(number: usize) -> String {
    format!("h{number}.test")
}

fn host_of(name: &str) -> usize {
    let number = name
        .strip_prefix('h')
        .and_then(|rest| rest.strip_suffix(".test"));
    let number = number.and_then(|number| number.parse().ok());
    number.expect("a host made by `host_name`")
}

/// True for the body of a fake, and whether `--must-match` knows it.
pub(crate) fn is_fake(body: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(body);
    text.contains(FAKE).then(|| !text.contains(MARK))
}

/// Proxy `number` of the list, each in a /24 of its own as on public lists.
fn member(number: usize) -> Arc<Proxy> {
    let [_, a, b, c] = u32::try_from(number).expect("a small list").to_be_bytes();
    Arc::new(Proxy::new(
        Scheme::Http,
        &format!("{}.{b}.{c}.1", 10 + u16::from(a)),
        8080,
        None,
    ))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("nobody panics with it")
}

fn unconnected(end: End) -> Option<Fault> {
    let (kind, text) = match end {
        End::Refused => (FaultKind::Refused, "connection refused"),
        End::ConnectTimeout => (FaultKind::Timeout, "no connection in time"),
        _ => return None,
    };
    Some(Fault::new(Phase::Connect, kind, text))
}

fn phases(fate: &Fate) -> Phases {
    Phases {
        connect: fate.connect,
        ..Phases::default()
    }
}

fn exchange(fate: &Fate) -> Exchange {
    if let Some(fault) = unconnected(fate.end) {
        return Exchange::unsent(fault, phases(fate));
    }
    let failed = |kind, text| Err(Fault::new(Phase::Headers, kind, text));
    let result = match fate.end {
        End::Timeout => failed(FaultKind::Timeout, "no answer in time"),
        End::Reset => failed(FaultKind::Reset, "connection reset"),
        End::BadGateway => Ok(page(StatusCode::BAD_GATEWAY, "<p>bad gateway</p>".into())),
        End::GatewayTimeout => Ok(page(StatusCode::GATEWAY_TIMEOUT, "<p>timeout</p>".into())),
        End::Banned => {
            let mut answer = page(StatusCode::FORBIDDEN, "<p>who are you?</p>".into());
            let challenge = HeaderValue::from_static("challenge");
            answer.headers.insert("cf-mitigated", challenge);
            Ok(answer)
        }
        End::Limited { retry_after } => {
            let text = "<p>slow down</p>".into();
            let mut answer = page(StatusCode::TOO_MANY_REQUESTS, text);
            let seconds = HeaderValue::from(retry_after.as_secs());
            answer.headers.insert(header::RETRY_AFTER, seconds);
            Ok(answer)
        }
        End::Fake { noticed: true } => Ok(page(StatusCode::OK, FAKE.into())),
        End::Fake { noticed: false } => Ok(page(StatusCode::OK, format!("{FAKE} {MARK}"))),
        End::Good => Ok(page(StatusCode::OK, format!("<p>a page</p>{MARK}"))),
        End::Refused | End::ConnectTimeout => unreachable!("there was a connection"),
    };
    Exchange {
        result,
        phases: phases(fate),
        connect_status: None,
        connect_reply: None,
        verified: false,
        forwarded: true,
        reused: fate.connect.is_none(),
        sent: true,
    }
}

fn page(status: StatusCode, body: String) -> Response {
    let html = HeaderValue::from_static("text/html");
    Response {
        status,
        version: Version::HTTP_11,
        headers: HeaderMap::from_iter([(header::CONTENT_TYPE, html)]),
        body: Body {
            size_wire: body.len() as u64,
            bytes: Bytes::from(body),
            truncated: None,
        },
    }
}
