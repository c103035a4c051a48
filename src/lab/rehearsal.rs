//! A scenario over real sockets: its proxies at the lab's addresses, and what becomes of each request as its world says.
//!
//! A connection carries one request and is closed, because a scenario's requests all connect anew; the time of that connect is
//! added to the answer's. What loopback cannot imitate: connects themselves take no time, and a proxy that dies while the lab
//! runs still accepts before it resets or is silent, because its listener is that of all the others.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::answer::{self, Answer, Asked, Body};
use super::builder::ProxySpec;
use super::fault::Fault;
use super::pages;
use super::proxy_http::absolute_form;
use super::scenario::{Behaviour, End, Fate, Patience, Scenario, Tally, World};
use super::serve::finish;
use super::wire::{Head, Wire};
use crate::proxy::Scheme;

/// The lab itself waits for ever; clients have limits of their own.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(300),
    whole: Duration::from_secs(300),
};
/// Size of a page when the scenario names none, bytes.
const PAGE_BYTES: usize = 2048;
/// A path that no URL of a scenario has.
const NOBODYS_PATH: &str = "/999999999";

/// See the module text.
#[derive(Debug)]
pub(super) struct Rehearsal {
    world: Mutex<World>,
    began: Instant,
    hosts: usize,
    page_bytes: usize,
}

/// What is wrong with each proxy of the scenario from the beginning to the end, as the lab's listeners have to know it.
pub(super) fn specs(scenario: &Scenario, seed: u64) -> Vec<ProxySpec> {
    let world = World::new(scenario, seed);
    let spec = |proxy| {
        let spec = ProxySpec::new(Scheme::Http);
        match world.behaviour(proxy) {
            Behaviour::Refuses => spec.fault(Fault::Refuse),
            Behaviour::BlackHole => spec.fault(Fault::BlackHole),
            _ => spec,
        }
    };
    (0..scenario.proxies.get() as usize).map(spec).collect()
}

/// A proxy that is not there for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    Resets,
    IsSilent,
}

/// A request is over when this goes.
struct UnderWay<'a> {
    rehearsal: &'a Rehearsal,
    proxy: usize,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.rehearsal.world().ended(self.proxy);
    }
}

impl Rehearsal {
    pub(super) fn new(scenario: &Scenario, seed: u64, began: Instant) -> Self {
        Rehearsal {
            world: Mutex::new(World::new(scenario, seed)),
            began,
            hosts: scenario.hosts.len(),
            page_bytes: match scenario.page_kb {
                0.0 => PAGE_BYTES,
                kb => (kb * 1000.0) as usize,
            },
        }
    }

    pub(super) fn tally(&self) -> Tally {
        self.world().tally()
    }

    /// What a connection to proxy `number` meets now, if it is not the proxy.
    pub(super) fn absent(&self, number: u32, now: Instant) -> Option<Absent> {
        let since = now.saturating_duration_since(self.began);
        match self.world().door(number as usize, since)? {
            End::Refused => Some(Absent::Resets),
            _ => Some(Absent::IsSilent),
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A world whose method panicked half-way is still a world; the panic itself is raised when the lab stops.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, number: u32, host: &str, now: Instant) -> (Fate, UnderWay<'_>) {
        let proxy = number as usize;
        let since = now.saturating_duration_since(self.began);
        let host = self.host(host);
        let fate = self.world().request(proxy, host, since, PATIENCE, false);
        let rehearsal = self;
        (fate, UnderWay { rehearsal, proxy })
    }

    /// Hosts are called `h0.test` and so on; any other name is the first.
    fn host(&self, name: &str) -> usize {
        let number = name.strip_prefix('h');
        let number = number.and_then(|rest| rest.strip_suffix(".test"));
        let number = number.and_then(|number| number.parse().ok());
        number.filter(|host| *host < self.hosts).unwrap_or(0)
    }

    fn answer(&self, end: End, host: &str) -> Answer {
        match end {
            End::Good => Answer::page(self.page_bytes),
            End::Fake { noticed: false } => Answer::html(200, pages::page(host, NOBODYS_PATH)),
            End::Fake { noticed: true } => {
                Answer::html(200, "<html><body>Buy now and save.</body></html>\n")
            }
            End::Banned => Answer::html(403, "<html><body>Who are you?</body></html>\n")
                .header("cf-mitigated", "challenge"),
            End::Limited { retry_after } => {
                pages::status_page(429).header("Retry-After", retry_after.as_secs().to_string())
            }
            End::BadGateway => Answer::html(502, "<html><body>Bad gateway</body></html>\n"),
            End::GatewayTimeout => Answer::html(504, "<html><body>Timeout</body></html>\n"),
            End::Refused | End::Reset => Answer::silent(Body::Reset),
            End::ConnectTimeout | End::Timeout => Answer::silent(Body::Hang),
        }
    }

    /// Answers the one request of a connection.
    ///
    /// # Errors
    /// What sockets say.
    pub(super) async fn serve(&self, mut wire: Wire, head: &Head, number: u32) -> io::Result<()> {
        wire.read_body(head).await?;
        let target = absolute_form(head.target());
        let (host, path) = target.map_or_else(Default::default, |(host, _, path)| (host, path));
        let asked = Asked {
            host: &host,
            path: &path,
            head_only: head.method() == "HEAD",
            keep_alive: false,
        };
        if host.is_empty() {
            let refusal = Answer::html(405, Bytes::from_static(b"Method Not Allowed\n"))
                .header("Allow", "GET, HEAD, POST");
            let after = answer::send(&mut wire, &refusal, &asked).await?;
            finish(wire, after).await;
            return Ok(());
        }
        let now = tokio::time::Instant::now().into_std();
        let (fate, under_way) = self.begin(number, &host, now);
        tokio::select! {
            () = tokio::time::sleep(fate.after) => {}
            // The client has hung up.
            Ok(None) = wire.peek() => return Ok(()),
        }
        let after = answer::send(&mut wire, &self.answer(fate.end, &host), &asked).await?;
        finish(wire, after).await;
        drop(under_way);
        Ok(())
    }
}
