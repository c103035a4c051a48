//! A world as the path out of the engine, on tokio's clock: what sockets would have brought.
//!
//! `lab replay` plays a model of a run with it, and the project's own tests and benchmarks play scenarios.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use tokio::time::Instant;

use crate::egress::{Egress, Outgoing, ProbeReport};
use crate::exchange::{Body, Exchange, Phases, Response};
use crate::job::HostKey;
use crate::lab::scenario::{End, Fate, Patience, Tally, World};
use crate::outcome::{Fault, FaultKind, Phase};
use crate::proxy::{Proxy, ProxyId, Scheme};

/// What every page has in it, and the fakes that nobody can tell: for `--must-match`.
pub const MARK: &str = "<!-- all of it -->";

/// What only fakes have.
pub const FAKE: &str = "buy this";

/// A world behind a lock, and the connections that probes have left open.
pub struct Simulated {
    state: Arc<Mutex<State>>,
    numbers: HashMap<ProxyId, usize>,
    began: Instant,
}

struct State {
    world: World,
    /// A probe's connection waits for the first request.
    open: Vec<bool>,
}

/// A request is over when this goes: with its answer, at its deadline, or because nobody waits for it any more.
struct UnderWay<'a> {
    state: &'a Mutex<State>,
    number: usize,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        lock(self.state).world.ended(self.number);
    }
}

impl Simulated {
    /// The clock of the world begins now.
    pub fn new(world: World) -> (Self, Vec<Arc<Proxy>>) {
        let count = world.scenario().proxies.get();
        let list: Vec<_> = (0..count).map(member).collect();
        let numbers = list.iter().map(|proxy| proxy.id()).zip(0..);
        let simulated = Simulated {
            numbers: numbers.collect(),
            state: Arc::new(Mutex::new(State {
                world,
                open: vec![false; count as usize],
            })),
            began: Instant::now(),
        };
        (simulated, list)
    }

    /// What has been asked of the world, to be read when the run is over.
    pub fn tally(&self) -> impl Fn() -> Tally + use<> {
        let state = self.state.clone();
        move || lock(&state).world.tally()
    }

    fn number(&self, proxy: &Proxy) -> usize {
        // Only members of the list made by `new` are asked.
        self.numbers.get(&proxy.id()).copied().unwrap_or_default()
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
        let now = self.began.elapsed();
        let fate = lock(&self.state).world.probe(number, now, connect_timeout);
        tokio::time::sleep(fate.after).await;
        // URLs are plain http here, so nothing is asked of the proxy before the request.
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
            bytes: 0,
        }
    }

    async fn send(&self, outgoing: Outgoing<'_>) -> Exchange {
        let number = self.number(outgoing.proxy);
        let patience = Patience {
            connect: outgoing.connect_timeout,
            whole: outgoing.deadline - Instant::now(),
        };
        let host = outgoing.url.host_str().and_then(host_of);
        let fate = {
            let mut state = lock(&self.state);
            let open = std::mem::take(&mut state.open[number]);
            let (now, host) = (self.began.elapsed(), host.unwrap_or_default());
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

/// Name of a host of the world.
pub fn host_name(number: usize) -> String {
    format!("h{number}.test")
}

fn host_of(name: &str) -> Option<usize> {
    name.strip_prefix('h')?.strip_suffix(".test")?.parse().ok()
}

/// Proxy `number` of the list, each in a /24 of its own as on public lists.
fn member(number: u32) -> Arc<Proxy> {
    let [_, a, b, c] = number.to_be_bytes();
    let host = format!("{}.{b}.{c}.1", 10 + u16::from(a));
    Arc::new(Proxy::new(Scheme::Http, &host, 8080, None))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
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
            if !retry_after.is_zero() {
                let seconds = HeaderValue::from(retry_after.as_secs_f64().ceil() as u64);
                answer.headers.insert(header::RETRY_AFTER, seconds);
            }
            Ok(answer)
        }
        End::Fake { noticed: true } => Ok(page(StatusCode::OK, FAKE.into())),
        End::Fake { noticed: false } => Ok(page(StatusCode::OK, format!("{FAKE} {MARK}"))),
        End::Good => Ok(page(StatusCode::OK, format!("<p>a page</p>{MARK}"))),
        // Those without a connection are dealt with above.
        End::Reset | End::Refused | End::ConnectTimeout => {
            failed(FaultKind::Reset, "connection reset")
        }
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
            broken: None,
        },
    }
}
